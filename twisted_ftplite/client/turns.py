"""The commands of one session, one after the other: each gets its turn, and is let go of."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

from twisted.internet.defer import Deferred, DeferredLock, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IAddress, IReactorFromThreads, IReactorTCP
from twisted.internet.protocol import ClientFactory

from ..errors import (
    ConnectionLost,
    ConnectionRefused,
    ConnectionTimedOut,
    FTPLiteError,
    ServerShuttingDown,
)
from ..flow.opening import Reactor
from ..flow.pipes import Pipes
from ..flow.tuning import PLAIN, Tuning
from ..flow.workers import ThreadWorkers
from ..limits import Limits
from .command import Command
from .control import ControlChannel
from .services import BrokeOff, Services
from .speed import Speed

T = TypeVar("T")

THREADS = 2
"""Threads that work on the local files of all sessions in a process.

Small files take so little of each that more threads only quarrel over the interpreter: with 8 sessions,
32 threads fetched 1,050 files a second, 4 as many, and 2 of them 1,600.
"""

_workers: dict[IReactorFromThreads, ThreadWorkers] = {}
"""By reactor, of which a process has one."""


class ClientReactor(Reactor, IReactorTCP, IReactorFromThreads):
    """What a client needs of the reactor."""


class Turns:
    """One session's control channel, and whose turn it is."""

    def __init__(
        self,
        reactor: ClientReactor,
        limits: Limits,
        data_ports: tuple[int, int] = (0, 0),
        data: str = "auto",
        tuning: Tuning = PLAIN,
        speed: Speed | None = None,
    ) -> None:
        workers = _workers.setdefault(reactor, ThreadWorkers(reactor, THREADS))
        self.services = Services(
            reactor, workers, Pipes(limits), limits, data_ports, data=data, tuning=tuning, speed=speed
        )
        self.control = ControlChannel(reactor, limits, tuning)
        self._reactor = reactor
        self._turn = DeferredLock()
        self._before: Deferred[None] = succeed(None)
        """Fires when the last command is over."""

    @property
    def connected(self) -> bool:
        """Whether commands can still be sent."""
        return self.control.session.greeted and self.control.session.lost is None

    async def reach(self, host: str, port: int) -> None:
        """A new connection, on which nothing has been said.  See `session.connect`."""
        limits = self.services.limits
        if self.control.over.called:
            self.control = ControlChannel(self._reactor, limits, self.services.tuning)
        self.services.place = f"{host.lower()} {port}"
        endpoint = HostnameEndpoint(self._reactor, host, port, limits.connect_timeout)
        try:
            await endpoint.connect(_Factory(self.control))
        except ConnectTimeout as error:
            raise ConnectionTimedOut from error
        except ConnectError as error:
            number = error.osError
            said = f"{os.strerror(number)}." if isinstance(number, int) else str(error)
            raise ConnectionRefused(said) from error
        except DNSLookupError as error:
            raise ConnectionRefused(f"No address of {host} is known.") from error
        self.control.over.addCallback(self._let_go)

    async def greeted(self) -> None:
        """Wait for the greeting.  See `session.connect`."""
        greeting = self.control.greeted
        await greeting.addTimeout(self.services.limits.connect_timeout, self._reactor, _timed_out)

    async def close(self) -> None:
        """Drop the connection without a word; what runs fails with `ConnectionLost`."""
        self.control.leave(ConnectionLost("The session was closed."))
        self.control.greeted.addErrback(lambda _: None)  # who waited has been told
        gone: Deferred[None] = Deferred()
        self.control.gone.addCallback(gone.callback)
        await gone

    async def run(
        self,
        verb: str,
        arguments: tuple[str, ...],
        body: Callable[[Command], Awaitable[T]],
    ) -> T:
        """Wait for the command's turn, run it, and let go of all it held, however it ends."""
        await self._turn.acquire()
        lost = self.control.session.lost
        if lost is not None:
            self._turn.release()
            raise ConnectionLost(lost.detail or str(lost))
        command = Command(self.services, self.control, verb, arguments, self._before)
        self._before = command.ended
        command.turn_over.addCallback(lambda _: self._turn.release())
        try:
            done = await body(command)
        except GeneratorExit:
            command.give_up(None)
            raise
        except BaseException as error:
            command.give_up(error)
            await command.settle()
            passing = ConnectionLost | ConnectionTimedOut | ServerShuttingDown
            if isinstance(error, passing) and command.exchange is not None:
                answered = command.answered and self.connected
                cause = BrokeOff(verb, command.position, answered=answered)
                cause.__cause__ = error
                raise type(error)(error.detail) from cause
            raise
        command.release()
        return done

    def _let_go(self, _: FTPLiteError) -> None:
        if self.services.listener is not None:
            self.services.listener.close()
        self.services.pipes.close()


class _Factory(ClientFactory):
    """Connects once."""

    noisy = False

    def __init__(self, control: ControlChannel) -> None:
        self.control = control

    def buildProtocol(self, addr: IAddress | None) -> ControlChannel:
        return self.control


def _timed_out(result: object, timeout: float) -> None:
    raise ConnectionTimedOut("The server did not greet.")
