"""A server's control channel on a line in memory, and data channels that join it over loopback."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

from tests.unit.fakes import Door, HandReactor, HandTransport
from tests.unit.flow_cases import pair, reset
from twisted_ftplite.flow import tcp
from twisted_ftplite.flow.handshake import TLSSide
from twisted_ftplite.flow.pipes import Pipes
from twisted_ftplite.flow.workers import InlineWorkers
from twisted_ftplite.limits import Limits
from twisted_ftplite.protocol.lines import FieldName
from twisted_ftplite.server.control import ControlChannel
from twisted_ftplite.server.entry import Entry, open_entry
from twisted_ftplite.server.login import Accounts
from twisted_ftplite.server.services import Services
from twisted_ftplite.server.users import ACCESS, User, anonymous
from twisted_ftplite.storage.memory import MemoryStorage

from .script import must
from .secret import HASHES

LIMITS = Limits(
    line_length=1024, queue_size=1024, login_failures_session=3, login_failures_host=4, max_bans=4
)
USERS = (
    User("alice", ACCESS["write"], secret=HASHES[0]),
    User("bob", ACCESS["read"], root="", secret=HASHES[1], max_transfers=1, max_file_size=5),
    User("carol", ACCESS["drop"], certificates=frozenset({"dora"})),
)
_SIDE = TLSSide(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), server_side=True)
_TOKEN = f"{FieldName.DATA_CHANNEL_TOKEN}: ".encode()


class _Certificates:
    """Those of a server that has one; a line in memory never comes so far that it is shown."""

    def side(self) -> TLSSide:
        return _SIDE


def new_services(features: Sequence[str], demand: Callable[[Entry], None]) -> Services:
    """A server with users and files of its own; ``demand`` changes what it asks of its clients."""
    reactor = HandReactor()
    workers = InlineWorkers()
    entry = open_entry(reactor, LIMITS, anonymous("write"))
    entry.accounts = Accounts({user.name: user for user in USERS}, workers)
    entry.certificates = _Certificates()  # type: ignore[assignment]
    demand(entry)
    storage = MemoryStorage({"f": b"content", "d/e": b"", "d/g": b"x" * 3000}, limits=LIMITS)
    services = Services(reactor, storage, workers, Pipes(LIMITS), LIMITS, entry)  # type: ignore[arg-type]
    services.features = tuple(features)
    return services


class SecureTransport(HandTransport):
    """One inside TLS, whose client has shown a certificate of these names."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.socket = self
        self._names = names

    def getpeercert(self) -> dict[str, Any]:
        return {"subjectAltName": tuple(("DNS", name) for name in self._names)}

    def attach(self, protocol: Any) -> None:
        protocol.transport = self


class Visit:
    """One control channel, driven as a transport drives it: nothing comes while it is paused or gone."""

    def __init__(self, services: Services, *, far: bool, names: Sequence[str], secure: bool) -> None:
        self.services = services
        self.door = Door()
        self.control = ControlChannel(self.door, services)
        self.unread: list[bytes] = []
        self.taken: list[bytes] = []
        """Lines that the control channel has been given."""
        self.said: list[bytes] = []
        self.token: bytes | None = None
        """The newest that the server has told."""
        self.greetings = 1 + secure
        self.over = self.heard_out = False
        self._rest = b""
        host = "192.0.2.7" if far else "127.0.0.1"
        self.transport = HandTransport()
        self.transport.peerAddr = IPv4Address("TCP", host, 40000)
        self.control.makeConnection(self.transport)
        self.look()
        if secure:
            self._secure(names)

    def _secure(self, names: Sequence[str]) -> None:
        """As behind a handshake."""
        self.transport = SecureTransport(names)
        turned = Deferred.fromCoroutine(
            self.control.begin_anew(self.transport, _SIDE, greets=True)  # type: ignore[arg-type]
        )
        failed: list[Failure] = []
        turned.addErrback(failed.append)
        for each in failed:
            each.raiseException()
        must(turned.called, "the session inside TLS did not begin")
        self.look()

    def send(self, piece: bytes) -> None:
        """What the client says, in one piece."""
        if not self.heard_out:
            self.unread.append(piece)
            self.deliver()

    def deliver(self) -> None:
        """Bring what has come, as far as the channel reads."""
        while self.unread and not self.over and self.transport.producerState == "producing":
            piece = self.unread.pop(0)
            *lines, self._rest = (self._rest + piece).split(b"\n")
            self.taken += lines
            self.control.dataReceived(piece)
            must(
                self.control.session._waiting.size <= 2 * LIMITS.queue_size + len(piece),
                "more waits than may",
            )
            self.look()

    def look(self) -> None:
        """Hear what was said, and notice where the channel has closed."""
        data = self.transport.value()
        self.transport.clear()
        must(data == b"" or data.endswith(b"\n"), "what is said is not lines")
        for line in data.splitlines():
            self.said.append(line)
            if line.startswith(_TOKEN):
                self.token = line
        if not self.over and (self.transport.disconnecting or self.transport.disconnected):
            self.lose()

    def turn(self) -> None:
        """Let the reactor look at its descriptors until nothing happens."""
        for _ in range(64):
            self.services.reactor.advance(0)  # type: ignore[attr-defined]
            if not self.services.reactor.turn(0):  # type: ignore[attr-defined]
                break
        self.look()
        self.deliver()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.services.reactor.advance(seconds)  # type: ignore[attr-defined]
        self.turn()

    def end(self) -> None:
        """The client sends nothing more."""
        if not self.unread:
            self.heard_out = True
            self.control.readConnectionLost()
            self.look()

    def lose(self) -> None:
        """The connection is gone."""
        if not self.over:
            self.over = True
            self.transport.connected = False
            self.control.connectionLost(Failure(ConnectionDone()))


class Joiner:
    """A client's connection that says a token, over loopback."""

    def __init__(self, services: Services, token: bytes | None, content: bytes, *, ends: bool) -> None:
        ours, self._theirs = pair()
        control = ControlChannel(Door(), services)
        self._connection = Loopback(ours, control, services.reactor)
        control.makeConnection(self._connection)
        self._connection.startReading()
        self._theirs.sendall((token or _TOKEN + b"0" * 32) + b"\n" + content)
        if ends:
            self._theirs.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Break the connection."""
        if self._theirs.fileno() >= 0:
            reset(self._theirs)

    def close(self) -> None:
        """Leave nothing behind."""
        self.reset()
        if self._connection.connected:
            self._connection.connectionLost(Failure(ConnectionDone()))


class Loopback(Connection):
    """A connection of Twisted's without a port that has accepted it."""

    def __init__(self, sock: socket.socket, control: ControlChannel, reactor: Any) -> None:
        super().__init__(sock, control, reactor)
        self.connected = True
        tcp.tune_control(self, LIMITS.control_read)
        self.logstr = "loopback"

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 40001)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 40002)
