"""Hosts as they are counted and refused."""

from __future__ import annotations

import ipaddress

from twisted.internet.interfaces import IAddress

from ..flow.addresses import plain_host


def countable(address: IAddress | None) -> str | None:
    """Whom a session counts for: an IPv4 host, or the /64 of an IPv6 one, who has all of it to itself.

    None for what is no host: a socket of the file system.
    """
    host = getattr(address, "host", None)
    if host is None:
        return None
    plain = plain_host(host)
    if isinstance(plain, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(plain), 64), strict=False))
    return str(plain)


def accountable(address: IAddress) -> str | None:
    """The same of those that failed logins count against: None for this machine's own users too."""
    host = getattr(address, "host", None)
    return None if host is None or plain_host(host).is_loopback else countable(address)
