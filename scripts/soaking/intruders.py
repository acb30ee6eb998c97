"""Strangers at every port where data channels begin: what they say there, and what they must never hear.

They are on the same host as whom they disturb, so that no address gives them away, and they know tokens that
were used before, halves of those that are due, and, of sessions inside TLS, whole ones, which they say in the
clear.
"""

from __future__ import annotations

import contextlib
import random
import re
import secrets
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator

from pki import authority, stranger, trusting
from raw import reset

from .report import Counts

POISON = b"what a stranger left " * 100
"""Comes behind all that they say: it must never be in a file."""

PATIENCE = 0.15
"""Seconds that they wait for what they should not get."""

FIELD = b"Data channel token: "
_HALF = re.compile(rb"(Data channel token: [0-9a-f]{16}\n)?")
_TOLD = re.compile(rb"((SUCCESS: (FTPLite/1 ready|Nothing done)|ERROR: [^\n]*|FAILURE: [^\n]*)\.[^\n]*\n)*")
_HANDSHAKE = re.compile(rb"(?s)([\x14\x15\x16]\x03.*)?")


class Rumours:
    """What strangers have found out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: deque[str] = deque(maxlen=50)
        self._due: set[str] = set()
        self._inside: set[str] = set()

    @contextlib.contextmanager
    def due(self, token: str, *, inside: bool) -> Iterator[None]:
        """A token that a transfer waits with; ``inside`` TLS they know the whole of it."""
        with self._lock:
            self._due.add(token[-32:])
            if inside:
                self._inside.add(token[-32:])
        try:
            yield
        finally:
            with self._lock:
                self._due.discard(token[-32:])
                self._inside.discard(token[-32:])
                self._used.append(token[-32:])

    def used(self, chance: random.Random) -> str:
        """One that was of use."""
        with self._lock:
            return chance.choice(self._used) if self._used else secrets.token_hex(16)

    def half(self, chance: random.Random) -> str:
        """The first half of one that is due, or all but its last digit."""
        with self._lock:
            due = sorted(self._due)
        token = chance.choice(due) if due else secrets.token_hex(16)
        wrong = "0" if token[-1] != "0" else "1"
        return chance.choice([token[:16], token[:16] + "0" * 16, token[:-1] + wrong, token[:-1]])

    def inside(self, chance: random.Random) -> str:
        """One that is due inside TLS, and good nowhere else."""
        with self._lock:
            inside = sorted(self._inside)
        return chance.choice(inside) if inside else secrets.token_hex(16)


class Intruders:
    """Some threads of them, until told to stop; `wrong` is all that they got."""

    def __init__(self, rumours: Rumours, chance: random.Random) -> None:
        self.rumours = rumours
        self.tries = Counts()
        self.reached = Counts()
        """Of these, whom somebody listened to."""
        self.wrong: list[str] = []
        self._chance = chance
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Intruders:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for each in self._threads:
            each.join()

    def at_client(self, ports: range, *, tls: bool, count: int) -> None:
        """Where a client listens for the server."""
        for _ in range(count):
            self._start(self._at_client, ports, tls)

    def at_server(self, address: tuple[str, int], *, tls: bool, count: int) -> None:
        """Where a server waits for clients."""
        for _ in range(count):
            self._start(self._at_server, address, tls)

    def _start(self, work: object, *arguments: object) -> None:
        chance = random.Random(self._chance.random())

        def until_it_is_over() -> None:
            while not self._over.is_set():
                try:
                    with contextlib.suppress(ConnectionError, TimeoutError):
                        work(chance, *arguments)  # type: ignore[operator]
                except BaseException as error:
                    self.wrong.append(f"a stranger itself: {error!r}")
                    raise
                time.sleep(chance.uniform(0, 0.02))

        self._threads.append(threading.Thread(target=until_it_is_over))
        self._threads[-1].start()

    def _at_client(self, chance: random.Random, ports: range, tls: bool) -> None:
        ways = ["silent", "wrong half", "old half", "its half again", "whole token", "no token"]
        way = chance.choice([*ways, *(["wrong certificate", "right certificate"] if tls else [])])
        kind = f"at a client inside TLS, {way}" if tls else f"at a client, {way}"
        self.tries.add(kind)
        with socket.create_connection(("127.0.0.1", chance.choice(ports)), 1) as sock:
            self.reached.add(kind)
            if "certificate" in way:
                self._as_server(kind, sock, way == "right certificate")
                return
            said = b""
            if way == "its half again":
                said = self._heard(sock)
                sock.sendall(said)
            elif way != "silent":
                sock.sendall(self._half(chance, way) + POISON)
            said += self._heard(sock)
            self._look(kind, said, _HANDSHAKE if tls else _HALF)
            reset(sock)

    def _half(self, chance: random.Random, way: str) -> bytes:
        digits = {
            "wrong half": secrets.token_hex(8),
            "old half": self.rumours.used(chance)[16:],
            "whole token": self.rumours.used(chance),
        }
        return FIELD + digits[way].encode() + b"\n" if way in digits else b""

    def _as_server(self, kind: str, sock: socket.socket, is_right: bool) -> None:
        """Make the handshake that the client expects, even with a certificate that it trusts."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (authority() if is_right else stranger()).issue_cert("127.0.0.1").configure_cert(context)
        sock.settimeout(1)
        try:
            with context.wrap_socket(sock, server_side=True) as inside:
                inside.sendall(FIELD + secrets.token_hex(8).encode() + b"\n" + POISON)
                said = self._heard(inside)
        except OSError:
            return
        self._look(kind, said, _HALF if is_right else re.compile(b""))

    def _at_server(self, chance: random.Random, address: tuple[str, int], tls: bool) -> None:
        way = chance.choice(["silent", "wrong token", "old token", "half a token", "of TLS", "behind a line"])
        inside = tls and way != "of TLS" and chance.random() < 0.3
        kind = f"at a server inside TLS, {way}" if inside else f"at a server, {way}"
        self.tries.add(kind)
        with contextlib.ExitStack() as opened:
            sock = opened.enter_context(socket.create_connection(address, 1))
            self.reached.add(kind)
            told = b""
            if inside:
                sock.sendall(b"starttls\n")
                while told.count(b"\n") < 2 and (piece := sock.recv(100)):
                    told += piece
                wrapped = trusting().wrap_socket(sock, server_hostname=address[0])
                sock = opened.enter_context(wrapped)
            sock.sendall(self._token(chance, way))
            self._look(kind, self._heard(sock), _TOLD)
            reset(sock)

    def _token(self, chance: random.Random, way: str) -> bytes:
        rumours = self.rumours
        digits = {
            "wrong token": lambda: secrets.token_hex(16),
            "old token": lambda: rumours.used(chance),
            "half a token": lambda: rumours.half(chance),
            "of TLS": lambda: rumours.inside(chance),
            "behind a line": lambda: rumours.half(chance),
        }
        if way == "silent":
            return b""
        line = FIELD + digits[way]().encode() + b"\n"
        return (b"noop\n" if way == "behind a line" else b"") + line + POISON

    def _heard(self, sock: socket.socket) -> bytes:
        """All that is said until the end, or until patience is."""
        pieces = []
        sock.settimeout(PATIENCE)
        with contextlib.suppress(OSError):
            while piece := sock.recv(65536):
                pieces.append(piece)
        return b"".join(pieces)

    def _look(self, kind: str, said: bytes, allowed: re.Pattern[bytes]) -> None:
        if not allowed.fullmatch(said):
            self.wrong.append(f"a stranger {kind} got {said[:200]!r}")
