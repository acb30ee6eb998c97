"""What is in directories of the client's own machine, as listings and patterns need it.

Blocking code, for a worker thread.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..errors import FTPLiteError, LocalFileTrouble
from .globs import Listing

if TYPE_CHECKING:
    from ..protocol.listing import Row


def kind(path: str) -> str:
    """``file``, ``directory``, ``other`` or, where nothing is there or nothing can be told, ``none``."""
    try:
        return _kind(os.stat(path).st_mode)
    except (OSError, ValueError):
        return "none"


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return "file"
    return "directory" if stat.S_ISDIR(mode) else "other"


def names(folder: str) -> list[tuple[str, bool]]:
    """The names in a directory, each with whether it is, or leads to, one itself.  Raises `OSError`."""
    with os.scandir(folder or ".") as entries:
        return [(entry.name, entry.is_dir()) for entry in entries]


def look(folders: Sequence[str]) -> list[Listing | FTPLiteError]:
    """See `globs.Look`."""
    found: list[Listing | FTPLiteError] = []
    for folder in folders:
        try:
            found.append(names(folder))
        except OSError as error:
            found.append(_trouble(folder or ".", error))
    return found


def rows(path: str, *, whole_tree: bool) -> list[Row]:
    """What ``ls`` shows of a path: what is in the directory, or in the tree beneath, or the file itself.

    No link is gone into but the path itself.  Raises `LocalFileTrouble`; a directory further down that
    can't be read has nothing in it.
    """
    try:
        if not stat.S_ISDIR(os.stat(path).st_mode):
            return [row(path, os.path.basename(path))]
        return list(_walk(path, "", whole_tree))
    except OSError as error:
        raise _trouble(path, error) from error


def rows_of(paths: Sequence[str]) -> list[Row]:
    """The paths themselves; what went away meanwhile is left out."""
    found = []
    for path in paths:
        with contextlib.suppress(OSError):
            found.append(row(path, path.rstrip("/")))
    return found


def row(path: str, name: str) -> Row:
    """One name, and what it leads to.  Raises `OSError`."""
    from ..protocol.listing import Row

    itself = os.lstat(path)
    link = stat.S_ISLNK(itself.st_mode)
    try:
        meant = os.stat(path) if link else itself
        kind = _kind(meant.st_mode)
    except OSError:
        meant, kind = itself, "link"
    return Row(name, kind, meant.st_size, meant.st_mtime_ns, stat.S_IMODE(meant.st_mode) & 0o777, link)


def _walk(folder: str, above: str, whole_tree: bool) -> Iterator[Row]:
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    for entry in found:
        try:
            told = row(entry.path, above + entry.name)
        except OSError:
            continue  # it went away meanwhile
        yield told
        if whole_tree and told.kind == "directory" and not told.link:
            try:
                yield from _walk(entry.path, told.name + "/", whole_tree)
            except OSError:
                continue


def _trouble(path: str, error: OSError) -> LocalFileTrouble:
    return LocalFileTrouble(f"{path}: {error.strerror}", error)
