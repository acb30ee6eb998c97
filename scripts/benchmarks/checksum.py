"""What verifying costs: one big file on tmpfs with each checksum, beside the same without."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .big import Ours
from .frame import Bench, Case, Table
from .machine import make_file

NONE, DEFAULT = "none", "xxh128"
ALGORITHMS = (NONE, DEFAULT, "blake3", "sha256")
LEAST = 0.85
"""Of the rate without, for the default checksum, to a file and from one."""


def run(bench: Bench) -> None:
    """A table each way.  To the null device nothing would otherwise touch the bytes: there is no bar."""
    mine = Ours(bench, make_file(bench.served / "big", bench.settings.size))
    ways: dict[str, tuple[Callable[..., float], bool]] = {
        "get to a file": (mine.get_to_file, True),
        "put from a file": (mine.put_from_file, True),
        "get to the null device": (mine.get_to_nowhere, False),
    }
    for way, (measure, barred) in ways.items():
        cases: dict[str, Case] = {each: partial(measure, checksum=each) for each in ALGORITHMS}
        title = f"{bench.settings.size >> 20} MiB on tmpfs, {way}, by checksum"
        table = Table(title, "GB/s", NONE).run(cases, bench.settings.runs)
        if barred:
            target = f"{way} with {DEFAULT}, ratio to the same without"
            bench.judge(target, table.ratio(DEFAULT), LEAST, failed=table.broke(DEFAULT))
