"""Files that have no name yet, or one of the server's own: made, locked and removed.

It speaks the system's language: bare `OSError`, bytes for names.  Whoever writes to such a file holds a
flock(2) on it from before anyone may take it for abandoned until it has another name or none, so what is
not locked is what a crash left behind, or a partial that waits to be gone on with.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import stat
from contextlib import suppress

from ..protocol.paths import RESERVED

TEMPORARY = os.fsencode(RESERVED) + b"tmp-"
"""Names of files in the making begin so, where the file system has no unnamed files."""

PARTIAL = os.fsencode(RESERVED) + b"part-"
"""Names of partials begin so."""

HIDDEN = (TEMPORARY, PARTIAL)
"""How all names of the server's own begin."""

PRIVATE = 0o600
"""The mode of what is in the making: whoever goes on with it must be able to open it."""

_NO_UNNAMED_FILES = frozenset((errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL))
"""What file systems and kernels without O_TMPFILE say to it; each has its own idea."""

_ATTEMPTS = 256
"""Temporary names tried: a sweeper may take one in the instant before it is locked."""


def partial_name(owner: str, name: bytes) -> bytes:
    """The name, in the same directory, of the owner's partial for ``name``: 46 bytes, however long that is.

    Nobody can make another's from his own: the hash has 128 bits, and a name holds no NUL.
    """
    digest = hashlib.blake2b(owner.encode("utf-8", "surrogatepass") + b"\0" + name, digest_size=16)
    return PARTIAL + digest.hexdigest().encode("ascii")


def temporary_name() -> bytes:
    """One that nobody else has."""
    return TEMPORARY + secrets.token_hex(16).encode("ascii")


def hold(descriptor: int) -> None:
    """Lock a file for as long as the descriptor is open.

    Raises `BlockingIOError` where somebody holds it, another `OSError` where the file system has no locks.
    """
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def create(directory: int) -> tuple[int, bytes | None]:
    """A new empty file that is held: its descriptor, and its temporary name where it had to have one."""
    descriptor = create_unnamed(directory)
    if descriptor is not None:
        return descriptor, None
    for _ in range(_ATTEMPTS):
        name = temporary_name()
        descriptor = create_named(directory, name)
        if descriptor is not None:
            return descriptor, name
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def create_unnamed(directory: int) -> int | None:
    """The same without a name; None where the system, or the directory's file system, has no such files."""
    if not hasattr(os, "O_TMPFILE"):
        return None
    try:
        descriptor = os.open(".", os.O_RDWR | os.O_TMPFILE, PRIVATE, dir_fd=directory)
    except OSError as failure:
        if failure.errno in _NO_UNNAMED_FILES:
            return None
        raise
    if not os.path.exists(f"/proc/self/fd/{descriptor}"):
        os.close(descriptor)  # no /proc: it could never be given its name
        return None
    with suppress(OSError):  # no locks there: then no sweep removes anything either
        hold(descriptor)  # it stays with the file when that gets a name
    return descriptor


def create_named(directory: int, name: bytes) -> int | None:
    """The same under this name; None where there is one already, or somebody took it before it was held."""
    try:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE, dir_fd=directory)
    except FileExistsError:
        return None
    try:
        hold(descriptor)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        return descriptor  # no locks there: then no sweep removes anything either
    if is_named(directory, name, descriptor):
        return descriptor
    os.close(descriptor)
    return None


def open_held(directory: int, name: bytes) -> int:
    """The file of that name, held, at its start.

    Raises `BlockingIOError` where somebody holds it, and `FileNotFoundError` also for what is no regular
    file or is known by another name too: nobody may write to that.
    """
    descriptor = _open_to_write(directory, name)
    try:
        try:
            hold(descriptor)
        except BlockingIOError:
            raise
        except OSError:
            pass  # no locks there: `books.Books.claim` guards it within this process
        found = os.fstat(descriptor)
        alone = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
        # Who held it until now may have published it.
        if not alone or not is_named(directory, name, descriptor):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        os.set_blocking(descriptor, True)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def remove_unheld(directory: int, name: bytes, expected: tuple[int, int] | None = None) -> bool:
    """Whether a regular file of that name was removed; only the one of this device and inode, if given.

    Raises `BlockingIOError` where somebody holds it, and what the system says where it cannot be opened,
    locked or removed.
    """
    try:
        descriptor = _open_to_write(directory, name)
    except FileNotFoundError:
        return False
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or expected not in (None, (found.st_dev, found.st_ino)):
            return False
        hold(descriptor)
        if not is_named(directory, name, descriptor):
            return False
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return False
    finally:
        os.close(descriptor)
    return True


def is_named(directory: int, name: bytes, descriptor: int) -> bool:
    """Whether this name stands for the very file of this descriptor."""
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(descriptor))


def _open_to_write(directory: int, name: bytes) -> int:
    """For writing, because NFS gives exclusive locks to nobody else; without waiting, should it be a FIFO."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return os.open(name, flags, dir_fd=directory)
    except PermissionError:
        # It died between getting its last mode and its last name.
        found = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=directory)
        try:
            if not stat.S_ISREG(os.fstat(found).st_mode):
                raise
            os.chmod(f"/proc/self/fd/{found}", PRIVATE)
            return os.open(f"/proc/self/fd/{found}", flags & ~os.O_NOFOLLOW)
        finally:
            os.close(found)
