"""A wide-area link: each congestion control at each loss, beside lftp and curl; buffers that are told."""

from __future__ import annotations

import itertools
import statistics
from dataclasses import replace
from functools import partial
from pathlib import Path

from . import ours
from .data import keep
from .frame import MIB, Bench, Case, NotInstalled, Table, number
from .link import SERVER, Course, Link
from .machine import check_file, make_file
from .peers import Peer, command
from .processes import Server, timed

RATE, ROUND_TRIP, FAR = 200e6, 0.05, 0.1
LOSSES = (0.0, 0.001, 0.005, 0.02)
SIZES = {"cubic": (128, 20, 4, 2), "bbr": (128, 128, 96, 64)}
"""MB that are moved at each loss: some seconds' worth."""

BUFFERS = {"256Ki": 16, "1Mi": 64, "4Mi": 96}
"""Of both sides, and the MB that are moved."""
AUTOTUNING, AUTOTUNED = "the kernel's autotuning", 96
ROOMY = "the same, tcp_wmem up to 16Mi"

RUNS = 2
OPENLY = ("--anonymous", "write", "--allow-root")
"""What it takes beyond loopback."""


class Wan:
    """Servers on one host of a link, clients on the other."""

    def __init__(self, bench: Bench) -> None:
        """Raises `NotInstalled` where there can be no link."""
        self.bench, self.link = bench, Link(bench)
        bench.host = SERVER
        self.vsftpd = Peer(bench, "vsftpd")
        self._servers: dict[tuple[str, ...], Server] = {}

    def over(self, course: Course, case: Case) -> Case:
        """The same over such a link, of which each run has a seed: one that all cases of a table share."""
        seeds = itertools.count(course.seed)

        def run() -> float:
            with self.link.carried(replace(course, seed=next(seeds))):
                return case()

        return run

    def server(self, *options: str) -> Server:
        """Ours with these options, started when it is first asked for."""
        if options not in self._servers:
            name = "-".join(["ftplite", *(each.strip("-") for each in options)])
            with self.link.server.entered():
                self._servers[options] = ours.server(self.bench, *OPENLY, *options, name=name)
        return self._servers[options]

    def source(self, size: int) -> Path:
        """A file of so many MB."""
        return make_file(self.bench.served / f"{size}M", size * 10**6)

    def get(self, size: int, server: tuple[str, ...] = (), client: tuple[str, ...] = ()) -> float:
        """By our command; Mbit/s, as all of these, start-up included."""
        source, target = self.source(size), self.bench.local / "got"
        return self._ours(server, client, ["get", source.name, str(target)], source, target)

    def roomy(self, size: int) -> Case:
        """A get whose sender's kernel may make its buffers larger than usual by itself."""

        def run() -> float:
            with self.link.server.setting("tcp_wmem", f"4096 16384 {16 * MIB}"):
                return self.get(size)

        return run

    def put(self, size: int, server: tuple[str, ...] = (), client: tuple[str, ...] = ()) -> float:
        """Likewise."""
        source = self.source(size)
        return self._ours(
            server, client, ["put", str(source), "up/put"], source, self.bench.served / "up" / "put"
        )

    def _ours(
        self,
        server: tuple[str, ...],
        client: tuple[str, ...],
        words: list[str],
        source: Path,
        target: Path,
    ) -> float:
        running = self.server(*server)
        address = [running.host, str(running.port)]
        with self.link.client.entered():
            seconds = timed(self.bench, [*ours.client_command(), *client, *address, *words])
        check_file(target, source)
        return source.stat().st_size * 8 / seconds / 1e6

    def _peer(self) -> Peer:
        with self.link.server.entered():
            _ = self.vsftpd.server
        return self.vsftpd

    def curl_get(self, size: int) -> float:
        """From vsftpd."""
        peer, source = self._peer(), self.source(size)
        with self.link.client.entered():
            return peer.curl_down(source, self.bench.local / "curl") * 8000

    def curl_put(self, size: int) -> float:
        """To it."""
        peer, source = self._peer(), self.source(size)
        with self.link.client.entered():
            return peer.curl_up(source) * 8000

    def lftp_get(self, size: int) -> float:
        """From vsftpd."""
        source, target = self.source(size), self.bench.local / "lftp"
        return self._lftp(f"get {source.name} -o {target}", source, target)

    def lftp_put(self, size: int) -> float:
        """To it."""
        source = self.source(size)
        return self._lftp(f"put {source} -o up/lftp", source, self.bench.served / "up" / "lftp")

    def _lftp(self, script: str, source: Path, target: Path) -> float:
        command("lftp")
        peer = self._peer()
        with self.link.client.entered():
            seconds = peer.lftp(script)
        check_file(target, source)
        return source.stat().st_size * 8 / seconds / 1e6


def cases_at(wan: Wan, index: int) -> dict[str, Case]:
    """All of the matrix's at one loss."""
    cubic, bbr = SIZES["cubic"][index], SIZES["bbr"][index]
    by_cubic, by_bbr = ("--congestion", "cubic"), ("--congestion", "bbr")
    return {
        "get: ftplite, bbr": partial(wan.get, bbr, server=by_bbr),
        "get: ftplite, cubic": partial(wan.get, cubic, server=by_cubic),
        "get: lftp, vsftpd, cubic": partial(wan.lftp_get, cubic),
        "get: curl, vsftpd, cubic": partial(wan.curl_get, cubic),
        "put: ftplite, bbr": partial(wan.put, bbr, client=by_bbr),
        "put: ftplite, cubic": partial(wan.put, cubic, client=by_cubic),
        "put: lftp, vsftpd, cubic": partial(wan.lftp_put, cubic),
        "put: curl, vsftpd, cubic": partial(wan.curl_put, cubic),
    }


def run(bench: Bench) -> None:
    """The matrix, then the buffers.  Each case twice: it takes long, and seeds tell what is lost."""
    try:
        wan = Wan(bench)
    except NotInstalled as missing:
        print(f"\nwan: {missing}", flush=True)
        return
    tables = []
    for index, loss in enumerate(LOSSES):
        title = f"{RATE / 1e6:.0f} Mbit/s, {ROUND_TRIP * 1000:.0f} ms, {loss * 100:g} % lost"
        course = Course(ROUND_TRIP, RATE, loss)
        cases = {label: wan.over(course, case) for label, case in cases_at(wan, index).items()}
        tables.append(Table(title, "Mbit/s").run(cases, RUNS, warm=0))
    print(matrix(tables), flush=True)
    keep(
        bench,
        "wan",
        unit="Mbit/s",
        rate=RATE / 1e6,
        round_trip=ROUND_TRIP,
        losses=LOSSES,
        figures={each: [table.figures.get(each, []) for table in tables] for each in tables[0].labels},
    )
    judge(bench, tables)
    buffers(bench, wan)


def matrix(tables: list[Table]) -> str:
    """The medians of all, side by side."""
    lines = ["\n### All medians, Mbit/s, by what is lost\n"]
    lines.append("| case |" + "".join(f" {loss * 100:g} % |" for loss in LOSSES))
    lines.append("| --- |" + " --- |" * len(LOSSES))
    for label in tables[0].labels:
        found = [table.median(label) for table in tables]
        lines.append(
            f"| {label} |" + "".join(f" {'-' if each is None else number(each)} |" for each in found)
        )
    return "\n".join(lines)


def judge(bench: Bench, tables: list[Table]) -> None:
    """As fast as the best peer under the same congestion control, and far faster with bbr where it counts."""
    for verb in ("get", "put"):
        for control, index, limit in (("cubic", 0, 0.9), ("bbr", 2, 5.0)):
            table, own = tables[index], f"{verb}: ftplite, {control}"
            peers = [
                table.median(each) for each in table.labels if each.startswith(verb) and "vsftpd" in each
            ]
            best = max((each for each in peers if each is not None), default=None)
            figure = table.median(own)
            bench.judge(
                f"wan, {LOSSES[index] * 100:g} % lost: {own}, ratio to the best peer with cubic",
                figure / best if figure and best else None,
                limit,
                failed=table.broke(own),
            )


def buffers(bench: Bench, wan: Wan) -> None:
    """What it does to tell the kernel how large buffers shall be, where the way is long."""
    cases: dict[str, Case] = {AUTOTUNING: partial(wan.get, AUTOTUNED), ROOMY: wan.roomy(AUTOTUNED)}
    for size, amount in BUFFERS.items():
        sides = {"server": ("--send-buffer", size), "client": ("--receive-buffer", size)}
        cases[f"{size} on both sides"] = partial(wan.get, amount, **sides)
    title = f"{RATE / 1e6:.0f} Mbit/s, {FAR * 1000:.0f} ms: get, by the buffers of both sides"
    largest = [*BUFFERS][-1]
    cases[f"{largest} at the sender"] = partial(wan.get, AUTOTUNED, server=("--send-buffer", largest))
    cases[f"{largest} at the receiver"] = partial(wan.get, AUTOTUNED, client=("--receive-buffer", largest))
    cases = {label: wan.over(Course(FAR, RATE), case) for label, case in cases.items()}
    table = Table(title, "Mbit/s", AUTOTUNING).run(cases, RUNS, warm=0)
    keep(
        bench,
        "buffers",
        unit="Mbit/s",
        rate=RATE / 1e6,
        round_trip=FAR,
        default=AUTOTUNING,
        figures=table.figures,
    )
    told = [
        statistics.median(each) for label, each in table.figures.items() if label not in (AUTOTUNING, ROOMY)
    ]
    for label, what in ((AUTOTUNING, AUTOTUNING), (ROOMY, f"{AUTOTUNING}, tcp_wmem up to 16Mi")):
        own = table.median(label)
        bench.judge(
            f"wan, {FAR * 1000:.0f} ms: {what}, ratio to the best size that was told",
            own / max(told) if own and told else None,
            0.9,
            failed=table.broke(label),
        )
