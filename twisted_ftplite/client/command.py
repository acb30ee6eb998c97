"""One command of the client, as its coroutine sees it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TookTooLong

from ..errors import ConnectionLost, FTPLiteError, NotSupported
from ..flow.digest import Digest, Readable
from ..flow.movement import Pump, move
from ..flow.observing import Role
from ..flow.opening import Listen
from ..flow.workers import shielded
from ..protocol.lines import Field, FieldName, encode_size
from ..protocol.paths import resolve, spell
from ..protocol.values import Checksum
from .control import ControlChannel
from .conversation import Conversation
from .services import Progress, Services
from .targets import LocalTarget
from .telling import repeated, shown

_HASHES = ("stat", "checksum")
"""Verbs for which the server may have to read a whole file."""


class Command(Conversation):
    """A command from its turn to its final status."""

    def __init__(
        self,
        services: Services,
        control: ControlChannel,
        verb: str,
        arguments: tuple[str, ...],
        before: Deferred[None],
    ) -> None:
        """``before`` fires when the command before this one is over."""
        super().__init__(services, control, verb, arguments, before)
        self.error: BaseException | None = None
        """Why it has failed: set with `failed`."""

        self.offset = 0
        """Bytes of the file that were there before."""

        self.leaves: LocalTarget | None = None
        """What is to be kept or removed when it has failed."""

        self.settled: Deferred[None] | None = None
        """Fires when that is done; None where nobody need wait for it."""

    @property
    def remote_path(self) -> str:
        """Where its first argument leads, from the root.  Raises `NameNotAllowed`."""
        now = self._control.session.directory
        return spell(resolve(now if self._directory is None else self._directory, self.arguments[0]))

    @property
    def position(self) -> int | None:
        """Bytes of the file that are there or have moved; None where there was no data channel yet."""
        return None if self._pump is None else self.offset + self._pump.moved()

    def demand(self, feature: str) -> None:
        """Raises `NotSupported` where the server does not offer it."""
        if feature not in self.offered:
            raise NotSupported(f'The server does not offer "{feature}".')

    async def inquire(self, verb: str, *arguments: str) -> list[Field]:
        """Ask something else before this command is sent, in its turn; the fields of the answer."""
        question = Command(self.services, self._control, verb, arguments, self._before)
        self._before = question.ended
        try:
            told = await question.tell()
        except BaseException as error:
            question.give_up(error)
            raise
        question.release()
        return told

    async def tell(self) -> list[Field]:
        """All of a command without a transfer: send it, and return the fields that come."""
        self.send()
        self.say_nothing_more()
        await self.over(works=self.verb in _HASHES)
        return self.answers.fields

    def listen(self) -> Listen:
        """Listen for the data channel; nobody but the server is let in."""
        services = self.services
        listener, services.listener = services.listener, None
        if listener is None:
            timeout = services.limits.connect_timeout
            listener = Listen(services.reactor, *self.ends(), timeout, services.data_ports, services.tuning)
        return self.keep(listener, self._leave_listener)

    async def pump(self, pump: Pump, total: int | None, progress: Progress | None) -> int:
        """Step 6: run a producer or consumer to its end; returns the bytes that came, 0 of a producer.

        ``total`` are the bytes of the whole file.
        """
        self._pump = pump
        speed = self.services.speed
        if speed is not None:
            profile = "interactive" if self.verb == "ls" else "bulk"
            pump.share = speed.share(up=pump.role is Role.SENDER, profile=profile)
        with shown(self.services.reactor, progress, lambda: self.offset + pump.moved(), total):
            return await self._moved(pump)

    async def _moved(self, pump: Pump) -> int:
        try:
            moving = move(pump, self.services.reactor, self.services.limits.stall_timeout)
            return await self.wait(moving) or 0
        except ConnectionLost:
            await self._verdict()
            raise

    async def digested(
        self,
        digest: Digest,
        handle: Readable,
        end: int,
        progress: Progress | None = None,
        total: int | None = None,
    ) -> Checksum:
        """The checksum of what a handle holds up to ``end``; at once where that is little and all in.

        ``progress`` is told how much of ``total`` has been read, where that is what takes long.
        """
        if digest.position == end <= self.services.limits.small_file:
            return digest.checksum()
        with self.working(), shown(self.services.reactor, progress, lambda: digest.position, total):
            return await self.wait(Deferred.fromCoroutine(self.checksum(digest, handle, end)))

    @contextmanager
    def working(self) -> Iterator[None]:
        """Tell the server now and then that it is this side that takes long."""
        interval = self.services.limits.working_interval
        with repeated(self.services.reactor, interval, self._say_working):
            yield

    def complete(self, size: int | None = None, checksum: Checksum | None = None) -> None:
        """Our completion, behind a size and a checksum that are to be told; the next command may be sent."""
        assert self.exchange is not None
        found = self.finding() if "status" in self.offered else None
        word = None if found is None else found.word
        self._control.say(self._control.session.complete(self.exchange, size, checksum, word))
        self.say_nothing_more()

    def limited_by(self, algorithm: str | None = None) -> str:
        """What its transfer waited for most, for people; empty where it was too short to tell."""
        return self.explained(self.answers.limited_by, algorithm, "the client", "the server")

    def fail(self, error: FTPLiteError) -> None:
        """In place of the completion: this side cannot keep what it got."""
        self._control.say(self._control.session.fail(error))
        self.say_nothing_more()

    def give_up(self, error: BaseException | None) -> None:
        """It has failed: `release`, and break off."""
        self.failed, self.error = True, error
        if self.leaves is not None and not self.leaves.in_place:
            self.settled = Deferred()
        self.release()

    async def settle(self) -> None:
        """Wait until what it leaves of a local file has been kept or removed: who goes on needs that.

        A disk that does not answer is waited for no longer than a peer is.
        """
        settled = self.settled
        if settled is not None and not settled.called:
            wait = shielded(settled).addTimeout(self.services.limits.close_timeout, self.services.reactor)
            await wait.addErrback(lambda failure: failure.trap(TookTooLong))

    def _say_working(self) -> None:
        self._control.say(encode_size(FieldName.WORKING, self.position or 0))

    def _leave_listener(self, listener: Listen) -> None:
        gone = listener.fileno() < 0
        if gone or self.failed or self.services.listener is not None or self._control.over.called:
            listener.close()
        else:
            self.services.listener = listener

    async def _verdict(self) -> None:
        """The server's own word on why the data channel broke may still be on its way."""
        ended = self._when_ended()
        ended.addTimeout(self.services.limits.close_timeout, self.services.reactor)
        await self.wait(ended.addErrback(lambda _: None))
