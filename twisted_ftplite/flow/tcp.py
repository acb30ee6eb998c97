"""Socket options and TCP_INFO: the one place that knows them."""

from __future__ import annotations

import errno
import socket
import struct
import sys
from contextlib import suppress
from typing import Any

from twisted.internet.interfaces import IListeningPort, ITCPTransport
from twisted.internet.tcp import Connection, Port
from twisted.protocols.policies import ProtocolWrapper

from ..errors import ConnectionLost
from .tcp_info import SIZE, TCPInfo, parse
from .tuning import PLAIN, Tuning

Socket = socket.socket

SocketAddress = tuple[Any, ...]
"""What ``getsockname`` says: host and port, and for IPv6 also flow label and scope."""

_IP_BIND_ADDRESS_NO_PORT = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_BACKLOG = 64
"""Data connections that may wait to be told from the expected one."""

_LISTEN_BACKLOG = 4096
"""Control connections that may wait to be accepted; the kernel's somaxconn cuts it."""

_TCP_CLOSE = 7
"""tcp_info(7): ``tcpi_state``, the first byte, of a connection that is no more."""

_DOUBLING = 2 if sys.platform == "linux" else 1
"""socket(7): Linux gives twice the buffer that is asked for, and tells so."""

_MOST_MILLISECONDS = 2**31 - 1
_MOST_SECONDS = 32767
"""tcp(7): of a user timeout; between keepalives."""

_SO_MAX_PACING_RATE = getattr(socket, "SO_MAX_PACING_RATE", 47)
_UNPACED = 2 ** (8 * struct.calcsize("@L")) - 1
_LEAST_PACED = 2_000_000
_HEADROOM = 1.1  # of the pace over the rate: headers count too, and the limit is kept by what is written
Buffer = tuple[int, int]
"""Of a receiver: bytes, and whether the kernel may change that."""

_SO_BUF_LOCK = 72
_SLOW = 100_000  # bytes a second below which the buffer is made small too

_WINDOW = 0.5
_NARROWEST = 16 * 1024
_WIDEST = 2**30 - 1


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


def begin_connect(
    sock: socket.socket, local: SocketAddress, peer: SocketAddress, tuning: Tuning = PLAIN
) -> int | None:
    """Connect to ``peer`` from ``local``'s address and any port; answers as `outcome_of_connect` does."""
    try:
        prepare_data(sock, tuning)
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


def listen_on(local: SocketAddress, port: int, tuning: Tuning = PLAIN) -> socket.socket:
    """A socket that listens for a data channel on ``local``'s address; ``port`` 0 takes any.

    What it accepts inherits its options.  Raises ``OSError``.
    """
    made = new_socket(local)
    try:
        prepare_data(made, tuning)
        if port:  # one of a given range, which may lie in TIME_WAIT
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((local[0], port, *local[2:]))
        made.listen(_BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def prepare_data(sock: socket.socket, tuning: Tuning) -> None:
    """Options of what is to be a data channel, before it connects or listens: windows are scaled then.

    On one that is connected already the rest still counts.  Raises ``OSError``.
    """
    if not _is_tcp(sock):
        return
    _set(sock, socket.SOL_SOCKET, "SO_SNDBUF", tuning.send_buffer)
    _set(sock, socket.SOL_SOCKET, "SO_RCVBUF", tuning.receive_buffer)
    _set(sock, socket.IPPROTO_TCP, "TCP_MAXSEG", tuning.mss)
    _set(sock, socket.IPPROTO_TCP, "TCP_NOTSENT_LOWAT", tuning.unsent)
    if tuning.congestion is not None:
        _set(sock, socket.IPPROTO_TCP, "TCP_CONGESTION", tuning.congestion.encode())
    _mark(sock, tuning.dscp_data)


def convert_to_data(sock: socket.socket, tuning: Tuning) -> None:
    """The same of what was a control channel.  Raises `ConnectionLost`, and the socket is closed."""
    if not _is_tcp(sock):
        return
    try:
        _set(sock, socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", 0)
        if tuning.dscp_data is None and tuning.dscp_control is not None:
            _mark(sock, 0)
        prepare_data(sock, tuning)
    except OSError as error:
        sock.close()
        raise ConnectionLost from error


def tune_data(sock: socket.socket) -> None:
    """Options of a connected data channel; one over a socket of the file system needs none."""
    # To set it again would push out what is to go with the next bytes.
    if _is_tcp(sock) and not sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def tune_records(sock: socket.socket) -> None:
    """The same inside TLS: records, sent one by one, may share segments; the end pushes the last one out."""
    if _is_tcp(sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)


def tune_port(port: IListeningPort, tuning: Tuning, *, deepen: bool) -> None:
    """Options of a port for control channels, which may turn into data channels: those that need be early.

    ``deepen`` lets many connections wait to be accepted: Twisted's 50 overflow, and each lost one waits 1 s.
    """
    if not isinstance(port, Port):
        return
    if _is_tcp(port.socket):
        _set(port.socket, socket.SOL_SOCKET, "SO_RCVBUF", tuning.receive_buffer)
        _set(port.socket, socket.IPPROTO_TCP, "TCP_MAXSEG", tuning.mss)
        _mark(port.socket, tuning.dscp_control)
    if deepen:
        port.socket.listen(_LISTEN_BACKLOG)


def tune_control(transport: ITCPTransport, read_size: int, tuning: Tuning = PLAIN) -> None:
    """Options of a control channel; ``read_size`` is how many bytes are taken from it at a time."""
    transport.setTcpNoDelay(True)
    inner = transport.transport if isinstance(transport, ProtocolWrapper) else transport
    if isinstance(inner, Connection):
        inner.bufferSize = read_size
    sock = _socket_of(inner)
    if sock is None or not _is_tcp(sock):
        return
    with suppress(OSError):  # reset already, as will be told
        _mark(sock, tuning.dscp_control)
        if tuning.user_timeout is not None:
            _keep_alive(sock, tuning.user_timeout)


def _keep_alive(sock: socket.socket, user_timeout: float) -> None:
    """Ask a silent peer's kernel from half of the time on, and give it up at its end.

    For no data channel: Linux counts on while a reader's window is smaller than the segment that waits for
    it, though that moves, piece by piece.
    """
    _set(sock, socket.SOL_SOCKET, "SO_KEEPALIVE", 1)
    _set(sock, socket.IPPROTO_TCP, "TCP_KEEPIDLE", _whole_seconds(user_timeout / 2))
    _set(sock, socket.IPPROTO_TCP, "TCP_KEEPINTVL", _whole_seconds(user_timeout / 8))
    milliseconds = min(max(int(user_timeout * 1000), 1), _MOST_MILLISECONDS)
    _set(sock, socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", milliseconds)


def _mark(sock: socket.socket, dscp: int | None) -> None:
    """Have its packets carry a class of service, over IPv4 (inside IPv6 too) and over IPv6."""
    if dscp is not None:
        _set(sock, socket.IPPROTO_IP, "IP_TOS", dscp << 2)
        if sock.family == socket.AF_INET6:
            _set(sock, socket.IPPROTO_IPV6, "IPV6_TCLASS", dscp << 2)


def _set(sock: socket.socket, level: int, name: str, value: int | bytes | None) -> None:
    """Set an option, unless the value is None or the system has no such option."""
    option = getattr(socket, name, None)
    if option is not None and value is not None:
        sock.setsockopt(level, option, value)


def _whole_seconds(seconds: float) -> int:
    return min(max(round(seconds), 1), _MOST_SECONDS)


def try_congestion(name: str) -> None:
    """Choose it on a socket nobody uses.  Raises ``OSError``: of a name that the kernel lacks, ENOENT."""
    option = getattr(socket, "TCP_CONGESTION", None)
    if option is None:
        raise OSError(errno.ENOPROTOOPT, "This system has one way to control congestion.")
    with socket.socket() as probe:
        probe.setsockopt(socket.IPPROTO_TCP, option, name.encode())


def granted_buffers(tuning: Tuning) -> tuple[int, int]:
    """What the system would give of the send and receive buffers that are asked for."""
    with socket.socket() as probe:
        _set(probe, socket.SOL_SOCKET, "SO_SNDBUF", tuning.send_buffer)
        _set(probe, socket.SOL_SOCKET, "SO_RCVBUF", tuning.receive_buffer)
        found = [probe.getsockopt(socket.SOL_SOCKET, each) for each in (socket.SO_SNDBUF, socket.SO_RCVBUF)]
    send, receive = (each // _DOUBLING for each in found)
    return send, receive


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


def _socket_of(transport: object) -> socket.socket | None:
    return transport.socket if isinstance(transport, Connection | OwnConnection) else None


def bytes_acknowledged(sock: socket.socket) -> int | None:
    """How many bytes the peer's kernel has acknowledged; None where the system does not tell."""
    told = info(sock)
    return None if told is None else told.bytes_acked


def pace(sock: socket.socket, rate: float | None) -> None:
    """Spread what is sent over the time it may take at this rate, where that is high; None: do not."""
    if sys.platform == "linux" and _is_tcp(sock):
        whole = _UNPACED if rate is None or rate < _LEAST_PACED else min(int(rate * _HEADROOM), _UNPACED)
        sock.setsockopt(socket.SOL_SOCKET, _SO_MAX_PACING_RATE, struct.pack("@L", whole))


def narrow(sock: socket.socket, rate: float | None, wide: Buffer | None) -> Buffer | None:
    """Announce no larger window than is taken at this rate in `_WINDOW` seconds; None: what the kernel likes.

    A window reopens by a part of its size at a time: a large one, slowly emptied, would look like a stall.
    ``wide`` is what this returned the last time: the buffer as it was before.
    """
    if sys.platform != "linux" or not _is_tcp(sock):
        return None
    window = _WIDEST if rate is None else min(max(int(rate * _WINDOW), _NARROWEST), _WIDEST)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP, window)
    with suppress(OSError):  # SO_BUF_LOCK is Linux 5.15's
        if rate is not None and rate < _SLOW:
            if wide is None:
                size = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
                wide = size // 2, sock.getsockopt(socket.SOL_SOCKET, _SO_BUF_LOCK)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        elif wide is not None:
            (size, lock), wide = wide, None
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
            sock.setsockopt(socket.SOL_SOCKET, _SO_BUF_LOCK, lock)
    return wide


def info(sock: socket.socket) -> TCPInfo | None:
    """What the kernel tells of a connection; None where there is nothing to tell, or it does not."""
    if sys.platform != "linux" or not _is_tcp(sock):
        return None
    try:
        return parse(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, SIZE))
    except OSError:
        return None
