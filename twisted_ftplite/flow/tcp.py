"""Socket options and TCP_INFO: the one place that knows them."""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
from typing import Any

from twisted.internet.interfaces import ITCPTransport
from twisted.internet.tcp import Connection

SocketAddress = tuple[Any, ...]
"""What ``getsockname`` says: host and port, and for IPv6 also flow label and scope."""

_IP_BIND_ADDRESS_NO_PORT = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)
_BYTES_ACKED_END = 128
"""tcp_info(7): ``tcpi_bytes_acked`` is the 64 bits that end here."""


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


def tune_data(sock: socket.socket) -> None:
    """Options of a connected data channel."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def tune_control(transport: ITCPTransport, read_size: int) -> None:
    """Options of a control channel; ``read_size`` is how many bytes are taken from it at a time."""
    transport.setTcpNoDelay(True)
    if isinstance(transport, Connection):
        transport.bufferSize = read_size


def ends_of(transport: ITCPTransport) -> tuple[SocketAddress, SocketAddress] | None:
    """Our and the peer's address with their scope; None for what is no TCP connection of our own."""
    if not isinstance(transport, Connection):
        return None
    sock = transport.socket
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    return sock.getsockname(), sock.getpeername()


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
    return plain_host(one[0]) == plain_host(other[0])


def plain_host(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address alone: without scope, and as IPv4 where it is that inside IPv6.

    Raises ``ValueError`` for what is no address.
    """
    address = ipaddress.ip_address(host.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address
