"""What the kernel tells of one TCP connection: ``TCP_INFO``, read."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

_LAYOUT = struct.Struct("=B7x24I4Q6I4Q2I2Q4I")
"""``struct tcp_info`` of linux/tcp.h, as far as ``tcpi_snd_wnd``; what an older kernel lacks is 0."""

SIZE: Final = _LAYOUT.size


class TCPInfo(NamedTuple):
    """What the kernel tells of one connection: times in microseconds, rates in bytes a second."""

    state: int
    rtt: int
    rttvar: int
    min_rtt: int
    snd_mss: int
    unacked: int
    """Segments that are under way."""

    snd_cwnd: int
    """Segments that may be."""

    total_retrans: int
    """Segments sent again."""

    delivery_rate: int
    busy_time: int
    """With something to send; the two below are part of it."""

    rwnd_limited: int
    sndbuf_limited: int
    bytes_acked: int
    bytes_received: int
    data_segs_in: int
    data_segs_out: int
    bytes_sent: int
    bytes_retrans: int
    lost: int
    """Segments sent again that had not come the first time."""

    out_of_order: int
    """Segments that came before their turn."""

    snd_wnd: int
    """Bytes that the other side would take now."""


def parse(info: bytes) -> TCPInfo:
    """Read what ``TCP_INFO`` gives, of any kernel's length."""
    _state, *rest = _LAYOUT.unpack(info[:SIZE].ljust(SIZE, b"\0"))
    words, wide = rest[:24], rest[24:28]
    min_rtt = rest[31]
    delivery_rate, busy, rwnd, sndbuf = rest[34:38]
    sent, resent = rest[40:42]
    return TCPInfo(
        state=_state,
        rtt=words[15],
        rttvar=words[16],
        min_rtt=min_rtt,
        snd_mss=words[2],
        unacked=words[4],
        snd_cwnd=words[18],
        total_retrans=words[23],
        delivery_rate=delivery_rate,
        busy_time=busy,
        rwnd_limited=rwnd,
        sndbuf_limited=sndbuf,
        bytes_acked=wide[2],
        bytes_received=wide[3],
        data_segs_in=rest[32],
        data_segs_out=rest[33],
        bytes_sent=sent,
        bytes_retrans=resent,
        lost=max(0, words[23] - rest[42]),
        out_of_order=rest[44],
        snd_wnd=rest[45],
    )
