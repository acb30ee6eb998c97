"""What a server holds while its other side, or its disk, is slow."""

from __future__ import annotations

import threading
import time

from . import ours
from .frame import MIB, Bench, Case, Table
from .machine import check_file, make_file
from .processes import Peak
from .steps import Refused, Steps, finish
from .wire import Session, connect

RATE = 10_000
SLOW_DISK = 20 * MIB
"""Bytes a second."""
LEAST_SECONDS = 15
SLOW, SMALL_WINDOW = (
    "get by a 10 kB/s reader",
    "get by a 10 kB/s reader with 16 KiB of window, stall time 5 s",
)
PUT = "put to a disk of 20 MiB/s"


def read_slowly(session: Session, name: str, seconds: float) -> Steps[int]:
    """Take 10 kB a second for so long, then hang up; raises where the server gave up before."""
    session.control.sendall(b"get %s\n" % name.encode())
    yield from session.success("Ready to send.")
    session.control.sendall(session.port)
    data = yield from session.accept()
    total, start = 0, time.monotonic()
    with data:
        while (passed := time.monotonic() - start) < seconds:
            while total < passed * RATE:
                piece = data.recv(1000)
                if not piece:
                    raise Refused(f"the server ended the data after {passed:.0f} s and {total} bytes")
                total += len(piece)
            yield 0.1
    yield from session.size()
    session.control.settimeout(0.2)
    try:
        line = yield from session.line()
    except TimeoutError:
        return total
    if not line.startswith("ERROR: Connection lost."):  # the answer to hanging up
        raise Refused(line)
    return total


def slow_reader(bench: Bench, seconds: float, window: int | None, *options: str) -> float:
    """MiB above rest."""
    source = make_file(bench.served / "big", bench.settings.size)
    with bench.scope() as inner:
        server = ours.server(inner, *options)
        _settle(server.port)
        with Peak(server) as peak:
            session = connect(server.port, receive_buffer=window)
            finish(read_slowly(session, source.name, seconds))
        session.close()
    return peak.above / MIB


def _settle(port: int) -> None:
    """One small transfer and a moment, so that rest is a server that has worked before."""
    session = connect(port)
    finish(session.get("first"))
    session.close()
    time.sleep(0.3)


def slow_put(bench: Bench, rate: int = SLOW_DISK, seconds: float | None = None) -> float:
    """MiB above rest while a big file comes in faster than the disk takes it."""
    source = make_file(bench.served / "big", bench.settings.size)
    with bench.scope() as inner:
        server = ours.server(inner, slow=str(rate))
        _settle(server.port)
        failure: list[Exception] = []

        def send() -> None:
            try:
                session = connect(server.port)
                finish(session.put_big(source, "up/slow"))
            except (OSError, Refused) as trouble:
                failure.append(trouble)

        sender = threading.Thread(target=send, daemon=True)
        with Peak(server) as peak:
            sender.start()
            sender.join(seconds or bench.settings.slow_seconds)
        if failure:
            raise failure[0]
        if not sender.is_alive():
            check_file(bench.served / "up" / "slow", source)
    return peak.above / MIB


def run(bench: Bench) -> None:
    """Each case once: what counts is the peak of a long run."""
    make_file(bench.served / "first", 1024)
    seconds = bench.settings.slow_seconds
    cases: dict[str, Case] = {
        SLOW: lambda: slow_reader(bench, seconds, None),
        SMALL_WINDOW: lambda: slow_reader(
            bench, min(seconds, LEAST_SECONDS), 16 * 1024, "--stall-timeout", "5"
        ),
        PUT: lambda: slow_put(bench),
    }
    table = Table("Server memory above rest (PSS), peak", "MiB").run(cases, 1, warm=0)
    for label in cases:
        bench.judge(
            f"{label}: memory above rest, MiB", table.median(label), 8, most=True, failed=table.broke(label)
        )
