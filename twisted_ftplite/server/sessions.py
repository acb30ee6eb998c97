"""The sessions of a server: how many there may be, which have gone silent, and how they end."""

from __future__ import annotations

import ipaddress
from collections import Counter

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import ServerFactory

from ..errors import ConnectionTimedOut, FTPLiteError, ServerShuttingDown, TooManyConnections
from ..flow.tcp import ends_of, plain_host, tune_control
from .call import Ends, Services
from .control import ControlChannel

_LOOKS = 16
"""Looks for silent sessions within one idle timeout."""


class Sessions:
    """All sessions of one server, whatever endpoint they came by."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._open: set[ControlChannel] = set()
        self._refused: set[ControlChannel] = set()
        """Those of them that were one too many: until they have read that, they take nobody's place."""

        self._by_host: Counter[str] = Counter()
        self._look: IDelayedCall | None = None
        self._empty: Deferred[None] | None = None

    def __len__(self) -> int:
        return len(self._open)

    @property
    def swamped(self) -> bool:
        """Whether so many are being refused that one more is not even told."""
        return len(self._refused) >= self.services.limits.max_refused

    def enter(self, control: ControlChannel) -> FTPLiteError | None:
        """Count a connection; an error where there are too many."""
        full = len(self._open) - len(self._refused) >= self.services.limits.max_sessions
        self._open.add(control)
        if self._look is None:
            self._schedule()
        if self._empty is not None:
            return ServerShuttingDown()
        return self._refuse(control, "The server has as many sessions as it may.") if full else None

    def count_host(self, control: ControlChannel) -> FTPLiteError | None:
        """Count it for its host; an error where that host has too many."""
        host = _countable(control.transport.getPeer())
        if host is None:
            return None
        if self._by_host[host] >= self.services.limits.max_sessions_per_host:
            return self._refuse(control, "Your host has as many sessions as it may.")
        control.host = host
        self._by_host[host] += 1
        return None

    def leave(self, control: ControlChannel) -> None:
        """A connection is gone."""
        self._open.discard(control)
        self._refused.discard(control)
        if control.host is not None:
            self._by_host[control.host] -= 1
            if not self._by_host[control.host]:
                del self._by_host[control.host]
        if not self._open:
            if self._look is not None:
                self._look.cancel()
                self._look = None
            if self._empty is not None:
                self._empty.callback(None)
                self._empty = None

    def drain(self) -> Deferred[None]:
        """End every session, those that move bytes when these have moved; fires when all are gone.

        What still moves after the drain timeout is told ``ERROR: Server shutting down.``
        """
        if not self._open:
            return succeed(None)
        drained = self._empty = Deferred()
        for control in list(self._open):
            control.drain()
        limits = self.services.limits
        deadlines = [
            self.services.reactor.callLater(limits.drain_timeout, self._refuse_all),
            self.services.reactor.callLater(limits.drain_timeout + limits.close_timeout, self._abort_all),
        ]

        def stop_waiting(_: None) -> None:
            for deadline in deadlines:
                if deadline.active():
                    deadline.cancel()

        return drained.addCallback(stop_waiting)

    def _refuse(self, control: ControlChannel, why: str) -> TooManyConnections:
        self._refused.add(control)
        return TooManyConnections(why)

    def _refuse_all(self) -> None:
        for control in list(self._open):
            control.refuse(ServerShuttingDown())

    def _abort_all(self) -> None:
        for control in list(self._open):
            control.transport.abortConnection()

    def _schedule(self) -> None:
        wait = self.services.limits.idle_timeout / _LOOKS
        self._look = self.services.reactor.callLater(wait, self._end_silent)

    def _end_silent(self) -> None:
        limit = self.services.reactor.seconds() - self.services.limits.idle_timeout
        for control in [each for each in self._open if each.silent and each.heard <= limit]:
            control.refuse(ConnectionTimedOut("The session was silent."))
        self._schedule()


class ControlFactory(ServerFactory):
    """Makes the control channels of one endpoint."""

    noisy = False

    def __init__(self, sessions: Sessions, *, behind_proxy: bool = False) -> None:
        self._sessions = sessions
        self._behind_proxy = behind_proxy

    def buildProtocol(self, addr: IAddress | None) -> ControlChannel | None:
        if self._sessions.swamped:
            return None
        return ControlChannel(self, self._sessions.services)

    def opened(self, control: ControlChannel) -> FTPLiteError | None:
        """See `Door.opened`."""
        tune_control(control.transport, self._sessions.services.limits.control_read)
        if self._behind_proxy:
            return self._sessions.enter(control)
        return self._sessions.enter(control) or self._sessions.count_host(control)

    def introduced(self, control: ControlChannel) -> FTPLiteError | None:
        """See `Door.introduced`: behind a proxy, the peer is not known before."""
        return self._sessions.count_host(control) if self._behind_proxy else None

    def closed(self, control: ControlChannel) -> None:
        """See `Door.closed`."""
        self._sessions.leave(control)

    def ends(self, control: ControlChannel) -> Ends | None:
        """See `Door.ends`: a header that anyone could forge must not aim connections."""
        ends = None if self._behind_proxy else ends_of(control.transport)
        return None if ends is None else Ends(*ends)


def _countable(address: IAddress) -> str | None:
    """Whom a session counts for: an IPv4 host, or the /64 of an IPv6 one, who has all of it to itself."""
    host = getattr(address, "host", None)
    if host is None:
        return None
    plain = plain_host(host)
    if isinstance(plain, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(plain), 64), strict=False))
    return str(plain)
