"""Traffic shaping: a tree of token buckets, whose leaves are the transfers that run.

Bytes may move as fast as every bucket above them fills.  While a transfer waits for that, ticks share out
what came in since the last one, from the root down: at each bucket by weight among those beneath it that
want more, and what one of them cannot take goes to the others.  Where nobody waits there are no ticks.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from .buckets import EVERYTHING, QUANTUM, Bucket, Wanting
from .rates import minute_of

TICK: Final = 0.01
"""Seconds between two ticks."""

_TICK_OF_EACH: Final = 30e-6
_LONGEST_TICK: Final = 0.025
"""Where very many wait: a tick has something to do for each of them."""

PATIENCE: Final = 0.25
"""Seconds after which it is given what there is: at rates so low that the peer might take it for dead."""

_LOOK: Final = 1.0
"""Seconds between two looks at the wall clock."""


class Share:
    """One transfer's share; made by `Shaper.share`, and closed with the transfer.

    In the reactor's thread alone.
    """

    demand = EVERYTHING

    def __init__(self, shaper: Shaper, parent: Bucket, weight: float) -> None:
        self.path = parent.path
        self.weight = weight
        self.ceiling: float | None = None
        """Bytes a second that the strictest limit above it allows; None: there is none now."""

        self._shaper = shaper
        self._held = 0.0
        self._wanted = 1
        self._then: Callable[[], None] | None = None
        self._since = 0.0
        self._waited = 0.0
        self._drawn = -math.inf
        """When it was last given anything."""

        self._takes_any = True
        self._free = False
        """Whether the last tick has found no limit above it."""

        self._closed = False
        for bucket in self.path:
            bucket.shares += 1

    @property
    def waiting(self) -> bool:
        """Whether it is the limit that the transfer waits for."""
        return self._then is not None

    @property
    def waited(self) -> float:
        """Seconds for which it did so."""
        return self._waited + (self._shaper.seconds() - self._since if self.waiting else 0.0)

    def take(self, count: int) -> int:
        """How many of ``count`` bytes may move now; what then does is told to `spent`.  Closed: all."""
        if self._closed:
            return count
        self.ceiling = self._shaper.look(self.path)
        self._takes_any = self.ceiling is None
        if self._takes_any or count <= 0:
            return count
        if self._held < 1:
            self._draw(count)
        if self._held < 1:
            self._wanted = count
            return 0
        return min(count, int(self._held))

    def spent(self, count: int) -> None:
        """So many bytes have moved; more than `take` said is a debt."""
        if not self._takes_any and not self._closed:
            self._held -= count
            for bucket in self.path:
                bucket.lend(-count)

    def wait(self, then: Callable[[], None]) -> None:
        """Call this once, when more may move."""
        if self._closed:
            return
        if self._then is None:
            self._since = self._shaper.seconds()
            self._lend(-self._held)
            self._shaper.begin_wait(self)
        self._then = then

    def close(self) -> None:
        """The transfer is over: what it holds is the others'.  A second call does nothing."""
        if not self._closed:
            self._give_back()
            self._waited, self._then, self._closed = self.waited, None, True
            self._shaper.forget(self)
            for bucket in self.path:
                bucket.shares -= 1

    # What the shaper calls.

    def prepare(self) -> None:
        """It can take anything."""

    def share_out(self, part: float) -> None:
        """It is given so much."""
        if part == EVERYTHING:
            self._free = True
            return
        self._held += part
        for bucket in self.path:
            bucket.give(part)

    def settle(self, now: float) -> Callable[[], None] | None:
        """What to call where it has enough to go on."""
        enough = 1 if now - self._since >= PATIENCE else min(QUANTUM, self._wanted)
        if self._held < enough and not self._free:
            return None
        self._free = False
        then, self._then = self._then, None
        self._waited += now - self._since
        self._drawn = now
        self._lend(self._held)
        return then

    def give_back_old(self, now: float) -> bool:
        """Give back what was not moved for more than a tick; whether it holds nothing more."""
        if now - self._drawn > TICK * 1.5:
            self._give_back()
            return True
        return self._held <= 0

    def _draw(self, count: int) -> None:
        """Take at once what is there, where nobody waits for it."""
        now = self._shaper.seconds()
        if self._shaper.waits_for(self.path[-1]) or now - self._drawn < TICK:
            return
        there = min(each.credit for each in self.path)
        if there + self._held < min(QUANTUM, count):
            return
        self._drawn = now
        part = min(there, count)
        self.share_out(part)
        self._lend(part)
        self._shaper.hold(self)

    def _lend(self, count: float) -> None:
        for bucket in self.path:
            bucket.lend(count)

    def _give_back(self) -> None:
        if self._held:
            held, self._held = self._held, 0.0
            for bucket in self.path:
                bucket.give(-held)
                if not self.waiting:
                    bucket.lend(-held)


class Shaper:
    """The clock of any number of trees."""

    def __init__(self, clock: IReactorTime, wall: Callable[[], float] = time.time) -> None:
        self.seconds = clock.seconds
        self._clock = clock
        self._wall = wall
        self._minute = minute_of(wall())
        self._looked = clock.seconds()
        self._waiting: dict[Share, None] = {}
        self._roots: dict[Bucket, int] = {}
        """How many wait, by the root above them."""

        self._holding: dict[Share, None] = {}
        self._tick: IDelayedCall | None = None

    def share(self, parent: Bucket, weight: float = 1) -> Share:
        """A new transfer's, beneath this bucket."""
        return Share(self, parent, weight)

    def look(self, path: tuple[Bucket, ...]) -> float | None:
        """Fill these buckets; the strictest rate among them."""
        now = self._now()
        ceiling: float | None = None
        for bucket in path:
            bucket.fill(now, self._minute)
            if bucket.rate is not None and (ceiling is None or bucket.rate < ceiling):
                ceiling = bucket.rate
        return ceiling

    def waits_for(self, root: Bucket) -> bool:
        """Whether any transfer beneath it waits."""
        return root in self._roots

    def begin_wait(self, share: Share) -> None:
        """This one waits for more."""
        root = share.path[-1]
        self._waiting[share] = None
        self._holding.pop(share, None)
        self._roots[root] = self._roots.get(root, 0) + 1
        if self._tick is None:
            self._tick = self._clock.callLater(TICK, self._share_out)

    def hold(self, share: Share) -> None:
        """This one has what it has to move soon."""
        self._holding[share] = None

    def forget(self, share: Share) -> None:
        """This one is over."""
        self._holding.pop(share, None)
        if share in self._waiting:
            self._end_wait(share)
        if not self._waiting and self._tick is not None:
            self._tick.cancel()
            self._tick = None

    def _end_wait(self, share: Share) -> None:
        del self._waiting[share]
        root = share.path[-1]
        self._roots[root] -= 1
        if not self._roots[root]:
            del self._roots[root]

    def _now(self) -> float:
        now = self.seconds()
        if not 0 <= now - self._looked < _LOOK:
            self._looked = now
            self._minute = minute_of(self._wall())
        return now

    def _share_out(self) -> None:
        """One tick."""
        self._tick = None
        now = self._now()
        for share in [each for each in self._holding if each.give_back_old(now)]:
            del self._holding[share]
        self._gather(now)
        for root in self._roots:
            root.prepare()
            root.share_out(root.demand)
        calls = []
        for share in list(self._waiting):
            then = share.settle(now)
            if then is not None:
                calls.append(then)
                self._end_wait(share)
                self._holding[share] = None
        if self._waiting:
            pause = min(max(TICK, _TICK_OF_EACH * len(self._waiting)), _LONGEST_TICK)
            self._tick = self._clock.callLater(pause, self._share_out)
        for then in calls:
            then()

    def _gather(self, now: float) -> None:
        """Fill the buckets above those that wait, and enter each of them in the one above it."""
        seen: set[Bucket] = set()
        for share in self._waiting:
            below: Wanting = share
            for bucket in share.path:
                bucket.wanting.append(below)
                if bucket in seen:
                    break
                seen.add(bucket)
                bucket.fill(now, self._minute, awaited=True)
                below = bucket
