"""Values of fields that are neither numbers nor names: docs/protocol.md, section 6."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from ..errors import BadSyntax

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?Z", re.ASCII)
_MODE = re.compile(r"0[0-7]{3}", re.ASCII)
_CHECKSUM = re.compile(r"([a-z0-9]{1,16}) ([0-9a-f]{16,128})", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_time(text: str) -> int:
    """Nanoseconds since the epoch, from a time of UTC with up to six decimals.  Raises `BadSyntax`."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise BadSyntax("A time is written as 2026-11-22T13:00:00.123456Z.")
    try:
        whole = datetime.strptime(match[1] + "+0000", "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        raise BadSyntax("There is no such time.") from None
    microseconds = int((match[2] or "0").ljust(6, "0"))
    return ((whole - _EPOCH) // timedelta(seconds=1) * 1_000_000 + microseconds) * 1000


def spell_time(nanoseconds: int) -> str:
    """The time of UTC, cut to microseconds; one that the calendar lacks is brought to its nearest end."""
    try:
        moment = _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        moment = (datetime.max if nanoseconds > 0 else datetime.min).replace(tzinfo=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def parse_mode(text: str) -> int:
    """Nine bits, written as ``0644``.  Raises `BadSyntax`."""
    if not _MODE.fullmatch(text):
        raise BadSyntax("A mode is written as 0644.")
    return int(text, 8)


def spell_mode(mode: int) -> str:
    """Nine bits as ``0644``."""
    return f"{mode & 0o777:04o}"


class Checksum(NamedTuple):
    """A checksum and what made it."""

    algorithm: str
    digest: str
    """Lower-case hexadecimal digits."""

    def __str__(self) -> str:
        return f"{self.algorithm} {self.digest}"


def parse_checksum(text: str) -> Checksum:
    """Raises `BadSyntax`."""
    match = _CHECKSUM.fullmatch(text)
    if match is None:
        raise BadSyntax("A checksum is a name, a space and hexadecimal digits.")
    return Checksum(match[1], match[2])
