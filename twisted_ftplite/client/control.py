"""The client's control channel: lines to the session core, events to whoever runs the command."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from ..errors import ConnectionLost, FTPLiteError, ProtocolViolation
from ..flow import tcp
from ..limits import Limits
from ..protocol.client import ClientSession, Event, Exchange, Over
from ..protocol.options import Options


class Asker(Protocol):
    """Who asked for a command."""

    def heard(self, event: Event) -> None:
        """Something has come for it; after `Over` nothing more does."""

    def lost(self, error: FTPLiteError) -> None:
        """The session is over, and no final status will come."""


class ControlChannel(LineReceiver):
    """The connection to the server."""

    delimiter = b"\n"
    transport: ITCPTransport

    def __init__(self, clock: IReactorTime, limits: Limits) -> None:
        self.session = ClientSession(limits)
        self.MAX_LENGTH = limits.line_length - 1
        self.greeted: Deferred[None] = Deferred()
        """Fires when the server has greeted; fails with why it has not."""

        self.over: Deferred[FTPLiteError] = Deferred()
        """Fires when no command can be sent any more, with the reason."""

        self.gone: Deferred[None] = Deferred()
        """Fires when the connection is closed."""

        self._clock = clock
        self._limits = limits
        self._askers: dict[Exchange, Asker] = {}
        self._deadline: IDelayedCall | None = None

    def ask(
        self,
        asker: Asker,
        verb: str,
        arguments: tuple[str, ...],
        more: bytes = b"",
        options: Options | None = None,
    ) -> Exchange:
        """Send a command and the lines behind it, which ask for ``options``.  Raises `NameNotAllowed`."""
        exchange, line = self.session.ask(verb, *arguments, options=options)
        self._askers[exchange] = asker
        self.say(line + more)
        return exchange

    def say(self, lines: bytes) -> None:
        """Send lines."""
        self.transport.write(lines)

    def ends(self) -> tuple[tcp.SocketAddress, tcp.SocketAddress]:
        """Our own and the server's address."""
        ends = tcp.ends_of(self.transport)
        if ends is None:
            raise ConnectionLost("This is no TCP connection.")
        return ends

    def leave(self, error: FTPLiteError) -> None:
        """End the connection; commands without a status fail with ``error``."""
        if self.over.called:
            return
        left = self.session.end(error)
        self.over.callback(error)
        if not self.greeted.called:
            self.greeted.errback(error)
        if not self.gone.called:
            self._deadline = self._clock.callLater(self._limits.close_timeout, self.transport.abortConnection)
            self.transport.loseConnection()
        for exchange in left:
            self._askers.pop(exchange).lost(error)

    def drop(self, error: FTPLiteError) -> None:
        """The same at once, for a connection on which nothing comes through any more."""
        self.leave(error)
        if not self.gone.called:
            self.transport.abortConnection()

    def connectionMade(self) -> None:
        tcp.tune_control(self.transport, self._limits.control_read)

    def lineReceived(self, line: bytes) -> None:
        if self.over.called:
            return
        try:
            for exchange, event in self.session.receive(line):
                asker = self._askers.pop(exchange) if isinstance(event, Over) else self._askers[exchange]
                asker.heard(event)
        except ProtocolViolation as error:
            self.leave(error)
        if self.session.lost is not None:
            self.leave(self.session.lost)
        elif self.session.greeted and not self.greeted.called:
            self.greeted.callback(None)

    def lineLengthExceeded(self, line: bytes) -> None:
        self.leave(ProtocolViolation("It sent a line that is longer than the protocol has them."))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self.gone.callback(None)
        self.leave(ConnectionLost("The server ended the connection."))
