"""From a host's name to a session: connected, greeted, inside TLS where that is due, and logged in."""

from __future__ import annotations

import ssl

from twisted.internet.defer import Deferred

from ..errors import (
    BadSyntax,
    CertificateRefused,
    EncryptionRequired,
    LocalFileTrouble,
    LoginRequired,
    NotSupported,
    PermissionDenied,
    UnexpectedMessage,
    UnknownCommand,
)
from ..flow.workers import shielded
from .command import Command
from .credentials import Login
from .description import read_offered
from .fingerprints import fingerprint
from .reaching import AUTO, PASSIVE
from .routes import is_loopback, is_near
from .services import Secured
from .trust import TLS, Trust
from .turns import Turns

_DOES_NOT_KNOW = (UnknownCommand, NotSupported, BadSyntax, UnexpectedMessage, PermissionDenied, LoginRequired)
"""What a server may answer that has no features, or tells them not to everybody."""


async def enter(turns: Turns, host: str, port: int, tls: TLS, login: Login | None) -> None:
    """See `session.connect`; where that raises, the connection is closed."""
    trust = Trust(tls, host, port)
    workers = turns.services.workers
    await shielded(workers.run(trust.look_up))
    try:
        while True:
            try:
                await turns.reach(host, port)
                await _agree(turns, trust, at_once=tls.at_once)
                break
            except CertificateRefused as refused:
                await turns.close()
                await trust.reconsider(refused)
        await _log_in(turns, login)
        await _look_around(turns)
    except BaseException:
        if turns.control.connected:
            await turns.close()
        raise


async def _agree(turns: Turns, trust: Trust, *, at_once: bool) -> None:
    """Be greeted, know what is offered, and turn to TLS where that is to be.

    Raises `EncryptionRequired` where it is not to be had.
    """
    if at_once:
        await _turn_to_tls(turns, trust, starttls=False)
    await turns.greeted()
    await _ask(turns)
    if at_once:
        return
    if "tls" in (turns.services.offered or {}):
        await shielded(turns.services.workers.run(trust.side))  # before the server waits for it
        await turns.run("starttls", (), Command.tell)
        await _turn_to_tls(turns, trust, starttls=True)
        await _ask(turns)
    elif trust.demand:
        raise EncryptionRequired(trust.demand)


async def _turn_to_tls(turns: Turns, trust: Trust, *, starttls: bool) -> None:
    services = turns.services
    side = await shielded(services.workers.run(trust.side))
    sock = await turns.control.turn_to_tls(side)
    certificate = sock.getpeercert(binary_form=True) or b""
    services.secured = Secured(
        side,
        starttls,
        sock.version() or "",
        _cipher(sock),
        fingerprint(certificate),
        trust.basis.value,
        trust.shows,
    )
    try:
        await shielded(services.workers.run(trust.accept, certificate))
    except LocalFileTrouble as error:
        trust.warn(f"the server could not be remembered: {error}")


def _cipher(sock: ssl.SSLSocket) -> str:
    cipher = sock.cipher()
    return "" if cipher is None else cipher[0]


async def _ask(turns: Turns) -> None:
    """What the server says that it offers; nothing where it does not know the question."""
    try:
        fields = await turns.run("features", (), Command.tell)
    except _DOES_NOT_KNOW:
        fields = []
    turns.services.offered = read_offered(field.text() for field in fields)


async def _log_in(turns: Turns, login: Login | None) -> None:
    """Say who this is.  Raises what the server says, and `EncryptionRequired` where it isn't asked safely."""
    if login is None:
        return
    services = turns.services
    services.user = None
    if "login" not in (services.offered or {}):
        if login.optional:
            return
        raise NotSupported("The server knows no logins; leave out the user.")
    if services.secured is None and not login.insecure and not is_loopback(turns.control.ends()[1]):
        if login.optional:
            return
        raise EncryptionRequired(
            "The server offers no TLS, and the password would go out in the clear; --insecure allows that."
        )
    secret = await login.secret()
    await turns.run("login", (login.name,), Command.tell)
    await turns.run("password", (secret,), Command.tell)
    services.user = login.name


async def _look_around(turns: Turns) -> None:
    """Find out whether the server can likely connect back, where that matters."""
    services = turns.services
    if services.data == AUTO and PASSIVE in (services.offered or {}):
        near: Deferred[bool] = services.workers.run(is_near, *turns.control.ends())
        services.near = await shielded(near)
