"""One command of the client, as its coroutine sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as TookTooLong

from ..errors import ConnectionLost, ConnectionTimedOut, FTPLiteError, NotSupported
from ..flow.channel import DataChannel
from ..flow.digest import Digest, Readable
from ..flow.errand import Errand
from ..flow.movement import Pump, move
from ..flow.opening import Listen
from ..flow.stall import StallWatch
from ..flow.workers import shielded
from ..protocol.client import Event, Exchange, Over
from ..protocol.lines import Field, FieldName, encode_command, encode_size
from ..protocol.options import Options
from ..protocol.paths import Path, resolve, spell
from ..protocol.values import Checksum
from .answers import Answers
from .control import ControlChannel
from .description import Offered
from .services import Progress, Services
from .targets import LocalTarget
from .telling import repeated, shown

T = TypeVar("T")

_HASHES = ("stat", "checksum")
"""Verbs for which the server may have to read a whole file."""

_PATIENCE = 1.5
"""Intervals in which a server that works must say so once."""


class Command(Errand):
    """A command from its turn to its final status."""

    def __init__(
        self,
        services: Services,
        control: ControlChannel,
        verb: str,
        arguments: tuple[str, ...],
        before: Deferred[None],
    ) -> None:
        """``before`` fires when the command before this one is over."""
        super().__init__(services.workers)
        self.services = services
        self.verb = verb
        self.arguments = arguments
        self.exchange: Exchange | None = None
        self.answers = Answers()
        self.ended: Deferred[None] = Deferred()
        """Fires when the final status has come, or none will."""

        self.turn_over: Deferred[None] = Deferred()
        """Fires when the next command may be sent."""

        self.error: BaseException | None = None
        """Why it has failed: set with `failed`."""

        self.answered = False
        """Whether its final status has come."""

        self.offset = 0
        """Bytes of the file that were there before."""

        self.leaves: LocalTarget | None = None
        """What is to be kept or removed when it has failed."""

        self.settled: Deferred[None] | None = None
        """Fires when that is done; None where nobody need wait for it."""

        self._control = control
        self._directory: Path | None = None
        self._before = before
        self._outcome: FTPLiteError | None = None
        self._waiting: Deferred[Any] | None = None

    # What the session tells.

    def heard(self, event: Event) -> None:
        """Something has come for this command."""
        if self._directory is None:  # what was asked before is answered: this is where it is from
            self._directory = self._control.session.directory
        if isinstance(event, Over):
            self.answered = True
            self._end(event.error)
        else:
            self.answers.hear(event)

    def lost(self, error: FTPLiteError) -> None:
        """No final status will come."""
        self._end(error)

    # What the coroutine asks for.

    @property
    def offered(self) -> Offered:
        """What the server offers; nothing where that was not asked."""
        return self.services.offered or {}

    @property
    def remote_path(self) -> str:
        """Where its first argument leads, from the root.  Raises `NameNotAllowed`."""
        now = self._control.session.directory
        return spell(resolve(now if self._directory is None else self._directory, self.arguments[0]))

    @property
    def position(self) -> int | None:
        """Bytes of the file that are there or have moved; None where there was no data channel yet."""
        return None if self._pump is None else self.offset + self._pump.moved()

    def demand(self, feature: str) -> None:
        """Raises `NotSupported` where the server does not offer it."""
        if feature not in self.offered:
            raise NotSupported(f'The server does not offer "{feature}".')

    async def inquire(self, verb: str, *arguments: str) -> list[Field]:
        """Ask something else before this command is sent, in its turn; the fields of the answer."""
        question = Command(self.services, self._control, verb, arguments, self._before)
        self._before = question.ended
        try:
            told = await question.tell()
        except BaseException as error:
            question.give_up(error)
            raise
        question.release()
        return told

    async def tell(self) -> list[Field]:
        """All of a command without a transfer: send it, and return the fields that come."""
        self.send()
        self.say_nothing_more()
        await self.over(works=self.verb in _HASHES)
        return self.answers.fields

    def send(self, more: bytes = b"", options: Options | None = None) -> None:
        """Say the command, and more with it."""
        self.exchange = self._control.ask(self, self.verb, self.arguments, more, options)

    def listen(self) -> Listen:
        """Listen for the data channel; nobody but the server is let in."""
        services = self.services
        listener, services.listener = services.listener, None
        if listener is None:
            local, peer = self._control.ends()
            timeout = services.limits.connect_timeout
            listener = Listen(services.reactor, local, peer, timeout, services.data_ports)
        return self.keep(listener, self._leave_listener)

    def announce(self, listener: Listen, size: int | None = None, options: Options | None = None) -> None:
        """Steps 1 and 3 in one: a refusal makes the server ignore the rest."""
        self.send(self._control.session.announce(listener.port, size, options), options)

    async def channel(self, listener: Listen) -> DataChannel:
        """Step 4: the server connects."""
        return self.keep_channel(await self.wait(listener.open()))

    async def pump(self, pump: Pump, total: int | None, progress: Progress | None) -> int:
        """Step 6: run a producer or consumer to its end; returns the bytes that came, 0 of a producer.

        ``total`` are the bytes of the whole file.
        """
        self._pump = pump
        with shown(self.services.reactor, progress, lambda: self.offset + pump.moved(), total):
            return await self._moved(pump)

    async def _moved(self, pump: Pump) -> int:
        try:
            moving = move(pump, self.services.reactor, self.services.limits.stall_timeout)
            return await self.wait(moving) or 0
        except ConnectionLost:
            await self._verdict()
            raise

    async def digested(
        self,
        digest: Digest,
        handle: Readable,
        end: int,
        progress: Progress | None = None,
        total: int | None = None,
    ) -> Checksum:
        """The checksum of what a handle holds up to ``end``; at once where that is little and all in.

        ``progress`` is told how much of ``total`` has been read, where that is what takes long.
        """
        if digest.position == end <= self.services.limits.small_file:
            return digest.checksum()
        with self.working(), shown(self.services.reactor, progress, lambda: digest.position, total):
            return await self.wait(Deferred.fromCoroutine(self.checksum(digest, handle, end)))

    @contextmanager
    def working(self) -> Iterator[None]:
        """Tell the server now and then that it is this side that takes long."""
        interval = self.services.limits.working_interval
        with repeated(self.services.reactor, interval, self._say_working):
            yield

    def complete(self, size: int | None = None, checksum: Checksum | None = None) -> None:
        """Our completion, behind a size and a checksum that are to be told; the next command may be sent."""
        assert self.exchange is not None
        self._control.say(self._control.session.complete(self.exchange, size, checksum))
        self.say_nothing_more()

    def fail(self, error: FTPLiteError) -> None:
        """In place of the completion: this side cannot keep what it got."""
        self._control.say(self._control.session.fail(error))
        self.say_nothing_more()

    def say_nothing_more(self) -> None:
        """The next command may be sent: nothing that is still said belongs to this one."""
        if not self.turn_over.called:
            self.turn_over.callback(None)

    async def over(self, movement: Callable[[], object] = int, *, works: bool = False) -> None:
        """Wait for the final status, as `within_stall_time` does.  Raises what the server says."""
        if not self.ended.called:
            await self.within_stall_time(self._when_ended(), movement, works=works)
        if self._outcome is not None:
            raise self._outcome

    async def within_stall_time(
        self, awaited: Deferred[T], movement: Callable[[], object] = int, *, works: bool = False
    ) -> T:
        """Wait for the server as long as it says something, or something moves, now and then.

        With ``works`` it may be hashing or syncing, and need say so only once in a while.
        """
        if awaited.called:
            return await self.wait(awaited)
        session, limits = self._control.session, self.services.limits
        patience = _PATIENCE * limits.working_interval if works else 0
        watch = StallWatch(
            self.services.reactor,
            max(limits.stall_timeout, patience),
            lambda: (session.lines, movement()),
            lambda: awaited.errback(ConnectionTimedOut("The server says nothing.")),
        )
        try:
            return await self.wait(awaited)
        finally:
            watch.stop()

    async def wait(self, awaited: Deferred[T]) -> T:
        """Wait, unless the command ends meanwhile.  Raises what the server says."""
        if self._outcome is not None:
            awaited.addErrback(lambda _: None)
            awaited.cancel()
            raise self._outcome
        self._waiting = awaited
        try:
            return await awaited
        except CancelledError:
            if self._outcome is not None:
                raise self._outcome from None
            raise
        finally:
            self._waiting = None

    def give_up(self, error: BaseException | None) -> None:
        """It has failed: `release`, and break off."""
        self.failed, self.error = True, error
        if self.leaves is not None and not self.leaves.in_place:
            self.settled = Deferred()
        self.release()

    async def settle(self) -> None:
        """Wait until what it leaves of a local file has been kept or removed: who goes on needs that.

        A disk that does not answer is waited for no longer than a peer is.
        """
        settled = self.settled
        if settled is not None and not settled.called:
            wait = shielded(settled).addTimeout(self.services.limits.close_timeout, self.services.reactor)
            await wait.addErrback(lambda failure: failure.trap(TookTooLong))

    def release(self) -> None:
        """See `Errand.release`; a command that is given up is aborted, but none before it."""
        super().release()
        if self.exchange is None:
            self._end(None)
        elif not self.turn_over.called:
            self._before.addCallback(lambda _: self._abort())

    def _say_working(self) -> None:
        self._control.say(encode_size(FieldName.WORKING, self.position or 0))

    def _leave_listener(self, listener: Listen) -> None:
        if self.failed or self.services.listener is not None or self._control.over.called:
            listener.close()
        else:
            self.services.listener = listener

    def _abort(self) -> None:
        if not self.ended.called:
            self._control.say(encode_command("abort"))
        self.say_nothing_more()

    def _end(self, outcome: FTPLiteError | None) -> None:
        if self.ended.called:
            return
        self._outcome = outcome
        self.ended.callback(None)
        self.say_nothing_more()
        if outcome is not None and self._waiting is not None:
            self._waiting.cancel()

    async def _verdict(self) -> None:
        """The server's own word on why the data channel broke may still be on its way."""
        ended = self._when_ended()
        ended.addTimeout(self.services.limits.close_timeout, self.services.reactor)
        await self.wait(ended.addErrback(lambda _: None))

    def _when_ended(self) -> Deferred[None]:
        """`ended`, for one waiter who may give up."""
        ended: Deferred[None] = Deferred()
        self.ended.addCallback(lambda _: None if ended.called else ended.callback(None))
        return ended
