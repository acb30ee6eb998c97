"""Making, moving and removing names of a directory of this machine, durably.

What is durable here is names: every function returns after the fsync of the directories it changed.  Paths
are not the root's.  Raises bare `OSError`, and the exceptions of `Storage` where the system's own would
say something else.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import DirectoryNotEmpty, NameNotAllowed, NotSupported, PermissionDenied
from ..protocol.paths import Path
from .hidden import HIDDEN
from .interface import NOTHING, Usage
from .jail import Jail, reopen
from .names import encoded, parent_and_name
from .uploads import Uploads
from .usage import weight

_NOT_EMPTY = (errno.ENOTEMPTY, errno.EEXIST)


def make_directory(jail: Jail, path: Path, mode: int) -> None:
    """``mode`` are its nine bits, whatever the process's umask is."""
    with _parent(jail, path) as (parent, name):
        os.mkdir(name, mode & 0o700, dir_fd=parent)
        made = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=parent)
        try:
            inherited = os.fstat(made).st_mode & 0o7000
            os.chmod(f"/proc/self/fd/{made}", mode | inherited)
        finally:
            os.close(made)
        os.fsync(parent)


def remove(jail: Jail, path: Path) -> Usage:
    """Whatever is no directory; returns what it took up."""
    with _parent(jail, path) as (parent, name):
        found = _refuse_directory(parent, name)
        os.unlink(name, dir_fd=parent)
        os.fsync(parent)
    return weight(found)


def remove_directory(jail: Jail, uploads: Uploads, path: Path) -> Usage:
    """With the partials and the abandoned files in it; returns what they took up."""
    hidden = NOTHING
    with _parent(jail, path) as (parent, name), _mount_points_refused():
        try:
            os.rmdir(name, dir_fd=parent)
        except OSError as failure:
            if failure.errno not in _NOT_EMPTY:
                raise
            hidden = _remove_hidden(uploads, parent, name)
            os.rmdir(name, dir_fd=parent)
        os.fsync(parent)
    return hidden


def rename(jail: Jail, uploads: Uploads, old: Path, new: Path) -> Usage:
    """As rename(2), but what only a server's own files make full is empty; returns what was replaced."""
    hidden = NOTHING
    with (
        _parent(jail, old) as (source, old_name),
        _parent(jail, new) as (target, new_name),
        _mount_points_refused(),
    ):
        moved, replaced = os.stat(old_name, dir_fd=source, follow_symlinks=False), _status(target, new_name)
        same = replaced is not None and os.path.samestat(moved, replaced)
        try:
            try:
                os.rename(old_name, new_name, src_dir_fd=source, dst_dir_fd=target)
            except OSError as failure:
                if failure.errno not in _NOT_EMPTY:
                    raise
                hidden = _remove_hidden(uploads, target, new_name)
                os.rename(old_name, new_name, src_dir_fd=source, dst_dir_fd=target)
        except OSError as failure:
            raise _said(failure) from failure
        gone = not same
        if same and _are_two_names(source, old_name, target, new_name):
            os.unlink(old_name, dir_fd=source)  # rename(2) leaves both
            gone = True
        os.fsync(target)
        if not os.path.sameopenfile(source, target):
            os.fsync(source)
    uploads.books.moved(encoded(old), encoded(new))
    replaced_file = weight(replaced) if gone else NOTHING
    return Usage(hidden.bytes + replaced_file.bytes, hidden.files + replaced_file.files)


@contextmanager
def _parent(jail: Jail, path: Path) -> Iterator[tuple[int, bytes]]:
    """The directory of ``path``, open to be synced, and its last name."""
    parent, name = parent_and_name(path)
    found = jail.find_directory(parent)
    try:
        opened = reopen(found, os.O_RDONLY | os.O_DIRECTORY)
    finally:
        os.close(found)
    try:
        yield opened, name
    finally:
        os.close(opened)


@contextmanager
def _mount_points_refused() -> Iterator[None]:
    try:
        yield
    except OSError as failure:
        if failure.errno == errno.EBUSY:
            raise PermissionDenied from failure
        raise


def _status(directory: int, name: bytes) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _refuse_directory(parent: int, name: bytes) -> os.stat_result:
    """Not every system's unlink(2) says it itself.  Returns what the name stands for."""
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return found


def _are_two_names(source: int, old: bytes, target: int, new: bytes) -> bool:
    """Whether one file has them both; not where only its case was changed and the file system knows none."""
    if not os.path.sameopenfile(source, target):
        return True
    return old != new and {os.fsdecode(old), os.fsdecode(new)} <= set(os.listdir(source))


def _said(failure: OSError) -> Exception:
    """What rename(2) means by it."""
    if failure.errno == errno.EINVAL:
        return NameNotAllowed("A directory cannot be moved into itself.")
    if failure.errno == errno.EXDEV:
        return NotSupported("That is another file system.")
    if failure.errno == errno.EEXIST:
        return DirectoryNotEmpty()
    return failure


def _remove_hidden(uploads: Uploads, parent: int, name: bytes) -> Usage:
    """Empty a directory of the server's own files; returns what they took up.

    Raises `DirectoryNotEmpty` where it holds anything else, and then nothing was removed, or one that is in
    use.  The latter is for rmdir(2) to find out too: one may come at any time.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    directory = os.open(name, flags, dir_fd=parent)
    try:
        names = [os.fsencode(each) for each in os.listdir(directory)]
        if not all(each.startswith(HIDDEN) for each in names):
            raise DirectoryNotEmpty
        removed = []
        for each in names:
            try:
                removed.append(uploads.remove(directory, each))
            except BlockingIOError as failure:
                raise DirectoryNotEmpty("A file is being uploaded into it.") from failure
        return Usage(sum(each.bytes for each in removed), sum(each.files for each in removed))
    finally:
        os.close(directory)
