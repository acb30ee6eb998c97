"""The sessions of a server: how many there may be, which have gone silent, and how they end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import ServerFactory

from ..errors import (
    ConnectionLost,
    ConnectionTimedOut,
    FTPLiteError,
    LimitReached,
    ServerShuttingDown,
    TooManyConnections,
    TooManyFailures,
)
from ..flow.tcp import ends_of, tune_control
from .control import ControlChannel
from .door import Guest
from .hosts import countable
from .services import Ends, Services
from .users import User

_LOOKS = 16
"""Looks for silent sessions within one idle timeout."""


class Sessions:
    """All sessions of one server, whatever endpoint they came by."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._open: set[Guest] = set()
        self._refused: set[Guest] = set()
        """Those of them that were one too many: until they have read that, they take nobody's place."""

        self._undecided: dict[Guest, IDelayedCall] = {}
        """Those beyond them that may still be data channels, as long as one is due."""

        self._by_host: Counter[str] = Counter()
        self._by_user: Counter[str] = Counter()
        self._look: IDelayedCall | None = None
        self._empty: Deferred[None] | None = None
        services.guests_of = self.of

    def __len__(self) -> int:
        return len(self._open)

    def all(self) -> set[Guest]:
        """Those that are sessions, as far as is known."""
        return self._open - self._refused - self._undecided.keys()

    def of(self, owner: str) -> list[Guest]:
        """The sessions of this owner, the oldest first."""
        own = [each for each in self.all() if each.visitor.owner == owner]
        return sorted(own, key=lambda each: each.began)

    @property
    def swamped(self) -> bool:
        """Whether so many are being refused that one more is not even told."""
        return len(self._refused) >= self.services.limits.max_refused

    def enter(self, guest: Guest, *, doubts: bool = True) -> FTPLiteError | None:
        """Count a connection; an error where there are too many.

        With ``doubts`` it may be a data channel, if one is due.
        """
        self._open.add(guest)
        if self._look is None:
            self._schedule()
        if self._empty is not None:
            return ServerShuttingDown()
        taken = len(self._open) - len(self._refused) - len(self._undecided)
        if taken > self.services.limits.max_sessions:
            return self._refuse(guest, "The server has as many sessions as it may.", doubts=doubts)
        return None

    def count_host(self, guest: Guest, *, doubts: bool = True) -> FTPLiteError | None:
        """Count it for its host; an error where that host has too many, or has failed to log in too often."""
        if self.services.entry.bans.refuses(guest.visitor.host):
            self._refused.add(guest)
            return TooManyFailures("Too many logins from your host have failed; try again later.")
        host = countable(guest.visitor.address)
        if host is None or guest in self._undecided or guest.host is not None:
            return None
        if self._by_host[host] >= self.services.limits.max_sessions_per_host:
            return self._refuse(guest, "Your host has as many sessions as it may.", doubts=doubts)
        guest.host = host
        self._by_host[host] += 1
        return None

    def decide(self, guest: Guest) -> FTPLiteError | None:
        """It is a session; an error where there are too many, which it was spared until now."""
        deadline = self._undecided.pop(guest, None)
        if deadline is None:
            return None
        deadline.cancel()
        return self.enter(guest, doubts=False) or self.count_host(guest, doubts=False)

    def count_user(self, guest: Guest, user: User | None) -> None:
        """Count it for its user.  Raises `LimitReached` where that has too many."""
        name = None if user is None else user.name
        if name == guest.counted_user:
            return
        if user is not None and name is not None:
            most = user.max_sessions
            if most is None:
                most = self.services.limits.max_sessions_per_user
            if self._by_user[name] >= most:
                raise LimitReached(f"You may have {most} sessions at a time.")
            self._by_user[name] += 1
        _uncount(self._by_user, guest.counted_user)
        guest.counted_user = name

    def renew(self, users: Mapping[str, User]) -> None:
        """What the users may do has changed, and whoever is none any more has to log in again."""
        for guest in self._open:
            name = guest.counted_user
            if name is None:
                continue
            user = users.get(name)
            guest.visitor.become(user)
            if user is None:  # nor is it his where he comes back with another secret
                self.count_user(guest, None)

    def leave(self, guest: Guest) -> None:
        """A connection is gone, or has become a data channel; said again it does nothing."""
        if guest not in self._open:
            return
        self._open.discard(guest)
        self._refused.discard(guest)
        deadline = self._undecided.pop(guest, None)
        if deadline is not None and deadline.active():
            deadline.cancel()
        _uncount(self._by_host, guest.host)
        _uncount(self._by_user, guest.counted_user)
        guest.host = guest.counted_user = None
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
        for guest in list(self._open):
            guest.drain()
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

    def _refuse(self, guest: Guest, why: str, *, doubts: bool) -> TooManyConnections | None:
        """There is no place for it as a session; a data channel that is due needs none."""
        limits, due = self.services.limits, len(self.services.entry.passive)
        if not (doubts and due and len(self._undecided) < limits.max_undecided):
            self._refused.add(guest)
            return TooManyConnections(why)

        def end_doubt() -> None:
            del self._undecided[guest]
            self._refused.add(guest)
            guest.refuse(TooManyConnections(why))

        self._undecided[guest] = self.services.reactor.callLater(limits.connect_timeout, end_doubt)
        return None

    def _refuse_all(self) -> None:
        for guest in list(self._open):
            guest.refuse(ServerShuttingDown())

    def _abort_all(self) -> None:
        for guest in list(self._open):
            guest.abort()

    def _schedule(self) -> None:
        wait = self.services.limits.idle_timeout / _LOOKS
        self._look = self.services.reactor.callLater(wait, self._end_silent)

    def _end_silent(self) -> None:
        limit = self.services.reactor.seconds() - self.services.limits.idle_timeout
        for guest in [each for each in self._open if each.silent and each.heard <= limit]:
            guest.refuse(ConnectionTimedOut("The session was silent."))
        self._schedule()


def _uncount(counter: Counter[str], key: str | None) -> None:
    if key is not None:
        counter[key] -= 1
        if not counter[key]:
            del counter[key]


class ControlFactory(ServerFactory):
    """Makes the control channels of one endpoint."""

    noisy = False

    def __init__(self, sessions: Sessions, *, behind_proxy: bool = False, turns_first: bool = False) -> None:
        self._sessions = sessions
        self._behind_proxy = behind_proxy
        self.turns_first = turns_first

    def buildProtocol(self, addr: IAddress | None) -> ControlChannel | None:
        if self._sessions.swamped:
            return None
        return ControlChannel(self, self._sessions.services)

    def opened(self, guest: Guest) -> FTPLiteError | None:
        """See `Door.opened`."""
        services = self._sessions.services
        tune_control(guest.transport, services.limits.control_read, services.tuning)
        refusal = self._sessions.enter(guest)
        if refusal is None and not self._behind_proxy:
            refusal = self._sessions.count_host(guest)
        if services.watch is not None:
            services.watch.came(refused=refusal is not None)
        return refusal

    def introduced(self, guest: Guest) -> FTPLiteError | None:
        """See `Door.introduced`: behind a proxy, the peer is not known before."""
        refusal = self._sessions.decide(guest)
        if refusal is None and self._behind_proxy:
            guest.arrived()
            refusal = self._sessions.count_host(guest)
        watch = self._sessions.services.watch
        if refusal is not None and watch is not None:
            watch.refused += 1
        return refusal

    def entered(self, guest: Guest, user: User | None) -> None:
        """See `Door.entered`."""
        self._sessions.count_user(guest, user)

    def closed(self, guest: Guest) -> None:
        """See `Door.closed`."""
        self._sessions.leave(guest)

    def ends(self, guest: Guest) -> Ends | None:
        """See `Door.ends`: a header that anyone could forge must not aim connections."""
        try:
            ends = None if self._behind_proxy else ends_of(guest.transport)
        except OSError as error:  # reset, and nobody was told yet
            raise ConnectionLost from error
        return None if ends is None else Ends(*ends)
