"""Files that a get writes, and what it leaves beside them when it breaks off.

Blocking code, for a worker thread, but for what says otherwise.  Every error is a `LocalFileTrouble` that
names the file.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from ..errors import LocalFileTrouble
from ..storage.hidden import create, create_named, open_held, partial_name, remove_unheld
from ..storage.interface import Buffer
from ..storage.jail import is_in_memory
from ..storage.unnamed import UnnamedFile, process_umask
from .files import about

_UMASK = process_umask()
"""Read here, before there are threads."""

_VERSION_LENGTH = 16
"""Digits at the end of a partial's name that tell one state of a file from another."""


class Identity(NamedTuple):
    """What tells a remote file, as it is now, from every other: a partial is named after it."""

    place: str
    """The server."""

    path: str
    """From the root of its tree."""

    size: int
    """Bytes."""

    mtime_ns: int
    """When it was modified: nanoseconds since the epoch."""

    def family(self, name: bytes) -> bytes:
        """How the names of all partials begin that are of this file, whenever it was, for ``name`` here."""
        return partial_name(f"{self.place} {self.path}", name)[:-_VERSION_LENGTH]

    def hidden(self, name: bytes) -> bytes:
        """The name of its partial."""
        version = hashlib.blake2b(f"{self.size} {self.mtime_ns}".encode(), digest_size=_VERSION_LENGTH // 2)
        return self.family(name) + version.hexdigest().encode("ascii")


class LocalTarget:
    """A `WriteHandle` for a path: the whole file appears there in one step, and is durable.

    It is made when the first byte comes, or by `open` or `resume`.  What is no regular file, such as the
    null device, is written into as it is.  Who made it ends it, by one of `publish`, `discard` and `keep`.
    """

    def __init__(self, path: str, in_memory: set[str]) -> None:
        """``in_memory`` are directories known to have no disk behind them; it grows as that is found out."""
        self.name = path
        """For errors."""

        self.identity: Identity | None = None
        """Of what is fetched; while it is None, it leaves no partial."""

        self.in_place = False
        """Whether it is written into as it is; known when it is made."""

        self._directory = os.path.dirname(os.path.abspath(path))
        self._in_memory = in_memory
        self._attributes: tuple[int, int] | None = None
        self._file: UnnamedFile | _Device | None = None
        self._real: str | None = None

    @property
    def waits(self) -> bool:
        if isinstance(self._file, _Device):
            return self._file.waits
        return self._directory not in self._in_memory

    def open(self) -> None:
        """Make it now."""
        with about(self.name):
            self._made()

    def open_named(self) -> None:
        """Make it now as the partial of its identity, which outlives this process."""
        with about(self.name):
            self._made(named=True)

    def resume(self, most: int) -> int | None:
        """Go on with the partial of its identity: how many bytes it holds.

        None, and nothing is made, where there is none or somebody uses it; one of more than ``most`` bytes
        is removed.
        """
        with about(self.name):
            real = _real(self.name)
            hidden = self._hidden(real)
            if real is None or hidden is None:
                return None
            try:
                file = _unnamed(real, partial(_go_on, hidden=hidden))
            except OSError:  # what stands against the file itself is met again when it is made
                return None
            held = os.fstat(file.fileno() or 0).st_size
            if held > most:
                file.discard()
                return None
            self._keep_made(file, real)
            return held

    def remove_older(self) -> None:
        """Remove the partials of the same file as it was before, which nobody can go on with any more."""
        with about(self.name):
            real = _real(self.name)
            if real is None or self.identity is None:
                return
            folder, name = os.path.split(os.fsencode(real))
            family, own = self.identity.family(name), self.identity.hidden(name)
            with suppress(FileNotFoundError):
                older = [each for each in os.listdir(folder) if each.startswith(family) and each != own]
                for each in older:
                    _remove(folder, each)

    def size_there(self) -> int | None:
        """The size of the file that stands at the path; None where there is no regular file."""
        with about(self.name):
            try:
                found = os.stat(self.name)
            except FileNotFoundError:
                return None
            return found.st_size if stat.S_ISREG(found.st_mode) else None

    def adopt(self) -> None:
        """The very file stands at the path already: make it durable, with the attributes that were set."""
        with about(self.name):
            descriptor = os.open(self.name, os.O_RDONLY)
            try:
                if self._attributes is not None:
                    mtime_ns, mode = self._attributes
                    os.fchmod(descriptor, mode)
                    os.utime(descriptor, ns=(os.fstat(descriptor).st_atime_ns, mtime_ns))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def set_attributes(self, mtime_ns: int, mode: int) -> None:
        """What it shall have when it is published: nanoseconds since the epoch, nine bits.  Never waits."""
        self._attributes = mtime_ns, mode
        if isinstance(self._file, UnnamedFile):
            self._file.set_attributes(mtime_ns, mode)

    def fileno(self) -> int | None:
        return None if self._file is None else self._file.fileno()

    def read(self, offset: int, count: int) -> bytes:
        """Up to ``count`` bytes of what it holds; none of what cannot be read back."""
        with about(self.name):
            return self._file.read(offset, count) if isinstance(self._file, UnnamedFile) else b""

    def write(self, data: Buffer) -> None:
        with about(self.name):
            self._made().write(data)

    def spliced(self, count: int) -> None:
        """Nobody asks how much it is."""

    def sync(self) -> None:
        with about(self.name):
            self._made().sync()

    def publish(self) -> None:
        with about(self.name):
            self._made().publish()

    def discard(self) -> None:
        if self._file is not None:
            self._file.discard()

    def keep(self) -> None:
        """It broke off: what has arrived becomes, or stays, the partial of its identity.

        `discard` instead where it has none, holds nothing, had an error, or somebody else holds that.
        """
        hidden = self._hidden(self._real)
        if isinstance(self._file, UnnamedFile) and hidden is not None:
            self._file.keep(hidden, remove_unheld, lambda _: None)
        else:
            self.discard()

    def _made(self, *, named: bool = False) -> UnnamedFile | _Device:
        if self._file is None:
            real = _real(self.name)
            hidden = self._hidden(real)
            if real is None:
                self.in_place = True
                self._file = _Device(self.name)
            elif named and hidden is not None:
                self._keep_made(_unnamed(real, partial(_begin, hidden=hidden)), real)
            else:
                self._keep_made(_unnamed(real, create), real)
        assert self._file is not None
        return self._file

    def _keep_made(self, file: UnnamedFile, real: str) -> None:
        self._file, self._real = file, real
        if self._attributes is not None:
            file.set_attributes(*self._attributes)
        if self.waits and is_in_memory(file.fileno() or 0):
            self._in_memory.add(self._directory)

    def _hidden(self, real: str | None) -> bytes | None:
        """The name of its partial, beside what it is to replace."""
        if real is None or self.identity is None:
            return None
        return self.identity.hidden(os.fsencode(os.path.basename(real)))


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


def _real(path: str) -> str | None:
    """Where the file comes to lie, behind a link; None where what is there is written into in place."""
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
    return real if stat.S_ISREG(mode) else None


def _unnamed(real: str, make: Callable[[int], tuple[int, bytes | None]]) -> UnnamedFile:
    directory, name = os.path.split(real)
    return UnnamedFile(lambda: os.open(directory, os.O_RDONLY), os.fsencode(name), 0o666 & ~_UMASK, make=make)


def _remove(folder: bytes, hidden: bytes) -> None:
    directory = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # somebody uses it, or it is not ours to remove
            remove_unheld(directory, hidden)
    finally:
        os.close(directory)


def _begin(directory: int, *, hidden: bytes) -> tuple[int, bytes | None]:
    """A new partial, in the place of an older one; without its name where that cannot be had."""
    try:
        remove_unheld(directory, hidden)
        descriptor = create_named(directory, hidden)
    except OSError:
        descriptor = None
    return create(directory) if descriptor is None else (descriptor, hidden)


def _go_on(directory: int, *, hidden: bytes) -> tuple[int, bytes | None]:
    """A partial, held, at its end.  Raises `OSError` where there is none that nobody else uses."""
    descriptor = open_held(directory, hidden)
    if os.fstat(descriptor).st_uid != os.geteuid():  # a stranger could write into it later
        os.close(descriptor)
        raise FileNotFoundError
    os.lseek(descriptor, 0, os.SEEK_END)
    return descriptor, hidden
