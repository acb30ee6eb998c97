"""Threads for what may wait for a disk, so that the reactor's never does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol, TypeVar, TypeVarTuple

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads

A = TypeVarTuple("A")
T = TypeVar("T")


class Workers(Protocol):
    """Where blocking calls are made."""

    def run(self, function: Callable[[*A], T], *args: *A) -> Deferred[T]:
        """Call the function elsewhere; the Deferred fires in the reactor's thread.

        It must not be cancelled, since the call cannot be: wait for it with `shielded`.
        """


class InlineWorkers:
    """Makes every call at once in the caller's thread: for storage that never waits, and for tests."""

    def run(self, function: Callable[[*A], T], *args: *A) -> Deferred[T]:
        made: Deferred[T] = Deferred()
        try:
            made.callback(function(*args))
        except Exception as error:  # noqa: BLE001 - it is the caller's
            made.errback(error)
        return made


class _Job(NamedTuple):
    function: Callable[..., Any]
    args: tuple[Any, ...]
    answer: Deferred[Any]


class ThreadWorkers:
    """A bounded number of threads, started as they are needed.

    Twisted's own pool does the same and took twice the CPU time a call (docs/performance.md).  The
    threads are daemons: a disk that never answers must not keep the process from leaving.
    """

    def __init__(self, reactor: IReactorFromThreads, most: int) -> None:
        self._reactor = reactor
        self._most = most
        self._started = 0
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self.waiting = 0
        """Calls made and not yet answered."""

    def run(self, function: Callable[[*A], T], *args: *A) -> Deferred[T]:
        job = _Job(function, args, Deferred())
        self.waiting += 1
        if self.waiting > self._started < self._most:
            self._started += 1
            threading.Thread(target=self._work, name="ftplite-worker", daemon=True).start()
        self._jobs.put(job)
        return job.answer

    def stop(self) -> None:
        """Let the threads leave when they have done what was asked of them."""
        for _ in range(self._started):
            self._jobs.put(None)
        self._started = 0

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            result, error = None, None
            try:
                result = job.function(*job.args)
            except Exception as raised:  # noqa: BLE001 - it is the caller's, in the other thread
                error = raised
            self._reactor.callFromThread(self._answer, job, result, error)
            del job, result, error  # a thread that sleeps keeps nothing alive

    def _answer(self, job: _Job, result: Any, error: Exception | None) -> None:
        self.waiting -= 1
        if error is not None:
            job.answer.errback(error)
        else:
            job.answer.callback(result)


def shielded(job: Deferred[T]) -> Deferred[T]:
    """The job's result in a Deferred of its own, which may be cancelled while the job goes on to its end."""
    wait: Deferred[T] = Deferred()
    job.addCallbacks(wait.callback, wait.errback)
    return wait
