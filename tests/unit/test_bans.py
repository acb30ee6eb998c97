"""Hosts whose logins fail too often."""

from __future__ import annotations

from dataclasses import replace

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite.limits import Limits
from twisted_ftplite.server.bans import Bans

LIMITS = Limits()
HOST = "192.0.2.1"
OTHER = "2001:db8::/64"


class BansTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.bans = Bans(self.clock, LIMITS)

    def fail_login(self, times: int, host: str | None = HOST, every: float = 0.0) -> None:
        for _ in range(times):
            self.clock.advance(every)
            self.bans.failed(host)

    def test_the_last_failure_refuses_the_host_and_no_other(self) -> None:
        assert not self.bans.refuses(HOST)
        self.fail_login(14)
        assert not self.bans.refuses(HOST)
        self.fail_login(1)
        assert self.bans.refuses(HOST)
        assert not self.bans.refuses(OTHER)

    def test_it_is_refused_for_half_an_hour(self) -> None:
        self.fail_login(15)
        self.clock.advance(1799)
        assert self.bans.refuses(HOST)
        self.clock.advance(1)
        assert not self.bans.refuses(HOST)

    def test_behind_a_ban_it_begins_anew(self) -> None:
        self.fail_login(15)
        self.clock.advance(1800)
        self.fail_login(14)
        assert not self.bans.refuses(HOST)
        self.fail_login(1)
        assert self.bans.refuses(HOST)

    def test_the_window_slides(self) -> None:
        self.fail_login(1)
        self.clock.advance(599)
        self.fail_login(13)
        self.clock.advance(1)  # the first counts no more
        self.fail_login(1)
        assert not self.bans.refuses(HOST)
        self.fail_login(1)
        assert self.bans.refuses(HOST)

    def test_fourteen_in_ten_minutes_are_never_too_many(self) -> None:
        self.fail_login(200, every=600 / 14)
        assert not self.bans.refuses(HOST)

    def test_sessions_that_go_on_failing_make_a_ban_longer(self) -> None:
        self.fail_login(15)
        self.clock.advance(1000)
        self.fail_login(15)
        self.clock.advance(1799)
        assert self.bans.refuses(HOST)
        self.clock.advance(1)
        assert not self.bans.refuses(HOST)

    def test_the_loopback_never(self) -> None:
        self.fail_login(100, None)
        assert not self.bans.refuses(None)
        assert len(self.bans) == 0

    def test_what_is_over_is_forgotten(self) -> None:
        self.fail_login(15)
        self.fail_login(1, OTHER)
        assert len(self.bans) == 2
        self.clock.advance(600)
        self.fail_login(1, "192.0.2.9")
        assert len(self.bans) == 2
        self.clock.advance(1200)
        self.fail_login(1, "192.0.2.9")
        assert len(self.bans) == 1


class BoundTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.bans = Bans(self.clock, replace(LIMITS, max_bans=100))

    def test_the_oldest_failures_are_forgotten_first(self) -> None:
        for _ in range(14):
            self.bans.failed("old")
        for _ in range(13):
            self.bans.failed("recent")
        for number in range(98):
            self.bans.failed(f"host {number}")
        self.bans.failed("recent")
        assert len(self.bans) == 100
        self.bans.failed("one more")
        assert len(self.bans) == 100
        self.bans.failed("old")
        assert not self.bans.refuses("old")
        self.bans.failed("recent")
        assert self.bans.refuses("recent")

    def test_failures_of_many_hosts_end_no_ban(self) -> None:
        for _ in range(15):
            self.bans.failed("banned")
        for number in range(1000):
            self.bans.failed(f"host {number}")
        assert self.bans.refuses("banned")
        assert len(self.bans) == 101

    def test_bans_are_bounded_too(self) -> None:
        for number in range(150):
            for _ in range(15):
                self.bans.failed(f"host {number}")
        assert len(self.bans) == 100
        assert not self.bans.refuses("host 49")
        assert self.bans.refuses("host 50")
