"""The transfers that run, by whose they are: each user may have so many at a time."""

from __future__ import annotations

from collections import Counter

from twisted.internet.defer import Deferred

from ..errors import LimitReached


class Running:
    """Transfers from their first answer until no thread works for them any more.

    One that has had its final status may still keep a thread, and so counts; but it will end of itself, and
    whoever begins the next one waits for that rather than being refused.
    """

    def __init__(self) -> None:
        self._all: Counter[str] = Counter()
        self._over: Counter[str] = Counter()
        self._waiting: dict[str, list[Deferred[None]]] = {}

    async def begin(self, owner: str, most: int) -> None:
        """Count one more.  Raises `LimitReached` where there are so many already."""
        while self._all[owner] >= most:
            if not self._over[owner]:
                raise LimitReached(f"You may have {most} transfers at a time.")
            wait: Deferred[None] = Deferred()
            self._waiting.setdefault(owner, []).append(wait)
            await wait
        self._all[owner] += 1

    def over(self, owner: str) -> None:
        """One has had its final status."""
        self._over[owner] += 1

    def end(self, owner: str) -> None:
        """Nothing of it is in use any more."""
        for counter in (self._all, self._over):
            counter[owner] -= 1
            if not counter[owner]:
                del counter[owner]
        for each in self._waiting.pop(owner, ()):
            each.callback(None)
