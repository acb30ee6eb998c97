"""What every theme shares: its settings, what it found, Markdown tables, the verdict."""

from __future__ import annotations

import random
import re
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MIB = 1 << 20
TROUBLE = re.compile(r"Traceback|Unhandled|#critical|#error")


class Counts(Counter[Any]):
    """How often what was seen, by any thread."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def add(self, what: object, times: int = 1) -> None:
        """Once more, or so many times."""
        with self._lock:
            self[what] += times


class CannotRun(Exception):
    """What a theme needs and this machine does not have; its text says what."""


@dataclass
class Soak:
    """One run of the command, or of a test: its settings, and all that was not as it must be."""

    folder: Path
    """Empty, on a disk or tmpfs; whoever made it removes it."""
    rounds: int = 50
    seed: int = 1
    size: int = 200 * MIB
    """Bytes of a big file."""
    loud: bool = True
    """Tell progress and print tables."""
    wrong: list[str] = field(default_factory=list)

    def chance(self, *more: object) -> random.Random:
        """Random choices that are the same whenever the seed and ``more`` are."""
        return random.Random(f"{self.seed} {more}")

    def room(self, name: str) -> Path:
        """A new folder of that name."""
        folder = self.folder / name
        folder.mkdir()
        return folder

    def say(self, text: str) -> None:
        """Progress, on standard error."""
        if self.loud:
            print(text, file=sys.stderr, flush=True)

    def must(self, so: bool, otherwise: str) -> bool:
        """Write down what is wrong unless it is ``so``; returns ``so``."""
        if not so:
            self.wrong.append(otherwise)
            self.say(f"  ! {otherwise}")
        return so

    def must_be_calm(self, log: list[str]) -> None:
        """Write down what a server's log tells that nobody expected."""
        for number, line in enumerate(log):
            if TROUBLE.search(line):
                self.must(False, "the server's log: " + " / ".join(log[number : number + 16]))
                return

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print one, on standard output."""
        if self.loud:
            print(markdown(title, columns, rows), flush=True)


def markdown(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table under its title."""
    lines = [f"\n### {title}\n", row(columns), row(["---"] * len(columns)), *map(row, rows)]
    return "\n".join(lines)


def row(cells: Iterable[object]) -> str:
    """One line of a table."""
    return "| " + " | ".join(spelled(each).replace("|", "/") for each in cells) + " |"


def spelled(value: object) -> str:
    """Figures in three digits, but whole numbers whole."""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)
