"""Reading a file of this machine that was found: whole, from the page cache alone, or piece by piece."""

from __future__ import annotations

import errno
import os
import stat
import threading

from ..errors import IsADirectory, NotARegularFile
from .border import translated
from .jail import reopen
from .snapshot import Snapshot

_SNAPSHOT_ATTEMPTS = 4
"""Times a small file is read that somebody writes to meanwhile, before it is served as a large one is."""


class LocalReadHandle:
    """A `ReadHandle` of an open file, which is its own from now on.

    A change is told by size and time of modification; not by the time of the inode's change, which a
    rename moves.  Kernels before 6.13 move them by the tick: two changes within 4 ms may look like one.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        self._found = os.fstat(file)

    @property
    def size(self) -> int:
        return self._found.st_size

    @property
    def content(self) -> None:
        return None

    @property
    def mtime_ns(self) -> int:
        return self._found.st_mtime_ns

    @property
    def mode(self) -> int:
        return self._found.st_mode & 0o777

    @property
    def version(self) -> tuple[int, ...]:
        return _version(self._found)

    def fileno(self) -> int | None:
        return None if self._file < 0 else self._file

    def read(self, offset: int, count: int) -> bytes:
        with translated():
            return os.pread(self._file, count, offset)

    def changed(self) -> bool:
        with translated():
            return not _same_bytes(os.fstat(self._file), self._found)

    def snapshot(self, content: bytes) -> Snapshot:
        """The file as it was when it was opened; ``content`` is all of it."""
        return _snapshot(content, self._found)

    def close(self) -> None:
        file, self._file = self._file, -1
        if file < 0:
            return
        if os.fstat(file).st_nlink:
            os.close(file)
        else:
            # The last one to close an unlinked file frees its blocks: 0.2 s for 1 GiB on ext4.
            threading.Thread(target=os.close, args=(file,), daemon=True).start()


def check_regular(found: int) -> None:
    mode = os.fstat(found).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectory
    if not stat.S_ISREG(mode):
        raise NotARegularFile


def reopen_for_reading(found: int, flags: int = 0) -> int:
    """Without noting the time of access where that may be had, which is for the owner to decide.

    To note it is to write, and to wait for the file system's journal, in what should be a read.
    """
    try:
        return reopen(found, os.O_RDONLY | os.O_NOATIME | flags)
    except PermissionError:
        return reopen(found, os.O_RDONLY | flags)


def read_whole(file: int, limit: int) -> Snapshot | None:
    """A file of up to ``limit`` bytes, as it was at one moment; None if there was no such one."""
    before = os.fstat(file)
    for _ in range(_SNAPSHOT_ATTEMPTS):
        if before.st_size > limit:
            return None
        content = os.pread(file, before.st_size, 0)
        after = os.fstat(file)
        if _same_bytes(before, after) and len(content) == before.st_size:
            return _snapshot(content, before)
        before = after
    return None


def read_cached(file: int, size: int, *, in_memory: bool) -> bytes | None:
    """All bytes of a file without waiting; None if not all of it is in memory."""
    content = bytearray(size)
    try:
        count = os.preadv(file, (content,), 0, os.RWF_NOWAIT)
    except OSError as failure:
        if failure.errno != errno.EOPNOTSUPP or not in_memory:
            return None
        count = os.preadv(file, (content,), 0)  # tmpfs knows no such flag, nor anything to wait for
    return bytes(content) if count == size else None


def _same_bytes(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether nothing was written in between, as far as size and time of modification tell."""
    return one.st_size == other.st_size and one.st_mtime_ns == other.st_mtime_ns


def _snapshot(content: bytes, found: os.stat_result) -> Snapshot:
    return Snapshot(content, found.st_mtime_ns, found.st_mode & 0o777, _version(found))


def _version(found: os.stat_result) -> tuple[int, ...]:
    """See `ReadHandle.version`."""
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
