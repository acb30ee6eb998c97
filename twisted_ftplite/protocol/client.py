"""The order of a session, as the client keeps it: the mirror of :mod:`.server`.

Commands may be sent ahead; the server answers in order, so each line that comes belongs to the oldest
command that has had no final status.  No transport, no file and no clock comes in here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from ..errors import Broken, Failure, FTPLiteError, NameNotAllowed, ProtocolViolation
from ..limits import Limits
from .lines import (
    Field,
    FieldName,
    Status,
    Success,
    decode,
    encode_command,
    encode_error,
    encode_field,
    encode_size,
    spell_argument,
)
from .paths import ROOT, resolve


class Stage(Enum):
    """How far a command has come."""

    ASKED = auto()
    """Nothing has come back but fields."""

    MOVING = auto()
    """The server said ``Ready to …``."""

    AGREED = auto()
    """Both completions have been said; only the final status is missing."""

    OVER = auto()


class Kind(Enum):
    """What a line is to the oldest command."""

    READY = auto()
    FIELD = auto()
    SUCCESS = auto()
    REFUSAL = auto()


ORDER: dict[tuple[bool, Stage], frozenset[Kind]] = {
    (False, Stage.ASKED): frozenset({Kind.FIELD, Kind.SUCCESS, Kind.REFUSAL}),
    (True, Stage.ASKED): frozenset({Kind.READY, Kind.REFUSAL}),
    (True, Stage.MOVING): frozenset({Kind.FIELD, Kind.REFUSAL}),
    (True, Stage.AGREED): frozenset({Kind.SUCCESS, Kind.REFUSAL}),
}
"""What may come, by whether the command is a transfer and by its stage; anything else breaks the protocol.

``Working`` may come at any time and is not in the table.
"""

_READY = {"ls": Success.READY_TO_SEND, "get": Success.READY_TO_SEND, "put": Success.READY_TO_RECEIVE}


class Ready(NamedTuple):
    """Step 2: the server is ready for the data channel."""


class SizeTold(NamedTuple):
    """Step 5 of a get: how many bytes the server sends."""

    size: int


class Completed(NamedTuple):
    """The server's completion has come."""


class Told(NamedTuple):
    """A field of a command without a transfer."""

    field: Field


class Over(NamedTuple):
    """The final status; None for a success."""

    error: FTPLiteError | None


Event = Ready | SizeTold | Completed | Told | Over


@dataclass(slots=True, eq=False)
class Exchange:
    """One command and what has come of it."""

    verb: str
    arguments: tuple[str, ...]
    stage: Stage = Stage.ASKED
    size: int | None = None
    """Bytes the server announced."""

    server_completed: bool = False
    client_completed: bool = False

    @property
    def transfers(self) -> bool:
        """Whether it has a data channel."""
        return self.verb in _READY

    def _agree(self) -> None:
        if self.server_completed and self.client_completed:
            self.stage = Stage.AGREED


class ClientSession:
    """The client's side of one session."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._exchanges: deque[Exchange] = deque()
        self.greeted = False
        self.lost: FTPLiteError | None = None
        """Why the session is over; None while it is not."""

        self.lines = 0
        """Lines that have come: a number that grows while the server is alive."""

    # What goes to the server.

    def ask(self, verb: str, *arguments: str) -> tuple[Exchange, bytes]:
        """A command, answered behind those asked before.  Raises `NameNotAllowed` where it is too long."""
        line = encode_command(verb, *arguments)
        if len(line) > self._limits.line_length - len(FieldName.TRANSFER_COMPLETE):
            raise NameNotAllowed("The name is longer than a line of the protocol.")
        exchange = Exchange(verb, arguments)
        self._exchanges.append(exchange)
        return exchange, line

    def announce(self, port: int, size: int | None = None) -> bytes:
        """Step 3, which may be sent ahead of the answer; ``size`` is of a put, None while unknown."""
        told = encode_size(FieldName.FILE_SIZE, size) if size is not None else b""
        return told + encode_field(FieldName.DATA_CHANNEL_PORT, str(port))

    def complete(self, exchange: Exchange, size: int | None = None) -> bytes:
        """Our completion; ``size`` where it was not announced."""
        exchange.client_completed = True
        exchange._agree()
        told = encode_size(FieldName.FILE_SIZE, size) if size is not None else b""
        name = spell_argument(*exchange.arguments) if exchange.arguments else "."
        return told + encode_field(FieldName.TRANSFER_COMPLETE, name)

    def fail(self, error: FTPLiteError) -> bytes:
        """The receiver's word that it cannot keep what it got."""
        return encode_error(error)

    def is_oldest(self, exchange: Exchange) -> bool:
        """Whether ``abort`` would end this command and no older one."""
        return bool(self._exchanges) and self._exchanges[0] is exchange

    # What comes from the server.

    def receive(self, line: bytes) -> Iterator[tuple[Exchange, Event]]:
        """Take one line without its LF.

        Raises `ProtocolViolation`; the session is then over, as it is when `lost` is set.
        """
        self.lines += 1
        try:
            message = decode(line)
        except Broken as problem:
            raise self._violation(f"It sent a line that means nothing ({problem.phrase})") from problem
        if not self.greeted:
            self._greet(message)
        elif isinstance(message, Field) and message.name is FieldName.WORKING:
            return
        elif not self._exchanges:
            self._receive_unasked(message)
        else:
            exchange = self._exchanges[0]
            try:
                event = self._receive_for(exchange, message)
            except Broken as problem:
                raise self._violation(f"Its field has no meaning ({problem.phrase})") from problem
            if event is not None:
                yield exchange, event

    def end(self, error: FTPLiteError) -> list[Exchange]:
        """The connection is over; the commands that will get no status."""
        if self.lost is None:
            self.lost = error
        left = list(self._exchanges)
        self._exchanges.clear()
        return left

    def _greet(self, message: object) -> None:
        if isinstance(message, Status) and message.kind == "SUCCESS" and message.says(Success.GREETING):
            self.greeted = True
            return
        refused = message.error() if isinstance(message, Status) else None
        if refused is None:
            raise self._violation("What answers there is no FTPLite/1 server")
        self.lost = refused

    def _receive_unasked(self, message: object) -> None:
        """Only the end of a session comes unasked."""
        error = message.error() if isinstance(message, Status) else None
        if error is None or isinstance(error, Failure):
            raise self._violation("It said something that nobody asked for")
        self.lost = error

    def _receive_for(self, exchange: Exchange, message: object) -> Event | None:
        kind = self._kind(exchange, message)
        if kind not in ORDER[exchange.transfers, exchange.stage]:
            raise self._violation(f"It sent a line out of turn, during {exchange.verb}")
        match kind:
            case Kind.READY:
                exchange.stage = Stage.MOVING
                return Ready()
            case Kind.FIELD if isinstance(message, Field):
                return self._receive_field(exchange, message)
        self._exchanges.popleft()
        exchange.stage = Stage.OVER
        error = message.error() if isinstance(message, Status) else None
        if error is not None and error.closes:
            self.lost = error
        return Over(error)

    def _kind(self, exchange: Exchange, message: object) -> Kind:
        if isinstance(message, Field):
            return Kind.FIELD
        if not isinstance(message, Status):
            raise self._violation("It sent a command")
        if message.kind != "SUCCESS":
            return Kind.REFUSAL
        ready = _READY.get(exchange.verb)
        return Kind.READY if ready is not None and message.says(ready) else Kind.SUCCESS

    def _receive_field(self, exchange: Exchange, message: Field) -> Event | None:
        if not exchange.transfers:
            return Told(message)
        match message.name:
            case FieldName.FILE_SIZE if exchange.verb == "get" and exchange.size is None:
                exchange.size = message.size()
                return SizeTold(exchange.size)
            case FieldName.TRANSFER_COMPLETE if not exchange.server_completed:
                name = exchange.arguments[0] if exchange.arguments else "."
                if resolve(ROOT, message.argument()) != resolve(ROOT, name):
                    raise self._violation("Its completion names another file")
                exchange.server_completed = True
                exchange._agree()
                return Completed()
            case FieldName.FILE_SIZE | FieldName.TRANSFER_COMPLETE:
                raise self._violation(f"It sent {message.name} out of turn")
        return None

    def _violation(self, what: str) -> ProtocolViolation:
        self.lost = ProtocolViolation(f"{what}.")
        return self.lost
