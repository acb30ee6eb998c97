"""The wire spoken by hand, as a person with nc would: blocking sockets, every line compared.

Knows nothing of the package, so that client and server cannot be wrong together.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
from collections.abc import Iterator
from types import TracebackType

PATIENCE = 10.0
"""Seconds until a test gives up on an answer: far more than any answer takes."""

GREETING = "SUCCESS: FTPLite/1 ready."
TO_SEND = "SUCCESS: Ready to send."
TO_RECEIVE = "SUCCESS: Ready to receive."
READY = "SUCCESS: Data channel ready."
BEGIN_TLS = "SUCCESS: Begin TLS."
TRANSFERRED = "SUCCESS: File transferred successfully."
LISTED = "SUCCESS: Listing complete."
NOTHING = "SUCCESS: Nothing done."
CANCELLED = "FAILURE: Transfer cancelled."
MISMATCH = "FAILURE: Size mismatch."
LOST = "ERROR: Connection lost."
TIMED_OUT = "ERROR: Connection timed out."
UNEXPECTED = "ERROR: Unexpected message."
UNKNOWN = "ERROR: Unknown command."
SYNTAX = "ERROR: Bad syntax."
MISSING = "FAILURE: File not found."
UNENCRYPTED = "FAILURE: Encryption required."
UNSUPPORTED = "FAILURE: Not supported."
CROWDED = "ERROR: Too many connections."
SHUTTING_DOWN = "ERROR: Server shutting down."

PASSIVE = "Data channel port: passive"
_TOLD_PORT = re.compile(r"Data channel port: [0-9]+")
_TOLD_TOKEN = re.compile(r"Data channel token: [0-9a-f]{32}")

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def says(line: str, expected: str) -> bool:
    """Whether a line is the one expected; behind the phrase of a status there may be a detail."""
    is_status = expected.split(":")[0] in ("SUCCESS", "FAILURE", "ERROR")
    return line == expected or (is_status and line.startswith(expected + " "))


def read_all(sock: socket.socket) -> bytes:
    """Everything up to the end of the stream."""
    pieces = []
    while piece := sock.recv(1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


def is_dropped(sock: socket.socket) -> bool:
    """Whether the peer ends the connection, well or not, with nothing said before."""
    try:
        return sock.recv(65536) == b""
    except (ConnectionError, ssl.SSLError):
        return True


def finish(sock: socket.socket) -> None:
    """End what is sent, inside TLS with its close, which need not be answered."""
    if isinstance(sock, ssl.SSLSocket):
        sock.settimeout(0)
        with contextlib.suppress(ssl.SSLWantReadError):
            sock.unwrap()
        sock.settimeout(PATIENCE)
    cut(sock)


def cut(sock: socket.socket) -> None:
    """End what is sent as a link does that breaks: inside TLS without a close."""
    socket.socket.shutdown(sock, socket.SHUT_WR)


def reset(sock: socket.socket) -> None:
    """Close with a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    sock.close()


class Session:
    """A control channel.  Used as a context manager, it closes what it opened."""

    def __init__(
        self,
        address: tuple[str, int],
        *,
        source: str | None = None,
        receive_buffer: int | None = None,
        greeted: bool = True,
        header: bytes = b"",
        first: bytes = b"",
    ) -> None:
        """``header`` is a proxy's, which every connection begins with; ``first`` is said at once."""
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(PATIENCE)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source is not None:
            self.socket.bind((source, 0))
        self._opened = contextlib.ExitStack()
        self._opened.callback(self.socket.close)
        self._unread = b""
        self._address, self._header = address, header
        self.context: ssl.SSLContext | None = None
        """Inside TLS: the one that was used, and will be for data channels."""

        self._turned_first = False
        try:
            self.socket.connect(address)
            self.socket.sendall(header + first)
            if greeted:
                self.expect(GREETING)
        except BaseException:
            self._opened.close()
            raise

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    @property
    def host(self) -> str:
        """The address of our end."""
        return str(self.socket.getsockname()[0])

    def send(self, *lines: str | bytes) -> None:
        """Send lines, each gets its LF, all in one call."""
        whole = [line.encode() if isinstance(line, str) else line for line in lines]
        self.socket.sendall(b"".join(line + b"\n" for line in whole))

    def line(self) -> str:
        """The next line; raises EOFError where there is none."""
        while b"\n" not in self._unread:
            piece = self.socket.recv(65536)
            if not piece:
                raise EOFError(self._unread)
            self._unread += piece
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    def expect(self, *expected: str) -> None:
        """The next lines are these."""
        for each in expected:
            line = self.line()
            assert says(line, each), f"{line!r} instead of {each!r}"

    def ended(self) -> bool:
        """Whether the server has ended its side, with nothing said before."""
        return self._unread == b"" and self.socket.recv(65536) == b""

    def is_answered(self) -> bool:
        """Whether the session still works, with nothing left to be said before."""
        self.send("noop")
        return says(self.line(), NOTHING)

    def waits(self, seconds: float = 0.2) -> bool:
        """Whether nothing is said for so long."""
        self.socket.settimeout(seconds)
        try:
            self._unread += self.socket.recv(65536)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(PATIENCE)
        return False

    def flood(self, piece: bytes, most: int = 1 << 30) -> int:
        """Send, reading nothing, until the server takes no more or so many bytes are sent: how many."""
        sent = 0
        self.socket.settimeout(0.5)
        with contextlib.suppress(TimeoutError, ConnectionError):
            while sent < most:
                sent += self.socket.send(piece)
        self.socket.settimeout(PATIENCE)
        return sent

    def half_close(self) -> None:
        """Say nothing more, but go on reading: nc -N."""
        self.socket.shutdown(socket.SHUT_WR)

    def listen(self, host: str | None = None, *, receive_buffer: int | None = None) -> Listener:
        """A port to announce."""
        listener = Listener(host or self.host, self.socket.family, receive_buffer)
        return self._opened.enter_context(listener)

    def turn(self, context: ssl.SSLContext, *, first: bool = False) -> None:
        """Make the handshake of TLS; ``first``: before a word was said, so that the greeting is due."""
        assert self._unread == b""
        self.context, self._turned_first = context, first
        self.socket = self._opened.enter_context(self.wrap(self.socket, context))
        if first:
            self.expect(GREETING)

    def wrap(self, sock: socket.socket, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        """TLS on a connection to the server, as on the control channel."""
        context = context or self.context
        assert context is not None
        return context.wrap_socket(sock, server_hostname=self._address[0], suppress_ragged_eofs=False)

    def starttls(self, context: ssl.SSLContext) -> None:
        """Turn to TLS, where no greeting comes."""
        self.send("starttls")
        self.expect(BEGIN_TLS)
        self.turn(context)

    def rest(self) -> bytes:
        """All that comes behind the lines, up to the end of the stream."""
        unread, self._unread = self._unread, b""
        return unread + read_all(self.socket)

    # Where the client connects.

    def offer(self, command: str, answer: str, *fields: str) -> str:
        """Steps 1 to 3: the line that the data channel is to begin with."""
        self.send(command)
        self.expect(answer)
        self.send(*fields, PASSIVE)
        return self.offered()

    def offered(self) -> str:
        """The two lines that answer step 3; the second of them."""
        port, token = self.line(), self.line()
        assert _TOLD_PORT.fullmatch(port), port
        assert _TOLD_TOKEN.fullmatch(token), token
        return token

    def beside(self) -> Session:
        """Another connection to where this one goes, up to the same point: in the clear or inside TLS."""
        other = self._opened.enter_context(
            Session(self._address, header=self._header, greeted=not self._turned_first)
        )
        if self.context is not None:
            if self._turned_first:
                other.turn(self.context, first=True)
            else:
                other.starttls(self.context)
        return other

    def join(self, token: str) -> Session:
        """Step 4: a data channel, with what comes behind its lines still to be read."""
        other = self.beside()
        other.send(token)
        other.expect(READY)
        return other

    # Whole transfers, every line compared.

    def ls(self, path: str | None = None) -> list[bytes]:
        """The lines of a listing."""
        self.send("ls" if path is None else f"ls {path}")
        self.expect(TO_SEND)
        with self.listen() as listener:
            self.send(listener.announcement)
            with listener.accept() as data:
                listing = read_all(data)
        self.expect(f"Transfer complete: {path or '.'}")
        self.send(f"Transfer complete: {path or '.'}")
        self.expect(LISTED)
        assert listing == b"" or listing.endswith(b"\n")
        return listing.split(b"\n")[:-1]

    def get(self, name: str) -> bytes:
        """The bytes of a file."""
        self.send(f"get {name}")
        self.expect(TO_SEND)
        with self.listen() as listener:
            self.send(listener.announcement)
            with listener.accept() as data:
                content = read_all(data)
        self.expect(f"File size: {len(content)} bytes", f"Transfer complete: {name}")
        self.send(f"Transfer complete: {name}")
        self.expect(TRANSFERRED)
        return content

    def put(self, name: str, content: bytes) -> None:
        """Store a file."""
        self.send_content(name, content)
        self.expect(f"Transfer complete: {name}", TRANSFERRED)

    def send_content(self, name: str, content: bytes) -> None:
        """Steps 1 to 7 of a put; what the server makes of it is still to be read."""
        with self.begin_put(name, len(content)) as data:
            data.sendall(content)
        self.send(f"Transfer complete: {name}")

    def begin_put(self, name: str, size: int | None) -> socket.socket:
        """Steps 1 to 4 of a put: the data channel; where size is None it is not announced."""
        announced = [] if size is None else [f"File size: {size} bytes"]
        return self.begin(f"put {name}", TO_RECEIVE, *announced)

    def begin_get(self, name: str, size: int, *, receive_buffer: int | None = None) -> socket.socket:
        """Steps 1 to 5 of a get: the data channel."""
        data = self.begin(f"get {name}", TO_SEND, receive_buffer=receive_buffer)
        self.expect(f"File size: {size} bytes")
        return data

    def begin(
        self, command: str, answer: str, *fields: str, receive_buffer: int | None = None
    ) -> socket.socket:
        """Steps 1 to 4; the caller closes the data channel, or leaves it to the session's end."""
        self.send(command)
        self.expect(answer)
        with self.listen(receive_buffer=receive_buffer) as listener:
            self.send(*fields, listener.announcement)
            return self._opened.enter_context(listener.accept())


class Listener:
    """An ephemeral port on which one data channel is expected."""

    def __init__(self, host: str, family: int = socket.AF_INET, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket(family)
        self.socket.settimeout(PATIENCE)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.bind((host, 0))
        self.socket.listen(8)
        self.port = int(self.socket.getsockname()[1])
        self.announcement = f"Data channel port: {self.port}"

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def accept(self) -> socket.socket:
        """The data channel."""
        data, _ = self.socket.accept()
        data.settimeout(PATIENCE)
        return data

    def is_left_alone(self, seconds: float = 0.2) -> bool:
        """Whether nobody connects for so long."""
        self.socket.settimeout(seconds)
        try:
            self.socket.accept()[0].close()
        except TimeoutError:
            return True
        return False


@contextlib.contextmanager
def closed_port(host: str = "127.0.0.1") -> Iterator[int]:
    """A port that nobody listens on, and that nobody else gets meanwhile."""
    with socket.socket() as held:
        held.bind((host, 0))
        yield held.getsockname()[1]
