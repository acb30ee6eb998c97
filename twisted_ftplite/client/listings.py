"""What a listing does on the client's side, plain or with attributes: steps 1 to 9 of docs/protocol.md."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import BadSyntax, ProtocolViolation
from ..flow.receiving import FileConsumer
from ..protocol.listing import Row, parse_json, parse_plain
from ..protocol.options import Options
from ..storage.interface import Buffer, Entry, WriteHandle
from .command import Command
from .reaching import open_channel


class _Lines:
    """A `WriteHandle` that gives whole lines on as they come."""

    waits = False

    def __init__(self, take: Callable[[bytes], None], longest: int) -> None:
        """``longest`` is how many bytes a line may have."""
        self._take = take
        self._longest = longest
        self._begun = bytearray()

    def fileno(self) -> None:
        return None

    def write(self, data: Buffer) -> None:
        self._begun += data
        end = self._begun.rfind(b"\n") + 1
        if end:
            whole = bytes(self._begun[:end])
            del self._begun[:end]
            self._take(whole)
        if len(self._begun) > self._longest:
            raise ProtocolViolation("A line of the listing is too long.")

    def spliced(self, count: int) -> None:
        """It has no descriptor."""

    def sync(self) -> None:
        """There is nothing to sync."""

    def publish(self) -> None:
        """There is no name.  Raises `ProtocolViolation` where the last line has no end."""
        if self._begun:
            raise ProtocolViolation("The listing's last line has no end.")

    def discard(self) -> None:
        self._begun.clear()


async def ls(command: Command) -> list[Entry]:
    """A plain listing, whole."""
    entries: list[Entry] = []

    def take(lines: bytes) -> None:
        try:
            entries.extend(Entry(*each) for each in parse_plain(lines))
        except BadSyntax as error:
            raise _nonsense(error) from error

    await _receive(command, take, command.services.limits.listing_size)
    return entries


async def rows(
    command: Command, take: Callable[[list[Row]], None], *, depth_all: bool, most: int | None
) -> None:
    """A listing with attributes of at most ``most`` bytes, any where None, given on as it comes."""
    command.demand("json")

    def take_lines(lines: bytes) -> None:
        try:
            some = list(parse_json(lines, whole_tree=depth_all))
        except BadSyntax as error:
            raise _nonsense(error) from error
        take(some)

    await _receive(command, take_lines, most, Options(format="json", depth="all" if depth_all else None))


async def _receive(
    command: Command, take: Callable[[bytes], None], most: int | None, options: Options | None = None
) -> None:
    services = command.services
    channel = await open_channel(command, options=options)
    lines: WriteHandle = _Lines(take, services.limits.receive_buffer)
    consumer = FileConsumer(channel, lines, services.workers, services.pipes, services.limits, most)
    await command.pump(consumer, None, None)
    await command.within_stall_time(command.answers.completed)
    lines.publish()
    command.complete()
    await command.over()


def _nonsense(error: BadSyntax) -> ProtocolViolation:
    return ProtocolViolation(f"The listing makes no sense: {error.detail}")
