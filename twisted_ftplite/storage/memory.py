"""A tree in memory, with the contract of a real one: what tests and examples serve."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping

from ..errors import (
    DirectoryNotEmpty,
    FileExists,
    FileNotFound,
    IsADirectory,
    LimitReached,
    NameNotAllowed,
    NotADirectory,
    PermissionDenied,
)
from ..limits import Limits
from ..protocol.paths import ROOT, Path, resolve
from .hidden import PARTIAL
from .interface import NOTHING, Attributes, Entry, ReadHandle, Upload, Usage
from .memory_tree import Directory, File, Tree, spelled
from .memory_uploads import MemoryUploads, MemoryWriteHandle, Place
from .names import parent_and_name
from .snapshot import Snapshot

_DEFAULT_LIMITS = Limits()


class MemoryStorage:
    """``files`` maps paths (``a/b.txt``) to their bytes; the directories on the way come into being.

    ``capacity`` is how many bytes files, partials and what is being written may have together before the
    disk is full; None: no bound.  ``clock`` are seconds since the epoch.
    """

    def __init__(
        self,
        files: Mapping[str, bytes] | None = None,
        *,
        limits: Limits = _DEFAULT_LIMITS,
        read_only: bool = False,
        capacity: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._lock = threading.RLock()
        self._tree = Tree()
        self._uploads = MemoryUploads(self._tree, self._lock, limits, capacity, clock)
        self._small_file = limits.small_file
        self._read_only = read_only
        for name, content in (files or {}).items():
            path = resolve(ROOT, name)
            self._tree.make_way(path[:-1])[path[-1]] = File(content, self._uploads.now())

    # For tests and examples, which have no other way to see or change what is stored.

    def files(self) -> dict[str, bytes]:
        """All files with their bytes, by path (``a/b.txt``); partials too, by names of the server's own."""
        with self._lock:
            return {name: bytes(each.content) for name, each in self._tree.files()}

    def overwrite(self, name: str, content: bytes) -> None:
        """Change a file in place, under the handles that have it open, as another program may."""
        with self._lock:
            file = self._tree.find(resolve(ROOT, name))
            if isinstance(file, Directory):
                raise IsADirectory
            file.change(content, self._uploads.now())

    @property
    def partials(self) -> tuple[int, int]:
        """How many partials nobody writes to, and their bytes."""
        return self._uploads.books.held()

    # Reading.

    def open_read(self, path: Path) -> ReadHandle:
        with self._lock:
            file = self._tree.find(path)
            if isinstance(file, Directory):
                raise IsADirectory
            if len(file.content) <= self._small_file:
                return _snapshot(file)
            return MemoryReadHandle(file)

    def open_read_now(self, path: Path) -> ReadHandle | None:
        return self.open_read(path)

    def list(self, path: Path) -> Iterator[Entry]:
        with self._lock:
            found = self._tree.find(path)
            if isinstance(found, File):
                return iter((Entry(path[-1], False),))
            entries = [Entry(name, isinstance(each, Directory)) for name, each in found.shown()]
        return iter(sorted(entries, key=lambda entry: os.fsencode(entry.name)))

    def list_attributes(self, path: Path, *, whole_tree: bool = False) -> Iterator[tuple[str, Attributes]]:
        with self._lock:
            found = self._tree.find(path)
            if isinstance(found, File):
                return iter(((path[-1], found.attributes()),))
            entries = list(self._tree.below(found, "", whole_tree=whole_tree))
        return iter(sorted(entries, key=lambda entry: os.fsencode(entry[0])))

    def stat(self, path: Path) -> Attributes:
        with self._lock:
            return self._tree.find(path).attributes()

    # Uploads.

    def check_write(self, path: Path) -> Hashable:
        with self._lock:
            self._check_writable()
            self._uploads.check_free_for_file(path)
            return path

    def open_write(self, path: Path, upload: Upload | None = None) -> MemoryWriteHandle:
        with self._lock:
            self._check_writable()
            self._uploads.check_free_for_file(path)
            return self._uploads.open(path, upload)

    def partial_size(self, path: Path, owner: str) -> int | None:
        with self._lock:
            found = self._find_partial(path, owner)
            return None if found is None else len(found.content)

    def open_partial(self, path: Path, owner: str) -> ReadHandle:
        with self._lock:
            if not path:
                raise IsADirectory
            found = self._find_partial(path, owner)
            if found is None:
                raise FileNotFound
            return _snapshot(found)

    def discard_partial(self, path: Path, owner: str) -> Usage:
        with self._lock:
            self._check_writable()
            if self._find_partial(path, owner) is None:
                return NOTHING
            return self._uploads.remove(self._uploads.place(path, owner))

    def sweep(self) -> int:
        if self._read_only:
            return 0
        with self._lock:
            self._uploads.books.begin_sweep()
            removed = self._sweep(ROOT, self._tree.root)
            self._uploads.books.end_sweep()
        return removed

    def usage(self) -> Usage:
        with self._lock:
            sizes = [len(each.content) for _, each in self._tree.files() if not each.held]
        return Usage(sum(sizes), len(sizes))

    # The tree.

    def make_directory(self, path: Path) -> None:
        with self._lock:
            self._check_writable()
            if not path:
                raise FileExists
            parent = self._parent(path)
            if path[-1] in parent:
                raise FileExists
            made = parent[path[-1]] = Directory()
            made.mtime_ns = self._uploads.now()

    def remove_directory(self, path: Path) -> Usage:
        with self._lock:
            self._check_changeable(path)
            parent, found = self._parent(path), self._tree.find(path)
            if isinstance(found, File):
                raise NotADirectory
            removed = self._empty(path, found)
            del parent[path[-1]]
            return removed

    def remove(self, path: Path) -> Usage:
        with self._lock:
            self._check_changeable(path)
            parent, found = self._parent(path), self._tree.find(path)
            if isinstance(found, Directory):
                raise IsADirectory
            del parent[path[-1]]
            return found.weight()

    def rename(self, old: Path, new: Path) -> Usage:
        with self._lock:
            self._check_changeable(old)
            self._check_changeable(new)
            source, target = self._parent(old), self._parent(new)
            moved, replaced = self._tree.find(old), target.get(new[-1])
            if moved is replaced:
                return NOTHING
            if new[: len(old)] == old:
                raise NameNotAllowed("A directory cannot be moved into itself.")
            removed = self._make_way_for(moved, new, replaced)
            target[new[-1]] = source.pop(old[-1])
            self._uploads.books.moved(spelled(old), spelled(new))
            return removed

    def _make_way_for(self, moved: File | Directory, new: Path, replaced: File | Directory | None) -> Usage:
        if isinstance(replaced, Directory):
            if isinstance(moved, File):
                raise IsADirectory
            return self._empty(new, replaced)
        if replaced is None:
            return NOTHING
        if isinstance(moved, Directory):
            raise NotADirectory
        return replaced.weight()

    def _empty(self, path: Path, directory: Directory) -> Usage:
        """Of partials; returns what they took up, and raises `DirectoryNotEmpty` where there is more."""
        if directory.shown():
            raise DirectoryNotEmpty
        removed = []
        for name in tuple(directory):
            try:
                removed.append(self._uploads.remove(Place(path, directory, name)))
            except LimitReached as failure:
                raise DirectoryNotEmpty("A file is being uploaded into it.") from failure
        return Usage(sum(each.bytes for each in removed), sum(each.files for each in removed))

    def _find_partial(self, path: Path, owner: str) -> File | None:
        if not path:
            return None
        try:
            return self._uploads.find(self._uploads.place(path, owner))
        except (FileNotFound, NotADirectory):
            return None

    def _sweep(self, path: Path, directory: Directory) -> int:
        removed = 0
        for name, each in tuple(directory.items()):
            if isinstance(each, Directory):
                removed += self._sweep((*path, name), each)
            elif name.startswith(os.fsdecode(PARTIAL)):
                removed += self._uploads.swept(Place(path, directory, name), each)
        return removed

    def _parent(self, path: Path) -> Directory:
        parent_and_name(path)
        return self._tree.directory(path[:-1])

    def _check_writable(self) -> None:
        if self._read_only:
            raise PermissionDenied

    def _check_changeable(self, path: Path) -> None:
        if self._read_only or not path:
            raise PermissionDenied


def _snapshot(file: File) -> Snapshot:
    return Snapshot(bytes(file.content), file.mtime_ns, file.mode, file.version())


class MemoryReadHandle:
    """A `ReadHandle` of a file that is not small: its bytes may change in place, as a disk's may."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._opened = file.content
        self.mtime_ns = file.mtime_ns
        self.mode = file.mode
        self.version = file.version()

    @property
    def size(self) -> int:
        return len(self._opened)

    @property
    def content(self) -> None:
        return None

    def fileno(self) -> None:
        return None

    def read(self, offset: int, count: int) -> bytes:
        return bytes(self._file.content[offset : offset + count])

    def changed(self) -> bool:
        return self._file.content is not self._opened

    def close(self) -> None:
        return None
