"""Values of fields that are neither numbers nor names (docs/protocol.md, section 6)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from ..errors import BadSyntax

_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?Z", re.ASCII)
_MODE = re.compile(r"0[0-7]{3}", re.ASCII)
_WORD = re.compile(r"[!-~]{1,64}", re.ASCII)
_CHECKSUM = re.compile(r"([!-~]{1,64}) ([0-9a-fA-F]{1,128})", re.ASCII)
DEFAULT_ALGORITHM = "xxh128"
"""The checksum of which the verb ``checksum`` tells when none is named."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)
_FIRST = datetime.min.replace(tzinfo=UTC)


def parse_time(text: str) -> int:
    """Nanoseconds since the epoch, from a time of UTC with up to six decimals.  Raises `BadSyntax`."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise BadSyntax("A time is written as 2026-11-22T13:00:00.123456Z.")
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    microsecond = int((match[7] or "").ljust(6, "0"))
    try:
        moment = datetime(year, month, day, hour, minute, second, microsecond, UTC)
    except ValueError:
        raise BadSyntax("There is no such time.") from None
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def spell_time(nanoseconds: int) -> str:
    """The time of UTC, cut to microseconds; one that the calendar lacks is brought to its nearest end."""
    try:
        moment = _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        moment = _LAST if nanoseconds > 0 else _FIRST
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def parse_mode(text: str) -> int:
    """Nine bits, written as ``0644``.  Raises `BadSyntax`."""
    if not _MODE.fullmatch(text):
        raise BadSyntax("A mode is written as 0644.")
    return int(text, 8)


def spell_mode(mode: int) -> str:
    """The nine bits of permission as ``0644``; what else ``mode`` holds is left out."""
    return f"{mode & 0o777:04o}"


def parse_word(text: str) -> str:
    """A word of up to 64 visible ASCII characters.  Raises `BadSyntax`."""
    if not _WORD.fullmatch(text):
        raise BadSyntax("One word was expected.")
    return text


class Bottleneck(StrEnum):
    """What one side of a transfer says that it waited for most."""

    NETWORK = "network"
    """For the way between, and of a receiver for anything that came too slowly."""

    RECEIVER = "receiver"
    """A sender for whoever takes what it sends."""

    DISK = "disk"
    CPU = "cpu"
    LIMIT = "limit"
    """A limit of its own."""


def parse_bottleneck(text: str) -> Bottleneck | None:
    """A word; None for one that nobody knows yet.  Raises `BadSyntax`."""
    word = parse_word(text)
    return Bottleneck(word) if word in list(Bottleneck) else None


class Checksum(NamedTuple):
    """A checksum and what made it; as text it is as the wire has it."""

    algorithm: str
    """As ``Feature: checksum`` lists it."""

    digest: str
    """Lower-case hexadecimal digits."""

    def __str__(self) -> str:
        return f"{self.algorithm} {self.digest}"


def parse_checksum(text: str) -> Checksum:
    """A checksum, its digits in any case and, whatever the algorithm, up to 128.  Raises `BadSyntax`."""
    match = _CHECKSUM.fullmatch(text)
    if match is None:
        raise BadSyntax("A checksum is a word, a space and hexadecimal digits.")
    return Checksum(match[1], match[2].lower())
