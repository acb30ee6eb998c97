"""Uploads whose room is asked for while they grow."""

from __future__ import annotations

from tests.unit.fakes import HandWorkers
from tests.unit.flow_cases import Handle, ReceivingCase
from twisted_ftplite.errors import FileTooLarge, FTPLiteError, QuotaExceeded, SizeMismatch


class Granting:
    """An `Allowance` of ``most`` bytes, granted in steps."""

    def __init__(self, most: int, step: int = 1) -> None:
        self.most = most
        self.step = step
        self.granted = 0
        self.asked: list[int] = []

    def ask(self, total: int) -> int:
        assert total > self.granted, "what was granted is not asked for again"
        self.asked.append(total)
        self.granted = min(self.most, max(total, self.granted + self.step))
        return self.granted

    def refused(self) -> FTPLiteError:
        return QuotaExceeded("No more.")


class AllowanceTests(ReceivingCase):
    def handles(self) -> list[Handle]:
        return [Handle(), Handle(self.file(b""))]

    def test_all_of_it_may_be_used(self) -> None:
        content = bytes(range(250)) * 2000
        for step in (1, 70_000):
            for handle in self.handles():
                self.setUp()
                allowance = Granting(len(content), step)
                done = self.consume(handle, allowance=allowance).start()
                self.send_all(content)
                assert self.successResultOf(done) == len(content)
                assert handle.holds == content
                assert allowance.granted == len(content)

    def test_a_byte_more_fails_at_once(self) -> None:
        for content in (b"x" * 10, b"x" * 300_000):
            for handle in self.handles():
                self.setUp()
                done = self.consume(handle, allowance=Granting(len(content) - 1)).start()
                self.peer.sendall(content)
                self.turn()
                failure = self.failureResultOf(done, QuotaExceeded)
                assert failure.getErrorMessage() == "Quota exceeded. No more."
                assert not self.reactor.readers
                assert len(handle.holds) < len(content)

    def test_nothing_at_all(self) -> None:
        for handle in self.handles():
            self.setUp()
            done = self.consume(handle, allowance=Granting(0)).start()
            self.send_all(b"")
            assert self.successResultOf(done) == 0
            self.setUp()
            done = self.consume(handle, allowance=Granting(0)).start()
            self.send_all(b"x")
            self.failureResultOf(done, QuotaExceeded)
            assert handle.holds == b""

    def test_it_is_asked_ahead_of_a_thread(self) -> None:
        for handle in self.handles():
            self.setUp()
            workers, allowance = HandWorkers(), Granting(1 << 40)
            consumer = self.consume(handle, workers, allowance=allowance, piece=1 << 20)
            consumer.start()
            self.send_all(b"x" * 1000)
            assert consumer.waits_for_disk
            assert allowance.granted > 1 << 20

    def test_what_is_held_is_part_of_it(self) -> None:
        handle = Handle()
        allowance = Granting(110)
        done = self.consume(handle, held=100, allowance=allowance).start()
        self.send_all(b"x" * 10)
        assert self.successResultOf(done) == 10
        self.setUp()
        done = self.consume(handle, held=100, allowance=Granting(110)).start()
        self.send_all(b"x" * 11)
        self.failureResultOf(done, QuotaExceeded)

    def test_what_is_announced_is_asked_for_whole_and_once(self) -> None:
        for size in (10, 300_000):
            for handle in self.handles():
                self.setUp()
                allowance = Granting(size)
                consumer = self.consume(handle, allowance=allowance)
                consumer.expect(size)
                done = consumer.start()
                self.send_all(bytes(size))
                assert self.successResultOf(done) == size
                assert allowance.asked == [size]

    def test_more_than_announced(self) -> None:
        for most in (10, 1000):
            self.setUp()
            consumer = self.consume(Handle(), allowance=Granting(most))
            consumer.expect(10)
            done = consumer.start()
            self.send_all(bytes(11))
            self.failureResultOf(done, SizeMismatch)

    def test_what_is_announced_and_too_large_fails_before_a_byte_came(self) -> None:
        for size in (10, 300_000):
            for handle in self.handles():
                self.setUp()
                consumer = self.consume(handle, allowance=Granting(size - 1))
                consumer.expect(size)
                self.failureResultOf(consumer.start(), QuotaExceeded)
                assert not self.reactor.readers
                self.successResultOf(consumer.stop())

    def test_what_is_announced_late(self) -> None:
        for most in (20, 200):
            for handle in self.handles():
                self.setUp()
                consumer = self.consume(handle, allowance=Granting(most))
                done = consumer.start()
                self.peer.sendall(bytes(10))
                self.turn()
                self.assertNoResult(done)
                consumer.expect(100)
                if most < 100:
                    self.failureResultOf(done, QuotaExceeded)
                else:
                    self.send_all(bytes(90))
                    assert self.successResultOf(done) == 100

    def test_what_is_announced_late_while_a_thread_works(self) -> None:
        workers = HandWorkers()
        consumer = self.consume(Handle(), workers, allowance=Granting(20))
        done = consumer.start()
        self.peer.sendall(bytes(10))
        self.turn()
        consumer.expect(100)
        self.assertNoResult(done)
        workers.do()
        self.failureResultOf(done, QuotaExceeded)

    def test_the_servers_own_limit_comes_first(self) -> None:
        allowance = Granting(1000)
        done = self.consume(Handle(), allowance=allowance, max_file_size=10).start()
        self.send_all(bytes(11))
        self.failureResultOf(done, FileTooLarge)
        assert allowance.granted == 10

    def test_what_breaks_off_is_salvaged_up_to_it(self) -> None:
        for most, kept in ((10, 10), (1000, 300)):
            self.setUp()
            handle = Handle(self.file(b""))
            consumer = self.consume(handle, HandWorkers(), allowance=Granting(most))
            workers = consumer._threads
            assert isinstance(workers, HandWorkers)
            consumer.start()
            self.peer.sendall(bytes(300))
            stopped = consumer.stop()
            workers.do_all()
            self.successResultOf(stopped)
            assert len(handle.holds) == kept
