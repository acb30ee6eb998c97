"""Token buckets: what each limit allows to those beneath it."""

from __future__ import annotations

import math
from typing import Final, Protocol

from .rates import NO_LIMIT, Rate

BURST: Final = 0.03
"""Seconds for which a bucket fills while nothing is taken."""

_ARREARS: Final = 0.5
"""Seconds of its rate that a bucket owes at most to those who had to wait for late ticks."""

_REPAID: Final = 0.05
"""What it pays of that, as a part of its rate: so little that it makes no burst."""

QUANTUM: Final = 1400
"""Bytes that a transfer waits to have together, lest it send many small segments."""

EVERYTHING: Final = math.inf


class Wanting(Protocol):
    """A bucket, or a transfer's share, that is not satisfied."""

    @property
    def demand(self) -> float:
        """How much it can take."""

    @property
    def weight(self) -> float:
        """What it counts for beside others."""

    def prepare(self) -> None:
        """Find out its demand."""

    def share_out(self, amount: float) -> None:
        """It is given so much."""


class Bucket:
    """What one limit allows to all beneath it."""

    def __init__(self, limit: Rate = NO_LIMIT, parent: Bucket | None = None) -> None:
        self.limit = limit
        """May be set while transfers run."""

        self.path: tuple[Bucket, ...] = (self, *parent.path) if parent is not None else (self,)
        """From here to the root."""

        self.rate: float | None = None
        """What holds now; None: no limit."""

        self.shares = 0
        """Transfers beneath that are not over."""

        self._credit = 0.0
        self._lent = 0.0
        """Bytes that were given to shares which have not moved them yet."""

        self._owed = 0.0
        self._filled: float | None = None
        self.wanting: list[Wanting] = []
        """Of those just beneath, whoever wants more in this tick."""

        self.demand = 0.0
        self.weight = 0.0
        """That of the weightiest transfer that waits beneath."""

    @property
    def credit(self) -> float:
        """Bytes that may be given now."""
        return EVERYTHING if self.rate is None else self._credit

    @property
    def room(self) -> float:
        """Bytes it may hold at most."""
        return 0.0 if self.rate is None else max(self.rate * BURST, QUANTUM)

    @property
    def rested(self) -> bool:
        """Whether it is as a new one would be, so that nothing is gained by taking a new one."""
        return not self.shares and self.credit >= self.room

    def fill(self, now: float, minute: int, *, awaited: bool = False) -> None:
        """Add what came in since the last time; ``awaited`` where somebody beneath has waited for it."""
        if self.rate is not None and self._filled is not None:
            self._add(self.rate * (now - self._filled), self.rate, awaited)
        rate = self.limit.at(minute)
        if rate != self.rate:
            unlimited, self.rate = self.rate is None, rate
            self._credit = self.room if unlimited else min(self._credit, self.room)
            self._owed = 0.0
        self._filled = now

    def _add(self, came: float, rate: float, awaited: bool) -> None:
        top = max(self.room - self._lent, 0.0)
        repaid = min(self._owed, came * _REPAID)
        there = self._credit + came + repaid
        if there <= top:
            self._owed -= repaid
        elif awaited and self._credit < self.room / 2:  # it was this one that was waited for, not another
            self._owed = min(self._owed - repaid + there - top, rate * _ARREARS)
        self._credit = min(there, top)

    def give(self, count: float) -> None:
        """So many bytes were given; where less than 0, given back."""
        if self.rate is not None:
            self._credit -= count

    def lend(self, count: float) -> None:
        """They are with somebody who may move them; where less than 0, no longer."""
        self._lent += count

    def prepare(self) -> None:
        """Find out how much is wanted, here and below."""
        total = self.weight = 0.0
        for each in self.wanting:
            each.prepare()
            total += each.demand
            self.weight = max(self.weight, each.weight)
        self.demand = max(min(self.credit, total), 0.0)

    def share_out(self, amount: float) -> None:
        """Divide so much among those that want more: by weight, to none of them more than it can take."""
        wanting, self.wanting = self.wanting, []
        wanting.sort(key=lambda each: each.demand / each.weight)
        weights = sum(each.weight for each in wanting)
        for each in wanting:
            part = min(each.demand, amount * each.weight / weights)
            if amount != EVERYTHING:
                amount -= part
            weights -= each.weight
            each.share_out(part)
