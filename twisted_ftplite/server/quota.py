"""What users may store: reserved before a byte comes, and given back when it does not.

All users of one root share its `Tally`.  What changes the tree there waits for its turn (`Tally.turns`), is
done by a thread, and is told to the tally before the next one's turn: so the tally and the tree agree
whenever nobody has a turn.  Moving bytes needs none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar, TypeVarTuple

from twisted.internet.defer import Deferred, DeferredLock, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..errors import QuotaExceeded
from ..flow.workers import Workers
from ..limits import Limits
from ..storage.interface import NOTHING, Storage, Usage

log = Logger()

A = TypeVarTuple("A")
T = TypeVar("T")

_DEFAULT_LIMITS = Limits()

_ATTEMPTS = 3
"""Times a tree is counted where names move meanwhile."""


class Limited(Protocol):
    """Who may store so much; None: any amount."""

    @property
    def quota_bytes(self) -> int | None: ...

    @property
    def quota_files(self) -> int | None: ...


class Most(NamedTuple):
    """What one user's root may hold, whoever put it there."""

    bytes: int | None
    files: int | None


class Turns:
    """`Workers` that make one call at a time."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._lock = DeferredLock()

    def run(self, function: Callable[[*A], T], *args: *A) -> Deferred[T]:
        return self._lock.run(lambda: self._workers.run(function, *args))


class Tally:
    """What the files of one root take up, and what is reserved for those that come.

    A file that is being written counts as reserved, whole, with what its partial held before.
    """

    def __init__(self, storage: Storage, workers: Workers) -> None:
        self.turns = Turns(workers)
        self.storage = storage
        self._workers = workers
        self._lock = threading.Lock()  # of all numbers below, held for moments
        self._used = NOTHING
        self._reserved = NOTHING
        self._is_counted = False
        self._lost = self._won = NOTHING  # by changes since the count that runs has begun
        self._is_blurred = False
        self._counts = False
        self._waiting: list[Deferred[None]] = []

    @property
    def used(self) -> Usage:
        """What all files take up that are not being written."""
        return self._used

    @property
    def reserved(self) -> Usage:
        """What is kept free, or taken up already, for those that are."""
        return self._reserved

    # Counting.

    def ready(self) -> Deferred[None]:
        """Fires when it is known what the files take up; fails as `Storage.usage` does.  May be cancelled."""
        return succeed(None) if self._is_counted else self._wait()

    def recount(self) -> Deferred[None]:
        """Look again, as something else may have changed the tree; fires, or fails, when that is over."""
        return self._wait()

    def _wait(self) -> Deferred[None]:
        wait: Deferred[None] = Deferred()
        self._waiting.append(wait)
        if not self._counts:
            self._counts = True
            Deferred.fromCoroutine(self._count()).addBoth(self._counted)
        return wait

    async def _count(self) -> None:
        for left in reversed(range(_ATTEMPTS)):
            await self.turns.run(self._begin_count)
            found = await self._workers.run(self.storage.usage)
            if await self.turns.run(self._end_count, found, not left):
                return

    def _counted(self, result: Failure | None) -> None:
        self._counts = False
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(result)  # a failure as well

    def _begin_count(self) -> None:
        with self._lock:
            self._lost = self._won = NOTHING
            self._is_blurred = False

    def _end_count(self, found: Usage, is_last: bool) -> bool:
        """In a turn: of each change since the beginning what was found has either all, or nothing, or a part.

        The tally is believed where that could explain it; elsewhere the tree was changed by something else,
        and then it is what was found and all that came meanwhile.  False where it is to be counted again:
        what moves while it is counted may be found twice, or never.
        """
        with self._lock:
            if self._is_blurred and (self._is_counted or not is_last):
                return is_last
            low, high = _sum(found, self._lost), _sum(found, self._won)
            self._used = Usage(*map(self._believe, self._used, low, high))
            self._is_counted = True
            return True

    def _believe(self, used: int, low: int, high: int) -> int:
        return used if self._is_counted and low <= used <= high else high

    # What changes.  Any thread may call these; none waits.

    def reserve(self, more: Usage, most: Most) -> None:
        """Raises `QuotaExceeded`."""
        with self._lock:
            left = self._left(most)
            if more.files and left.files is not None and more.files > left.files:
                raise QuotaExceeded(f"{left.files} of {most.files} files are left.")
            if more.bytes and left.bytes is not None and more.bytes > left.bytes:
                raise QuotaExceeded(f"{left.bytes} of {most.bytes} bytes are left.")
            self._reserved = _sum(self._reserved, more)

    def grow(self, wanted: int, step: int, most: Most) -> int:
        """Reserve so many bytes more, or a ``step``, or what is left; returns how many."""
        with self._lock:
            left = self._left(most).bytes
            more = max(wanted, step) if left is None else min(max(wanted, step), left)
            self._reserved = _sum(self._reserved, Usage(more, 0))
            return more

    def left(self, most: Most) -> Most:
        """What may still be reserved."""
        with self._lock:
            return self._left(most)

    def adopt(self, held: Usage) -> None:
        """What was used is reserved now: it is being written again."""
        with self._lock:
            self._reserved = _sum(self._reserved, held)
            self._change(Usage(-held.bytes, -held.files))

    def settle(self, reserved: Usage, *changes: Usage) -> None:
        """A reservation is over, and left this."""
        with self._lock:
            self._reserved = _sum(self._reserved, Usage(-reserved.bytes, -reserved.files))
            for each in changes:
                self._change(each)

    def removed(self, usage: Usage, *, moves: bool) -> None:
        """This is gone; with ``moves`` a name of what stays is another now."""
        with self._lock:
            self._is_blurred |= moves
            self._change(Usage(-usage.bytes, -usage.files))

    def _left(self, most: Most) -> Most:
        # Less than nothing is used where something was removed that the tally did not know.
        taken = _sum(Usage(*(max(0, each) for each in self._used)), self._reserved)
        return Most(
            None if most.bytes is None else max(0, most.bytes - taken.bytes),
            None if most.files is None else max(0, most.files - taken.files),
        )

    def _change(self, change: Usage) -> None:
        self._used = _sum(self._used, change)
        self._lost = _sum(self._lost, Usage(min(0, change.bytes), min(0, change.files)))
        self._won = _sum(self._won, Usage(max(0, change.bytes), max(0, change.files)))


class Reservation:
    """The room of one upload, an `Allowance`.  It ends by the first of the methods that say so."""

    def __init__(self, quota: Quota, size: int, held: Usage) -> None:
        self._quota = quota
        self._bytes = size
        self._held = held
        self.is_over = False

    @property
    def turns(self) -> Workers:
        """See `Quota.turns`."""
        return self._quota.turns

    def ask(self, total: int) -> int:
        """See `Allowance.ask`."""
        if total > self._bytes and not self.is_over:
            quota = self._quota
            self._bytes += quota.tally.grow(total - self._bytes, quota.step, quota.most)
        return self._bytes

    def refused(self) -> QuotaExceeded:
        """See `Allowance.refused`."""
        most = self._quota.most
        left = self._quota.tally.left(most).bytes
        return QuotaExceeded(f"{left} of {most.bytes} bytes are left.")

    def removed(self, usage: Usage) -> None:
        """See `Quota.removed`."""
        self._quota.removed(usage)

    def published(self, size: int, replaced: Usage = NOTHING) -> None:
        """It is over: there is a file of so many bytes, and what had its name is not."""
        self._end(Usage(size, 1), Usage(-replaced.bytes, -replaced.files))

    def kept(self, size: int) -> None:
        """It is over: there is a partial of so many bytes."""
        self._end(Usage(size, 1))

    def discarded(self) -> None:
        """It is over: there is nothing."""
        self._end()

    def withdrawn(self) -> None:
        """It is over before it was opened: there is what it held before."""
        self._end(self._held)

    def _end(self, *changes: Usage) -> None:
        if not self.is_over:
            self.is_over = True
            self._quota.tally.settle(Usage(self._bytes, 1), *changes)


@dataclass(frozen=True, slots=True)
class Quota:
    """What one user may store in his root."""

    tally: Tally
    most: Most
    step: int = _DEFAULT_LIMITS.quota_step
    """Bytes that an upload of unknown size reserves at a time."""

    @property
    def turns(self) -> Workers:
        """Where a call is made that changes the tree, and what it changed told here, in the same call."""
        return self.tally.turns

    def ready(self) -> Deferred[None]:
        """Fires when something can be reserved; before the first time the tree is counted."""
        return self.tally.ready()

    def reserve(self, size: int | None, held: int | None = None) -> Reservation:
        """Room for an upload that will have so many bytes; None: it asks as it grows.

        ``held`` are the bytes of the partial that it goes on with.  In a turn, in which the upload is opened
        as well.  Raises `QuotaExceeded`.
        """
        before = NOTHING if held is None else Usage(held, 1)
        size = before.bytes if size is None else max(size, before.bytes)
        self.tally.reserve(Usage(size - before.bytes, 1 - before.files), self.most)
        self.tally.adopt(before)
        return Reservation(self, size, before)

    def removed(self, usage: Usage, *, moves: bool = False) -> None:
        """This is gone, and with ``moves`` a name is another now.  In the turn in which that was done."""
        self.tally.removed(usage, moves=moves)


class Quotas:
    """Those of all users; ``tree_of`` tells what is served at a root."""

    def __init__(
        self, workers: Workers, tree_of: Callable[[str], Storage], limits: Limits = _DEFAULT_LIMITS
    ) -> None:
        self._workers = workers
        self._tree_of = tree_of
        self._step = limits.quota_step
        self._tallies: dict[str, Tally] = {}

    def of(self, root: str, user: Limited) -> Quota | None:
        """None: nothing is counted there.

        A user without bounds is counted as well where another's root is the same, from when that one came.
        """
        most = Most(user.quota_bytes, user.quota_files)
        tally = self._tallies.get(root)
        if tally is None:
            if most == (None, None):
                return None
            tally = self._tallies[root] = self._tally(self._tree_of(root))
        step = self._step if most.bytes is None else min(self._step, max(most.bytes // 4, 1))
        return Quota(tally, most, step)

    def _tally(self, storage: Storage) -> Tally:
        """The one of this tree, whatever its root is called."""
        for each in self._tallies.values():
            if each.storage is storage:
                return each
        return Tally(storage, self._workers)

    def forget(self, root: str) -> None:
        """Nobody has that root any more."""
        self._tallies.pop(root, None)

    async def recount(self) -> None:
        """Look again at all trees, one after the other; to be called now and then."""
        for tally, root in {tally: root for root, tally in self._tallies.items()}.items():
            try:
                await tally.recount()
            except Exception:  # noqa: BLE001 - the others are counted all the same
                log.failure("What is stored in {root!r} could not be counted", root=root)


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(one.bytes + other.bytes, one.files + other.files)
