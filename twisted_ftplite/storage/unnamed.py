"""A file that has no name until it is whole and on stable storage; what a server's `put` and a client's
`get` write into.

It speaks the system's language: bare `OSError`, bytes for names.  Linux gives it ``O_TMPFILE``; elsewhere,
and on file systems without, it lives under a random name that begins with `TEMPORARY`.  Either way a
flock(2) is held on it for as long as it is in the making: `sweep` takes a temporary name that nobody
holds for what a crash left behind.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress

from ..protocol.paths import RESERVED
from .interface import Buffer

TEMPORARY = os.fsencode(RESERVED) + b"tmp-"
"""Temporary names begin so."""

_NO_UNNAMED_FILES = frozenset((errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL))
"""What file systems and kernels without O_TMPFILE say to it; each has its own idea."""

_ATTEMPTS = 16
"""Temporary names tried: a sweeper may take one in the instant before it is locked."""


class UnnamedFile:
    """A file in the making, for ``name`` in a directory; one descriptor, until published or discarded.

    ``open_directory`` gives a descriptor of that directory (``O_PATH`` is enough), which is closed here
    after each use: at the start, at the end, and never held in between.  ``mode`` are the nine bits of
    a new file; one that is replaced keeps its own.  The constructor raises ``EISDIR`` where ``name`` is
    a directory, ``ENXIO`` where it is neither a regular file nor a link, and what the system says.
    """

    waits = True

    def __init__(self, open_directory: Callable[[], int], name: bytes, mode: int) -> None:
        self._open_directory = open_directory
        self._name = name
        self._failure: OSError | None = None
        self._synced_size: int | None = None
        directory = open_directory()
        try:
            kept = _mode_of_replaced(directory, name)
            self._mode = mode if kept is None else kept
            self._descriptor, self._temporary = _create(directory)
            try:
                os.fchmod(self._descriptor, self._mode)  # the process's umask has no say
            except OSError:
                self._remove_temporary(directory)
                os.close(self._descriptor)
                raise
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

    def sync(self) -> None:
        """fsync(2), unless that was done and nothing was appended since."""
        self._check_usable()
        try:
            size = os.fstat(self._descriptor).st_size
            if size != self._synced_size:
                # Never again after an error: the kernel may forget what it could not write.
                os.fsync(self._descriptor)
                self._synced_size = size
        except OSError as failure:
            self._failure = failure
            raise

    def publish(self) -> None:
        """`sync`, put it under its name in one step, and fsync the directory; then it is closed.

        Raises as the constructor does; after an error what stood there still stands and this is discarded.
        Only where the very last step fails, the directory's fsync, is the new file under its name already.
        """
        self._check_usable()
        try:
            self.sync()
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

    def _place(self, directory: int) -> None:
        # fsync wants a real descriptor, not O_PATH; if there is none to be had, nothing has happened yet.
        listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=directory)
        try:
            # After the long sync, right before the step: what is replaced may have changed.
            while (kept := _mode_of_replaced(directory, self._name)) not in (None, self._mode):
                self._mode = kept
                os.fchmod(self._descriptor, kept)
                os.fsync(self._descriptor)
            if self._temporary is None:
                self._link(directory)
            else:
                os.replace(self._temporary, self._name, src_dir_fd=directory, dst_dir_fd=directory)
                self._temporary = None
            os.fsync(listed)
        finally:
            os.close(listed)

    def _link(self, directory: int) -> None:
        """Give the nameless file its name: link(2) replaces nothing, so a taken name needs two steps."""
        source = f"/proc/self/fd/{self._descriptor}"
        try:
            os.link(source, self._name, dst_dir_fd=directory, follow_symlinks=True)
        except FileExistsError:
            temporary = _temporary_name()
            os.link(source, temporary, dst_dir_fd=directory, follow_symlinks=True)
            self._temporary = temporary
            try:
                os.replace(temporary, self._name, src_dir_fd=directory, dst_dir_fd=directory)
            except OSError:
                self._remove_temporary(directory)
                raise
            self._temporary = None

    def _remove_temporary(self, directory: int) -> None:
        temporary, self._temporary = self._temporary, None
        if temporary is not None:
            os.unlink(temporary, dir_fd=directory)

    def _check_usable(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._descriptor < 0:
            raise ValueError("published or discarded")

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def process_umask() -> int:
    """The process's umask, which can be read only by setting it: call it before there are threads."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def hold(descriptor: int) -> None:
    """Lock a temporary file for as long as the descriptor is open.

    Raises `BlockingIOError` where somebody holds it, another `OSError` where the file system has no locks.
    """
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _mode_of_replaced(directory: int, name: bytes) -> int | None:
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


def _create(directory: int) -> tuple[int, bytes | None]:
    """A new empty file that is held: its descriptor, and its temporary name where it had to have one."""
    descriptor = _create_unnamed(directory)
    if descriptor is not None:
        with suppress(OSError):  # no locks there: then no sweep removes anything either
            hold(descriptor)  # it stays with the file when that gets a name
        return descriptor, None
    for _ in range(_ATTEMPTS):
        name = _temporary_name()
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=directory)
        if not _lost_to_a_sweep(descriptor):
            return descriptor, name
        os.close(descriptor)
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def _lost_to_a_sweep(descriptor: int) -> bool:
    """Hold a new temporary file, unless a sweep came before that and holds it, or has removed it already."""
    try:
        hold(descriptor)
    except BlockingIOError:
        return True
    except OSError:
        return False  # no locks there: then no sweep removes anything either
    return os.fstat(descriptor).st_nlink == 0


def _create_unnamed(directory: int) -> int | None:
    """None where the system, or the directory's file system, has no unnamed files."""
    if not hasattr(os, "O_TMPFILE"):
        return None
    try:
        descriptor = os.open(".", os.O_RDWR | os.O_TMPFILE, 0o600, dir_fd=directory)
    except OSError as failure:
        if failure.errno in _NO_UNNAMED_FILES:
            return None
        raise
    if os.path.exists(f"/proc/self/fd/{descriptor}"):
        return descriptor
    os.close(descriptor)  # no /proc: it could never be given its name
    return None


def _temporary_name() -> bytes:
    return TEMPORARY + secrets.token_hex(16).encode("ascii")
