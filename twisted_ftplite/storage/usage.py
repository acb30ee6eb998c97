"""What the files of a tree take up."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from .books import FileId
from .hidden import HIDDEN
from .interface import NOTHING, Usage
from .jail import Jail

_NOT_THERE = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE, errno.EACCES, errno.EPERM))
"""What the system says of a directory that is gone, or is none any more, or may not be read."""


def weight(found: os.stat_result | None) -> Usage:
    """What goes with one name."""
    if found is None or not stat.S_ISREG(found.st_mode):
        return NOTHING
    return Usage(found.st_size, 1)


def usage(jail: Jail, is_written: Callable[[FileId], bool]) -> Usage:
    """See `Storage.usage`: a walk, no link followed, one directory open at a time.

    ``is_written`` is asked of files with hidden names.  Raises bare `OSError`: what could not be counted for
    want of descriptors, or because a disk fails, must not look like less.
    """
    size = files = 0
    ahead = [b"."]
    device: int | None = None
    while ahead:
        path = ahead.pop()
        try:
            directory = jail.open_directory(path)
        except OSError as failure:
            if failure.errno not in _NOT_THERE or device is None:
                raise
            continue
        try:
            here = os.fstat(directory).st_dev
            device = here if device is None else device
            if here == device:
                directories, found = _count(directory, is_written)
                ahead.extend(name if path == b"." else path + b"/" + name for name in directories)
                size += found.bytes
                files += found.files
        finally:
            os.close(directory)
    return Usage(size, files)


def _count(directory: int, is_written: Callable[[FileId], bool]) -> tuple[list[bytes], Usage]:
    """The names of a directory's directories, and what its own files take up."""
    directories = []
    size = files = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            if entry.is_dir(follow_symlinks=False):
                directories.append(name)
            elif entry.is_file(follow_symlinks=False):
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if not (name.startswith(HIDDEN) and is_written((found.st_dev, found.st_ino))):
                    size += found.st_size
                    files += 1
    return directories, Usage(size, files)
