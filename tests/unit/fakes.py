"""What unit tests have for a reactor, threads and a network: real interfaces, moved by hand."""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor, IWriteDescriptor
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_ftplite.errors import FTPLiteError
from twisted_ftplite.flow.pipes import Pipes
from twisted_ftplite.flow.workers import InlineWorkers, Workers
from twisted_ftplite.limits import Limits
from twisted_ftplite.protocol.events import Begin, Close, Ended, Event, Say
from twisted_ftplite.protocol.lines import Command, Success
from twisted_ftplite.protocol.order import State
from twisted_ftplite.protocol.server import ServerSession
from twisted_ftplite.server import users
from twisted_ftplite.server.control import ControlChannel
from twisted_ftplite.server.door import Guest
from twisted_ftplite.server.entry import open_entry
from twisted_ftplite.server.services import Ends, Services
from twisted_ftplite.server.users import User
from twisted_ftplite.storage.interface import Storage
from twisted_ftplite.storage.memory import MemoryStorage


@implementer(IReactorFDSet)
class HandReactor(Clock):
    """Records who is watched, and looks at their descriptors when told to.  Its time passes by `advance`."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[IReadDescriptor] = set()
        self.writers: set[IWriteDescriptor] = set()

    def addReader(self, reader: IReadDescriptor) -> None:
        self._check(reader)
        self.readers.add(reader)

    def addWriter(self, writer: IWriteDescriptor) -> None:
        self._check(writer)
        self.writers.add(writer)

    def removeReader(self, reader: IReadDescriptor) -> None:
        self.readers.discard(reader)

    def removeWriter(self, writer: IWriteDescriptor) -> None:
        self.writers.discard(writer)

    def removeAll(self) -> list[Any]:
        gone = [*self.readers, *self.writers]
        self.readers.clear()
        self.writers.clear()
        return gone

    def getReaders(self) -> list[IReadDescriptor]:
        return list(self.readers)

    def getWriters(self) -> list[IWriteDescriptor]:
        return list(self.writers)

    def turn(self, wait: float = 0.0) -> int:
        """Tell each watched descriptor once if it is ready; returns how many were."""
        if not self.readers and not self.writers:
            return 0
        readable, writable, _ = select.select(list(self.readers), list(self.writers), [], wait)
        for reader in readable:
            if reader in self.readers:
                reader.doRead()
        for writer in writable:
            if writer in self.writers:
                writer.doWrite()
        return len(readable) + len(writable)

    def turn_until(self, done: Callable[[], bool], turns: int = 2000) -> None:
        """Take turns until it is so; fails when it never is."""
        for _ in range(turns):
            if done():
                return
            self.turn(0.01)
        raise AssertionError("it never came to that")

    @staticmethod
    def _check(descriptor: Any) -> None:
        if descriptor.fileno() < 0:  # as epoll does
            raise ValueError("file descriptor cannot be a negative integer (-1)")


class HandWorkers:
    """Keeps the jobs until a test does one."""

    def __init__(self) -> None:
        self.jobs: deque[tuple[Callable[..., Any], tuple[Any, ...], Deferred[Any]]] = deque()

    def run(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        job: Deferred[Any] = Deferred()
        self.jobs.append((function, args, job))
        return job

    def do(self) -> None:
        """Do the oldest job, and answer."""
        function, args, job = self.jobs.popleft()
        try:
            result = function(*args)
        except Exception as error:  # noqa: BLE001 - it is the answer
            job.errback(error)
        else:
            job.callback(result)

    def do_all(self) -> None:
        while self.jobs:
            self.do()


class Door:
    """A `twisted_ftplite.server.control.Door` that lets everybody in, unless told otherwise."""

    def __init__(self, ends: Ends | None = None) -> None:
        self.opening: FTPLiteError | None = None
        self.introducing: FTPLiteError | None = None
        self.where = ends
        self.turns_first = False
        self.left: list[Guest] = []

    def opened(self, guest: Guest) -> FTPLiteError | None:
        return self.opening

    def introduced(self, guest: Guest) -> FTPLiteError | None:
        return self.introducing

    def entered(self, guest: Guest, user: User | None) -> None:
        """Everybody may have any number of sessions."""

    def closed(self, guest: Guest) -> None:
        if guest not in self.left:
            self.left.append(guest)

    def ends(self, guest: Guest) -> Ends | None:
        return self.where


class HandTransport(StringTransport):
    """A TCP connection whose other end is the test."""

    def __init__(self) -> None:
        super().__init__(lenient=True)
        self.write_closed = False

    def loseWriteConnection(self) -> None:
        self.write_closed = True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing waits here."""


class Line:
    """One control channel with everything around it, as a client at the other end of the line sees it."""

    def __init__(
        self,
        *,
        storage: Storage | None = None,
        limits: Limits | None = None,
        workers: Workers | None = None,
        ends: Ends | None = None,
        door: Door | None = None,
        read_only: bool = False,
        features: tuple[str, ...] = ("files", "noop", "help"),
    ) -> None:
        self.reactor = HandReactor()
        self.limits = limits or Limits()
        self.storage = storage if storage is not None else MemoryStorage()
        self.door = door or Door(ends)
        self.services = Services(
            reactor=self.reactor,
            storage=self.storage,
            workers=workers or InlineWorkers(),
            pipes=Pipes(self.limits),
            limits=self.limits,
            entry=open_entry(self.reactor, self.limits, users.anonymous("read" if read_only else "write")),
            features=features,
        )
        self.control = ControlChannel(self.door, self.services)
        self.transport = HandTransport()
        self.control.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        """Bring bytes as a transport does: not while it is paused, nor when it is gone."""
        assert self.transport.producerState == "producing"
        assert not self.transport.disconnecting
        self.control.dataReceived(data)

    def said(self) -> list[str]:
        """The lines since the last time."""
        data = self.transport.value()
        self.transport.clear()
        assert data == b"" or data.endswith(b"\n")
        return data.decode().splitlines()

    def end(self) -> None:
        """The client sends nothing more, but reads."""
        self.control.readConnectionLost()

    def lose(self, *, cleanly: bool = False) -> None:
        """The connection is gone."""
        self.transport.connected = False
        self.control.connectionLost(Failure(ConnectionDone() if cleanly else ConnectionLost()))


class Host:
    """A host of a bare `ServerSession`: writes down what it is told, and does what the test says.

    A command that is told to end does so at once, unless ``clings``.
    """

    def __init__(self, limits: Limits | None = None, *, clings: bool = False) -> None:
        self.session = ServerSession(limits or Limits())
        self.clings = clings
        self.log: list[object] = []
        """Lines as text, other events as they are, since the last `told`."""

        self.running: Command | None = None

    def receive(self, *lines: str | bytes) -> list[object]:
        """Feed lines; what the session then told."""
        for line in lines:
            self.session.receive(line.encode() if isinstance(line, str) else line)
            self.obey()
        return self.told()

    def told(self) -> list[object]:
        log, self.log = self.log, []
        return log

    def obey(self) -> None:
        for event in self.session.events():
            self._obey_one(event)

    def answer(self, phrase: Success = Success.READY_TO_SEND) -> list[object]:
        """Step 2 of the running command."""
        self._say(self.session.answer(phrase, receives=phrase is Success.READY_TO_RECEIVE))
        self.obey()
        return self.told()

    def finish(self, status: Success | FTPLiteError = Success.NOTHING_DONE) -> list[object]:
        """The running command is over."""
        assert self.running is not None
        self.running = None
        self._say(self.session.finish(status))
        self.obey()
        return self.told()

    @property
    def idle(self) -> bool:
        return self.session.state is State.IDLE

    def _obey_one(self, event: Event) -> None:
        match event:
            case Say(line):
                self._say(line)
            case Begin(command):
                assert self.running is None, "one command at a time"
                self.running = command
                self.log.append(f"[{command.verb.name} {command.argument}]")
            case Ended(error):
                self.log.append(event)
                if not self.clings and self.running is not None:
                    self.log.pop()
                    self.running = None
                    self._say(self.session.finish(error))
            case Close():
                self.log.append("[close]")
            case _:
                self.log.append(event)

    def _say(self, line: bytes) -> None:
        if line:
            assert line.endswith(b"\n")
            assert line.count(b"\n") == 1
            self.log.append(line[:-1].decode())
