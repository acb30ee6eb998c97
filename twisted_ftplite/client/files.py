"""Files of the client's own machine: what a get writes and what a put reads.

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
from ..storage.interface import Buffer
from ..storage.jail import is_in_memory
from ..storage.reading import LocalReadHandle, read_whole
from ..storage.snapshot import Snapshot
from ..storage.unnamed import UnnamedFile, process_umask

LocalFile = LocalReadHandle | Snapshot
"""A regular file that is open for reading."""

_UMASK = process_umask()
"""Read here, before there are threads."""


class ReadSource(Protocol):
    """Bytes whose number is not known beforehand, such as standard input."""

    def read(self, count: int) -> bytes:
        """Up to ``count`` bytes; empty at the end.  Called in a worker thread."""

    def close(self) -> None:
        """Nothing more is wanted."""


class LocalTarget:
    """A `WriteHandle` for a path: the whole file appears there in one step, and is durable.

    It is made when the first byte comes, or by `open`.  What is no regular file, such as the null
    device, is written into as it is.
    """

    def __init__(self, path: str, in_memory: set[str]) -> None:
        """``in_memory`` are directories known to have no disk behind them; it grows as that is found out."""
        self.name = path
        """For errors."""

        self._directory = os.path.dirname(os.path.abspath(path))
        self._in_memory = in_memory
        self._file: UnnamedFile | _Device | None = None

    @property
    def waits(self) -> bool:
        if isinstance(self._file, _Device):
            return self._file.waits
        return self._directory not in self._in_memory

    def open(self) -> None:
        """Make it now."""
        with _about(self.name):
            self._made()

    def fileno(self) -> int | None:
        return None if self._file is None else self._file.fileno()

    def write(self, data: Buffer) -> None:
        with _about(self.name):
            self._made().write(data)

    def sync(self) -> None:
        with _about(self.name):
            self._made().sync()

    def publish(self) -> None:
        with _about(self.name):
            self._made().publish()

    def discard(self) -> None:
        if self._file is not None:
            self._file.discard()

    def _made(self) -> UnnamedFile | _Device:
        if self._file is None:
            self._file = _open_target(self.name)
            if self.waits and isinstance(self._file, UnnamedFile) and is_in_memory(self._file.fileno()):
                self._in_memory.add(self._directory)
        return self._file


class _Device:
    """Something that is written into in place, and cannot be made durable."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY)
        self.waits = not os.path.samestat(os.fstat(self._descriptor), os.stat(os.devnull))

    def fileno(self) -> int | None:
        return None if self._descriptor < 0 else self._descriptor

    def write(self, data: Buffer) -> None:
        with memoryview(data) as left:
            done = 0
            while done < len(left):
                done += os.write(self._descriptor, left[done:])

    def sync(self) -> None:
        """Nothing to put anywhere."""

    def publish(self) -> None:
        self.discard()

    def discard(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class _Stream:
    """A `ReadSource` of a path that is no regular file."""

    def __init__(self, path: str, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def read(self, count: int) -> bytes:
        with _about(self._path):
            return os.read(self._descriptor, count)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def open_source(path: str, limits: Limits) -> LocalFile | ReadSource:
    """What a put sends: a file as it is now, or a stream where it is no regular file."""
    with _about(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISDIR(mode):
                raise LocalFileTrouble(f"{path}: is a directory; name a file")
            if not stat.S_ISREG(mode):
                return _Stream(path, descriptor)
            content = read_whole(descriptor, limits.small_file)
            if content is None:
                return LocalReadHandle(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return Snapshot(content)


def local_trouble(path: str, error: FTPLiteError) -> FTPLiteError:
    """What a handle of the storage said, as trouble with a file of this machine."""
    cause = error.__cause__
    if isinstance(cause, OSError):
        return LocalFileTrouble(f"{path}: {cause.strerror}", cause)
    return LocalFileTrouble(f"{path}: {error.phrase}")


def _open_target(path: str) -> UnnamedFile | _Device:
    real = os.path.abspath(path)
    try:
        mode = os.lstat(real).st_mode
        if stat.S_ISLNK(mode):
            real = os.path.realpath(real)
            mode = os.stat(real).st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    if stat.S_ISDIR(mode):
        raise LocalFileTrouble(f"{path}: is a directory; name a file")
    if not stat.S_ISREG(mode):
        return _Device(real)
    directory, name = os.path.split(real)
    return UnnamedFile(lambda: os.open(directory, os.O_RDONLY), os.fsencode(name), 0o666 & ~_UMASK)


@contextmanager
def _about(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LocalFileTrouble(f"{path}: {error.strerror or error}", error) from error
    except FTPLiteError as error:
        if isinstance(error, LocalFileTrouble):
            raise
        raise local_trouble(path, error) from error
