"""How fast bytes may move: the limits of a server, of each user and of each session, while they run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakKeyDictionary

from twisted.internet.interfaces import IAddress, IReactorTime

from ..flow.buckets import Bucket
from ..flow.rates import NO_LIMIT, UNTOLD, Rate, Rates, parse_rate
from ..flow.shaping import Shaper, Share
from ..flow.tuning import PROFILES
from .hosts import countable
from .users import User

_WHOSE: Final = {
    "rate": "all transfers together",
    "user": "each user, and each host without a login, unless the users file says otherwise of one",
    "session": "each session",
}
_FIRST_SWEEP: Final = 64

RATE_OPTIONS: Final = [
    *(
        [
            f"limit-{name}",
            None,
            None,
            f"Bytes a second of {whose}, each way: as in 500k or 2M (powers of 1,000), 512Ki, "
            "or 08:00-18:00=2M,else=0; 0 is no limit.",
            parse_rate,
        ]
        for name, whose in _WHOSE.items()
    ),
    *(
        [f"limit-{name}-{way}", None, None, f"The same, of {what} alone.", parse_rate]
        for name in _WHOSE
        for way, what in (("up", "what clients put"), ("down", "what clients get"))
    ),
]
"""The options, as `twisted.python.usage` has them."""


@dataclass(frozen=True, slots=True)
class SpeedLimits:
    """What an operator decides of it."""

    server: Rates = UNTOLD
    user: Rates = UNTOLD
    session: Rates = UNTOLD
    profile: str = "bulk"
    """What those count for of whom nothing else is known."""

    @property
    def limits(self) -> bool:
        """Whether there is a limit at any time."""
        return self.server.limits or self.user.limits or self.session.limits


UNLIMITED: Final = SpeedLimits()


def speed_limits_of(options: Mapping[str, Any]) -> SpeedLimits:
    """The limits that were told."""

    def rates(name: str) -> Rates:
        both = options[f"limit-{name}"]
        return Rates(options[f"limit-{name}-up"], options[f"limit-{name}-down"]).over(Rates(both, both))

    return SpeedLimits(rates("rate"), rates("user"), rates("session"), options.get("profile") or "bulk")


class Speeds:
    """The buckets of one server."""

    def __init__(
        self, clock: IReactorTime, limits: SpeedLimits, wall: Callable[[], float] = time.time
    ) -> None:
        self._limits = limits
        self._shaper = Shaper(clock, wall)
        self._users: Mapping[str, User] = {}
        self._up = _Way(limits.server.up, limits.session.up)
        self._down = _Way(limits.server.down, limits.session.down)

    def share(
        self, user: User, address: IAddress | None, session: object, *, up: bool, listing: bool
    ) -> Share:
        """What one transfer may move, which this user begins in this session."""
        way = self._up if up else self._down
        owner = f"user {user.name}" if user.name else f"host {countable(address)}"
        user = self._users.get(user.name, user)
        bucket = way.owners.get(owner)
        if bucket is None:
            self._sweep(way)
            bucket = way.owners[owner] = Bucket(self._limit_of(user, up=up), way.root)
        bucket = way.bucket_of(session, bucket)
        profile = "interactive" if listing else user.profile or self._limits.profile
        return self._shaper.share(bucket, PROFILES[profile].weight)

    def renew(self, users: Mapping[str, User]) -> None:
        """The users file has been read again: what runs is limited anew."""
        self._users = users
        for way in (self._up, self._down):
            for owner, bucket in way.owners.items():
                kind, _, name = owner.partition(" ")
                if kind == "user":
                    bucket.limit = self._limit_of(users.get(name), up=way is self._up)

    def _limit_of(self, user: User | None, *, up: bool) -> Rate:
        own = (
            Rates() if user is None else Rates(user.rate_up, user.rate_down).over(Rates(user.rate, user.rate))
        )
        rates = own.over(self._limits.user)
        return (rates.up if up else rates.down) or NO_LIMIT

    def _sweep(self, way: _Way) -> None:
        """Forget now and then those who have done nothing of late."""
        if len(way.owners) < way.sweep_at:
            return
        for owner, bucket in list(way.owners.items()):
            self._shaper.look(bucket.path)
            if bucket.rested:
                del way.owners[owner]
        way.sweep_at = max(_FIRST_SWEEP, 2 * len(way.owners))


@dataclass(slots=True)
class _Way:
    """One direction."""

    server: Rate | None
    session: Rate | None
    root: Bucket = field(init=False)
    owners: dict[str, Bucket] = field(default_factory=dict)
    """Of users, and of hosts for those without a login."""

    sessions: WeakKeyDictionary[object, Bucket] = field(default_factory=WeakKeyDictionary)
    sweep_at: int = _FIRST_SWEEP

    def __post_init__(self) -> None:
        self.root = Bucket(self.server or NO_LIMIT)

    def bucket_of(self, session: object, owner: Bucket) -> Bucket:
        """The session's, where sessions have one."""
        if self.session is None or not self.session.limits:
            return owner
        found = self.sessions.get(session)
        if found is None or found.path[1] is not owner:  # somebody has logged in
            found = self.sessions[session] = Bucket(self.session, owner)
        return found
