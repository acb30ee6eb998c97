"""The control channel: lines to the session core, and what the core says is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IHalfCloseableProtocol,
    IPushProducer,
    ITCPTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import (
    ConnectionLost,
    FTPLiteError,
    InternalError,
    NotSupported,
    TransferCancelled,
    from_oserror,
)
from ..flow import tcp
from ..protocol.events import Announced, Begin, Close, Completed, Ended, Event, InputOver, Say, SizeTold
from ..protocol.lines import Command, Success
from ..protocol.order import State
from ..protocol.server import ServerSession
from .call import Call, Ends, Services
from .commands import HANDLERS
from .record import Status, record

log = Logger()


class ControlTransport(ITCPTransport, IConsumer):
    """What a control channel needs: a TCP connection that tells when its buffer is full."""


class Door(Protocol):
    """Who keeps count of the sessions."""

    def opened(self, control: ControlChannel) -> FTPLiteError | None:
        """A connection was made; an error where it cannot stay."""

    def introduced(self, control: ControlChannel) -> FTPLiteError | None:
        """Its first line has come, and so whoever a proxy says that it is."""

    def closed(self, control: ControlChannel) -> None:
        """The connection is gone."""

    def ends(self, control: ControlChannel) -> Ends | None:
        """Where the server may connect back for this client."""


@implementer(IHalfCloseableProtocol, IPushProducer)
class ControlChannel(LineReceiver):
    """One client's control channel."""

    delimiter = b"\n"
    transport: ControlTransport

    def __init__(self, door: Door, services: Services) -> None:
        self.services = services
        self.session = ServerSession(services.limits, services.feature_names, services.algorithms)
        self.MAX_LENGTH = services.limits.line_length - 1
        self.heard = services.reactor.seconds()
        """When the client last said or was last told something, in the reactor's seconds."""

        self.host: str | None = None
        """Whom this session is counted for."""

        self._door = door
        self._call: Call | None = None
        self._running: Deferred[None] | None = None
        self._ended_by: FTPLiteError | None = None
        self._introduced = self._obeying = self._receiving = self._congested = self._left = (
            self._heard_out
        ) = False
        self._deadline: IDelayedCall | None = None
        self._next_look: IDelayedCall | None = None

    @property
    def silent(self) -> bool:
        """Whether no command runs and it is the client's turn to say something."""
        return self.session.state is State.IDLE and not self._left

    @property
    def peer(self) -> str:
        """Who it is, for the log."""
        address = self.transport.getPeer()
        return f"{getattr(address, 'host', '-')}:{getattr(address, 'port', '-')}"

    @property
    def owner(self) -> str:
        """Whose partials this client's uploads leave: without a login, its host's."""
        host = getattr(self.transport.getPeer(), "host", None)
        return "" if host is None else str(tcp.plain_host(host))

    # What Twisted calls.

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)
        refusal = self._door.opened(self)
        if refusal is None:
            self.say(self.session.greeting())
        else:
            self.refuse(refusal)

    def dataReceived(self, data: bytes) -> None:
        if self._left:
            return
        if self.session.is_foreign(data):
            self.transport.loseConnection()
        else:
            split: Callable[[bytes], None] = super().dataReceived
            self._receiving = True
            try:
                split(data)
            finally:
                self._receiving = False
            tcp.flush(self.transport)  # once for all the lines that came together

    def lineReceived(self, line: bytes) -> None:
        self.heard = self.services.reactor.seconds()
        if not self._introduced:
            self._introduced = True
            refusal = self._door.introduced(self)
            if refusal is not None:
                self.refuse(refusal)
                return
        self.session.receive(line)
        self.obey()

    def lineLengthExceeded(self, line: bytes) -> None:
        self.session.receive_too_long()
        self.obey()

    def readConnectionLost(self) -> None:
        self._heard_out = True
        if self._left:
            self.transport.loseConnection()
        else:
            self.session.receive_end()
            self._watch()
            self.obey()

    def writeConnectionLost(self) -> None:
        """Our own half-close is done."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._left = True
        self.session.abandon()
        for timer in (self._deadline, self._next_look):
            if timer is not None and timer.active():
                timer.cancel()
        if self._running is not None:
            self._ended_by = ConnectionLost()
            self._running.cancel()
        self._door.closed(self)

    def stopProducing(self) -> None:
        """The transport is gone; `connectionLost` sees to it."""

    def pauseProducing(self) -> None:
        """The client does not read what it is told, so no more is taken from it."""
        self._congested = True
        self._steer()

    def resumeProducing(self) -> None:
        """It reads again."""
        self._congested = False
        self._steer()

    # What the service and the running command call.

    def say(self, line: bytes) -> None:
        """Send a line."""
        self.transport.write(line)

    def ends(self) -> Ends | None:
        """Where the running command may connect back."""
        return self._door.ends(self)

    def refuse(self, error: FTPLiteError) -> None:
        """End the session for this reason; a running command ends with it."""
        self.session.refuse(error)
        self.obey()

    def drain(self) -> None:
        """Begin nothing any more, and leave when what moves has moved."""
        self.session.drain()
        self.obey()

    def end_command(self, call: Call, error: FTPLiteError) -> None:
        """End this command with this status, if it still runs; the session goes on."""
        if self._call is call:
            self.session.cancel(error)
            self.obey()

    def too_late(self) -> None:
        """The running command was told to end after the point of no return."""
        self._ended_by = None

    def obey(self) -> None:
        """Do what the session says, unless that is being done further up the stack."""
        if self._obeying:
            return
        self._obeying = True
        try:
            for event in self.session.events():
                self._obey_one(event)
        finally:
            self._obeying = False
        if not self._receiving:
            tcp.flush(self.transport)
        self._steer()

    def _obey_one(self, event: Event) -> None:
        match event:
            case Begin(command):
                self._begin(command)
            case Say(line, cancelled):
                self.say(line)
                if cancelled is not None:
                    record(self.peer, cancelled, TransferCancelled())
            case Close():
                self._leave()
            case Ended(error):
                self._ended_by = error
                if self._running is not None:
                    self._running.cancel()
            case _ if self._call is not None:
                self._tell(self._call, event)

    def _tell(self, call: Call, event: Event) -> None:
        match event:
            case Announced(port):
                call.announced(port)
            case SizeTold(size):
                call.size_told(size)
            case Completed():
                call.completed()
            case InputOver():
                call.input_over()

    def _begin(self, command: Command) -> None:
        self._ended_by = None
        call = self._call = Call(self.services, self.session, command, self)
        running = Deferred.fromCoroutine(self._perform(call))
        if self._call is call:
            self._running = running

    async def _perform(self, call: Call) -> None:
        """Run a command's coroutine to the one final status it gets, whatever becomes of it."""
        began = self.services.reactor.seconds()
        status: Status
        try:
            status = await self._handle(call)
        except CancelledError:
            status = self._ended_by or InternalError()
        except FTPLiteError as error:
            status = error
        except OSError as error:
            log.failure("{verb} met an error of the system", verb=call.command.verb.name)
            status = from_oserror(error)
        except Exception:  # noqa: BLE001 - logged, and the client still gets its status
            log.failure("{verb} failed", verb=call.command.verb.name)
            status = InternalError()
        call.error = status if isinstance(status, FTPLiteError) else None
        call.failed = call.error is not None
        self._call = self._running = None
        self._conclude(call, status, self.services.reactor.seconds() - began)
        call.release()
        self.heard = self.services.reactor.seconds()
        self.obey()

    async def _handle(self, call: Call) -> Success:
        handler = HANDLERS.get(call.command.verb.name)
        call.command.arguments()
        if handler is None:
            raise NotSupported
        return await handler(call)

    def _conclude(self, call: Call, status: Status, seconds: float) -> None:
        moved = f"{call.moved} bytes in {seconds:.3f} s" if call.session.transfer is not None else ""
        line = self.session.finish(status, moved)
        if not self._left:
            self.say(line)
        record(self.peer, call.command, status, call.moved, seconds)

    def _leave(self) -> None:
        """End the stream behind the last words, and give the client time to read them.

        Closing while it still sends would reset the connection, and the words would be lost.
        """
        if self._left:
            return
        self._left = True
        self.transport.unregisterProducer()
        if self._heard_out:
            self.transport.loseConnection()
        else:
            self.transport.loseWriteConnection()
        self._steer()
        self._deadline = self.services.reactor.callLater(
            self.services.limits.close_timeout, self.transport.abortConnection
        )

    def _watch(self) -> None:
        """While nothing is read nobody tells of a reset, which is to end everything at once."""
        if self._next_look is None:
            interval = self.services.limits.reset_interval
            self._next_look = self.services.reactor.callLater(interval, self._look)

    def _look(self) -> None:
        self._next_look = None
        if tcp.is_gone(self.transport):
            self.transport.abortConnection()
        elif self.paused or self._heard_out:
            self._watch()

    def _steer(self) -> None:
        """Read, or not: not while the client doesn't, nor while enough of its lines wait."""
        wait = (self._congested or self.session.full) and not self._left
        pause: Callable[[], None] = super().pauseProducing
        resume: Callable[[], None] = super().resumeProducing
        if wait and not self.paused:
            pause()
            self._watch()
        elif self.paused and not wait:
            resume()
