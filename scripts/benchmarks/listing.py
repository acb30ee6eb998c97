"""A directory of very many names: when the first byte of its listing comes, and what the server holds."""

from __future__ import annotations

import ftplib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from . import ours
from .frame import MIB, Bench, Case, Table, say
from .machine import make_file
from .peers import Peer
from .processes import Peak, Server
from .steps import finish
from .wire import READY, Session, connect

FOLDER = "many"
MOST = 64
"""MiB of server memory above rest."""

STOPPED = 3.0
"""Seconds that a reader stops for: the server must have filled all that there is to fill."""

SOON = 1.5
"""Times what Python takes to read and sort the names: a listing is sorted, so nothing can come before."""


class Figures(NamedTuple):
    """Of one listing."""

    first: float
    """Milliseconds until the first byte."""
    whole: float
    """Seconds until the last one."""


class Listings:
    """The directory, and who lists it."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.count = bench.settings.names
        self.pyftpdlib = Peer(bench, "pyftpdlib")
        self._server: Server | None = None
        folder = bench.served / FOLDER
        folder.mkdir(exist_ok=True)
        say(f"  {self.count:,} files are made")
        for each in range(self.count):
            with (folder / f"name {each:06d}").open("wb"):
                pass
        self.whole: dict[str, list[float]] = {}

    @property
    def server(self) -> Server:
        """Ours, which has worked before."""
        if self._server is None:
            self._server = settled(self.bench)
        return self._server

    def sorted_here(self) -> float:
        """What sorting the names costs a Python that does nothing else; milliseconds."""
        began = time.perf_counter()
        sorted(os.listdir(os.fsencode(self.bench.served / FOLDER)))
        return (time.perf_counter() - began) * 1000

    def scanned_here(self) -> float:
        """The same with the kind of each, as a listing tells it."""
        began = time.perf_counter()
        with os.scandir(os.fsencode(self.bench.served / FOLDER)) as entries:
            sorted((each.name, each.is_dir(follow_symlinks=False)) for each in entries)
        return (time.perf_counter() - began) * 1000

    def plain(self) -> float:
        """`ls`; milliseconds until the first byte."""
        return self._note("ls", listed(self.server.port, self.count))

    def json(self) -> float:
        """`ls` with `Format: json`."""
        return self._note("ls, json", listed(self.server.port, self.count, "Format: json"))

    def peer(self, command: str) -> float:
        """pyftpdlib, by ftplib."""
        return self._note(f"pyftpdlib, {command}", listed_by_ftp(self.pyftpdlib.server.port, command))

    def _note(self, label: str, figures: Figures) -> float:
        self.whole.setdefault(label, []).append(figures.whole)
        return figures.first

    def memory(self, *fields: str, stop: bool) -> float:
        """MiB above rest of a fresh server, at its peak, while one lists, or reads a little and stops."""
        with self.bench.scope() as inner:
            server = settled(inner)
            with Peak(server) as peak:
                if stop:
                    stopped(server.port, *fields)
                else:
                    listed(server.port, self.count, *fields)
            return peak.above / MIB

    def left_over(self) -> float:
        """MiB above rest two seconds after a reader that stopped has gone."""
        with self.bench.scope() as inner:
            server = settled(inner)
            rest = server.memory()
            stopped(server.port, "Format: json")
            time.sleep(2)
            return (server.memory() - rest) / MIB

    def peer_memory(self, command: str) -> float:
        """The same of pyftpdlib, while it lists."""
        with self.bench.scope() as inner:
            server = Peer(inner, "pyftpdlib").server
            time.sleep(0.5)
            with Peak(server) as peak:
                listed_by_ftp(server.port, command)
            return peak.above / MIB


def settled(bench: Bench) -> Server:
    """A server that has listed something, and rests."""
    server = ours.server(bench)
    few = bench.served / "few"
    few.mkdir(exist_ok=True)
    make_file(few / "one", 1)
    session = connect(server.port)
    finish(session.ls("few"))
    session.close()
    time.sleep(0.3)
    return server


def begun(session: Session, *fields: str) -> None:
    """Ask for the listing; its first bytes may be on their way when this returns."""
    told = "".join(f"{each}\n" for each in fields).encode()
    session.control.sendall(b"ls %s\n%s%s" % (FOLDER.encode(), told, session.port))
    finish(session.success(READY))


def listed(port: int, count: int, *fields: str) -> Figures:
    """One whole listing; raises where it has not all names."""
    session = connect(port)
    began = time.perf_counter()
    begun(session, *fields)
    with finish(session.accept()) as data:
        buffer, lines = bytearray(MIB), 0
        taken = data.recv_into(buffer)
        first = (time.perf_counter() - began) * 1000
        while taken:
            lines += buffer.count(b"\n", 0, taken)
            taken = data.recv_into(buffer)
    whole = time.perf_counter() - began
    finish(session.expect("Transfer complete: "))
    session.control.sendall(f"Transfer complete: {FOLDER}\n".encode())
    finish(session.success("Listing complete."))
    session.close()
    if lines != count:
        raise AssertionError(f"{lines:,} of {count:,} names")
    return Figures(first, whole)


def stopped(port: int, *fields: str) -> None:
    """Read a little of a listing, then nothing for seconds, then hang up."""
    session = connect(port, receive_buffer=64 * 1024)
    begun(session, *fields)
    with finish(session.accept()) as data:
        data.recv(1000)
        time.sleep(STOPPED)
    session.close()


def listed_by_ftp(port: int, command: str) -> Figures:
    """The same from an FTP server, login not included."""
    control = ftplib.FTP()
    control.connect("127.0.0.1", port, timeout=120)
    control.login()
    began = time.perf_counter()
    with control.transfercmd(f"{command} {FOLDER}") as data:
        data.recv(1)
        first = (time.perf_counter() - began) * 1000
        while data.recv(MIB):
            pass
    whole = time.perf_counter() - began
    with suppress(ftplib.Error):
        control.voidresp()
    control.close()
    return Figures(first, whole)


def run(bench: Bench) -> None:
    """Three tables: the first byte, the last one, memory."""
    many = Listings(bench)
    names = f"{many.count:,} names"
    cases: dict[str, Case] = {
        "bare: names read and sorted": many.sorted_here,
        "bare: names and kinds read and sorted": many.scanned_here,
        "ftplite, ls": many.plain,
        "ftplite, ls in json": many.json,
        "pyftpdlib, LIST": lambda: many.peer("LIST"),
        "pyftpdlib, MLSD": lambda: many.peer("MLSD"),
    }
    first = Table(f"{names}: until the first byte", "ms", "bare: names and kinds read and sorted")
    first.run(cases, bench.settings.runs)
    for label in ("ftplite, ls", "ftplite, ls in json"):
        target = f"{label} of {names}: first byte, ratio to reading and sorting them"
        bench.judge(target, first.ratio(label), SOON, most=True, failed=first.broke(label))
    Table(f"{names}: until the last byte", "s").show(many.whole)

    held: dict[str, Callable[[], float]] = {
        "ftplite, ls": lambda: many.memory(stop=False),
        "ftplite, ls in json": lambda: many.memory("Format: json", stop=False),
        "ftplite, ls, a reader that stops": lambda: many.memory(stop=True),
        "ftplite, ls in json, a reader that stops": lambda: many.memory("Format: json", stop=True),
        "ftplite, 2 s after a reader that stopped": many.left_over,
        "pyftpdlib, LIST": lambda: many.peer_memory("LIST"),
    }
    title = f"{names}: server memory above rest (PSS), peak"
    memory = Table(title, "MiB").run(held, max(1, bench.settings.runs // 2), warm=0)
    for label in held:
        if label.startswith("ftplite"):
            target = f"{label}, {names}: memory above rest, MiB"
            bench.judge(target, memory.median(label), MOST, most=True, failed=memory.broke(label))
    for each in Path(bench.served / FOLDER).iterdir():
        each.unlink()
