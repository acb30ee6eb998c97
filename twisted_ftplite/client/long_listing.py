"""Listings with attributes, as people read them: in which order, and a line of each."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from .words import spell

if TYPE_CHECKING:
    from ..protocol.listing import Row

_LETTERS: Final = {"file": "-", "directory": "d", "link": "l"}
"""What stands before a mode."""


def in_order(rows: Iterable[Row], by: str | None, *, reverse: bool) -> list[Row]:
    """Sorted: ``by-time`` newest first, ``by-size`` largest first, else by the bytes of each segment."""
    # Sorting keeps the order of equals, so each later key goes before those before it.
    ordered = sorted(rows, key=lambda row: tuple(_bytes(each) for each in row.name.split("/")))
    if by == "by-time":
        ordered.sort(key=lambda row: -row.mtime_ns)
    elif by == "by-size":
        ordered.sort(key=lambda row: -row.size)
    return ordered[::-1] if reverse else ordered


def _bytes(segment: str) -> bytes:
    return segment.encode("utf-8", "surrogateescape")


def names(rows: Iterable[Row], *, terminal: bool) -> str:
    """A name a line, directories with ``/``, spelled as `display.listing` does."""
    return "".join(f"{_spelled(row, terminal)}\n" for row in rows)


def long(rows: Iterable[Row], *, terminal: bool) -> str:
    """Mode, size in bytes, time of UTC and name a line; a link has ``@`` behind its name."""
    from ..protocol.values import spell_time

    rows = list(rows)
    width = max((len(str(row.size)) for row in rows), default=0)
    return "".join(
        f"{spell_mode(row.kind, row.mode)} {row.size:>{width}} {spell_time(row.mtime_ns)}"
        f" {_spelled(row, terminal)}{'@' * row.link}\n"
        for row in rows
    )


def json(rows: Iterable[Row]) -> str:
    """The protocol's own lines."""
    from ..protocol.listing import json_lines

    return b"".join(json_lines(rows)).decode()


def spell_mode(kind: str, mode: int) -> str:
    """As ``-rw-r--r--``: ``d`` is a directory, ``l`` a link that leads nowhere, ``?`` anything else."""
    return _LETTERS.get(kind, "?") + stat.filemode(mode & 0o777)[1:]


def _spelled(row: Row, terminal: bool) -> str:
    from ..protocol.lines import spell_argument

    written = spell if terminal else spell_argument
    return written(row.name + "/" if row.kind == "directory" else row.name)
