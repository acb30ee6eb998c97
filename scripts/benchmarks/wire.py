"""FTPLite's client side on raw sockets, as light as Python allows: it measures the server, not a client."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from .steps import Refused, Steps, finish, limit_waits, send_file, store, swallow

TOKEN = b"Data channel token: %s\n"
READY, DONE, LISTED = "Ready to send.", "File transferred successfully.", "Listing complete."


class Session:
    """One control channel, and one listening port that all its transfers announce."""

    def __init__(self, port: int, *, receive_buffer: int | None = None) -> None:
        self.control = socket.create_connection(("127.0.0.1", port), 10)
        limit_waits(self.control)
        self.control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.listener = socket.socket()
        if receive_buffer is not None:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        limit_waits(self.listener)
        self.port = b"Data channel port: %d\n" % self.listener.getsockname()[1]
        self._heard = b""

    def line(self) -> Steps[str]:
        """The next line of the server."""
        while b"\n" not in self._heard:
            yield self.control
            piece = self.control.recv(4096)
            if not piece:
                raise Refused("the server ended the session")
            self._heard += piece
        line, self._heard = self._heard.split(b"\n", 1)
        return line.decode()

    def expect(self, wanted: str) -> Steps[str]:
        """The next line, which must begin with ``wanted``; returns the rest of it."""
        line = yield from self.line()
        if not line.startswith(wanted):
            raise Refused(line)
        return line.removeprefix(wanted)

    def success(self, phrase: str) -> Steps[None]:
        """The next line, which must be this ``SUCCESS``."""
        yield from self.expect(f"SUCCESS: {phrase}")

    def greeted(self) -> Steps[Session]:
        """Wait for the greeting."""
        yield from self.success("FTPLite/1 ready.")
        return self

    def accept(self) -> Steps[socket.socket]:
        """The data channel."""
        yield self.listener
        data = self.listener.accept()[0]
        limit_waits(data)
        return data

    def _data(self, token: str = "") -> Steps[bytes]:
        data = yield from self.accept()
        with data:
            pieces: list[bytes] = []
            if token:
                pieces.append((yield from self._prove(data, token)))
            while True:
                yield data
                piece = data.recv(65536)
                if not piece:
                    return b"".join(pieces)
                pieces.append(piece)

    def _prove(self, data: socket.socket, token: str) -> Steps[bytes]:
        """Say our half of the token, hear the server's; returns what came behind that."""
        data.sendall(TOKEN % token[:16].encode())
        wanted, heard = TOKEN % token[16:].encode(), b""
        while len(heard) < len(wanted):
            yield data
            piece = data.recv(65536)
            if not piece:
                raise Refused("the server does not prove itself")
            heard += piece
        if not heard.startswith(wanted):
            raise Refused("the server proves something else")
        return heard.removeprefix(wanted)

    def size(self) -> Steps[int]:
        """The announced size."""
        rest = yield from self.expect("File size: ")
        return int(rest.removesuffix(" bytes"))

    def _sent(self, name: str, token: str = "") -> Steps[bytes]:
        """Steps 4 to 7 of a small `get`: its bytes, whole by the server's size and completion."""
        contents = yield from self._data(token)
        size = yield from self.size()
        if size != len(contents):
            raise Refused(f"{name}: {len(contents)} bytes of {size}")
        yield from self.expect(f"Transfer complete: {name}")
        return contents

    def get(self, name: str, token: str = "") -> Steps[bytes]:
        """One small file, each word after the answer to the one before it."""
        self.control.sendall(b"get %s\n" % name.encode())
        yield from self.success(READY)
        self.control.sendall((TOKEN % token.encode() if token else b"") + self.port)
        contents = yield from self._sent(name, token)
        self.control.sendall(b"Transfer complete: %s\n" % name.encode())
        yield from self.success(DONE)
        return contents

    def get_ahead(self, names: list[str], into: Path) -> Steps[None]:
        """Many: in one write the completion of a file, the request of the next one, and its port."""
        before = b""
        for name in names:
            self.control.sendall(b"%sget %s\n%s" % (before, name.encode(), self.port))
            if before:
                yield from self.success(DONE)
            yield from self.success(READY)
            contents = yield from self._sent(name)
            store(into / name, contents)
            before = b"Transfer complete: %s\n" % name.encode()
        self.control.sendall(before)
        yield from self.success(DONE)

    def get_blindly(self, names: list[str], into: Path, depth: int = 16) -> Steps[None]:
        """Many, ``depth`` ahead of the answers, the completions said before the bytes have come.

        The protocol allows that to a client that does not mean to refuse anything.
        """
        words = [
            b"get %s\n%sTransfer complete: %s\n" % (each, self.port, each) for each in map(str.encode, names)
        ]
        self.control.sendall(b"".join(words[:depth]))
        for index, name in enumerate(names):
            yield from self.success(READY)
            contents = yield from self._sent(name)
            store(into / name, contents)
            yield from self.success(DONE)
            self.control.sendall(b"".join(words[depth + index : depth + index + 1]))

    def get_each(self, names: list[str], into: Path | None) -> Steps[None]:
        """Many, one after another."""
        for name in names:
            contents = yield from self.get(name)
            if into is not None:
                store(into / name, contents)

    def get_each_proved(self, names: list[str], into: Path) -> Steps[None]:
        """The same with tokens."""
        for name in names:
            contents = yield from self.get(name, os.urandom(16).hex())
            store(into / name, contents)

    def ls(self, path: str) -> Steps[list[str]]:
        """A listing, the port sent along with the request."""
        self.control.sendall(b"ls %s\n%s" % (path.encode(), self.port))
        yield from self.success(READY)
        contents = yield from self._data()
        yield from self.expect("Transfer complete: ")
        self.control.sendall(b"Transfer complete: %s\n" % path.encode())
        yield from self.success(LISTED)
        return contents.decode().splitlines()

    def get_big(self, name: str, original: Path | None = None) -> Steps[int]:
        """One big file into one reused buffer; compared with ``original`` where that is given."""
        self.control.sendall(b"get %s\n" % name.encode())
        yield from self.success(READY)
        self.control.sendall(self.port)
        data = yield from self.accept()
        with data:
            total = swallow(data, original)
        size = yield from self.size()
        if size != total:
            raise Refused(f"{name}: {total} bytes of {size}")
        yield from self.expect(f"Transfer complete: {name}")
        self.control.sendall(b"Transfer complete: %s\n" % name.encode())
        yield from self.success(DONE)
        return total

    def put_big(self, source: Path, name: str) -> Steps[int]:
        """One big file by sendfile."""
        size = source.stat().st_size
        self.control.sendall(b"put %s\n" % name.encode())
        yield from self.success("Ready to receive.")
        self.control.sendall(b"File size: %d bytes\n%s" % (size, self.port))
        data = yield from self.accept()
        with data, source.open("rb") as file:
            send_file(data, file.fileno(), size)
        self.control.sendall(b"Transfer complete: %s\n" % name.encode())
        yield from self.expect(f"Transfer complete: {name}")
        yield from self.success(DONE)
        return size

    def close(self) -> None:
        """Drop both sockets."""
        self.control.close()
        self.listener.close()


def connect(port: int, **options: Any) -> Session:
    """A session that was greeted."""
    return finish(Session(port, **options).greeted())
