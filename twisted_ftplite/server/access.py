"""The verbs by which a client shows who it is, and hides what it says: one coroutine each."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from ..errors import Failure, LoginFailed, NotSupported, TooManyFailures
from ..protocol.lines import Success
from ..protocol.paths import ROOT
from .call import Call
from .certificates import certificate_names
from .entry import Entry, Visitor
from .users import ACCESS, User

log = Logger()


async def starttls(call: Call) -> Success:
    """Turn to TLS, behind this status."""
    if "tls" not in call.session.features:
        raise NotSupported("This session cannot turn to TLS.")
    return Success.BEGIN_TLS


async def login(call: Call) -> Success:
    """Say who one is; known or not, the password is asked for."""
    call.visitor.name = call.command.arguments()[0]
    return Success.PASSWORD_REQUIRED


async def password(call: Call) -> Success:
    """Prove it.  A wrong name and a wrong password look alike, and take the same time."""
    visitor, accounts = call.visitor, call.services.entry.accounts
    name, visitor.name = visitor.name, None
    if name is None or accounts is None:
        raise LoginFailed("Say login first.")
    _check_host(visitor)
    try:
        user = await accounts.by_password(name, call.command.arguments()[0])
    except LoginFailed:
        _check_host(visitor)
        visitor.fail()
        raise
    except CancelledError:  # or whoever breaks off could try for ever
        visitor.fail()
        raise
    _check_host(visitor)
    call.enter(user)
    call.session.directory = ROOT
    return Success.LOGGED_IN


def _check_host(visitor: Visitor) -> None:
    """A host that is refused by now learns nothing more, not in the sessions that it has either.

    Raises `TooManyFailures`, for a right password too.
    """
    if visitor.entry.bans.refuses(visitor.host):
        raise TooManyFailures("Too many logins from your host have failed; try again later.")


async def know_by_certificate(
    entry: Entry, sock: ssl.SSLSocket, peer: str, enter: Callable[[User], None]
) -> None:
    """Let in whom a client certificate names; a session without one, or of nobody known, goes on without."""
    names = certificate_names(sock)
    if not names:
        return
    try:
        if entry.accounts is None:
            user = User(names[-1], ACCESS["write"])
        else:
            user = await entry.accounts.by_certificate(names)
        enter(user)
        log.info("{peer} is {user}, by certificate", peer=peer, user=user.name)
    except Failure as error:
        log.info("{peer} has a certificate of {names}: {error}", peer=peer, names=names, error=str(error))
