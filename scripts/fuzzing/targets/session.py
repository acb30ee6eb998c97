"""The server's session core, fed in pieces, with a host that does anything at any time."""

from __future__ import annotations

from collections.abc import Iterator

from twisted_ftplite.errors import (
    ConnectionTimedOut,
    FileNotFound,
    FTPLiteError,
    InternalError,
    TooManyConnections,
    TransferCancelled,
)
from twisted_ftplite.limits import Limits
from twisted_ftplite.protocol.events import (
    Announced,
    Begin,
    Close,
    Completed,
    Ended,
    Event,
    Joined,
    Say,
    SizeTold,
)
from twisted_ftplite.protocol.gate import Gate
from twisted_ftplite.protocol.lines import Command, Field, Status, Success, decode
from twisted_ftplite.protocol.order import Kind, State, classify
from twisted_ftplite.protocol.server import ServerSession
from twisted_ftplite.server.users import ACCESS

from ..script import bits, head, must, split
from ..words import TOKEN

FEATURES = ("files", "noop", "help", "checksum", "offset", "modified", "json", "token")
MORE = ("passive", "tls", "login", "status", "bundle")
ACCESSES = (ACCESS["write"], ACCESS["read"], ACCESS["drop"], None)
READY = {"ls": Success.READY_TO_SEND, "get": Success.READY_TO_SEND, "put": Success.READY_TO_RECEIVE}
LINE_LENGTH, QUEUE_SIZE = 256, 512


def run(data: bytes) -> None:
    """One session."""
    (some, more, gate, manner), body = head(data, 4)
    limits = Limits(line_length=LINE_LENGTH, queue_size=QUEUE_SIZE)
    way = Gate(ACCESSES[gate & 3], *(bool(gate >> bit & 1) for bit in (2, 3, 4, 5)))
    features = bits(some, FEATURES) | bits(more, MORE)
    host = _Host(ServerSession(limits, features, frozenset({"xxh128", "sha256"}), way), manner)
    for each in split(body):
        if isinstance(each, int):
            host.step(each)
        else:
            host.unread += each
        host.read()
    host.settle()


def seeds() -> Iterator[bytes]:
    """Whole sessions, with a host that answers at once and with one that takes its time."""
    got = b"get f\nStart offset: 1 bytes\nChecksum: xxh128\nData channel port: 4242\nTransfer complete: f\n"
    put = b"File size: 7 bytes\nput g\nModified: 2026-11-22T13:00:00Z\nData channel port: passive\n"
    for manner in (b"\x03", b"\x00", b"\x07", b"\x13"):
        yield b"\xff\xff\x00" + manner + got + b"\x00\x02noop\nabort\nfeatures\nquit\n"
        yield b"\xff\xff\x00" + manner + put + b"\x00\x02Transfer complete: g\n\x00\x02junk\nabort\n"
        yield b"\xff\xff\x07" + manner + b"starttls\nlogin alice\npassword x\nls\n\x00\x05noop\n\x00\x07"
    yield b"\xff\xff\x00\x00get f\n" + b"noop\njunk\n" * 100 + b"abort\n"
    yield b"\xff\xff\x00\x03Data channel token: 0123456789abcdef0123456789abcdef\ndata"


class _Host:
    """Does what the session says, and counts."""

    def __init__(self, session: ServerSession, manner: int) -> None:
        self.session = session
        self.unread = b""
        self._answers, self._finishes, self._clings, self._looks = (
            bool(manner >> bit & 1) for bit in range(4)
        )
        self._running: Command | None = None
        self._commands = self._begun = self._cancelled = self._closed = 0
        self._announced = False
        self._obeying = False

    def read(self) -> None:
        """Take what has come, while the session wants it."""
        while self.unread and not self._closed and not self.session.full:
            line, end, rest = self.unread.partition(b"\n")
            if len(line) >= LINE_LENGTH:
                self.unread = b""
                self.session.receive_too_long()
            elif not end:
                return
            else:
                self.unread = rest
                self._receive(line)
            self._obey()

    def _receive(self, line: bytes) -> None:
        open_ = self.session.state is not State.CLOSED and not self.session.input_over
        self.session.is_foreign(line)
        self.session.receive(line)
        if open_ and classify(line)[0] is Kind.COMMAND:
            self._commands += 1
        must(self.session._waiting.size <= QUEUE_SIZE + LINE_LENGTH + 1, "more waits than may")

    def step(self, number: int) -> None:
        """Anything that a host may do."""
        session = self.session
        match number % 12:
            case 1:
                self._answer()
            case 2:
                self._finish(None)
            case 3:
                self._finish(FileNotFound("It is gone."))
            case 4:
                self._finish(InternalError())
            case 5 if session.state is State.MOVING and not self._closed:
                must(isinstance(decode(session.complete()[:-1]), Field), "a completion is none")
            case 6:
                session.receive_end()
            case 7:
                session.drain()
            case 8:
                session.refuse(TooManyConnections())
            case 9:
                session.cancel(ConnectionTimedOut("It took too long."))
            case 10:
                self._finish(TransferCancelled())
            case 11:
                session.gate.permissions = ACCESSES[number >> 4 & 3]
        self._obey()

    def settle(self) -> None:
        """Finish whatever runs: then every command has had its status, or the session is over."""
        self._answers = self._finishes = True
        while self._running is not None or self.unread.partition(b"\n")[1]:
            if self._closed:
                break
            self._finish(None)
            self._obey()
            self.read()
        self._obey()
        answered = self._begun + self._cancelled
        must(answered <= self._commands, "more was answered than was asked")
        if not self._closed:
            must(self.session.state is State.IDLE, "the session waits for nothing")
            must(answered == self._commands, "a command was not answered")

    def _obey(self) -> None:
        if self._obeying:
            return
        self._obeying = True
        for event in self.session.events():
            self._obey_one(event)
        self._obeying = False

    def _obey_one(self, event: Event) -> None:
        must(not self._closed, "something happens behind the end")
        match event:
            case Say(line, cancelled):
                self._say(line)
                self._cancelled += cancelled is not None
            case Begin(command):
                must(self._running is None, "two commands run")
                self._running, self._announced = command, False
                self._begun += 1
                self._begin(command)
            case Ended(error):
                must(self._running is not None, "what does not run was told to end")
                if not self._clings:
                    self._finish(error)
            case Announced():
                must(not self._announced and self.session.transfer, "a port was told twice")
                self._announced = True
            case SizeTold() | Completed():
                must(self.session.transfer is not None, "something was told of no transfer")
            case Close() | Joined():
                self._closed += 1

    def _begin(self, command: Command) -> None:
        """As a server does: what makes no sense, and what may not be, is refused first."""
        try:
            command.arguments()
            if self._looks:
                self.session.gate.check(command.verb)
        except FTPLiteError as error:
            self._finish(error)
            return
        if command.verb.name in READY:
            if self._answers:
                self._answer()
        elif self._finishes:
            self._finish(None)

    def _answer(self) -> None:
        if self._running is None or self.session.state is not State.RUNNING:
            return
        phrase = READY.get(self._running.verb.name)
        if phrase is not None:
            self._say(self.session.answer(phrase, receives=phrase is Success.READY_TO_RECEIVE))

    def _finish(self, status: FTPLiteError | None) -> None:
        if self._running is None:
            return
        goodbye = self._running.verb.name == "quit"
        self._running = None
        closed = self.session.state is State.CLOSED
        line = self.session.finish(status or (Success.GOODBYE if goodbye else Success.NOTHING_DONE))
        must(bool(line) != closed, "a command's status is not said once")
        if line:
            self._say(line)

    @staticmethod
    def _say(line: bytes) -> None:
        must(line.endswith(b"\n") and line.count(b"\n") == 1, "what is said is not a line")
        must(isinstance(decode(line[:-1]), Status), "what is said is no status")
        must(TOKEN.encode() not in line, "a token is in a status")
