"""A file that has no name until it is whole and on stable storage; what a server's `put` and a client's
`get` write into.

It speaks the system's language: bare `OSError`, bytes for names.  Linux gives it ``O_TMPFILE``; elsewhere,
and on file systems without, it lives under a hidden name (`hidden`).  So does what shall outlive the
process: a partial.  Either way it is locked for as long as it is in the making.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress

from .hidden import PRIVATE, create, is_named, temporary_name
from .interface import Buffer

_ATTEMPTS = 4
"""Times a hidden name is taken from an older file, should others do the same."""


def _nothing() -> None:
    """What there is to do before most files are closed."""


class UnnamedFile:
    """A file in the making, for ``name`` in a directory; one descriptor, until published or discarded.

    ``open_directory`` gives a descriptor of that directory (``O_PATH`` is enough), which is closed here
    after each use: at the start, at the end, and never held in between.  ``mode`` are the nine bits of
    a new file; one that is replaced keeps its own.  ``make`` gives, for the directory, the descriptor of
    a file that is held and the hidden name it has; ``before_close`` is called when it has its last name,
    while it is still held.  The constructor raises ``EISDIR`` where ``name`` is a directory, ``ENXIO``
    where it is neither a regular file nor a link, and what the system says.
    """

    waits = True

    def __init__(
        self,
        open_directory: Callable[[], int],
        name: bytes,
        mode: int,
        *,
        make: Callable[[int], tuple[int, bytes | None]] = create,
        before_close: Callable[[], None] = _nothing,
    ) -> None:
        self._open_directory = open_directory
        self._name = name
        self._before_close = before_close
        self._failure: OSError | None = None
        self._synced: tuple[int, bool] | None = None  # how large it was, and whether it had its time
        self._synced_mode = 0
        self._mtime_ns: int | None = None
        self._has_time = False
        self._mode_is_given = False
        self.replaces = True
        """Whether `publish` takes the place of a file that is there."""

        directory = open_directory()
        try:
            kept = mode_of_replaced(directory, name)
            self._mode = mode if kept is None else kept
            self._descriptor, self._temporary = make(directory)
        finally:
            os.close(directory)

    def fileno(self) -> int | None:
        """Its descriptor, at the file position where `write` goes on; None once it is closed."""
        return None if self._descriptor < 0 else self._descriptor

    def write(self, data: Buffer) -> None:
        """Append all of ``data``.  The first error sticks: every later call raises it again."""
        self._check_usable()
        try:
            with memoryview(data).cast("B") as left:
                done = 0
                while done < len(left):
                    done += os.write(self._descriptor, left[done:])
        except OSError as failure:
            self._failure = failure
            raise

    def read(self, offset: int, count: int) -> bytes:
        """Up to ``count`` bytes of what it holds, whatever its file position is."""
        if self._descriptor < 0:
            raise ValueError("published or discarded")
        return os.pread(self._descriptor, count, offset)

    def set_attributes(self, mtime_ns: int | None, mode: int | None) -> None:
        """What the published file shall have; None: as without."""
        self._mtime_ns = mtime_ns
        self._synced = None
        if mode is not None:
            self._mode_is_given = True
            self._mode = mode & 0o777

    def sync(self) -> None:
        """fsync(2), unless that was done and nothing was appended since."""
        # A partial's age is told by its time, should this process die; without a name it has none.
        self._sync(with_time=self._temporary is None)

    def publish(self) -> None:
        """`sync`, put it under its name in one step, and fsync the directory; then it is closed.

        Raises as the constructor does; after an error what stood there still stands and this is discarded.
        Only where the very last step fails, the directory's fsync, is the new file under its name already.
        """
        self._check_usable()
        try:
            self._sync(with_time=True)
            directory = self._open_directory()
            try:
                self._place(directory)
            finally:
                os.close(directory)
        except OSError as failure:
            self._failure = failure
            self.discard()
            raise
        self._close()

    def keep(
        self,
        hidden: bytes,
        clear: Callable[[int, bytes], object],
        told: Callable[[os.stat_result], None],
    ) -> None:
        """Leave it under this hidden name, for who goes on with it.

        ``clear`` removes, in the directory, what an older upload left there, unless that is held;
        ``told`` hears of what was left now, while it is held.

        `discard` instead where it holds nothing, had an error, or somebody else holds that name.  It is
        not synced: that may take long, and who goes on with it is waiting.  A kill -9 takes nothing of it,
        after a power cut it may be shorter, and what the disk failed to write meanwhile is told by the
        fsync before it is published, or, where the kernel has forgotten that with the file's pages, by the
        checksum that is compared before more is added.
        """
        try:
            left = self._leave(hidden, clear)
        except OSError:
            left = None
        if left is None:
            self.discard()
        else:
            told(left)
            with suppress(OSError):
                self._close()

    def discard(self) -> None:
        """Forget it and all that was written.  After `publish`, or a second time, it does nothing."""
        try:
            if self._temporary is not None:
                directory = self._open_directory()
                try:
                    self._remove_temporary(directory)
                finally:
                    os.close(directory)
        except OSError:
            pass  # Its directory is gone or was moved; the lock ends here, and a sweep will find it.
        finally:
            self._close()

    def _sync(self, *, with_time: bool) -> None:
        self._check_usable()
        try:
            found = os.fstat(self._descriptor)
            wanted = found.st_size, with_time and self._mtime_ns is not None
            if wanted == self._synced:
                return
            if found.st_mode & 0o777 != self._mode:
                self._set_mode(self._mode)  # the process's umask has no say
                found = os.fstat(self._descriptor)
            if with_time and self._mtime_ns is not None:
                self._set_time(self._mtime_ns)
            # Never again after an error: the kernel may forget what it could not write.
            os.fsync(self._descriptor)
            self._synced, self._synced_mode = wanted, found.st_mode
        except OSError as failure:
            self._failure = failure
            raise

    def _set_mode(self, mode: int) -> None:
        with suppress(PermissionError):  # it is this process's own file: the file system keeps no modes
            os.fchmod(self._descriptor, mode)

    def _set_time(self, mtime_ns: int) -> None:
        self._has_time = True
        try:
            os.utime(self._descriptor, ns=(time.time_ns(), mtime_ns))
        except OverflowError as failure:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL)) from failure

    def _leave(self, hidden: bytes, clear: Callable[[int, bytes], object]) -> os.stat_result | None:
        if self._descriptor < 0 or self._failure is not None or self._temporary not in (None, hidden):
            return None
        found = os.fstat(self._descriptor)
        if not found.st_size:
            return None
        if found.st_mode & 0o777 != PRIVATE:
            self._set_mode(PRIVATE)
        if self._has_time:
            os.utime(self._descriptor)  # it is as old as a partial that it has become one
            found = os.fstat(self._descriptor)
        if self._temporary is None:
            directory = self._open_directory()
            try:
                self._link_hidden(directory, hidden, clear)
            finally:
                os.close(directory)
        return found

    def _link_hidden(self, directory: int, hidden: bytes, clear: Callable[[int, bytes], object]) -> None:
        for _ in range(_ATTEMPTS):
            try:
                os.link(self._path(), hidden, dst_dir_fd=directory, follow_symlinks=True)
            except FileExistsError:
                clear(directory, hidden)
            else:
                self._temporary = hidden
                return
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    def _place(self, directory: int) -> None:
        # fsync wants a real descriptor, not O_PATH; if there is none to be had, nothing has happened yet.
        listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=directory)
        try:
            # After the long sync, right before the step: what is replaced may have changed.
            if not self.replaces and mode_of_replaced(directory, self._name) is not None:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            while (kept := mode_of_replaced(directory, self._name)) not in (None, self._mode):
                if kept is None or self._mode_is_given:
                    break
                self._take_mode(kept)
            # Who wanted to remove a partial may have made its mode `PRIVATE`, to find that it is held.
            if os.fstat(self._descriptor).st_mode != self._synced_mode:
                self._take_mode(self._mode)
            if self._temporary is None:
                self._link(directory)
            elif is_named(directory, self._temporary, self._descriptor):
                self._rename(directory, self._temporary)
            else:  # another directory is where its own was
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            os.fsync(listed)
        finally:
            os.close(listed)

    def _take_mode(self, mode: int) -> None:
        self._mode = mode
        self._set_mode(mode)
        os.fsync(self._descriptor)
        self._synced_mode = os.fstat(self._descriptor).st_mode

    def _link(self, directory: int) -> None:
        """Give the nameless file its name: link(2) replaces nothing, so a taken name needs two steps."""
        source = self._path()
        try:
            os.link(source, self._name, dst_dir_fd=directory, follow_symlinks=True)
        except FileExistsError:
            if not self.replaces:
                raise
            temporary = temporary_name()
            os.link(source, temporary, dst_dir_fd=directory, follow_symlinks=True)
            self._temporary = temporary
            try:
                os.replace(temporary, self._name, src_dir_fd=directory, dst_dir_fd=directory)
            except OSError:
                self._remove_temporary(directory)
                raise
            self._temporary = None

    def _rename(self, directory: int, temporary: bytes) -> None:
        if self.replaces:
            os.replace(temporary, self._name, src_dir_fd=directory, dst_dir_fd=directory)
        else:  # link(2) replaces nothing
            os.link(temporary, self._name, src_dir_fd=directory, dst_dir_fd=directory)
            os.unlink(temporary, dir_fd=directory)
        self._temporary = None

    def _remove_temporary(self, directory: int) -> None:
        temporary, self._temporary = self._temporary, None
        if temporary is not None and is_named(directory, temporary, self._descriptor):
            os.unlink(temporary, dir_fd=directory)

    def _path(self) -> str:
        return f"/proc/self/fd/{self._descriptor}"

    def _check_usable(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._descriptor < 0:
            raise ValueError("published or discarded")

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            try:
                self._before_close()
            finally:
                os.close(descriptor)


def process_umask() -> int:
    """The process's umask, which can be read only by setting it: call it before there are threads."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def mode_of_replaced(directory: int, name: bytes) -> int | None:
    """The mode of the regular file that stands under ``name``; None where there is none, or a link.

    Nine bits: the bytes of a stranger do not inherit set-user-ID.
    """
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISREG(found):
        return found & 0o777
    if stat.S_ISLNK(found):
        return None
    code = errno.EISDIR if stat.S_ISDIR(found) else errno.ENXIO
    raise OSError(code, os.strerror(code))
