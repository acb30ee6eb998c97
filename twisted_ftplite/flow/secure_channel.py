"""Data channels inside TLS: the same as a `DataChannel`, over an SSL socket that the reactor watches.

The end of the stream is a TLS close; a connection that ends without one was cut.
"""

from __future__ import annotations

import os
import socket
import ssl
from contextlib import suppress

from ..errors import StorageFailed, UnexpectedMessage
from . import tcp
from .channel import DataChannel
from .handshake import say_end
from .reactor import Reactor

_PIECE = 256 * 1024
"""Bytes given to OpenSSL at a time: a piece that it could not send must be given again as a whole."""


class SecureDataChannel(DataChannel):
    """One data channel over a socket whose handshake is done."""

    splices = False

    def __init__(self, reactor: Reactor, sock: ssl.SSLSocket, unread: bytes = b"") -> None:
        super().__init__(reactor, sock, unread)
        self._secure = sock
        self._buffer: memoryview | None = None
        self._piece = 0
        """Length of the piece of a file that the kernel has not taken, or of which nobody was told yet."""

        self._end: OSError | bool = False
        """How the stream ended behind the bytes that were taken: well, or with an error to be told."""

        self._watching = self._finishing = False
        self._send_waits = False
        """Sending waits until something comes, of the peer's part in a change of keys."""

        self._take_waits = False
        """Taking waits until something can be sent, of our part in it."""

    # What is sent.

    @property
    def flushed(self) -> bool:
        """Whether the kernel has taken all that was written, and the end of the stream if there is one."""
        return not self._unsent and not self._finishing and not self._closed

    def send_file(self, descriptor: int, offset: int, count: int) -> int | None:
        """Send up to ``count`` bytes of a file; answers as `DataChannel.send_file` does.

        After None the next call must be for the same offset.
        """
        if not self._piece:
            self._unsent = self._read(descriptor, offset, min(count, _PIECE))
            self._piece = len(self._unsent)
        self._flush()
        if self._unsent:
            return None
        sent, self._piece = self._piece, 0
        return sent

    def finish_sending(self) -> None:
        """End the stream behind the last byte, with a TLS close.  What the peer does is still watched."""
        self.unregisterProducer()
        if self._closed:
            return
        self._finishing = True
        self._reactor.addWriter(self)
        self.doWrite()

    def watch_peer(self) -> None:
        """Notice a peer that goes away, or that sends where it should receive."""
        self._watching = True
        super().watch_peer()

    # What is received.

    def recv_into(self, buffer: memoryview) -> int | None:
        """Take bytes, record by record until the buffer is full; answers as `DataChannel.recv_into` does."""
        if self._unread:
            return self._take_unread(buffer)
        taken, size = 0, len(buffer)
        try:
            while taken < size and self._end is False:
                count = self._secure.recv_into(buffer[taken:])
                taken += count
                self._end = count == 0
        except ssl.SSLWantReadError:
            return taken or None
        except ssl.SSLWantWriteError:
            self._take_waits = True
            return taken or None
        except ssl.SSLZeroReturnError:
            self._end = True
        except OSError as error:
            self._end = error
        if not taken and isinstance(self._end, OSError):
            raise self._end
        return taken

    def splice(self, pipe: int, count: int) -> int | None:
        """What the kernel has is of no use to a file."""
        raise NotImplementedError

    def resumeProducing(self) -> None:
        """Go on telling."""
        super().resumeProducing()
        self._watch_other_way()

    # The end.

    def close(self) -> None:
        """Close behind what the kernel has; a stream that came to its end is answered with our own."""
        if not self._closed and self._end is True:
            with suppress(OSError):  # nobody need hear it
                self._secure.unwrap()
        super().close()

    # What the reactor calls.

    def doRead(self) -> None:
        if self._send_waits:
            self._send_waits = False
            self._reactor.addWriter(self)
            if not self._watching:
                self._reactor.removeReader(self)
                return
        super().doRead()
        self._watch_other_way()

    def doWrite(self) -> None:
        if self._take_waits:
            self._take_waits = False
            self._reactor.removeWriter(self)
            self.resumeProducing()
            self._tell_now()
            return
        self.account.work()
        try:
            if self._unsent:
                self._flush()
            if self._finishing and not self._unsent:
                self._finish()
        except OSError:
            self._lose()
        self.account.rest()
        if not self._unsent and not self._finishing:
            super().doWrite()

    def _tune(self, sock: socket.socket) -> None:
        tcp.tune_records(sock)

    def _holds_back(self) -> bool:
        return super()._holds_back() or self._end is not False or self._secure.pending() > 0

    def _watch_other_way(self) -> None:
        if self._take_waits and not self._paused and not self._closed:
            self._reactor.removeReader(self)
            self._reactor.addWriter(self)

    # What OpenSSL does.

    def _flush(self) -> None:
        try:
            while self._unsent:
                sent = self._secure.send(self._unsent[:_PIECE])
                self.sent += sent
                self._unsent = self._unsent[sent:]
        except ssl.SSLWantWriteError:
            return
        except ssl.SSLWantReadError:
            self._send_waits = True
            self._reactor.removeWriter(self)
            self._reactor.addReader(self)

    def _finish(self) -> None:
        try:
            self._finishing = not say_end(self._secure)
        except UnexpectedMessage:
            self._heard(b"data")
        if not self._finishing:
            self._reactor.removeWriter(self)

    def _read_nothing(self) -> None:
        """The peer of a sender may end its own direction at any time, with a TLS close or without."""
        try:
            # Where TCP's stream ends without one OpenSSL would send nothing more, so it isn't asked.
            ended = not self._holds_back() and not socket.socket.recv(self._secure, 1, socket.MSG_PEEK)
            data = bytes(self._unread) or (b"" if ended else self._secure.recv(1))
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except ssl.SSLWantWriteError:
            self._reactor.addWriter(self)  # what is sent next takes it along
            return
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            data = b""
        self._heard(data)

    def _read(self, descriptor: int, offset: int, count: int) -> memoryview:
        if self._buffer is None:
            self._buffer = memoryview(bytearray(_PIECE))
        piece = self._buffer[:count]
        try:
            return piece[: os.preadv(descriptor, [piece], offset)]
        except OSError as error:
            raise StorageFailed from error
