"""Uploads that run and those that settle; checksums that are known again."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite.errors import ConnectionLost, FTPLiteError
from twisted_ftplite.protocol.values import Checksum
from twisted_ftplite.server.checksums import Checksums
from twisted_ftplite.server.uploads import LiveUpload, LiveUploads, Place
from twisted_ftplite.storage.snapshot import Snapshot

HERE = Place("127.0.0.1", "f")


class Running:
    """An upload as its command has it."""

    def __init__(self, uploads: LiveUploads, size: int = 0) -> None:
        self.ended: list[FTPLiteError] = []
        self.over = False
        self.live = LiveUpload(self.end, lambda: size, lambda: self.over)
        uploads.begin(HERE, self.live)

    def end(self, error: FTPLiteError) -> None:
        self.ended.append(error)
        self.over = True


class UploadsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.uploads = LiveUploads()

    def test_nobody_there(self) -> None:
        self.successResultOf(ensureDeferred(self.uploads.take_over(HERE)))
        assert self.successResultOf(ensureDeferred(self.uploads.settle(HERE))) == []

    def test_taking_over_waits_for_each(self) -> None:
        one, other = Running(self.uploads), Running(self.uploads)
        taken = ensureDeferred(self.uploads.take_over(HERE))
        assert isinstance(one.ended[0], ConnectionLost)
        self.assertNoResult(taken)
        assert other.ended == []
        self.uploads.end(HERE, one.live)
        self.assertNoResult(taken)
        assert isinstance(other.ended[0], ConnectionLost)
        self.uploads.end(HERE, other.live)
        self.successResultOf(taken)

    def test_others_are_left_alone(self) -> None:
        running = Running(self.uploads)
        for place in (Place("127.0.0.2", "f"), Place("127.0.0.1", "g")):
            self.successResultOf(ensureDeferred(self.uploads.take_over(place)))
        assert running.ended == []

    def test_two_that_take_over_at_once(self) -> None:
        running = Running(self.uploads)
        takers = [ensureDeferred(self.uploads.take_over(HERE)) for _ in range(2)]
        self.uploads.end(HERE, running.live)
        for taken in takers:
            self.successResultOf(taken)

    def test_who_waits_may_give_up(self) -> None:
        running = Running(self.uploads)
        taken = ensureDeferred(self.uploads.take_over(HERE))
        taken.cancel()
        self.failureResultOf(taken, CancelledError)
        self.uploads.end(HERE, running.live)

    def test_only_those_that_are_over_settle(self) -> None:
        running, ending = Running(self.uploads, 5), Running(self.uploads, 7)
        ending.over = True
        settled = ensureDeferred(self.uploads.settle(HERE))
        self.assertNoResult(settled)
        self.uploads.end(HERE, ending.live)
        assert self.successResultOf(settled) == [running.live]
        assert running.ended == []
        assert [each.size() for each in self.uploads.there(HERE)] == [5]


class ChecksumsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 1000.0
        self.checksums = Checksums(most=2, settling=0.1, clock=lambda: self.now)

    def file(self, version: str | None, mtime: float = 900.0) -> Snapshot:
        return Snapshot(b"x", int(mtime * 1e9), 0o644, version)

    def test_known_again(self) -> None:
        self.checksums.remember(self.file("a"), Checksum("xxh128", "1"))
        assert self.checksums.find("xxh128", self.file("a")) == Checksum("xxh128", "1")
        assert self.checksums.find("sha256", self.file("a")) is None
        assert self.checksums.find("xxh128", self.file("b")) is None

    def test_what_cannot_be_told_is_not_remembered(self) -> None:
        self.checksums.remember(self.file(None), Checksum("xxh128", "1"))
        assert self.checksums.find("xxh128", self.file(None)) is None

    def test_a_file_that_was_changed_just_now(self) -> None:
        self.checksums.remember(self.file("a", mtime=999.95), Checksum("xxh128", "1"))
        assert self.checksums.find("xxh128", self.file("a")) is None
        self.now += 1
        self.checksums.remember(self.file("a", mtime=999.95), Checksum("xxh128", "1"))
        assert self.checksums.find("xxh128", self.file("a")) is not None

    def test_the_one_longest_unused_is_forgotten(self) -> None:
        for name in "ab":
            self.checksums.remember(self.file(name), Checksum("xxh128", name))
        self.checksums.find("xxh128", self.file("a"))
        self.checksums.remember(self.file("c"), Checksum("xxh128", "c"))
        known = [name for name in "abc" if self.checksums.find("xxh128", self.file(name))]
        assert known == ["a", "c"]
