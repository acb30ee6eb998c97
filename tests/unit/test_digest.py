"""Checksums made while bytes move: every way gives what hashlib gives of the content (flow/digest.py)."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Callable
from threading import Thread
from typing import Any
from unittest import mock

import blake3
import pytest
import xxhash
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.fakes import HandWorkers
from tests.unit.flow_cases import ChannelCase, Handle, ReceivingCase
from twisted_ftplite.errors import FileChanged, NotSupported, StorageFailed
from twisted_ftplite.flow.digest import Digest, available, new_hash, reader, reader_of
from twisted_ftplite.flow.errand import Errand
from twisted_ftplite.flow.movement import move
from twisted_ftplite.flow.sending import FileProducer, PieceProducer, produce_file
from twisted_ftplite.flow.workers import InlineWorkers, Workers
from twisted_ftplite.limits import Limits
from twisted_ftplite.protocol.values import Checksum
from twisted_ftplite.storage.interface import Buffer, ReadHandle
from twisted_ftplite.storage.reading import LocalReadHandle
from twisted_ftplite.storage.snapshot import Snapshot

CONTENT = os.urandom(20 << 20)
"""Enough that a thread is set to follow."""


def sha256(content: bytes) -> Checksum:
    return Checksum("sha256", hashlib.sha256(content).hexdigest())


class Source:
    """Bytes to read, which knows what was read, and does something at each read."""

    def __init__(self, content: bytes = CONTENT, then: Callable[[], object] = int) -> None:
        self.content = content
        self.then = then
        self.reads: list[tuple[int, int]] = []

    def __call__(self, offset: int, count: int) -> bytes:
        self.reads.append((offset, count))
        self.then()
        return self.content[offset : offset + count]


class AlgorithmTests(SynchronousTestCase):
    def test_all_of_them(self) -> None:
        assert available() == ["xxh128", "blake3", "sha256"]
        for algorithm, expected in (
            ("xxh128", xxhash.xxh3_128_hexdigest(b"abc")),
            ("blake3", blake3.blake3(b"abc").hexdigest()),
            ("sha256", hashlib.sha256(b"abc").hexdigest()),
        ):
            made = new_hash(algorithm)
            made.update(b"a")
            made.update(memoryview(bytearray(b"bc")))
            assert made.hexdigest() == expected
            digest = Digest(algorithm, InlineWorkers())
            digest.add(b"abc", 0)
            assert digest.checksum() == Checksum(algorithm, expected)

    def test_unknown(self) -> None:
        for name in ("md5", "", "XXH128"):
            with pytest.raises(NotSupported, match="xxh128, blake3, sha256"):
                Digest(name, InlineWorkers())

    def test_one_that_is_not_installed(self) -> None:
        with mock.patch.dict(sys.modules, {"blake3": None}):
            assert available() == ["xxh128", "sha256"]
            with pytest.raises(NotSupported, match="blake3"):
                Digest("blake3", InlineWorkers())


class DigestTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.workers = HandWorkers()
        self.digest = Digest("sha256", self.workers)
        self.source = Source()

    def finish(self, end: int = len(CONTENT)) -> Deferred[Checksum]:
        return self.digest.finish(self.source, end)

    def test_bytes_in_hand(self) -> None:
        for start in range(0, 1000, 100):
            self.digest.add(CONTENT[start : start + 100], start)
        assert self.successResultOf(self.finish(1000)) == sha256(CONTENT[:1000])
        assert not self.workers.jobs, "nothing was missing"
        assert self.source.reads == []

    def test_what_does_not_come_next_is_read(self) -> None:
        self.digest.add(CONTENT[:100], 0)
        self.digest.add(CONTENT[200:300], 200)
        self.digest.add(CONTENT[:100], 0)
        finished = self.finish(300)
        self.workers.do()
        assert self.successResultOf(finished) == sha256(CONTENT[:300])
        assert self.source.reads == [(100, 200)]

    def test_from_the_middle(self) -> None:
        self.digest = Digest("sha256", self.workers, 1000)
        self.digest.add(CONTENT[:10], 0)
        self.digest.add(CONTENT[1000:1500], 1000)
        finished = self.finish(2000)
        self.workers.do()
        assert self.successResultOf(finished) == sha256(CONTENT[1000:2000])

    def test_a_beginning_and_then_the_whole(self) -> None:
        beginning = self.finish(1000)
        self.workers.do_all()
        assert self.successResultOf(beginning) == sha256(CONTENT[:1000])
        whole = self.finish()
        self.workers.do_all()
        assert self.successResultOf(whole) == sha256(CONTENT)

    def test_less_than_is_in_it(self) -> None:
        self.digest.add(b"abc", 0)
        self.failureResultOf(self.finish(2), ValueError)

    def test_nothing_at_all(self) -> None:
        assert self.successResultOf(self.finish(0)) == sha256(b"")

    def test_it_follows_once_there_is_much(self) -> None:
        self.digest.follow(self.source, 1000)
        assert not self.workers.jobs
        self.digest.follow(self.source, 8 << 20)
        self.digest.follow(self.source, 9 << 20)
        assert len(self.workers.jobs) == 1, "one thread at a time"
        self.digest.reach(10 << 20)
        self.workers.do()
        assert self.digest.position == 10 << 20, "it follows what has come meanwhile"
        finished = self.finish()
        self.workers.do_all()
        assert self.successResultOf(finished) == sha256(CONTENT)

    def test_it_goes_on_behind_a_turn(self) -> None:
        """A thread leaves the others their turn, and is set again."""
        self.digest.turn = 4 << 20
        self.digest.follow(self.source, 10 << 20)
        self.workers.do()
        assert self.digest.position == 4 << 20
        assert len(self.workers.jobs) == 1
        finished = self.finish()
        turns = 0
        while self.workers.jobs:
            self.workers.do()
            turns += 1
        assert turns == 4
        assert self.successResultOf(finished) == sha256(CONTENT)

    def caught_up(self, position: int) -> None:
        """Wait until the thread that follows has come so far."""
        for _ in range(5000):
            if self.digest.position == position:
                return
            time.sleep(0.001)
        raise AssertionError("it does not follow")

    def test_it_stays_close_behind_a_fast_transfer(self) -> None:
        self.digest.follow(self.source, 2 << 20)
        self.digest.patience = 60.0
        thread = Thread(target=self.workers.do)
        thread.start()
        self.caught_up(2 << 20)
        self.digest.reach(3 << 20)  # as a thread does that writes
        self.caught_up(3 << 20)
        self.digest.follow(self.source, 5 << 20)
        self.caught_up(5 << 20)
        finished = self.finish((5 << 20) + 1)  # wakes it, and there is no more to wait for
        thread.join(30)
        assert not thread.is_alive()
        self.workers.do_all()
        assert self.successResultOf(finished) == sha256(CONTENT[: (5 << 20) + 1])

    def test_stopped_while_it_waits(self) -> None:
        self.digest.follow(self.source, 2 << 20)
        self.digest.patience = 60.0
        thread = Thread(target=self.workers.do)
        thread.start()
        self.caught_up(2 << 20)
        stopped = self.digest.stop()
        thread.join(30)
        assert not thread.is_alive()
        self.successResultOf(stopped)

    def test_it_does_not_wait_long(self) -> None:
        self.digest.follow(self.source, 2 << 20)
        self.workers.do()
        self.digest.follow(self.source, 3 << 20)
        self.workers.do()
        assert self.digest.position == 3 << 20
        assert not self.workers.jobs

    def test_finish_waits_for_the_thread_that_follows(self) -> None:
        self.digest.follow(self.source, 10 << 20)
        finished = self.finish(10 << 20)
        self.assertNoResult(finished)
        assert len(self.workers.jobs) == 1
        self.workers.do()
        assert self.successResultOf(finished) == sha256(CONTENT[: 10 << 20])

    def test_nothing_is_added_beside_a_thread(self) -> None:
        self.digest.follow(self.source, 10 << 20)
        self.digest.add(b"x", 0)
        self.workers.do()
        finished = self.finish()
        self.workers.do_all()
        assert self.successResultOf(finished) == sha256(CONTENT)

    def test_a_file_that_is_too_short(self) -> None:
        finished = self.digest.finish(self.source, len(CONTENT) + 1)
        self.workers.do_all()
        self.failureResultOf(finished, FileChanged)

    def test_a_failure_while_it_follows_is_told_at_the_end(self) -> None:
        def fail() -> None:
            raise StorageFailed

        self.source.then = fail
        self.digest.follow(self.source, 10 << 20)
        self.workers.do()
        self.digest.follow(self.source, 20 << 20)
        assert not self.workers.jobs, "it is not tried again"
        self.failureResultOf(self.finish(), StorageFailed)

    def test_stopped_at_rest(self) -> None:
        self.successResultOf(self.digest.stop())
        self.successResultOf(self.digest.stop())
        self.digest.add(b"abc", 0)
        self.digest.follow(self.source, 10 << 20)
        assert not self.workers.jobs
        assert self.digest.position == 0
        self.failureResultOf(self.finish(), CancelledError)

    def test_stopped_while_a_thread_reads(self) -> None:
        """It leaves within one piece, be the file as large as it may."""
        stops: list[Deferred[None]] = []
        self.source.then = lambda: stops.append(self.digest.stop())
        finished = self.digest.finish(lambda *args: self.source(0, args[1]), 1 << 50)
        self.workers.do()
        assert len(self.source.reads) == 1
        (stopped,) = stops
        self.successResultOf(stopped)
        self.failureResultOf(finished, CancelledError)
        assert not self.workers.jobs

    def test_stop_waits_for_the_thread(self) -> None:
        self.digest.follow(self.source, 10 << 20)
        stopped = self.digest.stop()
        self.assertNoResult(stopped)
        self.workers.do()
        self.successResultOf(stopped)
        assert self.source.reads == []

    def test_a_wait_that_is_cancelled(self) -> None:
        finished = self.finish()
        finished.cancel()
        self.failureResultOf(finished, CancelledError)
        stopped = self.digest.stop()
        self.assertNoResult(stopped)
        self.workers.do()
        self.successResultOf(stopped)


class ReaderTests(ChannelCase):
    def test_a_descriptor(self) -> None:
        read = reader(self.file(b"abcdef"))
        assert bytes(read(1, 2)) == b"bc"
        assert bytes(read(0, 100)) == b"abcdef"
        assert not len(read(6, 1))

    def test_an_error_is_one_of_ours(self) -> None:
        with pytest.raises(StorageFailed):
            reader(-1)(0, 1)

    def test_handles(self) -> None:
        assert bytes(reader_of(Snapshot(b"abc"))(1, 9)) == b"bc"
        handle = LocalReadHandle(os.dup(self.file(b"abc")))
        self.addCleanup(handle.close)
        assert bytes(reader_of(handle)(1, 9)) == b"bc"


class WithoutContent(Snapshot):
    """A handle whose bytes are not in memory."""

    def __init__(self, content: bytes, descriptor: int | None = None) -> None:
        super().__init__(content)
        self.descriptor = descriptor

    @property
    def content(self) -> None:  # type: ignore[override]
        return None

    def fileno(self) -> int | None:  # type: ignore[override]
        return self.descriptor


class SendingTests(ChannelCase):
    def each_way(self, content: bytes) -> list[ReadHandle]:
        return [
            Snapshot(content),
            WithoutContent(content, self.file(content)),
            WithoutContent(content),
        ]

    def test_every_way(self) -> None:
        """The whole file, a stretch of it, and a rest of it with all that is before."""
        for content in (b"", b"abc", CONTENT):
            size = len(content)
            for handle in self.each_way(content):
                for start, offset, end in (
                    (0, 0, size),
                    (size // 3, size // 3, size // 2),
                    (0, size // 2, size),
                ):
                    for workers in (InlineWorkers(), HandWorkers()):
                        self.send(handle, content, start, offset, end, workers)

    def send(
        self, handle: ReadHandle, content: bytes, start: int, offset: int, end: int, workers: Workers
    ) -> None:
        self.setUp()
        digest = Digest("xxh128", workers, start)
        producer = produce_file(
            self.channel, handle, offset, end - offset, InlineWorkers(), self.limits, digest
        )
        producer.start().addCallback(lambda _: self.channel.finish_sending())
        assert self.read_all() == content[offset:end]
        self.successResultOf(producer.done)
        finished = digest.finish(reader_of(handle), end)
        if isinstance(workers, HandWorkers):
            workers.do_all()
        checksum = self.successResultOf(finished)
        assert checksum.digest == xxhash.xxh3_128_hexdigest(content[start:end])
        self.successResultOf(producer.stop())

    def test_what_is_in_hand_is_not_read_again(self) -> None:
        for handle in (Snapshot(b"x" * 65536), WithoutContent(b"x" * 100_000)):
            self.setUp()
            workers = HandWorkers()
            digest = Digest("sha256", workers)
            producer = produce_file(
                self.channel, handle, 0, handle.size, InlineWorkers(), self.limits, digest
            )
            producer.start().addCallback(lambda _: self.channel.finish_sending())
            self.read_all()
            assert digest.position == handle.size
            assert digest.checksum() == sha256(b"x" * handle.size)
            assert not workers.jobs

    def test_much_is_not_hashed_in_the_reactor(self) -> None:
        digest = Digest("sha256", HandWorkers())
        producer = produce_file(
            self.channel, Snapshot(CONTENT), 0, len(CONTENT), InlineWorkers(), self.limits, digest
        )
        producer.start().addCallback(lambda _: self.channel.finish_sending())
        self.read_all()
        assert digest.position == 0

    def test_a_stream_of_pieces(self) -> None:
        digest = Digest("sha256", HandWorkers())
        pieces = iter([b"a", b"b" * 1_000_000, b""])
        producer = PieceProducer(self.channel, pieces.__next__, InlineWorkers(), digest)
        producer.start().addCallback(lambda _: self.channel.finish_sending())
        sent = self.read_all()
        assert digest.position == len(sent)
        assert digest.checksum() == sha256(sent)

    def test_a_file_that_was_cut_behind_the_sending(self) -> None:
        descriptor = self.file(CONTENT)
        digest = Digest("sha256", InlineWorkers())
        digest.lag = 1 << 60
        producer = FileProducer(
            self.channel, descriptor, 0, len(CONTENT), InlineWorkers(), self.limits, digest
        )
        producer.start().addCallback(lambda _: self.channel.finish_sending())
        self.read_all()
        os.ftruncate(descriptor, 1000)
        self.failureResultOf(digest.finish(reader(descriptor), len(CONTENT)), FileChanged)

    def test_a_file_that_is_too_short(self) -> None:
        descriptor = self.file(CONTENT)
        digest = Digest("sha256", InlineWorkers())
        producer = FileProducer(
            self.channel, descriptor, 0, len(CONTENT) + 1, InlineWorkers(), self.limits, digest
        )
        done = producer.start().addErrback(lambda failure: self.channel.finish_sending() or failure)
        self.read_all()
        self.failureResultOf(done, FileChanged)

    def test_stopped_while_a_thread_follows(self) -> None:
        workers = HandWorkers()
        descriptor = self.file(CONTENT)
        digest = Digest("sha256", workers)
        producer = FileProducer(
            self.channel, descriptor, 0, len(CONTENT), InlineWorkers(), self.limits, digest
        )
        producer.start()
        self.peer.setblocking(False)
        while not workers.jobs:
            self.reactor.turn()
            self.peer.recv(1 << 20)
        stopped = producer.stop()
        self.assertNoResult(stopped)
        workers.do()
        self.successResultOf(stopped)
        assert digest.position == 0
        assert producer.stop() is stopped

    def test_stopped_while_a_thread_reads_and_another_follows(self) -> None:
        workers, others = HandWorkers(), HandWorkers()
        digest = Digest("sha256", workers)
        digest.follow(Source(), len(CONTENT))
        producer = PieceProducer(self.channel, lambda: b"x", others, digest)
        producer.start()
        self.reactor.turn()
        stopped = producer.stop()
        workers.do()
        self.assertNoResult(stopped)
        others.do()
        self.successResultOf(stopped)


class ReceivingTests(ReceivingCase):
    def each_way(self) -> list[tuple[str, Callable[[bytes], Handle], int]]:
        """Name, what makes a handle that holds something, pipes."""

        def in_memory(content: bytes) -> Handle:
            handle = Handle()
            handle.written += content
            return handle

        def in_file(content: bytes) -> Handle:
            descriptor = self.file(content)
            os.lseek(descriptor, 0, os.SEEK_END)
            return Handle(descriptor)

        return [("memory", in_memory, 8), ("spliced", in_file, 8), ("for want of a pipe", in_file, 0)]

    def test_every_way(self) -> None:
        for name, make, pipes in self.each_way():
            for size in (0, 1000, len(CONTENT)):
                for held in (0, size // 3):
                    for hashed in {0, held // 2, held}:
                        for announced in (True, False):
                            handle = make(CONTENT[:held])
                            self.receive(name, handle, pipes, size, held, hashed, announced)

    def receive(
        self, name: str, handle: Handle, pipes: int, size: int, held: int, hashed: int, announced: bool
    ) -> None:
        self.setUp()
        digest = Digest("xxh128", InlineWorkers())
        digest.add(CONTENT[:hashed], 0)
        consumer = self.consume(handle, digest=digest, held=held, pipes=pipes)
        if announced:
            consumer.expect(size - held)
        done = consumer.start()
        self.send_all(CONTENT[held:size])
        assert self.successResultOf(done) == size - held, name
        assert handle.holds == CONTENT[:size], name
        checksum = self.successResultOf(digest.finish(handle.read, size))
        assert checksum.digest == xxhash.xxh3_128_hexdigest(CONTENT[:size]), name
        self.successResultOf(consumer.stop())

    def test_what_is_in_hand_is_not_read_again(self) -> None:
        for size, announced in ((1000, True), (1000, False), (1_000_000, True)):
            self.setUp()
            digest = Digest("sha256", HandWorkers())
            consumer = self.consume(Handle(), digest=digest)
            if announced:
                consumer.expect(size)
            consumer.start()
            self.send_all(CONTENT[:size])
            assert digest.position == size
            assert digest.checksum() == sha256(CONTENT[:size])

    def test_what_is_spliced_is_followed(self) -> None:
        workers = HandWorkers()
        digest = Digest("sha256", workers)
        handle = Handle(self.file(b""))
        consumer = self.consume(handle, digest=digest)
        done = consumer.start()
        self.send_all(CONTENT)
        self.successResultOf(done)
        assert len(workers.jobs) == 1
        assert handle.spliced_in == len(CONTENT)
        finished = digest.finish(handle.read, len(CONTENT))
        workers.do_all()
        assert self.successResultOf(finished) == sha256(CONTENT)

    def test_what_cannot_be_read_back_is_copied(self) -> None:
        device = os.open(os.devnull, os.O_WRONLY)
        self.addCleanup(os.close, device)
        handle = Handle(device)
        handle.waits = False
        workers = HandWorkers()
        digest = Digest("sha256", workers)
        consumer = self.consume(handle, workers, digest=digest)
        consumer.expect(len(CONTENT))
        done = consumer.start()
        self.peer.setblocking(False)
        rest = memoryview(CONTENT)
        while rest:
            try:
                rest = rest[self.peer.send(rest) :]
            except BlockingIOError:
                self.reactor.turn()
            workers.do_all()  # and not in the reactor's thread
        self.peer.close()
        while not done.called:
            self.reactor.turn()
            workers.do_all()
        assert self.successResultOf(done) == len(CONTENT)
        assert digest.checksum() == sha256(CONTENT)

    def test_a_device_without_a_checksum_is_spliced_into(self) -> None:
        device = os.open(os.devnull, os.O_WRONLY)
        self.addCleanup(os.close, device)
        handle = Handle(device)
        done = self.consume(handle).start()
        self.send_all(CONTENT)
        self.successResultOf(done)
        assert handle.spliced_in == len(CONTENT)

    def test_stopped_while_a_thread_follows(self) -> None:
        workers = HandWorkers()
        digest = Digest("sha256", workers)
        consumer = self.consume(Handle(self.file(b"")), digest=digest)
        consumer.start()
        self.send_all(CONTENT)
        stopped = consumer.stop()
        self.assertNoResult(stopped)
        workers.do()
        self.successResultOf(stopped)
        assert digest.position == 0


class CommandTests(ChannelCase):
    """What a command does with pump and digest (flow/errand.py, flow/movement.py)."""

    def setUp(self) -> None:
        super().setUp()
        self.workers = HandWorkers()
        self.errand = Errand(self.workers)
        self.released: list[str] = []
        self.handle: Any = self.errand.keep(Snapshot(CONTENT), lambda _: self.released.append("handle"))

    def test_a_transfer_that_worked_leaves_its_digest_usable(self) -> None:
        digest = Digest("sha256", self.workers)
        pieces = iter([CONTENT[:1000], b""])
        producer = PieceProducer(self.channel, pieces.__next__, InlineWorkers(), digest)
        moved = move(producer, self.reactor, 60.0)
        self.turn()
        self.successResultOf(moved)
        checksum = Deferred.fromCoroutine(self.errand.checksum(digest, self.handle, len(CONTENT)))
        self.workers.do_all()
        assert self.successResultOf(checksum) == sha256(CONTENT)
        self.errand.release()
        assert self.released == ["handle"]

    def test_one_that_failed_stops_it(self) -> None:
        digest = Digest("sha256", self.workers)
        producer = PieceProducer(self.channel, iter([b""]).__next__, InlineWorkers(), digest)
        moved = move(producer, self.reactor, 60.0)
        moved.cancel()
        self.failureResultOf(moved, CancelledError)
        self.failureResultOf(digest.finish(self.handle.read, 1), CancelledError)

    def test_nothing_is_released_while_a_thread_hashes(self) -> None:
        reads: list[int] = []

        class Slow(Snapshot):
            def read(this, offset: int, count: int) -> bytes:
                reads.append(offset)
                self.errand.release()
                assert self.released == [], "a thread reads it"
                return super().read(offset, count)

        digest = Digest("sha256", self.workers)
        job = Deferred.fromCoroutine(self.errand.checksum(digest, Slow(CONTENT), len(CONTENT)))
        job.cancel()
        self.failureResultOf(job, CancelledError)
        self.workers.do()
        assert reads == [0], "it leaves within one piece"
        assert self.released == ["handle"]


def test_pieces_stay_small() -> None:
    """A thread that is told to leave does so within one."""
    asked: list[int] = []

    def read(offset: int, count: int) -> Buffer:
        asked.append(count)
        return CONTENT[offset : offset + count]

    Digest("xxh128", InlineWorkers()).finish(read, len(CONTENT))
    assert max(asked) <= Limits().piece
