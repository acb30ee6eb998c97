"""Curves for docs/flow.md: limited transfers over time, and memory by the speed of a slow side."""

from __future__ import annotations

import time
from collections import Counter

from . import ours
from .data import keep
from .frame import Bench, Table
from .machine import make_file
from .slow import memory
from .steps import Refused, Steps, together
from .wire import READY, Session, connect

LIMIT = 8_000_000
"""Bytes a second."""

SLICE = 0.2
"""Seconds over which a rate is taken."""

SPANS = ((0.0, 12.0), (4.0, 8.0))
"""When each of two transfers begins and ends."""


def run(bench: Bench) -> None:
    """Both; each once, since it is the shape that counts."""
    make_file(bench.served / "big", bench.settings.size)
    make_file(bench.served / "first", 1024)
    limit(bench)
    memory(bench)


def watched(session: Session, start: float, begin: float, end: float) -> Steps[list[float]]:
    """Get a big file from ``begin`` to ``end``, seconds after ``start``; bytes a second in each slice."""
    came: Counter[int] = Counter()
    yield max(0.0, start + begin - time.monotonic())
    session.control.sendall(b"get big\n")
    yield from session.success(READY)
    session.control.sendall(session.port)
    data = yield from session.accept()
    with data:
        while (now := time.monotonic() - start) < end:
            yield data
            piece = len(data.recv(65536))
            if not piece:
                raise Refused(f"the server ended the data after {now:.1f} s")
            came[int((time.monotonic() - start) / SLICE)] += piece
    return [came[each] / SLICE for each in range(round(SPANS[0][1] / SLICE))]


def limit(bench: Bench) -> None:
    """Two transfers under one limit, of which the second comes later and goes earlier."""
    with bench.scope() as inner:
        server = ours.server(inner, "--limit-rate-down", str(LIMIT))
        sessions = [connect(server.port) for _ in SPANS]
        start = time.monotonic()
        first, second = together(
            [watched(each, start, *span) for each, span in zip(sessions, SPANS, strict=True)]
        )
        for each in sessions:
            each.close()
    keep(bench, "limit", unit="bytes/s", limit=LIMIT, slice=SLICE, spans=SPANS, rates=[first, second])
    begin, end = (round(each / SLICE) for each in SPANS[1])
    rates = {
        "the first, alone": first[2 : begin - 1],
        "the first, beside the second": first[begin + 2 : end - 1],
        "the second": second[begin + 2 : end - 1],
        "both": [sum(each) for each in zip(first, second, strict=True)][begin + 2 : end - 1],
    }
    Table(f"A limit of {LIMIT / 1e6:g} MB/s, in slices of {SLICE:g} s", "MB/s").show(
        {label: [each / 1e6 for each in found] for label, found in rates.items()}
    )
