"""How bytes move: over real sockets, one turn of the reactor at a time (flow/)."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.fakes import HandReactor, HandWorkers
from tests.unit.flow_cases import ChannelCase, Handle, ReceivingCase, pair, read_all, reset
from twisted_ftplite.errors import (
    ConnectionLost,
    ConnectionRefused,
    ConnectionTimedOut,
    DiskFull,
    FileChanged,
    FileTooLarge,
    FTPLiteError,
    LimitReached,
    SizeMismatch,
    UnexpectedMessage,
)
from twisted_ftplite.flow import tcp
from twisted_ftplite.flow.addresses import plain_host, same_host
from twisted_ftplite.flow.channel import DataChannel
from twisted_ftplite.flow.movement import move
from twisted_ftplite.flow.opening import ConnectBack, Listen
from twisted_ftplite.flow.pagecache import is_resident, read_in
from twisted_ftplite.flow.pipes import Pipe, Pipes
from twisted_ftplite.flow.sending import FileProducer, PieceProducer, Producer, produce_file
from twisted_ftplite.flow.stall import StallWatch
from twisted_ftplite.flow.workers import InlineWorkers, ThreadWorkers, Workers, shielded
from twisted_ftplite.limits import Limits
from twisted_ftplite.storage.snapshot import Snapshot

LOOPBACK = ("127.0.0.1", 0)
BOUND = 32 << 20
"""More than the kernel's buffers on both sides together ever hold."""


class StallWatchTests(SynchronousTestCase):
    def watch(self, timeout: float = 60.0) -> None:
        self.clock = Clock()
        self.moved = 0
        self.stalls: list[float] = []
        self.watched = StallWatch(
            self.clock, timeout, lambda: self.moved, lambda: self.stalls.append(self.clock.seconds())
        )

    def pass_time(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1)

    def test_nothing_moves(self) -> None:
        self.watch()
        self.pass_time(59)
        assert self.stalls == []
        self.pass_time(1)
        assert self.stalls == [60.0]
        self.pass_time(1000)
        assert self.stalls == [60.0], "it calls once"
        assert self.clock.getDelayedCalls() == []

    def test_little_moves(self) -> None:
        self.watch()
        for _ in range(20):
            self.pass_time(59)
            self.moved += 1
        assert self.stalls == []

    def test_noticed_a_quarter_late_at_most(self) -> None:
        for last in range(1, 60):
            self.watch()
            self.pass_time(last)
            self.moved += 1
            self.pass_time(200)
            (stalled,) = self.stalls
            assert last + 60 <= stalled <= last + 75

    def test_stopped(self) -> None:
        self.watch()
        self.watched.stop()
        self.watched.stop()
        self.pass_time(1000)
        assert self.stalls == []
        assert self.clock.getDelayedCalls() == []

    def test_stopped_after_a_stall(self) -> None:
        self.watch()
        self.pass_time(60)
        self.watched.stop()
        assert self.stalls == [60.0]


class ChannelTests(ChannelCase):
    def test_takes_no_push_producer(self) -> None:
        with pytest.raises(ValueError, match="push"):
            self.channel.registerProducer(object(), True)  # type: ignore[arg-type]

    def test_close_tells_nobody(self) -> None:
        self.channel.watch_peer()
        self.channel.close()
        self.channel.close()
        assert self.lost == []
        assert self.channel.fileno() == -1
        assert self.reactor.removeAll() == []
        assert self.peer.recv(1) == b""

    def test_stop_producing_closes(self) -> None:
        self.channel.stopProducing()
        assert self.channel.fileno() == -1

    def test_reset_is_no_end(self) -> None:
        self.channel.write(b"abc")
        self.channel.reset()
        self.channel.reset()
        with pytest.raises(ConnectionResetError):
            read_all(self.peer)
        assert self.lost == []

    def test_a_peer_that_goes_away(self) -> None:
        self.channel.watch_peer()
        reset(self.peer)
        self.turn()
        assert [type(each) for each in self.lost] == [ConnectionLost]
        assert self.channel.fileno() == -1

    def test_a_receiver_may_end_its_direction(self) -> None:
        self.channel.watch_peer()
        self.peer.shutdown(socket.SHUT_WR)
        self.turn()
        assert self.lost == []
        assert not self.reactor.readers
        self.channel.write(b"abc")
        assert self.peer.recv(100) == b"abc"

    def test_a_receiver_has_nothing_to_say(self) -> None:
        self.channel.watch_peer()
        self.peer.send(b"x")
        self.turn()
        assert [type(each) for each in self.lost] == [UnexpectedMessage]

    def test_what_the_reactor_says_is_lost(self) -> None:
        for tell in (
            DataChannel.connectionLost,
            DataChannel.readConnectionLost,
            DataChannel.writeConnectionLost,
        ):
            ours, peer = pair()
            channel = DataChannel(self.reactor, ours)
            lost: list[FTPLiteError] = []
            channel.on_lost = lost.append
            tell(channel, Failure(Exception()))
            tell(channel, Failure(Exception()))
            assert [type(each) for each in lost] == [ConnectionLost]
            peer.close()

    def test_movement_is_what_the_peer_has_acknowledged(self) -> None:
        before = self.channel.movement()
        self.channel.write(b"x" * 1000)
        assert self.peer.recv(1000, socket.MSG_WAITALL) == b"x" * 1000
        self.reactor.turn_until(lambda: self.channel.movement() - before == 1000)
        assert self.channel.sent == 1000
        self.channel.close()
        assert self.channel.movement() == 1000

    def test_finish_sending(self) -> None:
        self.channel.write(b"abc")
        self.channel.finish_sending()
        assert self.peer.recv(100) == b"abc"
        assert self.peer.recv(100) == b""
        assert not self.reactor.writers

    def test_after_the_end_nothing_is_watched(self) -> None:
        self.channel.close()
        self.channel.ask_again()
        self.channel.resumeProducing()
        assert self.reactor.removeAll() == []
        assert self.channel.logPrefix()

    def test_a_write_after_the_peer_went(self) -> None:
        reset(self.peer)
        for _ in range(3):
            self.channel.write(b"x")
        assert [type(each) for each in self.lost] == [ConnectionLost]
        assert self.reactor.removeAll() == []

    def test_the_end_after_the_peer_went(self) -> None:
        reset(self.peer)
        self.channel.finish_sending()
        self.channel.watch_peer()
        assert [type(each) for each in self.lost] == [ConnectionLost]
        assert self.reactor.removeAll() == []


class SendingTests(ChannelCase):
    workers: Workers = InlineWorkers()

    def producer(
        self, content: bytes, offset: int = 0, count: int | None = None, **limits: int
    ) -> FileProducer:
        return FileProducer(
            self.channel,
            self.file(content),
            offset,
            len(content) - offset if count is None else count,
            self.workers,
            Limits(**limits),  # type: ignore[arg-type]
        )

    def ends(self, done: Deferred[Any]) -> None:
        done.addCallback(lambda _: self.channel.finish_sending())

    def test_a_file(self) -> None:
        content = os.urandom(3_000_000)
        producer = self.producer(content)
        self.ends(producer.start())
        assert self.read_all() == content
        self.successResultOf(producer.done)
        assert producer.moved() == len(content)

    def test_an_empty_file(self) -> None:
        producer = self.producer(b"")
        self.ends(producer.start())
        assert self.read_all() == b""

    def test_a_stretch(self) -> None:
        content = os.urandom(100_000)
        self.ends(self.producer(content, 1234, 50_000, window=4096, piece=1000).start())
        assert self.read_all() == content[1234:51234]

    def test_a_file_that_is_too_short(self) -> None:
        producer = self.producer(b"abc", count=4)
        done = producer.start()
        self.turn()
        self.failureResultOf(done, FileChanged)
        assert not self.reactor.writers

    def test_one_turn_is_bounded(self) -> None:
        producer = self.producer(b"x" * 100_000, piece=1000, pieces_a_turn=3)
        producer.start()
        self.reactor.turn()
        assert self.channel.sent == 3000

    def test_a_peer_that_never_reads(self) -> None:
        descriptor = self.file(b"")
        os.ftruncate(descriptor, 1 << 30)
        producer = FileProducer(self.channel, descriptor, 0, 1 << 30, self.workers, self.limits)
        done = producer.start()
        self.turn()
        assert 0 < self.channel.sent < BOUND
        self.assertNoResult(done)
        self.successResultOf(producer.stop())
        assert not self.reactor.writers

    def test_pieces(self) -> None:
        pieces = [b"a", b"b" * 1_000_000, b"", b"c"]
        producer = PieceProducer(self.channel, iter(pieces).__next__, self.workers)
        self.ends(producer.start())
        assert self.read_all() == b"a" + b"b" * 1_000_000

    def test_pieces_that_fail(self) -> None:
        def next_piece() -> bytes:
            raise FileChanged

        producer = PieceProducer(self.channel, next_piece, self.workers)
        done = producer.start()
        self.turn()
        self.failureResultOf(done, FileChanged)
        assert not self.reactor.writers

    def test_pieces_wait_for_the_peer(self) -> None:
        made = 0

        def next_piece() -> bytes:
            nonlocal made
            made += 1
            return b"x" * 100_000

        PieceProducer(self.channel, next_piece, self.workers).start()
        self.turn()
        assert made * 100_000 < BOUND
        assert self.channel.sent < BOUND

    def test_handles(self) -> None:
        """The producer that suits, for what is in memory, has a descriptor, or neither."""
        content = os.urandom(700_000)
        descriptor = self.file(content)

        class Handle(Snapshot):
            def __init__(self, content: bytes, descriptor: int | None) -> None:
                super().__init__(content)
                self.descriptor = descriptor

            @property
            def content(self) -> None:  # type: ignore[override]
                return None

            def fileno(self) -> int | None:  # type: ignore[override]
                return self.descriptor

        kinds = set()
        for handle in (Snapshot(content), Handle(content, descriptor), Handle(content, None)):
            for offset, count in ((0, len(content)), (1, 600_000), (len(content), 0), (0, 0)):
                self.setUp()
                producer = produce_file(self.channel, handle, offset, count, self.workers, self.limits)
                kinds.add(type(producer))
                self.ends(producer.start())
                assert self.read_all() == content[offset : offset + count]
                self.successResultOf(producer.done)
        assert len(kinds) == 3

    def test_a_handle_that_is_too_short(self) -> None:
        class Short(Snapshot):
            @property
            def content(self) -> None:  # type: ignore[override]
                return None

        producer = produce_file(self.channel, Short(b"abc"), 0, 4, self.workers, self.limits)
        done = producer.start()
        self.turn()
        self.failureResultOf(done, FileChanged)

    def test_stop_during_a_job(self) -> None:
        workers = HandWorkers()
        producer = PieceProducer(self.channel, lambda: b"x", workers)
        done = producer.start()
        self.reactor.turn()
        assert producer.waits_for_disk
        assert not self.reactor.writers, "it asks for nothing meanwhile"
        stopped = producer.stop()
        assert producer.stop() is stopped
        self.assertNoResult(stopped)
        workers.do()
        self.successResultOf(stopped)
        self.assertNoResult(done)
        assert not producer.waits_for_disk
        assert self.channel.sent == 0

    def test_stop_during_a_job_that_fails(self) -> None:
        workers = HandWorkers()

        def next_piece() -> bytes:
            raise FileChanged

        producer = PieceProducer(self.channel, next_piece, workers)
        done = producer.start()
        self.reactor.turn()
        producer.stopProducing()
        workers.do()
        self.successResultOf(producer.stop())
        self.assertNoResult(done)

    def test_what_is_not_in_memory_is_read_by_a_thread(self) -> None:
        workers = HandWorkers()
        content = b"x" * 100_000
        read_end, write_end = os.pipe()  # the page cache knows nothing of it
        self.addCleanup(os.close, read_end)
        self.addCleanup(os.close, write_end)
        producer = FileProducer(self.channel, read_end, 0, len(content), workers, self.limits)
        done = producer.start()
        self.reactor.turn()
        assert len(workers.jobs) == 1
        assert not self.reactor.writers
        assert self.channel.sent == 0
        workers.do()  # a pipe cannot be read at an offset
        self.failureResultOf(done, OSError)


class ReceivingTests(ReceivingCase):
    def each_way(self) -> list[tuple[str, Handle, int | None, int]]:
        """Gathered, copied and spliced: name, handle, announced size, pipes."""
        return [
            ("gather", Handle(), 1000, 8),
            ("copy", Handle(), None, 8),
            ("copy, announced", Handle(), 500_000, 8),
            ("copy for want of a pipe", Handle(self.file(b"")), None, 0),
            ("splice", Handle(self.file(b"")), None, 8),
            ("splice, announced", Handle(self.file(b"")), 500_000, 8),
        ]

    def test_whole(self) -> None:
        for name, handle, size, pipes in self.each_way():
            self.setUp()
            content = os.urandom(size or 500_000)
            consumer = self.consume(handle, pipes=pipes)
            if size is not None:
                consumer.expect(size)
            done = consumer.start()
            self.send_all(content)
            got = handle.holds
            assert self.successResultOf(done) == len(content), name
            assert got == content, name
            assert consumer.moved() == consumer.movement() == len(content)
            assert not self.reactor.readers

    def test_empty(self) -> None:
        for name, handle, _, pipes in self.each_way():
            for size in (None, 0):
                self.setUp()
                consumer = self.consume(handle, pipes=pipes)
                if size is not None:
                    consumer.expect(size)
                done = consumer.start()
                self.send_all(b"")
                assert self.successResultOf(done) == 0, name

    def test_fewer_than_announced_is_for_the_caller_to_see(self) -> None:
        for name, handle, size, pipes in self.each_way():
            if size is None:
                continue
            self.setUp()
            consumer = self.consume(handle, pipes=pipes)
            consumer.expect(size)
            done = consumer.start()
            self.send_all(b"x" * (size - 1))
            assert self.successResultOf(done) == size - 1, name

    def test_more_than_announced_fails_at_once(self) -> None:
        for name, handle, size, pipes in self.each_way():
            if size is None:
                continue
            self.setUp()
            consumer = self.consume(handle, pipes=pipes)
            consumer.expect(size)
            done = consumer.start()
            self.peer.setblocking(False)
            sent = 0
            while sent < size + 1:
                try:
                    sent += self.peer.send(b"x" * (size + 1 - sent))
                except BlockingIOError:
                    self.reactor.turn()
            self.turn()  # and no end of the stream
            self.failureResultOf(done, SizeMismatch), name
            assert not self.reactor.readers
            assert consumer.received <= size + 1, "no more is taken than tells it"

    def test_a_size_that_comes_late(self) -> None:
        for handle in (Handle(), Handle(self.file(b""))):
            self.setUp()
            consumer = self.consume(handle)
            done = consumer.start()
            self.peer.sendall(b"abc")
            self.turn()
            consumer.expect(3)
            self.assertNoResult(done)
            self.send_all(b"")
            assert self.successResultOf(done) == 3

    def test_a_size_that_comes_too_late(self) -> None:
        consumer = self.consume(Handle())
        done = consumer.start()
        self.peer.sendall(b"abc")
        self.turn()
        consumer.expect(2)
        self.failureResultOf(done, SizeMismatch)

    def test_a_size_that_comes_too_late_while_a_thread_works(self) -> None:
        workers = HandWorkers()
        consumer = self.consume(Handle(), workers)
        done = consumer.start()
        self.peer.sendall(b"abc")
        self.turn()
        consumer.expect(2)
        self.assertNoResult(done)
        workers.do()
        self.failureResultOf(done, SizeMismatch)
        self.successResultOf(consumer.stop())

    def test_no_more_than_a_file_may_have(self) -> None:
        for handle in (Handle(), Handle(self.file(b""))):
            self.setUp()
            consumer = self.consume(handle, max_file_size=1000)
            done = consumer.start()
            self.peer.sendall(b"x" * 1001)
            self.turn()
            self.failureResultOf(done, FileTooLarge)

    def test_no_more_than_a_file_may_have_whatever_is_announced(self) -> None:
        consumer = self.consume(Handle(), max_file_size=1000)
        done = consumer.start()
        consumer.expect(2000)
        self.peer.sendall(b"x" * 1001)
        self.turn()
        self.failureResultOf(done, FileTooLarge)

    def test_a_handle_that_fails(self) -> None:
        for size in (None, 3):
            self.setUp()
            consumer = self.consume(Handle(failure=DiskFull()))
            if size is not None:
                consumer.expect(size)
            done = consumer.start()
            self.send_all(b"abc")
            self.failureResultOf(done, DiskFull)
            assert not self.reactor.readers

    def test_a_descriptor_that_fails(self) -> None:
        read_only = os.open(os.devnull, os.O_RDONLY)
        self.addCleanup(os.close, read_only)
        consumer = self.consume(Handle(read_only))
        done = consumer.start()
        self.send_all(b"abc")
        assert isinstance(self.failureResultOf(done).value, FTPLiteError), "never a bare OSError"

    def test_a_disk_that_is_slow_slows_the_peer(self) -> None:
        for handle in (Handle(), Handle(self.file(b""))):
            self.setUp()
            workers = HandWorkers()
            consumer = self.consume(handle, workers)
            consumer.start()
            self.peer.setblocking(False)
            sent = 0
            for _ in range(200):
                try:
                    sent += self.peer.send(b"x" * 1_000_000)
                except BlockingIOError:
                    self.reactor.turn()
            assert sent < BOUND
            assert consumer.waits_for_disk
            assert len(workers.jobs) == 1, "one at a time"
            assert not self.reactor.readers
            assert consumer.received <= max(self.limits.receive_buffer, self.limits.pipe_size)

    def test_stop_during_a_job(self) -> None:
        for handle in (Handle(), Handle(self.file(b""))):
            self.setUp()
            workers = HandWorkers()
            consumer = self.consume(handle, workers)
            done = consumer.start()
            if handle.descriptor is not None:
                self.send_all(b"abc")
            else:
                self.peer.sendall(b"abc")
                self.turn()
            assert consumer.waits_for_disk
            stopped = consumer.stop()
            assert consumer.stop() is stopped
            self.assertNoResult(stopped)
            workers.do_all()
            self.successResultOf(stopped)
            self.assertNoResult(done)
            assert not self.reactor.readers

    def test_a_peer_that_resets(self) -> None:
        for handle in (Handle(), Handle(self.file(b""))):
            self.setUp()
            consumer = self.consume(handle)
            done = consumer.start()
            self.peer.sendall(b"abc")
            self.turn()
            reset(self.peer)
            self.turn()
            assert [type(each) for each in self.lost] == [ConnectionLost]
            self.assertNoResult(done)
            self.successResultOf(consumer.stop())


class PipeTests(ReceivingCase):
    def test_lent_and_given_back(self) -> None:
        pipes = Pipes(Limits(pipes=2))
        one, two = pipes.lend(), pipes.lend()
        assert one is not None
        assert two is not None
        assert one is not two
        assert pipes.lend() is None
        pipes.give_back(one, empty=True)
        assert pipes.lend() is one
        pipes.give_back(one, empty=False)
        three = pipes.lend()
        assert three is not one, "one that is not empty is of no more use"
        assert three is not None
        pipes.give_back(two, empty=True)
        pipes.give_back(three, empty=True)
        pipes.close()
        for pipe in (one, two, three):
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.write(pipe.write_end, b"x")

    def test_size(self) -> None:
        pipe = Pipe(1 << 16)
        assert pipe.size == 1 << 16
        pipe.close()

    def test_empty_after_a_transfer(self) -> None:
        consumer = self.consume(Handle(self.file(b"")))
        consumer.start()
        (lent,) = [consumer._way._pipe]  # type: ignore[union-attr]
        self.send_all(b"x" * 100_000)
        assert self.pipes.lend() is lent
        self.pipes.give_back(lent, empty=True)

    def test_discarded_when_dirty(self) -> None:
        consumer = self.consume(Handle(self.file(b"")), HandWorkers())
        consumer.expect(100_000)
        done = consumer.start()
        lent = consumer._way._pipe  # type: ignore[union-attr]
        self.peer.sendall(b"x" * 100_001)
        self.turn()
        self.failureResultOf(done, SizeMismatch)
        fresh = self.pipes.lend()
        assert fresh is not lent
        assert fresh is not None
        self.pipes.give_back(fresh, empty=True)

    def test_discarded_when_stopped_with_bytes_inside(self) -> None:
        workers = HandWorkers()
        read_only = os.open(os.devnull, os.O_RDONLY)
        self.addCleanup(os.close, read_only)
        consumer = self.consume(Handle(read_only), workers)
        consumer.start()
        lent = consumer._way._pipe  # type: ignore[union-attr]
        self.send_all(b"abc")
        assert consumer.waits_for_disk
        stopped = consumer.stop()
        fresh = self.pipes.lend()
        assert fresh is not lent, "a thread still works on it"
        workers.do()
        self.successResultOf(stopped)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(lent.write_end, b"x")
        assert fresh is not None
        self.pipes.give_back(fresh, empty=True)


class MoveTests(ChannelCase):
    def move(self, producer: Producer) -> Deferred[Any]:
        return move(producer, self.reactor, 60.0)

    def stalling(self, workers: Workers | None = None) -> PieceProducer:
        return PieceProducer(self.channel, lambda: b"x" * 100_000, workers or InlineWorkers())

    def test_to_the_end(self) -> None:
        pieces = iter([b"abc", b""])
        moved = self.move(PieceProducer(self.channel, pieces.__next__, InlineWorkers()))
        self.turn()
        self.successResultOf(moved)
        assert self.reactor.getDelayedCalls() == []

    def test_a_peer_that_reads_nothing(self) -> None:
        moved = self.move(self.stalling())
        self.turn()
        for _ in range(59):
            self.reactor.advance(1)
        self.assertNoResult(moved)
        for _ in range(16 + 59):  # a busy kernel may have acknowledged something until now
            self.reactor.advance(1)
        self.failureResultOf(moved, ConnectionTimedOut)
        assert not self.reactor.writers

    def test_a_peer_that_reads_slowly(self) -> None:
        moved = self.move(self.stalling())
        for _ in range(20):
            self.turn()
            self.reactor.pump([10.0] * 5)
            self.assertNoResult(moved)
            before = self.channel.movement()
            self.peer.recv(4 << 20)
            self.turn()
            self.reactor.turn_until(lambda before=before: self.channel.movement() > before)
        moved.cancel()
        self.failureResultOf(moved, CancelledError)

    def test_our_own_disk_is_no_fault_of_the_peers(self) -> None:
        workers = HandWorkers()
        moved = self.move(self.stalling(workers))
        self.turn()
        assert workers.jobs
        self.reactor.pump([10.0] * 100)
        self.assertNoResult(moved)
        moved.cancel()
        self.failureResultOf(moved, CancelledError)

    def test_a_channel_that_is_lost(self) -> None:
        self.channel.watch_peer()
        moved = self.move(self.stalling())
        reset(self.peer)
        self.channel.doRead()
        self.failureResultOf(moved, ConnectionLost)
        assert self.reactor.getDelayedCalls() == []

    def test_cancelled(self) -> None:
        producer = self.stalling()
        moved = self.move(producer)
        moved.cancel()
        self.failureResultOf(moved, CancelledError)
        assert self.reactor.getDelayedCalls() == []
        assert not self.reactor.writers
        self.successResultOf(producer.stop())


class ConnectBackTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = HandReactor()
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.settimeout(5)
        self.addCleanup(self.listening.close)
        self.port = self.listening.getsockname()[1]

    def open(self, port: int, host: str = "127.0.0.1") -> Deferred[DataChannel]:
        """The port of the control channel's other end is nothing to the data channel."""
        return ConnectBack(self.reactor, LOOPBACK, (host, 9), port, 10.0).open()

    def outcome(self, opened: Deferred[DataChannel]) -> list[Any]:
        outcome: list[Any] = []
        opened.addBoth(outcome.append)
        self.reactor.turn_until(lambda: bool(outcome))
        return outcome

    def test_connected(self) -> None:
        (channel,) = self.outcome(self.open(self.port))
        peer, address = self.listening.accept()
        assert address[0] == "127.0.0.1"
        channel.write(b"abc")
        assert peer.recv(3) == b"abc"
        channel.close()
        peer.close()
        assert self.reactor.getDelayedCalls() == []
        assert self.reactor.removeAll() == []

    def test_refused(self) -> None:
        self.listening.close()
        (failure,) = self.outcome(self.open(self.port))
        assert failure.check(ConnectionRefused)
        assert self.reactor.getDelayedCalls() == []
        assert self.reactor.removeAll() == []

    def test_an_address_one_cannot_bind(self) -> None:
        opened = ConnectBack(self.reactor, ("192.0.2.1", 0), ("127.0.0.1", 9), self.port, 10.0).open()
        self.failureResultOf(opened, ConnectionRefused)
        assert self.reactor.removeAll() == []

    def unanswered(self) -> Deferred[DataChannel]:
        """Connect to a port whose queue is full: nothing comes back."""
        full = socket.socket()
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        self.addCleanup(full.close)
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            self.addCleanup(filler.close)
        return self.open(full.getsockname()[1])

    def test_no_answer(self) -> None:
        opened = self.unanswered()
        self.reactor.turn(0.05)
        self.assertNoResult(opened)
        self.reactor.advance(9.9)
        self.assertNoResult(opened)
        self.reactor.advance(0.1)
        self.failureResultOf(opened, ConnectionTimedOut)
        assert self.reactor.removeAll() == []

    def test_given_up(self) -> None:
        opened = self.unanswered()
        self.assertNoResult(opened)
        opened.cancel()
        self.failureResultOf(opened, CancelledError)
        assert self.reactor.getDelayedCalls() == []
        assert self.reactor.removeAll() == []

    def test_never_with_oneself(self) -> None:
        """A connect to a closed ephemeral port of one's own host can connect to itself."""
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        sock.connect(sock.getsockname())
        assert sock.getsockname() == sock.getpeername()
        outcome = tcp.outcome_of_connect(sock)
        sock.close()
        assert outcome not in (0, None)


class ListenTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = HandReactor()

    def listen(self, peer: str = "127.0.0.1", ports: tuple[int, int] = (0, 0)) -> Listen:
        listen = Listen(self.reactor, LOOPBACK, (peer, 9), 10.0, ports)
        self.addCleanup(listen.close)
        return listen

    def connect(self, port: int) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", port))
        sock.settimeout(5)
        self.addCleanup(sock.close)
        return sock

    def test_it_listens_before_it_is_opened(self) -> None:
        listen = self.listen()
        self.connect(listen.port)
        opened = listen.open()
        self.reactor.turn(1)
        self.successResultOf(opened).close()

    def test_bytes_come_through(self) -> None:
        listen = self.listen()
        opened = listen.open()
        peer = self.connect(listen.port)
        peer.sendall(b"abc")
        self.reactor.turn(1)
        channel = self.successResultOf(opened)
        buffer = memoryview(bytearray(10))
        assert channel.recv_into(buffer) == 3
        assert channel.recv_into(buffer) is None, "it never blocks"
        peer.close()
        assert channel.recv_into(buffer) == 0
        channel.close()
        assert self.reactor.getDelayedCalls() == []

    def test_strangers_are_dropped_and_the_wait_goes_on(self) -> None:
        listen = self.listen(peer="127.0.0.2")
        opened = listen.open()
        stranger = self.connect(listen.port)
        self.reactor.turn(1)
        assert stranger.recv(1) == b""
        self.assertNoResult(opened)
        friend = socket.socket()
        friend.bind(("127.0.0.2", 0))
        friend.connect(("127.0.0.1", listen.port))
        self.reactor.turn(1)
        self.successResultOf(opened).close()
        friend.close()

    def test_nobody_comes(self) -> None:
        opened = self.listen().open()
        self.reactor.advance(10)
        self.failureResultOf(opened, ConnectionTimedOut)
        assert self.reactor.removeAll() == []

    def test_given_up(self) -> None:
        listen = self.listen()
        opened = listen.open()
        opened.cancel()
        self.failureResultOf(opened, CancelledError)
        assert self.reactor.removeAll() == []
        assert self.reactor.getDelayedCalls() == []
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", listen.port))
        assert listen.fileno() == -1

    def test_a_range_of_ports(self) -> None:
        first = self.listen()
        with pytest.raises(LimitReached):
            self.listen(ports=(first.port, first.port))
        with pytest.raises(LimitReached):
            self.listen(ports=(2000, 1999))
        taken = self.listen(ports=(first.port, first.port + 50))
        assert first.port < taken.port <= first.port + 50


class TCPTests(SynchronousTestCase):
    def test_hosts(self) -> None:
        for one, other, same in [
            ("127.0.0.1", "127.0.0.1", True),
            ("::ffff:127.0.0.1", "127.0.0.1", True),
            ("fe80::1%eth0", "fe80::1", True),
            ("::1", "0:0:0:0:0:0:0:1", True),
            ("127.0.0.1", "127.0.0.2", False),
            ("::1", "127.0.0.1", False),
        ]:
            assert same_host((one, 1), (other, 2)) is same
            assert same_host((other, 1), (one, 2)) is same
        with pytest.raises(ValueError, match="address"):
            plain_host("localhost")

    def test_ports_are_shared_between_peers(self) -> None:
        """Without IP_BIND_ADDRESS_NO_PORT bind(2) would take a port."""
        sock = tcp.new_socket(LOOPBACK)
        tcp.bind_any_port(sock, LOOPBACK)
        assert sock.getsockname() == ("127.0.0.1", 0)
        assert not sock.getblocking()
        sock.close()

    def test_what_is_no_tcp_tells_nothing(self) -> None:
        one, other = socket.socketpair()
        assert tcp.bytes_acknowledged(one) is None
        one.close()
        other.close()

    def test_what_is_no_connection_has_no_ends(self) -> None:
        assert tcp.ends_of(object()) is None  # type: ignore[arg-type]


class PageCacheTests(ChannelCase):
    def test_answers(self) -> None:
        descriptor = self.file(b"x" * 100_000)
        knows = is_resident(descriptor, 0, 1)
        assert knows or sys.platform != "linux" or os.uname().release < "6.5"
        if knows:
            assert is_resident(descriptor, 0, 100_000)
            assert is_resident(descriptor, 99_999, 1)
            assert is_resident(descriptor, 4095, 2)
        assert not is_resident(descriptor, 0, 0)
        assert not is_resident(descriptor, 0, 1_000_000), "there is nothing behind the end"
        assert not is_resident(descriptor, 1_000_000, 1)

    def test_where_nobody_knows(self) -> None:
        read_end, write_end = os.pipe()
        assert not is_resident(read_end, 0, 1)
        os.close(read_end)
        os.close(write_end)
        assert not is_resident(read_end, 0, 1)

    def test_a_hole_is_read_in(self) -> None:
        descriptor = self.file(b"")
        os.ftruncate(descriptor, 1 << 20)
        before = is_resident(descriptor, 0, 1 << 20)
        assert not before
        read_in(descriptor, 0, 1 << 20)
        read_in(descriptor, 0, 1 << 30)  # behind the end is nothing to wait for

    def test_read_in_fails_as_the_system_does(self) -> None:
        with pytest.raises(OSError, match="Bad file"):
            read_in(-1, 0, 1)


class FromThread:
    """An `IReactorFromThreads` that keeps what threads ask for."""

    def __init__(self) -> None:
        from queue import SimpleQueue

        self.calls: SimpleQueue[tuple[Callable[..., object], tuple[Any, ...]]] = SimpleQueue()

    def callFromThread(self, function: Callable[..., object], *args: Any) -> None:
        self.calls.put((function, args))

    def turn(self) -> None:
        function, args = self.calls.get(timeout=5)
        function(*args)


class WorkersTests(SynchronousTestCase):
    def test_inline(self) -> None:
        workers = InlineWorkers()
        assert self.successResultOf(workers.run(int, "5")) == 5
        self.failureResultOf(workers.run(int, "x"), ValueError)

    def test_threads(self) -> None:
        reactor = FromThread()
        workers = ThreadWorkers(reactor, 2)  # type: ignore[arg-type]
        jobs = [workers.run(int, "5"), workers.run(int, "x"), workers.run(int, "7")]
        assert workers.waiting == 3
        for job in jobs:
            self.assertNoResult(job)
        for _ in jobs:
            reactor.turn()
        assert workers.waiting == 0
        assert self.successResultOf(jobs[0]) == 5
        self.failureResultOf(jobs[1], ValueError)
        assert self.successResultOf(jobs[2]) == 7
        workers.stop()

    def test_a_wait_may_end_before_its_job(self) -> None:
        workers = HandWorkers()
        wait = shielded(workers.run(int, "5"))
        wait.cancel()
        self.failureResultOf(wait, CancelledError)
        workers.do()

    def test_a_wait_for_a_job(self) -> None:
        workers = HandWorkers()
        good, bad = shielded(workers.run(int, "5")), shielded(workers.run(int, "x"))
        workers.do_all()
        assert self.successResultOf(good) == 5
        self.failureResultOf(bad, ValueError)
