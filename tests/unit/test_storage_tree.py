"""What every storage promises of a tree: attributes, listings of all of it, making, moving, removing."""

from __future__ import annotations

import os
import time

import pytest
from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite.errors import (
    DirectoryNotEmpty,
    FileExists,
    FileNotFound,
    IsADirectory,
    NameNotAllowed,
    NotADirectory,
    PermissionDenied,
)
from twisted_ftplite.protocol.paths import Path

from .test_storage_contract import LocalCase, MemoryCase, NamedCase, StorageCase, WalkedCase


class TreeContract(StorageCase):
    def names(self, *path: str, whole_tree: bool = True) -> list[str]:
        return [name for name, _ in self.storage.list_attributes(path, whole_tree=whole_tree)]

    # Attributes.

    def test_stat(self) -> None:
        before = time.time_ns() - 1_000_000_000
        self.fill({"d/a": b"12345"}, "e")
        found = self.storage.stat(("d", "a"))
        assert (found.kind, found.size, found.mode & 0o600, found.link) == ("file", 5, 0o600, False)
        assert before <= found.mtime_ns <= time.time_ns() + 1_000_000_000
        directories: tuple[Path, ...] = ((), ("d",), ("e",))
        for path in directories:
            assert self.storage.stat(path).kind == "directory"
            assert self.storage.stat(path).mode & 0o700 == 0o700
        for missing in (("x",), ("x", "y")):
            with pytest.raises(FileNotFound):
                self.storage.stat(missing)
        with pytest.raises(NotADirectory):
            self.storage.stat(("d", "a", "y"))

    def test_listing(self) -> None:
        names = ["B", "a", "a b", "a.b", "aa", "é", "\uffee", "\U00010348", "\udcff", "x" * 255]
        self.fill({f"d/{name}": b"123" for name in names}, "e")
        listed = list(self.storage.list_attributes(("d",)))
        assert [name for name, _ in listed] == sorted(names, key=os.fsencode)
        assert {(each.kind, each.size) for _, each in listed} == {("file", 3)}
        assert dict(listed)["a.b"] == self.storage.stat(("d", "a.b"))
        assert list(self.storage.list_attributes(("e",))) == []
        assert list(self.storage.list_attributes(("d", "a"))) == [("a", self.storage.stat(("d", "a")))]

    def test_whole_tree(self) -> None:
        self.fill({"a/b": b"", "a.b": b"", "a-b/c": b"", "a/b.c/d": b"1", "z/a": b""}, "e")
        expected = ["a", "a-b", "a-b/c", "a.b", "a/b", "a/b.c", "a/b.c/d", "e", "z", "z/a"]
        assert self.names() == expected == sorted(expected, key=os.fsencode)
        assert self.names("a") == ["b", "b.c", "b.c/d"]
        assert self.names(whole_tree=False) == ["a", "a-b", "a.b", "e", "z"]
        whole = dict(self.storage.list_attributes((), whole_tree=True))
        assert whole["a/b.c/d"] == self.storage.stat(("a", "b.c", "d"))
        assert whole["a/b.c"].kind == "directory"

    def test_what_cannot_be_listed_is_told_at_once(self) -> None:
        self.fill({"file": b""})
        for whole_tree in (False, True):
            with pytest.raises(FileNotFound):
                self.storage.list_attributes(("missing",), whole_tree=whole_tree)
            with pytest.raises(NotADirectory):
                self.storage.list_attributes(("file", "below"), whole_tree=whole_tree)

    # Making and removing.

    def test_make_directory(self) -> None:
        self.fill({"file": b""})
        for name in ("d", "\udcff", "x" * 255):
            self.storage.make_directory((name,))
            self.storage.make_directory((name, "e"))
        found = self.storage.stat(("d",))
        assert (found.kind, found.mode) == ("directory", 0o755)
        for path, error in (
            ((), FileExists),
            (("d",), FileExists),
            (("file",), FileExists),
            (("missing", "d"), FileNotFound),
            (("file", "d"), NotADirectory),
            (("x" * 256,), NameNotAllowed),
            ((".ftplite-d",), NameNotAllowed),
        ):
            with pytest.raises(error):
                self.storage.make_directory(path)
        self.put("d/e/f", b"x")
        assert self.names("d") == ["e", "e/f"]

    def test_remove(self) -> None:
        self.fill({"a": b"1", "d/b": b"2"}, "e")
        self.storage.remove(("a",))
        self.storage.remove(("d", "b"))
        assert self.names() == ["d", "e"]
        for path, error in (
            ((), PermissionDenied),
            (("a",), FileNotFound),
            (("e",), IsADirectory),
            (("x", "y"), FileNotFound),
        ):
            with pytest.raises(error):
                self.storage.remove(path)

    def test_an_open_file_outlives_its_name(self) -> None:
        self.fill({"a": bytes(1000)})
        handle = self.storage.open_read(("a",))
        self.storage.remove(("a",))
        assert handle.read(0, 2000) == bytes(1000)
        assert not handle.changed()
        handle.close()

    def test_remove_directory(self) -> None:
        self.fill({"d/b": b"2", "d/e/f": b""}, "g")
        self.storage.remove_directory(("g",))
        for path, error in (
            ((), PermissionDenied),
            (("g",), FileNotFound),
            (("d",), DirectoryNotEmpty),
            (("d", "b"), NotADirectory),
            (("x", "y"), FileNotFound),
        ):
            with pytest.raises(error):
                self.storage.remove_directory(path)
        self.storage.remove(("d", "e", "f"))
        self.storage.remove_directory(("d", "e"))
        self.storage.remove(("d", "b"))
        self.storage.remove_directory(("d",))
        assert self.names() == []

    # Renaming.

    def test_rename(self) -> None:
        self.fill({"a": b"1", "d/b": b"2"}, "e")
        self.storage.rename(("a",), ("d", "c"))
        self.storage.rename(("d",), ("e", "d"))
        self.storage.rename(("e",), ("x" * 255,))
        self.storage.rename(("x" * 255,), ("\udcff",))
        assert self.stored() == {"\udcff/d/b": b"2", "\udcff/d/c": b"1"}

    def test_rename_replaces(self) -> None:
        self.fill({"a": b"1", "b": b"2", "d/c": b"3"}, "e")
        old = self.storage.open_read(("b",))
        self.storage.rename(("a",), ("b",))
        assert old.read(0, 10) == b"2"
        self.storage.rename(("d",), ("e",))
        assert (self.stored(), self.names()) == ({"b": b"1", "e/c": b"3"}, ["b", "e", "e/c"])

    def test_rename_onto_itself(self) -> None:
        self.fill({"a": b"1", "d/b": b"2"})
        for path in (("a",), ("d",), ("d", "b")):
            self.storage.rename(path, path)
        assert self.stored() == {"a": b"1", "d/b": b"2"}

    def test_what_cannot_be_renamed(self) -> None:
        files = {"a": b"1", "d/b": b"2", "e/c/f": b"3"}
        self.fill(files, "empty")
        for old, new, error in (
            ((), ("x",), PermissionDenied),
            (("a",), (), PermissionDenied),
            ((), (), PermissionDenied),
            (("x",), ("y",), FileNotFound),
            (("x",), ("x",), FileNotFound),
            (("a",), ("x", "y"), FileNotFound),
            (("a",), ("a", "b"), NotADirectory),
            (("a",), ("d",), IsADirectory),
            (("a",), ("empty",), IsADirectory),
            (("d",), ("a",), NotADirectory),
            (("d",), ("e",), DirectoryNotEmpty),
            (("empty",), ("d",), DirectoryNotEmpty),
            (("e", "c"), ("e",), DirectoryNotEmpty),
            (("d",), ("d", "x"), NameNotAllowed),
            (("e",), ("e", "c"), NameNotAllowed),
            (("e",), ("e", "c", "x"), NameNotAllowed),
            (("a",), ("x" * 256,), NameNotAllowed),
            (("a",), (".ftplite-a",), NameNotAllowed),
        ):
            with pytest.raises(error):
                self.storage.rename(old, new)
        assert self.stored() == files
        assert self.names() == ["a", "d", "d/b", "e", "e/c", "e/c/f", "empty"]

    def test_read_only(self) -> None:
        self.fill({"a": b"1", "d/b": b""}, read_only=True)
        for change in (
            lambda: self.storage.make_directory(("x",)),
            lambda: self.storage.remove(("a",)),
            lambda: self.storage.remove_directory(("d",)),
            lambda: self.storage.rename(("a",), ("b",)),
        ):
            with pytest.raises(PermissionDenied):
                change()
        assert self.storage.stat(("a",)).size == 1
        assert "a" in self.names()


class MemoryTreeTests(MemoryCase, TreeContract, SynchronousTestCase):
    pass


class LocalTreeTests(LocalCase, TreeContract, SynchronousTestCase):
    pass


class WalkedLocalTreeTests(WalkedCase, TreeContract, SynchronousTestCase):
    pass


class NamedLocalTreeTests(NamedCase, TreeContract, SynchronousTestCase):
    pass
