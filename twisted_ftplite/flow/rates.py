"""Rates as people write them: bytes a second, always the same or by the time of day."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Final, NamedTuple

UNITS: Final = {
    "": 1,
    **{unit: 1000**power for power, unit in enumerate("kMG", 1)},
    **{f"{unit}i": 1024**power for power, unit in enumerate("KMG", 1)},
}
_AMOUNT: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)([kMG]|[KMG]i|)")
_PERIOD: Final = re.compile(r"([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})")
_DAY: Final = 24 * 60


class Period(NamedTuple):
    """A part of the day, in minutes from midnight; it may go over that."""

    begin: int
    end: int
    rate: float | None

    def holds(self, minute: int) -> bool:
        if self.begin < self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end


@dataclass(frozen=True, slots=True)
class Rate:
    """Bytes a second at most; None is no limit."""

    otherwise: float | None = None
    """Where no period holds."""

    periods: tuple[Period, ...] = ()

    def at(self, minute: int) -> float | None:
        """What holds at this minute of the day."""
        for period in self.periods:
            if period.holds(minute):
                return period.rate
        return self.otherwise

    @property
    def limits(self) -> bool:
        """Whether there is a limit at any time."""
        return self.otherwise is not None or any(each.rate is not None for each in self.periods)


NO_LIMIT: Final = Rate()


class Rates(NamedTuple):
    """The rates of both directions, as a client sees them; None was not told."""

    up: Rate | None = None
    """What clients send."""

    down: Rate | None = None
    """What they get, listings too."""

    def over(self, other: Rates) -> Rates:
        """These, and the other ones where these were not told."""
        return Rates(other.up if self.up is None else self.up, other.down if self.down is None else self.down)

    @property
    def limits(self) -> bool:
        """Whether there is a limit at any time, either way."""
        return any(each is not None and each.limits for each in self)


UNTOLD: Final = Rates()


def minute_of(wall: float) -> int:
    """The minute of the local day at a wall clock's time."""
    local = time.localtime(wall)
    return local.tm_hour * 60 + local.tm_min


def parse_rate(text: str) -> Rate:
    """A rate such as ``2M``, ``512Ki``, or ``08:00-18:00=2M,else=0``; 0 is no limit.

    Of periods that overlap the first holds; without ``else`` the rest of the day has no limit.  Raises
    ``ValueError``, which says in one line what is wrong.
    """
    if "=" not in text:
        return Rate(_amount(text))
    periods: list[Period] = []
    otherwise: float | None = None
    words = text.split(",")
    for position, word in enumerate(words, 1):
        when, _, amount = word.partition("=")
        if when == "else" and position == len(words):
            otherwise = _amount(amount)
        else:
            periods.append(_period(when, amount))
    return Rate(otherwise, tuple(periods))


def _amount(text: str) -> float | None:
    found = _AMOUNT.fullmatch(text)
    rate = float(found[1]) * UNITS[found[2]] if found else -1.0
    if rate < 0 or 0 < rate < 1:
        raise ValueError(
            f"{text!r} is no rate; write bytes a second, such as 500k or 2M (powers of 1,000) or 512Ki "
            "(powers of 1,024), or 0 for no limit"
        )
    return rate or None


def _period(when: str, amount: str) -> Period:
    found = _PERIOD.fullmatch(when)
    if found is not None:
        begin_hour, begin, end_hour, end = map(int, found.groups())
        begin, end = begin_hour * 60 + begin, end_hour * 60 + end
        if begin < _DAY and end <= _DAY and begin != end and max(int(found[2]), int(found[4])) < 60:
            return Period(begin, end, _amount(amount))
    raise ValueError(
        f"{when!r} is no part of a day; write a timetable as in 08:00-18:00=2M,22:00-06:00=10M,else=0"
    )
