"""Data channels: a connected socket that the reactor watches for one producer or one consumer.

The channel owns its socket.  Towards a sender it is a consumer in Twisted's sense: it asks its pull
producer for more whenever the kernel takes more.  Towards a receiver it is a push producer: it tells
that there is something to take, and can be paused.  What moves need not pass through Python at all:
`DataChannel.send_file` and `DataChannel.splice` hand descriptors to the kernel.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IProducer,
    IPullProducer,
    IPushProducer,
    IReadWriteDescriptor,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import ConnectionLost, FTPLiteError, StorageFailed, UnexpectedMessage
from . import tcp
from .observing import Account
from .reactor import Reactor

_SPLICE_FLAGS = getattr(os, "SPLICE_F_NONBLOCK", 2) | getattr(os, "SPLICE_F_MOVE", 1)


class Receiver(Protocol):
    """Who takes what a data channel brings."""

    def readable(self) -> None:
        """There is something to take, or the end of the stream."""


@implementer(IReadWriteDescriptor, IConsumer, IPushProducer)
class DataChannel:
    """One data channel, from connected to closed.

    ``on_lost`` is called once, with our exception, when the connection breaks; not after `close`.
    """

    splices = True
    """Whether `splice` and, uncopied, `send_file` can be used."""

    def __init__(self, reactor: Reactor, sock: socket.socket, unread: bytes = b"") -> None:
        """``unread`` was taken from the socket already and is the beginning of what is received."""
        self._reactor = reactor
        self._socket = sock
        self._producer: IPullProducer | None = None
        self._receiver: Receiver | None = None
        self._unsent = memoryview(b"")
        self._unread = memoryview(unread)
        self._soon: IDelayedCall | None = None
        """Tells of what the kernel does not tell of."""

        self._wide: tcp.Buffer | None = None
        self._closed = self._paused = False
        self.account = Account(secure=not self.splices)
        """What its time is spent on."""

        self.on_lost: Callable[[FTPLiteError], None] | None = None
        self.sent = 0
        """Bytes the kernel has taken."""

        self._tune(sock)

    # As a consumer: what is sent.

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """Ask this pull producer for more whenever the kernel takes more."""
        if streaming:
            raise ValueError("A data channel pulls; it takes no push producer.")
        if not self._closed:
            self._producer = IPullProducer(producer)
            self._reactor.addWriter(self)

    def unregisterProducer(self) -> None:
        """Ask no more; what was written is still sent."""
        self._producer = None
        if not self._unsent:
            self._reactor.removeWriter(self)

    def write(self, data: bytes | memoryview) -> None:
        """Send bytes; the producer is not asked again before the kernel has them all."""
        if self._closed:
            return
        self._unsent = memoryview(data)
        try:
            self._flush()
        except OSError:
            self._lose()
        if self._unsent or self._producer is not None:
            self._reactor.addWriter(self)

    @property
    def flushed(self) -> bool:
        """Whether the kernel has taken all that was written."""
        return not self._unsent and not self._closed

    def send_file(self, descriptor: int, offset: int, count: int) -> int | None:
        """Let the kernel send up to ``count`` bytes of a file; returns how many, 0 at the file's end.

        None: the kernel takes nothing now, and the producer is asked again when it does.  Raises
        `StorageFailed` where the file cannot be read.
        """
        try:
            sent = os.sendfile(self._socket.fileno(), descriptor, offset, count)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno == errno.EIO:  # the file's; a socket has other errors
                raise StorageFailed from error
            raise
        self.sent += sent
        return sent

    def pause_asking(self) -> None:
        """Do not ask the producer until `ask_again` or `write`: it waits for something itself."""
        self._reactor.removeWriter(self)

    def ask_again(self) -> None:
        """The producer has more."""
        if not self._closed:
            self._reactor.addWriter(self)

    def pace(self, rate: float | None) -> None:
        """Have the kernel spread what is sent so evenly that it keeps to this rate; None: as it likes."""
        self.account.ceiling = rate
        if not self._closed:
            tcp.pace(self._socket, rate)

    def finish_sending(self) -> None:
        """End the stream behind the last byte.  What the peer does is still watched."""
        self.unregisterProducer()
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._lose()

    def watch_peer(self) -> None:
        """Notice a peer that goes away, or that sends where it should receive."""
        if not self._closed:
            self._reactor.addReader(self)
            self._tell_soon()

    def movement(self) -> int:
        """A number that grows as the peer's kernel acknowledges bytes."""
        acknowledged = None if self._closed else tcp.bytes_acknowledged(self._socket)
        return self.sent if acknowledged is None else acknowledged

    def observe(self) -> None:
        """Ask the kernel how it goes."""
        if not self._closed:
            self.account.see(tcp.info(self._socket))

    # As a producer: what is received.

    def deliver_to(self, receiver: Receiver) -> None:
        """Tell the receiver whenever there is something to take.

        What has come already is told at once: a small file then needs no turn of the reactor.
        """
        self._receiver = receiver
        self._paused = False
        self.doRead()
        if not self._paused:
            self.resumeProducing()

    def pauseProducing(self) -> None:
        """Tell the receiver nothing; the peer is slowed by TCP once the kernel's buffers are full."""
        self._paused = True
        self._reactor.removeReader(self)

    def resumeProducing(self) -> None:
        """Go on telling."""
        self._paused = False
        if not self._closed:
            self._reactor.addReader(self)
            self._tell_soon()

    def narrow(self, rate: float | None) -> None:
        """Keep the kernel from taking much more than at this rate will be taken soon; None: as it likes."""
        self.account.ceiling = rate
        if not self._closed:
            self._wide = tcp.narrow(self._socket, rate, self._wide)

    def stopProducing(self) -> None:
        """Close."""
        self.close()

    def recv_into(self, buffer: memoryview) -> int | None:
        """Take bytes; 0 is the end of the stream, None: nothing there now.

        May also be called in a worker thread while the reactor does not watch the channel.
        """
        if self._unread:
            return self._take_unread(buffer)
        try:
            return self._socket.recv_into(buffer)
        except BlockingIOError:
            return None

    def linger(self, seconds: float) -> bool:
        """Wait in a worker thread, so long at most, for something to take; whether something has come."""
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        return bool(waiting.poll(seconds * 1000))

    def splice(self, pipe: int, count: int) -> int | None:
        """Move bytes into a pipe, uncopied; 0 is the end of the stream, None: nothing there, or no room.

        May also be called in a worker thread while the reactor does not watch the channel.
        """
        try:
            if self._unread:
                written = os.write(pipe, self._unread[:count])
                self._unread = self._unread[written:]
                return written
            return os.splice(self._socket.fileno(), pipe, count, flags=_SPLICE_FLAGS)
        except BlockingIOError:
            return None

    # The end.

    def close(self) -> None:
        """Close behind what the kernel has; a second call does nothing."""
        if not self._closed:
            self._detach()
            self._socket.close()

    def reset(self) -> None:
        """Close so that the peer cannot take what it got for the whole."""
        if not self._closed:
            self._detach()
            tcp.close_with_reset(self._socket)

    # What the reactor calls.

    def fileno(self) -> int:
        return -1 if self._closed else self._socket.fileno()

    def logPrefix(self) -> str:
        return "data channel"

    def doRead(self) -> None:
        self.account.work()
        try:
            if self._receiver is not None:
                self._receiver.readable()
            elif not self._closed:
                self._read_nothing()
        except OSError:
            self._lose()
        self._tell_soon()
        self.account.rest()

    def doWrite(self) -> None:
        self.account.work()
        try:
            if self._unsent:
                self._flush()
            elif self._producer is not None:
                self._producer.resumeProducing()
            elif not self._closed:
                self._reactor.removeWriter(self)
        except OSError:
            self._lose()
        self.account.rest()

    def connectionLost(self, reason: Failure) -> None:
        self._lose()

    def readConnectionLost(self, reason: Failure) -> None:
        self._lose()

    def writeConnectionLost(self, reason: Failure) -> None:
        self._lose()

    def _tune(self, sock: socket.socket) -> None:
        tcp.tune_data(sock)

    def _holds_back(self) -> bool:
        """Whether there is something to take that the kernel has given us already."""
        return bool(self._unread)

    def _tell_soon(self) -> None:
        """Tell of it in the next turn: the reactor, which asks the kernel, will not."""
        if self._soon is None and not self._paused and not self._closed and self._holds_back():
            self._soon = self._reactor.callLater(0, self._tell_now)

    def _tell_now(self) -> None:
        self._soon = None
        if not self._paused:
            self.doRead()

    def _take_unread(self, buffer: memoryview) -> int:
        count = min(len(buffer), len(self._unread))
        buffer[:count] = self._unread[:count]
        self._unread = self._unread[count:]
        return count

    def _detach(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        self._closed = True
        self._unsent = memoryview(b"")
        self._producer = self._receiver = self.on_lost = None

    def _flush(self) -> None:
        try:
            sent = self._socket.send(self._unsent)
        except BlockingIOError:
            return
        self.sent += sent
        self._unsent = self._unsent[sent:]

    def _read_nothing(self) -> None:
        """The peer of a sender may end its own direction at any time, but has nothing to say."""
        try:
            data = bytes(self._unread) or self._socket.recv(1)
        except BlockingIOError:
            return
        self._heard(data)

    def _heard(self, data: bytes) -> None:
        if data:
            self._lose(UnexpectedMessage("The receiver sent data."))
        else:
            self._reactor.removeReader(self)

    def _lose(self, error: FTPLiteError | None = None) -> None:
        lost = self.on_lost
        self.close()
        if lost is not None:
            lost(error or ConnectionLost())
