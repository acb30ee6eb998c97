"""What a server needs of the place where files live.

Every method may wait for a disk, so callers run it in a worker thread, unless it says here that it
never waits.  One handle is used by one thread at a time.  Every method raises the exceptions of
:mod:`twisted_ftplite.errors` and never a bare ``OSError``; a name it gets is a
:data:`~twisted_ftplite.protocol.paths.Path`: segments from the root of the tree, already resolved.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import NamedTuple, Protocol

from ..protocol.paths import Path

Buffer = bytes | bytearray | memoryview


class Entry(NamedTuple):
    """One name of a listing: its last segment, and whether it is, or leads to, a directory."""

    name: str
    is_directory: bool


class Attributes(NamedTuple):
    """What `Storage.stat` and the listing with attributes tell of a name."""

    kind: str
    """``file``, ``directory``, ``link`` (one that dangles or leads out of the tree) or ``other``."""
    size: int
    """Bytes."""
    mtime_ns: int
    """When it was modified: nanoseconds since the epoch."""
    mode: int
    """The nine bits of permission."""
    link: bool
    """The name itself is a symbolic link; all else is of what it leads to, or of itself where `kind` is
    ``link``."""


class Usage(NamedTuple):
    """What regular files take up; a file counts once for each of its names."""

    bytes: int
    files: int


NOTHING = Usage(0, 0)


class Upload(NamedTuple):
    """Who sends a file, and what it will be."""

    owner: str
    """Partials belong to their owner: another one's are never seen, resumed or replaced."""
    size: int | None
    """Bytes the whole file will have, those of its partial included; None: unknown."""
    resume: bool = False
    """Go on at the end of the owner's partial."""
    replaces: bool = True
    """Whether it takes the place of a file that is there; else `WriteHandle.publish` raises `FileExists`."""


class ReadHandle(Protocol):
    """A regular file, open for reading, as it was at that moment."""

    @property
    def size(self) -> int:
        """Bytes, when it was opened."""

    @property
    def content(self) -> bytes | None:
        """All its bytes, where they were few enough to be read when it was opened; else None."""

    @property
    def mtime_ns(self) -> int:
        """When it was modified, as of its opening: nanoseconds since the epoch."""

    @property
    def mode(self) -> int:
        """The nine bits of permission, when it was opened."""

    @property
    def version(self) -> Hashable | None:
        """What tells these bytes from those of any other file and from what they were and will be.

        The same each time the file is opened until something about it changes, be it its name; of a file
        of this machine device, inode, size and the times of both changes.  None where it cannot be told.
        """

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

    def spliced(self, count: int) -> None:
        """The caller has spliced ``count`` bytes into `fileno`.  Never waits."""

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


class UploadHandle(WriteHandle, Protocol):
    """What `Storage.open_write` gives: a `WriteHandle` that can be broken off and gone on with.

    Who made it ends it, by exactly one of `publish`, `discard` and `keep`.
    """

    @property
    def size(self) -> int:
        """Bytes it holds, those of a partial it goes on with included.  Never waits."""

    def read(self, offset: int, count: int) -> bytes:
        """Up to ``count`` bytes of what it holds; empty at or behind the end.

        Also while another thread writes, and after an error.  Where there is a `fileno`, pread(2) on that
        does the same.
        """

    def set_attributes(self, mtime_ns: int | None, mode: int | None) -> None:
        """What the file shall have when it is published; None: as without.  Never waits.

        ``mtime_ns`` are nanoseconds since the epoch; of ``mode`` the nine bits of permission count.
        """

    def keep(self) -> bool:
        """The upload broke off: what has arrived becomes, or stays, the owner's partial: whether it did.

        A partial that it went on with and added nothing to is as it was, its age included.

        `discard` instead where it was opened without an `Upload`, holds nothing, had an error, or where
        another upload of this owner to this name holds the partial by now.  Raises nothing.
        """


class Storage(Protocol):
    """A tree of files.

    Partials: what has arrived of an upload that broke off, one for each name and owner, which no
    listing shows.  An upload announced with more than `Limits.resumable_size` bytes, or of unknown size,
    is its owner's partial from the start, so that it outlives the process; a smaller one from `keep` on.
    """

    def open_read(self, path: Path) -> ReadHandle:
        """Raises `FileNotFound`, `IsADirectory`, `NotARegularFile`, `NotADirectory`, `PermissionDenied`."""

    def open_read_now(self, path: Path) -> ReadHandle | None:
        """The same from what the system holds in memory, never waiting; None: use `open_read`."""

    def check_write(self, path: Path) -> Hashable:
        """Ask whether `open_write` would find anything against a file at ``path`` now, but for its size.

        Returns the identity of the place, the same for all paths that lead there.  Raises `IsADirectory`,
        `NotARegularFile`, `FileNotFound`, `NotADirectory`, `PermissionDenied`, `NameNotAllowed`.
        """

    def open_write(self, path: Path, upload: Upload | None = None) -> UploadHandle:
        """Begin a file that `WriteHandle.publish` will put at ``path``, whose directory must exist.

        With an ``upload`` the space for what it announces is set aside, and partials that nobody writes
        are removed for it, the oldest first, where that is enough.  One that does not resume replaces its
        owner's partial, unless that is being written.

        Raises `IsADirectory`, `NotARegularFile`, `FileNotFound`, `NotADirectory`, `PermissionDenied`,
        `NameNotAllowed`, `DiskFull`; to resume also `OffsetNotValid` (there is no partial) and
        `LimitReached` (it is being written, by this process or another).
        """

    @property
    def partials(self) -> tuple[int, int]:
        """How many partials nobody writes to, and their bytes, as far as `sweep` and uploads have told.

        Never waits.
        """

    def partial_size(self, path: Path, owner: str) -> int | None:
        """Bytes of the owner's partial of that name, also while it is written; None: there is none."""

    def open_partial(self, path: Path, owner: str) -> ReadHandle:
        """To hash it.  It may grow meanwhile.  Raises `FileNotFound` where there is none."""

    def discard_partial(self, path: Path, owner: str) -> Usage:
        """Remove it, if there is one; returns what it took up.

        Raises `LimitReached` where it is written, `PermissionDenied`.
        """

    def list(self, path: Path) -> Iterator[Entry]:
        """The names in a directory sorted by their bytes, or of a file its own; never the server's own.

        It reads all names before it returns, and each step may wait as well: what comes late is sorted
        late.  Raises `FileNotFound`, `NotADirectory`, `PermissionDenied`, before it returns.
        """

    def list_attributes(self, path: Path, *, whole_tree: bool = False) -> Iterator[tuple[str, Attributes]]:
        """The same with attributes; what vanishes meanwhile is left out.

        With ``whole_tree`` also what is in the directories below, but for those that may not be read; no
        link is entered.  A name is then the path from the listed directory; they are sorted by the bytes
        of that, so a directory comes before what it holds.  Nothing stays open between two steps.
        """

    def stat(self, path: Path) -> Attributes:
        """Raises `FileNotFound`, `NotADirectory`, `PermissionDenied`."""

    # What these change is durable when they return.  They act on links themselves, and raise
    # `PermissionDenied` for the root, and `FileNotFound`, `NotADirectory`, `PermissionDenied`,
    # `NameNotAllowed` and `DiskFull` as things are.  What removes anything returns what that took up.

    def make_directory(self, path: Path) -> None:
        """Its parent must exist.  Raises `FileExists` where there is anything of that name."""

    def remove_directory(self, path: Path) -> Usage:
        """With its partials and what crashes left behind in it.

        Raises `DirectoryNotEmpty` where there is anything else in it, or a partial that is being written.
        """

    def remove(self, path: Path) -> Usage:
        """Whatever is no directory (`IsADirectory`)."""

    def rename(self, old: Path, new: Path) -> Usage:
        """In one step, replacing what is no directory, or an empty directory by a directory.

        Onto itself it does nothing.  Raises `DirectoryNotEmpty`, `IsADirectory` and `NotADirectory` where
        what stands at ``new`` cannot be replaced by it, `NameNotAllowed` for a directory into itself, and
        `NotSupported` from one file system to another.
        """

    def sweep(self) -> int:
        """Remove what a crash left behind and nobody holds; returns how many files that were.

        Partials go when nothing was added to them for `Limits.keep_partials` seconds; the others are
        counted.  To be called at the start, and now and then.
        """

    def usage(self) -> Usage:
        """What all regular files take up together, those no listing shows included; links are none.

        Left out are what running uploads of this storage write, and where the tree goes on in another file
        system; what may not be read counts nothing.  What changes meanwhile may be in it or not.
        """
