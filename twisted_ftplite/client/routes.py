"""Whether an address lies on a network that this host is on: then a server there can likely connect back.

Read from the kernel's routes; what they don't tell is taken for far away.
"""

from __future__ import annotations

import ipaddress
import os
import struct
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from ..flow.addresses import plain_host, same_host
from ..flow.tcp import SocketAddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

FOLDERS: Final = ("/proc/thread-self/net", "/proc/self/net")
"""Where routes are told, the first that is there: a thread may live in a network of its own."""

_UP, _GATEWAY, _REJECT = 0x1, 0x2, 0x200
"""Flags of a route, linux/route.h."""

_SMALLEST_PREFIX: Final = {4: 8, 6: 32}
"""A route to more than that is one to anywhere, such as a tunnel's, and says nothing of what is near."""


class Route(NamedTuple):
    """One route, in the order of preference: the longest prefix, then the lowest metric."""

    prefix: int
    preference: int
    """The metric, negative."""

    direct: bool
    """Whether it leads there without a gateway."""


def is_loopback(address: SocketAddress) -> bool:
    """Whether what goes there never leaves this host."""
    return plain_host(address[0]).is_loopback


def is_near(local: SocketAddress, peer: SocketAddress) -> bool:
    """Whether the peer of a connection is this host, or on a network that this host is directly on."""
    if is_loopback(peer) or same_host(local, peer):
        return True
    address = plain_host(peer[0])
    name = "route" if address.version == 4 else "ipv6_route"
    for folder in FOLDERS:
        try:
            with open(os.path.join(folder, name), encoding="ascii") as file:
                return is_direct(address, file)
        except (OSError, ValueError):
            continue
    return False


def is_direct(address: Address, lines: Iterable[str]) -> bool:
    """Whether the best of the routes leads to the address without a gateway.

    The lines are those of ``/proc/net/route`` or ``/proc/net/ipv6_route``, as the address has it.
    Raises ``ValueError`` for others.
    """
    routes = _routes_4(address, lines) if address.version == 4 else _routes_6(address, lines)
    best = max(routes, default=None)
    return best is not None and best.direct and best.prefix >= _SMALLEST_PREFIX[address.version]


def _routes_4(address: Address, lines: Iterable[str]) -> Iterator[Route]:
    """``Iface Destination Gateway Flags RefCnt Use Metric Mask …`` below a heading; addresses as they lie
    in memory.
    """
    number = int(address)
    for line in lines:
        words = line.split()
        if len(words) < 8 or words[0] == "Iface":
            continue
        destination, mask = _in_memory(words[1]), _in_memory(words[7])
        if number & mask == destination:
            yield _route(int(words[3], 16), mask.bit_count(), int(words[6]))


def _routes_6(address: Address, lines: Iterable[str]) -> Iterator[Route]:
    """``destination prefix source prefix gateway metric refcnt use flags iface``, all but the last in
    hexadecimal.
    """
    number = int(address)
    for line in lines:
        words = line.split()
        if len(words) < 10:
            continue
        destination, prefix = int(words[0], 16), int(words[1], 16)
        if number >> (128 - prefix) == destination >> (128 - prefix):
            yield _route(int(words[8], 16), prefix, int(words[5], 16))


def _route(flags: int, prefix: int, metric: int) -> Route:
    usable = flags & (_UP | _REJECT) == _UP
    return Route(prefix if usable else -1, -metric, usable and not flags & _GATEWAY)


def _in_memory(digits: str) -> int:
    return int.from_bytes(struct.pack("=I", int(digits, 16)), "big")
