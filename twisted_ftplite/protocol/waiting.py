"""The lines that keep their place behind a running command (docs/protocol.md, section 2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from .order import Kind, classify


class Line(NamedTuple):
    """One line without its LF."""

    text: bytes
    cancelled: bool
    """Whether it is a command that an ``abort`` has ended before its turn."""


class WaitingLines:
    """Lines in their order, with what must be known of all of them at once."""

    __slots__ = ("_lines", "_settled", "commands", "size")

    def __init__(self) -> None:
        self.size = 0
        """Bytes, each line with its LF."""

        self.commands = 0
        """How many of them are commands, cancelled ones included."""

        self._lines: deque[Line] | None = None
        self._settled = 0
        """How many, from the first, an ``abort`` has gone over: the next one need not."""

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __iter__(self) -> Iterator[Line]:
        return iter(self._lines or ())

    def __len__(self) -> int:
        return len(self._lines or ())

    def append(self, text: bytes, cancelled: bool = False) -> None:
        """Put a line behind all others."""
        if self._lines is None:
            self._lines = deque()
        self._lines.append(Line(text, cancelled))
        self.size += len(text) + 1
        if cancelled or classify(text)[0] is Kind.COMMAND:
            self.commands += 1

    def pop(self) -> Line:
        """Take the first line."""
        assert self._lines
        line = self._lines.popleft()
        self._settled = max(self._settled - 1, 0)
        self._forget(line)
        return line

    def clear(self) -> list[Line]:
        """Take all."""
        taken = list(self)
        self._lines = None
        self.size = self.commands = self._settled = 0
        return taken

    def cancel_commands(self) -> None:
        """``abort``: every command that waits is to be answered as cancelled, in its turn.

        Fields and failures behind it are gone with it; what nobody understands keeps its place.
        """
        kept: list[Line] = []
        while self._lines and len(self._lines) > self._settled:
            line = self._lines.pop()
            self._forget(line)
            kind, _ = classify(line.text)
            if kind in (Kind.COMMAND, Kind.OTHER):
                kept.append(Line(line.text, kind is Kind.COMMAND))
        for line in reversed(kept):
            self.append(*line)
        self._settled = len(self)

    def _forget(self, line: Line) -> None:
        self.size -= len(line.text) + 1
        if line.cancelled or classify(line.text)[0] is Kind.COMMAND:
            self.commands -= 1
