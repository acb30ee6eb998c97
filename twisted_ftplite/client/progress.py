"""How a transfer goes, on standard error: a bar for a person who waits, lines for a program."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from .words import spell

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

ROOM: Final = 4
"""Columns left free behind the bar."""

EVERY: Final = 0.95
"""Seconds between two lines for programs, of progress that is told ten times a second."""

WORTH_SHOWING: Final = 1_000_000
"""Bytes.  What is smaller and over before the session told of it is not worth importing rich for."""


class ProgressBar:
    """Give it to a transfer as its progress callback; leaving the ``with`` block wipes it off.

    It draws when it is called, with no thread of its own, and rich is imported then.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.wipe()

    def wipe(self) -> None:
        """Take it off; where it goes on it is drawn anew, below what was written meanwhile."""
        bar, self._bar = self._bar, None
        if bar is not None:
            with contextlib.suppress(OSError):
                bar.stop()

    def __call__(self, moved: int, whole: int | None) -> None:
        """Show ``moved`` bytes of ``whole``, which is None where nobody knows."""
        with contextlib.suppress(OSError):  # a terminal that is gone is no reason to break off
            self._draw(moved, whole)

    def finish(self, moved: int, limited_by: str = "") -> None:
        """Show the whole."""
        if self._bar is not None or moved >= WORTH_SHOWING:
            self(moved, moved)

    def _draw(self, moved: int, whole: int | None) -> None:
        if self._bar is None or self._task is None:
            self._bar = _make()
            # What was there when it began was not moved, and says nothing of the speed.
            self._task = self._bar.add_task("", total=whole, completed=moved, name=spell(self._name))
            self._bar.start()
        # The ^C that a terminal shows must not wrap, or wiping off the bar would miss its first line.
        self._bar.console.width = max(1, os.get_terminal_size(2).columns - ROOM)
        self._bar.update(self._task, completed=moved, total=whole, refresh=True)


class ProgressLines:
    """The same as JSON: a line a second, and one at the end of what worked."""

    def __init__(self, name: str, seconds: Callable[[], float], tell: Callable[[str], None]) -> None:
        """``seconds`` is a clock, and ``tell`` takes each line."""
        self._name = name
        self._seconds = seconds
        self._tell = tell
        self._began = self._last = seconds()
        self._moved: int | None = None
        """Bytes at the last line; None before the first."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.wipe()

    def wipe(self) -> None:
        """What was told is told."""

    def __call__(self, moved: int, whole: int | None) -> None:
        """Tell of ``moved`` bytes of ``whole``, which is None where nobody knows, if it is time to."""
        if self._moved is None:
            self._moved = moved  # what was there before did not move now
        if self._seconds() - self._last >= EVERY:
            self._line(moved, whole)

    def finish(self, moved: int, limited_by: str = "") -> None:
        """Tell of the whole, and what it waited for most."""
        self._line(moved, moved, done=True, limited_by=limited_by or None)

    def _line(self, moved: int, whole: int | None, **more: object) -> None:
        now = self._seconds()
        passed, came = now - self._last, moved - (self._moved or 0)
        self._last, self._moved = now, moved
        told = {
            "name": self._name,
            "moved": moved,
            "size": whole,
            "seconds": round(now - self._began, 3),
            "rate": round(came / passed) if passed > 0 else None,
        }
        self._tell(json.dumps(told | more))


Shown = ProgressBar | ProgressLines
"""What shows how a transfer goes."""


def choose(
    name: str, style: str, seconds: Callable[[], float], tell: Callable[[str], None], *, visible: bool
) -> Shown | None:
    """What shows a transfer in this style; None: nothing, for a bar that is not ``visible``."""
    if style == "json":
        return ProgressLines(name, seconds, tell)
    return ProgressBar(name) if visible else None


def _make() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.table import Column

    name = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    return Progress(
        TextColumn("{task.fields[name]}", markup=False, table_column=name),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%"),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
        transient=True,
        expand=True,
    )
