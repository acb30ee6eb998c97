"""Going on after a connection broke in the middle of a command: when, how often, and after which pause."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from ..errors import (
    ConnectionLost,
    ConnectionRefused,
    ConnectionTimedOut,
    FTPLiteError,
    LimitReached,
    ServerShuttingDown,
    TooManyConnections,
)
from .services import BrokeOff
from .session import Session
from .troubles import Unreachable

T = TypeVar("T")

Operation = Callable[[Session, bool], Awaitable[T]]
"""What is to be done with a session; the second argument says whether to go on with what broke off."""

DELAYS = (0.3, 0.6, 1.2, 2.4, 4.0)
"""Seconds before each further try; the last one counts for all beyond."""

JITTER = 0.25
"""The part by which a delay may be shorter or longer: clients cut off together shall not come together."""

RETRIES = 5

_PASSING = (
    ConnectionRefused,
    ConnectionLost,
    ConnectionTimedOut,
    TooManyConnections,
    LimitReached,  # of sessions of this user, while the server has not noticed that the last one is gone
    ServerShuttingDown,
)


class Retrying:
    """Runs operations, each again after a break, so often as it was told to."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Session]],
        clock: IReactorTime,
        remark: Callable[[str], None],
        *,
        retries: int = RETRIES,
        delays: Sequence[float] = DELAYS,
        random: Random | None = None,
    ) -> None:
        """``connect`` gives the session that there is, or where that is lost a new one, in the same
        directory of the server; ``remark`` hears, for people, that it goes on, and at which byte.
        """
        self._connect = connect
        self._clock = clock
        self._remark = remark
        self._retries = retries
        self._delays = delays
        self._random = random or Random()

    async def run(self, operation: Operation[T]) -> T:
        """The operation's result.

        It is called again, to go on, where it raised `ConnectionLost`, `ConnectionTimedOut` or
        `ServerShuttingDown` after its command had begun; on the same session where that lives and the
        server has answered.  What ``connect`` raises the first time ends it; later, `ConnectionRefused`,
        `ConnectionLost`, `ConnectionTimedOut`, `TooManyConnections`, `LimitReached` and
        `ServerShuttingDown`, also as the cause of an `Unreachable`, count as tries.  Everything else ends it
        at once, as does cancelling.
        """
        session = await self._connect()
        tries, resume = 0, False
        while True:
            try:
                return await operation(session, resume)
            except (ConnectionLost, ConnectionTimedOut, ServerShuttingDown) as error:
                if tries == self._retries or not (resume or _had_begun(error, session)):
                    raise
                broken: Exception = error
            resume = True
            if session.connected and not _is_answered(broken):
                session.drop()  # nothing has come through for long: a new connection may
            while True:
                tries += 1
                await self._pause(broken, tries)
                try:
                    session = await self._connect()
                    break
                except (FTPLiteError, Unreachable) as error:
                    if tries == self._retries or not _may_come_back(error):
                        raise
                    broken = error

    async def _pause(self, broken: Exception, tries: int) -> None:
        delay = self._delays[min(tries, len(self._delays)) - 1]
        delay *= 1 + JITTER * (2 * self._random.random() - 1)
        cause = broken.__cause__
        where = f" at byte {cause.position}" if isinstance(cause, BrokeOff) and cause.position else ""
        what = str(broken)
        if isinstance(broken, Unreachable) and isinstance(cause, FTPLiteError):
            what = f"no connection yet: {cause.phrase}"  # no remedy: it is waited for
        what = what.rstrip(".")
        self._remark(f"{what}{where}; going on in {delay:.1f} s (try {tries} of {self._retries})")
        await deferLater(self._clock, delay)


def _had_begun(error: FTPLiteError, session: Session) -> bool:
    """Whether the command was under way: it was sent, and it is not that no data channel could be made."""
    cause = error.__cause__
    if not isinstance(cause, BrokeOff):
        return False
    no_channel = cause.position is None and isinstance(error, ConnectionTimedOut)
    return not (no_channel and session.connected)


def _is_answered(error: Exception) -> bool:
    cause = error.__cause__
    return isinstance(cause, BrokeOff) and cause.answered


def _may_come_back(error: Exception) -> bool:
    """Whether a server that cannot be reached now may be reached soon."""
    reason = error.__cause__ if isinstance(error, Unreachable) else error
    return isinstance(reason, _PASSING)
