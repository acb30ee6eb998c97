"""Each thing that a transfer can wait for is made the slowest in turn, and both sides name it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from harness import Server, blocking
from library import in_reactor, reactor, session_with
from pki import authority_file, server_files
from raw import Session
from soaks import CannotRun, cut

from twisted_ftplite.client import Session as Client
from twisted_ftplite.client.session import TLS
from twisted_ftplite.client.wishes import Transfer
from twisted_ftplite.flow.observing import WORTH_TELLING
from twisted_ftplite.server.service import Config, FTPLiteService

MB = 1_000_000
FAR = str(Path(__file__).with_name("far.py"))
PAUSE = 0.02
"""Seconds that a slow disk takes for each piece."""

SLOW_SIZE = 10 * MB
"""Bytes that keep it busy for the better part of a second."""


class SlowSource:
    """What a put reads, piece by piece."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, count: int) -> bytes:
        time.sleep(PAUSE)
        count = min(count, self._left)
        self._left -= count
        return bytes(count)

    def close(self) -> None:
        """Nothing to close."""


class Nowhere:
    """A `WriteHandle` that keeps nothing."""

    waits = True

    def fileno(self) -> None:
        """Nothing can be spliced."""

    def write(self, data: object) -> None:
        """Forget it."""

    def spliced(self, count: int) -> None:
        raise NotImplementedError

    def sync(self) -> None:
        """Nothing to sync."""

    def publish(self) -> None:
        """Nobody will find it."""

    def discard(self) -> None:
        """As ever."""


class SlowTarget(Nowhere):
    def write(self, data: object) -> None:
        time.sleep(PAUSE)


class Slow:
    """Anything of the storage's, reading and writing slowly, and nothing uncopied."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return (lambda *args: Slow(found(*args))) if name in ("open_read", "open_write") else found

    def open_read_now(self, path: object) -> None:
        """Nothing is in memory."""

    def fileno(self) -> None:
        """Nothing can be spliced."""

    def read(self, *args: Any) -> Any:
        time.sleep(PAUSE)
        return self._inner.read(*args)

    def write(self, data: Any) -> None:
        time.sleep(PAUSE)
        self._inner.write(data)


@asynccontextmanager
async def slow_server(root: Path) -> AsyncIterator[Client]:
    """A session with a server in this process whose disk is slow."""
    service = FTPLiteService(reactor, Config(root=str(root), endpoints=("tcp:0:interface=127.0.0.1",)))
    service._services.storage = Slow(service._services.storage)  # type: ignore[assignment]
    service.listen()
    service.startService()
    try:
        port = service.ports[0].getHost().port  # type: ignore[attr-defined]
        async with session_with(("127.0.0.1", port)) as session:
            yield session
    finally:
        await service.stopService()


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A folder where a large file costs nothing."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        yield Path(folder)


def make(path: Path, size: int) -> Path:
    with open(path, "wb") as file:
        file.truncate(size)
    return path


def logged(server: Server, verb: str) -> str:
    """What the server's log says of the one transfer that took long."""
    return server.logged(rf" {verb} \S+ SUCCESS .*, limited by (.*)$")[1]


def long_enough(transfer: Transfer) -> str:
    """What limited it.  Skips where this machine is so fast that nobody would ask."""
    if transfer.seconds < 1.2 * WORTH_TELLING:
        pytest.skip(f"it took {transfer.seconds:.2f} s")
    return transfer.limited_by


@in_reactor
async def test_the_clients_disk(server: Server) -> None:
    make(server.root / "big", SLOW_SIZE)
    async with session_with(server.address) as session:
        assert (await session.get("big", SlowTarget())).limited_by == "the client's disk"
        assert logged(server, "get") == "the client's disk"
        assert (await session.put(SlowSource(SLOW_SIZE), "up")).limited_by == "the client's disk"
        assert logged(server, "put") == "the client's disk"


@in_reactor
async def test_the_servers_disk(tmp_path: Path) -> None:
    big = make(tmp_path / "big", SLOW_SIZE)
    async with slow_server(tmp_path) as session:
        assert (await session.get("big", Nowhere())).limited_by == "the server's disk"
        assert (await session.put(str(big), "up")).limited_by == "the server's disk"


@in_reactor
async def test_a_checksum(serve: Callable[..., Server], in_memory: Path) -> None:
    make(in_memory / "huge", 1100 * MB)
    server = serve(root=in_memory)
    async with session_with(server.address) as session:
        said = long_enough(await session.get("huge", Nowhere(), checksum="sha256"))
        assert said in ("the server's CPU (checksum)", "the client's CPU", "the client's CPU (checksum)")
        assert "CPU" in logged(server, "get")


@in_reactor
async def test_tls(serve: Callable[..., Server], in_memory: Path, tmp_path: Path) -> None:
    make(in_memory / "huge", 900 * MB)
    server = serve(*server_files(tmp_path), root=in_memory)
    tls = TLS(authority_file(tmp_path))
    async with session_with(("localhost", server.address[1]), tls=tls) as session:
        said = long_enough(await session.get("huge", Nowhere(), checksum=None))
        assert said in ("the server's CPU (TLS)", "the client's CPU (TLS)")
        assert logged(server, "get").endswith("CPU (TLS)")


def begin(session: Session, name: str, **options: Any) -> Any:
    """A get by somebody who has asked for the features: the data channel."""
    session.send("features")
    while session.line() != "SUCCESS: Features listed.":
        pass
    return session.begin(f"get {name}", "SUCCESS: Ready to send.", **options)


def finish(session: Session, name: str, *lines: str) -> str:
    """What the server says that limited it, and the rest of the transfer."""
    while not (line := session.line()).startswith("Limited by: "):
        pass
    session.expect(f"Transfer complete: {name}")
    session.send(*lines, f"Transfer complete: {name}")
    session.expect("SUCCESS: File transferred successfully.")
    return line.partition(": ")[2]


@blocking
def test_the_receivers_window(server: Server) -> None:
    make(server.root / "huge", 3 * MB)
    with server.session() as session, begin(session, "huge", receive_buffer=2048) as data:
        began = time.monotonic()
        taken = 0
        while piece := data.recv(1 << 20):  # a link that is slower than a processor
            taken += len(piece)
            time.sleep(max(0.0, began + taken / (3 * MB) - time.monotonic()))
        assert finish(session, "huge", "Limited by: network") == "receiver"
    assert logged(server, "get") == "the receiver's window (the client)"


@blocking
def test_the_other_side(server: Server) -> None:
    """A reader that takes its time, and doesn't say why."""
    make(server.root / "big", 20 * MB)
    with server.session() as session, begin(session, "big") as data:
        began = time.monotonic()
        taken = 0
        while piece := data.recv(1 << 20):
            taken += len(piece)
            time.sleep(max(0.0, began + taken / (20 * MB) - time.monotonic()))
        assert finish(session, "big") == "receiver"
    assert logged(server, "get") == "the other side"


@blocking
def test_the_other_side_that_sends(server: Server) -> None:
    with server.session() as session, session.begin_put("f", 1000) as data:
        data.sendall(bytes(500))
        threading.Event().wait(0.6)  # it is the time that is told
        data.sendall(bytes(500))
        data.close()
        session.send("Transfer complete: f")
        session.expect("Transfer complete: f", "SUCCESS: File transferred successfully.")
    assert logged(server, "put") == "the other side"


@in_reactor
async def test_nothing_is_said_of_short_transfers(server: Server) -> None:
    (server.root / "small").write_bytes(b"abc")
    async with session_with(server.address) as session:
        assert (await session.get("small", Nowhere())).limited_by == ""
    assert not [line for line in server.log if "limited by" in line]


@in_reactor
async def test_a_limit(serve: Callable[..., Server]) -> None:
    server = serve("--limit-rate", "5M")
    big = make(server.root / "big", 4 * MB)
    async with session_with(server.address) as session:
        assert (await session.get("big", Nowhere())).limited_by == "the server's limit"
        assert logged(server, "get") == "the server's limit"
        assert (await session.put(str(big), "up")).limited_by == "the server's limit"
        assert logged(server, "put") == "the server's limit"


def over(link: str, folder: Path, size: int, *options: str) -> list[str]:
    """What both sides of a get over an emulated link say.  Skips where that cannot be had."""
    try:
        words = [cut.wanlink(), *link.split(), "--", sys.executable, FAR, str(folder), str(size), *options]
    except CannotRun as reason:
        pytest.skip(str(reason))
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    return done.stdout.splitlines()


@blocking
def test_the_network(tmp_path: Path) -> None:
    link = "--rtt-ms 20 --rate-mbit 20 --queue-ms 1000"
    assert over(link, tmp_path, 2 * MB) == ["the network", "the network"]


@blocking
def test_network_loss(tmp_path: Path) -> None:
    link = "--rtt-ms 20 --rate-mbit 20 --queue-ms 1000 --loss 0.03"
    assert over(link, tmp_path, 2 * MB) == ["network loss", "network loss"]


@blocking
def test_the_senders_buffer(tmp_path: Path) -> None:
    said = over("--rtt-ms 50 --rate-mbit 200", tmp_path, 2 * MB, "--send-buffer", "32768")
    assert said == ["the network", "the sender's buffer (the server)"]
