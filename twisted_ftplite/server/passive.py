"""Data channels that clients open: who waits for which token (docs/protocol.md, section 6, ``passive``)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from ..errors import ConnectionTimedOut
from ..flow.channel import DataChannel
from ..protocol.tokens import DIGITS, halves, is_same_token


@dataclass(slots=True)
class _Place:
    """A transfer that waits for its data channel."""

    secret: str
    """The half of its token that is compared in constant time; the other one only finds it."""

    secure: bool
    joined: Deferred[DataChannel]
    deadline: IDelayedCall


class PassiveChannels:
    """The transfers that wait for a client to connect."""

    def __init__(self, clock: IReactorTime, timeout: float) -> None:
        """A token is good for ``timeout`` seconds."""
        self._clock = clock
        self._timeout = timeout
        self._places: dict[str, _Place] = {}

    def __len__(self) -> int:
        return len(self._places)

    def expect(self, *, secure: bool) -> tuple[str, Deferred[DataChannel]]:
        """A fresh token, and what fires with the data channel of whoever says it, which is the caller's.

        It fails with `ConnectionTimedOut`; cancelling it makes the token void.  ``secure``: one that comes
        in the clear is nobody's.
        """
        token = secrets.token_hex(DIGITS // 2)
        name, secret = halves(token)

        def give_up(_: object) -> None:
            self._take(name)

        joined: Deferred[DataChannel] = Deferred(give_up)
        deadline = self._clock.callLater(self._timeout, self._time_out, name)
        self._places[name] = _Place(secret, secure, joined, deadline)
        return token, joined

    def claim(self, token: str, *, secure: bool) -> Deferred[DataChannel] | None:
        """Who waits for a connection that says this token, which is used up now; None: nobody does.

        The caller has to `settle` it.
        """
        name, secret = halves(token)
        place = self._places.get(name)
        if place is None or not is_same_token(place.secret, secret) or (place.secure and not secure):
            return None
        self._take(name)
        return place.joined

    def _take(self, name: str) -> None:
        place = self._places.pop(name, None)
        if place is not None and place.deadline.active():
            place.deadline.cancel()

    def _time_out(self, name: str) -> None:
        joined = self._places.pop(name).joined
        joined.errback(ConnectionTimedOut("You did not connect to the data channel."))


def settle(joined: Deferred[DataChannel], result: DataChannel | Failure) -> None:
    """Give a channel, or why there is none, to who waits for it; reset it where nobody does any more."""
    if not joined.called:
        joined.callback(result)  # a Failure is an error to it
    elif isinstance(result, DataChannel):
        result.reset()
