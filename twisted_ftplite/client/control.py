"""The client's control channel: lines to the session core, events to whoever runs the command."""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.internet.task import deferLater
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from ..errors import ConnectionLost, ConnectionTimedOut, FTPLiteError, ProtocolViolation
from ..flow import tcp
from ..flow.handshake import TLSSide, handshake
from ..flow.reactor import Reactor
from ..flow.secure import SecureConnection
from ..flow.taking import take_socket
from ..flow.tuning import PLAIN, Tuning
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

    def __init__(self, reactor: Reactor, limits: Limits, tuning: Tuning = PLAIN) -> None:
        self.session = ClientSession(limits)
        self.MAX_LENGTH = limits.line_length - 1
        self.greeted: Deferred[None] = Deferred()
        """Fires when the server has greeted; fails with why it has not."""

        self.over: Deferred[FTPLiteError] = Deferred()
        """Fires when no command can be sent any more, with the reason."""

        self.gone: Deferred[None] = Deferred()
        """Fires when the connection is closed."""

        self._reactor = reactor
        self._limits = limits
        self._tuning = tuning
        self._ends: tuple[tcp.SocketAddress, tcp.SocketAddress] | None = None
        self._handshake: Deferred[ssl.SSLSocket] | None = None
        self._askers: dict[Exchange, Asker] = {}
        self._deadline: IDelayedCall | None = None

    def ask(
        self,
        asker: Asker,
        verb: str,
        arguments: tuple[str, ...],
        more: bytes = b"",
        options: Options | None = None,
        *,
        passive: bool = False,
    ) -> Exchange:
        """Send a command and the lines behind it, which ask for ``options``.  Raises `NameNotAllowed`."""
        exchange, line = self.session.ask(verb, *arguments, options=options, passive=passive)
        self._askers[exchange] = asker
        self.say(line + more)
        return exchange

    def say(self, lines: bytes) -> None:
        """Send lines, now and not in the reactor's next turn: the server waits for them."""
        self.transport.write(lines)
        if not self.over.called:
            tcp.flush(self.transport)

    def ends(self) -> tuple[tcp.SocketAddress, tcp.SocketAddress]:
        """Our own and the server's address."""
        if self._ends is None:
            raise ConnectionLost("This is no TCP connection.")
        return self._ends

    async def turn_to_tls(self, side: TLSSide) -> ssl.SSLSocket:
        """Go on inside TLS, after ``starttls`` or before anything else; the socket, for looking at.

        Raises `CertificateRefused`, `ConnectionLost` and `ConnectionTimedOut`; the connection is then over.
        """
        IPushProducer(self.transport).pauseProducing()
        await deferLater(self._reactor, 0)  # the transport must have come back from reading
        if self.session.lost is not None:
            raise self.session.lost
        sock = take_socket(self.transport)
        self._handshake = handshake(self._reactor, sock, side)
        self._handshake.addTimeout(self._limits.connect_timeout, self._reactor, _too_late)
        try:
            connection = SecureConnection(self._reactor, await self._handshake, self._limits.control_read)
        except Exception as error:
            self._handshake = None
            self.gone.callback(None)
            self.leave(error if isinstance(error, FTPLiteError) else ConnectionLost())
            if isinstance(error, ConnectionLost) and not error.detail:
                raise ConnectionLost("It broke off the handshake: it may speak no TLS there.") from error
            if isinstance(error, CancelledError) and self.session.lost is not None:
                raise self.session.lost from error
            raise
        self._handshake = None
        connection.attach(self)
        return connection.socket

    def leave(self, error: FTPLiteError) -> None:
        """End the connection; commands without a status fail with ``error``."""
        if self.over.called:
            return
        left = self.session.end(error)
        self.over.callback(error)
        if not self.greeted.called:
            self.greeted.errback(error)
        if self._handshake is not None:
            self._handshake.cancel()
        elif not self.gone.called:
            abort = self.transport.abortConnection
            self._deadline = self._reactor.callLater(self._limits.close_timeout, abort)
            self.transport.loseConnection()
        for exchange in left:
            self._askers.pop(exchange).lost(error)

    def drop(self, error: FTPLiteError) -> None:
        """The same at once, for a connection on which nothing comes through any more."""
        self.leave(error)
        if not self.gone.called:
            self.transport.abortConnection()

    def connectionMade(self) -> None:
        tcp.tune_control(self.transport, self._limits.control_read, self._tuning)
        with suppress(OSError):  # gone already, as will be told
            self._ends = tcp.ends_of(self.transport)

    def lineReceived(self, line: bytes) -> None:
        if self.over.called:
            return
        try:
            for exchange, event in self.session.receive(line):
                asker = self._askers.pop(exchange) if isinstance(event, Over) else self._askers[exchange]
                if exchange.verb == "starttls" and event == Over(None):
                    self._end_clear_text(asker)
                asker.heard(event)
        except ProtocolViolation as error:
            self.leave(error)
        if self.session.lost is not None:
            self.leave(self.session.lost)
        elif self.session.greeted and not self.greeted.called:
            self.greeted.callback(None)

    def _end_clear_text(self, asker: Asker) -> None:
        """Nothing that comes in the clear counts any more.

        Raises `ProtocolViolation` where something has come already: somebody put it there.
        """
        IPushProducer(self.transport).pauseProducing()
        behind: bytes = self.clearLineBuffer()  # type: ignore[no-untyped-call]
        if behind:
            error = ProtocolViolation("Something came in the clear where TLS was to begin.")
            asker.lost(error)
            raise error

    def lineLengthExceeded(self, line: bytes) -> None:
        self.leave(ProtocolViolation("It sent a line that is longer than the protocol has them."))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self.gone.callback(None)
        told = getattr(reason.value, "args", ()) if isinstance(self.transport, SecureConnection) else ()
        self.leave(ConnectionLost(next(filter(None, told), "The server ended the connection.")))


def _too_late(result: object, timeout: float) -> ssl.SSLSocket:
    raise ConnectionTimedOut("The server did not finish the handshake.")
