"""Figures that are kept small: a distribution by its bounds, and how much moved in the last hour."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from itertools import accumulate, islice
from typing import Final

BUCKET: Final = 5.0
"""Seconds of one bucket of the last hour."""

KEPT: Final = 720
"""Buckets that are kept: an hour."""


class Distribution:
    """How many values were how large."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(map(float, bounds))
        self.counts = [0] * (len(self.bounds) + 1)
        """Values up to each bound and above the one before; the last is of those above all."""

        self.sum = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> list[tuple[float, int]]:
        """How many values there were up to each bound, and with infinity how many in all."""
        return list(zip((*self.bounds, float("inf")), accumulate(self.counts), strict=True))


class History:
    """Bytes sent and received in the last hour, by buckets; the last one is not full yet."""

    def __init__(self, now: float) -> None:
        self._began = self._now = now
        self._buckets: deque[list[float]] = deque([[0.0, 0.0]], KEPT)
        self.number = 0
        """How many buckets came before the last one."""

    def add(self, now: float, sent: float, received: float) -> None:
        """So many bytes have moved since the last time, as evenly as anybody knows."""
        while now - self._began >= BUCKET:
            edge = self._began + BUCKET
            part = (edge - self._now) / (now - self._now)
            self._put(sent * part, received * part)
            sent, received = sent * (1 - part), received * (1 - part)
            self._began = self._now = edge
            self._buckets.append([0.0, 0.0])
            self.number += 1
        self._put(sent, received)
        self._now = now

    def rates(self, last: int = KEPT) -> list[tuple[int, int]]:
        """The last buckets, the newest at the end: bytes a second, sent and received."""
        found = []
        seconds = max(self._now - self._began, 0.001)
        for sent, received in islice(reversed(self._buckets), last):
            found.append((round(sent / seconds), round(received / seconds)))
            seconds = BUCKET
        return found[::-1]

    def age(self, now: float) -> float:
        """Seconds since the last bucket began."""
        return now - self._began

    def _put(self, sent: float, received: float) -> None:
        self._buckets[-1][0] += sent
        self._buckets[-1][1] += received
