"""Checksums of what moves, made while it moves: from the buffers, or behind them by a thread.

Where the kernel moves the bytes, nobody has them in hand.  They are read once more, close behind the
transfer, while they are still in memory; the thread that does so uses the core that waits.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from threading import Event
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.python.failure import Failure

from ..errors import FileChanged, NotSupported, from_oserror
from ..protocol.values import Checksum
from ..storage.interface import Buffer
from .workers import Workers, shielded

_PIECE = 512 * 1024
"""Bytes read and hashed at a time: they stay in a core's own cache, and Python is free meanwhile."""

_LAG = 1024 * 1024
"""Bytes that have moved before a thread is set to follow them."""

_PATIENCE = 0.001
"""Seconds a thread that has caught up waits for another piece: what has just moved is read twice as fast
as what has left the caches, and who sends slower than that needs no thread of its own."""

_TURN = 64 * 1024 * 1024
"""Bytes a thread follows before others get it: a client has but two."""

Read = Callable[[int, int], Buffer]
"""Gives up to so many bytes from an offset, valid until the next call; for a worker thread."""


class Hash(Protocol):
    """What hashlib and its kin make."""

    def update(self, data: Buffer, /) -> object:
        """Add bytes."""

    def hexdigest(self) -> str:
        """The checksum so far, in lower case."""


class Readable(Protocol):
    """A handle of the storage whose bytes can be read: a `ReadHandle` or an `UploadHandle`."""

    def fileno(self) -> int | None:
        """A descriptor, or None where there is none."""

    def read(self, offset: int, count: int) -> bytes:
        """Up to ``count`` bytes from ``offset``."""


def _xxh128() -> Hash:
    import xxhash

    return xxhash.xxh3_128()


def _blake3() -> Hash:
    from blake3 import blake3

    return blake3(max_threads=1)


_MAKERS: dict[str, Callable[[], Hash]] = {"xxh128": _xxh128, "blake3": _blake3, "sha256": hashlib.sha256}


def new_hash(algorithm: str) -> Hash:
    """Raises `NotSupported` for an algorithm that is unknown, or not installed."""
    maker = _MAKERS.get(algorithm)
    if maker is None:
        raise NotSupported(f"Checksums are {', '.join(available())}.")
    try:
        return maker()
    except ImportError as error:
        raise NotSupported(f"{algorithm} is not installed here.") from error


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
    """A running checksum of a file, from ``start`` onwards.

    Bytes in hand are added by `add`; what was not added is read by a thread, by `follow` while it is still
    being written or sent, and the rest by `finish`.  Raises `NotSupported` as `new_hash` does.
    """

    def __init__(self, algorithm: str, workers: Workers, start: int = 0) -> None:
        self.algorithm = algorithm
        self.position = start
        """Where in the file the next byte comes from: all before it, from ``start``, are in."""

        self.lag = _LAG  # attributes, since not every test can wait for so much
        self.patience = _PATIENCE
        self.turn = _TURN
        self._hash = new_hash(algorithm)
        self._workers = workers
        self._end = start
        """Up to here a thread may read."""

        self._more = Event()
        """Set when there may be another piece, or none will come."""

        self._finishing = 0
        """How many wait for the bytes that are there, and for no others."""

        self._stopped = False
        self._failure: Failure | None = None
        self._following: Deferred[None] | None = None

    def add(self, data: Buffer, offset: int) -> None:
        """These bytes are at ``offset``; what does not come next is left to be read.

        May be called in a worker thread, by one at a time.
        """
        if offset == self.position and self._following is None and not self._stopped:
            self._update(data)

    def follow(self, read: Read, end: int) -> None:
        """Bytes up to ``end`` can be read: once they are many, a thread adds them.  Never waits."""
        self.reach(end)
        if end - self.position >= self.lag and self._following is None:
            self._start(read)

    def reach(self, end: int) -> None:
        """The same for a thread that follows already, and may be called in another one."""
        self._end = end
        if end - self.position >= _PIECE:
            self._more.set()

    def checksum(self) -> Checksum:
        """The checksum of what has been added; not while a thread follows."""
        return Checksum(self.algorithm, self._hash.hexdigest())

    def finish(self, read: Read, end: int) -> Deferred[Checksum]:
        """The checksum of the file up to ``end``, all of which can be read.

        At once where all has been added.  More may be added afterwards.  Fails with `FileChanged` where
        the file ends too early, as ``read`` does, and with `CancelledError` when it is stopped.  To cancel
        it ends the wait alone; `stop` ends the thread's work.
        """
        return Deferred.fromCoroutine(self._finish(read, end))

    def stop(self) -> Deferred[None]:
        """Add no more; fires when no thread reads, which is soon.  What was read may then be closed."""
        self._stopped = True
        self._more.set()
        return self._idle()

    async def _finish(self, read: Read, end: int) -> Checksum:
        self._end = end
        self._finishing += 1
        self._more.set()
        try:
            while True:
                await self._idle()
                if self._stopped:
                    raise CancelledError
                if self._failure is not None:
                    self._failure.raiseException()
                if self.position == end:
                    return self.checksum()
                if self.position > end:
                    raise ValueError(f"{self.position} bytes are in the checksum already")
                self._start(read)
        finally:
            self._finishing -= 1

    def _idle(self) -> Deferred[None]:
        return succeed(None) if self._following is None else shielded(self._following)

    def _start(self, read: Read) -> None:
        if self._stopped or self._failure is not None:
            return
        self._following = following = Deferred[None]()

        def ended(result: Failure | None) -> None:
            self._failure = result
            self._following = None
            following.callback(None)
            self.follow(read, self._end)

        self._workers.run(self._catch_up, read).addBoth(ended)

    def _catch_up(self, read: Read) -> None:
        """In a thread: for as long as there is something, or comes soon, and no longer than one turn."""
        last = self.position + self.turn
        while not self._stopped and self.position < last:
            count = min(self._end - self.position, _PIECE)
            if count == _PIECE or (self._finishing and count > 0):
                data = read(self.position, count)
                if not len(data):
                    raise FileChanged
                self._update(data)
            elif self._finishing or not self._more.wait(self.patience):
                return
            else:
                self._more.clear()

    def _update(self, data: Buffer) -> None:
        self._hash.update(data)
        self.position += len(data)


def reader(descriptor: int) -> Read:
    """Reads from a descriptor into one buffer, which each call gives out anew."""
    buffer = memoryview(b"")

    def read(offset: int, count: int) -> Buffer:
        nonlocal buffer
        if len(buffer) < count:
            buffer = memoryview(bytearray(count))
        try:
            return buffer[: os.preadv(descriptor, [buffer[:count]], offset)]
        except OSError as error:
            raise from_oserror(error) from error

    return read


def reader_of(handle: Readable) -> Read:
    """Reads what a handle holds."""
    descriptor = handle.fileno()
    return handle.read if descriptor is None else reader(descriptor)
