"""Server-sent events: what the page shows, a second after a second, to a few at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.web import http, resource, server
from twisted.web.server import Request
from zope.interface import implementer

MOST_STREAMS: Final = 8
INTERVAL: Final = 1.0
"""Seconds between two events."""

_PATIENCE: Final = 30.0
"""Seconds after which whoever reads nothing is dropped."""

Look = Callable[[bool], dict[str, Any]]
"""What is to be shown; all of it, or what has changed."""


@implementer(IPushProducer)
class _Stream:
    """One reader.  What it does not read in time it is not told: the next event says all that counts."""

    def __init__(self, request: Request, clock: IReactorTime) -> None:
        self.request = request
        self._clock = clock
        self._paused_at: float | None = None

    @property
    def stuck(self) -> bool:
        """Whether it has read nothing for too long."""
        return self._paused_at is not None and self._clock.seconds() - self._paused_at > _PATIENCE

    def tell(self, event: bytes) -> None:
        if self._paused_at is None:
            self.request.write(event)

    def end(self) -> None:
        self.request.unregisterProducer()
        self.request.finish()

    def abort(self) -> None:
        transport: Any = self.request.channel and self.request.channel.transport
        transport.abortConnection()

    def pauseProducing(self) -> None:
        self._paused_at = self._clock.seconds()

    def resumeProducing(self) -> None:
        self._paused_at = None

    def stopProducing(self) -> None:
        """It is gone; `Events` is told of that in another way."""


class Events(resource.Resource):
    """The streams of one page."""

    isLeaf = True

    def __init__(self, clock: IReactorTime, look: Look) -> None:
        resource.Resource.__init__(self)
        self._clock = clock
        self._look = look
        self._streams: list[_Stream] = []
        self._next: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._streams)

    def render_GET(self, request: Request) -> bytes | int:
        """Begin a stream."""
        request.setHeader(b"content-type", b"text/event-stream")
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"x-accel-buffering", b"no")
        if request.method == b"HEAD":
            return b""
        if len(self._streams) >= MOST_STREAMS:
            request.setResponseCode(http.SERVICE_UNAVAILABLE)
            request.setHeader(b"content-type", b"text/plain; charset=utf-8")
            request.setHeader(b"retry-after", b"10")
            return b"Enough are looking already.\n"
        stream = _Stream(request, self._clock)
        self._streams.append(stream)
        request.notifyFinish().addBoth(lambda _: self._gone(stream))
        request.registerProducer(stream, True)
        stream.tell(b"retry: 2000\n\n" + _spell(self._look(True)))
        if self._next is None:
            self._next = self._clock.callLater(INTERVAL, self._tell)
        return server.NOT_DONE_YET

    def end(self) -> None:
        """End all streams."""
        for stream in list(self._streams):
            stream.end()

    def _tell(self) -> None:
        self._next = self._clock.callLater(INTERVAL, self._tell)
        event = _spell(self._look(False))
        for stream in list(self._streams):
            if stream.stuck:
                stream.abort()
            else:
                stream.tell(event)

    def _gone(self, stream: _Stream) -> None:
        self._streams.remove(stream)
        if not self._streams and self._next is not None:
            self._next.cancel()
            self._next = None


def _spell(shown: dict[str, Any]) -> bytes:
    """One event; JSON in ASCII has no line ends, whatever names hold."""
    return b"data: " + json.dumps(shown, separators=(",", ":")).encode("ascii") + b"\n\n"
