"""What tests of TLS stand on: certificates, both ends of a connection, and time that passes by turns."""

from __future__ import annotations

import select
import socket
import ssl
from contextlib import suppress
from functools import cache

import trustme

from tests.unit.fakes import HandReactor
from tests.unit.flow_cases import pair

NAME = "files.example.org"


class TurningReactor(HandReactor):
    """What is due at once happens in the next turn."""

    def turn(self, wait: float = 0.0) -> int:
        due = [call for call in self.getDelayedCalls() if call.getTime() <= self.seconds()]
        self.advance(0)
        return len(due) + super().turn(0.0 if due else wait)


@cache
def authority() -> trustme.CA:
    return trustme.CA()


@cache
def stranger() -> trustme.CA:
    """An authority that nobody trusts."""
    return trustme.CA()


def server_context(certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0
    (certificate or _server_certificate()).configure_cert(context)
    return context


@cache
def _server_certificate() -> trustme.LeafCert:
    return authority().issue_cert(NAME)


def client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    return context


def wrap(
    sock: socket.socket, context: ssl.SSLContext, *, server_side: bool, name: str = NAME
) -> ssl.SSLSocket:
    """TLS without a handshake yet, on a socket that never blocks."""
    sock.setblocking(False)
    return context.wrap_socket(
        sock,
        server_side=server_side,
        server_hostname=None if server_side else name,
        do_handshake_on_connect=False,
        suppress_ragged_eofs=False,
    )


def step(sock: ssl.SSLSocket) -> bool:
    """Whether the handshake is done."""
    try:
        sock.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def secure_pair(*, server_side: bool = True) -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
    """Both ends after the handshake, of which none blocks; ours is the server or the client."""
    ours, peer = pair()
    for sock in (ours, peer):  # so that little is much
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    return secure(ours, peer, server_side=server_side)


def secure(
    ours: socket.socket, peer: socket.socket, *, server_side: bool = True
) -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
    """The same on both ends of a connection."""
    contexts = {True: server_context(), False: client_context()}
    one = wrap(ours, contexts[server_side], server_side=server_side)
    other = wrap(peer, contexts[not server_side], server_side=not server_side)
    done = [False, False]
    for _ in range(1000):
        done = [done[0] or step(one), done[1] or step(other)]
        if all(done):
            return one, other
    raise AssertionError("the handshake has no end")


def take(sock: ssl.SSLSocket, wait: float = 0.0) -> bytes | None:
    """A record that comes in this time; empty at a TLS close, None where nothing has come."""
    for _ in range(100):
        try:
            return sock.recv(1 << 20)
        except ssl.SSLWantReadError:
            if not select.select([sock], [], [], wait)[0]:
                return None
    raise AssertionError("a record has no end")


def refuse(sock: ssl.SSLSocket, kind: type[OSError]) -> OSError:
    """The error that comes instead of a record."""
    try:
        came = take(sock, 5)
    except kind as error:
        return error
    raise AssertionError(f"it was no error: {came!r}")


def take_all(sock: ssl.SSLSocket, reactor: HandReactor) -> bytes:
    """What comes up to a TLS close, while the reactor turns.  A cut is an error."""
    got = bytearray()
    for _ in range(200_000):
        reactor.turn()
        piece = take(sock)
        if piece == b"":
            return bytes(got)
        got += piece or b""
    raise AssertionError("the stream has no end")


def give(sock: ssl.SSLSocket, content: bytes, reactor: HandReactor) -> None:
    """Send all of it while the reactor turns."""
    rest = memoryview(content)
    for _ in range(200_000):
        if not rest:
            return
        try:
            rest = rest[sock.send(rest[:65536]) :]
        except ssl.SSLWantWriteError:
            reactor.turn()
    raise AssertionError("nobody takes it")


def end(sock: ssl.SSLSocket) -> None:
    """A TLS close, and TCP's, of one direction."""
    with suppress(ssl.SSLWantReadError):
        sock.unwrap()
    socket.socket.shutdown(sock, socket.SHUT_WR)
