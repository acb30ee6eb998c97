"""Producers and consumers under a limit: over a real socket, by a clock that is moved by hand."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from tests.unit.flow_cases import ChannelCase, Handle, ReceivingCase
from twisted_ftplite.flow.buckets import BURST, QUANTUM, Bucket
from twisted_ftplite.flow.channel import DataChannel
from twisted_ftplite.flow.digest import Digest
from twisted_ftplite.flow.movement import move
from twisted_ftplite.flow.rates import Rate
from twisted_ftplite.flow.receiving import FileConsumer
from twisted_ftplite.flow.sending import ContentProducer, FileProducer, PieceProducer, Producer
from twisted_ftplite.flow.shaping import Shaper
from twisted_ftplite.flow.workers import InlineWorkers

RATE = 1e6
SIZE = 300_000
STEP = 0.005


SO_MAX_PACING_RATE = 47


def option(channel: DataChannel, name: int, size: int) -> int:
    """A channel's socket's option."""
    with socket.socket(fileno=os.dup(channel.fileno())) as same:
        return int.from_bytes(same.getsockopt(socket.SOL_SOCKET, name, size), sys.byteorder)


class SendingTests(ChannelCase):
    def setUp(self) -> None:
        super().setUp()
        self.bucket = Bucket(Rate(RATE))
        self.shaper = Shaper(self.reactor)
        self.content = os.urandom(SIZE)

    def limited(self, producer: Producer) -> Producer:
        producer.share = self.shaper.share(self.bucket)
        return producer

    def file_producer(self) -> Producer:
        descriptor = self.file(self.content)
        return self.limited(FileProducer(self.channel, descriptor, 0, SIZE, InlineWorkers(), self.limits))

    def receive(self, done: Deferred[Any]) -> bytes:
        """All that comes, while time passes; never more than the rate allows."""
        done.addCallback(lambda _: self.channel.finish_sending())
        self.peer.setblocking(False)
        got = bytearray()
        while True:
            for _ in range(4):
                self.reactor.turn()
            allowed = RATE * self.reactor.seconds() + max(RATE * BURST, QUANTUM)
            assert self.channel.sent <= allowed, (self.channel.sent, allowed)
            try:
                while piece := self.peer.recv(1 << 20):
                    got += piece
                return bytes(got)
            except BlockingIOError:
                self.reactor.advance(STEP)

    def check(self, producer: Producer) -> None:
        done = producer.start()
        assert self.receive(done) == self.content
        self.successResultOf(done)
        assert 0.2 < self.reactor.seconds() < 0.4
        assert producer.share is not None
        assert producer.share.waited > 0.1
        assert self.reactor.getDelayedCalls() == []

    def test_a_file(self) -> None:
        self.check(self.file_producer())

    def test_what_is_in_memory(self) -> None:
        digest = Digest("xxh128", InlineWorkers())
        self.check(self.limited(ContentProducer(self.channel, self.content, InlineWorkers(), digest)))

    def test_what_is_made_in_pieces(self) -> None:
        pieces = iter([self.content[:200_000], self.content[200_000:], b""])
        self.check(self.limited(PieceProducer(self.channel, pieces.__next__, InlineWorkers())))

    def test_a_small_one_goes_at_once(self) -> None:
        producer = self.limited(ContentProducer(self.channel, b"abc", InlineWorkers()))
        self.successResultOf(producer.start())
        assert self.peer.recv(10) == b"abc"

    def test_nothing_goes_while_the_others_have_all(self) -> None:
        self.bucket.limit = Rate(1)
        moved = move(self.file_producer(), self.reactor, 60.0)
        self.turn()
        taken = self.channel.sent
        for _ in range(500):
            self.reactor.advance(1)
            self.turn()
        self.assertNoResult(moved)  # it is no stall
        moved.addErrback(lambda _: None)
        moved.cancel()
        assert self.channel.sent <= taken + 500
        assert self.reactor.getDelayedCalls() == []
        assert not self.reactor.writers

    def test_lost_while_it_waits(self) -> None:
        self.bucket.limit = Rate(1)
        producer = self.file_producer()
        moved = move(producer, self.reactor, 60.0)
        self.turn()
        self.channel.connectionLost(None)  # type: ignore[arg-type]
        self.failureResultOf(moved)
        self.reactor.advance(1000)
        assert self.reactor.getDelayedCalls() == []

    def test_the_kernel_paces_it(self) -> None:
        if sys.platform != "linux":
            raise self.skipTest("another system's kernel")
        self.bucket.limit = Rate(5e6)
        self.file_producer().start()
        self.turn()
        assert option(self.channel, SO_MAX_PACING_RATE, 8) == 5_500_000
        self.bucket.limit = Rate()
        self.reactor.advance(0.02)
        self.turn()
        assert option(self.channel, SO_MAX_PACING_RATE, 8) == 2**64 - 1


class ConsumingTests(ReceivingCase):
    def limited(self, handle: Handle, **more: Any) -> FileConsumer:
        consumer = self.consume(handle, **more)
        self.bucket = Bucket(Rate(RATE))
        consumer.share = Shaper(self.reactor).share(self.bucket)
        return consumer

    def send_slowly(self, consumer: FileConsumer, content: bytes) -> None:
        """Send as fast as it is taken, while time passes; it never takes more than the rate allows."""
        self.peer.setblocking(False)
        rest = memoryview(content)
        ended = False
        while not consumer.done.called:
            for _ in range(4):
                self.reactor.turn()
            allowed = RATE * self.reactor.seconds() + 2 * max(RATE * BURST, QUANTUM)
            assert consumer.received <= allowed, (consumer.received, allowed)
            try:
                while rest:
                    rest = rest[self.peer.send(rest) :]
                if not ended:
                    ended = True
                    self.peer.shutdown(socket.SHUT_WR)
            except BlockingIOError:
                pass
            self.reactor.advance(STEP)

    def check(self, handle: Handle, size: int, announce: Callable[[FileConsumer], None]) -> None:
        content = os.urandom(size)
        consumer = self.limited(handle)
        announce(consumer)
        consumer.start()
        self.send_slowly(consumer, content)
        assert self.successResultOf(consumer.done) == size
        assert handle.holds == content
        assert size / RATE - 0.05 < self.reactor.seconds() < size / RATE + 0.1
        assert self.reactor.getDelayedCalls() == []

    def test_spliced(self) -> None:
        self.check(Handle(self.file(b"")), SIZE, lambda each: each.expect(SIZE))

    def test_copied(self) -> None:
        self.check(Handle(), SIZE, lambda each: each.expect(SIZE))

    def test_of_unknown_size(self) -> None:
        self.check(Handle(), SIZE, lambda _: None)

    def test_gathered(self) -> None:
        self.check(Handle(), 60_000, lambda each: each.expect(60_000))

    def test_empty(self) -> None:
        self.check(Handle(), 0, lambda each: each.expect(0))

    def test_stopped_while_it_waits(self) -> None:
        """What has come already is kept all the same."""
        handle = Handle(self.file(b""))
        consumer = self.limited(handle)
        consumer.expect(SIZE)
        consumer.start()
        self.peer.sendall(b"x" * 50_000)
        self.turn()
        assert consumer.share is not None
        assert consumer.share.waiting
        assert consumer.received < 50_000
        self.successResultOf(consumer.stop())
        assert len(handle.holds) == 50_000
        assert self.reactor.getDelayedCalls() == []

    def test_a_limit_that_is_lifted(self) -> None:
        consumer = self.limited(Handle())
        self.bucket.limit = Rate(1000)
        consumer.expect(50_000)
        consumer.start()
        self.peer.sendall(b"x" * 50_000)
        self.peer.shutdown(socket.SHUT_WR)
        self.turn()
        self.assertNoResult(consumer.done)
        narrow = option(self.channel, socket.SO_RCVBUF, 4)
        self.bucket.limit = Rate()
        self.reactor.advance(0.02)
        self.turn()
        assert self.successResultOf(consumer.done) == 50_000
        assert option(self.channel, socket.SO_RCVBUF, 4) > narrow
