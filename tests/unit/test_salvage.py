"""What has arrived of a transfer that breaks off is written before the file is let go (flow/receiving.py)."""

from __future__ import annotations

import contextlib
import os
import random
from typing import Any

from twisted.internet.defer import Deferred

from tests.unit.fakes import HandWorkers
from tests.unit.flow_cases import Handle, ReceivingCase, reset
from twisted_ftplite.errors import ConnectionLost, DiskFull, FileTooLarge, FTPLiteError, SizeMismatch
from twisted_ftplite.flow.pipes import Pipe
from twisted_ftplite.flow.receiving import FileConsumer

CONTENT = os.urandom(3_000_000)


class Stubborn(Handle):
    """A handle in memory that takes only so many bytes."""

    def __init__(self, room: int, failure: Exception) -> None:
        super().__init__()
        self.room = room
        self.error = failure

    def write(self, data: bytes | bytearray | memoryview) -> None:
        super().write(data[: self.room])
        if len(data) > self.room:
            self.failure = self.error
            raise self.error
        self.room -= len(data)


class SalvageCase(ReceivingCase):
    def send(self, content: bytes) -> None:
        """What the kernel takes, while the reactor turns; no end of the stream."""
        self.peer.sendall(content)
        self.turn()

    def send_and_drain(self, consumer: FileConsumer, content: bytes) -> None:
        """The same, and a thread is set to write it."""
        self.send(content)
        if not consumer.waits_for_disk:  # little is left in the pipe until there is more, or nothing more
            consumer._way.readable()  # type: ignore[union-attr]
        assert consumer.waits_for_disk

    def lent(self, consumer: FileConsumer) -> Pipe:
        return consumer._way._pipe  # type: ignore[union-attr,no-any-return]

    def is_back(self, pipe: Pipe) -> bool:
        """Whether this pipe was given back, empty."""
        found = self.pipes.lend()
        assert found is not None
        self.pipes.give_back(found, empty=True)
        return found is pipe


class SalvageTests(SalvageCase):
    def test_gathered(self) -> None:
        workers = HandWorkers()
        handle = Handle()
        consumer = self.consume(handle, workers)
        consumer.expect(1000)
        done = consumer.start()
        self.send(CONTENT[:300])
        self.send(CONTENT[300:999])
        stopped = consumer.stop()
        assert handle.holds == b"", "that is done in a thread"
        self.assertNoResult(stopped)
        workers.do_all()
        self.successResultOf(stopped)
        self.assertNoResult(done)
        assert handle.holds == CONTENT[:999]

    def test_gathered_and_being_written(self) -> None:
        """It is written once."""
        workers = HandWorkers()
        handle = Handle()
        consumer = self.consume(handle, workers)
        consumer.expect(1000)
        consumer.start()
        self.send_all(CONTENT[:1000])
        stopped = consumer.stop()
        workers.do_all()
        self.successResultOf(stopped)
        assert handle.holds == CONTENT[:1000]

    def test_nothing_came(self) -> None:
        """A handle that is made by its first byte is not made."""
        for expected in (1000, None):
            for handle in (Handle(failure=AssertionError()), Handle(self.file(b""))):
                self.setUp()
                consumer = self.consume(handle)
                if expected is not None:
                    consumer.expect(expected)
                consumer.start()
                self.successResultOf(consumer.stop())
                assert self.flushLoggedErrors() == []

    def test_not_started(self) -> None:
        self.successResultOf(self.consume(Handle()).stop())

    def test_behind_what_was_held(self) -> None:
        handle = Handle()
        handle.written += CONTENT[:500]
        consumer = self.consume(handle, held=500)
        consumer.expect(500)
        consumer.start()
        self.send(CONTENT[500:700])
        consumer.stop()
        assert handle.holds == CONTENT[:700]
        assert consumer.received == 200

    def test_spliced(self) -> None:
        handle = Handle(self.file(b""))
        workers = HandWorkers()
        consumer = self.consume(handle, workers)
        done = consumer.start()
        pipe = self.lent(consumer)
        self.peer.sendall(CONTENT[:1000])
        consumer._way.readable()  # type: ignore[union-attr]
        assert consumer.received == 1000
        assert not workers.jobs
        self.peer.sendall(CONTENT[1000:2000])  # is in the socket, and no reactor turns
        stopped = consumer.stop()
        assert not self.is_back(pipe)
        workers.do_all()
        self.successResultOf(stopped)
        self.assertNoResult(done)
        assert handle.holds == CONTENT[:2000]
        assert handle.spliced_in == consumer.received == 2000
        assert self.is_back(pipe)

    def test_spliced_while_a_thread_works(self) -> None:
        handle = Handle(self.file(b""))
        workers = HandWorkers()
        consumer = self.consume(handle, workers)
        consumer.start()
        pipe = self.lent(consumer)
        self.send_and_drain(consumer, CONTENT[:1000])
        stopped = consumer.stop()
        workers.do_all()
        self.successResultOf(stopped)
        assert handle.holds == CONTENT[:1000]
        assert self.is_back(pipe)

    def test_copied_while_a_thread_works(self) -> None:
        for handle, pipes in ((Handle(), 8), (Handle(self.file(b"")), 0)):
            self.setUp()
            workers = HandWorkers()
            consumer = self.consume(handle, workers, pipes=pipes)
            consumer.start()
            self.send_and_drain(consumer, CONTENT[:1000])
            stopped = consumer.stop()
            workers.do_all()
            self.successResultOf(stopped)
            assert handle.holds == CONTENT[:1000]
            assert consumer.received == 1000

    def test_what_has_no_file_is_sent_nothing_more(self) -> None:
        """Whoever stopped a get to the screen wants no more of it."""
        handle = Handle()
        workers = HandWorkers()
        consumer = self.consume(handle, workers)
        consumer.start()
        self.send(CONTENT[:1000])
        workers.do_all()
        self.peer.sendall(CONTENT[1000:2000])
        consumer.stop()
        workers.do_all()
        assert handle.holds == CONTENT[:1000]

    def test_a_channel_that_broke(self) -> None:
        for handle, expected in ((Handle(), 50_000), (Handle(self.file(b"")), None)):
            self.setUp()
            consumer = self.consume(handle)
            if expected is not None:
                consumer.expect(expected)
            done = consumer.start()
            self.send(CONTENT[:1000])
            reset(self.peer)
            self.turn()
            assert [type(each) for each in self.lost] == [ConnectionLost]
            self.successResultOf(consumer.stop())
            self.assertNoResult(done)
            assert handle.holds == CONTENT[:1000]

    def test_a_channel_that_broke_while_a_thread_works(self) -> None:
        handle = Handle(self.file(b""))
        workers = HandWorkers()
        consumer = self.consume(handle, workers)
        done = consumer.start()
        pipe = self.lent(consumer)
        self.send_and_drain(consumer, CONTENT[:1000])
        reset(self.peer)
        workers.do_all()
        self.failureResultOf(done, ConnectionLost)
        self.successResultOf(consumer.stop())
        assert handle.holds == CONTENT[:1000]
        assert self.is_back(pipe)

    def test_the_end_of_the_stream(self) -> None:
        """Stopped before anyone knew that all is there."""
        handle = Handle(self.file(b""))
        workers = HandWorkers()
        consumer = self.consume(handle, workers)
        consumer.start()
        self.send_all(CONTENT[:1000])
        stopped = consumer.stop()
        workers.do_all()
        self.successResultOf(stopped)
        assert handle.holds == CONTENT[:1000]

    def test_after_the_end_nothing_is_done(self) -> None:
        workers = HandWorkers()
        consumer = self.consume(Handle(self.file(b"")), workers)
        done = consumer.start()
        self.send_all(CONTENT[:1000])
        workers.do_all()
        assert self.successResultOf(done) == 1000
        self.successResultOf(consumer.stop())
        assert not workers.jobs


class TroubleTests(SalvageCase):
    def test_a_disk_that_is_full(self) -> None:
        """What failed once is not tried again, and what is held is a beginning."""
        handle = Stubborn(400, DiskFull())
        workers = HandWorkers()
        consumer = self.consume(handle, workers)
        done = consumer.start()
        self.send(CONTENT[:1000])
        workers.do_all()
        self.failureResultOf(done, DiskFull)
        self.successResultOf(consumer.stop())
        assert not workers.jobs
        assert handle.holds == CONTENT[:400]

    def test_a_disk_that_is_full_while_it_is_stopped(self) -> None:
        handle = Stubborn(400, DiskFull())
        workers = HandWorkers()
        consumer = self.consume(handle, workers)
        done = consumer.start()
        self.send(CONTENT[:1000])
        stopped = consumer.stop()
        workers.do()
        self.successResultOf(stopped)
        assert not workers.jobs
        self.assertNoResult(done)
        assert handle.holds == CONTENT[:400]

    def test_a_disk_that_is_full_at_the_last(self) -> None:
        handle = Stubborn(400, DiskFull())
        consumer = self.consume(handle)
        consumer.expect(2000)
        consumer.start()
        self.send(CONTENT[:1000])
        self.successResultOf(consumer.stop())
        assert handle.holds == CONTENT[:400]
        assert self.flushLoggedErrors() == [], "the transfer has an error of its own"

    def test_a_device_that_is_full(self) -> None:
        full = os.open("/dev/full", os.O_RDWR)
        self.addCleanup(os.close, full)
        for told_to_stop in (True, False):
            self.setUp()
            consumer = self.consume(Handle(full), HandWorkers())
            done = consumer.start()
            pipe = self.lent(consumer)
            self.send_and_drain(consumer, CONTENT[:1000])
            workers: Any = consumer._workers
            if told_to_stop:
                consumer.stop()
            workers.do_all()
            if told_to_stop:
                self.assertNoResult(done)
            else:
                self.failureResultOf(done, FTPLiteError)
            self.successResultOf(consumer.stop())
            assert not self.is_back(pipe), "it is not empty"

    def test_a_handle_that_fails_in_an_unforeseen_way(self) -> None:
        consumer = self.consume(Handle(failure=ValueError("unforeseen")))
        consumer.expect(1000)
        consumer.start()
        self.send(CONTENT[:10])
        self.successResultOf(consumer.stop())
        assert len(self.flushLoggedErrors(ValueError)) == 1

    def test_more_than_a_file_may_have(self) -> None:
        """What is too much is not written, however it was taken."""
        for handle in (Handle(), Handle(self.file(b""))):
            for workers in (HandWorkers(), None):
                self.setUp()
                os.ftruncate(
                    handle.descriptor, 0
                ) if handle.descriptor is not None else handle.written.clear()
                if handle.descriptor is not None:
                    os.lseek(handle.descriptor, 0, os.SEEK_SET)
                consumer = self.consume(handle, workers, most=1000)
                done = consumer.start()
                self.send(CONTENT[:600])
                self.send(CONTENT[600:2000])
                if workers is not None:
                    workers.do_all()
                    self.turn()
                self.failureResultOf(done, FileTooLarge)
                self.successResultOf(consumer.stop())
                assert CONTENT[:1000].startswith(handle.holds)

    def test_more_than_was_announced_while_it_is_stopped(self) -> None:
        handle = Handle(self.file(b""))
        workers = HandWorkers()
        consumer = self.consume(handle, workers)
        consumer.expect(100_000)
        done = consumer.start()
        self.send(CONTENT[:90_000])
        self.peer.sendall(CONTENT[90_000:200_000])
        consumer.stop()
        workers.do_all()
        self.successResultOf(consumer.stop())
        self.assertNoResult(done)
        assert handle.holds == CONTENT[:100_000]

    def test_a_size_that_is_told_while_a_thread_works(self) -> None:
        for told_to_stop in (True, False):
            for handle in (Handle(), Handle(self.file(b""))):
                self.setUp()
                workers = HandWorkers()
                consumer = self.consume(handle, workers)
                done = consumer.start()
                self.send_and_drain(consumer, CONTENT[:1000])
                consumer.expect(400)
                stopped = consumer.stop() if told_to_stop else None
                workers.do_all()
                if stopped is None:
                    self.failureResultOf(done, SizeMismatch)
                    stopped = consumer.stop()
                self.successResultOf(stopped)
                assert handle.holds == CONTENT[:400]


class AnywhereTests(SalvageCase):
    """Broken off anywhere: what is held is a beginning of the stream, and all that was taken."""

    def test_anywhere(self) -> None:
        for seed in range(60):
            dice = random.Random(seed)
            handle = Handle() if seed % 3 == 0 else Handle(self.file(b""))
            expected = dice.choice((None, 60_000, len(CONTENT)))
            self.setUp()
            workers = HandWorkers()
            consumer = self.consume(handle, workers, pipes=seed % 2 * 8, pipe_size=65536, pieces_a_turn=2)
            if expected is not None:
                consumer.expect(expected)
            done = consumer.start()
            stopped = self.break_off(dice, consumer, workers, (expected or len(CONTENT)) - 1)
            workers.do_all()
            self.successResultOf(stopped)
            self.assertNoResult(done)
            assert handle.holds == CONTENT[: consumer.received], seed

    def break_off(
        self, dice: random.Random, consumer: FileConsumer, workers: HandWorkers, most: int
    ) -> Deferred[None]:
        self.peer.setblocking(False)
        sent = 0
        for _ in range(dice.randrange(40)):
            with contextlib.suppress(BlockingIOError):
                sent += self.peer.send(CONTENT[sent : min(most, sent + dice.randrange(1, 100_000))])
            if dice.random() < 0.5:
                self.reactor.turn()
            if workers.jobs and dice.random() < 0.5:
                workers.do()
        return consumer.stop()
