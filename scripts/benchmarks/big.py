"""One big file, page cache warm, tmpfs: to nowhere, to a file, from a file, and once with a real disk."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from . import ours
from .frame import Bench, Case, Table, say
from .loops import BareLoops, copy_and_sync
from .machine import check_file, make_file, warm_pages
from .peers import PEERS, Peer
from .processes import Server, timed
from .steps import finish
from .wire import connect

RECEIVE, SPLICE_NULL = "bare sendfile → recv_into", "bare sendfile → splice, null device"
SPLICE_FILE, RECEIVE_FILE = "bare sendfile → splice, file", "bare sendfile → recv_into, write, file"
SERVER_SINK, BOTH_NULL = "ftplite server → bare sink", "ftplite server → ftplite library, null device"
BOTH_GET, BOTH_PUT = "ftplite server → ftplite library, file", "ftplite library → ftplite server"
SOURCE_SERVER = "bare sendfile source → ftplite server"
COMMAND = "ftplite-client, start-up included"
NONE, DEFAULT = ", no checksum", ", xxh128 as by default"
"""Behind the rows of our library and command; the bars are older than checksums, and for none."""


class Ours:
    """Our server, started when it is first measured, and what can be done with it."""

    def __init__(self, bench: Bench, source: Path, root: Path | None = None) -> None:
        self.bench, self.source, self.root = bench, source, root or bench.served
        self.size = source.stat().st_size
        self._server: Server | None = None
        self._compared = False

    @property
    def port(self) -> int:
        """Where it serves."""
        if self._server is None:
            self._server = ours.server(self.bench, root=self.root)
        return self._server.port

    def library(self) -> ours.Library:
        """A client that has connected when its block begins."""
        return ours.Library(self.bench, self.port)

    def command(self, *options: str) -> list[str]:
        """The command on the server, but for what it shall do."""
        return [*ours.client_command(), *options, "127.0.0.1", str(self.port)]

    def to_sink(self) -> float:
        """Down into one reused buffer, connecting included; GB/s.  The first run compares every byte."""
        port, original = self.port, None if self._compared else self.source
        start = time.perf_counter()
        session = connect(port)
        total = finish(session.get_big(self.source.name, original))
        seconds = time.perf_counter() - start
        session.close()
        self._compared = True
        return self._figure(total, seconds)

    def from_sendfile(self) -> float:
        """Up by sendfile, connecting included; GB/s."""
        port, target = self.port, self.root / "up" / "ftplite.bin"
        target.unlink(missing_ok=True)
        warm_pages(self.bench.folder, self.size)
        start = time.perf_counter()
        session = connect(port)
        total = finish(session.put_big(self.source, "up/ftplite.bin"))
        seconds = time.perf_counter() - start
        session.close()
        check_file(target, self.source)
        return self._figure(total, seconds)

    def get_to_nowhere(self, **wishes: str) -> float:
        """The library, to the null device; GB/s.  By a link: a client that renames replaces only that.

        ``wishes`` are those of the driver, here and below: ``checksum``.
        """
        null = self.bench.local / "null"
        null.unlink(missing_ok=True)
        null.symlink_to(os.devnull)
        with self.library() as library:
            done = library.do(do="get", name=self.source.name, target=str(null), **wishes)
        if not null.is_char_device():
            null.unlink()
            raise AssertionError("the client wrote a file in place of the null device")
        return self._figure(done["size"], done["seconds"])

    def get_to_file(self, folder: Path | None = None, **wishes: str) -> float:
        """The library, to a new file; GB/s."""
        target = (folder or self.bench.local) / "ftplite"
        with self.library() as library:
            if folder is None:
                warm_pages(self.bench.folder, self.size)
            done = library.do(do="get", name=self.source.name, target=str(target), **wishes)
        check_file(target, self.source)
        return self._figure(done["size"], done["seconds"])

    def put_from_file(self, *, disk: bool = False, **wishes: str) -> float:
        """The library, from a file to a new one; GB/s."""
        target = self.root / "up" / "ftplite.bin"
        target.unlink(missing_ok=True)
        with self.library() as library:
            if not disk:
                warm_pages(self.bench.folder, self.size)
            done = library.do(do="put", source=str(self.source), name="up/ftplite.bin", **wishes)
        check_file(target, self.source)
        return self._figure(done["size"], done["seconds"])

    def command_get(self, *options: str) -> float:
        """The command, to a new file; GB/s, Python's start-up included."""
        target = self.bench.local / "command"
        words = [*self.command(*options), "get", self.source.name, str(target)]
        warm_pages(self.bench.folder, self.size)
        seconds = timed(self.bench, words)
        check_file(target, self.source)
        return self.size / seconds / 1e9

    def command_put(self, *options: str) -> float:
        """The command, from a file to a new one; GB/s, Python's start-up included."""
        target = self.root / "up" / "ftplite.bin"
        target.unlink(missing_ok=True)
        warm_pages(self.bench.folder, self.size)
        seconds = timed(self.bench, [*self.command(*options), "put", str(self.source), "up/ftplite.bin"])
        check_file(target, self.source)
        return self.size / seconds / 1e9

    def _figure(self, total: int, seconds: float) -> float:
        if total != self.size:
            raise AssertionError(f"{total} of {self.size} bytes")
        return total / seconds / 1e9


def run(bench: Bench) -> None:
    """All tables of this theme."""
    source = make_file(bench.served / "big", bench.settings.size)
    loops = BareLoops(bench, source)
    mine = Ours(bench, source)
    peers = [Peer(bench, name) for name in PEERS]
    nowhere(bench, loops, mine, peers)
    down(bench, loops, mine, peers)
    up(bench, loops, mine, peers)
    disk(bench, source)


def _title(bench: Bench, what: str) -> str:
    return f"{bench.settings.size >> 20} MiB {what}"


def nowhere(bench: Bench, loops: BareLoops, mine: Ours, peers: list[Peer]) -> None:
    """Downloads that nobody keeps: the server and the wire alone."""
    source = mine.source
    cases: dict[str, Case] = {
        RECEIVE: loops.received,
        SPLICE_NULL: loops.spliced_to_nowhere,
        SERVER_SINK: mine.to_sink,
        BOTH_NULL + NONE: partial(mine.get_to_nowhere, checksum="none"),
        BOTH_NULL + DEFAULT: mine.get_to_nowhere,
    }
    cases |= {f"{peer.name} → bare sink": partial(peer.to_sink, source) for peer in peers}
    cases |= {f"{peer.name} → curl": partial(peer.curl_down, source, None) for peer in peers}
    table = Table(_title(bench, "to nowhere"), "GB/s", RECEIVE).run(cases, bench.settings.runs)
    against = "ratio to bare sendfile → recv_into"
    for target, label, limit in (
        (f"server alone → bare sink, {against}", SERVER_SINK, 0.95),
        (f"client and server → null device{NONE}, {against}", BOTH_NULL + NONE, 1.5),
    ):
        bench.judge(target, table.ratio(label), limit, failed=table.broke(label))
    measured = [table.median(each) for each in cases if each.startswith(tuple(PEERS))]
    best = max((each for each in measured if each is not None), default=None)
    own = table.median(BOTH_NULL + NONE)
    bench.judge(
        f"client and server → null device{NONE}, ratio to the best peer",
        own / best if own and best else None,
        1.0,
        failed=table.broke(BOTH_NULL + NONE),
    )


def down(bench: Bench, loops: BareLoops, mine: Ours, peers: list[Peer]) -> None:
    """Downloads to a new file on tmpfs."""
    source, target = mine.source, bench.local / "curl"
    cases: dict[str, Case] = {
        SPLICE_FILE: loops.spliced_to_file,
        RECEIVE_FILE: loops.received_to_file,
        BOTH_GET + NONE: partial(mine.get_to_file, checksum="none"),
        BOTH_GET + DEFAULT: mine.get_to_file,
        COMMAND + NONE: partial(mine.command_get, "--checksum", "none"),
        COMMAND + DEFAULT: mine.command_get,
    }
    cases |= {f"{peer.name} → curl": partial(peer.curl_down, source, target) for peer in peers}
    table = Table(_title(bench, "down to a file on tmpfs"), "GB/s", SPLICE_FILE).run(
        cases, bench.settings.runs
    )
    _judge_against_splice(bench, table, "get to a file", BOTH_GET)


def up(bench: Bench, loops: BareLoops, mine: Ours, peers: list[Peer]) -> None:
    """Uploads from a file to a new one, both on tmpfs."""
    source = mine.source
    cases: dict[str, Case] = {
        SPLICE_FILE: loops.spliced_to_file,
        RECEIVE_FILE: loops.received_to_file,
        BOTH_PUT + NONE: partial(mine.put_from_file, checksum="none"),
        BOTH_PUT + DEFAULT: mine.put_from_file,
        SOURCE_SERVER: mine.from_sendfile,
    }
    cases |= {f"bare sendfile source → {peer.name}": partial(peer.from_sendfile, source) for peer in peers}
    cases |= {f"curl → {peer.name}": partial(peer.curl_up, source) for peer in peers}
    table = Table(_title(bench, "up to a file on tmpfs"), "GB/s", SPLICE_FILE).run(cases, bench.settings.runs)
    _judge_against_splice(bench, table, "put from a file", BOTH_PUT)


def _judge_against_splice(bench: Bench, table: Table, what: str, label: str) -> None:
    target = f"{what}{NONE}, ratio to bare sendfile → splice to a file"
    bench.judge(target, table.ratio(label + NONE), 0.85, failed=table.broke(label + NONE))


@contextmanager
def disk_folder(size: int) -> Iterator[Path | None]:
    """A folder on a disk with room, in the one that BENCH_DISK names or the temporary one; None on tmpfs."""
    base = Path(os.environ.get("BENCH_DISK", tempfile.gettempdir()))
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    holders = [(len(point), kind) for point, kind in mounts if base.resolve().is_relative_to(point)]
    if max(holders, default=(0, "tmpfs"))[1] in ("tmpfs", "ramfs") or shutil.disk_usage(base).free < 3 * size:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="ftplite-bench-", dir=base))
    try:
        (folder / "up").mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def disk(bench: Bench, source: Path) -> None:
    """What durability costs: a put and a get onto a real disk, beside `cp` and fsync."""
    with disk_folder(bench.settings.size) as folder:
        if folder is None:
            say("  no disk with room beside tmpfs: BENCH_DISK names a folder on one")
            return
        with bench.scope() as inner:
            to_disk, from_memory = Ours(inner, source, folder), Ours(inner, source)

            def copied() -> float:
                target = folder / "cp"
                seconds = copy_and_sync(source, target)
                check_file(target, source)
                return bench.settings.size / seconds / 1e9

            cases: dict[str, Case] = {
                "cp, then fsync": copied,
                "ftplite put onto the disk": lambda: to_disk.put_from_file(disk=True),
                "ftplite get onto the disk": lambda: from_memory.get_to_file(folder),
            }
            table = Table(_title(bench, "onto a real disk"), "GB/s", "cp, then fsync")
            table.run(cases, bench.settings.runs)
