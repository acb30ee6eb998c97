"""How a server is named: ``HOST``, ``HOST:PORT``, ``ftplite://USER@HOST:PORT`` or ``ftplites://…``."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import unquote

from .display import escape
from .troubles import BadUsage

PORT: Final = 2121
"""Where a server listens unless it is told otherwise."""


class Address(NamedTuple):
    """What stands in the place of HOST."""

    host: str
    port: int
    user: str | None = None
    at_once: bool = False
    """Whether TLS begins with the first byte."""


def read_address(host: str, port: str | None) -> Address:
    """What ``host``, ``host:port``, ``[::1]``, ``::1`` and ``ftplite://user@…`` say; raises `BadUsage`."""
    scheme, mark, rest = host.partition("://")
    if mark and scheme.lower() not in ("ftplite", "ftplites"):
        raise BadUsage(f"{_without_user(host)}: only ftplite:// and ftplites:// are spoken here")
    user, at, place = (rest.removesuffix("/") if mark else host).rpartition("@")
    if ":" in user or "/" in user:
        raise BadUsage(f"{_without_user(host)}: no password, and no path, stands before the @")
    if "/" in place or not place or (at and not user):
        raise BadUsage(
            f"{_without_user(host)}: the address is USER@HOST, HOST:PORT or ftplite://USER@HOST:PORT, and"
            " nothing else"
        )
    if place.startswith("["):
        name, _, behind = place[1:].partition("]")
        if "]" not in place or (behind and not behind.startswith(":")):
            raise BadUsage(f"{escape(place)}: an IPv6 address in brackets is [ADDRESS] or [ADDRESS]:PORT")
        given = behind[1:] if behind else None
    elif place.count(":") == 1:
        name, _, given = place.partition(":")
    else:
        name, given = place, None
    if not name:
        raise BadUsage(f"{_without_user(host)}: the host is missing")
    if given is not None and port is not None:
        raise BadUsage(f"the port is given twice: {escape(given)} and {escape(port)}")
    text = given if given is not None else port
    number = PORT if text is None else number_in(text)
    if not 1 <= number <= 65535:
        raise BadUsage(f"{escape(text or '')!r} is no port: a port is a number from 1 to 65535")
    return Address(name, number, unquote(user) if at else None, scheme.lower() == "ftplites" and bool(mark))


def _without_user(address: str) -> str:
    """The address for a complaint: what stands before the ``@`` may be a secret."""
    user, _, place = address.rpartition("@")
    return f"…@{escape(place)}" if user else escape(place)


def number_in(text: str) -> int:
    """A decimal number of ASCII digits, or -1: ``int`` takes more than that."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
