"""The status page and its neighbours, over HTTP.  There is nothing in it that changes anything.

Whatever a request brings along is thrown away unread, and all that is sent was in memory from the start.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.web import http, resource, server

from ..server.watch import Watch
from .events import Events
from .metrics import Metrics
from .view import look

MOST_CONNECTIONS: Final = 64

_STATIC: Final = Path(__file__).parent / "static"
_FILES: Final = {
    "": ("index.html", "text/html"),
    "page.css": ("page.css", "text/css"),
    "page.js": ("page.js", "text/javascript"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
    "uPlot.css": ("uplot/uPlot.css", "text/css"),
    "uPlot.js": ("uplot/uPlot.js", "text/javascript"),
}
_HEADERS: Final = {
    b"content-security-policy": b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
}
_PORT: Final = re.compile(":[0-9]*$")
_TEXT: Final = b"text/plain; charset=utf-8"


class Content(resource.Resource):
    """A file of ours."""

    isLeaf = True

    def __init__(self, content: bytes, kind: str) -> None:
        resource.Resource.__init__(self)
        self._content = content
        self._kind = f"{kind}; charset=utf-8".encode()
        self._tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'.encode()

    def render_GET(self, request: server.Request) -> bytes:
        """It, unless the browser has it."""
        request.setHeader(b"content-type", self._kind)
        request.setHeader(b"cache-control", b"no-cache")
        return b"" if request.setETag(self._tag) is http.CACHED else self._content


class Answer(resource.Resource):
    """What is made anew each time: a code, a type and a body."""

    isLeaf = True

    def __init__(self, answer: Callable[[server.Request], tuple[int, bytes, bytes]]) -> None:
        resource.Resource.__init__(self)
        self._answer = answer

    def render_GET(self, request: server.Request) -> bytes:
        """It."""
        code, kind, body = self._answer(request)
        request.setResponseCode(code)
        request.setHeader(b"content-type", kind)
        request.setHeader(b"cache-control", b"no-store")
        return body


class Root(resource.Resource):
    """What they are all found in."""

    def __init__(self, watch: Watch, events: Events) -> None:
        resource.Resource.__init__(self)
        for name, (file, kind) in _FILES.items():
            self.putChild(name.encode(), Content((_STATIC / file).read_bytes(), kind))
        self.putChild(b"events", events)
        self.putChild(b"healthz", Answer(lambda _: (http.OK, _TEXT, b"It runs.\n")))
        self.putChild(b"readyz", Answer(partial(_ready, watch)))
        self.putChild(b"metrics", Answer(partial(_metrics, Metrics(watch))))

    def getChild(self, path: bytes, request: server.Request) -> resource.Resource:
        """Where there is none of this name."""
        return _refusal(http.NOT_FOUND, b"There is nothing of this name.\n")


class Request(server.Request):
    """A request, of which nothing counts but its first line and a header or two."""

    site: Site

    def gotLength(self, length: int | None) -> None:
        """No room is needed for what it brings."""
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        """It is thrown away."""

    def render(self, resrc: resource.Resource) -> None:
        """Answer, where that may be asked for."""
        headers = self.responseHeaders
        headers.removeHeader(b"server")
        for name, value in _HEADERS.items():
            headers.setRawHeaders(name, [value])
        if self.method not in (b"GET", b"HEAD"):
            headers.setRawHeaders(b"allow", [b"GET, HEAD"])
            resrc = _refusal(http.NOT_ALLOWED, b"There is nothing here that could be changed.\n")
        elif self.site.is_local and not _names_this_machine(self.getHeader(b"host") or b""):
            # A page of another host that has this machine's address put on its own name.
            resrc = _refusal(http.FORBIDDEN, b"Ask for localhost, or for an address.\n")
        server.Request.render(self, resrc)


class Site(server.Site):
    """What is at one port."""

    noisy = False
    displayTracebacks = False

    def __init__(self, clock: IReactorTime, watch: Watch) -> None:
        self.is_local = True
        """Whether it is at an address that only this machine reaches."""

        self.events = Events(clock, lambda whole: look(watch, whole=whole))
        server.Site.__init__(self, Root(watch, self.events), Request, timeout=30, reactor=clock)

    def log(self, request: http.Request) -> None:
        """Nothing: whoever looks every few seconds is not worth a line each time."""


class Bounded(WrappingFactory[ProtocolWrapper]):
    """So many connections at a time, and the others are dropped."""

    noisy = False
    most = MOST_CONNECTIONS

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return WrappingFactory.buildProtocol(self, addr) if len(self.protocols) < self.most else None

    def end(self) -> None:
        """Drop all connections, behind what has been written."""
        for each in list(self.protocols):
            each.loseConnection()


def _ready(watch: Watch, _: object) -> tuple[int, bytes, bytes]:
    return http.OK if watch.ready else http.SERVICE_UNAVAILABLE, _TEXT, f"It is {watch.state}.\n".encode()


def _metrics(metrics: Metrics, request: server.Request) -> tuple[int, bytes, bytes]:
    body, kind = metrics.render(request.getHeader("accept") or "")
    return http.OK, kind.encode(), body


def _refusal(code: int, why: bytes) -> Answer:
    refusal = Answer(lambda _: (code, _TEXT, why))
    # Whatever the method: it is no other answer.
    refusal.render = refusal.render_GET  # type: ignore[method-assign]
    return refusal


def _names_this_machine(host: bytes) -> bool:
    """Whether no name server was needed to find what a Host header names."""
    name = _PORT.sub("", host.decode("ascii", "replace")).strip("[]").lower()
    if not name or name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
