"""What the first line of a connection tells: a session, a data channel, or somebody at the wrong door."""

from __future__ import annotations

from collections.abc import Container
from contextlib import suppress

from ..errors import BadSyntax
from .tokens import parse_token, read_token_line

_TLS_HANDSHAKE = b"\x16"
_HTTP = (b" HTTP/1.0", b" HTTP/1.1")


def is_tls(data: bytes) -> bool:
    """Whether the first bytes, perhaps no line, are those of a TLS client."""
    return data.startswith(_TLS_HANDSHAKE)


def is_http(line: bytes) -> bool:
    """Whether it is a browser's."""
    return line.removesuffix(b"\r").endswith(_HTTP)


def is_joining(line: bytes, features: Container[str]) -> bool:
    """Whether it says that the connection is a data channel, or pretends to be one."""
    return "passive" in features and read_token_line(line) is not None


def is_undecided(line: bytes, features: Container[str]) -> bool:
    """Whether it leaves that open: inside TLS there will be another first line."""
    turns = "tls" in features and line.removesuffix(b"\r").lower() == b"starttls"
    return turns or is_joining(line, features)


def told_token(line: bytes) -> str | None:
    """The token that it says; None where that is none."""
    told = read_token_line(line)
    with suppress(BadSyntax):
        return None if told is None else parse_token(told.text())
    return None
