"""Running a session's commands: one at a time, each to the one final status it gets."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from ..errors import FTPLiteError, InternalError, NotSupported, from_oserror
from ..protocol.events import Announced, Completed, Event, InputOver, SizeTold
from ..protocol.lines import Command, Success
from ..protocol.server import ServerSession
from .call import Call
from .commands import HANDLERS
from .record import Status
from .services import Control, Services

log = Logger()


class Performer:
    """Runs the commands of one client."""

    def __init__(
        self, services: Services, control: Control, conclude: Callable[[Call, Status, float], None]
    ) -> None:
        """``conclude`` hears of each command's end, with its final status and the seconds it took."""
        self._services = services
        self._control = control
        self._conclude = conclude
        self.call: Call | None = None
        self._running: Deferred[None] | None = None
        self._ended_by: FTPLiteError | None = None

    def begin(self, command: Command, session: ServerSession) -> None:
        """Run a command; none runs now."""
        self._ended_by = None
        call = self.call = Call(self._services, session, command, self._control)
        running = Deferred.fromCoroutine(self._perform(call))
        if self.call is call:
            self._running = running

    def tell(self, event: Event) -> None:
        """Give the running command what the client has said of its transfer."""
        call = self.call
        if call is None:
            return
        match event:
            case Announced(port):
                call.announced(port)
            case SizeTold(size):
                call.size_told(size)
            case Completed():
                call.completed()
            case InputOver():
                call.input_over()

    def end(self, error: FTPLiteError) -> None:
        """Break the running command off: this is to be its final status."""
        self._ended_by = error
        if self._running is not None:
            self._running.cancel()

    def lose(self, error: FTPLiteError) -> None:
        """The client is gone: whatever runs ends."""
        if self._running is not None:
            self.end(error)

    def runs(self, call: object) -> bool:
        """Whether it is this command that runs."""
        return self.call is call

    def too_late(self) -> None:
        """The running command was told to end after the point of no return."""
        self._ended_by = None

    async def _perform(self, call: Call) -> None:
        began = self._services.reactor.seconds()
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
        self.call = self._running = None
        seconds = self._services.reactor.seconds() - began
        if self._services.watch is not None:
            self._services.watch.ran(call, status, seconds)
        self._conclude(call, status, seconds)
        call.release()
        self._control.obey()

    async def _handle(self, call: Call) -> Success:
        verb = call.command.verb
        handler = HANDLERS.get(verb.name)
        call.command.arguments()
        if handler is None or (verb.feature is not None and verb.feature not in call.session.features):
            raise NotSupported
        call.session.gate.check(verb)
        return await handler(call)
