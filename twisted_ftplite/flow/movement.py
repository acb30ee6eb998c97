"""One direction of one transfer under watch: a pump, the channel it works on, and the stall timeout."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ..errors import ConnectionTimedOut, FTPLiteError
from .channel import DataChannel
from .observing import Role
from .shaping import Share
from .stall import StallWatch

_LOOK = 0.5
"""Seconds between two questions to the kernel of how it goes."""


class Pump(Protocol):
    """A producer or consumer of this package."""

    channel: DataChannel
    role: Role
    share: Share | None
    """What limits its rate; set before the start, and its own from then on."""

    @property
    def waits_for_disk(self) -> bool:
        """Whether it is this side that is being waited for."""

    def movement(self) -> int:
        """A number that grows as bytes move, as far as the peer is concerned."""

    def moved(self) -> int:
        """Bytes moved so far."""

    def start(self) -> Deferred[Any]:
        """Begin; fires when everything has moved."""

    def stop(self) -> Deferred[None]:
        """Stop; fires when no thread uses its descriptors."""


def move(pump: Pump, clock: IReactorTime, stall_timeout: float) -> Deferred[Any]:
    """Run a pump to its end, with its result.

    Fails with `ConnectionTimedOut` when nothing moves for ``stall_timeout`` seconds, with what the channel
    says when it is lost, and as the pump does.  After a failure, and when it is cancelled, the pump is
    stopped; the channel stays the caller's to close, behind ``pump.stop()``.
    """
    moved: Deferred[Any] = Deferred(lambda _: give_up())
    watch: StallWatch | None = None
    waits = 0

    def movement() -> tuple[int, int, float]:
        nonlocal waits
        waits += pump.waits_for_disk  # our own disk is no fault of the peer's, nor is a limit
        pump.channel.observe()
        return pump.movement(), waits, 0.0 if pump.share is None else pump.share.waited

    def settle() -> None:
        if watch is not None:
            watch.stop()
            pump.channel.observe()
        pump.channel.on_lost = None
        pump.channel.account.moved()

    def give_up() -> None:
        settle()
        pump.stop()

    def fail(error: FTPLiteError) -> None:
        give_up()
        moved.errback(error)

    def ended(result: Any) -> None:
        settle()  # it has stopped by itself, and its digest may still be wanted
        moved.callback(result)

    def failed(failure: Failure) -> None:
        give_up()
        moved.errback(failure)

    pump.channel.on_lost = fail
    pump.channel.account.begin()
    pump.start().addCallbacks(ended, failed)
    if not moved.called:
        stalled = ConnectionTimedOut("Nothing moved.")
        watch = StallWatch(clock, stall_timeout, movement, lambda: fail(stalled), _LOOK)
    return moved
