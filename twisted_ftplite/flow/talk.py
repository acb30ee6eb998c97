"""What is said on a fresh data connection before its first byte: a few lines, perhaps inside TLS."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import Broken, ConnectionLost, ConnectionRefused
from ..protocol.lines import Status, Success, decode, encode_command
from ..protocol.tokens import encode_token, halves, proves
from . import tcp
from .channel import DataChannel
from .reactor import Reactor
from .secure import SecureDataChannel, TLSSide, handshake

_PIECE = 4096
"""Bytes taken at a time; what is behind the lines belongs to the data."""

_LONGEST = 1024
"""Bytes of a line: a greeting, a status or a token."""


@implementer(IReadDescriptor)
class Talk:
    """A connected socket on which lines can be said and awaited.  It is owned until `channel`, or `close`.

    Everything raises `ConnectionLost` when the peer is gone or says what is no line.
    """

    def __init__(self, reactor: Reactor, sock: socket.socket) -> None:
        tcp.tune_data(sock)  # each line is waited for
        self._reactor = reactor
        self._socket = sock
        self._unread = b""
        self._readable: Deferred[None] | None = None

    async def line(self) -> bytes:
        """The next line, without its LF and a CR before that."""
        while b"\n" not in self._unread:
            if len(self._unread) > _LONGEST:
                raise ConnectionLost("A line was due, and something else came.")
            piece = self._receive()
            if piece is None:
                await self._wait()
            elif piece:
                self._unread += piece
            else:
                raise ConnectionLost
        line, _, self._unread = self._unread.partition(b"\n")
        return line.removesuffix(b"\r")

    def say(self, line: bytes, *, more: bool = False) -> None:
        """Send a line; what a fresh connection does not take at once it never will.

        With ``more`` it may go with the first data, which is about to be sent.
        """
        flags = socket.MSG_MORE if more and not isinstance(self._socket, ssl.SSLSocket) else 0
        try:
            sent = self._socket.send(line, flags)
        except OSError as error:
            raise ConnectionLost from error
        if sent != len(line):
            raise ConnectionLost

    async def start_tls(self, side: TLSSide) -> None:
        """Turn to TLS.  Raises `CertificateRefused` too.

        What has come in the clear already was put there by somebody else: `ConnectionLost`.
        """
        if self._unread:
            raise ConnectionLost("Something came in the clear where TLS was to begin.")
        self._socket = await handshake(self._reactor, self._socket, side)

    def channel(self) -> DataChannel:
        """The data channel that this becomes, to which belongs what has come behind the lines."""
        if isinstance(self._socket, ssl.SSLSocket):
            return SecureDataChannel(self._reactor, self._socket, self._unread)
        return DataChannel(self._reactor, self._socket, self._unread)

    def close(self) -> None:
        """Drop the connection."""
        if self._socket.fileno() >= 0:
            self._reactor.removeReader(self)
            self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "data channel, before its first byte"

    def doRead(self) -> None:
        self._reactor.removeReader(self)
        readable, self._readable = self._readable, None
        if readable is not None:
            readable.callback(None)

    def connectionLost(self, reason: Failure) -> None:
        if self._socket.fileno() >= 0:
            self.doRead()

    def _receive(self) -> bytes | None:
        """What is there; empty at the end of the stream, None where nothing has come."""
        try:
            return self._socket.recv(_PIECE)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        except OSError as error:
            raise ConnectionLost from error

    async def _wait(self) -> None:
        self._readable = Deferred(lambda _: self._reactor.removeReader(self))
        self._reactor.addReader(self)
        await self._readable


Introduce = Callable[[Talk], Awaitable[None]]
"""Says and hears what is due before the first byte.

Raises what is wrong with whoever is at the other end.
"""


async def begin(talk: Talk, introduce: Introduce) -> DataChannel:
    """The data channel, introduced; a connection for which that fails, or is given up, is closed."""
    try:
        await introduce(talk)
    except BaseException:
        talk.close()
        raise
    return talk.channel()


def prove_listening(token: str, side: TLSSide | None) -> Introduce:
    """The client's part where the server connects: it speaks first.  Raises `ConnectionRefused`."""
    own, other = halves(token)

    async def introduce(talk: Talk) -> None:
        if side is not None:
            await talk.start_tls(side)
        talk.say(encode_token(own))
        await _demand(talk, other)

    return introduce


def prove_connecting(token: str | None, side: TLSSide | None, *, sends: bool = False) -> Introduce:
    """The server's part where the server connects, and perhaps sends first.  Raises `ConnectionRefused`."""

    async def introduce(talk: Talk) -> None:
        if side is not None:
            await talk.start_tls(side)
        if token is not None:
            other, own = halves(token)
            await _demand(talk, other)
            talk.say(encode_token(own), more=sends)

    return introduce


def join_passive(token: str, side: TLSSide | None, *, starttls: bool) -> Introduce:
    """The client's part where it connects, with ``starttls`` or TLS from the first byte.

    Raises `ConnectionRefused` where the server does not know the token, or this is not that server.
    """

    async def introduce(talk: Talk) -> None:
        if side is not None and not starttls:
            await talk.start_tls(side)
        await _expect(talk, Success.GREETING)
        if side is not None and starttls:
            talk.say(encode_command("starttls"))
            await _expect(talk, Success.BEGIN_TLS)
            await talk.start_tls(side)
        talk.say(encode_token(token))
        await _expect(talk, Success.DATA_CHANNEL_READY)

    return introduce


async def _demand(talk: Talk, half: str) -> None:
    if not proves(await talk.line(), half):
        raise ConnectionRefused("A stranger is at the other end of the data channel.")


async def _expect(talk: Talk, phrase: Success) -> None:
    message = None
    with suppress(Broken):
        line = await talk.line()
        message = decode(line)
    if not (isinstance(message, Status) and message.kind == "SUCCESS" and message.says(phrase)):
        raise ConnectionRefused("The server did not take the data channel.")
