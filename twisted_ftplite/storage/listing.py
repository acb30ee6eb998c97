"""What is in a directory of this machine, and what its names stand for.

`Jail` errors leave these functions as bare `OSError`; the iterators translate for themselves.
"""

from __future__ import annotations

import os
import random
import stat
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from ..protocol.paths import RESERVED, Path
from .border import translated
from .interface import Attributes, Entry
from .jail import Jail, reopen
from .names import LEADS_NOWHERE, encoded

_DIRECTORY, _LINK = b"\0d", b"\0l"
"""What stands behind such a name while a listing is sorted: NUL is in no name, and before all that is."""

_RESERVED = os.fsencode(RESERVED)
_BEHIND_RESERVED = _RESERVED[:-1] + bytes((_RESERVED[-1] + 1,))
"""The first name that comes behind all that begin with it."""

_BATCH = 256
"""Names whose attributes are asked for while their directory is open: 1 ms."""

_SORTED_AT_ONCE = 8192
"""Names: 2 ms, in which no other thread runs."""

_SAMPLE = 63
"""Names whose middle one is taken for that of all."""


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
    return _entries(jail, path, in_order(names))


def entries_with_attributes(jail: Jail, path: Path, *, whole_tree: bool) -> Iterator[tuple[str, Attributes]]:
    """See `Storage.list_attributes`."""
    listed = _open_directory(jail, path)
    if listed is None:
        return iter(((path[-1], attributes(jail, path)),))
    try:
        names = _names_and_contents(listed, whole_tree=whole_tree)
    finally:
        os.close(listed)
    return _walk(jail, path, in_order(names))


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


def in_order(names: list[bytes]) -> Iterator[list[bytes]]:
    """All names sorted by their bytes, part by part, but for the server's own.

    What comes late is sorted late: of 200,000 names the first part is there in a quarter of the time that
    sorting all takes, and no part keeps the interpreter from other threads for long, as that would.  The
    list is the generator's from now on.
    """
    ahead = [names]  # the first one last
    del names
    while ahead:
        part = ahead.pop()
        if len(part) > _SORTED_AT_ONCE:
            # At random, so that nobody can choose names for which this takes quadratic time.
            middle = sorted(random.sample(part, _SAMPLE))[_SAMPLE // 2]
            ahead.append([name for name in part if name >= middle])
            ahead.append([name for name in part if name < middle])
        else:
            part.sort()
            del part[bisect_left(part, _RESERVED) : bisect_left(part, _BEHIND_RESERVED)]
            yield part


# Names alone.


def _names_with_kinds(directory: int) -> list[bytes]:
    """The names of an open directory, those of directories and links with that behind them.

    It comes with the name from the system, so no file is asked.
    """
    with os.scandir(_bytes_path(directory)) as found:
        return [each.name if each.is_file(follow_symlinks=False) else _marked(each) for each in found]


def _marked(entry: os.DirEntry[bytes]) -> bytes:
    if entry.is_symlink():
        return entry.name + _LINK
    return entry.name + _DIRECTORY if entry.is_dir(follow_symlinks=False) else entry.name


def _entries(jail: Jail, directory: Path, parts: Iterator[list[bytes]]) -> Iterator[Entry]:
    for part in parts:
        for name in part:
            if name.endswith(_DIRECTORY):
                yield Entry(os.fsdecode(name.removesuffix(_DIRECTORY)), True)
            elif name.endswith(_LINK):
                link = os.fsdecode(name.removesuffix(_LINK))
                with translated():
                    target = _target(jail, (*directory, link))
                yield Entry(link, target is not None and stat.S_ISDIR(target.st_mode))
            else:
                yield Entry(os.fsdecode(name), False)


# Names with attributes.  A directory is opened for one batch at a time: a reader that stops in the middle
# holds no descriptor.


def _names_and_contents(directory: int, *, whole_tree: bool) -> list[bytes]:
    """The names; in a whole tree another one, with a ``/`` behind it, stands for what a directory holds.

    So what is sorted are whole paths, by their bytes: ``a``, ``a.b``, ``a/b``.
    """
    if not whole_tree:
        return os.listdir(_bytes_path(directory))
    names = []
    with os.scandir(_bytes_path(directory)) as found:
        for entry in found:
            names.append(entry.name)
            if entry.is_dir(follow_symlinks=False):
                names.append(entry.name + b"/")
    return names


def _walk(jail: Jail, top: Path, parts: Iterator[list[bytes]]) -> Iterator[tuple[str, Attributes]]:
    ahead = [(b"", _batches(parts))]
    while ahead:
        prefix, batches = ahead[-1]
        batch = next(batches, None)
        if batch is None:
            ahead.pop()
        elif batch[0].endswith(b"/"):
            below = prefix + batch[0]
            ahead.append((below, _batches(in_order(_contents(jail, top, below)))))
        else:
            yield from _batch(jail, top, prefix, batch)


def _batches(parts: Iterator[list[bytes]]) -> Iterator[list[bytes]]:
    """Names to be asked for together; what stands for the contents of a directory comes alone."""
    for part in parts:
        batch: list[bytes] = []
        for name in part:
            if name.endswith(b"/"):
                if batch:
                    yield batch
                yield [name]
                batch = []
            else:
                batch.append(name)
                if len(batch) == _BATCH:
                    yield batch
                    batch = []
        if batch:
            yield batch


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
