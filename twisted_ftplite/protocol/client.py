"""The order of a session, as the client keeps it: the mirror of :mod:`.server`.

Commands may be sent ahead; the server answers in order, so each line that comes belongs to the oldest
command that has had no final status.  No transport, no file and no clock comes in here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ..errors import Broken, Failure, FTPLiteError, NameNotAllowed, ProtocolViolation
from ..limits import Limits
from .client_order import DONE, FIELDS, ORDER, READY, Kind, Stage
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
from .options import Options, encode_options
from .paths import ROOT, Path, is_same
from .tokens import parse_token
from .values import Bottleneck, Checksum, parse_bottleneck, parse_checksum, parse_mode, parse_time


class Ready(NamedTuple):
    """Step 2: the server is ready for the data channel."""


class Invited(NamedTuple):
    """The client is to connect (``passive``), and to say this token."""

    token: str

    def __repr__(self) -> str:
        return "Invited()"


class SizeTold(NamedTuple):
    """Step 5 of a get."""

    size: int
    """Bytes of the whole file, whatever part of it was asked for."""


class ModifiedTold(NamedTuple):
    """When the file of a get was modified."""

    mtime_ns: int
    """Nanoseconds since the epoch."""


class ModeTold(NamedTuple):
    """The nine bits of permission of the file of a get."""

    mode: int


class ChecksumTold(NamedTuple):
    """What the server says it sent in a get, made by the algorithm that was asked for."""

    checksum: Checksum


class LimitTold(NamedTuple):
    """What the server waited for most; None where it is a word that nobody knows yet."""

    limited_by: Bottleneck | None


class Completed(NamedTuple):
    """The server's completion has come; behind its checksum, where one was asked for in a get."""


class Told(NamedTuple):
    """A field of a command without a transfer."""

    field: Field


class Over(NamedTuple):
    """The final status; None for a success."""

    error: FTPLiteError | None


Event = (
    Ready | Invited | SizeTold | ModifiedTold | ModeTold | ChecksumTold | LimitTold | Completed | Told | Over
)


@dataclass(slots=True, eq=False)
class Exchange:
    """One command and what has come of it."""

    verb: str
    arguments: tuple[str, ...]
    """Empty for a password, which is kept nowhere."""

    options: Options = field(default_factory=Options)
    """What is asked for at step 3."""

    passive: bool = False
    """Whether it is the client that connects the data channel."""

    stage: Stage = Stage.ASKED
    told: set[FieldName] = field(default_factory=set)
    """The fields of the transfer that have come, each of which comes once."""

    server_completed: bool = False
    client_completed: bool = False

    @property
    def transfers(self) -> bool:
        """Whether it has a data channel."""
        return self.verb in READY

    def _agree(self) -> None:
        if self.server_completed and self.client_completed:
            self.stage = Stage.AGREED


class ClientSession:
    """The client's side of one session."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._exchanges: deque[Exchange] = deque()
        self.directory: Path = ROOT
        """The working directory, where a completion's name is taken from; who asks for ``cd`` sets it."""

        self.greeted = False
        self.lost: FTPLiteError | None = None
        """Why the session is over; None while it is not."""

        self.lines = 0
        """Lines that have come: a number that grows while the server is alive."""

    # What goes to the server.

    def ask(
        self, verb: str, *arguments: str, options: Options | None = None, passive: bool = False
    ) -> tuple[Exchange, bytes]:
        """A command, answered behind those asked before.  Raises `NameNotAllowed` where it is too long.

        ``options`` and ``passive`` are what `announce` will ask for: what the server has to say depends on
        them.
        """
        line = encode_command(verb, *arguments)
        if len(line) > self._limits.line_length - len(FieldName.TRANSFER_COMPLETE):
            raise NameNotAllowed("The name is longer than a line of the protocol.")
        kept = () if verb == "password" else arguments
        exchange = Exchange(verb, kept, options or Options(), passive)
        self._exchanges.append(exchange)
        return exchange, line

    def announce(self, port: int | None, size: int | None = None, options: Options | None = None) -> bytes:
        """Step 3, which may be sent ahead of the answer; ``size`` is of a put, None while unknown.

        ``port`` is None where the client will connect.
        """
        told = encode_size(FieldName.FILE_SIZE, size) if size is not None else b""
        asked = b"".join(encode_options(options)) if options is not None else b""
        where = "passive" if port is None else str(port)
        return told + asked + encode_field(FieldName.DATA_CHANNEL_PORT, where)

    def complete(
        self,
        exchange: Exchange,
        size: int | None = None,
        checksum: Checksum | None = None,
        limited_by: Bottleneck | None = None,
    ) -> bytes:
        """Our completion, behind ``limited_by`` where the server offers `status`.

        Of a put with ``size`` where it was not announced, ``checksum`` if that was.
        """
        exchange.client_completed = True
        exchange._agree()
        told = encode_size(FieldName.FILE_SIZE, size) if size is not None else b""
        if checksum is not None:
            told += encode_field(FieldName.CHECKSUM, str(checksum))
        if limited_by is not None:
            told += encode_field(FieldName.LIMITED_BY, limited_by)
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
        if error is None and exchange.verb == "starttls":
            self.directory = ROOT  # the session begins anew
        return Over(error)

    def _kind(self, exchange: Exchange, message: object) -> Kind:
        if isinstance(message, Field):
            return Kind.FIELD
        if not isinstance(message, Status):
            raise self._violation("It sent a command")
        if message.kind != "SUCCESS":
            return Kind.REFUSAL
        ready, done = READY.get(exchange.verb), DONE.get(exchange.verb)
        if ready is not None and message.says(ready):
            return Kind.READY
        return Kind.SUCCESS if done is not None and message.says(done) else Kind.OTHER_SUCCESS

    def _receive_field(self, exchange: Exchange, message: Field) -> Event | None:
        if not exchange.transfers:
            message.text()
            return Told(message)
        name = message.name
        if name not in FIELDS or (name is FieldName.DATA_CHANNEL_TOKEN and not exchange.passive):
            return None
        late = exchange.server_completed or name in exchange.told
        if late or exchange.verb not in FIELDS[name]:
            raise self._violation(f"It sent {name} out of turn")
        exchange.told.add(name)
        match name:
            case FieldName.FILE_SIZE:
                return SizeTold(message.size())
            case FieldName.MODIFIED:
                return ModifiedTold(parse_time(message.text()))
            case FieldName.MODE:
                return ModeTold(parse_mode(message.text()))
            case FieldName.DATA_CHANNEL_TOKEN:
                return Invited(parse_token(message.text()))
            case FieldName.LIMITED_BY:
                return LimitTold(parse_bottleneck(message.text()))
            case FieldName.CHECKSUM:
                return self._receive_checksum(exchange, parse_checksum(message.text()))
        return self._receive_completion(exchange, message.argument())

    def _receive_checksum(self, exchange: Exchange, checksum: Checksum) -> Event | None:
        asked = exchange.options.checksum
        if asked is not None and checksum.algorithm != asked:
            raise self._violation("Its checksum is another one than was asked for")
        return ChecksumTold(checksum) if asked is not None else None

    def _receive_completion(self, exchange: Exchange, name: str) -> Event:
        own = exchange.arguments[0] if exchange.arguments else "."
        if not is_same(self.directory, name, own):
            raise self._violation("Its completion names another file")
        if exchange.verb == "get":
            if FieldName.FILE_SIZE not in exchange.told:
                raise self._violation("It completed a file without a size")
            if exchange.options.checksum is not None and FieldName.CHECKSUM not in exchange.told:
                raise self._violation("It completed without the checksum that was asked for")
        exchange.server_completed = True
        exchange._agree()
        return Completed()

    def _violation(self, what: str) -> ProtocolViolation:
        self.lost = ProtocolViolation(f"{what}.")
        return self.lost
