"""What every storage promises (storage/interface.py), asked of each of them in the same words."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Hashable
from pathlib import Path as LocalPath
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite.errors import (
    DiskFull,
    FileExists,
    FileNotFound,
    IsADirectory,
    NameNotAllowed,
    NotADirectory,
    PermissionDenied,
)
from twisted_ftplite.limits import Limits
from twisted_ftplite.storage.interface import NOTHING, Entry, Storage, Upload, UploadHandle, Usage
from twisted_ftplite.storage.local import LocalStorage
from twisted_ftplite.storage.memory import MemoryStorage

if TYPE_CHECKING:
    _Base = SynchronousTestCase
else:
    _Base = object  # so that nobody takes the contract itself for a test case

LIMITS = Limits(small_file=100, resumable_size=1000)
SMALL = b"small"
LARGE = bytes(range(250)) * 4


class StorageCase(_Base):
    """Mixed into a test case that knows how to make one kind of storage."""

    storage: Storage
    later = 0.0
    """Seconds by which the storage's clock is ahead."""

    def clock(self) -> float:
        return time.time() + self.later

    def fill(self, files: dict[str, bytes], *directories: str, read_only: bool = False) -> None:
        """Make `storage`, with these files and directories."""
        raise NotImplementedError

    def make_directory(self, name: str) -> None:
        raise NotImplementedError

    def overwrite(self, name: str, content: bytes) -> None:
        """Change a file in place, as another program on the machine does."""
        raise NotImplementedError

    def stored(self) -> dict[str, bytes]:
        """Every file there is, those of the server's own included."""
        raise NotImplementedError

    def put(self, name: str, content: bytes) -> None:
        handle = self.storage.open_write(tuple(name.split("/")))
        handle.write(content)
        handle.publish()


class MemoryCase(StorageCase):
    storage: MemoryStorage
    capacity: int | None = None

    def fill(self, files: dict[str, bytes], *directories: str, read_only: bool = False) -> None:
        self.storage = MemoryStorage(
            files, limits=LIMITS, read_only=read_only, capacity=self.capacity, clock=self.clock
        )
        for name in directories:
            self.make_directory(name)

    def make_directory(self, name: str) -> None:
        self.storage.make_directory(tuple(name.split("/")))

    def overwrite(self, name: str, content: bytes) -> None:
        self.storage.overwrite(name, content)

    def stored(self) -> dict[str, bytes]:
        return self.storage.files()


class LocalCase(StorageCase):
    storage: LocalStorage
    options: ClassVar[dict[str, Any]] = {}
    where: str | None = None
    """The directory to work in; None: the system's for temporary files."""

    def fill(self, files: dict[str, bytes], *directories: str, read_only: bool = False) -> None:
        temporary = tempfile.TemporaryDirectory(dir=self.where)
        self.addCleanup(temporary.cleanup)
        self.root = LocalPath(temporary.name)
        for name in directories:
            (self.root / name).mkdir()
        for name, content in files.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_bytes(content)
        self.storage = LocalStorage(
            temporary.name, umask=0o022, limits=LIMITS, read_only=read_only, clock=self.clock, **self.options
        )
        self.addCleanup(self.storage.close)

    def make_directory(self, name: str) -> None:
        (self.root / name).mkdir()

    def overwrite(self, name: str, content: bytes) -> None:
        (self.root / name).write_bytes(content)

    def stored(self) -> dict[str, bytes]:
        return {
            str(each.relative_to(self.root)): each.read_bytes()
            for each in self.root.rglob("*")
            if each.is_file()
        }


class WalkedCase(LocalCase):
    """As on a system without openat2."""

    options: ClassVar[dict[str, Any]] = {"walk": True}


class NamedCase(LocalCase):
    """As on a file system without O_TMPFILE."""

    def setUp(self) -> None:
        # What a kernel does that knows no such flag: it opens the directory for writing, and says EISDIR.
        self.patch(os, "O_TMPFILE", 0)


class StorageContract(StorageCase):
    # Reading.

    def test_small_file_is_read_when_opened(self) -> None:
        self.fill({"a": SMALL, "limit": bytes(100)})
        handle = self.storage.open_read(("a",))
        self.addCleanup(handle.close)
        assert (handle.size, handle.content) == (5, SMALL)
        assert handle.read(1, 3) == b"mal"
        limit = self.storage.open_read(("limit",))
        self.addCleanup(limit.close)
        assert limit.content == bytes(100)

    def test_empty_file(self) -> None:
        self.fill({"a": b""})
        handle = self.storage.open_read(("a",))
        self.addCleanup(handle.close)
        assert (handle.size, handle.content, handle.read(0, 10)) == (0, b"", b"")

    def test_large_file_is_read_piece_by_piece(self) -> None:
        self.fill({"d/a": LARGE})
        handle = self.storage.open_read(("d", "a"))
        self.addCleanup(handle.close)
        assert (handle.size, handle.content) == (1000, None)
        assert handle.read(990, 100) == LARGE[990:]
        assert handle.read(10, 20) == LARGE[10:30]
        assert (handle.read(1000, 5), handle.read(5000, 5)) == (b"", b"")
        assert not handle.changed()

    def test_descriptor_reads_the_file(self) -> None:
        self.fill({"a": LARGE})
        handle = self.storage.open_read(("a",))
        self.addCleanup(handle.close)
        descriptor = handle.fileno()
        if descriptor is not None:
            assert os.pread(descriptor, 2000, 0) == LARGE

    def test_what_cannot_be_read(self) -> None:
        self.fill({"file": SMALL}, "directory")
        for path, error in (
            (("missing",), FileNotFound),
            (("missing", "too"), FileNotFound),
            (("directory",), IsADirectory),
            ((), IsADirectory),
            (("file", "below"), NotADirectory),
        ):
            with pytest.raises(error):
                self.storage.open_read(path)

    def test_closing_twice(self) -> None:
        self.fill({"a": SMALL, "b": LARGE})
        for name in "ab":
            handle = self.storage.open_read((name,))
            handle.close()
            handle.close()

    def test_changed_in_place(self) -> None:
        for content in (LARGE[::-1], LARGE + b"more", b"less"):
            self.fill({"a": LARGE})
            handle = self.storage.open_read(("a",))
            self.overwrite("a", content)
            assert handle.changed()
            handle.close()

    def test_a_small_file_cannot_change_any_more(self) -> None:
        self.fill({"a": SMALL})
        handle = self.storage.open_read(("a",))
        self.addCleanup(handle.close)
        self.overwrite("a", b"other")
        assert not handle.changed()
        assert (handle.content, handle.read(0, 10)) == (SMALL, SMALL)

    def test_replaced_is_not_changed(self) -> None:
        self.fill({"a": LARGE})
        handle = self.storage.open_read(("a",))
        self.addCleanup(handle.close)
        self.put("a", b"new")
        assert not handle.changed()
        assert handle.read(0, 2000) == LARGE

    def test_opened_at_once_or_not_at_all(self) -> None:
        self.fill({"a": SMALL, "b": LARGE})
        for name, content in (("a", SMALL), ("b", LARGE)):
            handle = self.storage.open_read_now((name,))
            if handle is not None:
                self.addCleanup(handle.close)
                assert (handle.size, handle.read(0, 2000)) == (len(content), content)
                assert not handle.changed()

    def test_what_cannot_be_read_is_not_opened_at_once_either(self) -> None:
        self.fill({"file": SMALL}, "directory")
        for path, error in (
            (("missing",), FileNotFound),
            (("directory",), IsADirectory),
            (("file", "below"), NotADirectory),
        ):
            try:
                handle = self.storage.open_read_now(path)
            except error:
                continue
            assert handle is None

    def version(self, name: str) -> Hashable:
        """What both ways of opening it say."""
        handle = self.storage.open_read(tuple(name.split("/")))
        version = handle.version
        assert version is not None
        handle.close()
        at_once = self.storage.open_read_now(tuple(name.split("/")))
        if at_once is not None:
            assert at_once.version == version
            at_once.close()
        return version

    def test_attributes_of_an_open_file(self) -> None:
        self.fill({"a": SMALL, "b": LARGE})
        for name in "ab":
            for handle in (self.storage.open_read((name,)), self.storage.open_read_now((name,))):
                if handle is not None:
                    told = self.storage.stat((name,))
                    assert (handle.size, handle.mtime_ns, handle.mode) == told[1:4]
                    handle.close()

    def test_attributes_are_those_of_the_moment_it_was_opened(self) -> None:
        for content in (SMALL, LARGE):
            self.fill({"a": content})
            handle = self.storage.open_read(("a",))
            before = handle.size, handle.mtime_ns, handle.mode, handle.version
            time.sleep(0.01)
            self.overwrite("a", b"other" * 100)
            assert (handle.size, handle.mtime_ns, handle.mode, handle.version) == before
            assert hash(handle.version) == hash(before[3])
            handle.close()

    def test_version(self) -> None:
        for content in (SMALL, LARGE):
            self.fill({"a": content, "b": content})
            seen = {self.version("a"), self.version("b")}
            assert self.version("a") in seen
            assert len(seen) == 2
            self.put("a", content)
            seen.add(self.version("a"))
            for _ in range(2):
                time.sleep(0.01)
                self.overwrite("a", content)
                seen.add(self.version("a"))
            assert len(seen) == 5
            self.storage.rename(("a",), ("b",))
            assert self.version("b") == self.version("b")

    # Writing.

    def test_put(self) -> None:
        self.fill({}, "d")
        handle = self.storage.open_write(("d", "a"))
        handle.write(b"one ")
        handle.write(bytearray(b"two "))
        handle.write(memoryview(b"-three-")[1:-1])
        handle.publish()
        assert self.stored() == {"d/a": b"one two three"}

    def test_put_of_nothing(self) -> None:
        self.fill({})
        self.put("a", b"")
        assert self.stored() == {"a": b""}

    def test_sync_before_publish(self) -> None:
        self.fill({})
        handle = self.storage.open_write(("a",))
        handle.write(LARGE)
        handle.sync()
        handle.sync()
        assert list(self.storage.list(())) == []
        handle.publish()
        assert self.stored() == {"a": LARGE}

    def test_nothing_to_see_before_publish(self) -> None:
        self.fill({"a": b"old"})
        handles = [self.storage.open_write((name,)) for name in "ab"]
        for handle in handles:
            handle.write(b"new")
        assert [entry.name for entry in self.storage.list(())] == ["a"]
        assert self.storage.open_read(("a",)).content == b"old"
        with pytest.raises(FileNotFound):
            self.storage.open_read(("b",))
        for handle in handles:
            handle.publish()
        assert self.stored() == {"a": b"new", "b": b"new"}

    def test_an_upload_that_replaces_nothing(self) -> None:
        self.fill({"a": b"old"})
        for size in (3, None):  # without a name from the start, and with one
            taken, free = (
                self.storage.open_write((name,), Upload("me", size, replaces=False)) for name in "ab"
            )
            taken.write(b"new")
            free.write(b"new")
            with pytest.raises(FileExists):
                taken.publish()
            free.publish()
            assert self.stored() == {"a": b"old", "b": b"new"}
            self.storage.remove(("b",))
        came = self.storage.open_write(("b",), Upload("me", None, replaces=False))
        came.write(b"new")
        self.put("b", b"before it")
        with pytest.raises(FileExists):
            came.publish()
        assert self.stored() == {"a": b"old", "b": b"before it"}

    def test_discard(self) -> None:
        self.fill({"a": b"old"})
        for name in "ab":
            handle = self.storage.open_write((name,))
            handle.write(b"new")
            handle.discard()
            handle.discard()
        assert self.stored() == {"a": b"old"}

    def test_discard_after_publish_does_nothing(self) -> None:
        self.fill({})
        handle = self.storage.open_write(("a",))
        handle.publish()
        handle.discard()
        assert self.stored() == {"a": b""}

    def test_nothing_more_comes_after_the_end(self) -> None:
        self.fill({})
        published, discarded = self.storage.open_write(("a",)), self.storage.open_write(("b",))
        published.publish()
        discarded.discard()
        for handle in (published, discarded):
            with pytest.raises(ValueError, match="published or discarded"):
                handle.write(b"more")
            with pytest.raises(ValueError, match="published or discarded"):
                handle.publish()
        assert self.stored() == {"a": b""}

    def test_the_last_to_publish_wins(self) -> None:
        self.fill({})
        first, second = self.storage.open_write(("a",)), self.storage.open_write(("a",))
        first.write(b"first")
        second.write(b"second")
        second.publish()
        first.publish()
        assert self.stored() == {"a": b"first"}

    def test_where_no_file_can_be_put(self) -> None:
        self.fill({"file": SMALL}, "directory")
        for path, error in (
            ((), IsADirectory),
            (("directory",), IsADirectory),
            (("missing", "a"), FileNotFound),
            (("file", "a"), NotADirectory),
        ):
            with pytest.raises(error):
                self.storage.open_write(path)
        assert self.stored() == {"file": SMALL}

    def test_asked_before_where_no_file_can_be_put(self) -> None:
        self.fill({"file": SMALL}, "directory")
        for path, error in (
            ((), IsADirectory),
            (("directory",), IsADirectory),
            (("missing", "a"), FileNotFound),
            (("file", "a"), NotADirectory),
            (("x" * 256,), NameNotAllowed),
            (("a\0b",), NameNotAllowed),
            ((".ftplite-a",), NameNotAllowed),
        ):
            with pytest.raises(error):
                self.storage.check_write(path)
        assert (self.stored(), self.storage.partials) == ({"file": SMALL}, (0, 0))

    def test_the_place_of_a_file(self) -> None:
        names = ["a", "b", "d/a", "d/b", "\udcff", "x" * 255]
        self.fill({"d/a": SMALL}, "e")
        places = {name: self.storage.check_write(tuple(name.split("/"))) for name in names}
        assert len(set(places.values())) == len(names)
        for name in ("a", "d/a"):
            handle = self.storage.open_write(tuple(name.split("/")), Upload("me", None))
            assert self.storage.check_write(tuple(name.split("/"))) == places[name]
            handle.publish()
            assert self.storage.check_write(tuple(name.split("/"))) == places[name]

    def test_directory_in_the_way_when_published(self) -> None:
        self.fill({})
        handle = self.storage.open_write(("a",))
        handle.write(b"new")
        self.make_directory("a")
        with pytest.raises(IsADirectory):
            handle.publish()
        with pytest.raises(IsADirectory):
            handle.publish()
        with pytest.raises(IsADirectory):
            handle.write(b"more")
        assert (self.stored(), list(self.storage.list(()))) == ({}, [Entry("a", True)])
        handle.discard()

    def test_read_only(self) -> None:
        self.fill({"a": SMALL}, read_only=True)
        with pytest.raises(PermissionDenied):
            self.storage.open_write(("a",))
        with pytest.raises(PermissionDenied):
            self.storage.open_write(("b",))
        with pytest.raises(PermissionDenied):
            self.storage.check_write(("b",))
        assert self.storage.open_read(("a",)).content == SMALL
        assert self.storage.sweep() == 0

    # Listing.

    def test_list(self) -> None:
        self.fill({"b": b"", "a/c": b"", "a/d/e": b""}, "empty")
        assert list(self.storage.list(())) == [Entry("a", True), Entry("b", False), Entry("empty", True)]
        assert list(self.storage.list(("a",))) == [Entry("c", False), Entry("d", True)]
        assert list(self.storage.list(("empty",))) == []

    def test_list_of_a_file(self) -> None:
        self.fill({"a/c": b""})
        assert list(self.storage.list(("a", "c"))) == [Entry("c", False)]

    def test_names_are_sorted_by_their_bytes(self) -> None:
        names = ["B", "a", "a b", "a.b", "aa", "é", "\uffee", "\U00010348", "\udcff"]
        self.fill(dict.fromkeys(reversed(names), b""), "a!")
        assert [entry.name for entry in self.storage.list(())] == ["B", "a", "a b", "a!", *names[3:]]

    def test_what_cannot_be_listed_is_told_at_once(self) -> None:
        self.fill({"file": SMALL})
        with pytest.raises(FileNotFound):
            self.storage.list(("missing",))
        with pytest.raises(NotADirectory):
            self.storage.list(("file", "below"))

    def test_names_of_any_bytes_and_of_full_length(self) -> None:
        self.fill({})
        names = ["\udcff\udcfe", "x" * 255, 'quote"', "new\nline", "ü" * 127]
        for name in names:
            self.put(name, os.fsencode(name))
        assert {entry.name for entry in self.storage.list(())} == set(names)
        for name in names:
            handle = self.storage.open_read((name,))
            assert handle.read(0, 1000) == os.fsencode(name)
            handle.close()

    def test_nothing_to_sweep(self) -> None:
        self.fill({"a": SMALL, "d/b": SMALL})
        assert self.storage.sweep() == 0
        assert self.stored() == {"a": SMALL, "d/b": SMALL}

    # What files take up.

    def begin(self, name: str, content: bytes, size: int | None, *, resume: bool = False) -> UploadHandle:
        handle = self.storage.open_write(tuple(name.split("/")), Upload("me", size, resume))
        handle.write(content)
        return handle

    def test_usage(self) -> None:
        self.fill({})
        assert self.storage.usage() == NOTHING
        self.fill({"a": SMALL, "d/e/b": LARGE, "d/empty": b""}, "f")
        assert self.storage.usage() == Usage(1005, 3)

    def test_usage_has_partials_and_not_what_is_being_written(self) -> None:
        self.fill({"a": SMALL})
        for announced in (None, 2000, 500):
            handle = self.begin("b", bytes(200), announced)
            second = self.begin("b", bytes(100), announced)
            assert self.storage.usage() == Usage(5, 1)
            second.discard()
            assert handle.keep()
            assert self.storage.usage() == Usage(205, 2)
            handle = self.begin("b", bytes(100), announced, resume=True)
            assert self.storage.usage() == Usage(5, 1)
            handle.publish()
            assert not handle.keep()
            assert self.storage.usage() == Usage(305, 2)
            assert self.storage.remove(("b",)) == Usage(300, 1)

    def test_what_is_removed_tells_what_it_took_up(self) -> None:
        self.fill({"a": SMALL, "b": LARGE, "d/c": b""}, "e", "f")
        assert self.begin("d/c", bytes(7), None).keep()
        assert self.begin("e/c", bytes(8), None).keep()
        assert not self.begin("f/c", b"", None).keep()
        before = self.storage.usage()
        assert before == Usage(1020, 5)
        assert self.storage.rename(("a",), ("a",)) == NOTHING
        assert self.storage.rename(("a",), ("g",)) == NOTHING
        assert self.storage.rename(("g",), ("b",)) == Usage(1000, 1)
        assert self.storage.discard_partial(("d", "c"), "me") == Usage(7, 1)
        assert self.storage.discard_partial(("d", "c"), "me") == NOTHING
        assert self.storage.remove(("d", "c")) == Usage(0, 1)
        assert self.storage.remove_directory(("d",)) == NOTHING
        assert self.storage.rename(("f",), ("e",)) == Usage(8, 1)
        assert self.begin("e/c", bytes(9), None).keep()
        assert self.storage.usage() == Usage(14, 2)
        assert self.storage.remove_directory(("e",)) == Usage(9, 1)
        assert self.storage.usage() == Usage(5, 1)


class MemoryStorageTests(MemoryCase, StorageContract, SynchronousTestCase):
    def test_full(self) -> None:
        self.storage = MemoryStorage({"a": bytes(10)}, capacity=20)
        handle = self.storage.open_write(("a",))
        handle.write(bytes(10))
        for _ in range(2):
            with pytest.raises(DiskFull):
                handle.write(b"x")
        with pytest.raises(DiskFull):
            handle.publish()
        handle.discard()
        assert self.stored() == {"a": bytes(10)}

    def test_opens_at_once(self) -> None:
        self.fill({"a": SMALL, "b": LARGE})
        assert self.storage.open_read_now(("a",)) is not None
        assert self.storage.open_read_now(("b",)) is not None


class LocalStorageTests(LocalCase, StorageContract, SynchronousTestCase):
    pass


class WalkedLocalStorageTests(WalkedCase, StorageContract, SynchronousTestCase):
    pass


class NamedLocalStorageTests(NamedCase, StorageContract, SynchronousTestCase):
    pass
