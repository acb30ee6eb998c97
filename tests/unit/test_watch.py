"""What a server keeps for whoever looks: distributions, the last hour, and how late the reactor is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite.errors import FileNotFound
from twisted_ftplite.flow.observing import Account, Role
from twisted_ftplite.protocol.lines import Success
from twisted_ftplite.server.history import BUCKET, KEPT, Distribution, History
from twisted_ftplite.server.watch import MOST_USERS, NOBODY, OTHERS, Watch


class DistributionTests(SynchronousTestCase):
    def test_values_are_counted_up_to_each_bound(self) -> None:
        found = Distribution((1, 10))
        for value in (0, 1, 1.5, 10, 11, 1e9):
            found.add(value)
        assert found.cumulative() == [(1, 2), (10, 4), (float("inf"), 6)]
        assert found.sum == 0 + 1 + 1.5 + 10 + 11 + 1e9


class HistoryTests(SynchronousTestCase):
    def test_what_moves_evenly_looks_even(self) -> None:
        history = History(100.0)
        then = 100.0
        for now in (101.1, 103.7, 107.3, 118.0):
            history.add(now, (now - then) * 1000, (now - then) * 10)
            then = now
        assert history.rates() == [(1000, 10)] * 4
        assert (history.number, history.age(119.0)) == (3, 4.0)

    def test_an_hour_is_kept(self) -> None:
        history = History(0.0)
        for each in range(KEPT + 50):
            history.add((each + 0.5) * BUCKET, each, 0)
        assert len(history.rates()) == KEPT
        assert history.number == KEPT + 49
        assert history.rates(2) == history.rates()[-2:]


class Thing(SimpleNamespace):
    """What has some attributes, and is itself."""

    __hash__ = object.__hash__  # type: ignore[assignment]


def call_of(user: str, moved: int, *, role: Role = Role.SENDER, verb: str = "get") -> Any:
    """A command with a transfer of so many bytes."""
    account = Account()
    pump = SimpleNamespace(role=role, moved=lambda: moved, channel=SimpleNamespace(account=account))
    return Thing(
        command=SimpleNamespace(verb=SimpleNamespace(name=verb)),
        user=SimpleNamespace(name=user),
        pumped=pump,
        moved=moved,
    )


class WatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.watch = Watch(self.clock)
        self.guests: list[Any] = []
        self.watch.begin(lambda: self.guests, {})
        self.addCleanup(self.watch.end)

    def test_commands_by_verb_and_outcome(self) -> None:
        self.watch.ran(call_of("", 5), Success.FILE_TRANSFERRED, 0.1)
        self.watch.ran(call_of("", 0), FileNotFound(), 0.1)
        assert dict(self.watch.commands) == {("get", "success"): 1, ("get", "failure"): 1}
        assert self.watch.durations["get"].cumulative()[-1][1] == 1

    def test_bytes_are_counted_while_they_move_and_once(self) -> None:
        call = call_of("", 3000, role=Role.RECEIVER, verb="put")
        guest = SimpleNamespace(began=0.0, performer=SimpleNamespace(call=call))
        self.guests.append(guest)
        assert self.watch.moved() == (0, 3000)
        self.clock.pump([0.1] * 11)
        call.moved = 5000
        self.clock.pump([0.1] * 10)
        assert 1500 < self.watch.rate(call) < 2500
        guest.performer.call = None
        call.pumped.moved = lambda: 5000
        self.watch.ran(call, Success.FILE_TRANSFERRED, 2.1)
        assert self.watch.moved() == (0, 5000)
        self.clock.pump([0.1] * 10)
        rates = self.watch.history.rates()
        assert round(sum(received for _, received in rates) * 3.1) in range(4800, 5200)
        assert self.watch.rate(call) == 0

    def test_users_by_name_up_to_a_number(self) -> None:
        for number in range(MOST_USERS + 20):
            self.watch.ran(call_of(f"u{number}", 10), Success.FILE_TRANSFERRED, 0.1)
        self.watch.ran(call_of("", 10), Success.FILE_TRANSFERRED, 0.1)
        self.watch.ran(call_of("u1", 10, role=Role.RECEIVER), Success.FILE_TRANSFERRED, 0.1)
        assert len(self.watch.users) == MOST_USERS + 1
        assert self.watch.users[OTHERS] == [210, 0]
        assert self.watch.users["u1"] == [10, 10]
        assert NOBODY not in self.watch.users

    def test_how_late_the_reactor_is(self) -> None:
        self.clock.pump([0.1] * 5)
        self.clock.advance(0.75)
        self.clock.pump([0.1] * 5)
        assert 0.6 < self.watch.lag < 0.7
        assert self.watch.lags.cumulative()[-1][1] == 11
        self.clock.pump([0.1] * 11)
        assert self.watch.lag < 0.01
