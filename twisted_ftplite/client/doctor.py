"""What works between this host and a server, each thing tried: TLS, the login, both ways of data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import (
    CertificateRefused,
    ConnectionLost,
    ConnectionRefused,
    ConnectionTimedOut,
    FTPLiteError,
    LoginRequired,
    NotSupported,
    PermissionDenied,
    PortNotAllowed,
)
from .display import escape
from .flags import Call
from .troubles import Reported

if TYPE_CHECKING:
    from .session import Session
    from .shell import Shell

_WAYS: Final = ("active", "passive")
_NO_CONNECTION: Final = (ConnectionRefused, ConnectionTimedOut, ConnectionLost)
_WIDTH: Final = 8


async def doctor(shell: Shell, call: Call) -> None:
    """Tell all of it, a line each.  Raises `Reported` where there is no way for data."""
    session = await shell.session()
    local, server = session.ends
    await _tell(shell, "reached", f"{server} from {local}")
    await _tell(shell, "TLS", _describe_tls(session))
    await _tell(shell, "login", await _describe_login(session))
    errors: dict[str, FTPLiteError | None] = {}
    order = await _order(session)
    for way in _WAYS:
        session = await shell.session(again=True)
        error = errors[way] = await _try(session, way)
        works = f"works: {_does(way)} for data"
        await _tell(shell, way, works if error is None else _explain(session, way, error))
    await _tell(shell, "auto", _choice(order, errors))
    if not any(error is None or isinstance(error, PermissionDenied) for error in errors.values()):
        raise Reported(next(filter(None, errors.values())))


async def _tell(shell: Shell, what: str, text: str) -> None:
    await shell.console.say(f"{what:{_WIDTH}} {escape(text)}\n")


def _describe_tls(session: Session) -> str:
    secured = session.secured
    if secured is None:
        return "none: what is sent can be read and changed on the way"
    return f"{secured.version}, {secured.cipher}, certificate {secured.fingerprint}: {secured.trusted}"


async def _describe_login(session: Session) -> str:
    if session.user is not None:
        return f"as {session.user}"
    if session.may_log_in:
        return "by no name; --user NAME logs in"
    if "login" in await session.offered():
        return "by the certificate of this side, if it names a user of the server"
    return "none: the server knows no logins"


async def _order(session: Session) -> list[str]:
    """What ``auto`` would try here, the first first."""
    return session.auto_ways if "passive" in await session.offered() else ["active"]


async def _try(session: Session, way: str) -> FTPLiteError | None:
    if way == "passive" and way not in await session.offered():
        return NotSupported("The server does not offer it.")
    try:
        await session.try_way(way)
    except FTPLiteError as error:
        return error
    return None


def _does(way: str) -> str:
    return "the server connects" if way == "active" else "this client connects"


def _explain(session: Session, way: str, error: FTPLiteError) -> str:
    """Why it does not work, and what would have to be done."""
    said = str(error).removesuffix(".")
    if isinstance(error, CertificateRefused | NotSupported):
        return f"does not work: {said}"
    if isinstance(error, PermissionDenied):
        return "cannot be tried without the permission to list"
    if isinstance(error, LoginRequired):
        return "cannot be tried without a login; --user NAME logs in"
    if not isinstance(error, (*_NO_CONNECTION, PortNotAllowed)):
        return f"cannot be tried: {said}"
    local, server = session.ends
    if way == "passive":
        return (
            f"does not work: {said}. Further connections from {local} to the same port of {server} must be"
            " let through, and lead to the same server as the first"
        )
    first, last = session.data_ports
    if isinstance(error, PortNotAllowed):
        return f"does not work: {said}. Name other ports with --data-ports"
    ports = f"TCP ports {first}-{last}" if first else "all TCP ports from 1024"
    few = "" if first else " (for fewer, name a range with --data-ports)"
    return (
        f"does not work: {said}. A firewall must let {server} in to {ports} of {local}{few}; through NAT"
        " or a port mapping it may never work"
    )


def _choice(order: list[str], errors: dict[str, FTPLiteError | None]) -> str:
    """What ``auto`` comes to, where the ways ended so; None is that it works."""
    choice = next((way for way in order if errors[way] is None), None)
    if choice == order[0]:
        return f"takes {choice}"
    if choice is not None:
        return (
            f"takes {choice} when {order[0]} has failed, at most 3 s later; --data {choice} takes it at once"
        )
    if any(isinstance(error, PermissionDenied | LoginRequired) for error in errors.values()):
        return f"tries {order[0]} first" if order[1:] else f"takes {order[0]}: there is no other"
    return "has nothing to choose: no way works"
