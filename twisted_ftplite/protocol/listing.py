"""What ``ls`` sends: a name a line, or a JSON object a line (docs/protocol.md, sections 1, 4 and 6)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple, NoReturn, TypeVar

from ..errors import BadSyntax
from .lines import join_bytes, parse_argument, quote, spell_argument

T = TypeVar("T")

KINDS = frozenset({"file", "directory", "link", "other"})
"""What a name can be: ``link`` is one that leads nowhere inside the tree."""

_MICROSECONDS = 1_000_000
_MOST_SECONDS = 10**19
_MOST_BYTES = 10**19
"""The wire's numbers have at most 19 digits."""


class Row(NamedTuple):
    """One name of a listing with its attributes."""

    name: str
    """Of a listing of the whole tree the path from the listed directory."""

    kind: str
    """One of `KINDS`."""

    size: int
    """Bytes."""

    mtime_ns: int
    """When it was modified: nanoseconds since the epoch; the wire has them cut to microseconds."""

    mode: int
    """The nine bits of permission."""

    link: bool
    """The name itself is a symbolic link; all else is of what it leads to."""


def plain(entries: Iterable[tuple[str, bool]]) -> Iterator[bytes]:
    """A line a name; of each pair, the second says whether it is a directory."""
    for name, is_directory in entries:
        yield f"{spell_argument(name + '/' if is_directory else name)}\n".encode()


def parse_plain(listing: bytes) -> Iterator[tuple[str, bool]]:
    """Names, and whether each is a directory.  Raises `BadSyntax` for what `plain` would not write."""
    for line in _lines(listing):
        try:
            meant = parse_argument(line.decode("utf-8"))
        except UnicodeDecodeError:
            raise BadSyntax("The listing is not UTF-8.") from None
        name = meant[0].removesuffix("/")
        if len(meant) != 1 or not _is_name(name):
            raise BadSyntax("A line of the listing is not a name.")
        yield name, name != meant[0]


def json_lines(rows: Iterable[Row]) -> Iterator[bytes]:
    """A JSON object a line, each with its LF."""
    for row in rows:
        link = ', "link": true' if row.link else ""
        yield (
            f'{{"name": {quote(row.name)}, "type": "{row.kind}", "size": {row.size}, '
            f'"mtime": {_spell_seconds(row.mtime_ns)}, "mode": {row.mode & 0o777}{link}}}\n'
        ).encode()


def parse_json(listing: bytes, *, whole_tree: bool = False) -> Iterator[Row]:
    """The rows of a whole listing, see `parse_json_line`.  Raises `BadSyntax`, also for a missing end."""
    for line in _lines(listing):
        yield parse_json_line(line, whole_tree=whole_tree)


def parse_json_line(line: bytes, *, whole_tree: bool = False) -> Row:
    """One row, given without its LF.  Raises `BadSyntax` for what is not one.

    With ``whole_tree`` its name may be a path downwards; nothing else makes a name that leads anywhere but
    into the listed directory.  Keys that are not known are ignored: others may add some.
    """
    if not (line.startswith(b"{") and line.endswith(b"}")):
        raise BadSyntax("A line of the listing is not a JSON object.")
    try:
        members = _decoder.decode(line.decode("utf-8"))
    except (ValueError, RecursionError, InvalidOperation):
        raise BadSyntax("A line of the listing is not a JSON object.") from None
    row = Row(
        name=join_bytes(_member(members, "name", str)),
        kind=_member(members, "type", str),
        size=_member(members, "size", int),
        mtime_ns=_read_seconds(members.get("mtime")),
        mode=_member(members, "mode", int),
        link=_member(members, "link", bool) if "link" in members else False,
    )
    segments = row.name.split("/") if whole_tree else [row.name]
    if not all(map(_is_name, segments)):
        raise BadSyntax("A name of the listing leads elsewhere.")
    if row.kind not in KINDS or not 0 <= row.size < _MOST_BYTES or not 0 <= row.mode <= 0o777:
        raise BadSyntax("A line of the listing tells what cannot be.")
    return row


def _lines(listing: bytes) -> Iterator[bytes]:
    if listing and not listing.endswith(b"\n"):
        raise BadSyntax("The listing's last line has no end.")
    yield from listing.split(b"\n")[:-1]


def _is_name(text: str) -> bool:
    return text not in ("", ".", "..") and "/" not in text and "\0" not in text


def _member(members: dict[str, Any], key: str, kind: type[T]) -> T:
    value = members.get(key)
    if type(value) is not kind:  # isinstance would take a bool for an int
        raise BadSyntax(f"A line of the listing has no {key} that can be read.")
    return value


def _spell_seconds(nanoseconds: int) -> str:
    """Seconds with what decimals are needed, at least one; exact, where a float would not always be."""
    microseconds = nanoseconds // 1000
    seconds, rest = divmod(abs(microseconds), _MICROSECONDS)
    decimals = f"{rest:06}".rstrip("0") or "0"
    return f"{'-' if microseconds < 0 else ''}{seconds}.{decimals}"


def _read_seconds(value: object) -> int:
    """Nanoseconds, whole microseconds of them: no more digits mean anything in what once was a float."""
    if type(value) is not int and not isinstance(value, Decimal):
        raise BadSyntax("A line of the listing has no mtime that can be read.")
    if not -_MOST_SECONDS < value < _MOST_SECONDS:
        raise BadSyntax("A line of the listing has an mtime beyond all times.")
    return round(value * _MICROSECONDS) * 1000


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise BadSyntax("A line of the listing tells something twice.")
    return members


def _no_number(text: str) -> NoReturn:
    raise BadSyntax(f"{text} is no number.")


_decoder = json.JSONDecoder(object_pairs_hook=_once, parse_float=Decimal, parse_constant=_no_number)
