"""Consumers: from a data channel to a file in the making."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeVar, TypeVarTuple

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..errors import FileTooLarge, FTPLiteError, SizeMismatch
from ..limits import Limits
from ..storage.interface import WriteHandle
from .channel import DataChannel
from .digest import Digest
from .observing import DISK, LIMIT, WAIT, WORK, Role
from .pipes import Pipes
from .shaping import Share
from .ways import Copy, Gather, Splice, Way
from .workers import InlineWorkers, Workers, shielded

log = Logger()

A = TypeVarTuple("A")
T = TypeVar("T")


class Allowance(Protocol):
    """How large a file may become, where it is asked for while it grows."""

    def ask(self, total: int) -> int:
        """Let the file become ``total`` bytes; returns how many it may have: more, or too few.

        Never waits; what was granted stays granted.
        """

    def refused(self) -> FTPLiteError:
        """Why it may not have more."""


class FileConsumer:
    """Takes a data channel's bytes into a `WriteHandle`, up to the end of the stream.

    ``done`` fires with the number of bytes when the stream has ended and all is written; it fails with
    `SizeMismatch` as soon as more came than was announced, with what its allowance says as soon as that
    is too small, and with what the handle raises.  A channel that breaks is its owner's affair.
    """

    role = Role.RECEIVER

    def __init__(
        self,
        channel: DataChannel,
        handle: WriteHandle,
        workers: Workers,
        pipes: Pipes,
        limits: Limits,
        most: int | None = None,
        digest: Digest | None = None,
        held: int = 0,
        allowance: Allowance | None = None,
    ) -> None:
        """``most`` is how many bytes may come unannounced; `Limits.max_file_size` where it is None.

        ``held`` are the bytes that are in the handle already; those that come go behind them.  The
        ``digest`` may stand anywhere up to there: what is not added while it moves is read afterwards, so
        it is complete only by `Digest.finish` of the handle.
        """
        self.channel = channel
        self.handle = handle
        self.limits = limits
        self.digest = digest
        self.held = held
        self.expected: int | None = None
        """Bytes announced to come; None while that is not known."""

        self.received = 0
        self.share: Share | None = None
        """What limits its rate, to be set before the start; closed when it ends."""

        self._spent = 0
        """Bytes received that its share has been told of."""

        self._narrowed: float | None = None
        self.done: Deferred[int] = Deferred()
        self._threads = workers
        self._workers = workers if handle.waits else InlineWorkers()
        self._pipes = pipes
        self._allowance = allowance
        self._granted = 0
        """Bytes that may come, as far as the allowance was asked."""

        self._unannounced = limits.max_file_size if most is None else most
        self._way: Way | None = None
        self._job: Deferred[None] | None = None
        """Fires when the thread that works now is done."""

        self._over = False
        self._stopped: Deferred[None] | None = None

    @property
    def waits_for_disk(self) -> bool:
        """Whether it is this side that is being waited for."""
        return self._job is not None

    def movement(self) -> int:
        """A number that grows as bytes come."""
        return self.received

    def moved(self) -> int:
        """Bytes that have come."""
        return self.received

    def expect(self, size: int) -> None:
        """So many bytes are announced to come on the channel; more may have come already."""
        self.expected = size
        self._ask(size)
        if self._way is not None:
            self._check()

    def start(self) -> Deferred[int]:
        """Begin; returns `done`."""
        self._way = self._choose()
        if self._check():
            self.channel.deliver_to(self._way)
        return self.done

    def stop(self) -> Deferred[None]:
        """Take no more, and add no more to the digest; `done` does not fire.

        Where this breaks the transfer off, what has arrived is written to the handle first, so that it
        holds a beginning of the stream that can be gone on with.

        The Deferred fires when no thread uses the descriptors of channel and handle any more: closing
        them before would let a thread write into whatever gets their numbers next.
        """
        if self._stopped is None:
            self._stopped = stopped = Deferred[None]()
            hashed = succeed(None) if self.digest is None else self.digest.stop()
            self.channel.pauseProducing()
            self._close_share()
            idle = succeed(None) if self._job is None else shielded(self._job)
            idle.addCallback(lambda _: self._salvage())
            idle.addCallback(lambda _: hashed).addCallback(stopped.callback)
        return self._stopped

    # What its way asks for.

    def room(self, count: int) -> int:
        """How many of ``count`` bytes to take: one more than may come tells that there are too many."""
        self._ask(self.received + count)
        return self.share_of(min(count, self._most() - self.received + 1))

    def share_of(self, count: int) -> int:
        """How many of ``count`` bytes may come now; where none, the way is told again when some may."""
        share = self.share
        if share is None or self.received == self.expected:  # what is left then is the end
            return count
        share.spent(self.received - self._spent)
        self._spent = self.received
        may = share.take(count)
        if share.ceiling != self._narrowed:
            self._narrowed = share.ceiling
            self.channel.narrow(share.ceiling)
        if not may:
            self.channel.pauseProducing()
            self.channel.account.turn(LIMIT)
            share.wait(self._go_on)
        return may

    def surplus(self) -> int:
        """How many of the bytes taken are too many: they are not written."""
        return max(0, self.received - self._most())

    def took(self, count: int) -> bool:
        """Count bytes taken; False, and the transfer has failed, where they are too many."""
        self.received += count
        return self._check()

    def in_thread(self, then: Callable[[T], None], function: Callable[[*A], T], *args: *A) -> None:
        """Let a thread work on what came, and take no more from the channel meanwhile."""
        self._job = over = Deferred[None]()
        self.channel.pauseProducing()
        account = self.channel.account
        account.turn(DISK)

        def answered(result: T) -> None:
            account.turn(WORK)
            self._job = None
            if self._stopped is None and self._check():
                then(result)
            over.callback(None)
            account.rest()

        def failed(failure: Failure) -> None:
            account.turn(WAIT)
            self._job = None
            if self._stopped is None:
                self._fail(failure)
            else:
                self._end()  # what could not be written is not tried again
            over.callback(None)

        self._workers.run(account.timed, function, *args).addCallbacks(answered, failed)

    def finish(self) -> None:
        """The stream has ended and all of it is written."""
        self._end()
        self.done.callback(self.received)

    def _most(self) -> int:
        return self._bound() if self._allowance is None else min(self._bound(), self._granted)

    def _bound(self) -> int:
        """How many bytes may come, whatever the allowance is."""
        most = self._unannounced if self.expected is None else self.expected
        return min(most, self.limits.max_file_size - self.held)

    def _ask(self, count: int) -> None:
        """So many bytes will have come, if they may."""
        if self._allowance is not None and (count := min(count, self._bound())) > self._granted:
            self._granted = self._allowance.ask(self.held + count) - self.held

    def _check(self) -> bool:
        if not self.surplus() and not self._is_refused():
            return True
        if self._stopped is None and not self._over and self._job is None:
            self._fail(self._why())
        return False

    def _is_refused(self) -> bool:
        """What is announced is more than the allowance grants."""
        return self._allowance is not None and self.expected is not None and self._bound() > self._granted

    def _why(self) -> FTPLiteError:
        """Why no more may come."""
        if self._allowance is not None and self._granted < self._bound():
            return self._allowance.refused()
        announced = self.expected is not None and self.expected <= self.limits.max_file_size - self.held
        if announced:
            return SizeMismatch()
        return FileTooLarge(f"The limit is {min(self._unannounced, self.limits.max_file_size)} bytes.")

    def _fail(self, error: Exception | Failure) -> None:
        self._end()
        self.done.errback(error)

    def _go_on(self) -> None:
        """Its share allows more."""
        if self._stopped is None and not self._over and self._job is None:
            self.channel.account.turn(WAIT)
            self.channel.resumeProducing()

    def _close_share(self) -> None:
        if self.share is not None:
            self.share.spent(self.received - self._spent)
            self.share.close()

    def _end(self) -> None:
        self._over = True
        self.channel.pauseProducing()
        self._close_share()
        if self._way is not None:
            self._way.let_go()
            self._way = None

    def _salvage(self) -> Deferred[None]:
        """Have written what is in hand, and where there is a file to splice into, what has come besides."""
        if self._over or self._way is None:
            return succeed(None)
        takes_no_more = self.channel.fileno() < 0 or self.handle.fileno() is None
        room = 0 if takes_no_more else self.room(self.limits.piece * self.limits.pieces_a_turn)
        salvaged = self._workers.run(_drain, self._way, room)
        salvaged.addErrback(lambda failure: log.failure("What had arrived could not be written", failure))
        return salvaged.addCallback(lambda _: self._end())

    def _choose(self) -> Way:
        if self.expected is not None and self.expected <= self.limits.small_file:
            return Gather(self, self.expected)
        descriptor = self.handle.fileno()
        pipe = None
        readable = descriptor is not None and (self.digest is None or _is_readable(descriptor))
        if self.channel.splices and readable:
            pipe = self._pipes.lend()
        if descriptor is not None and pipe is not None:
            return Splice(self, descriptor, pipe, self._pipes)
        if self.digest is not None:
            self._workers = self._threads  # a handle that never waits is hashed in a thread all the same
        return Copy(self)


def _drain(way: Way, room: int) -> None:
    # What goes wrong is told to nobody: the transfer has ended with an error of its own, the handle
    # remembers its first one, and what it holds is a beginning of the stream as before.
    with suppress(FTPLiteError):
        way.drain(room)


def _is_readable(descriptor: int) -> bool:
    """Whether what is spliced into it can be read back; a device that is written into cannot."""
    return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
