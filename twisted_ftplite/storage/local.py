"""A directory of this machine, served.

Plain blocking code: whoever calls it does so in a thread, but for what `interface` says never waits.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence

from ..errors import IsADirectory, NameNotAllowed, PermissionDenied, from_oserror
from ..limits import Limits
from ..protocol.paths import RESERVED, Path
from .border import translated
from .interface import Buffer, Entry, ReadHandle
from .jail import Jail, reopen
from .reading import LocalReadHandle, check_regular, read_cached, read_whole, reopen_for_reading
from .snapshot import Snapshot
from .sweep import sweep
from .unnamed import UnnamedFile

_DEFAULT_LIMITS = Limits()

_LEADS_NOWHERE = frozenset(
    (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.EACCES, errno.ENAMETOOLONG)
)
"""What a link says that dangles or leads outside: it is listed as a plain name."""

_DIRECTORY, _LINK, _OTHER = b"\0d", b"\0l", b"\0o"
"""What is kept behind a name while a listing is sorted: NUL is in no name and comes before all that is."""


class LocalStorage:
    """The tree beneath ``root``, which links do not leave.

    ``umask`` are the permission bits that new files lack, whatever the process's own is.  ``walk`` does
    without openat2.  The constructor alone raises a bare `OSError`, in the operator's terms: no such root,
    no ``/proc``.  The root stays open until `close`.
    """

    def __init__(
        self,
        root: str,
        *,
        umask: int,
        limits: Limits = _DEFAULT_LIMITS,
        read_only: bool = False,
        walk: bool = False,
    ) -> None:
        self._jail = Jail(root, walk=walk)
        self._answers_now = self._jail.answers_from_cache and hasattr(os, "RWF_NOWAIT")
        self._mode = 0o666 & ~umask
        self._small_file = limits.small_file
        self._read_only = read_only
        self.unswept = 0
        """Directories and files the last `sweep` could not look at or remove; for the log."""

    @property
    def notice(self) -> str:
        """A line for the log at the start, or nothing."""
        return self._jail.notice

    def close(self) -> None:
        """Let go of the root: handles stay usable for reading, but nothing more is opened or published."""
        self._jail.close()

    def open_read(self, path: Path) -> ReadHandle:
        with translated():
            found = self._jail.find(_encoded(path))
            try:
                check_regular(found)
                file = reopen_for_reading(found)
            finally:
                os.close(found)
            try:
                content = read_whole(file, self._small_file)
                if content is None:
                    return LocalReadHandle(file)
            except BaseException:
                os.close(file)
                raise
            os.close(file)
            return Snapshot(content)

    def open_read_now(self, path: Path) -> ReadHandle | None:
        if not self._answers_now:
            return None
        try:
            found = self._jail.find_cached(_encoded(path))
        except (FileNotFoundError, NotADirectoryError, PermissionError) as failure:
            raise from_oserror(failure) from failure
        except OSError:
            return None
        try:
            check_regular(found)
            # Not waiting for the holder of a lease either.
            file = reopen_for_reading(found, os.O_NONBLOCK)
        except OSError:
            return None
        finally:
            os.close(found)
        return self._read_now(file)

    def open_write(self, path: Path) -> LocalWriteHandle:
        if self._read_only:
            raise PermissionDenied
        if not path:
            raise IsADirectory
        parent, name = _encoded(path[:-1]), _encoded(path[-1:])
        if b"/" in name or b"\0" in name or name in (b".", b".."):
            raise NameNotAllowed  # it is given to calls that know no jail
        with translated():
            file = UnnamedFile(lambda: self._jail.find_directory(parent), name, self._mode)
        return LocalWriteHandle(file)

    def list(self, path: Path) -> Iterator[Entry]:
        with translated():
            found = self._jail.find(_encoded(path))
            try:
                if not stat.S_ISDIR(os.fstat(found).st_mode):
                    return iter((Entry(path[-1], False),))
                listed = reopen(found, os.O_RDONLY | os.O_DIRECTORY)
            finally:
                os.close(found)
            try:
                names = _names_with_kinds(listed)
            finally:
                os.close(listed)
        return self._entries(path, names)

    def sweep(self) -> int:
        if self._read_only:
            return 0
        removed, self.unswept = sweep(self._jail)
        return removed

    def _read_now(self, file: int) -> ReadHandle | None:
        """The handle of an open file, if what it needs is in memory; else the file is closed."""
        try:
            handle = LocalReadHandle(file)
            if handle.size > self._small_file:
                return handle
            content = read_cached(file, handle.size, in_memory=self._jail.in_memory)
            whole = content is not None and not handle.changed()
        except BaseException:
            os.close(file)
            raise
        handle.close()
        return Snapshot(content) if content is not None and whole else None

    def _entries(self, directory: Path, names: Sequence[bytes]) -> Iterator[Entry]:
        for each in names:
            name = os.fsdecode(each[:-2])
            is_directory = each.endswith(_DIRECTORY)
            if each.endswith(_LINK):
                is_directory = self._leads_to_directory((*directory, name))
            yield Entry(name, is_directory)

    def _leads_to_directory(self, link: Path) -> bool:
        with translated():
            try:
                found = self._jail.find(_encoded(link))
            except OSError as failure:
                if failure.errno in _LEADS_NOWHERE:
                    return False
                raise
            try:
                return stat.S_ISDIR(os.fstat(found).st_mode)
            finally:
                os.close(found)


class LocalWriteHandle:
    """A `WriteHandle` around an `UnnamedFile`."""

    waits = True

    def __init__(self, file: UnnamedFile) -> None:
        self._file = file

    def fileno(self) -> int | None:
        return self._file.fileno()

    def write(self, data: Buffer) -> None:
        with translated():
            self._file.write(data)

    def sync(self) -> None:
        with translated():
            self._file.sync()

    def publish(self) -> None:
        with translated():
            self._file.publish()

    def discard(self) -> None:
        with translated():
            self._file.discard()


def _encoded(path: Path) -> bytes:
    """The path as the jail takes it."""
    try:
        encoded = os.fsencode("/".join(path))
    except UnicodeEncodeError as failure:
        raise NameNotAllowed from failure
    if b"\0" in encoded:
        raise NameNotAllowed
    return encoded or b"."


def _names_with_kinds(directory: int) -> Sequence[bytes]:
    """The sorted names of an open directory, the server's own left out, each with its kind behind it.

    The kind comes with the name from the system, so no file is asked.
    """
    names = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(RESERVED):
                continue
            if entry.is_symlink():
                kind = _LINK
            else:
                kind = _DIRECTORY if entry.is_dir(follow_symlinks=False) else _OTHER
            names.append(os.fsencode(entry.name) + kind)
    names.sort()
    return names
