"""Uploads that run: whose they are and where they go, and how a later one takes over from an earlier one.

A client whose link was cut may be back before the server has noticed; its old upload then still seems to
run (docs/protocol.md, section 6, ``offset``).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple

from twisted.internet.defer import Deferred

from ..errors import ConnectionLost, FTPLiteError


class Place(NamedTuple):
    """Where an upload goes."""

    owner: str
    """Who sends it: partials belong to their owner."""

    target: Hashable
    """What `Storage.check_write` tells: the same for all names of one place."""


class LiveUpload:
    """One upload, from the moment its file is to be opened until that is published, kept or discarded."""

    def __init__(
        self, end: Callable[[FTPLiteError], None], size: Callable[[], int], is_over: Callable[[], bool]
    ) -> None:
        self.end = end
        """Ends its command with this status; it goes on where that comes too late."""

        self.size = size
        """Bytes that have arrived, those of the partial it goes on with included."""

        self.is_over = is_over
        """Whether its command has had its final status, and only what arrived is still being kept."""

        self._waiting: list[Deferred[None]] = []

    def settled(self) -> Deferred[None]:
        """Fires when nothing of it is in use any more; may be cancelled."""
        wait: Deferred[None] = Deferred()
        self._waiting.append(wait)
        return wait

    def settle(self) -> None:
        """Nothing of it is in use any more."""
        for each in self._waiting:
            each.callback(None)


class LiveUploads:
    """All uploads of one server that run."""

    def __init__(self) -> None:
        self._live: dict[Place, list[LiveUpload]] = {}

    def begin(self, place: Place, upload: LiveUpload) -> None:
        """From now on it is there to be taken over."""
        self._live.setdefault(place, []).append(upload)

    def end(self, place: Place, upload: LiveUpload) -> None:
        """It is settled."""
        there = self._live[place]
        there.remove(upload)
        if not there:
            del self._live[place]
        upload.settle()

    async def take_over(self, place: Place) -> None:
        """End what runs there, with ``Connection lost.``, and wait until what arrived has been kept."""
        while there := self._live.get(place):
            settled = there[0].settled()
            there[0].end(ConnectionLost("Another session of yours goes on with this file."))
            await settled

    async def settle(self, place: Place) -> list[LiveUpload]:
        """Those that run there, once what arrived of those that are over has been kept."""
        while over := self._over(place):
            await over[0].settled()
        return self.there(place)

    async def settle_of(self, owner: str) -> None:
        """Wait until what arrived of those of this user that are over has been kept, and room given back."""
        while over := [each for place in self._live if place.owner == owner for each in self._over(place)]:
            await over[0].settled()

    def there(self, place: Place) -> list[LiveUpload]:
        """Those that run there, and those that are over and not settled."""
        return list(self._live.get(place, ()))

    def _over(self, place: Place) -> list[LiveUpload]:
        return [each for each in self._live.get(place, ()) if each.is_over()]
