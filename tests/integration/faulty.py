"""A link between client and server that can be cut, go silent or flip a bit, in the test's own reactor.

The server connects to the port that the client announces, so the link stands in for that too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from zope.interface import implementer

reactor: Any = installed
_PORT = re.compile(rb"Data channel port: (\d+)\n")
_TOKEN = b"Data channel token: "


class Link:
    """Listens at `address` for any number of sessions; `close` it."""

    def __init__(self, server: tuple[str, int]) -> None:
        self.moved = 0
        """Bytes of data that came along."""

        self.lines: list[bytes] = []
        """What clients said, as it came."""

        self.on_data: Callable[[int], None] = lambda moved: None
        """Called behind every piece of data with the bytes that came so far, this piece included."""

        self.flip_at: int | None = None
        """Which byte of the data gets its lowest bit turned."""

        self.silent = False
        """What comes is dropped, and nobody is told."""

        self._server = server
        self._ends: list[_End] = []
        self._ports = [reactor.listenTCP(0, self._factory(server, self._upwards), interface="127.0.0.1")]
        self.address = ("127.0.0.1", self._ports[0].getHost().port)

    def cut(self, *, data_only: bool = False) -> None:
        """Reset what is open."""
        for each in self._ends:
            if (each.is_data or not data_only) and each.transport is not None:
                each.transport.abortConnection()
        self._ends.clear()

    async def close(self) -> None:
        """Cut it and listen no more."""
        self.cut()
        for each in self._ports:
            await each.stopListening()

    def carried(self, piece: bytes) -> bytes:
        """A piece of data, perhaps changed; what the ends of a channel prove themselves by is none."""
        if piece.startswith(_TOKEN):
            line, end, data = piece.partition(b"\n")
            return line + end + (self.carried(data) if data else b"")
        before, self.moved = self.moved, self.moved + len(piece)
        if self.flip_at is not None and before <= self.flip_at < self.moved:
            changed = bytearray(piece)
            changed[self.flip_at - before] ^= 1
            return bytes(changed)
        return piece

    def _upwards(self, data: bytes) -> bytes:
        self.lines += data.splitlines()
        return _PORT.sub(self._stand_in, data)

    def _stand_in(self, found: re.Match[bytes]) -> bytes:
        factory = self._factory(("127.0.0.1", int(found[1])), None)
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self._ports.append(port)
        return b"Data channel port: %d\n" % port.getHost().port

    def _factory(self, target: tuple[str, int], change: Callable[[bytes], bytes] | None) -> Factory:
        def build(_: object) -> _End:
            here, there = _End(self, change), _End(self, None if change is None else bytes)
            here.other, there.other = there, here
            self._ends += (here, there)
            onwards = ClientFactory()
            onwards.noisy = False
            onwards.buildProtocol = lambda _: there  # type: ignore[method-assign]
            reactor.connectTCP(*target, onwards)
            return here

        factory = Factory()
        factory.noisy = False
        factory.buildProtocol = build  # type: ignore[method-assign]
        return factory


class _End(Protocol):
    """One end of one connection; what it gets goes to the other."""

    def __init__(self, link: Link, change: Callable[[bytes], bytes] | None) -> None:
        """``change`` is None on a data channel."""
        self.link = link
        self.change = change
        self.is_data = change is None
        self.other: _End
        self.ended = False
        self._early: list[bytes] = []

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        if self.other.transport is not None:
            for one, two in ((self, self.other), (self.other, self)):
                if not two.ended:
                    one.transport.registerProducer(_Steered(two), True)
                one.transport.write(b"".join(two._early))
            if self.other.ended:
                self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        if self.link.silent:
            return
        data = self.link.carried(data) if self.change is None else self.change(data)
        if self.other.transport is None:
            self._early.append(data)
        else:
            self.other.transport.write(data)
        if self.is_data:
            self.link.on_data(self.link.moved)

    def connectionLost(self, reason: object = None) -> None:
        self.ended = True
        if self.other.transport is not None and not self.link.silent:
            self.other.transport.unregisterProducer()
            self.other.transport.loseConnection()


@implementer(IPushProducer)
class _Steered:
    """Reading from one end, as the other can take it; that the other is gone is not told this way."""

    def __init__(self, end: _End) -> None:
        self._end = end

    def pauseProducing(self) -> None:
        self._end.transport.pauseProducing()

    def resumeProducing(self) -> None:
        if self._end.transport.connected:
            self._end.transport.resumeProducing()

    def stopProducing(self) -> None:
        """See `_End.connectionLost`."""
