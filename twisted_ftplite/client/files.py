"""Files of the client's own machine: what a put reads, and what can go wrong with any of them.

Blocking code, for a worker thread, and free of calls that only Linux has.  Every error is a
`LocalFileTrouble` that names the file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from ..errors import FTPLiteError, LocalFileTrouble
from ..limits import Limits
from ..storage.reading import LocalReadHandle, read_whole
from ..storage.snapshot import Snapshot

LocalFile = LocalReadHandle | Snapshot
"""A regular file that is open for reading."""


class ReadSource(Protocol):
    """Bytes whose number is not known beforehand, such as standard input."""

    def read(self, count: int) -> bytes:
        """Up to ``count`` bytes; empty at the end.  Called in a worker thread."""

    def close(self) -> None:
        """Nothing more is wanted."""


class _Stream:
    """A `ReadSource` of a path that is no regular file."""

    def __init__(self, path: str, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def read(self, count: int) -> bytes:
        with about(self._path):
            return os.read(self._descriptor, count)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def open_source(path: str, limits: Limits) -> LocalFile | ReadSource:
    """What a put sends: a file as it is now, or a stream where it is no regular file."""
    with about(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISDIR(mode):
                raise LocalFileTrouble(f"{path}: is a directory; name a file")
            if not stat.S_ISREG(mode):
                return _Stream(path, descriptor)
            snapshot = read_whole(descriptor, limits.small_file)
            if snapshot is None:
                return LocalReadHandle(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return snapshot


def local_trouble(path: str, error: FTPLiteError) -> FTPLiteError:
    """What a handle of the storage said, as trouble with a file of this machine."""
    cause = error.__cause__
    if isinstance(cause, OSError):
        return LocalFileTrouble(f"{path}: {cause.strerror}", cause)
    return LocalFileTrouble(f"{path}: {error.phrase}")


@contextmanager
def about(path: str) -> Iterator[None]:
    """What goes wrong inside leaves as trouble with this file."""
    try:
        yield
    except OSError as error:
        raise LocalFileTrouble(f"{path}: {error.strerror or error}", error) from error
    except FTPLiteError as error:
        if isinstance(error, LocalFileTrouble):
            raise
        raise local_trouble(path, error) from error
