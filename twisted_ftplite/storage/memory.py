"""A tree in memory, with the contract of a real one: what tests and examples serve."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from ..errors import DiskFull, FileNotFound, FTPLiteError, IsADirectory, NotADirectory, PermissionDenied
from ..limits import Limits
from ..protocol.paths import RESERVED, ROOT, Path, resolve
from .interface import Buffer, Entry, ReadHandle
from .snapshot import Snapshot

_DEFAULT_LIMITS = Limits()


class _File:
    """What an inode is on a disk: a handle that has it open keeps it, whatever happens to its name."""

    def __init__(self, content: bytes) -> None:
        self.content = content


class _Directory(dict[str, "_File | _Directory"]):
    """Names and what they stand for."""


class MemoryStorage:
    """``files`` maps paths (``a/b.txt``) to their bytes; the directories on the way come into being.

    ``capacity`` is how many bytes the files may have together with the one that is being written before
    the disk is full; None: no bound.
    """

    def __init__(
        self,
        files: Mapping[str, bytes] | None = None,
        *,
        limits: Limits = _DEFAULT_LIMITS,
        read_only: bool = False,
        capacity: int | None = None,
    ) -> None:
        self._root = _Directory()
        self._small_file = limits.small_file
        self._read_only = read_only
        self._capacity = capacity
        for name, content in (files or {}).items():
            path = resolve(ROOT, name)
            self._made_directory(path[:-1])[path[-1]] = _File(content)

    # For tests and examples, which have no other way to see or change what is stored.

    def files(self) -> dict[str, bytes]:
        """All files with their bytes, by path (``a/b.txt``)."""
        return dict(_files_beneath(self._root, ""))

    def make_directory(self, name: str) -> None:
        """And those on the way to it, where they are missing."""
        self._made_directory(resolve(ROOT, name))

    def overwrite(self, name: str, content: bytes) -> None:
        """Change a file in place, under the handles that have it open, as another program may."""
        file = self._find(resolve(ROOT, name))
        if isinstance(file, _Directory):
            raise IsADirectory
        file.content = content

    # The contract.

    def open_read(self, path: Path) -> ReadHandle:
        file = self._find(path)
        if isinstance(file, _Directory):
            raise IsADirectory
        if len(file.content) <= self._small_file:
            return Snapshot(file.content)
        return MemoryReadHandle(file)

    def open_read_now(self, path: Path) -> ReadHandle | None:
        return self.open_read(path)

    def open_write(self, path: Path) -> MemoryWriteHandle:
        if self._read_only:
            raise PermissionDenied
        self.check_free_for_file(path)
        return MemoryWriteHandle(self, path)

    def list(self, path: Path) -> Iterator[Entry]:
        found = self._find(path)
        if isinstance(found, _File):
            return iter((Entry(path[-1], False),))
        entries = [
            Entry(name, isinstance(each, _Directory))
            for name, each in tuple(found.items())
            if not name.startswith(RESERVED)
        ]
        return iter(sorted(entries, key=lambda entry: os.fsencode(entry.name)))

    def sweep(self) -> int:
        return 0

    # For the handles.

    def check_free_for_file(self, path: Path) -> None:
        """Raises what stands against a file there."""
        if not path or isinstance(self._directory(path[:-1]).get(path[-1]), _Directory):
            raise IsADirectory

    def check_space(self, count: int) -> None:
        """Raises `DiskFull` where ``count`` bytes more would be too many."""
        if self._capacity is not None and count + sum(map(len, self.files().values())) > self._capacity:
            raise DiskFull

    def put_in_place(self, path: Path, content: bytes) -> None:
        """A new file under this name; the one that stood there lives on for who has it open."""
        self.check_free_for_file(path)
        self._directory(path[:-1])[path[-1]] = _File(content)

    def _find(self, path: Path) -> _File | _Directory:
        here: _File | _Directory = self._root
        for segment in path:
            if isinstance(here, _File):
                raise NotADirectory
            if segment not in here:
                raise FileNotFound
            here = here[segment]
        return here

    def _directory(self, path: Path) -> _Directory:
        found = self._find(path)
        if isinstance(found, _File):
            raise NotADirectory
        return found

    def _made_directory(self, path: Path) -> _Directory:
        here = self._root
        for segment in path:
            child = here.setdefault(segment, _Directory())
            if isinstance(child, _File):
                raise NotADirectory
            here = child
        return here


class MemoryReadHandle:
    """A `ReadHandle` of a file that is not small: its bytes may change in place, as a disk's may."""

    def __init__(self, file: _File) -> None:
        self._file = file
        self._opened = file.content

    @property
    def size(self) -> int:
        return len(self._opened)

    @property
    def content(self) -> None:
        return None

    def fileno(self) -> None:
        return None

    def read(self, offset: int, count: int) -> bytes:
        return self._file.content[offset : offset + count]

    def changed(self) -> bool:
        return self._file.content is not self._opened

    def close(self) -> None:
        return None


class MemoryWriteHandle:
    """A `WriteHandle` that gathers bytes."""

    waits = False

    def __init__(self, storage: MemoryStorage, path: Path) -> None:
        self._storage = storage
        self._path = path
        self._written: bytearray | None = bytearray()
        self._failure: FTPLiteError | None = None

    def fileno(self) -> None:
        return None

    def write(self, data: Buffer) -> None:
        written = self._checked()
        try:
            self._storage.check_space(len(written) + memoryview(data).nbytes)
        except FTPLiteError as failure:
            self._failure = failure
            raise
        written += data

    def sync(self) -> None:
        self._checked()

    def publish(self) -> None:
        written = self._checked()
        try:
            self._storage.put_in_place(self._path, bytes(written))
        except FTPLiteError as failure:
            self._failure = failure
            raise
        finally:
            self.discard()

    def discard(self) -> None:
        self._written = None

    def _checked(self) -> bytearray:
        """What was written so far; raises the first error again."""
        if self._failure is not None:
            raise self._failure
        if self._written is None:
            raise ValueError("published or discarded")
        return self._written


def _files_beneath(directory: _Directory, prefix: str) -> Iterator[tuple[str, bytes]]:
    for name, each in tuple(directory.items()):
        if isinstance(each, _Directory):
            yield from _files_beneath(each, f"{prefix}{name}/")
        else:
            yield prefix + name, each.content
