"""TLS in one place: what the rest of the house needs of it, and `SecureConnection` for control channels."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from twisted.internet import error
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IProducer,
    IProtocol,
    IPushProducer,
    IReadWriteDescriptor,
    ITCPTransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import ConnectionLost, UnexpectedMessage
from . import tcp
from .handshake import TLSSide, handshake, say_end, words
from .reactor import Reactor
from .secure_channel import SecureDataChannel

__all__ = ["SecureConnection", "SecureDataChannel", "TLSSide", "handshake"]

log = Logger()

Address = IPv4Address | IPv6Address

_PIECE = 16 * 1024
"""Bytes given to OpenSSL at a time, a record: one that it could not send must be given again as it was."""

_FULL = 64 * 1024
"""Unsent bytes above which the producer is to pause."""


@implementer(IReadWriteDescriptor, ITCPTransport, IConsumer, IPushProducer)
class SecureConnection(tcp.OwnConnection):
    """A protocol's transport over a socket whose handshake is done, which it owns.

    TLS has no half: the peer's close ends the connection.  After our own what comes is thrown away.
    """

    def __init__(
        self, reactor: Reactor, sock: ssl.SSLSocket, read_size: int, peer: Address | None = None
    ) -> None:
        """``peer`` is who it is, where a proxy has said so.

        Raises `ConnectionLost`, and closes the socket, where it was reset meanwhile.
        """
        self.socket: ssl.SSLSocket = sock
        self._reactor = reactor
        self._read_size = read_size
        try:
            self._host: Address = _address(sock.getsockname())
            self._peer: Address = peer or _address(sock.getpeername())
        except OSError as problem:
            sock.close()
            raise ConnectionLost from problem
        self._protocol: IProtocol | None = None
        self._producer: IPushProducer | None = None
        self._unsent = bytearray()
        self._retried = 0
        """Length of the piece that OpenSSL must be given again."""

        self._soon: IDelayedCall | None = None
        """Tells of what the reactor, which asks the kernel, does not know."""

        self._over: Failure | None = None
        """Why the connection ends, when only telling so is left to do."""

        self._reading = self._losing = self._producer_waits = False
        self._ending = self._ended = False
        """Whether our close is to be sent behind the last byte; whether it has been."""

        self._send_waits = self._take_waits = False
        """Whether one waits for the other direction, of which a change of keys needs both."""

    def attach(self, protocol: IProtocol) -> None:
        """Become the protocol's transport: it hears what comes, and once why nothing more does."""
        self._protocol = protocol
        protocol.transport = self  # type: ignore[attr-defined]
        self.resumeProducing()

    def detach(self) -> ssl.SSLSocket:
        """Give the socket away; the protocol hears nothing more.

        Raises `ConnectionLost`, and the connection is aborted, where bytes are unsent.
        """
        if self._unsent or self._over is not None:
            self.abortConnection()
            raise ConnectionLost
        self._stop()
        self._over = Failure(error.ConnectionDone())
        self._protocol = self._producer = None
        return self.socket

    @property
    def disconnecting(self) -> bool:
        """Whether it has been told to close: `LineReceiver` asks its transport."""
        return self._losing or self._over is not None

    # As a transport: what is written.

    def write(self, data: bytes) -> None:
        """Send what the kernel takes at once, and the rest when it takes more."""
        if self._over is not None or self._losing or self._ending:
            return
        waits = bool(self._unsent)
        self._unsent += data
        if not waits:
            self._flush()
        if self._producer is not None and not self._producer_waits and len(self._unsent) > _FULL:
            self._producer_waits = True
            self._producer.pauseProducing()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """The same with many."""
        self.write(b"".join(data))

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """Pause this push producer while too much is unsent."""
        if not streaming:
            raise ValueError("A control channel does not pull.")
        if self._over is not None:
            producer.stopProducing()
        else:
            self._producer = IPushProducer(producer)

    def unregisterProducer(self) -> None:
        """Nobody is to pause any more."""
        self._producer = None
        self._producer_waits = False

    def loseWriteConnection(self) -> None:
        """Close TLS, and then TCP's direction, behind what is unsent; what comes is thrown away from now on.

        The connection ends when the peer closes its own.
        """
        if self._over is None and not self._ending:
            self._ending = True
            self.resumeProducing()
            self._flush()

    def loseConnection(self) -> None:
        """Close behind what is unsent."""
        if self._over is None and not self._losing:
            self._losing = self._ending = True
            self._reading = False
            self._reactor.removeReader(self)
            self._flush()

    def abortConnection(self) -> None:
        """Reset the connection."""
        if self._over is None:
            self._end_soon(error.ConnectionAborted())

    def getPeer(self) -> Address:
        return self._peer

    def getHost(self) -> Address:
        return self._host

    # As a producer: what comes.

    def pauseProducing(self) -> None:
        """Deliver nothing; the peer is slowed by TCP once the kernel's buffers are full."""
        self._reading = False
        if not self._send_waits:
            self._reactor.removeReader(self)

    def resumeProducing(self) -> None:
        """Go on delivering."""
        if self._over is None and not self._losing:
            self._reading = True
            self._reactor.addReader(self)
            self._tell_soon()

    def stopProducing(self) -> None:
        """The same as `loseConnection`."""
        self.loseConnection()

    # What the reactor calls.

    def fileno(self) -> int:
        return self.socket.fileno()

    def logPrefix(self) -> str:
        return "TLS connection"

    def doRead(self) -> None:
        if self._send_waits:
            self._send_waits = False
            if not self._reading:
                self._reactor.removeReader(self)
            self._flush()
        if self._reading and self._over is None:
            self._receive()
            self._tell_soon()

    def doWrite(self) -> None:
        if self._take_waits:
            self._take_waits = False
            if self._reading:
                self._reactor.addReader(self)
                self.doRead()
        self._flush()
        if not self._unsent and self._producer is not None and self._producer_waits:
            self._producer_waits = False
            self._producer.resumeProducing()

    def connectionLost(self, reason: Failure) -> None:
        self._end_soon(error.ConnectionLost())

    def _receive(self) -> None:
        try:
            if self._ended:  # OpenSSL would not go on behind data that it has to throw away
                data = socket.socket.recv(self.socket, _PIECE)
            else:
                data = self.socket.recv(self._read_size)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except ssl.SSLWantWriteError:
            self._take_waits = True
            self._reactor.removeReader(self)
            self._reactor.addWriter(self)
            return
        except ssl.SSLZeroReturnError:
            data = b""
        except OSError as problem:
            self._end_soon(error.ConnectionLost(words(problem)))
            return
        if not data:
            if not self._ended:
                with suppress(OSError, UnexpectedMessage):  # nobody need hear it
                    say_end(self.socket)
            self._end_soon(error.ConnectionDone())
        elif not self._ending and self._protocol is not None:
            self._deliver(self._protocol, data)

    def _deliver(self, protocol: IProtocol, data: bytes) -> None:
        try:
            protocol.dataReceived(data)
        except Exception:  # noqa: BLE001 - as the reactor does: logged, and the connection is over
            log.failure("A TLS connection's protocol failed")
            self.abortConnection()

    def _flush(self) -> None:
        """Send what the kernel takes, and behind the last of it the close if that is wanted."""
        if self._over is not None:
            return
        try:
            while self._unsent:
                self._retried = self._retried or min(len(self._unsent), _PIECE)
                sent = self.socket.send(bytes(self._unsent[: self._retried]))
                del self._unsent[:sent]
                self._retried = 0
            if self._ending and not self._ended:
                self._ended = self._say_end()
        except ssl.SSLWantWriteError:
            self._reactor.addWriter(self)
            return
        except ssl.SSLWantReadError:
            self._send_waits = True
            self._reactor.removeWriter(self)
            self._reactor.addReader(self)
            return
        except OSError as problem:
            self._end_soon(error.ConnectionLost(words(problem)))
            return
        if self._ending and not self._ended:
            self._reactor.addWriter(self)
            return
        self._reactor.removeWriter(self)
        if self._losing:
            self._end_soon(error.ConnectionDone())

    def _say_end(self) -> bool:
        try:
            return say_end(self.socket)
        except UnexpectedMessage:  # it did not know yet
            return True

    def _tell_soon(self) -> None:
        """Go on in the next turn with what OpenSSL holds: the reactor will not tell of it."""
        if self._soon is None and self._reading and self._over is None and self.socket.pending():
            self._soon = self._reactor.callLater(0, self._tell_now)

    def _tell_now(self) -> None:
        self._soon = None
        self.doRead()

    # The end.

    def _stop(self) -> None:
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None

    def _end_soon(self, reason: Exception) -> None:
        """Never at once: whoever writes or closes does not expect to be told of the end meanwhile."""
        if self._over is None:
            self._over = Failure(reason)
            self._stop()
            self._reactor.callLater(0, self._end, self._over)

    def _end(self, reason: Failure) -> None:
        if reason.check(error.ConnectionAborted):
            tcp.close_with_reset(self.socket)
        else:
            self.socket.close()
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connectionLost(reason)


def _address(end: tcp.SocketAddress | str | bytes) -> Any:
    """As Twisted has it, which for a socket of the file system is not what `ITCPTransport` promises."""
    if isinstance(end, str | bytes):
        return UNIXAddress(end or None)
    if len(end) == 4:
        return IPv6Address("TCP", *end)
    return IPv4Address("TCP", *end)
