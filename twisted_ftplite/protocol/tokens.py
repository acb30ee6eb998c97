"""Tokens: how both ends of a data channel know each other (docs/protocol.md, section 6)."""

from __future__ import annotations

import hmac
import re
from typing import NamedTuple

from ..errors import BadSyntax, Broken
from .lines import Field, FieldName, decode, encode_field

DIGITS = 32
"""Hexadecimal digits of a token: 128 random bits."""

_HEX = re.compile(r"[0-9a-f]+", re.ASCII)


class Halves(NamedTuple):
    """What each end of a data channel says to prove itself, as digits."""

    listener: str
    """Said first, by the client, who listens."""

    server: str


def parse_token(text: str, digits: int = DIGITS) -> str:
    """A token, or a part of one, in lower case.  Raises `BadSyntax`."""
    token = text.lower()
    if len(token) != digits or not _HEX.fullmatch(token):
        raise BadSyntax(f"A token is {digits} hexadecimal digits.")
    return token


def halves(token: str) -> Halves:
    """The two halves of a whole token."""
    middle = len(token) // 2
    return Halves(token[:middle], token[middle:])


def encode_token(token: str) -> bytes:
    """The line that says a token or a half."""
    return encode_field(FieldName.DATA_CHANNEL_TOKEN, token)


def is_token_line(line: bytes) -> bool:
    """Whether a line, without its LF, is a token field, well-formed or not."""
    return read_token_line(line) is not None


def read_token_line(line: bytes) -> Field | None:
    """The token field that a line is; None where it is something else."""
    try:
        message = decode(line)
    except Broken:
        return None
    if isinstance(message, Field) and message.name is FieldName.DATA_CHANNEL_TOKEN:
        return message
    return None


def proves(line: bytes, half: str) -> bool:
    """Whether a line, without its LF, says this half; compared in constant time."""
    message = read_token_line(line)
    if message is None:
        return False
    try:
        said = parse_token(message.text(), len(half))
    except BadSyntax:
        return False
    return is_same_token(said, half)


def is_same_token(one: str, other: str) -> bool:
    """Compared in constant time."""
    return hmac.compare_digest(one.encode("ascii"), other.encode("ascii"))
