"""Whose limit a transfer is under."""

from __future__ import annotations

import gc

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite.flow.rates import NO_LIMIT, UNTOLD, Rate, Rates
from twisted_ftplite.flow.shaping import Share
from twisted_ftplite.server.options import Options
from twisted_ftplite.server.speeds import UNLIMITED, SpeedLimits, Speeds, speed_limits_of
from twisted_ftplite.server.users import User, anonymous

HERE = IPv4Address("TCP", "192.0.2.1", 1)
ALICE, BOB, NOBODY = (User(name, frozenset()) for name in ("alice", "bob", ""))


def both(rate: float) -> Rates:
    return Rates(Rate(rate), Rate(rate))


class Session:
    """Something that can be weakly referred to."""


class SpeedsCase(SynchronousTestCase):
    def speeds(self, server: Rates = UNTOLD, user: Rates = UNTOLD, session: Rates = UNTOLD) -> None:
        self.clock = Clock()
        self.made = Speeds(self.clock, SpeedLimits(server, user, session))

    def share(
        self,
        user: User = ALICE,
        address: IAddress = HERE,
        session: object | None = None,
        *,
        up: bool = False,
        listing: bool = False,
    ) -> Share:
        share = self.made.share(user, address, session or Session(), up=up, listing=listing)
        share.take(1)
        return share

    def are_one(self, one: Share, other: Share) -> bool:
        """Whether they are under one limit, not counting the server's."""
        return any(each in other.path for each in one.path[:-1])


class WhoseTests(SpeedsCase):
    def test_all_of_a_user_s_sessions(self) -> None:
        self.speeds(user=both(1000))
        there = IPv4Address("TCP", "192.0.2.2", 1)
        assert self.are_one(self.share(), self.share(address=there))
        assert not self.are_one(self.share(), self.share(BOB))
        assert not self.are_one(self.share(), self.share(NOBODY))
        assert self.share().path[-1] is self.share(BOB).path[-1]

    def test_a_host_without_a_login(self) -> None:
        self.speeds(user=both(1000))
        near, same, far = (
            IPv6Address("TCP", each, 1) for each in ("2001:db8::1", "2001:db8::2", "2001:db8:1::1")
        )
        user = anonymous("read")
        assert self.are_one(self.share(user), self.share(user))
        assert self.are_one(self.share(user, near), self.share(user, same))
        assert not self.are_one(self.share(user, near), self.share(user, far))
        assert not self.are_one(self.share(user, near), self.share(user, HERE))
        local = UNIXAddress(b"/run/ftplite")
        assert self.are_one(self.share(user, local), self.share(user, local))

    def test_up_and_down_apart(self) -> None:
        self.speeds(Rates(up=Rate(1000)), Rates(down=Rate(500)))
        assert self.share(up=True).ceiling == 1000
        assert self.share().ceiling == 500
        assert self.share().path[-1] is not self.share(up=True).path[-1]

    def test_each_session(self) -> None:
        self.speeds(session=both(1000))
        session = Session()
        assert self.share(session=session).path == self.share(session=session).path
        assert self.share(session=session).path[0] is not self.share().path[0]
        # After a login it is under that user's.
        assert self.share(BOB, session=session).path[1] is self.share(BOB).path[1]

    def test_the_strictest_holds(self) -> None:
        self.speeds(both(3000), both(2000), both(1000))
        assert self.share().ceiling == 1000
        self.speeds(both(1000), both(2000), both(3000))
        assert self.share().ceiling == 1000

    def test_a_listing_is_interactive(self) -> None:
        self.speeds(both(1000))
        assert self.share(listing=True).weight == 2 * self.share().weight
        background = User("carol", frozenset(), profile="background")
        assert self.share(background).weight == self.share().weight / 4


class UserTests(SpeedsCase):
    def test_a_user_s_own(self) -> None:
        self.speeds(user=both(1000))
        assert self.share(User("a", frozenset(), rate=Rate(5000))).ceiling == 5000
        free = User("b", frozenset(), rate=NO_LIMIT, rate_up=Rate(7000))
        assert self.share(free).ceiling is None
        assert self.share(free, up=True).ceiling == 7000
        assert self.share(User("c", frozenset(), rate_up=Rate(9))).ceiling == 1000

    def test_read_again(self) -> None:
        self.speeds(user=both(1000))
        running, other = self.share(ALICE), self.share(BOB)
        stranger = self.share(NOBODY)
        self.made.renew({"alice": User("alice", frozenset(), rate_down=Rate(50))})
        for share in (running, other, stranger):
            share.take(1)
        assert (running.ceiling, other.ceiling, stranger.ceiling) == (50, 1000, 1000)
        # A session that is told of it later begins under the new limit.
        self.clock.advance(1)
        running.close()
        assert self.share(ALICE).ceiling == 50
        self.made.renew({"alice": ALICE})
        assert self.share(ALICE).ceiling == 1000

    def test_those_who_are_gone_are_forgotten(self) -> None:
        self.speeds(user=both(1e6), session=both(1e6))
        running = self.share(ALICE)
        running.spent(running.take(30_000))
        for number in range(2000):
            share = self.share(User(f"u{number}", frozenset()))
            share.spent(share.take(1))
            share.close()
            self.clock.advance(0.01)
        assert self.are_one(running, self.share(ALICE))
        kept = len(self.made._down.owners)
        assert kept < 200, kept
        gc.collect()
        assert len(self.made._down.sessions) < 200

    def test_whoever_has_taken_all_is_not_forgotten(self) -> None:
        self.speeds(user=both(1000))
        spent = self.share(ALICE)
        spent.spent(spent.take(1400))
        spent.close()
        for number in range(200):
            self.share(User(f"u{number}", frozenset())).close()
        assert self.share(ALICE).take(1400) <= 1


class OptionsTests(SynchronousTestCase):
    def read(self, *words: str) -> SpeedLimits:
        options = Options()
        options.parseOptions(words)
        return speed_limits_of(options)

    def test_all(self) -> None:
        assert self.read() == UNLIMITED
        assert not UNLIMITED.limits
        told = self.read(
            "--limit-rate", "10M", "--limit-user-up=1M", "--limit-session=5k", "--limit-session-down=0"
        )
        assert told.limits
        assert told.server == both(10e6)
        assert told.user == Rates(up=Rate(1e6))
        assert told.session == Rates(Rate(5000), NO_LIMIT)
        assert not self.read("--limit-rate", "0").limits

    def test_mistakes(self) -> None:
        with pytest.raises(SystemExit) as caught:
            self.read("--limit-rate", "10m")
        assert "'10m' is no rate; write bytes a second" in str(caught.value)
