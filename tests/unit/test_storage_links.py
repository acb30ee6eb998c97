"""What only a tree on a disk has: links, modes, other file systems, directories that change, many names."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from twisted_ftplite.errors import (
    DirectoryNotEmpty,
    FileNotFound,
    FTPLiteError,
    NotADirectory,
    NotARegularFile,
    NotSupported,
    PermissionDenied,
    StorageFailed,
)
from twisted_ftplite.protocol.paths import Path
from twisted_ftplite.storage.interface import NOTHING, Attributes, Upload, Usage
from twisted_ftplite.storage.listing import in_order
from twisted_ftplite.storage.local import LocalStorage

from .test_storage_contract import LocalCase, WalkedCase

NOBODY = 65534


class LinksAndModesTests(LocalCase, SynchronousTestCase):
    def kinds(self, *path: str, whole_tree: bool = False) -> dict[str, tuple[str, bool]]:
        listed = self.storage.list_attributes(path, whole_tree=whole_tree)
        return {name: (each.kind, each.link) for name, each in listed}

    def names(self, *path: str) -> list[str]:
        return [name for name, _ in self.storage.list_attributes(path, whole_tree=True)]

    def links(self) -> None:
        self.fill({"file": b"1234", "d/inner": b"1"})
        for name, target in (
            ("to_file", "file"),
            ("to_directory", "d"),
            ("to_link", "to_file"),
            ("top", "."),
            ("d/up", "../file"),
            ("dangling", "nowhere"),
            ("loop", "loop"),
            ("absolute", str(self.root / "file")),
            ("out", "../../etc"),
            ("below_a_file", "file/x"),
        ):
            (self.root / name).symlink_to(target)

    def test_links(self) -> None:
        self.links()
        links = {
            "to_file": ("file", True),
            "to_directory": ("directory", True),
            "to_link": ("file", True),
            "top": ("directory", True),
            "dangling": ("link", True),
            "loop": ("link", True),
            "absolute": ("link", True),
            "out": ("link", True),
            "below_a_file": ("link", True),
        }
        for name, expected in links.items():
            found = self.storage.stat((name,))
            assert (found.kind, found.link) == expected
        assert self.storage.stat(("to_directory", "up")) == self.storage.stat(("file",))._replace(link=True)
        assert self.storage.stat(("out",)).size == len("../../etc")
        with pytest.raises(FileNotFound):
            self.storage.stat(("out", "passwd"))
        shown = self.kinds()
        assert {name: shown[name] for name in links} == links

    def test_links_are_never_entered(self) -> None:
        self.links()
        shown = self.kinds(whole_tree=True)
        assert [name for name in shown if "/" in name] == ["d/inner", "d/up"]
        assert shown["d/up"] == ("file", True)
        assert list(self.kinds("to_directory", whole_tree=True)) == ["inner", "up"]

    def test_what_is_done_to_a_link_is_done_to_the_link(self) -> None:
        self.links()
        with pytest.raises(NotADirectory):
            self.storage.remove_directory(("to_directory",))
        self.storage.rename(("to_directory",), ("out",))
        assert os.readlink(self.root / "out") == "d"
        self.storage.rename(("dangling",), ("to_file",))
        assert os.readlink(self.root / "to_file") == "nowhere"
        for name in ("to_file", "loop", "absolute", "out", "top"):
            self.storage.remove((name,))
        self.storage.rename(("file",), ("to_link",))
        self.put("d/up", b"replaced")
        assert self.stored() == {"d/inner": b"1", "to_link": b"1234", "d/up": b"replaced"}

    def test_nothing_outside_is_changed(self) -> None:
        self.fill({"a": b"1"}, "tree", "outside", "outside/d")
        storage = LocalStorage(str(self.root / "tree"), umask=0, walk="walk" in self.options)
        self.addCleanup(storage.close)
        (self.root / "tree" / "out").symlink_to("../outside")
        (self.root / "tree" / "b").touch()
        for change in (
            lambda: storage.make_directory(("out", "new")),
            lambda: storage.remove_directory(("out", "d")),
            lambda: storage.rename(("b",), ("out", "b")),
            lambda: storage.rename(("out", "d"), ("d",)),
            lambda: storage.open_write(("out", "x"), Upload("me", None)),
        ):
            with pytest.raises(FileNotFound):
                change()
        assert os.listdir(self.root / "outside") == ["d"]

    def test_what_is_no_file(self) -> None:
        self.fill({"f": b""})
        os.mkfifo(self.root / "fifo")
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(self.root / "socket"))
        assert self.kinds() == {"f": ("file", False), "fifo": ("other", False), "socket": ("other", False)}
        self.storage.remove(("fifo",))
        self.storage.rename(("f",), ("socket",))
        assert self.kinds() == {"socket": ("file", False)}

    def test_two_names_of_one_file(self) -> None:
        self.fill({"a": b"1"}, "d")
        for name in ("b", "d/a"):
            os.link(self.root / "a", self.root / name)
        (self.root / "here").symlink_to(".")
        self.storage.rename(("a",), ("here", "a"))
        self.storage.rename(("a",), ("d", "a"))
        self.storage.rename(("b",), ("d", "a"))
        assert self.stored() == {"d/a": b"1"}

    def test_only_the_case_is_changed_where_the_file_system_knows_none(self) -> None:
        self.fill({"a": b"1"})
        stat_ = os.stat

        def caseless(path: Any, **options: Any) -> os.stat_result:
            return stat_(path.lower() if path in (b"a", b"A") else path, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "stat", caseless)
            self.storage.rename(("a",), ("A",))
        assert self.stored() == {"A": b"1"}

    def test_all_links_to_one_place(self) -> None:
        self.links()
        place = self.storage.check_write(("d", "new"))
        assert self.storage.check_write(("to_directory", "new")) == place
        assert self.storage.check_write(("top", "d", "new")) == place
        assert self.storage.check_write(("new",)) != place
        self.storage.check_write(("out",))
        for path in (("out", "new"), ("absolute", "new"), ("dangling", "new")):
            with pytest.raises(FileNotFound):
                self.storage.check_write(path)
        os.mkfifo(self.root / "fifo")
        with pytest.raises(NotARegularFile):
            self.storage.check_write(("fifo",))

    def as_nobody(self) -> None:
        """The rest of a test, in a tree that is nobody's."""
        if os.geteuid() == 0:
            os.chown(self.root, NOBODY, NOBODY)
            os.seteuid(NOBODY)
            self.addCleanup(os.seteuid, 0)

    def test_where_the_servers_user_may_not_write(self) -> None:
        self.fill({})
        self.as_nobody()
        self.storage.make_directory(("d",))
        for mode in (0o555, 0o444, 0o666, 0):
            (self.root / "d").chmod(mode)
            with pytest.raises(PermissionDenied):
                self.storage.check_write(("d", "a"))
            with pytest.raises(PermissionDenied):
                self.storage.open_write(("d", "a"))
        self.storage.remove_directory(("d",))
        assert self.names() == []

    def test_usage(self) -> None:
        self.links()
        before = self.storage.usage()
        assert before == Usage(5, 2)
        assert self.storage.remove(("to_file",)) == NOTHING
        self.put("to_link", b"12")
        assert self.storage.usage() == Usage(7, 3)
        os.link(self.root / "file", self.root / "other")
        os.mkfifo(self.root / "fifo")
        assert self.storage.usage() == Usage(11, 4)
        assert self.storage.rename(("to_directory", "inner"), ("d", "inner")) == NOTHING
        assert self.storage.rename(("file",), ("other",)) == Usage(4, 1)
        assert self.storage.usage() == Usage(7, 3)

    def test_usage_of_what_may_not_be_read(self) -> None:
        self.fill({"d/a": b"1", "b": b"2"})
        (self.root / "d").chmod(0)
        self.as_nobody()
        assert self.storage.usage() == Usage(1, 1)

        def broken(directory: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        self.patch(os, "scandir", broken)
        with pytest.raises(StorageFailed):
            self.storage.usage()

    def test_durable_when_they_return(self) -> None:
        fsync = os.fsync
        synced: list[int] = []

        def recorded(descriptor: int) -> None:
            synced.append(os.fstat(descriptor).st_ino)
            fsync(descriptor)

        self.fill({"a": b""}, "d")
        root, directory = ((self.root / name).stat().st_ino for name in (".", "d"))
        self.patch(os, "fsync", recorded)
        for change, expected in (
            (lambda: self.storage.make_directory(("d", "e")), {directory}),
            (lambda: self.storage.remove_directory(("d", "e")), {directory}),
            (lambda: self.storage.rename(("a",), ("d", "b")), {root, directory}),
            (lambda: self.storage.remove(("d", "b")), {directory}),
        ):
            change()
            assert set(synced) == expected
            synced.clear()

        def broken(descriptor: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        self.patch(os, "fsync", broken)
        with pytest.raises(StorageFailed):
            self.storage.make_directory(("x",))

    def test_modes_of_directories(self) -> None:
        self.fill({})
        (self.root / "group").mkdir()
        (self.root / "group").chmod(0o2770)
        mask = os.umask(0o077)
        try:
            for path in (("d",), ("group", "d")):
                self.storage.make_directory(path)
        finally:
            os.umask(mask)
        assert stat.S_IMODE((self.root / "d").stat().st_mode) == 0o755
        assert stat.S_IMODE((self.root / "group" / "d").stat().st_mode) == 0o2755

    def test_only_the_servers_own_goes_with_a_directory(self) -> None:
        self.fill({"d/.ftplite-tmp-x": b"", "e/.ftplite-other": b"", "f/.ftplite-tmp-x": b"", "f/a": b""})
        assert self.names() == ["d", "e", "f", "f/a"]
        self.storage.remove_directory(("d",))
        for name in "ef":
            with pytest.raises(DirectoryNotEmpty):
                self.storage.remove_directory((name,))
        (self.root / "g" / ".ftplite-part-x").mkdir(parents=True)
        with pytest.raises(DirectoryNotEmpty):
            self.storage.remove_directory(("g",))
        assert (self.root / "f" / ".ftplite-tmp-x").exists()

    def attempts(self, path: Path) -> list[Callable[[], object]]:
        return [
            lambda: self.storage.stat(path),
            lambda: next(self.storage.list_attributes(path, whole_tree=True)),
            lambda: self.storage.list_attributes(path),
            lambda: self.storage.rename(path, ("d", "inner", "x")),
            lambda: self.storage.rename(path, ("d",)),
            lambda: self.storage.make_directory((*path, "d")),
            lambda: self.storage.remove_directory(path),
            lambda: self.storage.open_write(path, Upload("me", None, resume=True)),
            lambda: self.storage.open_write(path, Upload("me", None)).keep(),
            lambda: self.storage.check_write(path),
            lambda: self.storage.open_partial(path, "me"),
            lambda: self.storage.partial_size(path, "me"),
        ]

    def test_no_descriptor_is_left_open(self) -> None:
        self.links()
        before = len(os.listdir("/proc/self/fd"))
        for path in ((), ("file",), ("d",), ("out",), ("x",), ("file", "x"), ("dangling",), ("d", "x")):
            for attempt in self.attempts(path):
                with contextlib.suppress(FTPLiteError, StopIteration):
                    attempt()
        assert len(os.listdir("/proc/self/fd")) == before

    def test_listing_while_the_tree_changes(self) -> None:
        self.fill({f"d{number}/a": b"" for number in range(50)})
        done = threading.Event()

        def change() -> None:
            while not done.is_set():
                self.storage.rename(("d25",), ("x",))
                (self.root / "d25").symlink_to("/etc")
                (self.root / "d25").unlink()
                self.storage.rename(("x",), ("d25",))

        changing = threading.Thread(target=change)
        changing.start()
        try:
            for _ in range(50):
                shown = self.names()
                assert shown == sorted(shown)
                assert set(shown) >= {f"d{number}/a" for number in range(50) if number != 25}
                assert not any(name.startswith("d25/") and name != "d25/a" for name in shown)
        finally:
            done.set()
            changing.join()


class WalkedLinksAndModesTests(WalkedCase, LinksAndModesTests):
    pass


class MountTests(LocalCase, SynchronousTestCase):
    def test_other_file_systems_in_the_tree(self) -> None:
        self.fill({"a": b"1"}, "mount")
        if os.geteuid() != 0:
            raise SkipTest("only root may mount a file system")
        command = ["mount", "-t", "tmpfs", "-o", "size=64k", "ftplite-test", str(self.root / "mount")]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            raise SkipTest("nothing may be mounted here")
        self.addCleanup(subprocess.run, ["umount", "--lazy", str(self.root / "mount")], check=True)
        self.put("mount/b", b"2")
        with pytest.raises(NotSupported):
            self.storage.rename(("a",), ("mount", "a"))
        assert self.storage.usage() == Usage(1, 1)
        self.storage.remove(("mount", "b"))
        with pytest.raises(PermissionDenied):
            self.storage.remove_directory(("mount",))
        with pytest.raises(PermissionDenied):
            self.storage.rename(("mount",), ("other",))


class OrderTests(SynchronousTestCase):
    def test_as_if_sorted_at_once(self) -> None:
        names = [b"%d" % (number * 7919 % 100_000) for number in range(100_000)]
        for count in (0, 1, 8192, 8193, 100_000):
            given = names[:count]
            parts = list(in_order(given[:]))
            assert [name for part in parts for name in part] == sorted(given)
            assert max(map(len, parts), default=0) <= 8192
        for order in (sorted(names), sorted(names, reverse=True)):
            assert [name for part in in_order(order[:]) for name in part] == sorted(names)

    def test_without_the_servers_own(self) -> None:
        names = [b"%s%d" % (begin, number) for begin in (b".ftplite-", b".", b"a") for number in range(9000)]
        shown = sorted(name for name in names if not name.startswith(b".ftplite-"))
        assert [name for part in in_order(names) for name in part] == shown


class ManyNamesTests(LocalCase, SynchronousTestCase):
    COUNT = 200_000
    where = "/dev/shm" if os.path.isdir("/dev/shm") else None

    def test_200_000(self) -> None:
        self.fill({}, "d")
        here = os.open(self.root / "d", os.O_RDONLY)
        for number in range(self.COUNT):
            os.mknod(f"{number * 7919 % self.COUNT:06}", dir_fd=here)
        os.close(here)
        start = time.perf_counter()
        listed = self.storage.list_attributes((), whole_tree=True)
        assert next(listed)[0] == "d"
        first = next(listed)
        until_first = time.perf_counter() - start
        assert first == ("d/000000", Attributes("file", 0, first[1].mtime_ns, 0o600, link=False))
        assert sum(1 for _ in listed) == self.COUNT - 1
        whole = time.perf_counter() - start
        assert until_first < 5
        assert whole < 20

    def test_memory(self) -> None:
        self.fill({}, "d")
        here = os.open(self.root / "d", os.O_RDONLY)
        for number in range(20_000):
            os.mknod(f"{number:06}", dir_fd=here)
        os.close(here)
        tracemalloc.start()
        try:
            for _ in self.storage.list_attributes(("d",)):
                pass
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 20_000 * 100
