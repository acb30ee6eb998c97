"""What socket addresses say of hosts."""

from __future__ import annotations

import ipaddress

from .tcp import SocketAddress, new_socket


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
