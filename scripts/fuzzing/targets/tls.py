"""A control channel over loopback that turns to TLS, or is told nonsense before, instead or inside."""

from __future__ import annotations

import gc
import os
import socket
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache

from tests.unit.fakes import Door
from tests.unit.flow_cases import pair, reset
from twisted_ftplite.server.certificates import Certificates, make_self_signed
from twisted_ftplite.server.control import ControlChannel
from twisted_ftplite.server.services import Services

from ..logs import Watch
from ..memory_line import Loopback, new_services
from ..script import head, split
from ..secret import SECRET
from .login import demand, hides, look_behind

FEATURES = ("files", "passive", "token", "noop", "help")


def run(data: bytes) -> None:
    """One connection."""
    (demands, manner), body = head(data, 2)
    with Watch() as watch:
        services = new_services(FEATURES, lambda entry: demand(entry, demands, 0))
        services.entry.certificates = _certificates()
        client = _Client(services, turns_first=bool(manner & 1))
        try:
            for each in split(body):
                if isinstance(each, int):
                    client.step(each)
                else:
                    client.send(each)
        finally:
            client.close()
        look_behind(services)
        said = client.said.decode("utf-8", "replace")
        del client, services
        gc.collect()
    watch.raise_failures()
    hides(body, watch.text() + said)


def seeds() -> Iterator[bytes]:
    """Changes to TLS that work, and some that don't."""
    login = f"login alice\npassword {SECRET}\nfeatures\npwd\n".encode()
    for demands in (b"\x00", b"\x07"):
        yield demands + b"\x00noop\nstarttls\n\x00\x01\x00\x02" + login + b"\x00\x01quit\n\x00\x01"
        yield demands + b"\x01\x00\x02" + login + b"\x00\x01\x00\x05"
    yield b"\x00\x00starttls\nnoop\n\x00\x01\x00\x02"
    yield b"\x00\x00starttls\n\x00\x01\x16\x03\x01\x00\x05hello\x00\x01\x00\x04"
    yield b"\x00\x01\x00\x02ls\n\x00\x01\x00\x03\x17\x03\x03\x00\x05hello\x00\x01\x00\x05"
    yield b"\x00\x00starttls\n\x00\x01\x00\x02starttls\n\x00\x01login x\npassword y\n\x00\x06\x00\x01\x00\x07"
    yield b"\x00\x01\x00\x02get f\nData channel port: passive\n\x00\x01abort\n\x00\x01quit\n\x00\x01"


@cache
def _certificates() -> Certificates:
    with tempfile.TemporaryDirectory(prefix="ftplite-fuzz-") as folder:
        return Certificates(*make_self_signed(folder, ["localhost"]))


@cache
def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class _Client:
    """The other end of the connection; nothing that happens to it is an error."""

    def __init__(self, services: Services, *, turns_first: bool) -> None:
        self.said = b""
        self._reactor = services.reactor
        ours, theirs = pair()
        theirs.setblocking(False)
        theirs.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._below = socket.socket(fileno=os.dup(theirs.fileno()))
        self._socket: socket.socket = theirs
        self._raw = False
        door = Door()
        door.turns_first = turns_first
        self._control = ControlChannel(door, services)
        self._connection = Loopback(ours, self._control, services.reactor)
        self._control.makeConnection(self._connection)
        self._connection.startReading()
        self._turn()

    def send(self, piece: bytes) -> None:
        """In the clear before TLS, or by a step beneath it; else inside."""
        with suppress(OSError):
            (self._below if self._raw else self._socket).send(piece)
        self._raw = False
        self._turn()

    def step(self, number: int) -> None:
        """Anything that a client may do."""
        match number % 8:
            case 1:
                self._turn()
            case 2 if not isinstance(self._socket, ssl.SSLSocket):
                self._shake_hands()
            case 3:
                self._raw = True
            case 4:
                self._wait(11.0)
            case 5:
                with suppress(OSError):
                    self._below.shutdown(socket.SHUT_WR)
            case 6 if isinstance(self._socket, ssl.SSLSocket):
                with suppress(OSError, ValueError):
                    self._socket.unwrap()
            case 7:
                self._wait(61.0)
            case 0:
                self._control.drain()
        self._turn()

    def close(self) -> None:
        """Break the connection off, and leave nothing behind."""
        self._below.close()
        if self._socket.fileno() >= 0:
            reset(self._socket)
        self._turn()
        self._wait(61.0)
        self._control.abort()
        self._turn()

    def _shake_hands(self) -> None:
        with suppress(OSError):
            self._socket = _context().wrap_socket(self._socket, do_handshake_on_connect=False)
        if not isinstance(self._socket, ssl.SSLSocket):
            return
        for _ in range(16):
            try:
                self._socket.do_handshake()
            except ssl.SSLWantReadError:
                self._turn(listens=False)
            except (OSError, ValueError):
                return
            else:
                return

    def _wait(self, seconds: float) -> None:
        self._reactor.advance(seconds)  # type: ignore[attr-defined]
        self._turn()

    def _turn(self, *, listens: bool = True) -> None:
        for _ in range(16):
            self._reactor.advance(0)  # type: ignore[attr-defined]
            moved = self._reactor.turn(0)  # type: ignore[attr-defined]
            if listens and self._socket.fileno() >= 0:
                with suppress(OSError, ValueError):
                    while piece := self._socket.recv(65536):
                        self.said += piece
            if not moved:
                return
