"""Tens of thousands of transfers from one host: none refused for want of ports."""

from __future__ import annotations

import time
from pathlib import Path

from . import ours
from .frame import Bench, Case, Table
from .machine import make_small_files
from .processes import Server
from .steps import Steps, together
from .wire import Session, connect

SESSIONS = 8
WITHIN = 90
LIBRARY, RAW = f"ftplite library, {SESSIONS} sessions", f"bare client, {SESSIONS} sessions, one port each"


def run(bench: Bench) -> None:
    """One run of each case: fewer transfers would prove nothing, and more runs nothing new."""
    make_small_files(bench.served / "small", 1)
    name, into, count = "small/f00000.dat", bench.local / "ports", bench.settings.transfers
    into.mkdir(exist_ok=True)
    expected = (bench.served / name).read_bytes()
    servers: list[Server] = []

    def port() -> int:
        if not servers:
            servers.append(ours.server(bench))
        return servers[0].port

    def shares() -> list[int]:
        return [len(range(index, count, SESSIONS)) for index in range(SESSIONS)]

    def bare() -> float:
        def fetch(session: Session, times: int) -> Steps[None]:
            for _ in range(times):
                if (yield from session.get(name)) != expected:
                    raise AssertionError("other contents")

        sessions = [connect(port()) for _ in range(SESSIONS)]
        start = time.perf_counter()
        together([fetch(each, times) for each, times in zip(sessions, shares(), strict=True)])
        return time.perf_counter() - start

    def library() -> float:
        with ours.Library(bench, port(), SESSIONS) as client:
            done = client.do(do="many", names=[name] * count, into=str(into), rename="same")
        if done["size"] != count * len(expected) or Path(into, "same").read_bytes() != expected:
            raise AssertionError("other contents")
        return float(done["seconds"])

    cases: dict[str, Case] = {RAW: bare, LIBRARY: library}
    title = f"{count:,} transfers of 1 KiB from one host, none refused"
    table = Table(title, "s").run(cases, 1, warm=0)
    for label in cases:
        target = f"{count:,} transfers, none refused: {label}, s"
        bench.judge(target, table.median(label), WITHIN, most=True, failed=table.broke(label))
