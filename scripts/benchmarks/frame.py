"""What every theme shares: settings, alternating runs, Markdown tables, verdicts."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

MIB = 1 << 20

Case = Callable[[], float]
"""One run of a case; returns its figure in the unit of the table, and raises where it did not work."""


class NotInstalled(Exception):
    """A peer, or a part of ours, that this machine does not have."""


@dataclass(frozen=True)
class Settings:
    """What the command line asked for."""

    runs: int
    size: int
    """Bytes of the big file."""
    files: int
    """How many small files."""
    sessions: int
    """How many idle sessions."""
    transfers: int
    """How many transfers from one host."""
    slow_seconds: float
    """How long the slow reader reads."""
    names: int
    """How many names the big directory has."""
    data: Path | None = None
    """Where figures for scripts/pictures are kept."""


@dataclass(frozen=True)
class Verdict:
    """One target: what was asked for, what was seen, and whether that meets it (None: not measured)."""

    target: str
    figure: str
    met: bool | None


@dataclass
class Bench:
    """One run of the command: its settings, its working folder, what ends with it, what it found."""

    settings: Settings
    folder: Path
    """On tmpfs, removed at the end."""
    stack: ExitStack
    verdicts: list[Verdict] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    """What every child has in its environment besides."""
    host: str = "127.0.0.1"
    """The address that servers listen on."""

    @property
    def served(self) -> Path:
        """The tree that every server serves."""
        return self.folder / "served"

    @property
    def local(self) -> Path:
        """Where the clients put what they get."""
        return self.folder / "local"

    @contextmanager
    def scope(self) -> Iterator[Bench]:
        """The same bench, whose servers end with the block."""
        with ExitStack() as stack:
            yield Bench(self.settings, self.folder, stack, self.verdicts, dict(self.variables), self.host)

    def judge(
        self, target: str, figure: float | None, limit: float, *, most: bool = False, failed: bool = False
    ) -> None:
        """Compare a figure with what was asked for: at least ``limit``, or at most it.

        Without a figure the target counts as missed where it ``failed``, else as not measured.
        """
        if figure is None:
            self.verdicts.append(Verdict(target, "failed" if failed else "-", False if failed else None))
            return
        met = figure <= limit if most else figure >= limit
        self.verdicts.append(Verdict(target, f"{number(figure)} ({'≤' if most else '≥'} {limit:g})", met))


def number(value: float) -> str:
    """A figure as a person reads it: three digits, none of them in exponents."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def say(text: str) -> None:
    """Progress, on standard error: standard output holds the tables alone."""
    print(text, file=sys.stderr, flush=True)


class Table:
    """Cases measured in turns, and how they compare with the first of them or another reference."""

    def __init__(self, title: str, unit: str, reference: str | None = None) -> None:
        self.title, self.unit, self.reference = title, unit, reference
        self.labels: list[str] = []
        self.figures: dict[str, list[float]] = {}
        self.failed: dict[str, str] = {}

    def run(self, cases: Mapping[str, Case], runs: int, *, warm: int = 1) -> Table:
        """Case 1, case 2, ..., case 1, ...; ``warm`` rounds before count for nothing.  Prints the table."""
        self.labels = list(cases)
        for turn in range(-warm, runs):
            for label, case in cases.items():
                if label in self.failed:
                    continue
                say(f"  {self.title}: {'warm-up' if turn < 0 else f'run {turn + 1} of {runs}'}: {label}")
                try:
                    figure = case()
                except NotInstalled as missing:
                    self.failed[label] = str(missing)
                except Exception as failure:  # noqa: BLE001 - one broken case must not cost the others
                    self.failed[label] = f"failed: {type(failure).__name__}: {failure}"[:200]
                    say(f"  ! {label}: {self.failed[label]}")
                else:
                    if turn >= 0:
                        self.figures.setdefault(label, []).append(figure)
        print(self.markdown(), flush=True)
        return self

    def show(self, figures: Mapping[str, list[float]]) -> Table:
        """Print figures that the runs of another table have yielded."""
        self.figures = {label: each for label, each in figures.items() if each}
        self.labels = list(self.figures)
        print(self.markdown(), flush=True)
        return self

    def median(self, label: str) -> float | None:
        """The median of a case, or None where it has no figure."""
        figures = self.figures.get(label)
        return statistics.median(figures) if figures and label not in self.failed else None

    def broke(self, label: str) -> bool:
        """Whether a case failed, which is another thing than not being installed."""
        return self.failed.get(label, "").startswith("failed")

    def ratio(self, label: str, reference: str | None = None) -> float | None:
        """A case's median over that of the reference, both of this run."""
        own, other = self.median(label), self.median(reference or self.reference or "")
        return own / other if own is not None and other else None

    def markdown(self) -> str:
        """The table, with what could not be measured and why."""
        lines = [f"\n### {self.title}\n"]
        lines.append(
            f"| case | median, {self.unit} | min to max | ratio | runs |\n| --- | --- | --- | --- | --- |"
        )
        for label in self.labels:
            if label in self.failed:
                lines.append(f"| {label} | - | {self.failed[label].replace('|', '/')} | - | - |")
                continue
            figures = self.figures[label]
            ratio = self.ratio(label)
            lines.append(
                f"| {label}{' (reference)' if label == self.reference else ''} "
                f"| {number(statistics.median(figures))} "
                f"| {number(min(figures))} to {number(max(figures))} "
                f"| {'-' if ratio is None else f'{ratio:.2f}'} | {len(figures)} |"
            )
        return "\n".join(lines)


def verdict_list(verdicts: list[Verdict]) -> str:
    """The last thing printed: each target, the figure, met or missed."""
    words = {True: "met", False: "MISSED", None: "not measured"}
    lines = ["\n### Verdicts\n", "| target | figure | |", "| --- | --- | --- |"]
    lines += [f"| {each.target} | {each.figure} | {words[each.met]} |" for each in verdicts]
    return "\n".join(lines)
