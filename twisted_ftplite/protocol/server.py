"""The order of a session, as the server keeps it: lines in, events out (docs/protocol.md, sections 2 to 4).

No transport, no file and no clock comes in here, and the bytes of a file by-pass it.  The host feeds lines
with `ServerSession.receive`, obeys what `ServerSession.events` yields, and asks for the lines to send with
`answer`, `complete` and `finish`.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field

from ..errors import (
    Broken,
    ConnectionLost,
    EncryptionRequired,
    Failure,
    FTPLiteError,
    NotSupported,
    ServerShuttingDown,
    TooManyFailures,
    TransferCancelled,
    UnexpectedMessage,
    UnknownCommand,
)
from ..limits import Limits
from .events import Announced, Begin, Close, Ended, Event, InputOver, Joined, Say
from .first_line import is_http, is_joining, is_tls, is_undecided, told_token
from .gate import Gate
from .lines import (
    Command,
    Field,
    FieldName,
    Message,
    Status,
    Success,
    encode_error,
    encode_field,
    encode_success,
)
from .order import ORDER, TOO_LONG, Kind, Move, State, classify
from .paths import ROOT, Path
from .transfer import Transfer
from .values import Bottleneck
from .waiting import WaitingLines


@dataclass(slots=True)
class ServerSession:
    """One client's session."""

    limits: Limits
    features: Container[str] = ()
    """The names of what the server offers of section 6: ``checksum``, without what stands behind it."""

    algorithms: Container[str] = ()
    """The checksums it can make; any other that is asked for is ``FAILURE: Not supported.``"""

    gate: Gate = field(default_factory=Gate)
    """What it may ask for."""

    state: State = State.IDLE
    directory: Path = ROOT
    """The working directory; whoever runs ``cd`` sets it."""

    knows_modified: bool = False
    """Whether it has asked for the features, or used `Modified` or `Mode`: nobody else is told these."""

    knows_features: bool = False
    transfer: Transfer | None = None
    command: Command | None = None
    draining: bool = False
    input_over: bool = False
    _waiting: WaitingLines = field(default_factory=WaitingLines)
    _events: list[Event] = field(default_factory=list)
    _any_bytes: bool = False
    _begun: bool = False
    _any_command: bool = False
    _bad_lines: int = 0

    @property
    def full(self) -> bool:
        """Whether so much keeps its place in line that no more should be read."""
        return self._waiting.size > self.limits.queue_size

    def greeting(self) -> bytes:
        """What the server says first."""
        return encode_success(Success.GREETING)

    # What comes from the client.

    def is_foreign(self, data: bytes) -> bool:
        """Whether the first byte of the session is a TLS client's, who is at the wrong door.

        To be asked of every piece of the input, before its lines are received.
        """
        first = not self._any_bytes and not self._begun
        self._any_bytes = self._any_bytes or bool(data)
        return first and is_tls(data)

    def is_undecided(self, line: bytes) -> bool:
        """Whether this line leaves it open if the connection is a session: a data channel begins so too."""
        return not self._begun and is_undecided(line, self.features)

    def receive(self, line: bytes) -> None:
        """Take one line without its LF; the events that follow from it are then in `events`."""
        if self.state is State.CLOSED or self.input_over:
            return
        if not self._begun:
            self._begun = True
            if is_http(line):
                self.state = State.CLOSED
                self._events.append(Close())
                return
            if is_joining(line, self.features):
                self.state = State.CLOSED
                self._events.append(Joined(told_token(line)))
                return
        if self.state is State.IDLE and not self._waiting:
            self._take(line)
        elif line.removesuffix(b"\r").lower() == b"abort":
            self._cancel(TransferCancelled())
        else:
            self._receive_behind(line)

    def _receive_behind(self, line: bytes) -> None:
        """Take a line while a command runs, or while lines wait."""
        if self._waiting.commands == 0 and self.state in (State.OFFERED, State.MOVING):
            self._take(line)
        else:
            self._waiting.append(line)

    def receive_too_long(self) -> None:
        """A line was longer than the protocol has them: it has its turn, but nothing behind it."""
        self.receive(TOO_LONG)
        self.receive_end()

    def receive_end(self) -> None:
        """The client will send nothing more, but still reads."""
        if self.input_over or self.state is State.CLOSED:
            return
        self.input_over = True
        self._events.append(InputOver())
        if self.state is State.OFFERED:
            self._break(ConnectionLost())

    def events(self) -> Iterator[Event]:
        """What to do now, in order.  The host may call any method between two events."""
        while True:
            if self._events:
                yield self._events.pop(0)
            elif self.state is State.IDLE and self._waiting:
                self._next()
            elif self.state is State.IDLE and (self.draining or self.input_over):
                self._close(ServerShuttingDown() if self.draining else None)
            else:
                return

    def drain(self) -> None:
        """Begin no command any more; what moves may finish."""
        self.draining = True
        if self.state is State.OFFERED:
            self._break(ServerShuttingDown())

    def refuse(self, error: FTPLiteError) -> None:
        """End the session for a reason of the server's own; a command that runs ends first."""
        if self.state is State.IDLE:
            self._close(error)
        else:
            self.cancel(error)

    @property
    def is_clean(self) -> bool:
        """Whether nothing waits behind the running command, as is due where it turns to TLS."""
        return not self._waiting

    def abandon(self) -> None:
        """The connection is gone, or another session begins on it: nothing that waits begins any more."""
        self.state = State.CLOSED
        self._waiting.clear()
        self._events.clear()

    def cancel(self, error: FTPLiteError) -> None:
        """End the running command for a reason of the server's own."""
        if self.state in (State.RUNNING, State.OFFERED, State.MOVING):
            self._break(error)

    # What goes to the client.

    def answer(self, phrase: Success, *, receives: bool) -> bytes:
        """Step 2, said when a transfer can begin; what the client sent ahead is then looked at."""
        assert self.command is not None
        self.state = State.OFFERED
        self.transfer = Transfer(self.command, receives, self.directory)
        self._look_ahead()
        if self.state is State.OFFERED and (self.draining or self.input_over):
            self._break(ServerShuttingDown() if self.draining else ConnectionLost())
        return encode_success(phrase)

    @property
    def knows_status(self) -> bool:
        """Whether it is told what the server waited for: it has asked for the features, and this is one."""
        return self.knows_features and "status" in self.features

    def complete(self, limited_by: Bottleneck | None = None) -> bytes:
        """The server's own completion, spelled as the client spelled the name, behind what limited it."""
        assert self.command is not None
        told = encode_field(FieldName.LIMITED_BY, limited_by) if limited_by and self.knows_status else b""
        return told + encode_field(FieldName.TRANSFER_COMPLETE, self.command.argument or ".")

    def finish(self, status: Success | FTPLiteError, detail: str = "") -> bytes:
        """The one final status of the command that ran."""
        self.command = self.transfer = None
        if self.state is State.CLOSED:
            return b""
        self.state = State.IDLE
        if not isinstance(status, FTPLiteError):
            if status is Success.GOODBYE:
                self._close(None)
            return encode_success(status, detail)
        if status.closes:
            self._close(None)
        elif self._bad_lines >= self.limits.bad_lines:
            self._close(TooManyFailures())
        return encode_error(status)

    # How a line is taken.

    def _next(self) -> None:
        """Take the first line that waits."""
        line, cancelled = self._waiting.pop()
        if cancelled:
            self._any_command = True
            self._bad_lines = 0
            _, message = classify(line)
            command = message if isinstance(message, Command) else None
            self._events.append(Say(encode_error(TransferCancelled()), command))
        else:
            self._take(line)

    def _look_ahead(self) -> None:
        """Take from the lines that wait what the running transfer can use, as far as the next command."""
        for line, cancelled in self._waiting.clear():
            if cancelled or self._waiting.commands or self.state not in (State.OFFERED, State.MOVING):
                self._waiting.append(line, cancelled)
            else:
                self._take(line)

    def _take(self, line: bytes) -> None:
        """Do with a line what the table says."""
        kind, message = classify(line)
        move = ORDER[self.state][kind]
        if kind in (Kind.FIELD, Kind.FAILURE) and not self._any_command:
            kind, message, move = Kind.OTHER, UnexpectedMessage("No command came before it."), Move.REPLY
        if kind is not Kind.OTHER:
            self._bad_lines = 0
        match move:
            case Move.WAIT:
                self._waiting.append(line)
            case Move.BEGIN if isinstance(message, Command):
                self._begin(message)
            case Move.REPLY if isinstance(message, Broken):
                self._count_bad(message)
                self._events.append(Say(encode_error(message)))
                if message.closes:
                    self._close(None)
                elif self._bad_lines >= self.limits.bad_lines:
                    self._close(TooManyFailures())
            case Move.NOTE if isinstance(message, Field):
                self._note(message)
            case Move.CANCEL if isinstance(message, Status):
                self._break(_told_failure(message))
            case Move.CANCEL:
                self._cancel(TransferCancelled())
            case Move.BREAK:
                self._break_at_step_3(line, kind, message)

    def _begin(self, command: Command) -> None:
        self._any_command = True
        if self.draining:
            self._close(ServerShuttingDown())
            return
        self.knows_features = self.knows_features or command.verb.name == "features"
        self.knows_modified = self.knows_modified or self.knows_features
        self.command = command
        self.state = State.RUNNING
        self._events.append(Begin(command))

    def _break_at_step_3(self, line: bytes, kind: Kind, message: Message | Broken) -> None:
        """A line that is no field of the command ends it; a verb is then run itself."""
        error = (
            message if isinstance(message, Broken) else UnexpectedMessage("The data channel port was due.")
        )
        self._break(error)
        if kind is Kind.COMMAND:
            self._waiting.append(line)
        else:
            self._count_bad(error)

    def _count_bad(self, error: FTPLiteError) -> None:
        bad = isinstance(error, UnknownCommand | UnexpectedMessage)
        self._bad_lines = self._bad_lines + 1 if bad else 0

    def _note(self, message: Field) -> None:
        """A field of the running transfer."""
        transfer = self.transfer
        assert transfer is not None
        try:
            event = transfer.note(message, self.features, self.algorithms, self.gate)
        except (Broken, NotSupported, EncryptionRequired) as problem:
            self._count_bad(problem)
            self._break(problem)
            return
        options = transfer.options
        self.knows_modified = self.knows_modified or options.mtime_ns is not None or options.mode is not None
        if isinstance(event, Announced):
            self.state = State.MOVING
        if event is not None:
            self._events.append(event)

    def _cancel(self, error: FTPLiteError) -> None:
        """``abort``: every unfinished command ends, those that wait in their turn."""
        self._waiting.cancel_commands()
        if self.state in (State.RUNNING, State.OFFERED, State.MOVING):
            self._break(error)

    def _break(self, error: FTPLiteError) -> None:
        self.state = State.ENDING
        self._events.append(Ended(error))

    def _close(self, error: FTPLiteError | None) -> None:
        self.state = State.CLOSED
        self._waiting.clear()
        if error is not None:
            self._events.append(Say(encode_error(error)))
        self._events.append(Close())


def _told_failure(status: Status) -> FTPLiteError:
    """The receiver's own reason; a phrase that the protocol lacks is repeated as ``Transfer cancelled.``"""
    error = status.error()
    return type(error)() if error is not None and type(error) is not Failure else TransferCancelled()
