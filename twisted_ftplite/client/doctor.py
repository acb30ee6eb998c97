"""What works between this host and a server, each thing tried: TLS, the login, both ways of data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import (
    CertificateRefused,
    ConnectionLost,
    ConnectionRefused,
    ConnectionTimedOut,
    FTPLiteError,
    NotSupported,
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
    works: list[str] = []
    errors: list[FTPLiteError] = []
    order = await _order(session)
    for way in _WAYS:
        session = await shell.session(again=True)
        error = await _try(session, way)
        if error is None:
            works.append(way)
            await _tell(shell, way, f"works: {_does(way)} for data")
        else:
            errors.append(error)
            await _tell(shell, way, _explain(session, way, error))
    await _tell(shell, "auto", _choice(order, works))
    if not works:
        raise Reported(errors[0])


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
    if "login" in await session.offered():
        return "by no name; --user NAME logs in"
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
    local, server = session.ends
    if not isinstance(error, (*_NO_CONNECTION, PortNotAllowed)):
        return f"cannot be tried: {said}"
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
        f"does not work: {said}. A firewall must let {server} in to {ports} of {local}{few}; where {local} is"
        " an address behind NAT, it cannot work"
    )


def _choice(order: list[str], works: list[str]) -> str:
    choice = next((way for way in order if way in works), None)
    if choice is None:
        return "has nothing to choose: no way works"
    if choice == order[0]:
        return f"takes {choice}"
    return f"takes {choice} after 3 s; --data {choice} does so at once"
