"""Checksums of what moves, made beside the moving: from the buffers, or from the page cache by a thread.

When the kernel moves the bytes, nobody has them in hand.  They are read once more, right behind the
transfer, while they are still in memory; the thread that does so uses the core that waits.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred, succeed

from ..errors import FileChanged, NotSupported, from_oserror
from ..protocol.values import Checksum
from ..storage.interface import Buffer
from .workers import Workers

_PIECE = 512 * 1024
"""Bytes read and hashed at a time."""

_LAG = 8 * 1024 * 1024
"""Bytes that may have moved before a thread is set to follow them."""

Read = Callable[[int, int], Buffer]
"""Gives up to so many bytes from an offset; for a worker thread."""


class Hash(Protocol):
    """What hashlib and its kin make."""

    def update(self, data: Buffer, /) -> object:
        """Add bytes."""

    def hexdigest(self) -> str:
        """The checksum so far, in lower case."""


def _xxh128() -> Hash:
    import xxhash

    return xxhash.xxh3_128()


def _blake3() -> Hash:
    try:
        from blake3 import blake3
    except ImportError:
        raise NotSupported("blake3 is not installed here.") from None
    return blake3()


_MAKERS: dict[str, Callable[[], Hash]] = {"xxh128": _xxh128, "blake3": _blake3, "sha256": hashlib.sha256}


def new_hash(algorithm: str) -> Hash:
    """Raises `NotSupported` for an algorithm that is unknown, or not installed."""
    maker = _MAKERS.get(algorithm)
    if maker is None:
        raise NotSupported(f"Checksums are {', '.join(available())}.")
    return maker()


def available() -> list[str]:
    """The algorithms that can be used here, the quickest first."""
    usable = []
    for algorithm in _MAKERS:
        try:
            new_hash(algorithm)
        except NotSupported:
            continue
        usable.append(algorithm)
    return usable


class Digest:
    """A running checksum of a file, from its first byte onwards."""

    def __init__(self, algorithm: str, workers: Workers) -> None:
        self.algorithm = algorithm
        self.position = 0
        """Bytes that are in the checksum."""

        self._hash = new_hash(algorithm)
        self._workers = workers
        self._following: Deferred[None] | None = None

    def update(self, data: Buffer) -> None:
        """Add bytes in hand; may be called in a worker thread, but not while `follow` works in one."""
        self._hash.update(data)
        self.position += len(data)

    def catch_up(self, read: Read, end: int) -> None:
        """Add what ``read`` gives, up to ``end``; for a worker thread.

        Raises `FileChanged` where the file ends too early.
        """
        while self.position < end:
            data = read(self.position, min(end - self.position, _PIECE))
            if not len(data):
                raise FileChanged
            self.update(data)

    def follow(self, read: Read, end: int) -> None:
        """Bytes up to ``end`` can be read: set a thread to add them, if they are many and none works."""
        if self._following is None and end - self.position >= _LAG:
            following: Deferred[None] = Deferred()
            self._following = following
            self._workers.run(self.catch_up, read, end).addBoth(self._followed, following)

    def checksum(self) -> Checksum:
        """The checksum of what has been added."""
        return Checksum(self.algorithm, self._hash.hexdigest())

    def idle(self) -> Deferred[None]:
        """Fires when no thread works on it."""
        if self._following is None:
            return succeed(None)
        idle: Deferred[None] = Deferred()
        self._following.addCallback(idle.callback)
        return idle

    def _followed(self, _: object, following: Deferred[None]) -> None:
        # After a failure the position has not moved: whoever needs these bytes meets it again.
        self._following = None
        following.callback(None)


def reader(descriptor: int) -> Read:
    """Reads from a descriptor into one buffer, which each call gives out anew."""
    buffer = memoryview(bytearray(_PIECE))

    def read(offset: int, count: int) -> Buffer:
        try:
            return buffer[: os.preadv(descriptor, [buffer[:count]], offset)]
        except OSError as error:
            raise from_oserror(error) from error

    return read
