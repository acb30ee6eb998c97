"""Rates as people write them."""

from __future__ import annotations

import calendar
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite.flow.rates import NO_LIMIT, UNTOLD, Rate, Rates, minute_of, parse_rate


def at(text: str, hour: int, minute: int = 0) -> float | None:
    return parse_rate(text).at(hour * 60 + minute)


class ParseTests(SynchronousTestCase):
    def test_amounts(self) -> None:
        for text, rate in {
            "1": 1,
            "500k": 500_000,
            "1.5M": 1_500_000,
            "2G": 2 * 10**9,
            "512Ki": 2**19,
            "2Mi": 2**21,
            "1Gi": 2**30,
        }.items():
            assert parse_rate(text) == Rate(rate)
            assert parse_rate(text).limits
        assert parse_rate("0") == NO_LIMIT
        assert not parse_rate("0").limits

    def test_a_timetable(self) -> None:
        office = "08:00-18:00=2M,else=0"
        assert at(office, 7, 59) is None
        assert at(office, 8) == at(office, 17, 59) == 2_000_000
        assert at(office, 18) is None
        assert parse_rate(office).limits

    def test_over_midnight(self) -> None:
        night = "22:00-06:00=10M,else=1M"
        assert at(night, 23, 59) == at(night, 0) == at(night, 5, 59) == 10_000_000
        assert at(night, 6) == at(night, 21, 59) == 1_000_000

    def test_all_day(self) -> None:
        assert at("00:00-24:00=1k", 0) == at("00:00-24:00=1k", 23, 59) == 1000

    def test_the_first_that_holds(self) -> None:
        assert at("08:00-12:00=1k,06:00-20:00=2k", 9) == 1000
        assert at("08:00-12:00=1k,06:00-20:00=2k", 13) == 2000
        assert at("08:00-12:00=1k,06:00-20:00=2k", 21) is None

    def test_mistakes(self) -> None:
        for text in ("", "-1", "2m", "5K", "1T", "2 M", "0.5", ".5M", "٣", "1e6", "else=2m", "nan", "inf"):
            with pytest.raises(ValueError, match="is no rate; write bytes a second"):
                parse_rate(text)
        for text in (
            "8:00-18:00=2M",
            "08:00-08:00=2M",
            "24:00-06:00=2M",
            "08:60-09:00=2M",
            "08:00-24:01=2M",
            "else=1M,08:00-09:00=2M",
            "08:00-09:00=2M,",
            "=2M",
        ):
            with pytest.raises(ValueError, match="is no part of a day; write a timetable"):
                parse_rate(text)

    @given(st.text(alphabet="0123456789:-=,.kMGielse", max_size=30))
    def test_anything(self, text: str) -> None:
        try:
            rate = parse_rate(text)
        except ValueError:
            return
        for minute in range(0, 24 * 60, 7):
            now = rate.at(minute)
            assert now is None or now >= 1


class RatesTests(SynchronousTestCase):
    def test_both_ways(self) -> None:
        one, two = Rate(1), Rate(2)
        assert Rates(up=one).over(Rates(two, two)) == Rates(one, two)
        assert UNTOLD.over(UNTOLD) == UNTOLD
        assert not Rates(NO_LIMIT, None).limits
        assert Rates(NO_LIMIT, one).limits


class MinuteTests(SynchronousTestCase):
    def test_it_is_the_local_day_s(self) -> None:
        before = os.environ.get("TZ")

        def restore() -> None:
            if before is None:
                os.environ.pop("TZ", None)
            else:
                os.environ["TZ"] = before
            time.tzset()

        self.addCleanup(restore)
        os.environ["TZ"] = "CET-1CEST,M3.5.0,M10.5.0/3"
        time.tzset()
        for text, minute in {"2026-01-15 23:30": 30, "2026-07-15 22:30": 30, "2026-07-15 10:00": 720}.items():
            assert minute_of(calendar.timegm(time.strptime(text, "%Y-%m-%d %H:%M"))) == minute
