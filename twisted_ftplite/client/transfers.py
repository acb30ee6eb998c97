"""What a get and a put do on the client's side: one coroutine each.

The steps are those of docs/protocol.md, section 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import (
    ChecksumMismatch,
    ConnectionLost,
    ConnectionTimedOut,
    DiskFull,
    FileChanged,
    FileTooLarge,
    FTPLiteError,
    LocalFileTrouble,
    NotSupported,
    OffsetNotValid,
    ProtocolViolation,
    QuotaExceeded,
    SizeMismatch,
    TransferCancelled,
    from_oserror,
)
from ..flow.channel import DataChannel
from ..flow.digest import Digest
from ..flow.observing import DISK
from ..flow.receiving import FileConsumer
from ..flow.sending import PieceProducer, Producer, produce_file
from ..protocol.options import Options
from ..protocol.values import Checksum
from ..storage.interface import WriteHandle
from .command import Command
from .description import Description
from .files import LocalFile, ReadSource, local_trouble, open_source
from .reaching import open_channel
from .resuming import Begun, StartOver, begun_get, begun_put, can_resume_get
from .services import BREAKS
from .targets import Identity, LocalTarget
from .wishes import Transfer, Wishes, choose


async def get(command: Command, target: str | WriteHandle, wishes: Wishes, resume: bool) -> Transfer:
    """Steps 1 to 9 of a get, and then the file in its place.

    Raises `StartOver` where what it went on with is of no use.
    """
    services = command.services
    began = services.reactor.seconds()
    algorithm = _algorithm(command, wishes)
    handle = LocalTarget(target, services.in_memory) if isinstance(target, str) else target
    _keep_target(command, handle)
    begun, found = Begun(), None
    if resume and isinstance(handle, LocalTarget) and can_resume_get(command.offered):
        begun, found = await begun_get(command, handle, algorithm, wishes.progress)
    if begun.whole and found is not None and isinstance(handle, LocalTarget):
        await _adopt(command, handle, found, wishes)
        seconds = services.reactor.seconds() - began
        return Transfer(command.arguments[0], begun.offset, seconds, begun.offset, begun.checksum)
    digest = None if algorithm is None else Digest(algorithm, services.workers)
    command.offset = begun.offset
    options = Options(offset=begun.offset or None, checksum=algorithm)
    channel = await open_channel(command, options=options)
    size = await command.within_stall_time(command.answers.size)
    try:
        await _prepare(command, handle, size, wishes, found if begun.offset else None)
        consumer = FileConsumer(
            channel, handle, services.workers, services.pipes, services.limits, None, digest, begun.offset
        )
        checksum = await _receive(command, consumer, size, wishes)
    except ChecksumMismatch as error:
        command.fail(ChecksumMismatch())
        if begun.offset:
            raise StartOver from error
        raise
    except SizeMismatch as error:
        command.fail(SizeMismatch())
        raise ProtocolViolation(f"The server announced {size} bytes and sent others.") from error
    except LocalFileTrouble as error:
        command.fail(_for_the_server(error))
        raise
    command.complete()
    await command.over()
    if handle.waits:
        with command.spends(DISK):
            await command.commit(handle.publish)
    else:
        handle.publish()
    seconds, limited_by = services.reactor.seconds() - began, command.limited_by(algorithm)
    return Transfer(command.arguments[0], size, seconds, begun.offset, checksum, limited_by)


async def put(command: Command, source: str | ReadSource, wishes: Wishes, resume: bool) -> Transfer:
    """Steps 1 to 9 of a put.  Raises `StartOver` as `get` does."""
    services = command.services
    began = services.reactor.seconds()
    algorithm = _algorithm(command, wishes)
    if isinstance(source, str):
        opened = await command.open(_close, open_source, source, services.limits)
    else:
        opened = command.keep(source, _close)
    file = opened if isinstance(opened, LocalFile) else None
    begun = Begun()
    if resume:
        if file is None:
            raise NotSupported("A stream cannot be gone on with.")
        begun = await begun_put(command, file, algorithm, wishes.progress, preserve=wishes.preserve)
        if begun.whole:
            seconds = services.reactor.seconds() - began
            return Transfer(command.arguments[0], file.size, seconds, file.size, begun.checksum)
    digest = begun.digest
    if digest is None and algorithm is not None:
        digest = Digest(algorithm, services.workers)
    options = Options(offset=begun.offset or None, checksum=algorithm)
    if wishes.preserve and file is not None:
        options.mtime_ns, options.mode = file.mtime_ns, file.mode
    size = None if file is None else file.size
    command.offset = begun.offset
    channel = await open_channel(command, size, options)
    checksum = await _send(command, channel, opened, source, wishes, digest)
    moved = channel.sent
    command.complete(moved if size is None else None, checksum)
    try:
        await command.over(channel.movement, works=True)
    except ChecksumMismatch as error:
        if begun.offset and not begun.verified:  # what the server had may be what is wrong
            raise StartOver from error
        raise
    seconds, limited_by = services.reactor.seconds() - began, command.limited_by(algorithm)
    size = begun.offset + moved
    return Transfer(command.arguments[0], size, seconds, begun.offset, checksum, limited_by)


def _algorithm(command: Command, wishes: Wishes) -> str | None:
    """The checksum to use.  Raises `NotSupported`, also where time and mode cannot be preserved."""
    if wishes.preserve:
        command.demand("modified")
    return choose(wishes.checksum, command.offered)


def _keep_target(command: Command, handle: WriteHandle) -> None:
    """See that what a failed get leaves is kept, or removed, when no thread works on it any more."""
    local = command.leaves = handle if isinstance(handle, LocalTarget) else None

    def leave(_: object) -> None:
        if not command.failed:
            return
        end = handle.discard
        if local is not None and _is_to_keep(command):
            _identify(command, local)
            end = local.keep
        left = command.services.workers.run(end)
        if command.settled is not None:
            left.addCallback(command.settled.callback)

    command.keep(handle, leave)


def _is_to_keep(command: Command) -> bool:
    """Whether what has arrived is good: the link broke, or nothing was added to what was there before."""
    if isinstance(command.error, StartOver | OffsetNotValid):
        return False
    return isinstance(command.error, BREAKS) or (command.offset > 0 and command.position is None)


def _identify(command: Command, target: LocalTarget) -> None:
    """Say what is fetched, as far as it is known, so that what arrives can be gone on with."""
    size, mtime_ns = command.answers.told_size, command.answers.mtime_ns
    if size is not None and mtime_ns is not None and can_resume_get(command.offered):
        target.identity = Identity(command.services.place, command.remote_path, size, mtime_ns)


async def _adopt(command: Command, target: LocalTarget, found: Description, wishes: Wishes) -> None:
    """The file is there already."""
    if wishes.preserve:
        _preserve(target, found.mtime_ns, found.mode)
    await command.work(target.adopt)


async def _prepare(
    command: Command, handle: WriteHandle, size: int, wishes: Wishes, expected: Description | None
) -> None:
    """Between the announced size and the first byte: make a large file, or see that it is still the same."""
    if not isinstance(handle, LocalTarget):
        return
    limits = command.services.limits
    outlives = size > limits.resumable_size and can_resume_get(command.offered)
    if outlives or wishes.preserve or expected is not None:
        await command.within_stall_time(command.answers.attributes())
    if expected is not None and (size, command.answers.mtime_ns) != (expected.size, expected.mtime_ns):
        raise StartOver
    if wishes.preserve:
        _preserve(handle, command.answers.mtime_ns, command.answers.mode)
    if expected is None:
        _identify(command, handle)
        if size > limits.small_file:
            await command.work(handle.open_named if outlives else handle.open)


def _preserve(target: LocalTarget, mtime_ns: int | None, mode: int | None) -> None:
    if mtime_ns is None or mode is None:
        raise ProtocolViolation("It offers to tell a file's time and mode, and does not.")
    target.set_attributes(mtime_ns, mode)


async def _receive(command: Command, consumer: FileConsumer, size: int, wishes: Wishes) -> Checksum | None:
    """Steps 6 and 7: all bytes, the end of the stream, the server's completion and its checksum.

    Raises `SizeMismatch`, `ChecksumMismatch` and `LocalFileTrouble` for what this side found.
    """
    handle = consumer.handle
    consumer.expect(size - command.offset)
    checksum = None
    with _of_this_side(getattr(handle, "name", "the target")):
        received = await command.pump(consumer, size, wishes.progress)
        await command.within_stall_time(command.answers.completed, works=consumer.digest is not None)
        if command.offset + received != size:
            raise SizeMismatch
        if consumer.digest is not None:
            file = handle if isinstance(handle, LocalTarget) else _AllAdded()
            checksum = await command.digested(consumer.digest, file, size)
            if checksum != command.answers.checksum:
                raise ChecksumMismatch(f"{checksum} came, {command.answers.checksum} was sent.")
    if received > command.services.limits.small_file or command.offset:
        with command.working(), command.spends(DISK):
            await command.work(handle.sync)
    return checksum


async def _send(
    command: Command,
    channel: DataChannel,
    opened: LocalFile | ReadSource,
    source: str | ReadSource,
    wishes: Wishes,
    digest: Digest | None,
) -> Checksum | None:
    """Step 6 of a put, and the checksum of the whole.

    Raises `LocalFileTrouble`, also where the file changed meanwhile.
    """
    services = command.services
    file = opened if isinstance(opened, LocalFile) else None
    name = source if isinstance(source, str) else getattr(source, "name", "the source")
    producer: Producer
    if isinstance(opened, LocalFile):
        offset, count = command.offset, opened.size - command.offset
        producer = produce_file(channel, opened, offset, count, services.workers, services.limits, digest)
    else:
        read, piece = opened.read, services.limits.receive_buffer
        producer = PieceProducer(channel, lambda: read(piece), services.workers, digest)
    checksum = None
    try:
        with _of_this_side(name):
            await command.pump(producer, None if file is None else file.size, wishes.progress)
            channel.finish_sending()
            if digest is not None:
                end = channel.sent if file is None else file.size
                checksum = await command.digested(digest, file or _AllAdded(), end)
        if file is not None and file.changed():
            raise FileChanged
    except FileChanged as error:
        raise LocalFileTrouble(f"{name}: changed while it was sent; put it again") from error
    return checksum


class _AllAdded:
    """What can't be read again: all its bytes were added to the digest as they passed."""

    def fileno(self) -> None:
        return None

    def read(self, offset: int, count: int) -> bytes:
        return b""


@contextmanager
def _of_this_side(name: str) -> Iterator[None]:
    """What the system says of a local file leaves as trouble with it."""
    try:
        yield
    except FTPLiteError as error:
        if isinstance(error, LocalFileTrouble | ConnectionLost | ConnectionTimedOut):
            raise
        if isinstance(error.__cause__, OSError):
            raise local_trouble(name, error) from error
        raise


def _close(opened: LocalFile | ReadSource) -> None:
    opened.close()


def _for_the_server(error: LocalFileTrouble) -> FTPLiteError:
    """Why this side cannot keep the file; what is wrong with its name is no concern of the server's."""
    told = from_oserror(error.cause) if error.cause is not None else None
    return told if isinstance(told, DiskFull | QuotaExceeded | FileTooLarge) else TransferCancelled()
