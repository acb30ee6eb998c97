"""How a data channel comes to be: the server connects back, the client listens; one factory a transfer.

docs/protocol.md, sections 4 (steps 3 and 4) and 5.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Coroutine
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor, IWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import (
    CertificateRefused,
    ConnectionLost,
    ConnectionRefused,
    ConnectionTimedOut,
    FTPLiteError,
    LimitReached,
)
from . import tcp
from .addresses import same_host
from .channel import DataChannel
from .reactor import Reactor
from .talk import Introduce, Talk, begin
from .tcp import SocketAddress
from .tuning import PLAIN, Tuning

__all__ = ["ConnectBack", "ConnectPassive", "DataChannelFactory", "Listen", "Reactor"]

_NOBODY = "Nobody connected to the data channel."

_STRANGERS = 64
"""Connections that may be about to prove themselves at a time; then the oldest has had its chance."""


class DataChannelFactory(Protocol):
    """Makes the one data channel of one transfer."""

    def open(self) -> Deferred[DataChannel]:
        """Fires with the connected channel, which is then the caller's to close.

        Fails with `ConnectionRefused`, `ConnectionTimedOut` or `LimitReached`; cancelling it gives up.
        """


@implementer(IWriteDescriptor)
class ConnectBack:
    """Connects to the port that the client announced, once, from the address the client reached."""

    def __init__(
        self,
        reactor: Reactor,
        local: SocketAddress,
        peer: SocketAddress,
        port: int,
        timeout: float,
        introduce: Introduce | None = None,
        tuning: Tuning = PLAIN,
    ) -> None:
        """``introduce`` is done within the same ``timeout`` seconds; what it raises, `open` fails with."""
        self._reactor = reactor
        self._local = local
        self._peer = (peer[0], port, *peer[2:])
        self._timeout = timeout
        self._introduce = introduce
        self._tuning = tuning
        self._socket: socket.socket | None = None
        self._deadline: IDelayedCall | None = None
        self._introduced: Deferred[DataChannel] | None = None
        self._opened: Deferred[DataChannel] = Deferred(lambda _: self._give_up())

    def open(self) -> Deferred[DataChannel]:
        """See `DataChannelFactory.open`."""
        try:
            self._socket = tcp.new_socket(self._local)
        except OSError as error:
            self._settle(error.errno or errno.EIO)
            return self._opened
        outcome = tcp.begin_connect(self._socket, self._local, self._peer, self._tuning)
        if outcome is None:
            self._start_clock()
            self._reactor.addWriter(self)
        else:
            self._settle(outcome)
        return self._opened

    def doWrite(self) -> None:
        """The connection is made, or has failed."""
        assert self._socket is not None
        outcome = tcp.outcome_of_connect(self._socket)
        if outcome is not None:
            self._settle(outcome)

    def _settle(self, problem: int) -> None:
        if problem or self._socket is None:
            self._fail(_refusal(problem))
            return
        self._reactor.removeWriter(self)
        connected, self._socket = self._socket, None
        if self._introduce is None:
            self._succeed(DataChannel(self._reactor, connected))
            return
        if self._deadline is None:
            self._start_clock()
        introducing = begin(Talk(self._reactor, connected), self._introduce)
        self._introduced = Deferred.fromCoroutine(introducing)
        self._introduced.addCallbacks(self._succeed, self._not_introduced)

    def _succeed(self, channel: DataChannel) -> None:
        self._stop_clock()
        self._opened.callback(channel)

    def _not_introduced(self, failure: Failure) -> None:
        self._stop_clock()
        if failure.check(CancelledError) is None:
            self._opened.errback(failure)

    def fileno(self) -> int:
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        return "connecting back"

    def connectionLost(self, reason: Failure) -> None:
        if self._socket is not None:
            self.doWrite()

    def _fail(self, error: FTPLiteError) -> None:
        self._give_up()
        self._opened.errback(error)

    def _give_up(self) -> None:
        self._stop_clock()
        if self._socket is not None:
            self._reactor.removeWriter(self)
            self._socket.close()
            self._socket = None
        if self._introduced is not None:
            self._introduced.cancel()

    def _start_clock(self) -> None:
        self._deadline = self._reactor.callLater(self._timeout, self._fail, ConnectionTimedOut())

    def _stop_clock(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()


class ConnectPassive(ConnectBack):
    """Connects the client to where its control channel goes, as another connection beside that."""

    def __init__(
        self,
        reactor: Reactor,
        local: SocketAddress,
        peer: SocketAddress,
        timeout: float,
        introduce: Introduce,
        tuning: Tuning = PLAIN,
    ) -> None:
        """``local`` and ``peer`` are the ends of the control channel."""
        super().__init__(reactor, local, peer, peer[1], timeout, introduce, tuning)


@implementer(IReadDescriptor)
class Listen:
    """Listens for one connection of the peer; anybody else's is dropped and the wait goes on.

    Anybody else is who comes from another address, or fails at the introduction where there is one.

    It can be opened again when a transfer has ended well: the server connects once a transfer, so that
    nothing late can arrive.  After a transfer that broke off it must be closed.
    """

    def __init__(
        self,
        reactor: Reactor,
        local: SocketAddress,
        peer: SocketAddress,
        timeout: float,
        ports: tuple[int, int] = (0, 0),
        tuning: Tuning = PLAIN,
    ) -> None:
        self._reactor = reactor
        self._peer = peer
        self._timeout = timeout
        self._deadline: IDelayedCall | None = None
        self._opened: Deferred[DataChannel] | None = None
        self._introduce: Introduce | None = None
        self._introducing: list[Deferred[None]] = []
        self._refused: CertificateRefused | None = None
        self._socket: socket.socket | None = _bind(local, ports, tuning)
        self.port: int = self._socket.getsockname()[1]
        """The port to announce.  It listens from the start, so that no announcement comes too early."""

    def open(self, introduce: Introduce | None = None) -> Deferred[DataChannel]:
        """See `DataChannelFactory.open`; the timeout begins now."""
        self._introduce = introduce
        opened = self._opened = Deferred(lambda _: self.close())
        self._deadline = self._reactor.callLater(self._timeout, self._time_out)
        self._reactor.addReader(self)
        return opened

    def close(self) -> None:
        """Listen no more; a second call does nothing."""
        self._stop_waiting()
        if self._socket is not None:
            self._reactor.removeReader(self)
            self._socket.close()
            self._socket = None

    def doRead(self) -> None:
        """Somebody connects."""
        assert self._socket is not None
        try:
            sock, address = self._socket.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._fail(LimitReached("No descriptors left."))
            return
        if not same_host(address, self._peer):
            sock.close()
            return
        sock.setblocking(False)
        if self._opened is None:  # the server connects once; this is nobody's
            sock.close()
        elif self._introduce is None:
            self._succeed(DataChannel(self._reactor, sock))
        else:
            self._try(begin(Talk(self._reactor, sock), self._introduce))

    def _try(self, introduction: Coroutine[Deferred[Any], Any, DataChannel]) -> None:
        """See whether this connection proves itself; others may come meanwhile."""
        if len(self._introducing) >= _STRANGERS:
            self._introducing.pop(0).cancel()
        introduced = Deferred.fromCoroutine(introduction)
        done = introduced.addCallbacks(self._succeed, self._is_stranger)
        if not done.called:
            self._introducing.append(done)

    def _succeed(self, channel: DataChannel) -> None:
        opened = self._stop_waiting()
        if opened is None:
            channel.close()
        else:
            opened.callback(channel)

    def _time_out(self) -> None:
        self._fail(self._refused or ConnectionTimedOut(_NOBODY))

    def _is_stranger(self, failure: Failure) -> None:
        """It is dropped; who is expected may still come, and why this one is not is told if nobody does."""
        failure.trap(FTPLiteError, CancelledError)
        if isinstance(failure.value, CertificateRefused) and self._opened is not None:
            self._refused = failure.value

    def fileno(self) -> int:
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        return "waiting for a data channel"

    def connectionLost(self, reason: Failure) -> None:
        self.close()

    def _fail(self, error: FTPLiteError) -> None:
        opened = self._stop_waiting()
        self.close()
        if opened is not None:
            opened.errback(error)

    def _stop_waiting(self) -> Deferred[DataChannel] | None:
        """Who waits, and waits no longer."""
        opened, self._opened = self._opened, None
        if self._deadline is not None:
            if self._deadline.active():
                self._deadline.cancel()
            self._deadline = None
        introducing, self._introducing = self._introducing, []
        for each in introducing:
            each.cancel()  # of the one that has succeeded, this does nothing
        return opened


def _bind(local: SocketAddress, ports: tuple[int, int], tuning: Tuning) -> socket.socket:
    """A listening socket on the first port of the range that is free.  Raises `LimitReached`."""
    problem: OSError | None = None
    for port in range(ports[0], ports[1] + 1):
        try:
            return tcp.listen_on(local, port, tuning)
        except OSError as error:
            problem = error
    reason = os.strerror(problem.errno or 0) if problem is not None else "the range is empty"
    raise LimitReached(f"No port to listen on: {reason}.") from problem


def _refusal(problem: int) -> FTPLiteError:
    if problem == errno.ETIMEDOUT:
        return ConnectionTimedOut()
    if problem in (errno.EMFILE, errno.ENFILE):
        return LimitReached("No descriptors left.")
    if problem in (errno.ECONNRESET, errno.EPIPE):
        return ConnectionLost()  # accepted, and reset before we looked
    return ConnectionRefused()
