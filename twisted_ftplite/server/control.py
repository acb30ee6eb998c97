"""The control channel: lines to the session core, and what the core says is done."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IHalfCloseableProtocol,
    IPushProducer,
    ITCPTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import ConnectionLost, FTPLiteError, TooManyFailures, TransferCancelled
from ..flow import tcp
from ..flow.handshake import TLSSide
from ..flow.secure import SecureConnection
from ..protocol.events import Begin, Close, Ended, Event, Joined, Say
from ..protocol.lines import Success, encode_success
from ..protocol.order import State
from ..protocol.server import ServerSession
from .access import know_by_certificate
from .call import Call
from .door import Door
from .entry import arrive
from .handover import Handover
from .performing import Performer
from .record import Status, record
from .services import Ends, Services
from .users import User


class ControlTransport(ITCPTransport, IConsumer):
    """What a control channel needs: a TCP connection that tells when its buffer is full."""


@implementer(IHalfCloseableProtocol, IPushProducer)
class ControlChannel(LineReceiver):
    """One client's control channel, in the clear and then perhaps inside TLS."""

    delimiter = b"\n"
    transport: ControlTransport

    def __init__(self, door: Door, services: Services) -> None:
        self.services = services
        self.visitor = arrive(services.entry, None)
        """Who the client is."""

        self.session = ServerSession(services.limits, (), services.algorithms, self.visitor.gate)
        self.MAX_LENGTH = services.limits.line_length - 1
        self.heard = self.began = services.reactor.seconds()
        """When the client last said or was last told something, and when it came: the reactor's seconds."""

        self.host: str | None = None
        """Whom this session is counted for."""

        self.counted_user: str | None = None
        """The same of users."""

        self._door = door
        self.performer = Performer(services, self, self._conclude)
        self._handover = Handover(services, self)
        self._introduced = self._obeying = self._receiving = False
        self._congested = self._left = self._heard_out = False
        self._deadline: IDelayedCall | None = None
        self._next_look: IDelayedCall | None = None

    @property
    def silent(self) -> bool:
        """Whether no command runs and it is the client's turn to say something."""
        return self.session.state is State.IDLE and not self._left

    @property
    def features(self) -> tuple[str, ...]:
        """What is offered to this client."""
        return (*self.services.features, *self.visitor.features)

    # What Twisted calls.

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)
        self.arrived()
        refusal = self._door.opened(self)
        if refusal is not None and self._door.turns_first:
            self.transport.loseConnection()
        elif refusal is not None:
            self.refuse(refusal)
        elif self._door.turns_first:
            self._turn(b"")
        else:
            self.say(self.session.greeting())

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
        if not self._introduced and not self.session.is_undecided(line):
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
        self._handover.cancel()
        self.gone()

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

    def arrived(self) -> None:
        """Its host is known; inside TLS it has been since before."""
        if self.visitor.side is None:
            self.visitor = arrive(self.services.entry, self.transport.getPeer())
            self._begin_session()

    def enter(self, user: User) -> None:
        """The client has logged in.  Raises `LimitReached` where it may not now."""
        self._door.entered(self, user)
        self.visitor.become(user)

    def say(self, line: bytes) -> None:
        """Send a line."""
        self.transport.write(line)

    def flush(self) -> None:
        """Send what was said now, unless that is done further up the stack."""
        if not self._receiving and not self._handover.runs:
            tcp.flush(self.transport)

    def ends(self) -> Ends | None:
        """Where the running command may connect back."""
        return self._door.ends(self)

    def refuse(self, error: FTPLiteError) -> None:
        """End the session for this reason; a running command ends with it."""
        self._handover.cancel()
        self.session.refuse(error)
        self.obey()

    def abort(self) -> None:
        """Drop the connection."""
        if self._handover.runs:
            self._handover.cancel()
        else:
            self.transport.abortConnection()

    def drain(self) -> None:
        """Begin nothing any more, and leave when what moves has moved."""
        self._handover.cancel()
        self.session.drain()
        self.obey()

    def end_command(self, call: object, error: FTPLiteError) -> None:
        """End this command with this status, if it still runs; the session goes on."""
        if self.performer.runs(call):
            self.session.cancel(error)
            self.obey()

    def too_late(self) -> None:
        """The running command was told to end after the point of no return."""
        self.performer.too_late()

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
        self.flush()
        self._steer()

    def _obey_one(self, event: Event) -> None:
        match event:
            case Begin(command):
                self.performer.begin(command, self.session)
            case Say(line, cancelled):
                self.say(line)
                if cancelled is not None:
                    record(self.visitor.peer, cancelled, TransferCancelled())
            case Close():
                self._leave()
            case Joined(token):
                self._join(token)
            case Ended(error):
                self.performer.end(error)
            case _:
                self.performer.tell(event)

    def _conclude(self, call: Call, status: Status, seconds: float) -> None:
        """A command is over."""
        record(self.visitor.peer, call.command, status, call.moved, seconds, call.limited_by())
        self.heard = self.services.reactor.seconds()
        if self._left or call.session is not self.session:
            return
        if status is Success.BEGIN_TLS:
            self._turn(encode_success(Success.BEGIN_TLS))
            return
        moved = f"{call.moved} bytes in {seconds:.3f} s" if call.session.transfer is not None else ""
        self.say(self.session.finish(status, moved))
        if self.visitor.failures >= self.services.limits.login_failures_session:
            self.session.refuse(TooManyFailures("Too many logins have failed."))

    def _begin_session(self) -> None:
        names = frozenset(each.partition(" ")[0] for each in self.features)
        self.session = ServerSession(self.services.limits, names, self.services.algorithms, self.visitor.gate)

    def _turn(self, told: bytes) -> None:
        """Say a last line in the clear, and begin anew inside TLS."""
        certificates = self.services.entry.certificates
        assert certificates is not None
        clean = self.session.is_clean
        self.visitor.address = self.transport.getPeer()  # whom a proxy has told of by now
        self.session.abandon()
        self._hold()
        self._handover.to_tls(certificates, told, clean=clean)

    async def begin_anew(self, connection: SecureConnection, side: TLSSide, *, greets: bool) -> None:
        """Inside TLS all is forgotten, but not how many logins have failed."""
        self.visitor = self.visitor.secured(side)
        self._door.entered(self, None)
        self._begin_session()
        self.paused = self._congested = False
        connection.attach(self)
        self.transport.registerProducer(self, True)
        await know_by_certificate(self.services.entry, connection.socket, self.visitor.peer, self.enter)
        if greets:
            self.say(self.session.greeting())

    def _join(self, token: str | None) -> None:
        """This is a data channel: give it to the transfer that waits for it, or drop it without a word."""
        passive, secure = self.services.entry.passive, self.visitor.side is not None
        joined = None if token is None else passive.claim(token, secure=secure)
        self._hold()
        self._left = True
        if joined is None:
            self.transport.loseConnection()
        else:
            self._handover.to_data(joined)

    def _hold(self) -> None:
        """Take no more lines: what has come behind this one stays where it is."""
        pause: Callable[[], None] = super().pauseProducing
        pause()

    def gone(self) -> None:
        """The connection is over, or no session any more."""
        self._left = True
        self.session.abandon()
        for timer in (self._deadline, self._next_look):
            if timer is not None and timer.active():
                timer.cancel()
        self.performer.lose(ConnectionLost())
        self._door.closed(self)

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
        if self._handover.runs:
            return
        wait = (self._congested or self.session.full) and not self._left
        pause: Callable[[], None] = super().pauseProducing
        resume: Callable[[], None] = super().resumeProducing
        if wait and not self.paused:
            pause()
            self._watch()
        elif self.paused and not wait:
            resume()
