"""What only a directory on a disk has: modes, temporary names, a page cache, and an end."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path as LocalPath

import pytest
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from twisted_ftplite.errors import (
    DiskFull,
    FileNotFound,
    IsADirectory,
    NotARegularFile,
    PermissionDenied,
    QuotaExceeded,
    StorageFailed,
)
from twisted_ftplite.limits import Limits
from twisted_ftplite.storage.interface import ReadHandle, WriteHandle
from twisted_ftplite.storage.jail import Jail
from twisted_ftplite.storage.local import LocalStorage

REPOSITORY = LocalPath(__file__).parents[2]
NOBODY = 65534


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class LocalCase(SynchronousTestCase):
    where: str | None = None
    """The directory to work in; None: the system's for temporary files."""

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory(dir=self.where)
        self.addCleanup(temporary.cleanup)
        self.root = LocalPath(temporary.name)
        self.storage = self.open(0o022)

    def open(self, umask: int) -> LocalStorage:
        storage = LocalStorage(str(self.root), umask=umask, limits=Limits(small_file=100))
        self.addCleanup(storage.close)
        return storage

    def write(self, name: str, content: bytes = b"new") -> WriteHandle:
        handle = self.storage.open_write((name,))
        self.addCleanup(handle.discard)
        handle.write(content)
        return handle

    def read(self, name: str) -> ReadHandle:
        handle = self.storage.open_read((name,))
        self.addCleanup(handle.close)
        return handle

    def names(self) -> list[str]:
        return sorted(each.name for each in self.root.iterdir())

    def mode(self, name: str) -> int:
        return stat.S_IMODE((self.root / name).stat().st_mode)

    def as_nobody(self) -> None:
        """Root is stopped by no permission."""
        if os.geteuid() == 0:
            self.addCleanup(os.seteuid, 0)
            os.seteuid(NOBODY)


class ModeTests(LocalCase):
    def test_the_umask_of_the_storage_counts_and_not_the_process_own(self) -> None:
        self.addCleanup(os.umask, os.umask(0o077))
        for umask, mode in ((0o022, 0o644), (0o007, 0o660), (0, 0o666)):
            self.storage = self.open(umask)
            self.write(f"{umask:o}").publish()
            assert self.mode(f"{umask:o}") == mode

    def test_a_replaced_file_keeps_its_mode(self) -> None:
        (self.root / "a").touch()
        (self.root / "a").chmod(0o751)
        self.write("a").publish()
        assert self.mode("a") == 0o751

    def test_as_it_is_when_replaced(self) -> None:
        (self.root / "a").touch()
        handle = self.write("a")
        handle.sync()
        (self.root / "a").chmod(0o600)
        handle.publish()
        assert self.mode("a") == 0o600

    def test_set_user_id_is_not_kept(self) -> None:
        (self.root / "a").touch()
        (self.root / "a").chmod(0o4755)
        self.write("a").publish()
        assert self.mode("a") == 0o755

    def test_what_may_not_be_read_or_written(self) -> None:
        for name, mode in (("public", 0o644), ("private", 0o600)):
            (self.root / name).write_bytes(b"x")
            (self.root / name).chmod(mode)
        (self.root / "closed").mkdir()
        (self.root / "closed" / "a").touch()
        (self.root / "closed").chmod(0)
        self.root.chmod(0o755)
        if os.geteuid() != 0:
            (self.root / "private").chmod(0)
            self.root.chmod(0o555)
            self.addCleanup(self.root.chmod, 0o755)
            self.addCleanup((self.root / "closed").chmod, 0o755)
        self.as_nobody()
        assert self.read("public").content == b"x"
        for path in (("private",), ("closed", "a")):
            with pytest.raises(PermissionDenied):
                self.storage.open_read(path)
        for path in (("new",), ("public",), ("closed", "new")):
            with pytest.raises(PermissionDenied):
                self.storage.open_write(path)
        with pytest.raises(PermissionDenied):
            self.storage.list(("closed",))
        assert self.storage.sweep() == 0
        assert self.storage.unswept == 1


class PublishTests(LocalCase):
    def test_one_descriptor_and_no_name_until_published(self) -> None:
        before = descriptors()
        handle = self.write("a")
        assert (descriptors(), self.names()) == (before + 1, [])
        handle.publish()
        assert (descriptors(), self.names()) == (before, ["a"])
        assert handle.fileno() is None

    def test_what_is_spliced_behind_a_sync_is_published_too(self) -> None:
        handle = self.write("a", b"one ")
        handle.sync()
        descriptor = handle.fileno()
        assert descriptor is not None
        os.write(descriptor, b"two ")
        handle.write(b"three")
        handle.publish()
        assert (self.root / "a").read_bytes() == b"one two three"

    def test_on_disk_before_it_has_a_name_and_the_name_before_the_answer(self) -> None:
        fsync = os.fsync
        synced: list[tuple[bool, list[str]]] = []

        def recorded(descriptor: int) -> None:
            synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), self.names()))
            fsync(descriptor)

        self.patch(os, "fsync", recorded)
        self.write("a").publish()
        assert synced == [(False, []), (True, ["a"])]
        synced.clear()
        handle = self.write("a", b"newer")
        handle.sync()
        handle.publish()
        assert synced == [(False, ["a"]), (True, ["a"])]

    def test_what_cannot_be_synced_is_not_published(self) -> None:
        (self.root / "a").write_bytes(b"old")
        for code, error in (
            (errno.EIO, StorageFailed),
            (errno.ENOSPC, DiskFull),
            (errno.EDQUOT, QuotaExceeded),
        ):
            handle = self.write("a")

            def broken(descriptor: int, code: int = code) -> None:
                raise OSError(code, os.strerror(code))

            self.patch(os, "fsync", broken)
            with pytest.raises(error) as caught:
                handle.publish()
            assert isinstance(caught.value.__cause__, OSError)
            with pytest.raises(error):
                handle.sync()
            assert (self.names(), (self.root / "a").read_bytes()) == (["a"], b"old")

    def test_something_else_came_in_the_way(self) -> None:
        for named in (False, True):
            before = descriptors()
            if named:
                self.patch(os, "O_TMPFILE", 0)
            handle = self.write("a")
            os.mkfifo(self.root / "a")
            with pytest.raises(NotARegularFile):
                handle.publish()
            with pytest.raises(NotARegularFile):
                handle.sync()
            assert (self.names(), descriptors()) == (["a"], before)
            (self.root / "a").unlink()

    def test_directory_removed_meanwhile(self) -> None:
        for named in (False, True):
            if named:
                self.patch(os, "O_TMPFILE", 0)
            (self.root / "d").mkdir()
            handle = self.storage.open_write(("d", "a"))
            (self.root / "d").rename(self.root / "moved")
            with pytest.raises(FileNotFound):
                handle.publish()
            handle.discard()
            (self.root / "moved").rename(self.root / "d")
            assert self.storage.sweep() == named
            (self.root / "d").rmdir()

    def test_link_that_came_in_the_way_is_replaced(self) -> None:
        handle = self.write("a")
        (self.root / "a").symlink_to("/etc/passwd")
        handle.publish()
        assert (self.root / "a").read_bytes() == b"new"
        assert self.names() == ["a"]

    def test_hidden_where_it_has_a_temporary_name(self) -> None:
        self.patch(os, "O_TMPFILE", 0)
        handle = self.write("a")
        assert len(self.names()) == 1
        assert self.names()[0].startswith(".ftplite-tmp-")
        assert list(self.storage.list(())) == []
        handle.discard()
        assert self.names() == []


class SweepTests(LocalCase):
    def crash(self, handle: WriteHandle) -> None:
        """What the kernel does for a process that was killed."""
        descriptor = handle.fileno()
        assert descriptor is not None
        os.close(descriptor)

    def test_what_nobody_holds_is_removed(self) -> None:
        self.patch(os, "O_TMPFILE", 0)
        (self.root / "d" / "e").mkdir(parents=True)
        crashed = self.storage.open_write(("d", "e", "a"))
        held = self.write("b")
        self.crash(crashed)
        assert self.open(0).sweep() == 1
        assert list((self.root / "d" / "e").iterdir()) == []
        assert self.storage.sweep() == 0
        held.publish()
        assert self.names() == ["b", "d"]

    def test_sweeping_all_the_time_harms_no_put(self) -> None:
        done = threading.Event()
        sweeper = self.open(0)

        def sweep() -> None:
            while not done.is_set():
                sweeper.sweep()

        sweeping = threading.Thread(target=sweep)
        sweeping.start()
        try:
            for named in (False, True):
                if named:
                    self.patch(os, "O_TMPFILE", 0)
                for number in range(200):
                    self.write("a", b"%d" % number).publish()
                    assert (self.root / "a").read_bytes() == b"%d" % number
        finally:
            done.set()
            sweeping.join()
        assert self.names() == ["a"]

    def test_name_of_a_commit_in_flight_is_held(self) -> None:
        handle = self.storage.open_write(("a",))
        name = ".ftplite-tmp-in-flight"
        root = os.open(self.root, os.O_RDONLY)
        self.addCleanup(os.close, root)
        os.link(f"/proc/self/fd/{handle.fileno()}", name, dst_dir_fd=root, follow_symlinks=True)
        assert self.open(0).sweep() == 0
        self.crash(handle)
        assert self.open(0).sweep() == 1
        assert self.names() == []

    def test_only_temporary_files_of_this_tree(self) -> None:
        with tempfile.TemporaryDirectory() as outside:
            elsewhere = LocalPath(outside) / ".ftplite-tmp-elsewhere"
            elsewhere.touch()
            (self.root / "link").symlink_to(outside)
            (self.root / ".ftplite-tmp-link").symlink_to(elsewhere)
            os.mkfifo(self.root / ".ftplite-tmp-fifo")
            (self.root / ".ftplite-other").touch()
            (self.root / ".ftplite-tmp-directory").mkdir()
            (self.root / ".ftplite-tmp-file").touch()
            assert self.storage.sweep() == 1
            assert elsewhere.exists()
        assert ".ftplite-tmp-file" not in self.names()
        assert len(self.names()) == 5


class ListTests(LocalCase):
    def test_many_names(self) -> None:
        names = [f"{number * 7919 % 20_000:05}" for number in range(20_000)]
        for name in names:
            os.mknod(self.root / name)
        start = time.perf_counter()
        listed = [entry.name for entry in self.storage.list(())]
        assert time.perf_counter() - start < 5
        assert listed == sorted(names)

    def test_the_servers_own_names_are_hidden(self) -> None:
        for name in (".ftplite-tmp-x", ".ftplite-", ".ftplite", ".hidden"):
            (self.root / name).touch()
        assert [entry.name for entry in self.storage.list(())] == [".ftplite", ".hidden"]


class ReadTests(LocalCase):
    def test_an_unlinked_file_is_read_to_its_end(self) -> None:
        (self.root / "a").write_bytes(bytes(1000))
        handle = self.read("a")
        (self.root / "a").rename(self.root / "b")
        assert not handle.changed()
        (self.root / "b").unlink()
        assert not handle.changed()
        assert handle.read(0, 2000) == bytes(1000)
        handle.close()
        assert handle.fileno() is None

    def test_touched_is_changed(self) -> None:
        (self.root / "a").write_bytes(bytes(1000))
        handle = self.read("a")
        os.utime(self.root / "a", (1, 1))
        assert handle.changed()


class PageCacheTests(LocalCase):
    def setUp(self) -> None:
        super().setUp()
        jail = Jail(str(self.root))
        self.addCleanup(jail.close)
        if not jail.answers_from_cache:
            raise SkipTest("this kernel or file system does not answer from its cache")
        self.in_memory = jail.in_memory

    def make(self, size: int) -> None:
        """A file of which no page is in the cache, though its name is."""
        with (self.root / "a").open("wb") as file:
            file.write(bytes(size))
            file.flush()
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def test_waits_for_no_disk(self) -> None:
        if self.in_memory:
            raise SkipTest("there is no disk to wait for")
        self.make(100)
        assert self.storage.open_read_now(("a",)) is None
        assert self.read("a").content == bytes(100)
        self.test_answers_from_memory(make=False)

    def test_answers_from_memory(self, make: bool = True) -> None:
        if make:
            (self.root / "a").write_bytes(bytes(100))
        handle = self.storage.open_read_now(("a",))
        assert handle is not None
        assert handle.content == bytes(100)

    def test_large_file_is_opened_without_being_read(self) -> None:
        self.make(101)
        handle = self.storage.open_read_now(("a",))
        assert handle is not None
        assert (handle.size, handle.content) == (101, None)
        handle.close()

    def test_definite_answers(self) -> None:
        os.mkfifo(self.root / "fifo")
        (self.root / "d").mkdir()
        with pytest.raises(NotARegularFile):
            self.storage.open_read_now(("fifo",))
        with pytest.raises(IsADirectory):
            self.storage.open_read_now(("d",))
        with pytest.raises(IsADirectory):
            self.storage.open_read_now(())


class MemoryFileSystemTests(PageCacheTests):
    """The same on tmpfs, which knows no RWF_NOWAIT."""

    where = "/dev/shm"


class DiskFullTests(LocalCase):
    def setUp(self) -> None:
        super().setUp()
        if os.geteuid() != 0:
            raise SkipTest("only root may mount a small disk")
        command = ["mount", "-t", "tmpfs", "-o", "size=256k", "ftplite-test", str(self.root)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            raise SkipTest("nothing may be mounted here")
        self.addCleanup(subprocess.run, ["umount", "--lazy", str(self.root)], check=True)
        self.storage = self.open(0o022)

    def test_the_first_error_sticks_and_nothing_is_left(self) -> None:
        (self.root / "a").write_bytes(b"old")
        for named in (False, True):
            if named:
                self.patch(os, "O_TMPFILE", 0)
            handle = self.write("a", bytes(100_000))
            with pytest.raises(DiskFull):
                handle.write(bytes(1_000_000))
            with pytest.raises(DiskFull):
                handle.write(b"x")
            for again in (handle.sync, handle.publish):
                with pytest.raises(DiskFull):
                    again()
            handle.discard()
            assert self.names() == ["a"]
            assert (self.root / "a").read_bytes() == b"old"
            self.write("a", bytes(100_000)).publish()
            (self.root / "a").write_bytes(b"old")


class DescriptorsTests(SynchronousTestCase):
    def test_none_left_is_a_limit_and_leaks_none(self) -> None:
        with tempfile.TemporaryDirectory() as root:
            run = subprocess.run(
                [sys.executable, "-W", "error", "-c", OUT_OF_DESCRIPTORS, root],
                cwd=REPOSITORY,
                capture_output=True,
                text=True,
                check=False,
            )
            assert run.stderr == ""
            assert run.stdout == "LimitReached 0\n" * 16
            assert sorted(os.listdir(root)) == ["d", "file", "link"]


OUT_OF_DESCRIPTORS = """
import os, resource, sys
from twisted_ftplite.errors import FTPLiteError
from twisted_ftplite.storage.local import LocalStorage
root = sys.argv[1]
os.mkdir(root + "/d")
os.symlink("d", root + "/link")
with open(root + "/file", "wb") as file:
    file.write(bytes(100_000))
storages = [LocalStorage(root, umask=0, walk=walk) for walk in (False, True)]
calls = lambda storage: (
    lambda: storage.open_read(("file",)),
    lambda: storage.open_write(("file",)),
    lambda: storage.open_write(("d", "new")),
    lambda: list(storage.list(())),
)
limit = 64
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
for storage in storages:
    for call in calls(storage):
        for spare in (0, 1):
            taken = []
            try:
                while True:
                    taken.append(os.dup(0))
            except OSError:
                pass
            for _ in range(spare):
                os.close(taken.pop())
            try:
                call()
                said = "nothing"
            except FTPLiteError as error:
                said = type(error).__name__
            for each in taken:
                os.close(each)
            free = []
            try:
                while True:
                    free.append(os.dup(0))
            except OSError:
                pass
            for each in free:
                os.close(each)
            print(said, len(taken) + spare - len(free))
"""
