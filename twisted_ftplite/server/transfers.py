"""The verbs with a data channel: one coroutine each.  The steps are those of docs/protocol.md, section 4."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..errors import (
    ChecksumMismatch,
    DiskFull,
    FileChanged,
    FileExists,
    FileNotFound,
    OffsetNotValid,
    QuotaExceeded,
    SizeMismatch,
    StorageFailed,
)
from ..flow.digest import Digest
from ..flow.observing import DISK
from ..flow.receiving import FileConsumer
from ..flow.sending import PieceProducer, produce_file
from ..protocol import listing
from ..protocol.lines import FieldName, Success, encode_field, encode_size
from ..protocol.options import Options
from ..protocol.paths import Path
from ..protocol.values import Checksum, spell_mode, spell_time
from ..storage.interface import ReadHandle, Storage, Upload
from .call import Call
from .storing import StoredUpload, open_upload
from .uploads import LiveUpload, Place

log = Logger()

KEEPS_NOTHING = (DiskFull, QuotaExceeded, SizeMismatch, ChecksumMismatch, StorageFailed)
"""How an upload ends that is not to be gone on with; after any other end what arrived is kept."""


async def ls(call: Call) -> Success:
    """Send a directory's names, or its tree with attributes."""
    services = call.services
    path = call.path()
    if (await call.work(call.storage.stat, path)).kind == "link":  # it dangles, or leads out of the tree
        raise FileNotFound
    port = await call.offer(Success.READY_TO_SEND)
    lines = await call.work(_lines, call.storage, path, call.options)
    channel = await call.connect(port)

    def next_piece() -> bytes:
        return _join(lines, services.limits.listing_piece)

    await call.pump(PieceProducer(channel, next_piece, services.workers))
    call.end_stream(channel)
    await call.sent(channel)
    return Success.LISTING_COMPLETE


async def get(call: Call) -> Success:
    """Send a file as it was when it was opened, or a part of it."""
    services = call.services
    handle = await open_read(call, call.path())
    port = await call.offer(Success.READY_TO_SEND)
    options = call.options
    offset = options.offset or 0
    if offset > handle.size:
        raise OffsetNotValid(f"The file has {handle.size} bytes.")
    count = handle.size - offset
    if options.byte_count is not None:
        count = min(count, options.byte_count)
    digest, checksum = _digest_of_get(call, handle, offset)
    call.due = count
    channel = await call.connect(port)
    call.say(encode_size(FieldName.FILE_SIZE, handle.size))
    if call.session.knows_modified:
        call.say(encode_field(FieldName.MODIFIED, spell_time(handle.mtime_ns)))
        call.say(encode_field(FieldName.MODE, spell_mode(handle.mode)))
    await call.pump(produce_file(channel, handle, offset, count, services.workers, services.limits, digest))
    if handle.changed():
        raise FileChanged
    call.end_stream(channel)
    if digest is not None:
        checksum = await call.checksum(digest, handle, offset + count)
        if handle.changed():
            raise FileChanged
        if options.byte_count is None:
            services.checksums.remember(handle, checksum)
    if checksum is not None:
        call.say(encode_field(FieldName.CHECKSUM, str(checksum)))
    await call.sent(channel)
    return Success.FILE_TRANSFERRED


async def put(call: Call) -> Success:
    """Take a file, or the rest of one; it is in place and durable before the server's completion."""
    services, limits = call.services, call.limits
    path = call.path()
    target = await call.work(call.storage.check_write, path)
    if not call.user.replaces:
        await call.work(_check_absent, call.storage, path)
    port = await call.offer(Success.READY_TO_RECEIVE)
    options = call.options
    digest = None if options.checksum is None else call.digest(options.checksum)
    upload = await _open_write(call, path, Place(call.owner, target))
    handle = upload.handle
    handle.set_attributes(options.mtime_ns, options.mode)
    channel = await call.connect(port)
    held = handle.size
    consumer = FileConsumer(
        channel,
        handle,
        services.workers,
        services.pipes,
        limits,
        digest=digest,
        held=held,
        allowance=upload.reservation,
    )
    await call.pump(consumer)
    await call.told_complete()
    if call.held != call.announced_size:
        raise SizeMismatch(f"{call.announced_size} bytes were announced, {call.held} are there.")
    if digest is not None:
        checksum = await call.checksum(digest, handle, call.held)
        if checksum != call.told_checksum:
            raise ChecksumMismatch(f"{checksum.digest} was stored.")
    with call.working(), call.spends(DISK):
        if call.moved > limits.small_file:
            await call.work(handle.sync)
        await call.commit(upload.publish, upload.workers)
    call.say(call.completion())
    return Success.FILE_TRANSFERRED


async def open_read(call: Call, path: Path) -> ReadHandle:
    """Open without a thread what the system has in memory, else with one."""
    storage = call.storage
    at_hand = storage.open_read_now(path)
    if at_hand is not None:
        return call.keep(at_hand, _close)
    return await call.open(_close, storage.open_read, path)


def _digest_of_get(call: Call, handle: ReadHandle, offset: int) -> tuple[Digest | None, Checksum | None]:
    """What is to make the checksum of what is sent, or the checksum itself where the file's is known.

    A file that many fetch is hashed once.  What it was then is what the receiver compares with, so this
    finds out a disk that gives other bytes now.
    """
    algorithm, is_part = call.options.checksum, call.options.byte_count is not None
    if algorithm is None:
        return None, None
    known = None if is_part else call.services.checksums.find(algorithm, handle)
    return (None, known) if known is not None else (call.digest(algorithm, offset if is_part else 0), None)


def _close(handle: ReadHandle) -> None:
    handle.close()


async def _open_write(call: Call, path: Path, place: Place) -> StoredUpload:
    """Open the file of a put, at the end of what is there already where it goes on, with room for all of it.

    Raises `OffsetNotValid` where that is not the offset that was asked for.
    """
    uploads, storage, offset = call.services.uploads, call.storage, call.options.offset
    quota = call.quota
    if quota is not None:
        with call.working():
            await quota.ready()
            await uploads.settle_of(call.owner)
    if offset is not None:
        with call.working():
            await uploads.take_over(place)
    opened: list[StoredUpload] = []
    live = LiveUpload(call.end, lambda: call.held, lambda: call.failed)
    uploads.begin(place, live)

    def settled(_: object) -> None:
        uploads.end(place, live)

    call.keep(opened, lambda _: _settle(call, opened).addCallback(settled))
    announced = call.announced_size
    upload = Upload(call.owner, announced, bool(offset), call.user.replaces)

    def open_it() -> None:
        if offset == 0 and storage.partial_size(path, call.owner):
            raise OffsetNotValid("A partial is there: go on where it ends, or tell no offset to start anew.")
        opened.append(open_upload(storage, path, upload, quota))

    await call.work(open_it, workers=None if quota is None else quota.turns)
    size = opened[0].handle.size
    if size != (offset or 0) or (announced is not None and announced < size):
        raise OffsetNotValid(f"The partial has {size} bytes.")
    return opened[0]


def _check_absent(storage: Storage, path: Path) -> None:
    """Raises `FileExists` where anything is there."""
    try:
        storage.stat(path)
    except FileNotFound:
        return
    raise FileExists


def _settle(call: Call, opened: list[StoredUpload]) -> Deferred[None]:
    """Keep or discard what a failed upload has left; fires when that is done."""
    if not call.failed or not opened:
        return succeed(None)
    upload = opened[0]
    end = upload.discard if isinstance(call.error, KEEPS_NOTHING) else upload.keep

    def log_it(failure: Failure) -> None:
        log.failure("What {verb} left could not be removed", failure, verb=call.command.verb.name)

    return (upload.workers or call.services.workers).run(end).addErrback(log_it)


def _lines(storage: Storage, path: Path, options: Options) -> Iterator[bytes]:
    """The lines of a listing, as it was asked for."""
    if options.format is None and options.depth is None:
        return listing.plain(storage.list(path))
    rows = (
        listing.Row(name, *attributes)
        for name, attributes in storage.list_attributes(path, whole_tree=options.depth is not None)
    )
    if options.format is not None:
        return listing.json_lines(rows)
    return listing.plain((row.name, row.kind == "directory") for row in rows)


def _join(lines: Iterator[bytes], size: int) -> bytes:
    """The next lines, about ``size`` bytes of them; none where there are no more."""
    piece = bytearray()
    for line in lines:
        piece += line
        if len(piece) >= size:
            break
    return bytes(piece)
