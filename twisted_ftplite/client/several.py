"""One verb for several names: their commands sent ahead of their answers, what patterns find, and failures
of which none stops the rest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..errors import Failure, FileNotFound, FTPLiteError
from .globs import Listing, Match, expand, is_pattern
from .troubles import BadUsage, Reported, Unreachable
from .words import pattern_of

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from .session import Session
    from .shell import Shell

T = TypeVar("T")

AHEAD: Final = 64
"""Commands that are sent before the first of them is answered: no round trip a name, and no flood."""

Task = tuple[str, Callable[[], Coroutine[Any, Any, object]]]
"""What is done, for errors, and the doing of it."""


async def ahead(calls: Iterable[Callable[[], Coroutine[Any, Any, T]]]) -> list[T | Failure]:
    """The results of the calls, in their order, a refusal in its place; up to `AHEAD` run at a time.

    Raises the first error that is no `Failure`, and ends the rest then; so does cancelling.
    """
    from twisted.internet.defer import Deferred

    results: list[T | Failure] = []
    running: deque[Deferred[T | Failure]] = deque()
    try:
        for call in calls:
            if len(running) == AHEAD:
                results.append(await running.popleft())
            running.append(Deferred.fromCoroutine(_refusable(call())))
        while running:
            results.append(await running.popleft())
    finally:
        for each in running:
            each.addErrback(lambda _: None)
            each.cancel()
    return results


async def _refusable(call: Coroutine[Any, Any, T]) -> T | Failure:
    try:
        return await call
    except Failure as failure:
        return failure


async def one_by_one(shell: Shell, tasks: Sequence[Task]) -> None:
    """Do all; each failure is told as it happens.  Raises `Reported` with the first."""
    first: Exception | None = None
    for number, (what, work) in enumerate(tasks, 1):
        try:
            await work()
        except (FTPLiteError, Unreachable, BadUsage) as error:
            if shell.interrupted:
                raise
            shell.report(what, error)
            first = first or error
            left = len(tasks) - number
            if left and shell.present() is None:
                shell.console.complain(f"the connection is gone; names not reached: {left}")
                break
    if first is not None:
        raise Reported(first)


async def remote_matches(shell: Shell, word: str) -> list[Match] | None:
    """What a word means on the server, where it is a pattern; None where it isn't.

    Raises `FileNotFound` where nothing matches.
    """
    pattern = pattern_of(word)
    if not is_pattern(pattern):
        return None

    async def find(session: Session, _: bool) -> list[Match]:
        return await expand(word, pattern, lambda folders: _listings(session, folders))

    matches = await shell.persist(find)
    if not matches:
        raise FileNotFound("No name matches.")
    return matches


async def _listings(session: Session, folders: Sequence[str]) -> Sequence[Listing | FTPLiteError]:
    return await ahead(partial(session.ls, folder or None) for folder in folders)
