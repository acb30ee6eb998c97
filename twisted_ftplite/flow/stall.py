"""Telling a transfer that is slow from one that stands still."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from twisted.internet.interfaces import IDelayedCall, IReactorTime

_LOOKS = 4
"""Looks within one timeout: a stall is noticed at most a quarter of the timeout late."""


class StallWatch:
    """Calls ``stalled`` once, when nothing has moved for ``timeout`` seconds.

    ``moved`` gives any number that changes as bytes move: writability alone would not do, because a
    slow reader's window reopens in jumps that can lie a minute apart.  The watch looks by itself, so
    that a transfer that moves pays nothing.
    """

    def __init__(
        self,
        clock: IReactorTime,
        timeout: float,
        moved: Callable[[], object],
        stalled: Callable[[], None],
        interval: float = inf,
    ) -> None:
        """``moved`` is asked at least every ``interval`` seconds."""
        self._clock = clock
        self._timeout = timeout
        self._moved = moved
        self._stalled = stalled
        self._seen = moved()
        self._since = clock.seconds()
        self._interval = min(timeout / _LOOKS, interval)
        self._next: IDelayedCall | None = clock.callLater(self._interval, self._look)

    def stop(self) -> None:
        """Watch no more; a second call does nothing."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _look(self) -> None:
        now = self._clock.seconds()
        seen = self._moved()
        if seen != self._seen:
            self._seen, self._since = seen, now
        left = self._since + self._timeout - now
        if left <= 0:
            self._next = None
            self._stalled()
        else:
            self._next = self._clock.callLater(min(left, self._interval), self._look)
