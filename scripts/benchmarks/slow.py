"""Memory of both sides while a reader or a disk is slow, by its speed; plain, and inside TLS."""

from __future__ import annotations

import subprocess
import time
from functools import partial

from . import ours
from .data import keep
from .frame import MIB, Bench, Case, Table
from .machine import die_with_parent
from .memory import slow_put
from .processes import Peak, Server, environment, proportional_size
from .secure import Secured

READERS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
DISKS = (1_000_000, 10_000_000, 100_000_000)
"""Bytes a second; a disk gets 1 MiB at a time."""

SECONDS = 4.0
"""How long each of those is watched."""

PLAIN, TLS = "", " inside TLS"


class Client:
    """`ftplite-client`, which is told commands one after another, and whose output is read slowly."""

    def __init__(self, bench: Bench, server: Server, *options: str) -> None:
        self._process = subprocess.Popen(
            [*ours.client_command(), *options, server.host, str(server.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
            bufsize=0,
            env=environment(bench),
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for each in (self._process.stdin, self._process.stdout):
            if each is not None:
                each.close()

    def memory(self) -> int:
        """Bytes."""
        return proportional_size(self._process.pid)

    def settle(self) -> None:
        """One small transfer and a moment: what it holds then is at rest."""
        self._ask("get first -")
        self._take(1024)
        time.sleep(0.3)

    def read_slowly(self, rate: int, seconds: float) -> None:
        """Get a big file to the pipe, of which so many bytes a second are taken."""
        self._ask("get big -")
        self._take(1)
        pause, total, start = (0.1 if rate < MIB else 0.005), 0, time.monotonic()
        while (passed := time.monotonic() - start) < seconds:
            while total < passed * rate:
                total += self._take(min(max(100, rate // 100), MIB))
            time.sleep(pause)

    def _ask(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    def _take(self, count: int) -> int:
        assert self._process.stdout is not None
        taken = len(self._process.stdout.read(count) or b"")
        if not taken:
            raise RuntimeError("the client's output has ended")
        return taken


class Slow:
    """A reader of each speed, once: each gives two figures, the server's and the client's."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._clients: dict[tuple[str, int], float] = {}

    def server(self, how: str, rate: int) -> float:
        """MiB that the server holds above rest."""
        with self._bench.scope() as inner:
            options: tuple[str, ...] = ()
            if how == TLS:
                server, pin = Secured(inner).server()
                options = ("--pin", pin)
            else:
                server = ours.server(inner)
            with Client(inner, server, *options) as client:
                client.settle()
                with Peak(server) as servers, Peak(client) as clients:
                    client.read_slowly(rate, self.seconds(rate))
        self._clients[how, rate] = clients.above / MIB
        return servers.above / MIB

    def client(self, how: str, rate: int) -> float:
        """MiB that the client held above rest in the same run."""
        return self._clients[how, rate]

    def put(self, rate: int) -> float:
        """MiB above rest of a server whose disk is slow."""
        return slow_put(self._bench, rate, self.seconds(rate))

    def seconds(self, rate: int) -> float:
        """So long that the big file is not at its end."""
        return min(SECONDS, self._bench.settings.size / 2 / rate)


def memory(bench: Bench) -> None:
    """One table of all, and the figures for a picture."""
    slow = Slow(bench)
    rows: dict[str, dict[int, str]] = {}
    cases: dict[str, Case] = {}

    def add(series: str, rate: int, case: Case) -> None:
        label = f"{series}, {rate / 1000:,g} kB/s"
        rows.setdefault(series, {})[rate] = label
        cases[label] = case

    for how in (PLAIN, TLS):
        for rate in READERS:
            add(f"get{how}: the server", rate, partial(slow.server, how, rate))
            add(f"get{how}: the client", rate, partial(slow.client, how, rate))
    for rate in DISKS:
        add("put to a slow disk: the server", rate, partial(slow.put, rate))
    table = Table("Memory above rest (PSS), peak, by the slow side's speed", "MiB")
    table.run(cases, 1, warm=0)
    figures = {
        series: [[rate, table.median(label)] for rate, label in labels.items()]
        for series, labels in rows.items()
    }
    keep(bench, "memory", unit="MiB", figures=figures)
    found = [each for each in map(table.median, cases) if each is not None]
    bench.judge(
        "memory above rest, whatever the slow side's speed, MiB", max(found, default=None), 8, most=True
    )
