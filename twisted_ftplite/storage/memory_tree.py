"""Files and directories in memory."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator
from itertools import count

from ..errors import FileNotFound, NotADirectory
from ..protocol.paths import RESERVED, Path
from .books import FileId, Kept
from .interface import Attributes, Usage

_NUMBERS = count(1)


class File:
    """What an inode is on a disk: a handle that has it open keeps it, whatever happens to its name."""

    def __init__(self, content: bytes | bytearray, mtime_ns: int, mode: int = 0o644) -> None:
        self.content = content
        self.mtime_ns = mtime_ns
        self.mode = mode
        self.id: FileId = (0, next(_NUMBERS))
        self.held = False
        """Whether an upload writes to it."""
        self._changes = 0

    def change(self, content: bytes | bytearray, mtime_ns: int) -> None:
        """Other bytes; a bytearray may be the one it has, longer now."""
        self.content = content
        self.mtime_ns = mtime_ns
        self._changes += 1

    def version(self) -> Hashable:
        """See `ReadHandle.version`."""
        return self.id, self._changes

    def weight(self) -> Usage:
        return Usage(len(self.content), 1)

    def attributes(self) -> Attributes:
        return Attributes("file", len(self.content), self.mtime_ns, self.mode, link=False)


class Directory(dict[str, "File | Directory"]):
    """Names and what they stand for."""

    mtime_ns = 0

    def attributes(self) -> Attributes:
        return Attributes("directory", 0, self.mtime_ns, 0o755, link=False)

    def shown(self) -> list[tuple[str, File | Directory]]:
        """All names but the server's own, in no order."""
        return [(name, each) for name, each in tuple(self.items()) if not name.startswith(RESERVED)]


class Tree:
    """Finds its way by `Path`; raises `FileNotFound` and `NotADirectory`."""

    def __init__(self) -> None:
        self.root = Directory()

    def find(self, path: Path) -> File | Directory:
        here: File | Directory = self.root
        for segment in path:
            if isinstance(here, File):
                raise NotADirectory
            if segment not in here:
                raise FileNotFound
            here = here[segment]
        return here

    def directory(self, path: Path) -> Directory:
        found = self.find(path)
        if isinstance(found, File):
            raise NotADirectory
        return found

    def make_way(self, path: Path) -> Directory:
        """The directory of that name, which comes into being with those on the way."""
        here = self.root
        for segment in path:
            child = here.setdefault(segment, Directory())
            if isinstance(child, File):
                raise NotADirectory
            here = child
        return here

    def files(self) -> Iterator[tuple[str, File]]:
        """All, the server's own included, by path (``a/b.txt``)."""
        return _files_beneath(self.root, "")

    def below(self, top: Directory, prefix: str, *, whole_tree: bool) -> Iterator[tuple[str, Attributes]]:
        """What is in a directory, in no order."""
        for name, each in top.shown():
            yield prefix + name, each.attributes()
            if whole_tree and isinstance(each, Directory):
                yield from self.below(each, f"{prefix}{name}/", whole_tree=True)


def kept(directory: Path, name: str, file: File) -> Kept:
    """A partial, as `books.Books` knows it."""
    return Kept(file.id, spelled(directory), os.fsencode(name), len(file.content), file.mtime_ns)


def spelled(path: Path) -> bytes:
    return os.fsencode("/".join(path))


def read_spelled(spelling: bytes) -> Path:
    """What was `spelled`."""
    return tuple(os.fsdecode(spelling).split("/")) if spelling else ()


def _files_beneath(directory: Directory, prefix: str) -> Iterator[tuple[str, File]]:
    for name, each in tuple(directory.items()):
        if isinstance(each, Directory):
            yield from _files_beneath(each, f"{prefix}{name}/")
        else:
            yield prefix + name, each
