"""The commands of `ftplite-client`, run against a session: one, a script of them, or as a person types."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, TypeVarTuple

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure as Caught

from ..errors import ConnectionLost, Failure, FTPLiteError, LocalFileTrouble
from ..flow.workers import Workers, shielded
from .display import describe, escape, when_denied
from .progress import Shown, choose
from .retrying import RETRIES, Operation, Retrying
from .standard import Console, ScriptLines, StandardInput, StandardOutput
from .troubles import BadUsage, Interrupted, Reported, Unreachable
from .verbs import find
from .wishes import DEFAULT
from .words import quote, spell, split

if TYPE_CHECKING:
    from .prompt import Prompt
    from .session import Session

A = TypeVarTuple("A")
T = TypeVar("T")

GOODBYE = 2.0
"""Seconds that a server is given to say Goodbye; nothing depends on its doing so."""


class Mode(Enum):
    """Where commands come from."""

    ONE_SHOT = "arguments"
    SCRIPT = "standard input"
    INTERACTIVE = "a person"


Work = Coroutine[Deferred[Any], Any, Exception | None]
"""Something to do that returns what went wrong and was reported, or raises what was not."""


class Preferences(NamedTuple):
    """What the user wants of all transfers."""

    checksum: str | None = DEFAULT
    """The algorithm to compare by; see `Session.get`."""

    retries: int = RETRIES
    """How often to go on after a break."""

    progress: str = "bar"
    """How it is shown: ``bar``, where a person looks, or ``json``."""


class Shell:
    """Runs commands, one at a time, and reports what became of each."""

    def __init__(
        self,
        connect: Callable[[], Coroutine[Deferred[Any], Any, Session]],
        place: str,
        console: Console,
        mode: Mode,
        clock: IReactorTime,
        workers: Workers,
        preferences: Preferences | None = None,
    ) -> None:
        """``place`` is how errors name what ``connect`` connects to; ``workers`` see to local files."""
        self._connect = connect
        self._place = place
        self._clock = clock
        self._workers = workers
        self.console = console
        self.mode = mode
        self.preferences = preferences or Preferences()
        self.directory: str | None = None
        """Where in the tree the session is, from the root, once it was told to go somewhere."""
        self.hint = ""
        """What helps when the running command breaks off."""
        self.leaving = False
        """Set by the verb that leaves."""
        self.interrupted = False
        """From the signal until the command that it hit is over."""
        self._session: Session | None = None
        self._running: Deferred[Any] | None = None
        self._busy = False
        self._where = self._verb = ""
        self._bar: Shown | None = None
        self._streams: list[StandardInput | StandardOutput] = []
        self._prompt: Prompt | None = None

    # What the verbs use.

    async def session(self, *, again: bool = False) -> Session:
        """The session, connected, in the directory where the last one was.

        ``again`` connects anew without a word.  Else raises `ConnectionLost` where a script's was lost.
        Raises `Unreachable`, and what the server says of the directory.
        """
        if self._session is not None and not self._session.connected:
            if not again and self.mode is Mode.SCRIPT:
                raise ConnectionLost
            if not again:
                self.console.complain(f"the connection to {self._place} was lost; connecting again")
            self._session = None
        if self._session is None:
            self._session = await self._connected()
        return self._session

    async def _connected(self) -> Session:
        try:
            session = await self._connect()
        except FTPLiteError as error:
            reason = describe(error, connecting=True)
            raise Unreachable(f"cannot connect to {escape(self._place)}: {reason}") from error
        if self.directory is None:
            return session
        try:
            await session.cd(self.directory)
        except BaseException as error:
            await session.close()  # what comes next must not happen elsewhere
            if isinstance(error, Failure):
                gone, self.directory = spell(self.directory), None
                detail = f"{gone} cannot be entered any more; from here on this is /"
                raise type(error)(detail) from error
            raise
        return session

    async def persist(self, operation: Operation[T], about: str = "") -> T:
        """Do it with the session; after a break connect again, say so of ``about``, and go on.

        Raises as `session` does.
        """
        begun = False

        async def connect() -> Session:
            nonlocal begun
            again, begun = begun, True
            return await self.session(again=again)

        def remark(text: str) -> None:
            if self._bar is not None:
                self._bar.wipe()
            self.console.complain(f"{about or self._verb}: {text}")

        retrying = Retrying(connect, self._clock, remark, retries=self.preferences.retries)
        return await retrying.run(operation)

    async def local(self, function: Callable[[*A], T], *arguments: *A) -> T:
        """What a blocking call returns that asks this machine's file system."""
        return await shielded(self._workers.run(function, *arguments))

    async def agrees(self, question: str) -> bool:
        """Whether a person who can be asked says yes; where commands come from none, there is no question."""
        if self.mode is Mode.SCRIPT or not self.console.input_is_terminal:
            return True
        source = self.console.ask(question)
        self._streams.append(source)
        answer = b""
        try:
            answer = await self.local(source.read, 1024)
        finally:
            if not answer.endswith(b"\n"):
                self.console.remark("")
        return answer.strip().lower() in (b"y", b"yes")

    def present(self) -> Session | None:
        """The session if there is one just now."""
        return self._session if self._session is not None and self._session.connected else None

    def expand(self, local: str) -> str:
        """A local path with its ``~``, unless the user's own shell has already seen it."""
        return local if self.mode is Mode.ONE_SHOT else os.path.expanduser(local)

    def standard_input(self) -> StandardInput:
        """To send from.  Raises `BadUsage` where commands come from there."""
        if self.mode is Mode.SCRIPT:
            raise BadUsage(
                "standard input is where the commands come from; put a file, or use put - without a script"
            )
        source = StandardInput()
        self._streams.append(source)
        return source

    def standard_output(self) -> StandardOutput:
        """To receive into."""
        target = StandardOutput()
        self._streams.append(target)
        return target

    def progress(self, name: str, *, to_output: bool = False) -> AbstractContextManager[Shown | None]:
        """What shows how a transfer goes, where a person looks and the data does not go to the same place."""
        console, style = self.console, self.preferences.progress
        visible = console.errors_are_terminal and not (to_output and console.output_is_terminal)
        self._bar = choose(name, style, self._clock.seconds, console.remark, visible=visible)
        return self._bar or nullcontext()

    # Where commands come from.

    async def one(self, arguments: Sequence[str]) -> Exception | None:
        """Run one command; what went wrong with it, reported already."""
        error = await self._command(arguments)
        await self._leave()
        return error

    async def script(self, lines: ScriptLines) -> Exception | None:
        """Run all commands in order; what went wrong first, reported already."""
        error = await self._report_on(self._script(lines))
        await self._leave()
        return error

    async def _script(self, lines: ScriptLines) -> Exception | None:
        await self.session()
        first: Exception | None = None
        number = 0
        while not self.leaving and (line := await lines.line()) is not None:
            number += 1
            error = await self._line(line, f"line {number}: ")
            if isinstance(error, Interrupted):
                return error
            first = first or error
            if error is not None and self.present() is None:
                left = [each for each in lines.rest() if each.strip() and not each.lstrip().startswith("#")]
                if left:
                    self.console.complain(f"the connection is gone; commands not run: {len(left)}")
                break
        return first

    async def interact(self, prompt: Prompt) -> Exception | None:
        """Run what a person types; an error is only that there was no connection or no terminal."""
        error = await self._report_on(self._ready())
        while error is None and not self.leaving:
            self._prompt = prompt
            try:
                line = await prompt.line()
            except LocalFileTrouble as trouble:
                self.report("", trouble)
                error = trouble
                break
            finally:
                self._prompt = None
            if line is None:
                break
            self.interrupted = False
            await self._line(line)
        await prompt.close()
        await self._leave()
        return error

    async def _ready(self) -> None:
        await self.session()

    def interrupt(self) -> None:
        """Let go of the running command, or of the line that is being typed."""
        self.interrupted = True
        self.console.stop()
        for stream in self._streams:
            stream.stop()
        if self._prompt is not None:
            self._prompt.interrupt()
        elif self._running is not None:
            self._running.cancel()

    # What becomes of them.

    async def _line(self, line: str, where: str = "") -> Exception | None:
        try:
            arguments = split(line)
        except BadUsage as error:
            self.report(where.removesuffix(": "), error)
            return error
        return await self._command(arguments, where) if arguments else None

    async def _command(self, arguments: Sequence[str], where: str = "") -> Exception | None:
        shown = " ".join(quote(word) if " " in word else spell(word) for word in arguments)
        self._where, self._verb, self.hint = where, "", ""
        error = await self._report_on(self._execute(arguments), shown)
        self._streams.clear()
        self._where, self._bar = "", None
        return error

    async def _execute(self, arguments: Sequence[str]) -> None:
        verb, call = find(arguments)
        self._verb = verb.name
        await verb.run(self, call)

    async def _report_on(self, work: Work, what: str = "") -> Exception | None:
        """Do a piece of work that `interrupt` can end; a failure is reported as about ``what``."""

        def failed(failure: Caught) -> Exception:
            error = Interrupted() if self.interrupted else failure.value
            if isinstance(error, Reported):
                return error.error
            if not isinstance(error, Exception):
                failure.raiseException()
            self.report(what, error)
            return error

        whole, self._busy = not self._busy, True  # else it is a part of what runs
        running = Deferred.fromCoroutine(work).addErrback(failed)
        if not whole:
            return await running
        self._running = running
        try:
            return await running
        finally:
            self._running, self._busy = None, False

    def report(self, what: str, error: Exception) -> None:
        """Tell that the running command, or the part ``what`` of it, failed."""
        about = self._where + (f"{what}: " if what else "")
        if isinstance(error, Unreachable):
            self.console.complain(f"{str(error).removesuffix('.')}; {self.hint}" if self.hint else str(error))
        elif isinstance(error, FTPLiteError | BadUsage | Interrupted):
            said = describe(error, verb=self._verb, hint=self.hint, denied=self._when_denied())
            self.console.complain(about + said)
        else:
            place = traceback.extract_tb(error.__traceback__)[-1:]
            at = "".join(f" ({os.path.basename(each.filename)}:{each.lineno})" for each in place)
            self.console.complain(
                f"{about}a fault of this program, please report it: {type(error).__name__}: {error}{at}"
            )

    def _when_denied(self) -> str:
        session = self._session
        may_log_in = session is not None and session.may_log_in
        return when_denied(None if session is None else session.user, may_log_in=may_log_in)

    async def _leave(self) -> None:
        """End the session in good form where that takes no long wait."""
        session, self._session = self._session, None
        if session is None:
            return
        if session.connected and not self.interrupted:
            parting = Deferred.fromCoroutine(session.quit()).addTimeout(GOODBYE, self._clock)
            if await parting.addCallbacks(lambda _: True, lambda _: False):
                return
        await Deferred.fromCoroutine(session.close()).addErrback(lambda _: None)
