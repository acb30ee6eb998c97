"""Uploads into a tree in memory, and the partials they leave."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import NamedTuple

from ..errors import DiskFull, FileExists, FTPLiteError, IsADirectory, LimitReached, OffsetNotValid
from ..limits import Limits
from ..protocol.paths import Path
from .books import Account, Books, Kept
from .border import translated
from .hidden import partial_name
from .interface import NOTHING, Buffer, Upload, Usage
from .memory_tree import Directory, File, Tree, kept, read_spelled
from .names import parent_and_name

_BUSY = "Another upload writes to it."


class Place(NamedTuple):
    """Where a partial is, or would be."""

    path: Path
    """Of its directory."""
    directory: Directory
    name: str


class MemoryUploads:
    """Those of one storage.  ``lock`` is what every method that is not for its caller's thread alone takes.

    ``capacity`` are the bytes that fit, ``clock`` seconds since the epoch.
    """

    def __init__(
        self,
        tree: Tree,
        lock: threading.RLock,
        limits: Limits,
        capacity: int | None,
        clock: Callable[[], float],
    ) -> None:
        self.books = Books()
        self.lock = lock
        self._tree = tree
        self._limits = limits
        self._capacity = capacity
        self._clock = clock
        self._nameless: set[File] = set()

    def now(self) -> int:
        """Nanoseconds since the epoch."""
        return int(self._clock() * 1e9)

    def place(self, path: Path, owner: str) -> Place:
        """Raises `FileNotFound`, `NotADirectory`, `NameNotAllowed`."""
        name = os.fsdecode(partial_name(owner, parent_and_name(path)[1]))
        return Place(path[:-1], self._tree.directory(path[:-1]), name)

    def find(self, place: Place) -> File | None:
        """The partial there."""
        found = place.directory.get(place.name)
        return found if isinstance(found, File) else None

    def open(self, path: Path, upload: Upload | None) -> MemoryWriteHandle:
        """See `Storage.open_write`; nothing stands against a file at ``path``."""
        if upload is None:
            file = File(bytearray(), self.now())
            self._nameless.add(file)
            return MemoryWriteHandle(self, path, file, Account(), None)
        place, account = self.place(path, upload.owner), Account(upload.size)
        with translated():
            file = self._resume(place, account) if upload.resume else self._begin(place, account)
        handle = MemoryWriteHandle(self, path, file, account, place)
        handle.replaces = upload.replaces
        return handle

    def remove(self, place: Place) -> Usage:
        """A partial, if there is one; what it took up.  Raises `LimitReached` where it is being written."""
        found = self.find(place)
        if found is None:
            return NOTHING
        if found.held:
            raise LimitReached(_BUSY)
        del place.directory[place.name]
        self.books.gone(found.id)
        return found.weight()

    def swept(self, place: Place, file: File) -> bool:
        """A sweep found a partial: whether it was so old that it was removed; else it is counted."""
        old = file.mtime_ns < self.now() - self._limits.keep_partials * 1e9
        if old and not file.held:
            self.remove(place)
            return True
        self.books.note(lambda: kept(place.path, place.name, file))
        return False

    def check_free_for_file(self, path: Path) -> Directory:
        """Raises what stands against a file there; else its directory."""
        if not path:
            raise IsADirectory
        parent_and_name(path)
        directory = self._tree.directory(path[:-1])
        if isinstance(directory.get(path[-1]), Directory):
            raise IsADirectory
        return directory

    # For the handles.

    def append(self, file: File, data: Buffer) -> None:
        count = memoryview(data).nbytes
        if not count:
            return
        with self.lock:
            free = self._free()
            if free is not None and count > free:
                raise DiskFull
            content = bytearray(file.content) if isinstance(file.content, bytes) else file.content
            content += data
            file.change(content, self.now())

    def publish(self, handle: MemoryWriteHandle) -> None:
        with self.lock:
            directory = self.check_free_for_file(handle.path)
            old = directory.get(handle.path[-1])
            if old is not None and not handle.replaces:
                raise FileExists
            mode = old.mode if isinstance(old, File) and handle.mode is None else handle.mode
            mtime_ns = handle.file.mtime_ns if handle.mtime_ns is None else handle.mtime_ns
            new = File(bytes(handle.file.content), mtime_ns)
            new.mode = new.mode if mode is None else mode & 0o777
            directory[handle.path[-1]] = new

    def keep(self, handle: MemoryWriteHandle) -> bool:
        """Whether it could be kept."""
        with self.lock:
            place, file = handle.partial, handle.file
            if place is None:
                return False
            if file in self._nameless:
                try:
                    place = place._replace(directory=self._tree.directory(place.path))
                    self.remove(place)
                except FTPLiteError:
                    return False
                self._nameless.discard(file)
                place.directory[place.name] = file
            file.held = False
            self.books.close(handle.account, kept(place.path, place.name, file))
            for each in self.books.surplus(self._limits.max_partials):
                self._evict(each)
            return True

    def discard(self, handle: MemoryWriteHandle) -> None:
        with self.lock:
            place = handle.partial
            handle.file.held = False
            self._nameless.discard(handle.file)
            if place is not None and self.find(place) is handle.file:
                del place.directory[place.name]
            self.books.close(handle.account)

    def _resume(self, place: Place, account: Account) -> File:
        file = self.find(place)
        if file is None:
            raise OffsetNotValid("There is no partial.")
        account.size = len(file.content)
        if file.held or not self.books.claim(account, file.id):
            raise LimitReached(_BUSY)
        try:
            self._admit(account)
        except BaseException:
            self.books.close(account, kept(place.path, place.name, file))
            raise
        file.held = True
        return file

    def _begin(self, place: Place, account: Account) -> File:
        found = self.find(place)
        if found is not None and not found.held:
            self.remove(place)
        self._admit(account)
        file = File(bytearray(), self.now())
        small = account.announced is not None and account.announced <= self._limits.resumable_size
        if small or place.name in place.directory:
            self._nameless.add(file)
        else:
            place.directory[place.name] = file
            file.held = True
            self.books.claim(account, file.id)
        return file

    def _admit(self, account: Account) -> None:
        self.books.admit(account, 0, self._free, self._evict)

    def _free(self) -> int | None:
        if self._capacity is None:
            return None
        named = sum(len(each.content) for _, each in self._tree.files())
        return self._capacity - named - sum(len(each.content) for each in self._nameless)

    def _evict(self, partial: Kept) -> bool:
        path, name = read_spelled(partial.directory), os.fsdecode(partial.name)
        try:
            place = Place(path, self._tree.directory(path), name)
        except FTPLiteError:
            file = None
        else:
            file = self.find(place)
        if file is not None and file.id == partial.file:
            if file.held:
                return False
            del place.directory[name]
            self.books.gone(partial.file)
            return True
        self.books.gone(partial.file)
        return False


class MemoryWriteHandle:
    """An `UploadHandle` that gathers bytes in its ``file``, which is the ``partial``, or might become it."""

    waits = False

    def __init__(
        self, uploads: MemoryUploads, path: Path, file: File, account: Account, partial: Place | None
    ) -> None:
        self.path = path
        self.file = file
        self.account = account
        self.partial = partial
        self.mtime_ns: int | None = None
        self.mode: int | None = None
        self.replaces = True
        self._uploads = uploads
        self._ended = False
        self._failure: FTPLiteError | None = None

    @property
    def size(self) -> int:
        return self.account.size

    def fileno(self) -> None:
        return None

    def spliced(self, count: int) -> None:
        self.account.size += count

    def read(self, offset: int, count: int) -> bytes:
        if self._ended:
            raise ValueError("published or discarded")
        with self._uploads.lock:
            return bytes(self.file.content[offset : offset + count])

    def set_attributes(self, mtime_ns: int | None, mode: int | None) -> None:
        self.mtime_ns, self.mode = mtime_ns, mode

    def write(self, data: Buffer) -> None:
        self._do(lambda: self._uploads.append(self.file, data))
        self.account.size += memoryview(data).nbytes

    def sync(self) -> None:
        self._do(lambda: None)

    def publish(self) -> None:
        try:
            self._do(lambda: self._uploads.publish(self))
        finally:
            self.discard()

    def keep(self) -> bool:
        if self._ended:
            return False
        if self._failure is None and self.file.content and self._uploads.keep(self):
            self._ended = True
            return True
        self.discard()
        return False

    def discard(self) -> None:
        if not self._ended:
            self._ended = True
            self._uploads.discard(self)

    def _do(self, what: Callable[[], None]) -> None:
        """Raises the first error again."""
        if self._failure is not None:
            raise self._failure
        if self._ended:
            raise ValueError("published or discarded")
        try:
            what()
        except FTPLiteError as failure:
            self._failure = failure
            raise
