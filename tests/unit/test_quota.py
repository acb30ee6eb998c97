"""What users may store: reserved, counted and given back, whatever happens in whatever order."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.fakes import HandWorkers
from twisted_ftplite.errors import FTPLiteError, QuotaExceeded, StorageFailed
from twisted_ftplite.flow.workers import InlineWorkers, Workers
from twisted_ftplite.limits import Limits
from twisted_ftplite.server.quota import Quota, Quotas
from twisted_ftplite.server.storing import StoredUpload, open_upload
from twisted_ftplite.storage.interface import Upload, Usage
from twisted_ftplite.storage.memory import MemoryStorage

EXAMPLES = 150
LIMITS = Limits(resumable_size=10, quota_step=16)


class Bounds(NamedTuple):
    quota_bytes: int | None = None
    quota_files: int | None = None


def quota_of(
    storage: MemoryStorage, size: int | None, files: int | None = None, workers: Workers | None = None
) -> Quota:
    quotas = Quotas(workers or InlineWorkers(), lambda root: storage, LIMITS)
    quota = quotas.of("", Bounds(size, files))
    assert quota is not None
    return quota


class QuotaCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.storage = MemoryStorage({"a": bytes(10), "d/b": bytes(20)}, limits=LIMITS)

    def quota(self, size: int | None = 100, files: int | None = None) -> Quota:
        quota = quota_of(self.storage, size, files)
        self.successResultOf(quota.ready())
        return quota

    def open(self, quota: Quota, name: str, size: int | None, *, resume: bool = False) -> StoredUpload:
        return open_upload(self.storage, (name,), Upload("me", size, resume), quota)


class ReservationTests(QuotaCase):
    def test_what_is_there_counts(self) -> None:
        quota = self.quota()
        assert quota.tally.used == Usage(30, 2)
        quota.reserve(70)
        with pytest.raises(QuotaExceeded, match="0 of 100 bytes are left"):
            quota.reserve(1)

    def test_it_is_given_back(self) -> None:
        quota = self.quota()
        first = quota.reserve(40)
        with pytest.raises(QuotaExceeded, match="30 of 100 bytes are left"):
            quota.reserve(31)
        first.discarded()
        first.discarded()
        first.published(1000)
        second = quota.reserve(70)
        assert quota.tally.reserved == Usage(70, 1)
        second.kept(5)
        assert (quota.tally.used, quota.tally.reserved) == (Usage(35, 3), Usage(0, 0))
        third = quota.reserve(65, held=5)
        assert (quota.tally.used, quota.tally.reserved) == (Usage(30, 2), Usage(65, 1))
        third.published(65, Usage(10, 1))
        assert (quota.tally.used, quota.tally.reserved) == (Usage(85, 2), Usage(0, 0))

    def test_files(self) -> None:
        quota = self.quota(None, 3)
        first = quota.reserve(10**15)
        with pytest.raises(QuotaExceeded, match="0 of 3 files are left"):
            quota.reserve(0)
        first.kept(7)
        with pytest.raises(QuotaExceeded):
            quota.reserve(0)
        quota.reserve(10, held=7).published(10)
        quota.removed(Usage(10, 1))
        quota.reserve(0)

    def test_who_has_too_much_may_still_remove_and_go_on_with_what_is_whole(self) -> None:
        quota = self.quota(20, 2)
        with pytest.raises(QuotaExceeded, match="0 of 2 files"):
            quota.reserve(0)
        with pytest.raises(QuotaExceeded, match="0 of 20 bytes"):
            quota.reserve(21, held=20)
        quota.reserve(20, held=20).published(20)
        quota.removed(Usage(20, 1))
        quota.reserve(10).discarded()

    def test_one_of_unknown_size_asks_as_it_grows(self) -> None:
        quota = self.quota()
        one, other = quota.reserve(None), quota.reserve(None)
        assert quota.tally.reserved == Usage(0, 2)
        assert one.ask(1) == 16
        assert one.ask(16) == 16
        assert one.ask(17) == 32
        assert other.ask(20) == 20
        assert one.ask(53) == 50
        assert str(one.refused()) == "Quota exceeded. 0 of 100 bytes are left."
        other.published(3)
        assert one.ask(53) == 66
        one.published(53)
        assert one.ask(1000) == 66, "it is over"
        assert (quota.tally.used, quota.tally.reserved) == (Usage(86, 4), Usage(0, 0))

    def test_without_a_bound_in_bytes(self) -> None:
        reservation = self.quota(None, 100).reserve(None)
        assert reservation.ask(10**12) == 10**12

    def test_an_upload_begins_anew(self) -> None:
        quota = self.quota()
        upload = self.open(quota, "n", 60)
        upload.handle.write(bytes(50))
        upload.keep()
        assert quota.tally.used == Usage(80, 3)
        with pytest.raises(QuotaExceeded, match="20 of 100"):
            self.open(quota, "other", 21)
        upload = self.open(quota, "n", 70)  # the partial is gone
        assert (quota.tally.used, quota.tally.reserved) == (Usage(30, 2), Usage(70, 1))
        with pytest.raises(QuotaExceeded):
            self.open(quota, "n", 1)
        upload.discard()
        upload.keep()
        assert (quota.tally.used, quota.tally.reserved) == (Usage(30, 2), Usage(0, 0))

    def test_what_cannot_be_opened_reserves_nothing(self) -> None:
        quota = self.quota()
        first = self.open(quota, "n", None)
        first.handle.write(bytes(8))
        assert first.reservation is not None
        first.reservation.ask(8)
        for name, resume in (("d", False), ("x", True), ("n", True)):
            with pytest.raises(FTPLiteError):
                self.open(quota, name, 20, resume=resume)
            assert (quota.tally.used, quota.tally.reserved) == (Usage(30, 2), Usage(16, 1))
        first.keep()
        assert quota.tally.used == Usage(38, 3)

    def test_what_is_replaced(self) -> None:
        quota = self.quota()
        with pytest.raises(QuotaExceeded):
            self.open(quota, "a", 71)
        upload = self.open(quota, "a", 70)
        upload.handle.write(bytes(70))
        upload.publish()
        assert quota.tally.used == self.storage.usage() == Usage(90, 2)


class CountingTests(QuotaCase):
    def setUp(self) -> None:
        super().setUp()
        self.workers = HandWorkers()
        self.quotas = Quotas(self.workers, lambda root: self.storage, LIMITS)

    def test_who_is_counted(self) -> None:
        assert self.quotas.of("", Bounds()) is None
        bounded = self.quotas.of("", Bounds(100))
        unbounded = self.quotas.of("", Bounds())
        assert bounded is not None
        assert unbounded is not None
        assert bounded.tally is unbounded.tally
        assert self.quotas.of("d", Bounds()) is None
        same = self.quotas.of("../root", Bounds(5))
        assert same is not None
        assert same.tally is bounded.tally, "two names of one tree"
        self.quotas.forget("")
        assert self.quotas.of("", Bounds()) is None

    def test_counted_once_for_all_who_wait(self) -> None:
        quota = self.quotas.of("", Bounds(100))
        assert quota is not None
        waits = [quota.ready() for _ in range(3)]
        waits[1].cancel()
        self.failureResultOf(waits[1], CancelledError)
        self.workers.do_all()
        self.successResultOf(waits[0])
        self.successResultOf(waits[2])
        self.successResultOf(quota.ready())
        assert not self.workers.jobs

    def test_a_disk_that_fails(self) -> None:
        def broken() -> Usage:
            raise StorageFailed

        quota = self.quotas.of("", Bounds(100))
        assert quota is not None
        self.storage.usage = broken  # type: ignore[method-assign]
        wait = quota.ready()
        self.workers.do_all()
        self.failureResultOf(wait, StorageFailed)
        del self.storage.usage
        wait = quota.ready()
        self.workers.do_all()
        self.successResultOf(wait)

    def test_recount_finds_what_others_have_done(self) -> None:
        quota = self.quotas.of("", Bounds(100))
        assert quota is not None
        quota.ready()
        self.workers.do_all()
        self.storage.overwrite("a", bytes(50))
        counted = Deferred.fromCoroutine(self.quotas.recount())
        self.workers.do_all()
        self.successResultOf(counted)
        assert quota.tally.used == Usage(70, 2)

    def test_recount_fails_for_one_only(self) -> None:
        def tree_of(root: str) -> MemoryStorage:
            storage = MemoryStorage({root: bytes(5)})
            storages.append(storage)
            return storage

        storages: list[MemoryStorage] = []
        quotas = Quotas(InlineWorkers(), tree_of)
        each = [quotas.of(root, Bounds(10)) for root in ("a", "b")]
        for quota in each:
            assert quota is not None
            self.successResultOf(quota.ready())
        storages[1].overwrite("b", bytes(9))
        storages[0].usage = lambda: 1 / 0  # type: ignore[assignment, method-assign, return-value]
        self.successResultOf(Deferred.fromCoroutine(quotas.recount()))
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
        assert each[1] is not None
        assert each[1].tally.used == Usage(9, 1)

    def test_what_moves_is_counted_again(self) -> None:
        quota = self.quotas.of("", Bounds(100))
        assert quota is not None
        ready = quota.ready()
        self.workers.do()  # it begins
        quota.removed(Usage(0, 0), moves=True)
        self.workers.do()
        self.workers.do()
        self.assertNoResult(ready)
        self.workers.do_all()
        self.successResultOf(ready)
        # Where it never ends, what is known already is believed.
        self.storage.overwrite("a", bytes(50))
        recount = quota.tally.recount()
        while self.workers.jobs:
            quota.removed(Usage(0, 0), moves=True)
            self.workers.do()
        self.successResultOf(recount)
        assert quota.tally.used == Usage(30, 2)

    def test_changes_wait_for_their_turn(self) -> None:
        quota = self.quotas.of("", Bounds(100))
        assert quota is not None
        told: list[str] = []
        for each in "abc":
            quota.turns.run(told.append, each)
        assert len(self.workers.jobs) == 1
        self.workers.do()
        assert told == ["a"]
        self.workers.do_all()
        assert told == ["a", "b", "c"]


class ManyPutsTests(SynchronousTestCase):
    """Fifty at a time, their threads and their bytes in any order."""

    PUTS = 50
    QUOTA = 1000

    def run_puts(self, seed: int) -> tuple[int, int]:
        chance = random.Random(seed)
        storage = MemoryStorage({f"f{number}": bytes(10) for number in range(10)}, limits=LIMITS)
        workers = HandWorkers()
        quota = quota_of(storage, self.QUOTA, 45, workers)
        published: list[int] = []
        refused: list[QuotaExceeded] = []
        turns: list[Deferred[None]] = []

        def yielded() -> Deferred[None]:
            turn: Deferred[None] = Deferred()
            turns.append(turn)
            return turn

        async def put(number: int) -> None:
            size = chance.randrange(120)
            announced = size if chance.random() < 0.5 else None
            await quota.ready()
            upload = Upload("me", announced)
            name = f"f{chance.randrange(70)}"
            try:
                opened = await quota.turns.run(open_upload, storage, (name,), upload, quota)
            except QuotaExceeded as error:
                refused.append(error)
                return
            assert opened.reservation is not None
            while opened.handle.size < size and chance.random() < 0.95:
                await yielded()
                wanted = min(size, opened.handle.size + 20)
                if opened.reservation.ask(wanted) < wanted:
                    refused.append(opened.reservation.refused())
                    await quota.turns.run(opened.discard)
                    return
                opened.handle.write(bytes(wanted - opened.handle.size))
            if opened.handle.size == size:
                await quota.turns.run(opened.publish)
                published.append(size)
            else:
                await quota.turns.run(opened.keep)

        running = [Deferred.fromCoroutine(put(number)) for number in range(self.PUTS)]
        recounts = 0
        while turns or workers.jobs:
            if turns and (not workers.jobs or chance.random() < 0.7):
                turns.pop(chance.randrange(len(turns))).callback(None)
            else:
                workers.do()
            if recounts < 5 and chance.random() < 0.05 and quota.tally.used.files:
                recounts += 1
                quota.tally.recount()
            stored = storage.files()
            assert sum(map(len, stored.values())) <= self.QUOTA
            assert len(stored) <= 45
            used, reserved = quota.tally.used, quota.tally.reserved
            assert used.bytes + reserved.bytes <= self.QUOTA
            assert used.files + reserved.files <= 45
        for each in running:
            self.successResultOf(each)
        assert quota.tally.reserved == Usage(0, 0)
        assert quota.tally.used.bytes >= storage.usage().bytes
        return len(published), len(refused)

    def test_the_sum_holds(self) -> None:
        came = [self.run_puts(seed) for seed in range(30)]
        assert min(count for count, _ in came) > 5
        assert min(count for _, count in came) > 1


class Half(MemoryStorage):
    """Tells what a walk finds that looks at one half of the names now, at the other later."""

    def found(self, half: int) -> Usage:
        sizes = [
            len(each.content)
            for name, each in self._tree.files()
            if not each.held and sum(name.encode()) % 2 == half
        ]
        return Usage(sum(sizes), len(sizes))


NAMES = st.sampled_from(("a", "b", "c", "d/a", "d/b", "d/e/a"))
OLD, NEW = st.sampled_from(("a", "b", "d", "d/e", "d/b")), st.sampled_from(("a", "c", "d", "d/e", "f"))
SIZES = st.one_of(st.none(), st.integers(0, 80))


class QuotaMachine(RuleBasedStateMachine):
    """Uploads, changes of the tree and counts, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.storage = Half({"a": bytes(10), "d/a": bytes(20), "d/e/a": b""}, limits=LIMITS)
        self.most = Usage(200, 8)
        self.quota = quota_of(self.storage, *self.most)
        self.quota.ready()
        self.running: list[StoredUpload] = []
        self.walk: Iterator[Usage] | None = None
        self.found = [Usage(0, 0)]

    @rule(name=NAMES, size=SIZES, resume=st.booleans(), owner=st.sampled_from("xy"))
    def begin(self, name: str, size: int | None, resume: bool, owner: str) -> None:
        upload = Upload(owner, size, resume)
        with contextlib.suppress(FTPLiteError):
            self.running.append(open_upload(self.storage, tuple(name.split("/")), upload, self.quota))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), count=st.integers(0, 60))
    def grow(self, data: st.DataObject, count: int) -> None:
        upload = data.draw(st.sampled_from(self.running))
        assert upload.reservation is not None
        room = upload.reservation.ask(upload.handle.size + count) - upload.handle.size
        upload.handle.write(bytes(max(0, min(count, room))))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), how=st.sampled_from(("publish", "keep", "discard")))
    def end(self, data: st.DataObject, how: str) -> None:
        upload = data.draw(st.sampled_from(self.running))
        self.running.remove(upload)
        try:
            getattr(upload, how)()
        except FTPLiteError:  # its directory is gone
            upload.keep()

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        with contextlib.suppress(FTPLiteError):
            self.quota.removed(self.storage.remove(tuple(name.split("/"))))

    @rule(old=OLD, new=NEW)
    def rename(self, old: str, new: str) -> None:
        with contextlib.suppress(FTPLiteError):
            replaced = self.storage.rename(tuple(old.split("/")), tuple(new.split("/")))
            self.quota.removed(replaced, moves=True)

    @rule(name=st.sampled_from(("d", "d/e", "f")))
    def remove_directory(self, name: str) -> None:
        with contextlib.suppress(FTPLiteError):
            self.quota.removed(self.storage.remove_directory(tuple(name.split("/"))))

    @rule(name=st.sampled_from(("d", "d/e", "f")))
    def make_directory(self, name: str) -> None:
        with contextlib.suppress(FTPLiteError):
            self.storage.make_directory(tuple(name.split("/")))

    @rule()
    def count(self) -> None:
        tally = self.quota.tally
        if self.walk is None:
            tally._begin_count()
            self.found = []
            self.walk = (self.storage.found(half) for half in (0, 1))
        try:
            self.found.append(next(self.walk))
        except StopIteration:
            self.walk = None
            tally._end_count(Usage(*map(sum, zip(*self.found, strict=True))), True)

    @invariant()
    def the_sum_holds(self) -> None:
        used, reserved = self.quota.tally.used, self.quota.tally.reserved
        there, files = self.storage.usage(), self.storage.files()
        assert used == there
        assert used.bytes + reserved.bytes <= self.most.bytes
        assert used.files + reserved.files <= self.most.files
        writing = sum(each.handle.size for each in self.running)
        assert reserved.bytes >= writing
        assert sum(map(len, files.values())) <= used.bytes + reserved.bytes
        assert reserved.files == len(self.running)

    def teardown(self) -> None:
        for each in self.running:
            each.discard()
        self.quota.tally.recount()
        assert self.quota.tally.used == self.storage.usage()
        assert self.quota.tally.reserved == Usage(0, 0)


class AnyOrderTests(SynchronousTestCase):
    def test_the_sum_holds(self) -> None:
        run_state_machine_as_test(
            QuotaMachine,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=40,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
