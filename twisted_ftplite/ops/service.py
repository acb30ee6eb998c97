"""A server with the page that tells of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from ..server import policy
from ..server.config import CannotStart
from ..server.ports import bind, spell
from ..server.service import FTPLiteService, ServerReactor
from .page import Bounded, Site

log = Logger()

_LOOPBACK: Final = {"tcp": "127.0.0.1", "tcp6": r"\:\:1"}
"""Where such an endpoint listens that names no interface."""


class ObservedService(Service):
    """Its page is there as soon as the server is, and until no session is left."""

    name = "ftplite"

    def __init__(self, reactor: ServerReactor, served: FTPLiteService) -> None:
        assert served.watch is not None
        self.served = served
        self._reactor = reactor
        self._site = Site(reactor, served.watch)
        bounded: Callable[[Site], Bounded] = Bounded
        self._factory = bounded(self._site)
        self._port: IListeningPort | None = None

    def listen(self, told: str) -> None:
        """Bind the port.  Raises `CannotStart`."""
        self._port = bind(self._reactor, "metrics", told, self._factory, plain=endpoint_of(told))
        self._site.is_local = not policy.is_beyond_loopback("", self._port.getHost())

    def startService(self) -> None:
        """Start the server, and say where its page is."""
        self.served.startService()
        Service.startService(self)
        assert self._port is not None
        where = spell(self._port.getHost())
        log.info("Its state is shown at {where}", where=f"http://{where}/")
        if not self._site.is_local:
            log.warn("{notice}", notice=f"The page at {where} tells names to whoever can reach it.")

    def stopService(self) -> Deferred[Any]:
        """Stop the server, and when it is empty, the page."""
        Service.stopService(self)
        return maybeDeferred(self.served.stopService).addBoth(self._close)

    def _close(self, result: object) -> object:
        self._site.events.end()
        self._factory.end()
        port, self._port = self._port, None
        closed = maybeDeferred(port.stopListening) if port is not None else None
        return result if closed is None else closed.addCallback(lambda _: result)


def endpoint_of(told: str) -> str:
    """The endpoint that is meant: on loopback, unless an interface is told.  Raises `CannotStart`."""
    if told.isascii() and told.isdigit():
        told = f"tcp:{told}"
    kind = told.partition(":")[0]
    if kind not in (*_LOOPBACK, "systemd"):
        raise CannotStart(
            f"--metrics {told} is no port and no tcp, tcp6 or systemd endpoint; write it as in 9121, or "
            "tcp:9121:interface=192.0.2.1; for TLS put a proxy before it"
        )
    if kind in _LOOPBACK and ":interface=" not in told:
        return f"{told}:interface={_LOOPBACK[kind]}"
    return told
