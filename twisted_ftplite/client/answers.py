"""What the server has said of one command, and what waits for it."""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import Deferred

from ..protocol.client import (
    ChecksumTold,
    Completed,
    Event,
    Invited,
    LimitTold,
    ModeTold,
    ModifiedTold,
    Ready,
    SizeTold,
    Told,
)
from ..protocol.lines import Field
from ..protocol.values import Bottleneck, Checksum

T = TypeVar("T")


class Answers:
    """One command's, as far as they have come."""

    def __init__(self) -> None:
        self.ready: Deferred[None] = Deferred()
        """Fires when the server is ready for the data channel."""

        self.token: Deferred[str] = Deferred()
        """Fires with what is to be said on the data channel, where the client connects that."""

        self.size: Deferred[int] = Deferred()
        """Fires with the bytes that the server announces for the whole file."""

        self.completed: Deferred[None] = Deferred()
        """Fires when the server's completion has come."""

        self.told_size: int | None = None
        self.mtime_ns: int | None = None
        self.mode: int | None = None
        self.checksum: Checksum | None = None
        """There before `completed` fires, where it was asked for."""

        self.limited_by: Bottleneck | None = None
        """What the server waited for most; there before `completed` fires, where it says so."""

        self.fields: list[Field] = []
        """Of a command without a transfer."""

        self._awaited_attributes: Deferred[None] | None = None

    def attributes(self) -> Deferred[None]:
        """Fires when time and mode of the file are told, or will not be; to be asked for once."""
        self._awaited_attributes = awaited = Deferred[None]()
        self._see_attributes()
        return awaited

    def hear(self, event: Event) -> None:
        """Something has come."""
        match event:
            case Ready():
                _fire(self.ready, None)
            case Invited(token):
                _fire(self.token, token)
            case SizeTold(size):
                self.told_size = size
                _fire(self.size, size)
            case ModifiedTold(mtime_ns):
                self.mtime_ns = mtime_ns
            case ModeTold(mode):
                self.mode = mode
            case ChecksumTold(checksum):
                self.checksum = checksum
            case LimitTold(limited_by):
                self.limited_by = limited_by
            case Completed():
                _fire(self.completed, None)
            case Told(field):
                self.fields.append(field)
        self._see_attributes()

    def _see_attributes(self) -> None:
        told = self.mtime_ns is not None and self.mode is not None
        if self._awaited_attributes is not None and (told or self.completed.called):
            _fire(self._awaited_attributes, None)


def _fire(awaited: Deferred[T], result: T) -> None:
    """Who waited may have given up."""
    if not awaited.called:
        awaited.callback(result)
