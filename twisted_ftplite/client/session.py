"""The client's API: connect, and then list, fetch and store.

    session = await connect(reactor, "localhost")
    await session.get("report.pdf", "report.pdf")
    await session.quit()

Commands may be called at the same time; the server answers them in the order in which they were called,
and each is sent as soon as the one before has nothing left to say, so that no round trip is waited for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from twisted.internet.defer import Deferred, DeferredLock, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IAddress, IReactorFromThreads, IReactorTCP
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from ..errors import ConnectionLost, ConnectionRefused, ConnectionTimedOut, FTPLiteError
from ..flow.opening import Reactor
from ..flow.receiving import Pipes
from ..flow.workers import ThreadWorkers
from ..limits import Limits
from ..storage.interface import Entry, WriteHandle
from .command import Command, Progress, Services
from .control import ControlChannel
from .files import ReadSource
from .transfers import Transfer, get, ls, put, tell

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


async def connect(
    reactor: ClientReactor,
    host: str,
    port: int = 2121,
    *,
    limits: Limits | None = None,
    data_ports: tuple[int, int] | None = None,
) -> Session:
    """A session with the server at ``host``, greeted.

    ``data_ports`` are the first and last local port to listen on for data channels (any, where None).
    Raises `ConnectionRefused`, `ConnectionTimedOut` (after ``limits.connect_timeout`` seconds),
    `ConnectionLost`, what the server says instead of a greeting, and `ProtocolViolation`.
    """
    session = Session(reactor, limits or Limits(), data_ports or (0, 0))
    await session.connect(host, port)
    return session


class Session:
    """A session; made by `connect`.  Its user ends it with `quit` or `close`."""

    def __init__(self, reactor: ClientReactor, limits: Limits, data_ports: tuple[int, int]) -> None:
        self._reactor = reactor
        self._limits = limits
        workers = _workers.setdefault(reactor, ThreadWorkers(reactor, THREADS))
        self._services = Services(reactor, workers, Pipes(limits), limits, data_ports)
        self._control = ControlChannel(reactor, limits)
        self._turn = DeferredLock()
        self._before: Deferred[None] = succeed(None)
        """Fires when the last command is over."""

    @property
    def connected(self) -> bool:
        """Whether commands can still be sent."""
        return self._control.session.greeted and self._control.session.lost is None

    async def ls(self, path: str | None = None) -> list[Entry]:
        """The names in a directory of the server, or the name of a file, in the order of their bytes."""
        return await self._run("ls", () if path is None else (path,), ls)

    async def get(
        self, name: str, target: str | WriteHandle, *, progress: Progress | None = None
    ) -> Transfer:
        """Fetch ``name`` into a local path, where it appears whole and durable, in one step, or not at all.

        Raises what the server says, `ProtocolViolation` where what came is not what was announced, and
        `LocalFileTrouble`.
        """
        return await self._run("get", (name,), lambda command: get(command, target, progress))

    async def put(self, source: str | ReadSource, name: str, *, progress: Progress | None = None) -> Transfer:
        """Store a local path or a stream as ``name``; it is in place and durable when this returns.

        Raises what the server says, and `LocalFileTrouble`, also where the local file changed meanwhile.
        """
        return await self._run("put", (name,), lambda command: put(command, source, progress))

    async def features(self) -> list[str]:
        """What else the server offers."""
        return await self._run("features", (), tell)

    async def help(self) -> list[str]:
        """The server's verbs, a line each."""
        return await self._run("help", (), tell)

    async def noop(self) -> None:
        """Be heard, and hear that the server is there."""
        await self._run("noop", (), tell)

    async def quit(self) -> None:
        """End the session in good form."""
        await self._run("quit", (), tell)
        await self.close()

    async def close(self) -> None:
        """Drop the connection without a word; what runs fails with `ConnectionLost`."""
        self._control.leave(ConnectionLost("The session was closed."))
        gone: Deferred[None] = Deferred()
        self._control.gone.addCallback(gone.callback)
        await gone

    async def connect(self, host: str, port: int) -> None:
        """See the function of the same name."""
        timeout = self._limits.connect_timeout
        endpoint = HostnameEndpoint(self._reactor, host, port, timeout)
        try:
            await endpoint.connect(_Factory(self._control))
        except ConnectError as error:
            kind = ConnectionTimedOut if isinstance(error, ConnectTimeout) else ConnectionRefused
            raise kind(Failure(error).getErrorMessage()) from error
        except DNSLookupError as error:
            raise ConnectionRefused(str(error)) from error
        self._control.over.addCallback(self._let_go)
        try:
            await self._control.greeted.addTimeout(timeout, self._reactor, _timed_out)
        except BaseException:
            await self.close()
            raise

    async def _run(self, verb: str, arguments: tuple[str, ...], body: Callable[[Command], Awaitable[T]]) -> T:
        """Wait for the command's turn, run it, and let go of all it held, however it ends."""
        await self._turn.acquire()
        lost = self._control.session.lost
        if lost is not None:
            self._turn.release()
            raise ConnectionLost(lost.detail or str(lost))
        command = Command(self._services, self._control, verb, arguments, self._before)
        self._before = command.ended
        command.turn_over.addCallback(lambda _: self._turn.release())
        try:
            return await body(command)
        except BaseException:
            command.failed = True
            raise
        finally:
            command.release()

    def _let_go(self, _: FTPLiteError) -> None:
        if self._services.listener is not None:
            self._services.listener.close()
        self._services.pipes.close()


class _Factory(ClientFactory):
    """Connects once."""

    noisy = False

    def __init__(self, control: ControlChannel) -> None:
        self._control = control

    def buildProtocol(self, addr: IAddress | None) -> ControlChannel:
        return self._control


def _timed_out(result: object, timeout: float) -> None:
    raise ConnectionTimedOut("The server did not greet.")
