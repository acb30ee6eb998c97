"""How a connection leaves the protocol that took it in: into TLS, or to a transfer as its data channel.

Both happen in a later turn of the reactor than the one that read the last line: a transport cannot be
taken apart by what it calls.
"""

from __future__ import annotations

import socket
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..errors import ConnectionLost, FTPLiteError
from ..flow import tcp
from ..flow.channel import DataChannel
from ..flow.handshake import TLSSide, handshake
from ..flow.reactor import Reactor
from ..flow.secure import SecureConnection
from ..flow.secure_channel import SecureDataChannel
from ..flow.taking import take_socket
from ..flow.tuning import Tuning
from ..limits import Limits
from ..protocol.lines import Success, encode_success
from .certificates import Certificates
from .entry import Visitor
from .passive import settle
from .services import Services

_TLS_HANDSHAKE = b"\x16"


log = Logger()


class Leaver(Protocol):
    """A control channel whose connection becomes something else."""

    transport: Any
    visitor: Visitor

    def clearLineBuffer(self) -> bytes:
        """What has come behind the last line."""

    async def begin_anew(self, connection: SecureConnection, side: TLSSide, *, greets: bool) -> None:
        """Go on inside TLS."""

    def gone(self) -> None:
        """The connection is another's, or over."""


class Handover:
    """What one control channel's connection is about to become."""

    def __init__(self, services: Services, control: Leaver) -> None:
        self._services = services
        self._control = control
        self._running: Deferred[Any] | None = None

    @property
    def runs(self) -> bool:
        """Whether the control channel has no say any more."""
        return self._running is not None

    def cancel(self) -> None:
        """Drop the connection, if it is on its way."""
        if self._running is not None:
            self._running.cancel()

    def to_tls(self, certificates: Certificates, told: bytes, *, clean: bool) -> None:
        """Say a last line in the clear, none where TLS comes first, and begin anew inside TLS.

        Where it is not ``clean``, or more has come in the clear, somebody put it there: the connection is
        dropped without a word.
        """
        self._running = Deferred.fromCoroutine(self._to_tls(certificates.side(), told, clean))
        self._running.addErrback(self._fail, bool(told))

    def to_data(self, joined: Deferred[DataChannel]) -> None:
        """Give the connection to the transfer that waits for it."""

        def over(result: DataChannel | Failure) -> None:
            if isinstance(result, Failure):
                self._control.transport.abortConnection()
                if result.check(FTPLiteError) is None:
                    if result.check(CancelledError) is None:
                        log.failure("A data channel could not be made", result)
                    result = Failure(ConnectionLost())
            settle(joined, result)
            self._control.gone()

        self._running = Deferred.fromCoroutine(self._to_data())
        self._running.addBoth(over)

    async def _to_tls(self, side: TLSSide, told: bytes, clean: bool) -> None:
        control, services = self._control, self._services
        await deferLater(services.reactor, 0)
        if not clean or control.clearLineBuffer():
            raise ConnectionLost("Something came in the clear behind starttls.")
        control.transport.unregisterProducer()
        connection = await into_tls(services.reactor, control.transport, side, told, services.limits)
        self._running = None
        await control.begin_anew(connection, side, greets=not told)

    async def _to_data(self) -> DataChannel:
        await deferLater(self._services.reactor, 0)
        transport = self._control.transport
        transport.unregisterProducer()
        unread = self._control.clearLineBuffer()
        return await into_data(self._services.reactor, transport, unread, self._services.tuning)

    def _fail(self, failure: Failure, asked: bool) -> None:
        if failure.check(FTPLiteError, CancelledError) is None:
            log.failure("A connection could not turn to TLS", failure)
        self._running = None
        why = str(failure.value)
        # Who only finds out whether a port is open is worth no line.
        if asked or why != ConnectionLost.phrase:
            log.info("{peer} did not turn to TLS: {why}", peer=self._control.visitor.peer, why=why)
        self._control.transport.abortConnection()
        self._control.gone()


async def into_tls(
    reactor: Reactor, transport: ITCPTransport, side: TLSSide, told: bytes, limits: Limits
) -> SecureConnection:
    """Say a last line in the clear and make the handshake, within the connect timeout.

    The transport is used up, whatever comes of it.  Raises `ConnectionLost` and `CertificateRefused`.
    """
    transport.write(told)
    tcp.flush(transport)
    sock = take_socket(transport)
    if _first_byte(sock) not in (b"", _TLS_HANDSHAKE):
        sock.close()
        raise ConnectionLost("Something came in the clear where TLS was to begin.")
    handshaking = handshake(reactor, sock, side)
    handshaking.addTimeout(limits.connect_timeout, reactor, lambda *_: _too_late())
    return SecureConnection(reactor, await handshaking, limits.control_read)


async def into_data(
    reactor: Reactor, transport: ITCPTransport | SecureConnection, unread: bytes, tuning: Tuning
) -> DataChannel:
    """Say that the data channel is ready, and make it.  Raises `ConnectionLost`.

    ``unread`` has come behind the lines and belongs to the data.
    """
    transport.write(encode_success(Success.DATA_CHANNEL_READY))
    if isinstance(transport, SecureConnection):
        secure = transport.detach()
        tcp.convert_to_data(secure, tuning)
        return SecureDataChannel(reactor, secure, unread)
    tcp.flush(transport)
    plain = take_socket(transport)
    tcp.convert_to_data(plain, tuning)
    return DataChannel(reactor, plain, unread)


def _first_byte(sock: socket.socket) -> bytes:
    """What has come already, left where it is; empty where nothing has."""
    try:
        return sock.recv(1, socket.MSG_PEEK)
    except OSError:
        return b""


def _too_late() -> None:
    raise ConnectionLost("The handshake took too long.")
