"""What is in a directory of this machine, and what its names stand for.

`Jail` errors leave these functions as bare `OSError`; the iterators translate for themselves.
"""

from __future__ import annotations

import os
import stat
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from ..protocol.paths import RESERVED, Path
from .border import translated
from .interface import Attributes, Entry
from .jail import Jail, reopen
from .names import LEADS_NOWHERE, encoded

_DIRECTORY, _LINK, _OTHER = b"\0d", b"\0l", b"\0o"
"""What is kept behind a name while a listing is sorted: NUL is in no name and comes before all that is."""

_RESERVED = os.fsencode(RESERVED)
_BEHIND_RESERVED = _RESERVED[:-1] + bytes((_RESERVED[-1] + 1,))
"""The first name that comes behind all that begin with it."""

_BATCH = 256
"""Names whose attributes are asked for while their directory is open: 1 ms."""


def attributes(jail: Jail, path: Path) -> Attributes:
    """See `Storage.stat`."""
    found = jail.find_itself(encoded(path))
    try:
        return _attributes(jail, path, os.fstat(found))
    finally:
        os.close(found)


def entries(jail: Jail, path: Path) -> Iterator[Entry]:
    """See `Storage.list`."""
    listed = _open_directory(jail, path)
    if listed is None:
        return iter((Entry(path[-1], False),))
    try:
        names = _names_with_kinds(listed)
    finally:
        os.close(listed)
    return _entries(jail, path, names)


def entries_with_attributes(jail: Jail, path: Path, *, whole_tree: bool) -> Iterator[tuple[str, Attributes]]:
    """See `Storage.list_attributes`."""
    listed = _open_directory(jail, path)
    if listed is None:
        return iter(((path[-1], attributes(jail, path)),))
    try:
        names = _names_and_contents(listed, whole_tree=whole_tree)
    finally:
        os.close(listed)
    return _walk(jail, path, names)


def _open_directory(jail: Jail, path: Path) -> int | None:
    """A descriptor to list it by, which the caller closes; None where it is a file."""
    found = jail.find(encoded(path))
    try:
        if stat.S_ISDIR(os.fstat(found).st_mode):
            return reopen(found, os.O_RDONLY | os.O_DIRECTORY)
    finally:
        os.close(found)
    return None


def _bytes_path(directory: int) -> bytes:
    """By which its names are read as the bytes they are."""
    return b"/proc/self/fd/%d" % directory


# Names alone.


def _names_with_kinds(directory: int) -> Sequence[bytes]:
    """The sorted names of an open directory, the server's own left out, each with its kind behind it.

    The kind comes with the name from the system, so no file is asked.
    """
    names = []
    with os.scandir(_bytes_path(directory)) as found:
        for entry in found:
            if entry.name.startswith(_RESERVED):
                continue
            if entry.is_symlink():
                kind = _LINK
            else:
                kind = _DIRECTORY if entry.is_dir(follow_symlinks=False) else _OTHER
            names.append(entry.name + kind)
    names.sort()
    return names


def _entries(jail: Jail, directory: Path, names: Sequence[bytes]) -> Iterator[Entry]:
    for each in names:
        name = os.fsdecode(each[:-2])
        is_directory = each.endswith(_DIRECTORY)
        if each.endswith(_LINK):
            with translated():
                target = _target(jail, (*directory, name))
            is_directory = target is not None and stat.S_ISDIR(target.st_mode)
        yield Entry(name, is_directory)


# Names with attributes.  A directory is opened for one batch at a time: a reader that stops in the middle
# holds no descriptor.


def _names_and_contents(directory: int, *, whole_tree: bool) -> list[bytes]:
    """The names, the last one first; in a whole tree a ``/`` behind a directory's stands for what it holds.

    So what is sorted are whole paths, by their bytes: ``a``, ``a.b``, ``a/b``.
    """
    if whole_tree:
        names = []
        with os.scandir(_bytes_path(directory)) as found:
            for entry in found:
                names.append(entry.name)
                if entry.is_dir(follow_symlinks=False):
                    names.append(entry.name + b"/")
    else:
        names = os.listdir(_bytes_path(directory))
    names.sort()
    # The server's own are all in one place now.
    del names[bisect_left(names, _RESERVED) : bisect_left(names, _BEHIND_RESERVED)]
    names.reverse()
    return names


def _walk(jail: Jail, top: Path, names: list[bytes]) -> Iterator[tuple[str, Attributes]]:
    ahead = [(b"", names)]
    while ahead:
        prefix, names = ahead[-1]
        if not names:
            ahead.pop()
        elif names[-1].endswith(b"/"):
            below = prefix + names.pop()
            ahead.append((below, _contents(jail, top, below)))
        else:
            batch: list[bytes] = []
            while names and len(batch) < _BATCH and not names[-1].endswith(b"/"):
                batch.append(names.pop())
            yield from _batch(jail, top, prefix, batch)


def _contents(jail: Jail, top: Path, below: bytes) -> list[bytes]:
    with translated():
        listed = _open_below(jail, top, below)
        if listed is None:
            return []
        try:
            return _names_and_contents(listed, whole_tree=True)
        finally:
            os.close(listed)


def _batch(jail: Jail, top: Path, prefix: bytes, names: Sequence[bytes]) -> Sequence[tuple[str, Attributes]]:
    told = []
    with translated():
        directory = _open_below(jail, top, prefix)
        if directory is None:
            return ()
        try:
            for name in names:
                try:
                    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                shown = os.fsdecode(prefix + name)
                told.append((shown, _attributes(jail, (*top, shown), found)))
        finally:
            os.close(directory)
    return told


def _open_below(jail: Jail, top: Path, below: bytes) -> int | None:
    """A descriptor of what was a directory when its name was read; None if it is none, or closed to us."""
    try:
        here = jail.find_directory(encoded(top))
        for name in below.split(b"/")[:-1]:
            before = here
            try:
                here = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=before)
            finally:
                os.close(before)
        try:
            return reopen(here, os.O_RDONLY | os.O_DIRECTORY)
        finally:
            os.close(here)
    except OSError as failure:
        if failure.errno in LEADS_NOWHERE:
            return None
        raise


# What a name stands for.


def _attributes(jail: Jail, path: Path, found: os.stat_result) -> Attributes:
    """Those of ``path``, of which ``found`` tells without following a link."""
    target: os.stat_result | None = found
    link = stat.S_ISLNK(found.st_mode)
    if link:
        target = _target(jail, path)
    told = found if target is None else target
    return Attributes(_kind(told.st_mode), told.st_size, told.st_mtime_ns, told.st_mode & 0o777, link)


def _target(jail: Jail, link: Path) -> os.stat_result | None:
    """What a link leads to; None where that is nothing, or outside."""
    try:
        found = jail.find(encoded(link))
    except OSError as failure:
        if failure.errno in LEADS_NOWHERE:
            return None
        raise
    try:
        return os.fstat(found)
    finally:
        os.close(found)


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "link" if stat.S_ISLNK(mode) else "other"
