"""When a command goes on after a break, and when it does not."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import Clock

from twisted_ftplite.client.retrying import DELAYS, JITTER, Retrying
from twisted_ftplite.client.services import BrokeOff
from twisted_ftplite.client.troubles import Unreachable
from twisted_ftplite.errors import (
    ChecksumMismatch,
    ConnectionLost,
    ConnectionRefused,
    ConnectionTimedOut,
    FileNotFound,
    FTPLiteError,
    InternalError,
    LimitReached,
    LocalFileTrouble,
    ProtocolViolation,
    ServerShuttingDown,
    TooManyConnections,
)


def broken(
    kind: type[FTPLiteError] = ConnectionLost, position: int | None = 1000, *, answered: bool = False
) -> FTPLiteError:
    """How a session's command ends that had begun."""
    error = kind()
    error.__cause__ = BrokeOff("get", position, answered=answered)
    return error


class Link:
    """What a session is to the policy."""

    def __init__(self) -> None:
        self.connected = True

    def drop(self) -> None:
        self.connected = False


class Trial:
    """A run in which connects and operations end as a script says: an error, or None where they work."""

    def __init__(self, connects: list[Any], operations: list[Any], retries: int = 5) -> None:
        self.clock = Clock()
        self.remarks: list[str] = []
        self.links: list[Link] = []
        self.asked: list[tuple[int, bool]] = []
        """For each operation the number of its session, and whether it was to go on."""

        self._connects = connects
        self._operations = operations
        self.result: Any = None
        retrying = Retrying(self._connect, self.clock, self.remarks.append, retries=retries, random=Random(7))
        self.running: Deferred[Any] = ensureDeferred(retrying.run(self._operate))
        self.running.addBoth(lambda result: setattr(self, "result", result))

    async def _connect(self) -> Any:
        if self.links and self.links[-1].connected:
            return self.links[-1]
        if (error := self._connects.pop(0)) is not None:
            raise error
        self.links.append(Link())
        return self.links[-1]

    async def _operate(self, session: Any, resume: bool) -> str:
        self.asked.append((self.links.index(session), resume))
        error = self._operations.pop(0)
        if isinstance(error, Deferred):
            await error
        elif error is not None:
            ends_session = isinstance(error, ConnectionLost | ServerShuttingDown)
            if ends_session and not getattr(error.__cause__, "answered", False):
                session.connected = False
            raise error
        return "done"

    def wait(self, seconds: float = 60.0) -> Any:
        """What became of it after so long; the error itself where it failed."""
        while self.result is None and self.clock.getDelayedCalls() and seconds > 0:
            self.clock.advance(0.05)
            seconds -= 0.05
        return getattr(self.result, "value", self.result)


def test_what_works_is_done_once() -> None:
    trial = Trial([None], [None])
    assert trial.wait() == "done"
    assert trial.asked == [(0, False)]
    assert trial.remarks == []


def test_a_break_goes_on_with_another_session() -> None:
    trial = Trial([None, None], [broken(), None])
    assert trial.result is None
    assert trial.wait() == "done"
    assert trial.asked == [(0, False), (1, True)]
    (remark,) = trial.remarks
    assert "Connection lost at byte 1000; going on in 0." in remark
    assert "(try 1 of 5)" in remark


def test_the_same_session_where_the_server_has_answered() -> None:
    trial = Trial([None], [broken(answered=True), broken(ConnectionTimedOut, answered=True), None])
    assert trial.wait() == "done"
    assert trial.asked == [(0, False), (0, True), (0, True)]


def test_a_session_that_fell_silent_is_dropped() -> None:
    trial = Trial([None, None], [broken(ConnectionTimedOut), None])
    assert trial.wait() == "done"
    assert trial.asked == [(0, False), (1, True)]
    assert not trial.links[0].connected


def test_a_server_that_is_started_anew_is_waited_for() -> None:
    trial = Trial([None, ConnectionRefused(), None], [broken(ServerShuttingDown), None])
    assert trial.wait() == "done"
    assert trial.asked == [(0, False), (1, True)]


def test_the_delays() -> None:
    trial = Trial([None] * 6, [broken() for _ in range(6)])
    for delay in DELAYS:
        (call,) = trial.clock.getDelayedCalls()
        left = call.getTime() - trial.clock.seconds()
        assert delay * (1 - JITTER) <= left <= delay * (1 + JITTER)
        assert left != delay
        trial.clock.advance(left)
    assert isinstance(trial.wait(0), ConnectionLost)
    assert len(trial.asked) == 6
    assert len(trial.remarks) == 5


def test_a_reconnect_that_fails_is_a_try() -> None:
    passing = [ConnectionRefused(), ConnectionTimedOut(), TooManyConnections(), LimitReached()]
    trial = Trial([None, *passing, None], [broken(), None])
    assert trial.wait() == "done"
    assert len(trial.remarks) == 5
    trial = Trial([None, ServerShuttingDown(), None], [broken(), None])
    assert trial.wait() == "done"
    trial = Trial([None, *(ConnectionRefused() for _ in range(5))], [broken()])
    assert isinstance(trial.wait(), ConnectionRefused)
    assert trial.asked == [(0, False)]


def test_what_the_shell_makes_of_a_reconnect() -> None:
    unreachable = Unreachable("cannot connect")
    unreachable.__cause__ = ConnectionRefused()
    assert Trial([None, unreachable, None], [broken(), None]).wait() == "done"
    wrong = Unreachable("what answers is no server")
    wrong.__cause__ = ProtocolViolation()
    assert Trial([None, wrong], [broken()]).wait() is wrong


@pytest.mark.parametrize("error", [ConnectionRefused(), ConnectionLost(), Unreachable("no")])
def test_a_first_connect_is_not_tried_again(error: Exception) -> None:
    trial = Trial([error], [])
    assert trial.wait() is error
    assert trial.remarks == []


@pytest.mark.parametrize(
    "error",
    [
        FileNotFound(),
        ChecksumMismatch(),
        InternalError(),
        ConnectionRefused(),
        ProtocolViolation(),
        LocalFileTrouble("full"),
        ConnectionLost(),
        broken(ConnectionTimedOut, None),
    ],
    ids=lambda error: f"{type(error).__name__} {error.__cause__ or ''}",
)
def test_what_ends_it_at_once(error: Exception) -> None:
    """Also a session that was lost before the command, and a data channel that never came."""
    assert Trial([None], [error]).wait() is error


def test_what_ends_it_later() -> None:
    for error in (FileNotFound(), ProtocolViolation(), LocalFileTrouble("full")):
        assert Trial([None, None], [broken(), error]).wait() is error
        assert Trial([None, error], [broken()]).wait() is error
    # A break is a break while it goes on, whatever had begun.
    trial = Trial([None, None, None], [broken(), broken(ConnectionTimedOut, None), None])
    assert trial.wait() == "done"


def test_no_retries() -> None:
    error = broken()
    trial = Trial([None], [error], retries=0)
    assert trial.wait() is error
    assert trial.remarks == []


def test_cancelling() -> None:
    trial = Trial([None], [Deferred()])
    trial.running.cancel()
    assert isinstance(trial.wait(), CancelledError)
    trial = Trial([None], [broken()])
    trial.running.cancel()
    assert isinstance(trial.wait(), CancelledError)
    assert trial.clock.getDelayedCalls() == []
    assert trial.asked == [(0, False)]
