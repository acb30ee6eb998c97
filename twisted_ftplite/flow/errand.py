"""What one command holds open while threads work for it, and how it all is let go.

Both sides run a command as a coroutine that can be cancelled at any await.  A thread cannot be: so what
the coroutine opened is released only when no thread uses it any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar, TypeVarTuple

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.python.failure import Failure

from ..protocol.values import Bottleneck, Checksum
from .channel import DataChannel
from .digest import Digest, Readable, reader_of
from .movement import Pump
from .observing import HASH, PEER, WORTH_TELLING, Finding, explain, find, likely
from .workers import Workers, shielded

_INSTANT = 0.05
"""Seconds: of what is moved in less the kernel knows nothing worth asking for."""

A = TypeVarTuple("A")
T = TypeVar("T")


class Errand:
    """One command's threads and open things; the base of what a command's coroutine sees."""

    def __init__(self, workers: Workers) -> None:
        self.failed = False
        """Whether the command has failed: set before `release`, which then breaks off instead of ending."""

        self._workers = workers
        self._pump: Pump | None = None
        self._digest: Digest | None = None
        self._job: Deferred[None] | None = None
        self._kept: list[Callable[[], object]] = []

    def keep(self, opened: T, release: Callable[[T], object]) -> T:
        """Release this when the command is over and no thread works for it."""
        self._kept.append(lambda: release(opened))
        return opened

    def keep_channel(self, channel: DataChannel) -> DataChannel:
        """The same for a data channel; what broke off must not look like the end of a stream."""
        return self.keep(channel, lambda each: each.reset() if self.failed else each.close())

    async def work(self, function: Callable[[*A], T], *args: *A, workers: Workers | None = None) -> T:
        """Call a function in a worker thread, of others than the errand's own where ``workers`` are given."""
        return await self._wait_for((workers or self._workers).run(function, *args))

    async def open(self, release: Callable[[T], object], function: Callable[[*A], T], *args: *A) -> T:
        """The same, and keep what it opens, also where the command ends before it is open."""
        job = self._workers.run(function, *args)
        return await self._wait_for(job.addCallback(self.keep, release))

    async def commit(self, function: Callable[[], None], workers: Workers | None = None) -> None:
        """Call in a worker thread what cannot be taken back: to end the command now is too late."""
        outcome: list[Failure | None] = []

        def remember(result: Failure | None) -> None:
            outcome.append(result)

        wait = self._wait_for((workers or self._workers).run(function).addBoth(remember))
        while not outcome:
            try:
                await wait
            except CancelledError:
                self.too_late()
                wait = self._when_done()
        if outcome[0] is not None:
            outcome[0].raiseException()

    async def checksum(self, digest: Digest, handle: Readable, end: int) -> Checksum:
        """`Digest.finish` of what a handle holds up to ``end``; broken off when the command ends."""
        self._digest = digest
        with self.spends(HASH):
            return await self._wait_for(digest.finish(reader_of(handle), end))

    @contextmanager
    def spends(self, state: int) -> Iterator[None]:
        """The time of its transfer, if it has one, is spent on this meanwhile."""
        account = None if self._pump is None else self._pump.channel.account
        if account is not None:
            account.turn(state)
        try:
            yield
        finally:
            if account is not None:
                account.turn(PEER)

    @property
    def pumped(self) -> Pump | None:
        """What moves its bytes, or has moved them."""
        return self._pump

    def finding(self) -> Finding | None:
        """What its transfer has waited for so far; None where nothing moved."""
        pump = self._pump
        if pump is None:
            return None
        if pump.channel.account.age > _INSTANT:
            pump.channel.observe()
        return find(pump.role, pump.channel.account, pump.moved())

    def explained(self, told: Bottleneck | None, algorithm: str | None, us: str, them: str) -> str:
        """What its transfer waited for most, for people; empty where it was too short to tell.

        ``told`` is the other side's word, ``algorithm`` the checksum, ``us`` and ``them`` the sides' names.
        """
        pump = self._pump
        if pump is None or pump.channel.account.age < WORTH_TELLING:
            return ""
        found, account = self.finding(), pump.channel.account
        computes = likely(algorithm, secure=account.secure)
        return "" if found is None else explain(pump.role, found, told, us, them, cpu=computes)

    def too_late(self) -> None:
        """The command was told to end after the point of no return."""

    def job_done(self) -> None:
        """A thread's answer has been heard, and the coroutine has made its next step."""

    def release(self) -> None:
        """The command is over: let go of everything, as soon as no thread works on it."""
        idle = self._pump.stop() if self._pump is not None else succeed(None)
        if self._digest is not None:
            hashed = self._digest.stop()
            idle.addCallback(lambda _: hashed)
        if self._job is not None:
            idle.addCallback(lambda _: self._job)
        idle.addCallback(lambda _: self._release_kept())

    def _when_done(self) -> Deferred[None]:
        """Fires when the present job is done, in a Deferred that may be cancelled."""
        done: Deferred[None] = Deferred()
        if self._job is not None:
            self._job.addCallback(done.callback)
        return done

    def _wait_for(self, job: Deferred[T]) -> Deferred[T]:
        wait = shielded(job)
        over: Deferred[None] = Deferred()
        self._job = over

        def go_on(_: object) -> None:
            over.callback(None)
            self.job_done()

        job.addBoth(go_on)
        return wait

    def _release_kept(self) -> None:
        for release in reversed(self._kept):
            release()
        self._kept.clear()
