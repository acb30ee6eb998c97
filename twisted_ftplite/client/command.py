"""One command of the client, as its coroutine sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import LoopingCall

from ..errors import ConnectionLost, ConnectionTimedOut, FTPLiteError
from ..flow.channel import DataChannel
from ..flow.errand import Errand
from ..flow.movement import Pump, move
from ..flow.opening import Listen, Reactor
from ..flow.receiving import Pipes
from ..flow.stall import StallWatch
from ..flow.workers import Workers
from ..limits import Limits
from ..protocol.client import Completed, Event, Exchange, Over, SizeTold, Told
from ..protocol.lines import encode_command
from .control import ControlChannel

T = TypeVar("T")

Progress = Callable[[int, int | None], None]
"""Called with the bytes moved so far and in all (None: not known), about ten times a second."""

PROGRESS_INTERVAL = 0.1
"""Seconds."""


@dataclass(slots=True)
class Services:
    """What the commands of one session share."""

    reactor: Reactor
    workers: Workers
    pipes: Pipes
    limits: Limits
    data_ports: tuple[int, int]
    in_memory: set[str] = field(default_factory=set)
    """Local directories without a disk behind them: no thread is needed to write there."""

    listener: Listen | None = None
    """One that a transfer which ended well has left: to make one takes longer than to move a small file."""


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
        self.size: Deferred[int] = Deferred()
        """Fires with the bytes that the server announces."""

        self.completed: Deferred[None] = Deferred()
        """Fires when the server's completion has come."""

        self.ended: Deferred[None] = Deferred()
        """Fires when the final status has come, or none will."""

        self.turn_over: Deferred[None] = Deferred()
        """Fires when the next command may be sent."""

        self.told: list[str] = []
        """The fields of a command without a transfer."""

        self._control = control
        self._before = before
        self._outcome: FTPLiteError | None = None
        self._waiting: Deferred[Any] | None = None

    # What the session tells.

    def heard(self, event: Event) -> None:
        """Something has come for this command."""
        match event:
            case SizeTold(size) if not self.size.called:
                self.size.callback(size)
            case Completed() if not self.completed.called:
                self.completed.callback(None)
            case Told(field):
                self.told.append(field.text())
            case Over(error):
                self._end(error)

    def lost(self, error: FTPLiteError) -> None:
        """No final status will come."""
        self._end(error)

    # What the coroutine asks for.

    def send(self, more: bytes = b"") -> None:
        """Say the command, and more with it."""
        self.exchange = self._control.ask(self, self.verb, self.arguments, more)

    def listen(self) -> Listen:
        """Listen for the data channel; nobody but the server is let in."""
        services = self.services
        listener, services.listener = services.listener, None
        if listener is None:
            local, peer = self._control.ends()
            timeout = services.limits.connect_timeout
            listener = Listen(services.reactor, local, peer, timeout, services.data_ports)
        return self.keep(listener, self._leave_listener)

    def announce(self, listener: Listen, size: int | None = None) -> None:
        """Steps 1 and 3 in one: a refusal makes the server ignore the rest."""
        self.send(self._control.session.announce(listener.port, size))

    async def channel(self, listener: Listen) -> DataChannel:
        """Step 4: the server connects."""
        return self.keep_channel(await self.wait(listener.open()))

    async def pump(self, pump: Pump, total: int | None, progress: Progress | None) -> int:
        """Step 6: run a producer or consumer to its end; returns the bytes that came, 0 of a producer."""
        self._pump = pump
        telling = self._tell_progress(pump, total, progress) if progress is not None else None
        try:
            moving = move(pump, self.services.reactor, self.services.limits.stall_timeout)
            return await self.wait(moving) or 0
        except ConnectionLost:
            await self._verdict()
            raise
        finally:
            if telling is not None:
                telling()

    def complete(self, size: int | None = None) -> None:
        """Our completion; the next command may then be sent."""
        assert self.exchange is not None
        self._control.say(self._control.session.complete(self.exchange, size))
        self.say_nothing_more()

    def fail(self, error: FTPLiteError) -> None:
        """In place of the completion: this side cannot keep what it got."""
        self._control.say(self._control.session.fail(error))
        self.say_nothing_more()

    def say_nothing_more(self) -> None:
        """The next command may be sent: nothing that is still said belongs to this one."""
        if not self.turn_over.called:
            self.turn_over.callback(None)

    async def over(self, movement: Callable[[], object] = int) -> None:
        """Wait for the final status.  Raises what the server says."""
        if not self.ended.called:
            await self.within_stall_time(self._when_ended(), movement)
        if self._outcome is not None:
            raise self._outcome

    async def within_stall_time(self, awaited: Deferred[T], movement: Callable[[], object] = int) -> T:
        """Wait for the server as long as it says something, or something moves, now and then."""
        if awaited.called:
            return await self.wait(awaited)
        session = self._control.session
        watch = StallWatch(
            self.services.reactor,
            self.services.limits.stall_timeout,
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

    def release(self) -> None:
        """See `Errand.release`; a command that is given up is aborted, but none before it."""
        super().release()
        if self.exchange is None:
            self._end(None)
        elif not self.turn_over.called:
            self._before.addCallback(lambda _: self._abort())

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

    def _tell_progress(self, pump: Pump, total: int | None, progress: Progress) -> Callable[[], None]:
        """Call ``progress`` now and then; returns what ends that."""
        telling = LoopingCall(lambda: progress(pump.moved(), total))
        telling.clock = self.services.reactor
        telling.start(PROGRESS_INTERVAL, now=False)
        return telling.stop
