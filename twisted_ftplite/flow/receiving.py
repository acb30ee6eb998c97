"""Consumers: from a data channel to a file in the making."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeVar, TypeVarTuple

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ..errors import ConnectionLost, FileTooLarge, SizeMismatch, from_oserror
from ..limits import Limits
from ..storage.interface import WriteHandle
from .channel import DataChannel
from .workers import InlineWorkers, Workers

A = TypeVarTuple("A")
T = TypeVar("T")
_F_SETPIPE_SZ = getattr(fcntl, "F_SETPIPE_SZ", 1031)
_F_GETPIPE_SZ = getattr(fcntl, "F_GETPIPE_SZ", 1032)


class Pipe:
    """A pipe that splices go through: the write end never blocks, the read end belongs to a thread."""

    def __init__(self, size: int) -> None:
        self.read_end, self.write_end = os.pipe()
        with suppress(PermissionError):  # this user's pipes hold too much already: what there is will do
            fcntl.fcntl(self.write_end, _F_SETPIPE_SZ, size)
        self.size: int = fcntl.fcntl(self.write_end, _F_GETPIPE_SZ)

    def close(self) -> None:
        """Close both ends; what is inside is gone."""
        os.close(self.read_end)
        os.close(self.write_end)


class Pipes:
    """The pipes that transfers share: making one costs more than many a transfer."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._free: list[Pipe] = []
        self._lent = 0

    def lend(self) -> Pipe | None:
        """An empty pipe, or None where all are lent or there is none to be had."""
        if self._free:
            self._lent += 1
            return self._free.pop()
        if self._lent >= self._limits.pipes or not hasattr(os, "splice"):
            return None
        try:
            made = Pipe(self._limits.pipe_size)
        except OSError:  # no descriptors left: the transfer copies instead
            return None
        self._lent += 1
        return made

    def give_back(self, pipe: Pipe, *, empty: bool) -> None:
        """Return a pipe; one that is not empty is of no more use."""
        self._lent -= 1
        if empty and len(self._free) < self._limits.pipes:
            self._free.append(pipe)
        else:
            pipe.close()

    def close(self) -> None:
        """Close those that nobody holds."""
        while self._free:
            self._free.pop().close()


class Way(Protocol):
    """How bytes get from the channel into the file."""

    def readable(self) -> None:
        """There is something to take, or the end of the stream."""

    def let_go(self) -> None:
        """Give back what was lent; no thread uses it."""


class FileConsumer:
    """Takes a data channel's bytes into a `WriteHandle`, up to the end of the stream.

    ``done`` fires with the number of bytes when the stream has ended and all is written; it fails with
    `SizeMismatch` as soon as more came than was announced, and with what the handle raises.  A channel
    that breaks is its owner's affair.
    """

    def __init__(
        self,
        channel: DataChannel,
        handle: WriteHandle,
        workers: Workers,
        pipes: Pipes,
        limits: Limits,
        most: int | None = None,
    ) -> None:
        """``most`` is how many bytes may come unannounced; `Limits.max_file_size` where it is None."""
        self.channel = channel
        self.handle = handle
        self.limits = limits
        self.expected: int | None = None
        """Bytes announced; None while that is not known."""

        self.received = 0
        self.done: Deferred[int] = Deferred()
        self._workers = workers if handle.waits else InlineWorkers()
        self._pipes = pipes
        self._unannounced = limits.max_file_size if most is None else most
        self._way: Way | None = None
        self._in_thread = False
        self._idle: Deferred[None] | None = None

    @property
    def waits_for_disk(self) -> bool:
        """Whether it is this side that is being waited for."""
        return self._in_thread

    def movement(self) -> int:
        """A number that grows as bytes come."""
        return self.received

    def moved(self) -> int:
        """Bytes that have come."""
        return self.received

    def expect(self, size: int) -> None:
        """The size has been announced; more may have come already."""
        self.expected = size
        self._check()

    def start(self) -> Deferred[int]:
        """Begin; returns `done`."""
        self._way = self._choose()
        self.channel.deliver_to(self._way)
        return self.done

    def stop(self) -> Deferred[None]:
        """Take no more; `done` does not fire.

        The Deferred fires when no thread uses the descriptors of channel and handle any more: closing
        them before would let a thread write into whatever gets their numbers next.
        """
        if self._idle is None:
            self._idle = Deferred()
            self.channel.pauseProducing()
            if not self._in_thread:
                self._settle()
        return self._idle

    def room(self, count: int) -> int:
        """How many of ``count`` bytes to take: one more than may come tells that there are too many."""
        return min(count, self._most() - self.received + 1)

    def took(self, count: int) -> bool:
        """Count bytes taken; False, and the transfer has failed, where they are too many."""
        self.received += count
        return self._check()

    def in_thread(self, then: Callable[[T], None], function: Callable[[*A], T], *args: *A) -> None:
        """Let a thread work on what came, and take no more from the channel meanwhile."""
        self._in_thread = True
        self.channel.pauseProducing()

        def answered(result: T) -> None:
            self._in_thread = False
            if self._idle is not None:
                self._settle()
            elif self._check():
                then(result)

        def failed(failure: Failure) -> None:
            self._in_thread = False
            if self._idle is not None:
                self._settle()
            else:
                self._fail(failure)

        self._workers.run(function, *args).addCallbacks(answered, failed)

    def finish(self) -> None:
        """The stream has ended and all of it is written."""
        self.stop()
        self.done.callback(self.received)

    def _most(self) -> int:
        return self._unannounced if self.expected is None else min(self.expected, self.limits.max_file_size)

    def _check(self) -> bool:
        if self.received <= self._most():
            return True
        if self._idle is None and not self._in_thread:
            announced = self.expected is not None and self.expected <= self.limits.max_file_size
            self._fail(SizeMismatch() if announced else FileTooLarge())
        return False

    def _fail(self, error: Exception | Failure) -> None:
        self.stop()
        self.done.errback(error)

    def _settle(self) -> None:
        assert self._idle is not None
        if self._way is not None:
            self._way.let_go()
            self._way = None
        self._idle.callback(None)

    def _choose(self) -> Way:
        if self.expected is not None and self.expected <= self.limits.small_file:
            return _Gather(self, self.expected)
        descriptor = self.handle.fileno()
        pipe = self._pipes.lend() if descriptor is not None else None
        if descriptor is None or pipe is None:
            return _Copy(self)
        return _Splice(self, descriptor, pipe, self._pipes)


class _Gather:
    """A small file: kept in memory, and written and synced in one hop to a thread when it is whole."""

    def __init__(self, consumer: FileConsumer, expected: int) -> None:
        self._consumer = consumer
        self._buffer = bytearray(expected + 1)

    def readable(self) -> None:
        consumer = self._consumer
        while True:
            count = consumer.channel.recv_into(memoryview(self._buffer)[consumer.received :])
            if count is None:
                return
            if count == 0:
                content = memoryview(self._buffer)[: consumer.received]
                consumer.in_thread(lambda _: consumer.finish(), self._write, content)
                return
            if not consumer.took(count):
                return

    def _write(self, content: memoryview) -> None:
        self._consumer.handle.write(content)
        self._consumer.handle.sync()

    def let_go(self) -> None:
        """Nothing was lent."""


class _Copy:
    """Through one reused buffer: for a handle without a descriptor, and where there is no pipe."""

    def __init__(self, consumer: FileConsumer) -> None:
        self._consumer = consumer
        self._buffer = memoryview(bytearray(consumer.limits.receive_buffer))

    def readable(self) -> None:
        consumer = self._consumer
        count = consumer.channel.recv_into(self._buffer[: consumer.room(len(self._buffer))])
        if count is None:
            return
        if count == 0:
            consumer.finish()
        elif consumer.took(count):
            consumer.in_thread(self._written, consumer.handle.write, self._buffer[:count])

    def _written(self, _: None) -> None:
        self._consumer.channel.resumeProducing()

    def let_go(self) -> None:
        """Nothing was lent."""


class _Splice:
    """Through a pipe, the kernel moving the pages: socket to pipe in the reactor, pipe to file in a thread.

    The thread is asked only when the pipe is half full or the stream has ended, and then goes on from the
    socket by itself for as long as there is something, up to one turn.
    """

    def __init__(self, consumer: FileConsumer, descriptor: int, pipe: Pipe, pipes: Pipes) -> None:
        self._consumer = consumer
        self._descriptor = descriptor
        self._pipe = pipe
        self._pipes = pipes
        self._inside = 0
        """Bytes in the pipe."""

        self._ended = False

    def readable(self) -> None:
        consumer = self._consumer
        count = consumer.channel.splice(self._pipe.write_end, consumer.room(self._pipe.size))
        if count == 0:
            self._ended = True
        elif count is not None:
            self._inside += count
            if not consumer.took(count):
                return
        # None: nothing there, or no room, which many small segments can cause before the pipe is half full.
        if self._ended or self._inside >= self._pipe.size // 2 or (count is None and self._inside):
            room = consumer.room(self._pipe.size * consumer.limits.pieces_a_turn)
            consumer.in_thread(self._drained, self._drain, room)

    def _drain(self, room: int) -> None:
        """In a thread: pipe to file, then on from the socket, at most ``room`` bytes of it."""
        while True:
            self._empty_pipe()
            if self._ended or room <= 0:
                return
            try:
                count = self._consumer.channel.splice(self._pipe.write_end, min(self._pipe.size, room))
            except OSError as error:
                raise ConnectionLost from error
            if count is None:
                return
            self._ended = count == 0
            self._inside = count
            self._consumer.received += count
            room -= count

    def _empty_pipe(self) -> None:
        try:
            while self._inside:
                self._inside -= os.splice(self._pipe.read_end, self._descriptor, self._inside)
        except OSError as error:
            raise from_oserror(error) from error

    def _drained(self, _: None) -> None:
        if self._ended:
            self._consumer.finish()
        else:
            self._consumer.channel.resumeProducing()

    def let_go(self) -> None:
        self._pipes.give_back(self._pipe, empty=self._inside == 0)
