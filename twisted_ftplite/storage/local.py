"""A directory of this machine, served.

Plain blocking code: whoever calls it does so in a thread, but for what `interface` says never waits.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Hashable, Iterator

from ..errors import FileExists, IsADirectory, PermissionDenied, from_oserror
from ..limits import Limits
from ..protocol.paths import Path
from . import listing, tree, usage
from .border import translated
from .interface import NOTHING, Attributes, Entry, ReadHandle, Upload, Usage
from .jail import Jail
from .names import encoded, parent_and_name
from .reading import LocalReadHandle, check_regular, read_cached, read_whole, reopen_for_reading
from .sweep import sweep
from .uploads import LocalWriteHandle, Uploads

_DEFAULT_LIMITS = Limits()


class LocalStorage:
    """The tree beneath ``root``, which links do not leave.

    ``umask`` are the permission bits that new files lack, whatever the process's own is.  ``walk`` does
    without openat2.  ``clock`` are seconds since the epoch.  The constructor alone raises a bare `OSError`,
    in the operator's terms: no such root, no ``/proc``.  The root stays open until `close`.
    """

    def __init__(
        self,
        root: str,
        *,
        umask: int,
        limits: Limits = _DEFAULT_LIMITS,
        read_only: bool = False,
        walk: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._jail = Jail(root, walk=walk)
        self._answers_now = self._jail.answers_from_cache and hasattr(os, "RWF_NOWAIT")
        self._umask = umask
        self._small_file = limits.small_file
        self._read_only = read_only
        self._uploads = Uploads(self._jail, limits, clock)
        self._sweeping = threading.Lock()
        self.unswept = 0
        """Directories and files the last `sweep` could not look at or remove; for the log."""

    @property
    def notice(self) -> str:
        """A line for the log at the start, or nothing."""
        return self._jail.notice

    @property
    def partials(self) -> tuple[int, int]:
        return self._uploads.books.held()

    def close(self) -> None:
        """Let go of the root: handles stay usable for reading, but nothing more is opened or published."""
        self._jail.close()

    # Reading.

    def open_read(self, path: Path) -> ReadHandle:
        with translated():
            found = self._jail.find(encoded(path))
            try:
                check_regular(found)
                file = reopen_for_reading(found)
            finally:
                os.close(found)
            return self._read(file)

    def open_read_now(self, path: Path) -> ReadHandle | None:
        if not self._answers_now:
            return None
        try:
            found = self._jail.find_cached(encoded(path))
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

    def list(self, path: Path) -> Iterator[Entry]:
        with translated():
            return listing.entries(self._jail, path)

    def list_attributes(self, path: Path, *, whole_tree: bool = False) -> Iterator[tuple[str, Attributes]]:
        with translated():
            return listing.entries_with_attributes(self._jail, path, whole_tree=whole_tree)

    def stat(self, path: Path) -> Attributes:
        with translated():
            return listing.attributes(self._jail, path)

    # Uploads.

    def check_write(self, path: Path) -> Hashable:
        parent, name = self._place(path)
        with translated():
            return self._uploads.check(parent, name)

    def open_write(self, path: Path, upload: Upload | None = None) -> LocalWriteHandle:
        parent, name = self._place(path)
        with translated():
            return self._uploads.open(parent, name, upload, 0o666 & ~self._umask)

    def partial_size(self, path: Path, owner: str) -> int | None:
        if not path:
            return None
        parent, name = parent_and_name(path)
        with translated():
            return self._uploads.size(parent, name, owner)

    def open_partial(self, path: Path, owner: str) -> ReadHandle:
        if not path:
            raise IsADirectory
        parent, name = parent_and_name(path)
        with translated():
            file = self._uploads.open_partial(parent, name, owner)
            return self._read(file)

    def discard_partial(self, path: Path, owner: str) -> Usage:
        self._check_writable()
        if not path:
            return NOTHING
        parent, name = parent_and_name(path)
        with translated():
            return self._uploads.discard(parent, name, owner)

    def sweep(self) -> int:
        if self._read_only:
            return 0
        with self._sweeping:
            self._uploads.books.begin_sweep()
            try:
                removed, self.unswept = sweep(self._jail, self._uploads.swept)
            finally:
                self._uploads.books.end_sweep()
        return removed

    def usage(self) -> Usage:
        with translated():
            return usage.usage(self._jail, self._uploads.books.is_live)

    # The tree.

    def make_directory(self, path: Path) -> None:
        self._check_writable()
        if not path:
            raise FileExists
        with translated():
            tree.make_directory(self._jail, path, 0o777 & ~self._umask)

    def remove_directory(self, path: Path) -> Usage:
        self._check_changeable(path)
        with translated():
            return tree.remove_directory(self._jail, self._uploads, path)

    def remove(self, path: Path) -> Usage:
        self._check_changeable(path)
        with translated():
            return tree.remove(self._jail, path)

    def rename(self, old: Path, new: Path) -> Usage:
        self._check_changeable(old)
        self._check_changeable(new)
        with translated():
            return tree.rename(self._jail, self._uploads, old, new)

    def _place(self, path: Path) -> tuple[bytes, bytes]:
        """Where a file would be put."""
        self._check_writable()
        if not path:
            raise IsADirectory
        return parent_and_name(path)

    def _check_writable(self) -> None:
        if self._read_only:
            raise PermissionDenied

    def _check_changeable(self, path: Path) -> None:
        if self._read_only or not path:
            raise PermissionDenied

    def _read(self, file: int) -> ReadHandle:
        """The handle of an open file, which is its own from now on."""
        try:
            snapshot = read_whole(file, self._small_file)
            if snapshot is None:
                return LocalReadHandle(file)
        except BaseException:
            os.close(file)
            raise
        os.close(file)
        return snapshot

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
        return handle.snapshot(content) if content is not None and whole else None
