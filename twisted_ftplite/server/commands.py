"""What each verb does: one coroutine a verb, which returns the phrase of its success.

A refusal is raised as one of :mod:`twisted_ftplite.errors`.  The steps are those of docs/protocol.md,
section 4.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from ..errors import FileChanged, PermissionDenied, SizeMismatch
from ..flow.receiving import FileConsumer
from ..flow.sending import PieceProducer, produce_file
from ..protocol import listing
from ..protocol.lines import VERBS, FieldName, Success, encode_field, encode_size
from ..protocol.paths import Path
from ..storage.interface import ReadHandle, WriteHandle
from .call import Call

Handler = Callable[[Call], Awaitable[Success]]


async def ls(call: Call) -> Success:
    """Send a directory's names."""
    services = call.services
    path = call.path()
    lines = listing.plain(await call.work(services.storage.list, path))
    channel = await call.data_channel(Success.READY_TO_SEND)

    def next_piece() -> bytes:
        return _join(lines, services.limits.listing_piece)

    await call.pump(PieceProducer(channel, next_piece, services.workers))
    await call.sent(channel)
    return Success.LISTING_COMPLETE


async def get(call: Call) -> Success:
    """Send a file as it was when it was opened."""
    services = call.services
    handle = await _open_read(call, call.path())
    channel = await call.data_channel(Success.READY_TO_SEND)
    call.say(encode_size(FieldName.FILE_SIZE, handle.size))
    await call.pump(produce_file(channel, handle, 0, handle.size, services.workers, services.limits))
    if handle.changed():
        raise FileChanged
    await call.sent(channel)
    return Success.FILE_TRANSFERRED


async def put(call: Call) -> Success:
    """Take a file; it is in place and durable before the server's completion."""
    services = call.services
    if services.read_only:
        raise PermissionDenied("This server is read-only.")

    def discard(handle: WriteHandle) -> None:
        if call.failed:
            services.workers.run(handle.discard)

    handle = await call.open(discard, services.storage.open_write, call.path())
    channel = await call.data_channel(Success.READY_TO_RECEIVE)
    await call.pump(FileConsumer(channel, handle, services.workers, services.pipes, services.limits))
    await call.told_complete()
    if call.moved != call.announced_size:
        raise SizeMismatch(f"{call.announced_size} bytes were announced, {call.moved} came.")
    with call.working():
        if call.moved > services.limits.small_file:
            await call.work(handle.sync)
        await call.commit(handle.publish)
    call.say(call.session.complete())
    return Success.FILE_TRANSFERRED


async def features(call: Call) -> Success:
    """Tell what can be asked for."""
    for feature in call.services.features:
        call.say(encode_field(FieldName.FEATURE, feature))
    return Success.FEATURES_LISTED


async def help_(call: Call) -> Success:
    """Tell the verbs."""
    for verb in VERBS.values():
        if verb.feature is None or verb.feature in call.services.features:
            call.say(encode_field(FieldName.HELP, f"{verb.usage} - {verb.help}"))
    return Success.HELP_LISTED


async def noop(call: Call) -> Success:
    """Do nothing."""
    return Success.NOTHING_DONE


async def quit_(call: Call) -> Success:
    """End the session, behind this status."""
    return Success.GOODBYE


HANDLERS: dict[str, Handler] = {
    "ls": ls,
    "get": get,
    "put": put,
    "features": features,
    "help": help_,
    "noop": noop,
    "quit": quit_,
}
"""The verbs that are served; the others of the protocol are ``FAILURE: Not supported.``"""


async def _open_read(call: Call, path: Path) -> ReadHandle:
    """Open without a thread what the system has in memory, else with one."""
    storage = call.services.storage
    at_hand = storage.open_read_now(path)
    if at_hand is not None:
        return call.keep(at_hand, _close)
    return await call.open(_close, storage.open_read, path)


def _close(handle: ReadHandle) -> None:
    handle.close()


def _join(lines: Iterator[bytes], size: int) -> bytes:
    """The next lines, about ``size`` bytes of them; none where there are no more."""
    piece = bytearray()
    for line in lines:
        piece += line
        if len(piece) >= size:
            break
    return bytes(piece)
