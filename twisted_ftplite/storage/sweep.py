"""Removing what a crash left behind: temporary names that nobody holds."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from .jail import Jail, reopen
from .unnamed import TEMPORARY, hold


class Swept(NamedTuple):
    """What a sweep came to."""

    removed: int
    """Files removed."""
    failed: int
    """Directories and files that could not be looked at or removed; all else was swept."""


def sweep(jail: Jail) -> Swept:
    """Walk the whole tree, no link followed, one directory open at a time.

    A temporary name that is in use is safe, in this process and in others: whoever makes one holds
    its file locked from before it has the name until after it has lost it (`unnamed`).
    """
    removed = failed = 0
    ahead = [b"."]
    while ahead:
        path = ahead.pop()
        try:
            directory = _open(jail, path)
        except OSError:
            failed += 1
            continue
        try:
            directories, temporaries = _look(directory)
            ahead.extend(path + b"/" + name for name in directories)
            for name in temporaries:
                try:
                    removed += _remove_if_abandoned(directory, name)
                except OSError:
                    failed += 1
        except OSError:
            failed += 1
        finally:
            os.close(directory)
    return Swept(removed, failed)


def _open(jail: Jail, path: bytes) -> int:
    found = jail.find_directory(path, links=False)
    try:
        return reopen(found, os.O_RDONLY | os.O_DIRECTORY)
    finally:
        os.close(found)


def _look(directory: int) -> tuple[list[bytes], list[bytes]]:
    """The names of a directory's directories, and of its temporary files."""
    directories = []
    temporaries = []
    with os.scandir(directory) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            if entry.is_dir(follow_symlinks=False):
                directories.append(name)
            elif name.startswith(TEMPORARY) and entry.is_file(follow_symlinks=False):
                temporaries.append(name)
    return directories, temporaries


def _remove_if_abandoned(directory: int, name: bytes) -> bool:
    """Whether it was removed.  Raises what the system says where it cannot be opened, locked or removed."""
    try:
        # For writing, because NFS gives exclusive locks to nobody else; without waiting, should it be a FIFO.
        descriptor = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    except FileNotFoundError:
        return False  # it has its real name by now, or was discarded
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return False
        hold(descriptor)
        os.unlink(name, dir_fd=directory)
    except (BlockingIOError, FileNotFoundError):
        return False
    finally:
        os.close(descriptor)
    return True
