"""Thousands of sessions that say nothing: what each costs the server, and how fast they are accepted."""

from __future__ import annotations

import gc
import selectors
import socket
import time
from collections.abc import Callable, Iterable
from itertools import count

from . import ours
from .frame import Bench, Case, Table
from .peers import PEERS, bare_twisted
from .processes import Server
from .steps import Refused

OURS, BARE = "ftplite", "bare Twisted LineReceiver that greets"
PEERS_MEASURED = ("pyftpdlib", "twisted.protocols.ftp", "aioftp")
WARM_UP = 20


class Idle:
    """One kind of server, a fresh process each run; a run yields all three figures."""

    def __init__(self, bench: Bench, start: Callable[[Bench], Server]) -> None:
        self.bench, self.start = bench, start
        self.accepted: list[float] = []
        self.further: list[float] = []

    def memory(self) -> float:
        """KiB for each session above the server that has served a few and is empty again.

        What its start left free of its heap is filled first, so the later ones are also told apart.
        """
        number = self.bench.settings.sessions
        with self.bench.scope() as inner:
            server = self.start(inner)
            drop(open_idle(server.port, WARM_UP)[0])
            time.sleep(0.5)
            rest = server.memory()
            gc.disable()  # here, not in the server: this process makes thousands of sockets
            first, seconds = open_idle(server.port, max(1, number // 5))
            time.sleep(0.5)
            part = server.memory()
            others, more_seconds = open_idle(server.port, number - len(first))
            gc.enable()
            time.sleep(0.5)
            whole = server.memory()
            drop(first + others)
        self.accepted.append(number / (seconds + more_seconds))
        self.further.append((whole - part) / max(1, len(others)) / 1024)
        return (whole - rest) / number / 1024


def open_idle(port: int, number: int, flight: int = 64) -> tuple[list[socket.socket], float]:
    """``number`` connections that were greeted, ``flight`` under way at a time; and the seconds it took."""
    selector = selectors.EpollSelector()
    numbers = count()
    opened: list[socket.socket] = []

    def begin() -> None:
        if next(numbers) < number:
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
            selector.register(one, selectors.EVENT_READ)

    start = time.perf_counter()
    for _ in range(flight):
        begin()
    while len(opened) < number:
        events = selector.select(20)
        if not events:
            raise Refused(f"no greeting after {len(opened)} sessions")
        for key, _ in events:
            one = key.fileobj
            assert isinstance(one, socket.socket)
            words = one.recv(4096)
            if not words.endswith(b"\n") or words.startswith((b"ERROR", b"4", b"5")):
                raise Refused(f"after {len(opened)} sessions: {words!r}")
            selector.unregister(one)
            opened.append(one)
            begin()
    return opened, time.perf_counter() - start


def drop(sockets: Iterable[socket.socket]) -> None:
    """Reset all of them, so that none keeps its port in TIME_WAIT."""
    for one in sockets:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        one.close()


def run(bench: Bench) -> None:
    """Three tables from the same runs."""
    kinds: dict[str, Callable[[Bench], Server]] = {BARE: bare_twisted, OURS: ours.server}
    kinds |= {name: PEERS[name] for name in PEERS_MEASURED}
    idle = {label: Idle(bench, start) for label, start in kinds.items()}
    cases: dict[str, Case] = {label: each.memory for label, each in idle.items()}
    sessions = f"{bench.settings.sessions:,} idle sessions"
    memory = Table(f"{sessions}: memory (PSS) for each above the empty server", "KiB", BARE)
    memory.run(cases, bench.settings.runs, warm=0)

    further = Table(f"{sessions}: memory (PSS) for each above the first fifth of them", "KiB", BARE)
    further.show({label: each.further for label, each in idle.items()})
    accepted = Table(f"{sessions}: greeted a second", "sessions/s", BARE)
    accepted.show({label: each.accepted for label, each in idle.items()})
    bench.judge(
        f"{sessions}: memory for each, KiB", memory.median(OURS), 8, most=True, failed=memory.broke(OURS)
    )
    bench.judge(
        f"{sessions}: memory for each above the first fifth, KiB",
        further.median(OURS),
        8,
        most=True,
        failed=memory.broke(OURS),
    )
