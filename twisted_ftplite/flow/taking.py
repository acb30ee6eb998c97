"""Taking the socket out of a transport of Twisted's."""

from __future__ import annotations

import socket

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure

from ..errors import ConnectionLost, LimitReached
from . import tcp


def take_socket(transport: ITCPTransport) -> socket.socket:
    """Take the socket out of a transport of Twisted's.

    The caller owns it, and the protocol hears nothing more.  To be called in a later turn than the one in
    which the transport read: until then the reactor still has to do with it.  Raises `ConnectionLost`, and
    the transport is aborted, where it has bytes unsent, is closing, or is no TCP connection of our own;
    `LimitReached` and the same where no descriptor is left.
    """
    inner = transport.transport if isinstance(transport, ProtocolWrapper) else transport
    if not isinstance(inner, Connection) or not _is_flushed(inner):
        transport.abortConnection()
        raise ConnectionLost
    taken = inner.socket
    try:
        left = socket.socket(taken.family, socket.SOCK_STREAM)  # for Twisted to shut down and close
    except OSError as error:
        transport.abortConnection()
        raise LimitReached("No descriptors left.") from error
    if isinstance(transport, ProtocolWrapper):
        transport.wrappedProtocol = Protocol()
    else:
        inner.protocol = Protocol()
    inner.unregisterProducer()
    inner.stopReading()
    inner.stopWriting()
    inner.socket = left
    inner.fileno = inner.socket.fileno
    inner.connectionLost(Failure(ConnectionDone()))
    return taken


def _is_flushed(transport: Connection) -> bool:
    """Whether it is open, and all that was written is sent, now."""
    tcp.flush(transport)
    unsent = len(transport.dataBuffer) > transport.offset or bool(transport._tempDataBuffer)
    return bool(transport.connected) and not transport.disconnecting and not unsent
