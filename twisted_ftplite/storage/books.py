"""What a storage knows of its uploads: the space that live ones have still to fill, and what is kept.

Any thread may use them.  They speak the system's language: a bare ``ENOSPC``, bytes for names.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from typing import NamedTuple

FileId = tuple[int, int]
"""Device and inode."""


class Kept(NamedTuple):
    """A partial that is not being written: where it was last seen, its bytes, and when it last grew."""

    file: FileId
    directory: bytes
    name: bytes
    size: int
    mtime_ns: int


class Account:
    """The bytes of one upload; its handle's thread alone writes to it."""

    __slots__ = ("announced", "device", "file", "size")

    def __init__(self, announced: int | None = None, size: int = 0) -> None:
        self.announced = announced
        """Bytes the whole file will have; None: unknown."""
        self.size = size
        """Bytes it has."""
        self.device = 0
        self.file: FileId | None = None
        """What it writes to, where that has a hidden name."""

    @property
    def to_come(self) -> int:
        """Bytes of the announced ones that have not arrived."""
        return max(0, (self.announced or 0) - self.size)


class Books:
    """One for each storage."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # of all below; held for moments, never while a disk is waited for
        self._admission = threading.Lock()  # one at a time asks for space, so that two don't get the same
        self._live: set[Account] = set()
        self._kept: dict[FileId, Kept] = {}
        self._seen: set[FileId] | None = None  # while a sweep looks for all there is

    def held(self) -> tuple[int, int]:
        """How many partials are kept, and their bytes."""
        with self._lock:
            return len(self._kept), sum(each.size for each in self._kept.values())

    # Uploads.

    def admit(
        self,
        account: Account,
        device: int,
        free: Callable[[], int | None],
        remove: Callable[[Kept], bool],
    ) -> None:
        """Begin an upload, and set aside what it has still to fill; `close` gives that back.

        ``free`` tells the bytes that are free on the device (None: it cannot be told), ``remove`` removes a
        partial unless it is in use; both may wait.  Raises ``ENOSPC``, and then nothing is removed unless
        partials that looked free were in use.
        """
        account.device = device
        if account.to_come:
            with self._admission:
                self._make_room(account, free, remove)
                self._begin(account)
        else:
            self._begin(account)

    def close(self, account: Account, kept: Kept | None = None) -> None:
        """The upload is over, and left this; to be called before its lock is let go of."""
        with self._lock:
            self._live.discard(account)
            if kept is not None:
                self._kept[kept.file] = kept
                if self._seen is not None:
                    self._seen.add(kept.file)

    def claim(self, account: Account, file: FileId) -> bool:
        """The hidden ``file`` is being written from now on; False where another upload does so already.

        Locks tell that too, where the file system has any.
        """
        with self._lock:
            if any(each.file == file for each in self._live if each is not account):
                return False
            account.file = file
            self._live.add(account)
            self._kept.pop(file, None)
            return True

    def is_live(self, file: FileId) -> bool:
        """Whether an upload writes to it under a hidden name."""
        with self._lock:
            return any(each.file == file for each in self._live)

    # What is kept.

    def gone(self, file: FileId) -> None:
        """A partial was removed; to be called after that."""
        with self._lock:
            self._kept.pop(file, None)

    def surplus(self, most: int) -> list[Kept]:
        """The oldest partials beyond ``most``."""
        with self._lock:
            count = len(self._kept) - most
        return self._oldest_first()[:count] if count > 0 else []

    def moved(self, old: bytes, new: bytes) -> None:
        """A directory has another name."""
        below = old + b"/"
        with self._lock:
            for file, each in self._kept.items():
                if each.directory == old or each.directory.startswith(below):
                    self._kept[file] = each._replace(directory=new + each.directory[len(old) :])

    def begin_sweep(self) -> None:
        """All partials there are will be told by `note`."""
        with self._lock:
            self._seen = set()

    def note(self, look: Callable[[], Kept | None]) -> None:
        """A sweep found a partial; ``look`` asks the file system for it, None: it is gone after all.

        It is asked under the lock: what goes after that is told by `gone` after that.
        """
        with self._lock:
            kept = look()
            if kept is None or any(each.file == kept.file for each in self._live):
                return
            self._kept[kept.file] = kept
            if self._seen is not None:
                self._seen.add(kept.file)

    def end_sweep(self) -> None:
        """What was not seen is no more, or not where it could be counted."""
        with self._lock:
            seen, self._seen = self._seen, None
            if seen is not None:
                for file in self._kept.keys() - seen:
                    del self._kept[file]

    def _begin(self, account: Account) -> None:
        with self._lock:
            self._live.add(account)

    def _make_room(
        self, account: Account, free: Callable[[], int | None], remove: Callable[[Kept], bool]
    ) -> None:
        # First what is promised, then what is free: what arrives in between counts twice rather than never.
        with self._lock:
            promised = sum(
                each.to_come for each in self._live if each.device == account.device and each is not account
            )
        there = free()
        if there is None:
            return
        missing = account.to_come + promised - there
        if missing <= 0:
            return
        partials = [each for each in self._oldest_first() if each.file[0] == account.device]
        if sum(each.size for each in partials) >= missing:
            for each in partials:
                if remove(each):
                    missing -= each.size
                if missing <= 0:
                    return
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _oldest_first(self) -> list[Kept]:
        with self._lock:
            return sorted(self._kept.values(), key=lambda each: each.mtime_ns)
