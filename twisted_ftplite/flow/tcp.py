"""Socket options and TCP_INFO: the one place that knows them."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
import sys
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IListeningPort, ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection, Port
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure

from ..errors import ConnectionLost, LimitReached

Socket = socket.socket

SocketAddress = tuple[Any, ...]
"""What ``getsockname`` says: host and port, and for IPv6 also flow label and scope."""

_IP_BIND_ADDRESS_NO_PORT = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_BACKLOG = 8
"""Data connections that may wait to be told from the expected one."""

_LISTEN_BACKLOG = 4096
"""Control connections that may wait to be accepted; the kernel's somaxconn cuts it."""

_TCP_CLOSE = 7
"""tcp_info(7): ``tcpi_state``, the first byte, of a connection that is no more."""

_BYTES_ACKED_END = 128
"""tcp_info(7): ``tcpi_bytes_acked`` is the 64 bits that end here."""


class OwnConnection:
    """A transport that isn't Twisted's own and stands directly on a socket: TCP's, or of the file system."""

    socket: Socket

    def getTcpNoDelay(self) -> bool:
        return not _is_tcp(self.socket) or bool(
            self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        )

    def setTcpNoDelay(self, enabled: bool) -> None:
        if _is_tcp(self.socket):
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, enabled)

    def getTcpKeepAlive(self) -> bool:
        return bool(self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, enabled)


def new_socket(like: SocketAddress) -> socket.socket:
    """A TCP socket of the address's family that never blocks; the caller closes it."""
    made = socket.socket(socket.AF_INET6 if len(like) == 4 else socket.AF_INET, socket.SOCK_STREAM)
    made.setblocking(False)
    return made


def bind_any_port(sock: socket.socket, local: SocketAddress) -> None:
    """Bind to the address alone and leave the port to connect(2), which can share one between peers.

    Without it, the ports in TIME_WAIT run out after some 28,000 transfers.
    """
    if sys.platform == "linux":
        sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind((local[0], 0, *local[2:]))


def begin_connect(sock: socket.socket, local: SocketAddress, peer: SocketAddress) -> int | None:
    """Connect to ``peer`` from ``local``'s address and any port; answers as `outcome_of_connect` does."""
    try:
        bind_any_port(sock, local)
        problem = sock.connect_ex(peer)
    except OSError as error:
        problem = error.errno or errno.EIO
    return outcome_of_connect(sock) if problem in (0, errno.EINPROGRESS) else problem


def outcome_of_connect(sock: socket.socket) -> int | None:
    """0 when connected, None while that is not known, else the ``errno`` of why not.

    On loopback it is known at once.  A socket that connected to itself, as happens with a closed port
    of one's own host, was refused.
    """
    problem = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if problem:
        return problem
    try:
        peer = sock.getpeername()
    except OSError:
        return None
    return errno.ECONNREFUSED if peer == sock.getsockname() else 0


def close_with_reset(sock: socket.socket) -> None:
    """Close so that the peer sees an error and not the end of the stream."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    sock.close()


def listen_on(local: SocketAddress, port: int) -> socket.socket:
    """A listening socket on ``local``'s address; ``port`` 0 takes any.  Raises ``OSError``."""
    made = new_socket(local)
    try:
        if port:  # one of a given range, which may lie in TIME_WAIT
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((local[0], port, *local[2:]))
        made.listen(_BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def tune_data(sock: socket.socket) -> None:
    """Options of a connected data channel; one over a socket of the file system needs none."""
    if _is_tcp(sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def tune_records(sock: socket.socket) -> None:
    """The same inside TLS: records, sent one by one, may share segments; the end pushes the last one out."""
    if _is_tcp(sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)


def deepen_backlog(port: IListeningPort) -> None:
    """Let many connections wait to be accepted: Twisted's 50 overflow, and each lost one waits 1 s."""
    if isinstance(port, Port):
        port.socket.listen(_LISTEN_BACKLOG)


def tune_control(transport: ITCPTransport, read_size: int) -> None:
    """Options of a control channel; ``read_size`` is how many bytes are taken from it at a time."""
    transport.setTcpNoDelay(True)
    inner = transport.transport if isinstance(transport, ProtocolWrapper) else transport
    if isinstance(inner, Connection):
        inner.bufferSize = read_size


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
    flush(transport)
    unsent = len(transport.dataBuffer) > transport.offset or bool(transport._tempDataBuffer)
    return bool(transport.connected) and not transport.disconnecting and not unsent


def flush(transport: ITCPTransport) -> None:
    """Send what was written now, and not in the reactor's next turn, which an answer need not wait for."""
    if isinstance(transport, Connection) and transport.connected and not transport.disconnecting:
        transport.doWrite()  # what goes wrong is told again by the reactor, which still watches it


def is_gone(transport: ITCPTransport) -> bool:
    """Whether a connection that nobody reads from has been reset, or has timed out, meanwhile."""
    sock = _socket_of(transport)
    if sys.platform != "linux" or sock is None or sock.fileno() < 0:
        return False
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSE
    except OSError:
        return False


def ends_of(transport: ITCPTransport) -> tuple[SocketAddress, SocketAddress] | None:
    """Our and the peer's address with their scope; None for what is no TCP connection of our own."""
    sock = _socket_of(transport)
    if sock is None or not _is_tcp(sock):
        return None
    return sock.getsockname(), sock.getpeername()


def _is_tcp(sock: socket.socket) -> bool:
    return sock.family in (socket.AF_INET, socket.AF_INET6)


def _socket_of(transport: ITCPTransport) -> socket.socket | None:
    return transport.socket if isinstance(transport, Connection | OwnConnection) else None


def bytes_acknowledged(sock: socket.socket) -> int | None:
    """How many bytes the peer's kernel has acknowledged; None where the system does not tell."""
    if sys.platform != "linux":
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED_END)
    except OSError:
        return None
    if len(info) < _BYTES_ACKED_END:
        return None
    return int(struct.unpack_from("=Q", info, _BYTES_ACKED_END - 8)[0])


def same_host(one: SocketAddress, other: SocketAddress) -> bool:
    """Whether two socket addresses name one host, IPv4 spelled inside IPv6 or not."""
    return one[0] == other[0] or plain_host(one[0]) == plain_host(other[0])


def is_own_address(address: SocketAddress) -> bool:
    """Whether the address is one of this machine's: all of 127.0.0.0/8 are, and those of its interfaces."""
    with new_socket(address) as probe:
        try:
            probe.bind((address[0], 0, *address[2:]))
        except OSError:
            return False
    return True


def plain_host(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address alone: without scope, and as IPv4 where it is that inside IPv6.

    Raises ``ValueError`` for what is no address.
    """
    address = ipaddress.ip_address(host.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address
