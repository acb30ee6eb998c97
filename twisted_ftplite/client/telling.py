"""What is told now and then while something takes long: progress to people, ``Working`` to the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from .services import Progress

PROGRESS_INTERVAL = 0.1
"""Seconds."""


@contextmanager
def repeated(clock: IReactorTime, interval: float, tell: Callable[[], None]) -> Iterator[None]:
    """Call ``tell`` every so many seconds, first when they have passed."""
    telling = LoopingCall(tell)
    telling.clock = clock
    telling.start(interval, now=False)
    try:
        yield
    finally:
        if telling.running:
            telling.stop()


@contextmanager
def shown(
    clock: IReactorTime, progress: Progress | None, moved: Callable[[], int], total: int | None
) -> Iterator[None]:
    """Call ``progress``, if there is one, with what ``moved`` gives."""
    if progress is None:
        yield
        return
    with repeated(clock, PROGRESS_INTERVAL, lambda: progress(moved(), total)):
        yield
