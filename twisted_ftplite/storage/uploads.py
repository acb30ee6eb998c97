"""Uploads into a directory of this machine, and the partials they leave.

Why a partial lies in its target's own directory: it is put in place by one rename(2), moves with the
directory, and goes with it.  Why its name is a hash of owner and name: it is found without a list that
would have to survive a crash, fits wherever the name does, and says nothing of either.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import partial

from ..errors import LimitReached, OffsetNotValid
from ..limits import Limits
from .books import Account, Books, Kept
from .border import translated
from .hidden import create, create_named, create_unnamed, open_held, partial_name, remove_unheld
from .interface import NOTHING, Buffer, Upload, Usage
from .jail import Jail
from .unnamed import UnnamedFile, mode_of_replaced
from .usage import weight

_BUSY = "Another upload writes to it."


class Uploads:
    """Those of one storage.  Any thread may use it; paths are as `names.encoded` makes them.

    Raises bare `OSError`, and what `Storage.open_write` says of resuming.  ``clock`` are seconds since
    the epoch.
    """

    def __init__(self, jail: Jail, limits: Limits, clock: Callable[[], float]) -> None:
        self.books = Books()
        self._jail = jail
        self._limits = limits
        self._clock = clock

    def check(self, parent: bytes, name: bytes) -> Hashable:
        """See `Storage.check_write`."""
        directory = self._jail.find_directory(parent)
        try:
            mode_of_replaced(directory, name)
            if not os.access(".", os.W_OK | os.X_OK, dir_fd=directory, effective_ids=True):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            found = os.fstat(directory)
        finally:
            os.close(directory)
        return found.st_dev, found.st_ino, name

    def open(self, parent: bytes, name: bytes, upload: Upload | None, mode: int) -> LocalWriteHandle:
        """See `Storage.open_write`; ``mode`` are the nine bits of a new file."""
        find = partial(self._jail.find_directory, parent)
        if upload is None:
            return LocalWriteHandle(self, UnnamedFile(find, name, mode), Account())
        account = Account(upload.size)
        hidden = partial_name(upload.owner, name)
        place = (parent, hidden)
        make = self._resume if upload.resume else self._begin
        handle: LocalWriteHandle

        file = UnnamedFile(
            find,
            name,
            mode,
            make=lambda directory: make(directory, place, account),
            before_close=lambda: handle.close_account(),
        )
        file.replaces = upload.replaces
        handle = LocalWriteHandle(self, file, account, place)
        return handle

    def size(self, parent: bytes, name: bytes, owner: str) -> int | None:
        """Bytes of a partial; None: there is none."""
        try:
            directory = self._jail.find_directory(parent)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            found = _regular(directory, partial_name(owner, name))
        finally:
            os.close(directory)
        return None if found is None else found.st_size

    def open_partial(self, parent: bytes, name: bytes, owner: str) -> int:
        """A descriptor to read it from, which the caller closes."""
        directory = self._jail.find_directory(parent)
        try:
            hidden = partial_name(owner, name)
            if _regular(directory, hidden) is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            return os.open(hidden, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
        finally:
            os.close(directory)

    def discard(self, parent: bytes, name: bytes, owner: str) -> Usage:
        """Remove a partial, if there is one.  Raises `LimitReached` where it is being written."""
        try:
            directory = self._jail.find_directory(parent)
        except (FileNotFoundError, NotADirectoryError):
            return NOTHING
        try:
            return self.remove(directory, partial_name(owner, name))
        except BlockingIOError as failure:
            raise LimitReached(_BUSY) from failure
        finally:
            os.close(directory)

    def remove(self, directory: int, hidden: bytes) -> Usage:
        """Remove a file with a hidden name; returns what it took up, nothing where there was none.

        Raises `BlockingIOError` where it is in use.
        """
        found = _regular(directory, hidden)
        if found is None or not remove_unheld(directory, hidden, (found.st_dev, found.st_ino)):
            return NOTHING
        self.books.gone((found.st_dev, found.st_ino))
        return weight(found)

    def swept(self, path: bytes, directory: int, hidden: bytes) -> bool:
        """A sweep found a partial: whether it was so old that it was removed; else it is counted."""
        found = _regular(directory, hidden)
        if found is None:
            return False
        if found.st_mtime_ns < (self._clock() - self._limits.keep_partials) * 1e9:
            try:
                return self.remove(directory, hidden) != NOTHING
            except BlockingIOError:
                return False
        self.books.note(lambda: _kept(path, hidden, _regular(directory, hidden)))
        return False

    def keep(self, place: tuple[bytes, bytes], account: Account, found: os.stat_result | None) -> None:
        """An upload is over, and left this in its place."""
        self.books.close(account, _kept(*place, found))
        if found is not None:
            for each in self.books.surplus(self._limits.max_partials):
                self._evict(each)

    def _resume(
        self, directory: int, place: tuple[bytes, bytes], account: Account
    ) -> tuple[int, bytes | None]:
        if _regular(directory, place[1]) is None:
            raise OffsetNotValid("There is no partial.")
        try:
            descriptor = open_held(directory, place[1])
        except FileNotFoundError as failure:
            raise OffsetNotValid("There is no partial.") from failure
        except BlockingIOError as failure:
            raise LimitReached(_BUSY) from failure
        try:
            found = os.fstat(descriptor)
            account.size = found.st_size
            if not self.books.claim(account, (found.st_dev, found.st_ino)):
                raise LimitReached(_BUSY)
            try:
                self._admit(account, directory)
                os.lseek(descriptor, 0, os.SEEK_END)
            except BaseException:
                self.books.close(account, _kept(*place, found))
                raise
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor, place[1]

    def _begin(
        self, directory: int, place: tuple[bytes, bytes], account: Account
    ) -> tuple[int, bytes | None]:
        hidden: bytes | None = place[1]
        with suppress(OSError):  # its writer keeps the name, or another user's server: this one lives without
            self.remove(directory, place[1])
        self._admit(account, directory)
        try:
            if account.announced is not None and account.announced <= self._limits.resumable_size:
                descriptor = create_unnamed(directory)
                if descriptor is not None:
                    return descriptor, None
            descriptor = create_named(directory, place[1])
            if descriptor is None:
                descriptor, hidden = create(directory)
                if hidden is None:
                    return descriptor, None
            found = os.fstat(descriptor)
            self.books.claim(account, (found.st_dev, found.st_ino))
        except BaseException:
            self.books.close(account)
            raise
        return descriptor, hidden

    def _admit(self, account: Account, directory: int) -> None:
        self.books.admit(account, os.fstat(directory).st_dev, partial(_free, directory), self._evict)

    def _evict(self, kept: Kept) -> bool:
        try:
            directory = self._jail.find_directory(kept.directory)
            try:
                removed = remove_unheld(directory, kept.name, kept.file)
            finally:
                os.close(directory)
        except (FileNotFoundError, NotADirectoryError):
            removed = False
        except OSError:
            return False  # in use, or it cannot be had now
        self.books.gone(kept.file)
        return removed


class LocalWriteHandle:
    """An `UploadHandle` around an `UnnamedFile`; ``place`` is where its partial is, or would be."""

    waits = True

    def __init__(
        self, uploads: Uploads, file: UnnamedFile, account: Account, place: tuple[bytes, bytes] | None = None
    ) -> None:
        self._uploads = uploads
        self._file = file
        self._account = account
        self._place = place
        self._left: os.stat_result | None = None

    @property
    def size(self) -> int:
        return self._account.size

    def fileno(self) -> int | None:
        return self._file.fileno()

    def spliced(self, count: int) -> None:
        self._account.size += count

    def read(self, offset: int, count: int) -> bytes:
        with translated():
            return self._file.read(offset, count)

    def set_attributes(self, mtime_ns: int | None, mode: int | None) -> None:
        self._file.set_attributes(mtime_ns, mode)

    def write(self, data: Buffer) -> None:
        with translated():
            self._file.write(data)
        self._account.size += memoryview(data).nbytes

    def sync(self) -> None:
        with translated():
            self._file.sync()

    def publish(self) -> None:
        with translated():
            self._file.publish()

    def discard(self) -> None:
        with translated():
            self._file.discard()

    def keep(self) -> bool:
        if self._place is None:
            self.discard()
        else:
            self._file.keep(self._place[1], self._uploads.remove, self._leave)
        return self._left is not None

    def close_account(self) -> None:
        """The file has its last name, or none."""
        if self._place is not None:
            self._uploads.keep(self._place, self._account, self._left)

    def _leave(self, found: os.stat_result) -> None:
        self._left = found


def _regular(directory: int, hidden: bytes) -> os.stat_result | None:
    try:
        found = os.stat(hidden, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def _kept(directory: bytes, hidden: bytes, found: os.stat_result | None) -> Kept | None:
    if found is None:
        return None
    return Kept((found.st_dev, found.st_ino), directory, hidden, found.st_size, found.st_mtime_ns)


def _free(directory: int) -> int | None:
    """Bytes free on a directory's file system; None where it does not say."""
    found = os.fstatvfs(directory)
    return found.f_bavail * found.f_frsize if found.f_blocks else None
