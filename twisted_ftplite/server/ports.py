"""Ports: bound from the words of a Twisted endpoint, or one line about why not."""

from __future__ import annotations

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory
from twisted.python.failure import Failure

from .config import DEFAULT_ENDPOINT, CannotStart


def bind(
    reactor: object, option: str, description: str, factory: IProtocolFactory, *, plain: str | None = None
) -> IListeningPort:
    """Listen at once.  Raises `CannotStart`, which names the option and what was told by it.

    ``plain`` is what is listened on, where that is not what was told.
    """
    outcome: list[IListeningPort | Failure] = []
    told = f"--{option} {description}"
    try:
        endpoint = serverFromString(reactor, description if plain is None else plain)
        endpoint.listen(factory).addBoth(outcome.append)
    except (ValueError, TypeError, KeyError, IndexError, OSError) as error:
        why = "" if isinstance(error, TypeError) else f" ({error})"  # a TypeError tells of our own calls
        raise CannotStart(
            f"{told} is no endpoint that can be listened on{why}; write it as in "
            f"{DEFAULT_ENDPOINT}, or tcp6:2121:interface=\\:\\:1 (a backslash before an address's colons)"
        ) from error
    if not outcome:
        raise CannotStart(f"{told} does not listen at once; use a tcp or systemd endpoint")
    port = outcome[0]
    if isinstance(port, Failure):
        raise CannotStart(_cannot_listen(told, port.value)) from port.value
    return port


def spell(address: IAddress) -> str:
    """An address and its port, for people."""
    if isinstance(address, IPv6Address):
        return f"[{address.host}]:{address.port}"
    if isinstance(address, IPv4Address):
        return f"{address.host}:{address.port}"
    return str(address)


def _cannot_listen(told: str, error: BaseException | None) -> str:
    if isinstance(error, CannotListenError):
        reason = getattr(error.socketError, "strerror", None) or error.socketError
        return f"{told} cannot be listened on: {reason}; stop what has the port or name another"
    return f"{told} cannot be listened on: {error}"
