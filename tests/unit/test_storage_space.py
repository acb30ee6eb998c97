"""What is done when space is short, in memory and on a small disk, and the books that tell."""

from __future__ import annotations

import os
import subprocess
import time

import pytest
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from twisted_ftplite.errors import (
    DiskFull,
)
from twisted_ftplite.limits import Limits
from twisted_ftplite.storage.books import Account, Books, Kept
from twisted_ftplite.storage.memory import MemoryStorage

from .test_storage_contract import MemoryCase
from .test_storage_partials import PartialsCase
from .test_storage_uploads import UploadsCase

MIB = 1024 * 1024


class BooksTests(SynchronousTestCase):
    def partial(self, number: int, size: int = 10) -> Kept:
        return Kept((0, number), b"d", b"%d" % number, size, number)

    def test_a_sweep_forgets_what_it_did_not_see(self) -> None:
        books = Books()
        account = Account()
        books.close(Account(), self.partial(1))
        books.close(Account(), self.partial(2))
        assert books.claim(account, (0, 3))
        assert not books.claim(Account(), (0, 3))
        books.begin_sweep()
        books.note(lambda: self.partial(2, 20))
        books.note(lambda: self.partial(3))
        books.note(lambda: None)
        books.close(Account(), self.partial(4))
        books.end_sweep()
        assert books.held() == (2, 30)

    def test_moved(self) -> None:
        books = Books()
        for number, directory in enumerate((b"a", b"a/b", b"ab")):
            books.close(Account(), self.partial(number)._replace(directory=directory))
        books.moved(b"a", b"x/y")
        assert [each.directory for each in books.surplus(0)] == [b"x/y", b"x/y/b", b"ab"]

    def test_no_space_told_is_no_bound(self) -> None:
        Books().admit(Account(10**18), 0, lambda: None, lambda kept: False)

    def test_partials_in_use_make_no_room(self) -> None:
        books = Books()
        books.close(Account(), self.partial(1))
        with pytest.raises(OSError, match="No space"):
            books.admit(Account(5), 0, lambda: 0, lambda kept: False)
        books.admit(Account(5), 0, lambda: 0, lambda kept: True)


class MemorySpaceTests(MemoryCase, PartialsCase, SynchronousTestCase):
    def test_space_is_set_aside(self) -> None:
        self.capacity = 1000
        self.fill({"a": bytes(100)})
        first = self.upload("b", bytes(100), 500)
        with pytest.raises(DiskFull):
            self.upload("c", b"", 401)
        second = self.upload("c", bytes(400), 400)
        second.discard()
        first.keep()
        third = self.upload("c", b"", 800)
        third.discard()
        assert (self.partial("b"), len(self.stored())) == (bytes(100), 2)
        with pytest.raises(DiskFull):
            self.upload("c", b"", 901)
        assert self.partial("b") == bytes(100)
        self.upload("b", bytes(400), 500, resume=True).publish()
        assert self.storage.partials == (0, 0)

    def test_the_oldest_partials_go_first(self) -> None:
        self.capacity = 1000
        self.fill({})
        for number, name in enumerate("abc"):
            self.later = float(number - 10)
            self.upload(name, bytes(200), None).keep()
        held = self.upload("a", b"", None, resume=True)
        self.upload("x", bytes(600), 600).publish()
        assert [self.partial(name) is None for name in "abc"] == [False, True, False]
        held.keep()
        self.upload("y", bytes(400), 400).publish()
        assert sorted(self.stored()) == ["x", "y"]

    def test_full(self) -> None:
        self.capacity = 10
        self.fill({})
        handle = self.upload("a", bytes(10), None)
        with pytest.raises(DiskFull):
            handle.write(b"x")
        handle.keep()
        assert self.stored() == {}

    def test_not_too_many(self) -> None:
        self.storage = MemoryStorage(limits=Limits(max_partials=3), clock=self.clock)
        for number, name in enumerate("abcde"):
            self.later = float(number)
            self.upload(name, b"x", None).keep()
        assert [self.partial(name) for name in "abcde"] == [None, None, b"x", b"x", b"x"]


class DiskSpaceTests(UploadsCase, SynchronousTestCase):
    """On a disk of 8 MiB."""

    def setUp(self) -> None:
        if os.geteuid() != 0:
            raise SkipTest("only root may mount a small disk")
        self.fill({})
        command = ["mount", "-t", "tmpfs", "-o", "size=8m", "ftplite-test", str(self.root)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            raise SkipTest("nothing may be mounted here")
        self.addCleanup(subprocess.run, ["umount", "--lazy", str(self.root)], check=True)
        self.storage = self.open()

    def partials(self, names: str) -> str:
        """Those of which there is a partial."""
        return "".join(name for name in names if self.storage.partial_size((name,), "me") is not None)

    def test_ten_that_fit_only_one_by_one(self) -> None:
        started = []
        for number in range(10):
            try:
                started.append(self.upload(str(number), b"", 5 * MIB))
            except DiskFull:
                continue
        assert len(started) == 1
        first = started[0]
        first.write(bytes(4 * MIB))
        first.spliced(0)
        small = self.upload("small", b"", 2 * MIB)
        with pytest.raises(DiskFull):
            self.upload("more", b"", 2 * MIB)
        small.discard()
        first.write(bytes(MIB))
        first.publish()
        self.upload("more", bytes(2 * MIB), 2 * MIB).publish()
        with pytest.raises(DiskFull):
            self.upload("b", b"", 5 * MIB)
        assert self.names() == ["0", "more"]

    def test_set_aside_is_given_back(self) -> None:
        for kept in (False, True) * 3:
            handle = self.upload("a", b"", 7 * MIB)
            if kept:
                handle.keep()
            else:
                handle.discard()
        handle = self.upload("a", bytes(MIB), 6 * MIB)
        handle.keep()
        self.upload("a", bytes(5 * MIB), 6 * MIB, resume=True).publish()
        with pytest.raises(DiskFull):
            self.upload("b", b"", 3 * MIB)

    def test_the_oldest_partials_go_first(self) -> None:
        for name in "abc":
            self.upload(name, bytes(2 * MIB)).keep()
            time.sleep(0.01)
        self.storage = self.open()
        self.storage.sweep()
        assert self.storage.partials == (3, 6 * MIB)
        with pytest.raises(DiskFull):
            self.upload("x", b"", 9 * MIB)
        assert self.partials("abc") == "abc"
        held = self.upload("a", b"", 2 * MIB, resume=True)
        self.upload("x", bytes(3 * MIB), 3 * MIB).publish()
        assert self.partials("abc") == "ac"
        held.keep()
        self.upload("y", bytes(3 * MIB), 3 * MIB).publish()
        assert self.partials("abc") == "c"
        assert self.storage.partials == (1, 2 * MIB)

    def test_its_own_old_partial_makes_room(self) -> None:
        self.upload("a", bytes(6 * MIB)).keep()
        self.upload("a", bytes(7 * MIB), 7 * MIB).publish()
        assert self.names() == ["a"]

    def test_to_resume_wants_only_the_rest(self) -> None:
        self.upload("a", bytes(6 * MIB)).keep()
        with pytest.raises(DiskFull):
            self.upload("a", b"", 9 * MIB, resume=True)
        assert (self.partials("a"), self.storage.partials) == ("a", (1, 6 * MIB))
        self.upload("a", bytes(MIB), 7 * MIB, resume=True).publish()

    def test_written_full(self) -> None:
        handle = self.upload("a", bytes(MIB))
        with pytest.raises(DiskFull):
            handle.write(bytes(8 * MIB))
        handle.keep()
        assert self.names() == []
