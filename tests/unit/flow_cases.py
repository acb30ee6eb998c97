"""What tests of flow/ stand on: a channel over a real socket, and files and handles to move from and to."""

from __future__ import annotations

import os
import socket
import tempfile

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.fakes import HandReactor
from twisted_ftplite.errors import FTPLiteError
from twisted_ftplite.flow.channel import DataChannel
from twisted_ftplite.flow.digest import Digest
from twisted_ftplite.flow.pipes import Pipes
from twisted_ftplite.flow.receiving import Allowance, FileConsumer
from twisted_ftplite.flow.workers import InlineWorkers, Workers
from twisted_ftplite.limits import Limits


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a TCP connection over loopback; ours, which never blocks, and the peer's."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ours = socket.create_connection(listening.getsockname())
        peer, _ = listening.accept()
    ours.setblocking(False)
    peer.settimeout(5)
    return ours, peer


def read_all(sock: socket.socket) -> bytes:
    got = b""
    while piece := sock.recv(1 << 20):
        got += piece
    return got


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


class ChannelCase(SynchronousTestCase):
    limits = Limits()

    def setUp(self) -> None:
        self.reactor = HandReactor()
        ours, self.peer = pair()
        self.addCleanup(self.peer.close)
        self.channel = DataChannel(self.reactor, ours)
        self.addCleanup(self.channel.close)
        self.lost: list[FTPLiteError] = []
        self.channel.on_lost = self.lost.append

    def turn(self) -> None:
        """Until nothing happens any more."""
        for _ in range(1000):
            if not self.reactor.turn(0.02):
                return
        raise AssertionError("something always happens")

    def file(self, content: bytes) -> int:
        """A descriptor of a file with this content, for reading and writing."""
        descriptor, name = tempfile.mkstemp()
        os.unlink(name)
        self.addCleanup(os.close, descriptor)
        os.write(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor

    def read_all(self) -> bytes:
        """What the peer gets to the end of the stream, while the reactor turns."""
        self.peer.setblocking(False)
        got = bytearray()
        for _ in range(100_000):
            self.reactor.turn()
            try:
                piece = self.peer.recv(1 << 20)
            except BlockingIOError:
                continue
            if not piece:
                return bytes(got)
            got += piece
        raise AssertionError("the stream has no end")


class Handle:
    """A `WriteHandle` around a descriptor, or a list; the first ``failure`` is raised by every write."""

    waits = True

    def __init__(self, descriptor: int | None = None, failure: Exception | None = None) -> None:
        self.descriptor = descriptor
        self.failure = failure
        self.written = bytearray()
        self.spliced_in = 0

    def fileno(self) -> int | None:
        return self.descriptor

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.failure is not None:
            raise self.failure
        if self.descriptor is None:
            self.written += data
        else:
            assert os.write(self.descriptor, data) == len(data)

    def read(self, offset: int, count: int) -> bytes:
        if self.descriptor is None:
            return bytes(self.written[offset : offset + count])
        return os.pread(self.descriptor, count, offset)

    @property
    def holds(self) -> bytes:
        """All that was written."""
        return self.read(0, 1 << 30)

    def spliced(self, count: int) -> None:
        self.spliced_in += count

    def sync(self) -> None:
        self.synced = True

    def publish(self) -> None:
        raise NotImplementedError

    def discard(self) -> None:
        raise NotImplementedError


class ReceivingCase(ChannelCase):
    def consume(
        self,
        handle: Handle,
        workers: Workers | None = None,
        *,
        digest: Digest | None = None,
        held: int = 0,
        most: int | None = None,
        allowance: Allowance | None = None,
        **limits: int,
    ) -> FileConsumer:
        bounds = Limits(**limits)  # type: ignore[arg-type]
        self.pipes = Pipes(bounds)
        self.addCleanup(self.pipes.close)
        return FileConsumer(
            self.channel,
            handle,
            workers or InlineWorkers(),
            self.pipes,
            bounds,
            most,
            digest,
            held,
            allowance,
        )

    def send_all(self, content: bytes) -> None:
        """From the peer, while the reactor turns; then the end of the stream."""
        self.peer.setblocking(False)
        rest = memoryview(content)
        for _ in range(100_000):
            if not rest:
                break
            try:
                rest = rest[self.peer.send(rest) :]
            except BlockingIOError:
                self.reactor.turn()
        assert not rest, "nobody takes it"
        self.peer.shutdown(socket.SHUT_WR)
        self.turn()
