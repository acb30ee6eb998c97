"""What a server keeps for whoever looks at it: what was done, what runs, how fast, and how it is itself.

It is told of connections and of commands that are over.  What still runs it finds by itself, now and
then, so that no byte that moves costs anything.  A server that nobody looks at has none.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Final, Literal, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ..flow.observing import Role
from ..protocol.lines import Success
from .history import Distribution, History

if TYPE_CHECKING:
    from .call import Call
    from .door import Guest
    from .record import Status

_BEAT: Final = 0.1
"""Seconds between two looks at how late the reactor is."""

_BEATS: Final = 10
"""Of these, until it is looked what moves."""

_REMEMBERED: Final = 4
"""Looks that the present rate of a transfer is made of."""

MOST_USERS: Final = 100
"""Users that are counted by name; what all others move is counted together."""

OTHERS: Final = "(others)"
NOBODY: Final = "(no login)"

_LARGE: Final = 1 << 20
"""Bytes from which on the rate of a transfer tells anything."""

_DURATIONS: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3600, 14400)
_RATES: Final = (1e4, 1e5, 3e5, 1e6, 3e6, 1e7, 3e7, 1e8, 3e8, 1e9, 3e9, 1e10)
_DELAYS: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3)

State = Literal["starting", "serving", "draining"]


class Pool(Protocol):
    """Threads that work."""

    waiting: int


class Watch:
    """All of one server."""

    def __init__(self, clock: IReactorTime) -> None:
        self.clock = clock
        self.state: State = "starting"
        self.started = time.time()
        self.connections = self.refused = 0
        """Connections that came in, data channels too; those of them that were one too many, or banned."""

        self.commands: dict[tuple[str, str], int] = defaultdict(int)
        """Those that are over, by verb and outcome."""

        self.users: dict[str, list[int]] = {}
        """Bytes sent and received in transfers that are over, by user."""

        self.durations: dict[str, Distribution] = defaultdict(lambda: Distribution(_DURATIONS))
        """Seconds of transfers that went well, by verb."""

        self.speeds = (Distribution(_RATES), Distribution(_RATES))
        """Bytes a second of large transfers that went well, sent and received."""

        self.round_trips = Distribution(_DELAYS)
        self.resent = 0
        """Segments that were sent again."""

        self.lags = Distribution(_DELAYS)
        self.lag = 0.0
        """Seconds by which the reactor was late, at most, of late."""

        self.pools: Mapping[str, Pool] = {}
        self.history = History(clock.seconds())
        self._guests: Callable[[], Collection[Guest]] = tuple
        self._over = [0, 0]
        self._spent = [0.0] * 6
        self._seen = (0, 0)
        self._samples: dict[Call, deque[tuple[float, int]]] = {}
        self._next: IDelayedCall | None = None
        self._beats = 0
        self._worst = 0.0

    # What it is told.

    def begin(self, guests: Callable[[], Collection[Guest]], pools: Mapping[str, Pool]) -> None:
        """Look at these from now on."""
        self._guests = guests
        self.pools = pools
        self.state = "serving"
        self._next = self.clock.callLater(_BEAT, self._beat, self.clock.seconds() + _BEAT)

    def end(self) -> None:
        """Look no more."""
        if self._next is not None and self._next.active():
            self._next.cancel()

    def came(self, *, refused: bool) -> None:
        """A connection has come in."""
        self.connections += 1
        self.refused += refused

    def ran(self, call: Call, status: Status, seconds: float) -> None:
        """A command is over."""
        verb, well = call.command.verb.name, isinstance(status, Success)
        self.commands[verb, "success" if isinstance(status, Success) else status.kind.lower()] += 1
        pump = call.pumped
        if pump is None:
            return
        moved, account, way = pump.moved(), pump.channel.account, _way(call)
        self._samples.pop(call, None)
        self._over[way] += moved
        self._count(call, way, moved)
        for what, spent in enumerate(account.spent()):
            self._spent[what] += spent
        if account.info is not None and account.info.rtt:
            self.resent += account.info.total_retrans
            self.round_trips.add(account.info.rtt / 1e6)
        if well:
            self.durations[verb].add(seconds)
            if moved >= _LARGE and seconds > 0:
                self.speeds[way].add(moved / seconds)

    # What it tells.

    @property
    def ready(self) -> bool:
        """Whether whoever comes now is served."""
        return self.state == "serving"

    def guests(self) -> list[Guest]:
        """Those that are sessions, the oldest first."""
        return sorted(self._guests(), key=lambda each: each.began)

    def running(self) -> Iterator[Call]:
        """Transfers that move."""
        for guest in self._guests():
            call = guest.performer.call
            if call is not None and call.pumped is not None:
                yield call

    def moved(self) -> tuple[int, int]:
        """Bytes sent and received from the start on."""
        moved = list(self._over)
        for call in self.running():
            moved[_way(call)] += call.moved
        return moved[0], moved[1]

    def spent(self) -> list[float]:
        """Seconds of all transfers by what they were spent on, as `flow.observing` counts them."""
        total = list(self._spent)
        for call in self.running():
            if call.pumped is not None:
                for what, spent in enumerate(call.pumped.channel.account.spent()):
                    total[what] += spent
        return total

    def rate(self, call: Call) -> int:
        """Bytes a second of late."""
        samples = self._samples.get(call)
        if not samples:
            return 0
        then, moved = samples[0]
        seconds = self.clock.seconds() - then
        return round((call.moved - moved) / seconds) if seconds > 0 else 0

    # What it does by itself.

    def _beat(self, due: float) -> None:
        now = self.clock.seconds()
        late = max(now - due, 0.0)
        self.lags.add(late)
        self._worst = max(self._worst, late)
        self._beats += 1
        if self._beats >= _BEATS:
            self._beats = 0
            self.lag, self._worst = self._worst, 0.0
            self._look(now)
        self._next = self.clock.callLater(_BEAT, self._beat, now + _BEAT)

    def _look(self, now: float) -> None:
        sent, received = self.moved()
        self.history.add(now, sent - self._seen[0], received - self._seen[1])
        self._seen = sent, received
        old, self._samples = self._samples, {}
        for call in self.running():
            samples = self._samples[call] = old.get(call) or deque(maxlen=_REMEMBERED)
            samples.append((now, call.moved))

    def _count(self, call: Call, way: int, moved: int) -> None:
        name = call.user.name or NOBODY
        found = self.users.get(name)
        if found is None:
            if len(self.users) >= MOST_USERS:
                name = OTHERS
            found = self.users.setdefault(name, [0, 0])
        found[way] += moved


def _way(call: Call) -> int:
    """0 where it sends, 1 where it receives."""
    return int(call.pumped is not None and call.pumped.role is Role.RECEIVER)
