"""A file system on a file, whose power can be cut."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Self

from .report import MIB, CannotRun

EXT4_IOC_SHUTDOWN = 0x8004587D
"""_IOR('X', 125, __u32)."""

NO_LOG_FLUSH = 2
"""What the file system has in memory is lost, the journal's part included: EXT4_GOING_FLAGS_NOLOGFLUSH."""


class Disk:
    """An ext4 of its own, mounted at `root`.  Ends with its block."""

    def __init__(self, folder: Path, size: int = 512 * MIB) -> None:
        self.root = folder / "mounted"
        self._image = folder / "image"
        self._size = size
        self._mounted = False

    def __enter__(self) -> Self:
        missing = [each for each in ("mkfs.ext4", "mount", "umount") if shutil.which(each) is None]
        if os.geteuid() != 0:
            raise CannotRun("needs root, to mount")
        if missing:
            raise CannotRun(f"needs {' and '.join(missing)}")
        self.root.mkdir()
        with self._image.open("wb") as file:
            file.truncate(self._size)
        try:
            _do("mkfs.ext4", "-q", "-F", str(self._image))
            self.mount()
            self._try_out()
        except (subprocess.CalledProcessError, OSError) as failure:
            self.__exit__()
            said = getattr(failure, "stderr", None) or str(failure)
            raise CannotRun(f"no ext4 whose power can be cut: {said}") from failure
        return self

    def __exit__(self, *_: object) -> None:
        if self._mounted:
            self.unmount()

    def mount(self) -> None:
        """Mount it, which replays its journal."""
        _do("mount", "-o", "loop", str(self._image), str(self.root))
        self._mounted = True

    def unmount(self) -> None:
        """Nobody may have anything open there."""
        _do("umount", str(self.root))
        self._mounted = False
        # Another program's mount namespace may still have the file system, powerless, and the next mount of
        # the same file would be of that: go on with a copy.
        copy = self._image.with_suffix(".copy")
        _do("cp", "--sparse=always", str(self._image), str(copy))
        copy.rename(self._image)

    def handle(self) -> int:
        """A descriptor to cut by, to be had beforehand: the caller closes it."""
        return os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)

    def check(self) -> str:
        """What fsck, which changes nothing, says is wrong; empty where nothing is.  Not while mounted."""
        done = subprocess.run(
            ["e2fsck", "-f", "-n", str(self._image)], capture_output=True, text=True, check=False
        )
        return "" if done.returncode == 0 else (done.stdout + done.stderr).strip()

    def _try_out(self) -> None:
        """Raises where the kernel has no such thing, or where it does not lose what was not synced."""
        (self.root / "kept").write_bytes(b"kept")
        for path in (self.root / "kept", self.root):
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
        (self.root / "lost").write_bytes(b"lost")
        descriptor = self.handle()
        try:
            cut(descriptor)
        finally:
            os.close(descriptor)
        self.unmount()
        self.mount()
        if (self.root / "kept").read_bytes() != b"kept" or (self.root / "lost").exists():
            raise OSError("a cut loses what it should not, or not what it should")
        (self.root / "kept").unlink()
        (self.root / "lost+found").rmdir()
        os.sync()


def cut(handle: int) -> None:
    """The power goes: nothing reaches the disk from now on."""
    fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))


def _do(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True)
