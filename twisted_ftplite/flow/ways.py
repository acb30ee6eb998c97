"""How bytes get from a data channel into a file in the making: gathered, copied, or spliced."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeVar, TypeVarTuple

from ..errors import ConnectionLost, from_oserror
from ..limits import Limits
from ..storage.interface import WriteHandle
from .channel import DataChannel
from .digest import Digest, reader
from .pipes import Pipe, Pipes

A = TypeVarTuple("A")
T = TypeVar("T")


class Taker(Protocol):
    """What a way sees of its consumer."""

    channel: DataChannel
    handle: WriteHandle
    limits: Limits
    digest: Digest | None
    held: int
    """Bytes the handle held at the start."""

    received: int
    """Bytes taken from the channel."""

    def room(self, count: int) -> int:
        """How many of ``count`` bytes to take; where none, the way is told again when some may come."""

    def share_of(self, count: int) -> int:
        """The same, as far as the rate is concerned."""

    def surplus(self) -> int:
        """How many of the bytes taken are too many: they are not written."""

    def took(self, count: int) -> bool:
        """Count bytes taken; False, and the transfer has failed, where they are too many."""

    def in_thread(self, then: Callable[[T], None], function: Callable[[*A], T], *args: *A) -> None:
        """Let a thread work on what came, and take no more from the channel meanwhile."""

    def finish(self) -> None:
        """The stream has ended and all of it is written."""


class Way(Protocol):
    """How bytes get from the channel into the file."""

    def readable(self) -> None:
        """There is something to take, or the end of the stream."""

    def drain(self, room: int) -> None:
        """In a thread: write what is in hand, then what has come, up to about ``room`` bytes of that."""

    def let_go(self) -> None:
        """Give back what was lent; no thread uses it."""


class Gather:
    """A small file: kept in memory, and written and synced in one hop to a thread when it is whole."""

    def __init__(self, taker: Taker, expected: int) -> None:
        self._taker = taker
        self._buffer = bytearray(expected + 1)
        self._written = False

    def readable(self) -> None:
        taker = self._taker
        while may := taker.share_of(len(self._buffer) - taker.received):
            count = taker.channel.recv_into(self._rest()[:may])
            if count is None:
                return
            if count == 0:
                taker.in_thread(lambda _: taker.finish(), self._write_whole)
                return
            if not taker.took(count):
                return

    def drain(self, room: int) -> None:
        """See `Way`.  Not synced: it is only a beginning."""
        taker = self._taker
        with suppress(OSError):  # a channel that was reset has nothing more
            while room > 0 and (count := taker.channel.recv_into(self._rest())):
                taker.received += count
        if taker.received:
            self._write()

    def let_go(self) -> None:
        """Nothing was lent."""

    def _rest(self) -> memoryview:
        """What is left of the buffer."""
        return memoryview(self._buffer)[self._taker.received :]

    def _write_whole(self) -> None:
        self._write()
        self._taker.handle.sync()

    def _write(self) -> None:
        if self._written:
            return
        self._written = True
        taker = self._taker
        content = memoryview(self._buffer)[: taker.received - taker.surplus()]
        taker.handle.write(content)
        if taker.digest is not None:
            taker.digest.add(content, taker.held)


_LINGER = 0.001
"""Seconds that a thread waits for more of a fast sender: to go to the reactor and back costs as much."""

_FAST = 128 * 1024
"""Bytes that a thread has taken at once from such a sender."""


class _Stream:
    """A large file, or one of unknown size: written piece by piece.

    A thread that has written a piece goes on from the socket by itself for as long as there is something,
    up to one turn.
    """

    def __init__(self, taker: Taker, piece: int) -> None:
        self._taker = taker
        self._piece = piece
        """Bytes that can be in hand at a time."""

        self._inside = 0
        """Bytes in hand."""

        self._position = taker.held
        """Where in the file the next one goes."""

        self._ended = False

    def drain(self, room: int) -> None:
        taker, most = self._taker, room
        while True:
            self._put(self._inside - taker.surplus())
            if self._ended or room <= 0 or self._inside:
                return
            try:
                count = self._take(min(self._piece, room))
            except OSError as error:
                raise ConnectionLost from error
            if count is None:
                if most - room >= _FAST and self._lingers():
                    continue
                return
            self._ended = count == 0
            self._inside = count
            taker.received += count
            room -= count

    def _lingers(self) -> bool:
        """Whether more has come after a moment that was worth waiting."""
        return False

    def _start_draining(self) -> None:
        room = self._taker.room(self._piece * self._taker.limits.pieces_a_turn)
        self._taker.in_thread(self._drained, self.drain, room)

    def _drained(self, _: None) -> None:
        if self._ended:
            self._taker.finish()
        else:
            self._taker.channel.resumeProducing()

    def _take(self, count: int) -> int | None:
        """From the socket; 0 is the end of the stream, None: nothing there."""
        raise NotImplementedError

    def _put(self, count: int) -> None:
        """Write so many of the bytes in hand."""
        raise NotImplementedError


class Copy(_Stream):
    """Through one reused buffer: for a handle without a descriptor, and where there is no pipe.

    Also where a digest is wanted of what cannot be read back.
    """

    def __init__(self, taker: Taker) -> None:
        super().__init__(taker, taker.limits.receive_buffer)
        self._buffer = memoryview(bytearray(self._piece))

    def readable(self) -> None:
        room = self._taker.room(self._piece)
        count = self._take(room) if room else None
        if count == 0:
            self._taker.finish()
        elif count is not None:
            self._inside = count
            if self._taker.took(count):
                self._start_draining()

    def let_go(self) -> None:
        """Nothing was lent."""

    def _lingers(self) -> bool:
        return self._taker.channel.linger(_LINGER)

    def _take(self, count: int) -> int | None:
        return self._taker.channel.recv_into(self._buffer[:count])

    def _put(self, count: int) -> None:
        if count > 0:
            data = self._buffer[:count]
            self._taker.handle.write(data)
            if self._taker.digest is not None:
                self._taker.digest.add(data, self._position)
            self._position += count
            self._inside -= count


class Splice(_Stream):
    """Through a pipe, the kernel moving the pages: socket to pipe in the reactor, pipe to file in a thread.

    The thread is asked only when the pipe is half full or the stream has ended.
    """

    def __init__(self, taker: Taker, descriptor: int, pipe: Pipe, pipes: Pipes) -> None:
        super().__init__(taker, pipe.size)
        self._descriptor = descriptor
        self._pipe = pipe
        self._pipes = pipes

    def readable(self) -> None:
        room = self._taker.room(self._piece)
        if not room:
            return
        count = self._take(room)
        if count == 0:
            self._ended = True
        elif count is not None:
            self._inside += count
            if not self._taker.took(count):
                return
        # None: nothing there, or no room, which many small segments can cause before the pipe is half full.
        if self._ended or self._inside >= self._piece // 2 or (count is None and self._inside):
            self._start_draining()

    def let_go(self) -> None:
        self._pipes.give_back(self._pipe, empty=self._inside == 0)

    def _drained(self, _: None) -> None:
        if self._taker.digest is not None:
            self._taker.digest.follow(reader(self._descriptor), self._position)
        super()._drained(None)

    def _take(self, count: int) -> int | None:
        return self._taker.channel.splice(self._pipe.write_end, count)

    def _put(self, count: int) -> None:
        digest, handle = self._taker.digest, self._taker.handle
        while count > 0:
            try:
                moved = os.splice(self._pipe.read_end, self._descriptor, count)
            except OSError as error:
                raise from_oserror(error) from error
            handle.spliced(moved)
            count -= moved
            self._inside -= moved
            self._position += moved
            if digest is not None:
                digest.reach(self._position)
