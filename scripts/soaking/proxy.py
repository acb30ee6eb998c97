"""Something between client and server that turns one bit of what the data channel carries.

Since the server connects to the port that the client announces, it stands in for that port too: the field
`Data channel port` is rewritten to one of its own on the way up.  Where the client connects, it comes here
anyway.  What is said on a data channel before its first byte of data is none: tokens, greeting, answer.
"""

from __future__ import annotations

import contextlib
import io
import re
import socket
import threading
import time
from typing import Self

_PORT = re.compile(rb"(?i)^(Data channel port: )(\d+)(\r?\n)$")
_TOKEN = re.compile(rb"(?i)^Data channel token: ")
_READY = b"SUCCESS: Data channel ready."


class FlippingProxy:
    """Listens for any number of sessions; turns bit ``bit`` of byte ``position`` of each data channel.

    The position counts from the start of the stream; None: leave everything as it is.  Listens on ``port``,
    or any that is free.  Ends with its block.
    """

    def __init__(
        self, server: tuple[str, int], position: int | None = None, bit: int = 0, *, port: int = 0
    ) -> None:
        self.server, self.position, self.bit = server, position, bit
        self.flipped = 0
        """How many bits have been turned."""
        self.moved = 0
        """Bytes of data that data channels have carried."""
        self._listener = socket.create_server((server[0], port))
        self.port = int(self._listener.getsockname()[1])
        self._open: list[socket.socket] = [self._listener]
        self._ended = False

    def __enter__(self) -> Self:
        self._in_thread(self._serve)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _serve(self) -> None:
        while not self._ended:
            client = self._own(self._listener.accept()[0])
            server = self._own(socket.create_connection(self.server))
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._in_thread(self._upwards, client, server)
            self._in_thread(self._downwards, server, client)

    def _upwards(self, client: socket.socket, server: socket.socket) -> None:
        """Lines of the client, its announced ports replaced; what follows a token in the first is data."""
        with client.makefile("rb") as stream:
            line = stream.readline()
            if _TOKEN.match(line):
                server.sendall(line)
                self._data(stream, server)
                return
            has_token = False
            while line:
                has_token = has_token or _TOKEN.match(line) is not None
                found = _PORT.match(line)
                if found:
                    port = self._stand_in((client.getpeername()[0], int(found[2])), has_token)
                    line, has_token = b"%s%d%s" % (found[1], port, found[3]), False
                server.sendall(self._told(line))
                line = stream.readline()
        self._end_of(server)

    def _downwards(self, server: socket.socket, client: socket.socket) -> None:
        """Lines of the server; what follows the answer to a token is data."""
        with server.makefile("rb") as stream:
            while line := stream.readline():
                client.sendall(self._told(line))
                if line.startswith(_READY):
                    self._data(stream, client)
                    return
        self._end_of(client)

    def _stand_in(self, client: tuple[str, int], has_token: bool) -> int:
        """A port that leads to the client's, on which both prove themselves where it ``has_token``."""
        listener = self._own(socket.create_server((client[0], 0)))
        self._in_thread(self._connected_back, listener, client, has_token)
        return int(listener.getsockname()[1])

    def _connected_back(self, listener: socket.socket, client: tuple[str, int], has_token: bool) -> None:
        with listener:
            server = self._own(listener.accept()[0])
        receiver = self._own(socket.create_connection(client))
        for one, other in ((server, receiver), (receiver, server)):
            self._in_thread(self._one_way, one, other, has_token)

    def _one_way(self, source: socket.socket, target: socket.socket, has_token: bool) -> None:
        with source.makefile("rb") as stream:
            if has_token:
                target.sendall(stream.readline())
            self._data(stream, target)

    def _data(self, stream: io.BufferedReader, target: socket.socket) -> None:
        """All the rest of a stream."""
        passed = 0
        while piece := stream.read1(1 << 18):
            piece = self._turned(piece, passed)
            self.moved += len(piece)
            passed += len(piece)
            target.sendall(piece)
            self._went_on()
        self._end_of(target)

    def _told(self, said: bytes) -> bytes:
        """What of a control channel's line goes on."""
        return said

    def _turned(self, piece: bytes, passed: int) -> bytes:
        if self.position is None or not passed <= self.position < passed + len(piece):
            return piece
        changed = bytearray(piece)
        changed[self.position - passed] ^= 1 << self.bit
        self.flipped += 1
        return bytes(changed)

    def _went_on(self) -> None:
        """A piece of a data channel has been passed on."""

    def _end_of(self, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _own(self, one: socket.socket) -> socket.socket:
        self._open.append(one)
        return one

    def _in_thread(self, job: object, *arguments: object) -> None:
        def work() -> None:
            with contextlib.suppress(OSError):  # either side may hang up at any time
                job(*arguments)  # type: ignore[operator]

        threading.Thread(target=work, daemon=True).start()


class CuttingProxy(FlippingProxy):
    """Ends every connection, control channel included, when data channels have carried ``most`` bytes.

    Completions never get through: they may be said while most of the bytes still wait in buffers.
    """

    def __init__(self, server: tuple[str, int], most: int, port: int) -> None:
        super().__init__(server, port=port)
        self.most = most

    def _told(self, said: bytes) -> bytes:
        return b"" if said.startswith(b"Transfer complete") else said

    def _turned(self, piece: bytes, passed: int) -> bytes:
        return piece[: self.most - self.moved]

    def _went_on(self) -> None:
        if self.moved >= self.most:
            time.sleep(0.05)  # what has passed shall have been read: what has not may be lost
            self.__exit__()
            raise OSError("cut")
