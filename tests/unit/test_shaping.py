"""Shares of a limit: exact, smooth, fair, and changed while they run."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite.flow.buckets import BURST, QUANTUM, Bucket
from twisted_ftplite.flow.rates import Rate, parse_rate
from twisted_ftplite.flow.shaping import PATIENCE, TICK, Shaper, Share

PIECE = 1 << 20
NOON = 1_800_014_400.0


class Wall:
    """A wall clock that is set by hand, to a minute of the day."""

    def __init__(self, shaper_clock: Clock) -> None:
        self._clock = shaper_clock
        self.offset = NOON

    def __call__(self) -> float:
        return self.offset + self._clock.seconds()


class Transfer:
    """Moves what it may, as fast as it may; ``slow`` bytes a turn where the network takes no more."""

    def __init__(self, share: Share, size: float = float("inf"), slow: int = PIECE) -> None:
        self.share = share
        self.left = size
        self.slow = slow
        self.moved = 0
        self.log: list[int] = []
        self.go_on()

    def go_on(self) -> None:
        for _ in range(16):
            if not self.left:
                self.share.close()
                return
            may = self.share.take(int(min(PIECE, self.left)))
            if not may:
                self.share.wait(self.go_on)
                return
            count = min(may, self.slow)
            self.share.spent(count)
            self.moved += count
            self.left -= count


class ShapingCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.wall = Wall(self.clock)
        self.shaper = Shaper(self.clock, self.wall)
        self.transfers: list[Transfer] = []

    def transfer(self, bucket: Bucket, weight: float = 4, size: float = float("inf")) -> Transfer:
        made = Transfer(self.shaper.share(bucket, weight), size)
        self.transfers.append(made)
        return made

    def run_for(self, seconds: float, step: float = 0.001) -> None:
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    def moved_in(self, seconds: float, step: float = 0.001) -> list[int]:
        """What each of the transfers moves in the time that comes."""
        before = [each.moved for each in self.transfers]
        self.run_for(seconds, step)
        return [each.moved - was for each, was in zip(self.transfers, before, strict=True)]


def near(count: float, expected: float, tolerance: float = 0.03) -> bool:
    return abs(count - expected) <= tolerance * expected


class RateTests(ShapingCase):
    def test_exact(self) -> None:
        for rate in (1000.0, 40_000.0, 2e6, 50e6, 200e6):
            self.setUp()
            self.transfer(Bucket(Rate(rate)))
            assert near(self.moved_in(10)[0] + QUANTUM / 2, rate * 10, 0.01 + QUANTUM / rate / 10), rate

    def test_late_ticks_lose_nothing(self) -> None:
        self.transfer(Bucket(Rate(5e6)))
        total = 0
        for step in [*[0.011] * 20, 0.013, 0.021, *[0.016] * 100, 0.1] * 5:
            total += self.moved_in(step, step)[0]
        assert near(total, 5e6 * self.clock.seconds(), 0.01)

    def test_no_bursts(self) -> None:
        for rate in (2e6, 30e6):
            self.setUp()
            bucket = Bucket(Rate(rate))
            for _ in range(3):
                self.transfer(bucket)
            steps = [sum(self.moved_in(0.01, 0.001)) for _ in range(300)]
            most = max(sum(steps[at : at + 20]) for at in range(len(steps)))
            assert most <= 1.2 * rate * 0.2, most / (rate * 0.2)

    def test_small_files_do_not_wait_for_ticks(self) -> None:
        bucket = Bucket(Rate(1e6))
        for _ in range(10):
            assert self.transfer(bucket, size=1000).moved == 1000
            self.run_for(0.1)

    def test_small_files_do_not_evade_it(self) -> None:
        bucket = Bucket(Rate(1e6))
        while self.clock.seconds() < 0.5:
            for _ in range(3):
                self.transfer(bucket, size=700)
            self.clock.advance(0.001)
        total = sum(each.moved for each in self.transfers)
        assert 0.3e6 <= total <= 1e6 * (self.clock.seconds() + BURST)

    def test_what_is_not_used_is_given_back(self) -> None:
        bucket = Bucket(Rate(1e6))
        slow = self.shaper.share(bucket)
        assert slow.take(PIECE) > 0  # it has it, and never moves it
        self.transfer(bucket)
        assert near(self.moved_in(5)[0], 5e6)
        slow.close()
        assert near(self.moved_in(5)[0], 5e6)

    def test_a_debt_is_paid(self) -> None:
        share = self.shaper.share(Bucket(Rate(1e6)))
        assert 0 < share.take(1_000_000) <= 1e6 * BURST
        share.spent(500_000)
        assert share.take(1) == 0
        called: list[float] = []
        share.wait(lambda: called.append(self.clock.seconds()))
        self.run_for(1)
        assert near(called[0], 0.5, 0.1)

    def test_very_slow_ones_move_all_the_same(self) -> None:
        bucket = Bucket(Rate(200))
        for _ in range(4):
            self.transfer(bucket)
        for _ in range(10):
            assert all(self.moved_in(2 * PATIENCE + TICK))

    def test_nothing_ticks_where_nobody_waits(self) -> None:
        bucket = Bucket(Rate(1000))
        share = self.shaper.share(bucket)
        assert share.take(100) == 100
        assert self.clock.getDelayedCalls() == []
        share.spent(share.take(PIECE))
        assert share.take(PIECE) == 0
        share.wait(lambda: self.fail("it is over"))
        assert share.waiting
        assert len(self.clock.getDelayedCalls()) == 1
        self.clock.advance(0.001)
        share.close()
        share.close()
        assert not share.waiting
        assert self.clock.getDelayedCalls() == []
        assert share.waited == 0.001
        assert share.take(5) == 5
        share.wait(lambda: self.fail("it is over"))
        self.clock.advance(1)


class FairnessTests(ShapingCase):
    def test_equal_parts(self) -> None:
        for rate in (20e3, 3e6):
            self.setUp()
            bucket = Bucket(Rate(rate))
            for _ in range(7):
                self.transfer(bucket)
            for moved in self.moved_in(10):
                assert near(moved, rate * 10 / 7, 0.1), rate

    def test_by_weight(self) -> None:
        bucket = Bucket(Rate(9e6))
        self.transfer(bucket, 8)
        self.transfer(bucket, 1)
        interactive, background = self.moved_in(3)
        assert near(interactive, 24e6)
        assert near(background, 3e6, 0.05)

    def test_the_background_has_what_is_left(self) -> None:
        bucket = Bucket(Rate(9e6))
        self.transfer(Bucket(Rate(1e6), bucket), 8)
        self.transfer(bucket, 1)
        slow, background = self.moved_in(3)
        assert near(slow, 3e6)
        assert near(background, 24e6)

    def test_an_interactive_one_in_another_session(self) -> None:
        server = Bucket(Rate(9e6))
        for weight in (1, 8):
            user = Bucket(parent=server)
            for _ in range(2):
                self.transfer(Bucket(parent=user), weight)
        for moved, part in zip(self.moved_in(3), (1, 1, 8, 8), strict=True):
            assert near(moved, 27e6 * part / 18, 0.05)

    def test_the_tree(self) -> None:
        """The server's 10 MB/s: of its two users one may have 2, of whose sessions one has 0.5."""
        server = Bucket(Rate(10e6))
        alice, bob = Bucket(Rate(2e6), server), Bucket(parent=server)
        self.transfer(Bucket(Rate(0.5e6), alice))
        self.transfer(Bucket(parent=alice))
        self.transfer(Bucket(parent=bob))
        for moved, rate in zip(self.moved_in(5), (0.5e6, 1.5e6, 8e6), strict=True):
            assert near(moved, rate * 5)

    def test_a_second_session_evades_nothing(self) -> None:
        user = Bucket(Rate(1e6), Bucket())
        for _ in range(5):
            self.transfer(Bucket(Rate(0.9e6), user))
        assert near(sum(self.moved_in(5)), 5e6)

    def test_one_that_is_over_leaves_its_part(self) -> None:
        bucket = Bucket(Rate(2e6))
        self.transfer(bucket)
        self.transfer(bucket, size=1e6)
        one, other = self.moved_in(2)
        assert other == 1e6
        assert near(one, 3e6)


class ChangeTests(ShapingCase):
    def test_while_it_runs(self) -> None:
        user = Bucket(Rate(1e6), Bucket())
        transfer = self.transfer(user)
        assert near(self.moved_in(2)[0], 2e6)
        for rate in (4e6, 0.25e6, 2e6):
            user.limit = Rate(rate)
            assert near(self.moved_in(4)[0], 4 * rate)
            assert transfer.share.ceiling == rate

    def test_from_none_and_to_none(self) -> None:
        user = Bucket(parent=Bucket())
        transfer = self.transfer(user)
        assert transfer.share.ceiling is None
        assert transfer.moved == 16 * PIECE
        user.limit = Rate(1e6)
        transfer.go_on()
        assert near(self.moved_in(4)[0], 4e6)
        user.limit = Rate()
        assert self.moved_in(2 * TICK) == [16 * PIECE]
        assert transfer.share.ceiling is None
        assert not transfer.share.waiting

    def test_by_the_clock_on_the_wall(self) -> None:
        minute = parse_rate("12:00-12:01=1M,12:01-12:02=3M,else=2M")
        noon = time_of_day(self.wall, 12 * 60)
        self.wall.offset = noon - 5
        self.run_for(1.5)
        transfer = self.transfer(Bucket(minute))
        assert near(self.moved_in(2)[0], 4e6)
        self.run_for(3)
        assert near(self.moved_in(2)[0], 2e6)
        assert transfer.share.ceiling == 1e6
        self.wall.offset += 60  # somebody sets it
        self.run_for(1.1)
        assert near(self.moved_in(2)[0], 6e6)
        self.wall.offset -= 60  # and back
        self.run_for(1.1)
        assert near(self.moved_in(2)[0], 2e6)

    def test_over_midnight(self) -> None:
        self.wall.offset = time_of_day(self.wall, 0) - 5.1
        self.run_for(1.1)
        self.transfer(Bucket(parse_rate("22:00-00:00=1M,00:00-06:00=2M")))
        assert near(self.moved_in(3)[0], 3e6)
        self.run_for(2.1)
        assert near(self.moved_in(3)[0], 6e6)


def time_of_day(wall: Wall, minute: int) -> float:
    """A time at which the local day's minute begins."""
    from twisted_ftplite.flow.rates import minute_of

    return next(
        each for each in (wall.offset + 60 * step for step in range(24 * 60)) if minute_of(each) == minute
    )


class PropertyTests(SynchronousTestCase):
    @settings(max_examples=60, deadline=None)
    @given(
        rate=st.sampled_from([700.0, 30e3, 2e6, 1e9]),
        weights=st.lists(st.sampled_from([1, 4, 8]), min_size=1, max_size=5),
        steps=st.lists(st.sampled_from([0.001, 0.01, 0.0137, 0.2]), min_size=1, max_size=60),
        sizes=st.lists(st.integers(1, 200_000), max_size=8),
        nested=st.booleans(),
    )
    def test_never_more_than_the_rate(
        self, rate: float, weights: list[int], steps: list[float], sizes: list[int], nested: bool
    ) -> None:
        clock = Clock()
        shaper = Shaper(clock, lambda: NOON)
        root = Bucket(Rate(rate))
        transfers = [
            Transfer(shaper.share(Bucket(Rate(rate * 0.8), root) if nested else root, each))
            for each in weights
        ]
        for step, size in zip(steps, [*sizes, *[0] * len(steps)], strict=False):
            if size:
                transfers.append(Transfer(shaper.share(root), size))
            clock.advance(step)
            most = rate * clock.seconds() + max(rate * BURST, QUANTUM)
            assert sum(each.moved for each in transfers) <= most + 1
