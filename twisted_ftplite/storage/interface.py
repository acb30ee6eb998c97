"""What a server needs of the place where files live.

Every method may wait for a disk, so callers run it in a worker thread, unless it says here that it
never waits.  One handle is used by one thread at a time.  Every method raises the exceptions of
:mod:`twisted_ftplite.errors` and never a bare ``OSError``; a name it gets is a
:data:`~twisted_ftplite.protocol.paths.Path`: segments from the root of the tree, already resolved.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from ..protocol.paths import Path

Buffer = bytes | bytearray | memoryview


class Entry(NamedTuple):
    """One name of a listing: its last segment, and whether it is, or leads to, a directory."""

    name: str
    is_directory: bool


class ReadHandle(Protocol):
    """A regular file, open for reading, as it was at that moment."""

    @property
    def size(self) -> int:
        """Bytes, when it was opened."""

    @property
    def content(self) -> bytes | None:
        """All its bytes, where they were few enough to be read when it was opened; else None."""

    def fileno(self) -> int | None:
        """A descriptor to send from without copying, or None where there is none.  Never waits."""

    def read(self, offset: int, count: int) -> bytes:
        """Up to ``count`` bytes from ``offset``; empty at or behind the end."""

    def changed(self) -> bool:
        """Whether its bytes may be others than when it was opened.  Never waits.

        Being renamed, replaced or unlinked is no change: an open file outlives its name.
        """

    def close(self) -> None:
        """Let go of it.  Never waits; a second call does nothing."""


class WriteHandle(Protocol):
    """A file in the making: it has no name that anyone can list until it is published."""

    @property
    def waits(self) -> bool:
        """Whether `write` may wait; False for memory and the null device, which need no thread."""

    def fileno(self) -> int | None:
        """A descriptor to splice into at its file position, or None.  Never waits."""

    def write(self, data: Buffer) -> None:
        """Append all of ``data``.  The first error sticks: the handle can then only be discarded."""

    def sync(self) -> None:
        """Put what was written on stable storage; it stays without a name."""

    def publish(self) -> None:
        """Put it under its name in one step, and make that durable.  Calls `sync` where it was not.

        What stood under the name is replaced, but never a directory (`IsADirectory`), nor what is
        no file (`NotARegularFile`), also where it came there after `Storage.open_write`.  Its mode
        is kept.  After an error the old file stands and the new one is discarded.
        """

    def discard(self) -> None:
        """Forget it and everything written.  After `publish`, or a second time, it does nothing."""


class Storage(Protocol):
    """A tree of files."""

    def open_read(self, path: Path) -> ReadHandle:
        """Raises `FileNotFound`, `IsADirectory`, `NotARegularFile`, `NotADirectory`, `PermissionDenied`."""

    def open_read_now(self, path: Path) -> ReadHandle | None:
        """The same from what the system holds in memory, never waiting; None: use `open_read`."""

    def open_write(self, path: Path) -> WriteHandle:
        """Begin a file that `WriteHandle.publish` will put at ``path``, whose directory must exist.

        Raises `IsADirectory`, `NotARegularFile`, `FileNotFound`, `NotADirectory`, `PermissionDenied`,
        `DiskFull`.
        """

    def list(self, path: Path) -> Iterator[Entry]:
        """The names in a directory sorted by their bytes, or of a file its own; never the server's own.

        Each step may wait, the first one longest: it reads and sorts all names.
        Raises `FileNotFound`, `NotADirectory`, `PermissionDenied`, before it returns.
        """

    def sweep(self) -> int:
        """Remove what a crash left behind and nobody holds; returns how many files that were."""
