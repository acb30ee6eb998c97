"""What a client says about the running transfer, and what follows from it."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

from ..errors import BadSyntax, UnexpectedMessage
from .events import Announced, Completed, Event, SizeTold
from .gate import Gate
from .lines import Command, Field, FieldName
from .options import Options, note
from .paths import ROOT, Path, is_same
from .values import Bottleneck, Checksum, parse_bottleneck, parse_checksum


@dataclass(slots=True)
class Transfer:
    """One transfer, from step 2 to its end."""

    command: Command
    receives: bool
    """Whether the server is the one that receives."""

    directory: Path = ROOT
    """The working directory, from which the name in a completion is taken."""

    options: Options = field(default_factory=Options)
    """What was asked for at step 3; nothing is added once the port was told."""

    announced: bool = False
    """Whether step 3 is over."""

    size: int | None = None
    """Bytes of the whole file, announced by the client; None while unknown."""

    checksum: Checksum | None = None
    """What the client says it is sending, made by the algorithm of its option; told before `completed`."""

    limited_by: Bottleneck | None = None
    """What the client says that it waited for most."""

    completed: bool = False
    """Whether the client's completion has come."""

    workings: int = 0
    """How often the client has said that it is busy."""

    def note(
        self, message: Field, features: Container[str], algorithms: Container[str], gate: Gate
    ) -> Event | None:
        """Take one field; returns what the host is to be told.

        Raises what ends the command: one of `Broken`, `NotSupported` or `EncryptionRequired`.
        """
        moving = self.announced
        match message.name:
            case FieldName.WORKING:
                self.workings += 1
            case FieldName.FILE_SIZE if self.receives:
                return self._tell_size(message.size())
            case FieldName.DATA_CHANNEL_PORT if not moving:
                return self._announce(message, "passive" in features, gate)
            case FieldName.CHECKSUM if moving and self._checksum_due:
                self._tell_checksum(parse_checksum(message.text()))
            case FieldName.LIMITED_BY if moving and "status" in features:
                self.limited_by = parse_bottleneck(message.text())
            case FieldName.TRANSFER_COMPLETE if moving:
                return self._complete(message.argument())
            case _ if not moving:
                note(self.options, message, self.command.verb.name, features, algorithms)
        return None

    def _announce(self, message: Field, may_be_passive: bool, gate: Gate) -> Announced:
        if may_be_passive and message.text().lower() == "passive":
            port = None
        else:
            port = message.number()
            gate.check_port(self.options.token)
        self.announced = True
        return Announced(port)

    @property
    def _checksum_due(self) -> bool:
        """Whether the client is the one to say a checksum."""
        return self.receives and self.options.checksum is not None

    def _tell_size(self, size: int) -> SizeTold | None:
        if self.size is None:
            self.size = size
            return SizeTold(size)
        if self.size != size:
            raise BadSyntax("Another file size was told before.")
        return None

    def _tell_checksum(self, checksum: Checksum) -> None:
        if checksum.algorithm != self.options.checksum:
            raise BadSyntax(f"A checksum by {self.options.checksum} was asked for.")
        if self.checksum not in (None, checksum):
            raise BadSyntax("Another checksum was told before.")
        self.checksum = checksum

    def _complete(self, name: str) -> Completed | None:
        meant = self.command.arguments() or (".",)
        if not is_same(self.directory, name, meant[0]):
            raise UnexpectedMessage("The completion names another file.")
        if self.receives and self.size is None:
            raise BadSyntax("The file size was due before the completion.")
        if self._checksum_due and self.checksum is None:
            raise BadSyntax("The checksum was due before the completion.")
        if self.completed:
            return None
        self.completed = True
        return Completed()
