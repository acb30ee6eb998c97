"""Curves for docs/flow.md: limited transfers over time, and memory by the speed of a slow side."""

from __future__ import annotations

import time
from collections import Counter

from . import ours
from .data import keep
from .frame import Bench, Table
from .machine import make_file
from .slow import memory
from .steps import Refused, Steps, finish, together
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
    alike = two(bench, [])
    weighed = two(bench, ["background", "interactive"])
    begin, end = (round(each / SLICE) for each in SPANS[1])
    rows = {}
    for names, rates in (
        (("the first", "the second"), alike),
        (("the background user", "the interactive user"), weighed),
    ):
        first, second = rates
        both = [one + other for one, other in zip(first, second, strict=True)]
        rows[f"{names[0]}, alone"] = first[2 : begin - 1]
        rows[f"{names[0]}, beside {names[1]}"] = first[begin + 2 : end - 1]
        rows[names[1]] = second[begin + 2 : end - 1]
        rows[f"{names[0]} and {names[1]}"] = both[begin + 2 : end - 1]
    Table(f"A limit of {LIMIT / 1e6:g} MB/s, in slices of {SLICE:g} s", "MB/s").show(
        {label: [each / 1e6 for each in found] for label, found in rows.items()}
    )
    keep(bench, "limit", unit="bytes/s", limit=LIMIT, slice=SLICE, spans=SPANS, alike=alike, weighed=weighed)


def two(bench: Bench, users: list[str]) -> list[list[float]]:
    """The rates of both: nobody logs in, or ``users``, each with the profile that he is named after."""
    options = ("--limit-rate", str(LIMIT))
    if users:
        from argon2 import PasswordHasher

        secret = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("secret")
        file = bench.folder / "run" / "users"
        file.write_text("".join(f"{each} {secret} profile={each}\n" for each in users))
        file.chmod(0o600)
        options += ("--users", str(file))
    with bench.scope() as inner:
        server = ours.server(inner, *options)
        sessions = [connect(server.port) for _ in SPANS]
        for session, user in zip(sessions, users, strict=False):
            finish(log_in(session, user))
        start = time.monotonic()
        rates = together([watched(each, start, *span) for each, span in zip(sessions, SPANS, strict=True)])
        for each in sessions:
            each.close()
    return rates


def log_in(session: Session, user: str) -> Steps[None]:
    """By the one password that all have."""
    session.control.sendall(b"login %s\n" % user.encode())
    yield from session.success("Password required.")
    session.control.sendall(b"password secret\n")
    yield from session.success("Logged in.")
