"""How long other sessions wait for a listing while one transfer runs flat out through the same server."""

from __future__ import annotations

import json
import statistics
from contextlib import ExitStack
from pathlib import Path

from . import ours
from .frame import Bench, NotInstalled, Table, number, say
from .machine import make_file, make_small_files
from .processes import Helper, Server, module

SESSIONS, SECONDS, NAMES = 50, 6, 20
CASES = {
    "nothing else": None,
    "a get runs flat out": "get",
    "a put runs flat out": "put",
}


def run(bench: Bench) -> None:
    """Runs in turns as everywhere; every latency of all runs of a case goes into its percentiles."""
    few = bench.served / "few"
    few.mkdir(exist_ok=True)
    make_small_files(few, NAMES)
    source = make_file(bench.served / "big", bench.settings.size)
    try:
        server = ours.server(bench)
    except NotInstalled as missing:
        say(f"  fair: {missing}")
        bench.judge("`ls` of 50 sessions beside a transfer, 99th percentile, ms", None, 50)
        return
    seen: dict[str, list[float]] = {label: [] for label in CASES}
    tails: dict[str, list[float]] = {label: [] for label in CASES}
    rates: dict[str, list[float]] = {label: [] for label in CASES}
    for turn in range(bench.settings.runs):
        for label, way in CASES.items():
            say(f"  fair: run {turn + 1} of {bench.settings.runs}: {label}")
            latencies, rate = once(bench, server, way, source)
            seen[label] += latencies
            tails[label].append(percentile(latencies, 99))
            rates[label].append(rate)
    print(markdown(seen, tails, rates), flush=True)
    for label, way in CASES.items():
        if way is not None:
            target = f"`ls` of {SESSIONS} sessions while {label}, 99th percentile, ms"
            bench.judge(target, percentile(seen[label], 99), 50, most=True)


def once(bench: Bench, server: Server, way: str | None, source: Path) -> tuple[list[float], float]:
    """Latencies in milliseconds, and the transfer's GB/s."""
    with ExitStack() as stack:
        flood = None
        if way is not None:
            flood = stack.enter_context(Helper(bench, module("load", "flood", server.port, way, source)))
            flood.hear()
        words = module("load", "listings", server.port, SESSIONS, SECONDS, "few", NAMES)
        listings = stack.enter_context(Helper(bench, words))
        latencies = [each * 1000 for each in json.loads(listings.hear())]
        if flood is None:
            return latencies, 0.0
        flood.end()
        total, seconds = json.loads(flood.hear())
        return latencies, total / seconds / 1e9


def percentile(values: list[float], part: int) -> float:
    """The value that ``part`` per cent of them stay under."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * part // 100)]


def markdown(
    seen: dict[str, list[float]], tails: dict[str, list[float]], rates: dict[str, list[float]]
) -> str:
    """The table of latencies."""
    table = Table(f"`ls` of {NAMES} names by {SESSIONS} other sessions, milliseconds", "ms")
    lines = [
        f"\n### {table.title}\n",
        "| beside it | median | 95 % | 99 % | 99 % of each run, min to max | longest | listings "
        "| transfer, GB/s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for label, values in seen.items():
        rate = statistics.median(rates[label])
        figures = [number(percentile(values, part)) for part in (50, 95, 99)]
        lines.append(
            f"| {label} | {' | '.join(figures)} | {number(min(tails[label]))} to {number(max(tails[label]))} "
            f"| {number(max(values))} | {len(values)} | {number(rate) if rate else '-'} |"
        )
    return "\n".join(lines)
