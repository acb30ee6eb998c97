"""One running command, as its coroutine sees it: the session, the storage and the data channel.

What a coroutine opens it hands to `Call.keep`; that is released when the command is over and no thread
works on it any more.  Everything said goes through here; the transport is never seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater

from ..errors import (
    ConnectionLost,
    ConnectionTimedOut,
    FileTooLarge,
    FTPLiteError,
    LoginRequired,
    NameNotAllowed,
)
from ..flow.channel import DataChannel
from ..flow.digest import Digest, Readable
from ..flow.errand import Errand
from ..flow.movement import Pump, move
from ..flow.observing import Role
from ..flow.receiving import FileConsumer
from ..flow.stall import StallWatch
from ..limits import Limits
from ..protocol.lines import Command, FieldName, Success, encode_size
from ..protocol.options import Options
from ..protocol.paths import Path, resolve
from ..protocol.server import ServerSession
from ..protocol.transfer import Transfer
from ..protocol.values import Checksum
from ..storage.interface import Storage
from .entry import Visitor
from .quota import Quota
from .rendezvous import connect_back, wait_passively
from .services import Control, Services
from .users import User

T = TypeVar("T")


class Call(Errand):
    """A command from its line to its final status."""

    def __init__(
        self, services: Services, session: ServerSession, command: Command, control: Control
    ) -> None:
        super().__init__(services.workers)
        self.services = services
        self.session = session
        self.command = command
        self.error: FTPLiteError | None = None
        """Why the command has failed: set with `failed`."""

        self.due: int | None = None
        """Bytes that are to move, as far as the server knows of itself."""

        self.owner = control.visitor.owner
        """Whose partials its uploads leave."""

        self._user = control.visitor.user
        self._control = control
        self._is_counted = False
        self._port: Deferred[int | None] = Deferred()
        self._completion: Deferred[None] | None = None
        self._transfer: Transfer | None = None
        self._lost: FTPLiteError | None = None
        """Why the data channel broke behind the end of the stream; a word about it would have come by now."""

    @property
    def storage(self) -> Storage:
        """The tree this client sees."""
        services, root = self.services, self.user.root
        return services.tree_of(root) if root and services.tree_of is not None else services.storage

    # What the session tells.

    def announced(self, port: int | None) -> None:
        """Step 3 is over."""
        self._port.callback(port)

    def size_told(self, size: int) -> None:
        """The client says how many bytes it sends."""
        if isinstance(self._pump, FileConsumer):
            self._pump.expect(size - (self.options.offset or 0))

    def completed(self) -> None:
        """The client's completion has come."""
        if self._completion is not None and not self._completion.called:
            self._completion.callback(None)

    def input_over(self) -> None:
        """The client says nothing more: a completion that has not come will not."""
        if self._completion is not None and not self._completion.called:
            self._completion.errback(ConnectionLost("Your completion did not come."))

    # What a coroutine asks for.

    def say(self, line: bytes) -> None:
        """Send a line."""
        self._control.say(line)

    @property
    def visitor(self) -> Visitor:
        """Who the client is."""
        return self._control.visitor

    @property
    def features(self) -> tuple[str, ...]:
        """What is offered to it."""
        return self._control.features

    def enter(self, user: User) -> None:
        """The client has logged in.  Raises `LimitReached` where it may not now."""
        self._control.enter(user)

    @property
    def user(self) -> User:
        """Who gives the command."""
        if self._user is None:
            raise LoginRequired
        return self._user

    @property
    def limits(self) -> Limits:
        """What bounds its transfer."""
        limits, most = self.services.limits, self.user.max_file_size
        return limits if most is None else replace(limits, max_file_size=min(most, limits.max_file_size))

    @property
    def quota(self) -> Quota | None:
        """What its user may store; None: any amount."""
        quotas = self.services.quotas
        return None if quotas is None else quotas.of(self.user.root, self.user)

    @property
    def options(self) -> Options:
        """What the client has asked for of the transfer, complete when `offer` is over."""
        return Options() if self._transfer is None else self._transfer.options

    def path(self, position: int = 0) -> Path:
        """Where one of the command's arguments leads; the working directory where there is none."""
        arguments = self.command.arguments()
        path = resolve(self.session.directory, arguments[position] if arguments else ".")
        if len(path) > self.services.limits.max_depth:
            raise NameNotAllowed(f"A path may be {self.services.limits.max_depth} names long.")
        return path

    def second_argument(self) -> str | None:
        """As it was meant; None where there is none."""
        arguments = self.command.arguments()
        return arguments[1] if len(arguments) > 1 else None

    def end(self, error: FTPLiteError) -> None:
        """Have the command end, for a reason of the server's own."""
        self._control.end_command(self, error)

    def too_late(self) -> None:
        """See `Errand.too_late`."""
        self._control.too_late()

    def job_done(self) -> None:
        """See `Errand.job_done`: it may have let the session go on."""
        self._control.obey()

    async def offer(self, ready: Success) -> int | None:
        """Steps 2 and 3: say that it is ready, and wait for the port; all options are known then.

        None: the client will connect.  Raises `LimitReached` where it has enough transfers running.
        """
        await self._count()
        self.say(self.session.answer(ready, receives=ready is Success.READY_TO_RECEIVE))
        self._transfer = self.session.transfer
        port = await self._within_stall_time(
            self._port, ConnectionTimedOut("The data channel port did not come.")
        )
        most = self.limits.max_file_size
        if (self.announced_size or 0) > most:
            raise FileTooLarge(f"The limit is {most} bytes.")
        return port

    async def connect(self, port: int | None) -> DataChannel:
        """Step 4: connect back, or wait for the client to connect where there is no port."""
        ends = self._control.ends()
        if port is not None:
            token, sends = self.options.token, not (self._transfer and self._transfer.receives)
            opening = connect_back(self.services, self.visitor, ends, port, token, sends=sends)
        else:
            own = next(iter(sorted(self.services.own_ports)), 0) if ends is None else ends.local[1]
            opening = wait_passively(self.services, self.visitor, own, self._say_now)
        return self.keep_channel(await opening)

    def _say_now(self, line: bytes) -> None:
        self.say(line)
        self._control.flush()

    async def _count(self) -> None:
        """Let it be one of the transfers its client may have at a time, until it is over."""
        running, most = self.services.transfers, self.user.max_transfers
        if most is None:
            most = self.services.limits.max_transfers_per_user
        await running.begin(self.owner, most)
        self._is_counted = True
        self.keep(self.owner, running.end)

    def release(self) -> None:
        """See `Errand.release`."""
        if self._is_counted:
            self.services.transfers.over(self.owner)
        super().release()

    @property
    def announced_size(self) -> int | None:
        """Bytes the client has announced; None while unknown."""
        return None if self._transfer is None else self._transfer.size

    @property
    def moved(self) -> int:
        """Bytes of data moved so far."""
        return 0 if self._pump is None else self._pump.moved()

    @property
    def held(self) -> int:
        """Bytes of the file of a put that are there, those it goes on behind included."""
        return (self.options.offset or 0) + self.moved

    @property
    def told_checksum(self) -> Checksum | None:
        """What the client says that the whole file comes to."""
        return None if self._transfer is None else self._transfer.checksum

    async def pump(self, pump: Pump) -> None:
        """Step 6: run a producer or consumer to its end; `moved` then tells the bytes."""
        self._pump = pump
        speeds = self.services.speeds
        if speeds is not None:
            up, listing = pump.role is Role.RECEIVER, self.command.verb.name == "ls"
            pump.share = speeds.share(self.user, self.visitor.address, self._control, up=up, listing=listing)
        if self.announced_size is not None:
            self.size_told(self.announced_size)
        try:
            await move(pump, self.services.reactor, self.services.limits.stall_timeout)
        except ConnectionLost:
            # The client's own word on why may still be on its way, on the other connection.
            await deferLater(self.services.reactor, self.services.limits.verdict_timeout)
            raise

    def completion(self) -> bytes:
        """Its completion, and before that what it waited for, where the client wants to know."""
        found = self.finding() if self.session.knows_status else None
        return self.session.complete(None if found is None else found.word)

    def limited_by(self) -> str:
        """What its transfer waited for most, for people; empty where it was too short to tell."""
        told = None if self._transfer is None else self._transfer.limited_by
        return self.explained(told, self.options.checksum, "the server", "the client")

    def end_stream(self, channel: DataChannel) -> None:
        """The end of step 6 of a sender: all bytes are sent, whatever is still to be done about them."""
        channel.on_lost = self._lost_after_all
        channel.finish_sending()
        channel.watch_peer()

    async def sent(self, channel: DataChannel) -> None:
        """Steps 7 and 8 of a sender, behind `end_stream`: say the completion, wait for the receiver's."""
        self.say(self.completion())
        try:
            await self._peer_completion(ConnectionTimedOut("Your completion did not come."), channel.movement)
        finally:
            channel.on_lost = None

    async def told_complete(self) -> None:
        """Step 7 of a receiver: wait for the sender's completion."""
        await self._peer_completion(ConnectionLost("Your completion did not come."))

    def digest(self, algorithm: str, start: int = 0) -> Digest:
        """A checksum of what moves, from ``start`` on.  Raises `NotSupported`."""
        return Digest(algorithm, self.services.workers, start)

    async def checksum(self, digest: Digest, handle: Readable, end: int) -> Checksum:
        """See `Errand.checksum`; the client is told now and then that it takes long."""
        with self.working():
            return await super().checksum(digest, handle, end)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Tell the client now and then that it is this side that takes long."""
        line = encode_size(FieldName.WORKING, self.moved)
        limits = self.services.limits
        again: IDelayedCall

        def tell() -> None:
            nonlocal again
            self.say(line)
            again = self.services.reactor.callLater(limits.working_interval, tell)

        again = self.services.reactor.callLater(limits.working_interval, tell)
        try:
            yield
        finally:
            again.cancel()

    def _lost_after_all(self, error: FTPLiteError) -> None:
        """The channel broke when all was sent: the client may have it all, and then says so soon."""

        def give_up() -> None:
            if self._completion is None:
                self._lost = error
            elif not self._completion.called:
                self._completion.errback(error)

        self.services.reactor.callLater(self.services.limits.verdict_timeout, give_up)

    async def _peer_completion(self, otherwise: FTPLiteError, movement: Callable[[], object] = int) -> None:
        if self._transfer is None or self._transfer.completed:
            return
        if self.session.input_over:
            raise ConnectionLost("Your completion did not come.")
        if self._lost is not None:
            raise self._lost
        self._completion = Deferred()
        await self._within_stall_time(self._completion, otherwise, movement)

    async def _within_stall_time(
        self, awaited: Deferred[T], otherwise: FTPLiteError, movement: Callable[[], object] = int
    ) -> T:
        """Wait, but no longer than the stall time without movement; the client's ``Working`` is some."""
        if awaited.called:
            return await awaited
        self._control.flush()
        transfer = self._transfer
        watch = StallWatch(
            self.services.reactor,
            self.services.limits.stall_timeout,
            lambda: (movement(), transfer and transfer.workings),
            lambda: awaited.errback(otherwise),
        )
        try:
            return await awaited
        finally:
            watch.stop()
