"""Producers: from an open file, or from pieces made in a thread, to a data channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IPullProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import FileChanged, StorageFailed
from ..limits import Limits
from ..storage.interface import ReadHandle
from .channel import DataChannel
from .digest import Digest, reader
from .observing import DISK, LIMIT, WAIT, WORK, Role
from .pagecache import is_resident, read_in
from .shaping import Share
from .workers import Workers, shielded

A = TypeVarTuple("A")
T = TypeVar("T")

_AT_ONCE = 64 * 1024
"""Bytes that are hashed in the reactor's thread; of what is more, a thread takes care."""


@implementer(IPullProducer)
class Producer:
    """What file and piece producers share: the one job in a thread, and the end.

    ``done`` fires when the kernel has taken the last byte.  A channel that breaks is its owner's affair.
    """

    role = Role.SENDER

    def __init__(self, channel: DataChannel, workers: Workers, digest: Digest | None = None) -> None:
        self.channel = channel
        self.share: Share | None = None
        """What limits its rate, to be set before the start; closed when it ends."""

        self.digest = digest
        """What is sent is added to it, or left for `Digest.finish` to read."""

        self.done: Deferred[None] = Deferred()
        self._workers = workers
        self._job: Deferred[None] | None = None
        """Fires when the thread that works now is done."""

        self._stopped: Deferred[None] | None = None
        self._rest = memoryview(b"")
        """What is in hand and was not written yet."""

        self._paced: float | None = None

    @property
    def waits_for_disk(self) -> bool:
        """Whether it is this side that is being waited for."""
        return self._job is not None

    def movement(self) -> int:
        """A number that grows as the peer's kernel acknowledges bytes."""
        return self.channel.movement()

    def moved(self) -> int:
        """Bytes the kernel has taken."""
        return self.channel.sent

    def start(self) -> Deferred[None]:
        """Begin; returns `done`."""
        self.channel.registerProducer(self, False)
        return self.done

    def stop(self) -> Deferred[None]:
        """Send no more, and add no more to the digest; `done` does not fire.

        The Deferred fires when no thread uses the file any more, which may then be closed.
        """
        if self._stopped is None:
            self.channel.unregisterProducer()
            self._close_share()
            self._stopped = stopped = Deferred[None]()
            hashed = succeed(None) if self.digest is None else self.digest.stop()
            idle = succeed(None) if self._job is None else shielded(self._job)
            idle.addCallback(lambda _: hashed).addCallback(stopped.callback)
        return self._stopped

    def stopProducing(self) -> None:
        """The same, in Twisted's words."""
        self.stop()

    def resumeProducing(self) -> None:
        """Send one turn's worth, and leave the reactor to the others."""
        raise NotImplementedError

    def _in_worker(self, then: Callable[[T], None], function: Callable[[*A], T], *args: *A) -> None:
        """Let a thread read, and send nothing meanwhile."""
        self._job = over = Deferred[None]()
        self.channel.pause_asking()
        account = self.channel.account
        account.turn(DISK)

        def answered(result: T) -> None:
            account.turn(WORK)
            self._job = None
            over.callback(None)
            if self._stopped is None:
                then(result)
            account.rest()

        def failed(failure: Failure) -> None:
            account.turn(WAIT)
            self._job = None
            over.callback(None)
            if self._stopped is None:
                self._end(failure)

        self._workers.run(account.timed, function, *args).addCallbacks(answered, failed)

    def _may_send(self, count: int) -> int:
        """How many of ``count`` bytes may go now; where none, the producer is asked again when some may."""
        share = self.share
        if share is None:
            return count
        may = share.take(count)
        if share.ceiling != self._paced:
            self._paced = share.ceiling
            self.channel.pace(share.ceiling)
        if not may:
            self.channel.pause_asking()
            self.channel.account.turn(LIMIT)
            share.wait(self._ask_again)
        return may

    def _spent(self, count: int) -> None:
        if self.share is not None:
            self.share.spent(count)

    def _ask_again(self) -> None:
        self.channel.account.turn(WAIT)
        if self._stopped is None and self._job is None:
            self.channel.ask_again()

    def _write_rest(self) -> None:
        """Write what may go of what is in hand."""
        count = self._may_send(len(self._rest))
        if count:
            piece, self._rest = self._rest[:count], self._rest[count:]
            self._spent(count)
            self.channel.write(piece)

    def _close_share(self) -> None:
        if self.share is not None:
            self.share.close()

    def _end(self, result: Failure | Exception | None = None) -> None:
        self.channel.unregisterProducer()
        self._close_share()
        if result is None:
            self.done.callback(None)
        else:
            self.done.errback(result)


class FileProducer(Producer):
    """Sends a stretch of a file from its descriptor, the kernel moving the bytes.

    What is not in the page cache is read in by a worker thread first: sendfile(2) would wait for the
    disk in the reactor's.  Fails with `FileChanged` where the file ends too early.
    """

    def __init__(
        self,
        channel: DataChannel,
        descriptor: int,
        offset: int,
        count: int,
        workers: Workers,
        limits: Limits,
        digest: Digest | None = None,
    ) -> None:
        super().__init__(channel, workers, digest)
        self._descriptor = descriptor
        self._offset = offset
        self._end_offset = offset + count
        self._in_memory = offset
        """Up to here it is known that sendfile would not wait."""

        self._limits = limits

    def resumeProducing(self) -> None:
        """Send one turn's worth, and leave the reactor to the others."""
        try:
            for _ in range(self._limits.pieces_a_turn):
                if self._offset == self._end_offset:
                    self._end()
                    return
                if self._offset == self._in_memory and not self._look_ahead():
                    return
                if not self._send_piece():
                    return
        except (FileChanged, StorageFailed) as error:
            self._end(error)

    def _send_piece(self) -> bool:
        """Whether the kernel took anything."""
        count = self._may_send(min(self._in_memory - self._offset, self._limits.piece))
        if not count:
            return False
        sent = self.channel.send_file(self._descriptor, self._offset, count)
        if sent == 0:
            raise FileChanged
        self._offset += sent or 0
        self._spent(sent or 0)
        if self.digest is not None:
            self.digest.follow(reader(self._descriptor), self._offset)
        return sent is not None

    def _look_ahead(self) -> bool:
        """Whether the next window is in memory; if not, a thread is set to read it in."""
        count = min(self._end_offset - self._offset, self._limits.window)
        if is_resident(self._descriptor, self._offset, count):
            self._in_memory += count
            return True
        self._in_worker(lambda _: self._is_in(count), read_in, self._descriptor, self._offset, count)
        return False

    def _is_in(self, count: int) -> None:
        self._in_memory += count
        self.channel.ask_again()


class PieceProducer(Producer):
    """Sends pieces that a function makes in a worker thread, one at a time; an empty one is the last.

    They begin at ``offset`` of what the digest is of.  Fails as the function does.
    """

    def __init__(
        self,
        channel: DataChannel,
        next_piece: Callable[[], bytes],
        workers: Workers,
        digest: Digest | None = None,
        offset: int = 0,
    ) -> None:
        super().__init__(channel, workers, digest)
        self._next_piece = next_piece
        self._offset = offset

    def resumeProducing(self) -> None:
        """Have the next piece made, when there is no more of the last."""
        if self._rest:
            self._write_rest()
        else:
            self._in_worker(self._made, self._make)

    def _make(self) -> bytes:
        piece = self._next_piece()
        if self.digest is not None:
            self.digest.add(piece, self._offset)
        self._offset += len(piece)
        return piece

    def _made(self, piece: bytes) -> None:
        if piece:
            self._rest = memoryview(piece)
            self._write_rest()
        else:
            self._end()


class ContentProducer(Producer):
    """Sends bytes that are in memory already, and which are at ``offset`` of what the digest is of."""

    def __init__(
        self,
        channel: DataChannel,
        content: bytes,
        workers: Workers,
        digest: Digest | None = None,
        offset: int = 0,
    ) -> None:
        super().__init__(channel, workers, digest)
        self._content = content
        self._rest = memoryview(content)
        self._offset = offset

    def start(self) -> Deferred[None]:
        """Begin; what is small goes out at once, without a turn of the reactor."""
        if self._rest:
            self._write_rest()
        if self.digest is not None and len(self._content) <= _AT_ONCE:
            self.digest.add(self._content, self._offset)
        if not self._rest and self.channel.flushed:
            self._end()
            return self.done
        return super().start()

    def resumeProducing(self) -> None:
        """Send the rest; or all of it has been taken."""
        if self._rest:
            self._write_rest()
        else:
            self._end()


def produce_file(
    channel: DataChannel,
    handle: ReadHandle,
    offset: int,
    count: int,
    workers: Workers,
    limits: Limits,
    digest: Digest | None = None,
) -> Producer:
    """The producer that suits an open file, not yet started.

    A ``digest`` that begins, or stands, before ``offset`` is of all from there: what is not sent is read.
    It is complete only by `Digest.finish` of ``handle``, up to any place behind what was sent.
    """
    if handle.content is not None:
        return ContentProducer(channel, handle.content[offset : offset + count], workers, digest, offset)
    descriptor = handle.fileno()
    if descriptor is not None:
        return FileProducer(channel, descriptor, offset, count, workers, limits, digest)
    end, position = offset + count, offset

    def next_piece() -> bytes:
        nonlocal position
        piece = handle.read(position, min(end - position, limits.receive_buffer))
        if not piece and position < end:
            raise FileChanged
        position += len(piece)
        return piece

    return PieceProducer(channel, next_piece, workers, digest, offset)
