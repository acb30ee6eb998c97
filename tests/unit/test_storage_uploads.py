"""Partials on a disk: what outlives a kill -9, what another server holds, what goes when space is short."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path as LocalPath

import pytest
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from twisted_ftplite.errors import (
    FileNotFound,
    LimitReached,
    OffsetNotValid,
    PermissionDenied,
    StorageFailed,
)
from twisted_ftplite.limits import Limits
from twisted_ftplite.storage.hidden import open_held, partial_name
from twisted_ftplite.storage.interface import Upload, UploadHandle
from twisted_ftplite.storage.local import LocalStorage

from .test_storage_contract import LocalCase

REPOSITORY = LocalPath(__file__).parents[2]
NOBODY = 65534
DAY = 24 * 3600.0
MIB = 1024 * 1024

WRITER = """
import os, sys
from twisted_ftplite.storage.interface import Upload
from twisted_ftplite.storage.local import LocalStorage
root, resume = sys.argv[1:]
storage = LocalStorage(root, umask=0)
handle = storage.open_write(("a",), Upload("me", 10 << 20, bool(resume)))
small = storage.open_write(("small",), Upload("me", 1000))
handle.write(bytes(2 << 20))
os.write(handle.fileno(), b"spliced")
small.write(b"small")
print(handle.size, flush=True)
sys.stdin.read()
"""


class UploadsCase(LocalCase):
    limits = Limits()

    def open(self) -> LocalStorage:
        storage = LocalStorage(str(self.root), umask=0o022, limits=self.limits, clock=self.clock)
        self.addCleanup(storage.close)
        return storage

    def upload(
        self, name: str, content: bytes = b"", size: int | None = None, *, resume: bool = False
    ) -> UploadHandle:
        handle = self.storage.open_write(tuple(name.split("/")), Upload("me", size, resume))
        self.addCleanup(handle.discard)
        handle.write(content)
        return handle

    def crash(self, name: str, content: bytes, mtime_ns: int | None, mode: int | None) -> None:
        """What is left where a process was killed right before it gave a file its name."""
        handle = self.storage.open_write((name,), Upload("me", None))
        handle.write(content)
        handle.set_attributes(mtime_ns, mode)
        handle.sync()
        descriptor = handle.fileno()
        assert descriptor is not None
        os.close(descriptor)
        self.storage = self.open()

    def names(self) -> list[str]:
        return sorted(os.listdir(self.root))


class ProcessTests(UploadsCase, SynchronousTestCase):
    def writer(self, resume: str = "") -> subprocess.Popen[bytes]:
        """Another server on the same tree, that has received something."""
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(self.root), resume],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        for pipe in (process.stdin, process.stdout):
            self.addCleanup(pipe.close)
        self.addCleanup(self.kill, process)
        assert int(process.stdout.readline()) >= 2 * MIB
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()

    def test_what_a_killed_server_leaves(self) -> None:
        self.fill({})
        for round_, resume in enumerate(("", "yes"), 1):
            self.kill(self.writer(resume))
            self.storage = self.open()
            assert self.storage.sweep() == 0
            expected = round_ * (2 * MIB + 7)
            assert self.storage.partial_size(("a",), "me") == expected
            assert self.storage.partials == (1, expected)
            assert len(self.names()) == 1
            assert list(self.storage.list(())) == []
        self.upload("a", b"end", 10 * MIB, resume=True).publish()
        assert (self.root / "a").read_bytes() == (bytes(2 * MIB) + b"spliced") * 2 + b"end"

    def test_what_another_server_writes(self) -> None:
        self.fill({})
        process = self.writer()
        with pytest.raises(LimitReached):
            self.upload("a", resume=True)
        with pytest.raises(LimitReached):
            self.storage.discard_partial(("a",), "me")
        second = self.upload("a", b"second")
        self.later = 8 * DAY
        assert self.storage.sweep() == 0
        second.keep()
        assert self.storage.partial_size(("a",), "me") == 2 * MIB + 7
        self.upload("a", b"third").publish()
        assert len(self.names()) == 2
        self.kill(process)
        assert self.storage.sweep() == 1
        assert self.names() == ["a"]


class AgeTests(UploadsCase, SynchronousTestCase):
    def test_seven_days_after_the_last_byte(self) -> None:
        self.fill({})
        for name, days in (("old", 7.1), ("new", 6.9)):
            self.upload(name, b"x").keep()
            partial = self.root / os.fsdecode(partial_name("me", name.encode()))
            os.utime(partial, (time.time() - days * DAY,) * 2)
        assert self.open().sweep() == 1
        assert self.storage.partial_size(("old",), "me") is None
        assert self.storage.partial_size(("new",), "me") == 1

    def test_the_time_a_file_shall_have_is_not_its_age(self) -> None:
        self.fill({})
        self.crash("a", b"x", 0, None)
        assert self.storage.sweep() == 0
        assert len(self.names()) == 1

    def test_not_what_is_no_file(self) -> None:
        self.fill({})
        names = [os.fsdecode(partial_name("me", name)) for name in (b"fifo", b"directory", b"link")]
        os.mkfifo(self.root / names[0])
        (self.root / names[1]).mkdir()
        (self.root / names[2]).symlink_to("elsewhere")
        self.later = 100 * DAY
        assert self.storage.sweep() == 0
        assert self.storage.unswept == 0
        for name in ("fifo", "directory", "link"):
            assert self.storage.partial_size((name,), "me") is None
            with pytest.raises(OffsetNotValid):
                self.upload(name, resume=True)
            with pytest.raises(FileNotFound):
                self.storage.open_partial((name,), "me")
            handle = self.upload(name, b"x")
            handle.publish()
        assert self.names() == sorted([*names, "fifo", "directory", "link"])


class OneFileTests(UploadsCase, SynchronousTestCase):
    def test_synced_whole_before_it_is_published_but_not_when_kept(self) -> None:
        fsync = os.fsync
        synced: list[int] = []

        def recorded(descriptor: int) -> None:
            synced.append(os.fstat(descriptor).st_size)
            fsync(descriptor)

        self.fill({})
        self.patch(os, "fsync", recorded)
        self.upload("a", bytes(5000)).keep()
        assert synced == []
        handle = self.upload("a", resume=True)
        handle.publish()
        assert (synced[0], len(synced)) == (5000, 2)

    def synced(self) -> list[int]:
        """Grows by an inode's number with each fsync from now on."""
        fsync = os.fsync
        synced: list[int] = []

        def recorded(descriptor: int) -> None:
            synced.append(os.fstat(descriptor).st_ino)
            fsync(descriptor)

        self.patch(os, "fsync", recorded)
        return synced

    def test_time_and_mode_that_were_told_early_cost_no_second_fsync(self) -> None:
        self.fill({})
        synced = self.synced()
        handle = self.upload("a", size=3)
        handle.set_attributes(1, 0o640)
        handle.write(b"abc")
        handle.sync()
        handle.publish()
        found = (self.root / "a").stat()
        assert (found.st_mtime_ns, stat.S_IMODE(found.st_mode)) == (1, 0o640)
        assert synced == [found.st_ino, self.root.stat().st_ino]

    def test_a_file_system_that_keeps_no_modes(self) -> None:
        self.fill({})

        def refused(descriptor: int, mode: int) -> None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

        self.patch(os, "fchmod", refused)
        for size in (10, None):
            handle = self.upload("a", b"one ", size)
            handle.sync()
            handle.keep()
            handle = self.upload("a", b"two", size, resume=True)
            handle.set_attributes(None, 0o444)
            handle.publish()
            assert (self.root / "a").read_bytes() == b"one two"

    def test_spliced_bytes_are_told(self) -> None:
        self.fill({})
        self.upload("a", b"one ").keep()
        handle = self.upload("a", b"two ", resume=True)
        read_end, write_end = os.pipe()
        os.write(write_end, b"three")
        descriptor = handle.fileno()
        assert descriptor is not None
        handle.spliced(os.splice(read_end, descriptor, 5))
        os.close(read_end)
        os.close(write_end)
        handle.write(b" four")
        assert handle.size == 18
        handle.publish()
        assert (self.root / "a").read_bytes() == b"one two three four"

    def test_what_broke_is_not_kept(self) -> None:
        self.fill({})

        def broken(descriptor: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        for size in (100, None):
            handle = self.upload("a", b"x", size)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(os, "fsync", broken)
                with pytest.raises(StorageFailed):
                    handle.sync()
            handle.keep()
            assert self.names() == []

    def test_another_directory_came_in_its_place(self) -> None:
        self.fill({}, "d")
        for _ in range(2):
            old = self.upload("d/a", b"old")
            (self.root / "d").rename(self.root / "moved")
            (self.root / "d").mkdir()
            new = self.upload("d/a", b"new")
            with pytest.raises(FileNotFound):
                old.publish()
            old.discard()
            assert self.storage.partial_size(("d", "a"), "me") == 3
            new.publish()
            assert (self.root / "d" / "a").read_bytes() == b"new"
            (self.root / "d" / "a").unlink()
            self.storage.remove_directory(("moved",))
            handle = self.upload("d/a", b"new", 10)
            self.storage.remove_directory(("d",))
            handle.keep()
            assert self.names() == []
            self.make_directory("d")

    def test_published_in_the_instant_before_it_was_locked(self) -> None:
        """Else what goes on with the partial would write into a file that has its name already."""
        self.fill({})
        self.upload("a", b"whole").keep()
        flock = fcntl.flock
        partial = partial_name("me", b"a")

        def late(descriptor: int, how: int) -> None:
            os.rename(partial, b"a", src_dir_fd=root, dst_dir_fd=root)
            flock(descriptor, how)

        root = os.open(self.root, os.O_RDONLY)
        self.addCleanup(os.close, root)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fcntl, "flock", late)
            with pytest.raises(FileNotFoundError):
                open_held(root, partial)
        assert (self.root / "a").read_bytes() == b"whole"

    def test_known_by_another_name_too(self) -> None:
        self.fill({})
        self.upload("a", b"whole").keep()
        os.link(self.root / os.fsdecode(partial_name("me", b"a")), self.root / "b")
        with pytest.raises(OffsetNotValid):
            self.upload("a", resume=True)
        self.upload("a", b"new").keep()
        assert (self.root / "b").read_bytes() == b"whole"

    def as_nobody(self) -> None:
        """The rest of a test, in a tree that is nobody's."""
        if os.geteuid() == 0:
            os.chown(self.root, NOBODY, NOBODY)
            os.seteuid(NOBODY)
            self.addCleanup(os.seteuid, 0)

    def test_a_second_upload_leaves_the_mode_of_the_first_alone(self) -> None:
        self.fill({})
        self.as_nobody()
        first = self.upload("a", b"first")
        first.set_attributes(None, 0o444)
        first.sync()
        self.upload("a", b"second").keep()
        first.publish()
        assert (self.root / "a").read_bytes() == b"first"
        assert stat.S_IMODE((self.root / "a").stat().st_mode) == 0o444

    def test_a_partial_that_another_user_left(self) -> None:
        self.fill({})
        if os.geteuid() != 0:
            raise SkipTest("only root can be two users")
        self.upload("a", b"theirs").keep()
        self.as_nobody()
        self.root.chmod(0o1777)
        for size in (10, None):
            self.upload("a", b"mine", size).publish()
            assert (self.root / "a").read_bytes() == b"mine"
            with pytest.raises(PermissionDenied):
                self.upload("a", size=size, resume=True)

    def test_a_mode_that_shuts_its_owner_out(self) -> None:
        self.fill({})
        self.as_nobody()
        self.crash("a", b"x", None, 0)
        handle = self.upload("b", b"x", 5)
        handle.set_attributes(None, 0)
        handle.sync()
        handle.keep()
        for name in "ab":
            assert (self.storage.partial_size((name,), "me")) == 1
            self.upload(name, b"y", resume=True).publish()
            assert (self.root / name).read_bytes() == b"xy"

    def test_not_too_many(self) -> None:
        self.limits = Limits(max_partials=3)
        self.fill({})
        self.storage = self.open()
        for name in "abcde":
            self.upload(name, b"x").keep()
            time.sleep(0.01)
        assert [self.storage.partial_size((name,), "me") for name in "abcde"] == [None, None, 1, 1, 1]
        assert self.storage.partials == (3, 3)

    def test_no_descriptor_is_left_open(self) -> None:
        self.fill({"f": b""}, "d")
        before = len(os.listdir("/proc/self/fd"))
        steps: tuple[Callable[[UploadHandle], None], ...] = (
            lambda handle: handle.keep(),
            lambda handle: handle.publish(),
            lambda handle: handle.discard(),
        )
        for size in (3, None):
            for step in steps:
                for resume in (False, True):
                    try:
                        handle = self.upload("a", b"x", size, resume=resume)
                    except OffsetNotValid:
                        continue
                    assert len(os.listdir("/proc/self/fd")) == before + 1
                    step(handle)
                    assert len(os.listdir("/proc/self/fd")) == before
