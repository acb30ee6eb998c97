"""What one command of the client and the server say to each other, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred

from ..errors import (
    ConnectionLost,
    ConnectionRefused,
    ConnectionTimedOut,
    FTPLiteError,
    PortNotAllowed,
    TransferCancelled,
)
from ..flow.errand import Errand
from ..flow.stall import StallWatch
from ..flow.tcp import SocketAddress
from ..flow.workers import shielded
from ..protocol.client import Event, Exchange, Over
from ..protocol.lines import encode_command
from ..protocol.options import Options
from ..protocol.paths import Path
from .answers import Answers
from .control import ControlChannel
from .description import Offered
from .services import Services

T = TypeVar("T")

UNREACHED = (ConnectionRefused, ConnectionTimedOut, ConnectionLost, PortNotAllowed)
"""What can be said where there is no data channel to be had."""

_PATIENCE = 1.5
"""Intervals in which a server that works must say so once."""


class Conversation(Errand):
    """A command from its turn to its final status, as far as lines go."""

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

        self.answered = False
        """Whether its final status has come."""

        self._control = control
        self._directory: Path | None = None
        self._before = before
        self._outcome: FTPLiteError | None = None
        self._trial: Deferred[None] | None = None
        self._tried: FTPLiteError | None = None
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
        self.count()
        self._end(error)

    # What the coroutine asks for.

    @property
    def offered(self) -> Offered:
        """What the server offers; nothing where that was not asked."""
        return self.services.offered or {}

    def ends(self) -> tuple[SocketAddress, SocketAddress]:
        """Our own and the server's address, on the control channel."""
        return self._control.ends()

    def send(self) -> None:
        """Say the command."""
        self.exchange = self._control.ask(self, self.verb, self.arguments)

    def announce(self, port: int | None, size: int | None = None, options: Options | None = None) -> None:
        """Say it with step 3, None being ``passive``: a refusal makes the server ignore the rest."""
        more = self._control.session.announce(port, size, options)
        passive = port is None
        self.exchange = self._control.ask(self, self.verb, self.arguments, more, options, passive=passive)

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
        outcome = self._outcome or self._tried
        if outcome is not None:
            awaited.addErrback(lambda _: None)
            awaited.cancel()
            raise outcome
        self._waiting = awaited
        try:
            return await awaited
        except CancelledError:
            outcome = self._outcome or self._tried
            if outcome is not None:
                raise outcome from None
            raise
        finally:
            self._waiting = None

    # What is only tried.

    def try_out(self) -> None:
        """What is sent next is on trial: how the server ends it is not yet how the command ends."""
        self._trial = Deferred()

    def count(self) -> None:
        """It is on trial no more."""
        trial, self._trial = self._trial, None
        tried, self._tried = self._tried, None
        if trial is not None and trial.called:
            self._end(tried)

    async def withdraw(self) -> None:
        """Take back what is on trial, so that the command can be sent anew.

        Raises what the server says where it has ended for another reason than that it is taken back, or
        that there was no data channel.
        """
        trial = self._trial
        if trial is not None and not trial.called:
            self._before.addCallback(lambda _: None if trial.called else self._say_abort())
            await self.within_stall_time(shielded(trial))
        tried, self._tried, self._trial = self._tried, None, None
        if trial is None or not isinstance(tried, (TransferCancelled, *UNREACHED)):
            self._end(tried)
            raise self._outcome or ConnectionLost()
        self.exchange, self.answers, self.answered = None, Answers(), False

    # The end.

    def release(self) -> None:
        """See `Errand.release`; a command that is given up is aborted, but none before it."""
        super().release()
        self.count()
        if self.exchange is None:
            self._end(None)
        elif not self.turn_over.called:
            self._before.addCallback(lambda _: self._abort())

    def _abort(self) -> None:
        if not self.ended.called:
            self._say_abort()
        self.say_nothing_more()

    def _say_abort(self) -> None:
        self._control.say(encode_command("abort"))

    def _end(self, outcome: FTPLiteError | None) -> None:
        waiting = self._waiting
        if self._trial is not None:
            self._tried = outcome
            if not self._trial.called:
                self._trial.callback(None)
        elif not self.ended.called:
            self._outcome = outcome
            self.ended.callback(None)
            self.say_nothing_more()
        else:
            return
        if outcome is not None and waiting is not None and waiting is self._waiting:
            waiting.cancel()

    def _when_ended(self) -> Deferred[None]:
        """`ended`, for one waiter who may give up."""
        ended: Deferred[None] = Deferred()
        self.ended.addCallback(lambda _: None if ended.called else ended.callback(None))
        return ended
