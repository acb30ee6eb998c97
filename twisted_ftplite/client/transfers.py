"""What a listing, a get and a put do on the client's side: one coroutine each.

The steps are those of docs/protocol.md, section 4.
"""

from __future__ import annotations

from typing import NamedTuple

from ..errors import (
    DiskFull,
    FileChanged,
    FileTooLarge,
    FTPLiteError,
    LocalFileTrouble,
    ProtocolViolation,
    QuotaExceeded,
    SizeMismatch,
    TransferCancelled,
    from_oserror,
)
from ..flow.channel import DataChannel
from ..flow.receiving import FileConsumer
from ..flow.sending import PieceProducer, Producer, produce_file
from ..protocol.listing import parse_plain
from ..storage.interface import Buffer, Entry, WriteHandle
from ..storage.reading import LocalReadHandle
from ..storage.snapshot import Snapshot
from .command import Command, Progress
from .files import LocalFile, LocalTarget, ReadSource, local_trouble, open_source


class Transfer(NamedTuple):
    """A transfer that worked."""

    name: str
    """The remote name that was asked for."""

    size: int
    """Bytes moved."""

    seconds: float
    """From the request to the final status and the file in its place."""


class _Collected:
    """A `WriteHandle` in memory."""

    waits = False

    def __init__(self) -> None:
        self.content = bytearray()

    def fileno(self) -> None:
        return None

    def write(self, data: Buffer) -> None:
        self.content += data

    def sync(self) -> None:
        """There is nothing to sync."""

    def publish(self) -> None:
        """There is no name."""

    def discard(self) -> None:
        self.content.clear()


async def ls(command: Command) -> list[Entry]:
    """Steps 1 to 9 of a listing."""
    services = command.services
    listener = command.listen()
    command.announce(listener)
    channel = await command.channel(listener)
    collected = _Collected()
    limits = services.limits
    consumer = FileConsumer(channel, collected, services.workers, services.pipes, limits, limits.listing_size)
    await command.pump(consumer, None, None)
    await command.within_stall_time(command.completed)
    try:
        entries = [Entry(*each) for each in parse_plain(bytes(collected.content))]
    except FTPLiteError as error:
        raise ProtocolViolation(f"The listing makes no sense: {error.detail}") from error
    command.complete()
    await command.over()
    return entries


async def get(command: Command, target: str | WriteHandle, progress: Progress | None) -> Transfer:
    """Steps 1 to 9 of a get, and then the file in its place."""
    reactor = command.services.reactor
    began = reactor.seconds()
    known = command.services.in_memory
    handle = LocalTarget(target, known) if isinstance(target, str) else target
    command.keep(handle, lambda each: command.services.workers.run(each.discard) if command.failed else None)
    listener = command.listen()
    command.announce(listener)
    channel = await command.channel(listener)
    size = await command.within_stall_time(command.size)
    try:
        if isinstance(handle, LocalTarget) and size > command.services.limits.small_file:
            await command.work(handle.open)
        services = command.services
        consumer = FileConsumer(channel, handle, services.workers, services.pipes, services.limits)
        received = await _receive(command, consumer, size, progress)
    except SizeMismatch as error:
        command.fail(SizeMismatch())
        raise ProtocolViolation(f"The server announced {size} bytes and sent others.") from error
    except LocalFileTrouble as error:
        command.fail(_for_the_server(error))
        raise
    command.complete()
    await command.over()
    if handle.waits:
        await command.commit(handle.publish)
    else:
        handle.publish()
    return Transfer(command.arguments[0], received, reactor.seconds() - began)


async def _receive(command: Command, consumer: FileConsumer, size: int, progress: Progress | None) -> int:
    """Steps 6 and 7: all bytes, the end of the stream and the server's completion.

    Raises `SizeMismatch` and `LocalFileTrouble` for what this side found.
    """
    consumer.expect(size)
    try:
        received = await command.pump(consumer, size, progress)
    except FTPLiteError as error:
        if isinstance(error.__cause__, OSError) and not isinstance(error, LocalFileTrouble):
            name = getattr(consumer.handle, "name", "the target")
            raise local_trouble(name, error) from error
        raise
    await command.within_stall_time(command.completed)
    if received != size:
        raise SizeMismatch
    if received > command.services.limits.small_file:
        await command.work(consumer.handle.sync)
    return received


async def put(command: Command, source: str | ReadSource, progress: Progress | None) -> Transfer:
    """Steps 1 to 9 of a put."""
    services = command.services
    began = services.reactor.seconds()
    if isinstance(source, str):
        opened = await command.open(_close, open_source, source, services.limits)
    else:
        opened = command.keep(source, _close)
    file = opened if isinstance(opened, LocalReadHandle | Snapshot) else None
    size = None if file is None else file.size
    listener = command.listen()
    command.announce(listener, size)
    channel = await command.channel(listener)
    try:
        await command.pump(_producer(command, channel, opened), size, progress)
        if file is not None and file.changed():
            raise FileChanged
    except FileChanged as error:
        raise LocalFileTrouble(f"{source}: changed while it was sent; put it again") from error
    channel.finish_sending()
    command.complete(channel.sent if size is None else None)
    await command.over(channel.movement)
    return Transfer(command.arguments[0], channel.sent, services.reactor.seconds() - began)


def _producer(command: Command, channel: DataChannel, opened: LocalFile | ReadSource) -> Producer:
    services = command.services
    if isinstance(opened, LocalReadHandle | Snapshot):
        return produce_file(channel, opened, 0, opened.size, services.workers, services.limits)
    read, count = opened.read, services.limits.receive_buffer
    return PieceProducer(channel, lambda: read(count), services.workers)


async def tell(command: Command) -> list[str]:
    """A command without a transfer; returns the fields that came."""
    command.send()
    command.say_nothing_more()
    await command.over()
    return command.told


def _close(opened: LocalFile | ReadSource) -> None:
    opened.close()


def _for_the_server(error: LocalFileTrouble) -> FTPLiteError:
    """Why this side cannot keep the file; what is wrong with its name is no concern of the server's."""
    told = from_oserror(error.cause) if error.cause is not None else None
    return told if isinstance(told, DiskFull | QuotaExceeded | FileTooLarge) else TransferCancelled()
