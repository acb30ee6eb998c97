"""How fast a client's bytes may move."""

from __future__ import annotations

import time
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from ..flow.buckets import Bucket
from ..flow.rates import NO_LIMIT, Rate, parse_rate
from ..flow.shaping import Shaper, Share
from ..flow.tuning import PROFILES


class Speed:
    """A limit of each way, which all sessions share that are given it.

    A rate is one as in ``2M``, ``512Ki`` or ``08:00-18:00=2M,else=0``, in bytes a second; None is no limit.
    Raises ``ValueError`` for what is none.
    """

    def __init__(
        self,
        clock: IReactorTime,
        up: Rate | str | None = None,
        down: Rate | str | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._shaper = Shaper(clock, wall)
        self._up, self._down = Bucket(_read(up)), Bucket(_read(down))

    def set(self, up: Rate | str | None = None, down: Rate | str | None = None) -> None:
        """Limit anew, what moves now too."""
        self._up.limit, self._down.limit = _read(up), _read(down)

    def share(self, *, up: bool, profile: str = "bulk") -> Share:
        """What a transfer that begins now may move; the ``profile`` is what it counts for beside others."""
        return self._shaper.share(self._up if up else self._down, PROFILES[profile].weight)


def _read(rate: Rate | str | None) -> Rate:
    return parse_rate(rate) if isinstance(rate, str) else rate or NO_LIMIT
