"""Removing what a crash left behind: hidden names that nobody holds."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from .hidden import HIDDEN, PARTIAL, remove_unheld
from .jail import Jail


class Swept(NamedTuple):
    """What a sweep came to."""

    removed: int
    """Files removed."""
    failed: int
    """Directories and files that could not be looked at or removed; all else was swept."""


def sweep(jail: Jail, partial: Callable[[bytes, int, bytes], bool]) -> Swept:
    """Walk the whole tree, no link followed, one directory open at a time.

    A hidden name that is in use is safe, in this process and in others: whoever makes one holds its file
    locked (`hidden`).  ``partial`` is called for each partial, with the path of its directory, that opened,
    and its name; it says whether it removed it.
    """
    removed = failed = 0
    ahead = [b"."]
    while ahead:
        path = ahead.pop()
        try:
            directory = jail.open_directory(path)
        except OSError:
            failed += 1
            continue
        try:
            directories, hidden = _look(directory)
            ahead.extend(name if path == b"." else path + b"/" + name for name in directories)
            for name in hidden:
                try:
                    if name.startswith(PARTIAL):
                        removed += partial(path, directory, name)
                    else:
                        removed += _remove_if_abandoned(directory, name)
                except OSError:
                    failed += 1
        except OSError:
            failed += 1
        finally:
            os.close(directory)
    return Swept(removed, failed)


def _look(directory: int) -> tuple[list[bytes], list[bytes]]:
    """The names of a directory's directories, and the hidden ones of its files."""
    directories = []
    hidden = []
    with os.scandir(directory) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            if entry.is_dir(follow_symlinks=False):
                directories.append(name)
            elif name.startswith(HIDDEN) and entry.is_file(follow_symlinks=False):
                hidden.append(name)
    return directories, hidden


def _remove_if_abandoned(directory: int, name: bytes) -> bool:
    """Whether it was removed.  Raises what the system says where it cannot be opened, locked or removed."""
    try:
        return remove_unheld(directory, name)
    except BlockingIOError:
        return False
