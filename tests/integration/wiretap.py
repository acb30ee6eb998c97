"""What goes over a network's loopback, as its own packets show it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from harness import within

_EVERYTHING = 3
"""ETH_P_ALL."""

_SYN = 0x02
_OUTGOING = 4
"""PACKET_OUTGOING: over loopback every packet is seen twice, and this is the first time."""


class Segment(NamedTuple):
    """One of TCP's that carries bytes, or opens a connection."""

    source: int
    target: int
    """Ports."""

    dscp: int
    opens: bool
    size: int
    """Bytes of the stream."""

    mss: int | None
    """What it announces, where it opens."""


class Wiretap:
    """Hears the packets of a network from when it was made."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def heard(self) -> list[Segment]:
        """All of both directions since the last time."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, address = self._socket.recvfrom(65536)
                if address[2] == _OUTGOING and (segment := _read(packet)) is not None:
                    found.append(segment)
        return found


@contextlib.contextmanager
def tapped(network: Sequence[str]) -> Iterator[Wiretap]:
    """Listen in on a network's loopback, and have this thread make its sockets there."""
    with within(network), socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.bind(("lo", _EVERYTHING))
        sock.setblocking(False)
        yield Wiretap(sock)


def classes(segments: list[Segment], **ports: int) -> list[int]:
    """The classes of service of those between these ports (source, target), each where it changes."""
    found: list[int] = []
    for each in segments:
        if all(getattr(each, name) == port for name, port in ports.items()) and found[-1:] != [each.dscp]:
            found.append(each.dscp)
    return found


def _read(packet: bytes) -> Segment | None:
    if packet[0] >> 4 == 4:
        service, header, protocol = packet[1], (packet[0] & 15) * 4, packet[9]
        packet = packet[: int.from_bytes(packet[2:4])]
    else:
        service, header, protocol = (packet[0] & 15) << 4 | packet[1] >> 4, 40, packet[6]
    if protocol != socket.IPPROTO_TCP:
        return None
    segment = packet[header:]
    body = (segment[12] >> 4) * 4
    opens = bool(segment[13] & _SYN)
    if not opens and len(segment) == body:
        return None
    return Segment(
        source=int.from_bytes(segment[:2]),
        target=int.from_bytes(segment[2:4]),
        dscp=service >> 2,
        opens=opens,
        size=len(segment) - body,
        mss=int.from_bytes(segment[22:24]) if opens and segment[20:22] == b"\x02\x04" else None,
    )
