"""The client's session core, fed by a server that says anything."""

from __future__ import annotations

from collections.abc import Iterator

from twisted_ftplite.errors import ConnectionLost, DiskFull, FTPLiteError, ProtocolViolation
from twisted_ftplite.limits import Limits
from twisted_ftplite.protocol.client import ClientSession, Completed, Event, Exchange, Over, Ready
from twisted_ftplite.protocol.client_order import DONE
from twisted_ftplite.protocol.options import Options
from twisted_ftplite.protocol.values import Checksum

from ..script import head, must, split

OPTIONS = (
    None,
    Options(offset=1, checksum="xxh128"),
    Options(format="json", depth="all", token="0123456789abcdef" * 2),
    Options(mtime_ns=10**18, mode=0o644, byte_count=7),
)
ARGUMENTS = ("f", "d/f", "/", '"', "\udce9", "x" * 9000, "a\nb", "\ud800")
CHECKSUM = Checksum("xxh128", "0123456789abcdef" * 2)
VERBS = tuple(DONE)
TWO = ("mv",)
NONE = ("quit", "features", "noop", "help", "pwd", "starttls")


def run(data: bytes) -> None:
    """One session; the bytes are the server's, the steps ours."""
    (first, second, third, manner), body = head(data, 4)
    client = _Client(manner)
    client.receive(b"SUCCESS: FTPLite/1 ready." if manner & 1 else b"")
    for each in (first, second, third):
        client.ask(each)
    for each in split(body):
        if isinstance(each, int):
            client.step(each)
        else:
            client.feed(each)
    client.end()


def seeds() -> Iterator[bytes]:
    """Whole sessions."""
    ls, get, put = VERBS.index("ls"), VERBS.index("get"), VERBS.index("put")
    yield bytes((get, 0, 0, 3)) + (
        b"SUCCESS: Ready to send.\nFile size: 7 bytes\nModified: 2026-11-22T13:00:00Z\nMode: 0644\n"
        b"Checksum: xxh128 0123456789abcdef\nTransfer complete: f\nSUCCESS: File transferred successfully.\n"
    )
    yield bytes((put, ls, get, 1)) + (
        b"SUCCESS: Ready to receive.\nWorking: 7 bytes\n\x00\x03Transfer complete: f\n"
        b"SUCCESS: File transferred successfully.\nSUCCESS: Ready to send.\nData channel port: 4242\n"
        b"Data channel token: 0123456789abcdef0123456789abcdef\nTransfer complete: f\n"
        b"ERROR: Connection lost.\n"
    )
    for verb, phrase in DONE.items():
        yield bytes((VERBS.index(verb), 0, 0, 3)) + f"Feature: x\nSUCCESS: {phrase}\nFAILURE: no\n".encode()


class _Client:
    """Asks, obeys and counts."""

    def __init__(self, manner: int) -> None:
        self.session = ClientSession(Limits())
        self._obeys = bool(manner & 2)
        self._asked: list[Exchange] = []
        self._over = 0
        self._unread = b""

    def ask(self, choice: int) -> None:
        """A verb, with arguments and options that the choice says."""
        verb = VERBS[choice % len(VERBS)]
        more = choice // len(VERBS)
        name = ARGUMENTS[more % len(ARGUMENTS)]
        arguments = () if verb in NONE else (name, "g") if verb in TWO else (name,)
        try:
            exchange, line = self.session.ask(
                verb, *arguments, options=OPTIONS[choice % len(OPTIONS)], passive=bool(more & 1)
            )
        except FTPLiteError:  # the name cannot be said
            return
        must(line.endswith(b"\n") and line.count(b"\n") == 1, "what is asked is not a line")
        must(verb != "password" or not exchange.arguments, "a password is kept")
        self._asked.append(exchange)

    def feed(self, piece: bytes) -> None:
        """What the server says, as far as its lines go."""
        *lines, self._unread = (self._unread + piece).split(b"\n")
        for line in lines:
            self.receive(line)

    def receive(self, line: bytes) -> None:
        """One line, unless the session is over."""
        if self.session.lost is not None:
            return
        try:
            for exchange, event in self.session.receive(line):
                self._obey(exchange, event)
        except ProtocolViolation as violation:
            must(self.session.lost is violation, "the session goes on behind a violation")

    def step(self, number: int) -> None:
        """Anything that a client may do."""
        if self.session.lost is not None:
            return
        exchange = self._asked[self._over] if self._over < len(self._asked) else None
        match number % 4:
            case 1:
                self.ask(number)
            case 2:
                self.session.announce(None if number & 8 else 4242, number, OPTIONS[number % len(OPTIONS)])
            case 3 if exchange is not None and exchange.transfers:
                said = self.session.complete(exchange, number if number & 8 else None, CHECKSUM)
                must(said.count(b"\n") == 2 + bool(number & 8), "a completion is not its lines")
            case 0:
                self.session.fail(DiskFull())

    def end(self) -> None:
        """Whoever had no final status gets none any more."""
        left = self.session.end(ConnectionLost())
        must(left == self._asked[self._over :], "a command was forgotten")
        must(self.session.lost is not None, "the session goes on")

    def _obey(self, exchange: Exchange, event: Event) -> None:
        must(self._asked[self._over] is exchange, "a line went to the wrong command")
        match event:
            case Over():
                self._over += 1
            case Ready() if self._obeys:
                self.session.announce(4242, None, exchange.options)
            case Completed() if self._obeys and not exchange.client_completed:
                self.session.complete(exchange)
