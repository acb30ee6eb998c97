"""Hosts whose logins fail too often: they are refused for a while."""

from __future__ import annotations

from array import array
from collections import OrderedDict

from twisted.internet.interfaces import IReactorTime

from ..limits import Limits


class Bans:
    """Failed logins by host, within a window that slides.

    A host is what a session counts for (`sessions.py`): an IPv4 host, or the /64 of an IPv6 one.  Both
    tables are bounded, and each forgets its oldest first: so nobody can have his ban forgotten by failing
    once from each of many hosts.
    """

    def __init__(self, clock: IReactorTime, limits: Limits) -> None:
        self._clock = clock
        self._limits = limits
        self._failures: OrderedDict[str, array[float]] = OrderedDict()
        """When the last ones of each host were; the host that failed last stands last."""

        self._ends: OrderedDict[str, float] = OrderedDict()
        """When each ban ends, the one that ends last being last."""

    def failed(self, host: str | None) -> None:
        """A login of this host failed; None, the loopback, is not counted."""
        if host is None:
            return
        limits, now = self._limits, self._clock.seconds()
        self._forget(now)
        times = array("d", (each for each in self._failures.pop(host, ()) if self._counts(each, now)))
        times.append(now)
        if len(times) < limits.login_failures_host:
            self._failures[host] = times
        else:
            self._ends.pop(host, None)
            self._ends[host] = now + limits.ban_time
        for table in (self._failures, self._ends):
            while len(table) > limits.max_bans:
                table.popitem(last=False)

    def refuses(self, host: str | None) -> bool:
        """Whether this host is to be refused now."""
        end = None if host is None else self._ends.get(host)
        return end is not None and self._clock.seconds() < end

    def __len__(self) -> int:
        """Hosts that are remembered."""
        return len(self._failures.keys() | self._ends.keys())

    def _counts(self, when: float, now: float) -> bool:
        return now - when < self._limits.login_failures_window

    def _forget(self, now: float) -> None:
        """What is over takes no room; each table's oldest stands first."""
        while self._failures and not self._counts(next(iter(self._failures.values()))[-1], now):
            self._failures.popitem(last=False)
        while self._ends and next(iter(self._ends.values())) <= now:
            self._ends.popitem(last=False)
