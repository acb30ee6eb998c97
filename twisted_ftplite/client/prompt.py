"""The person's side of the interactive shell: prompt_toolkit in a thread of its own beside the reactor."""

from __future__ import annotations

import contextlib
import os
import queue
import termios
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred

from ..errors import LocalFileTrouble
from ..flow.workers import Workers
from .completion import Choice
from .words import complete, spell, unfinished

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import History

PROMPT: Final = "ftp> "

PLAIN: Final = "fg:ansidefault"
"""A style that shows nothing, but without one a blank at the end is skipped instead of written."""

PATIENCE: Final = 3.0
"""Seconds that completion waits for the server's names; typing stands still meanwhile."""

Complete = Callable[[tuple[str, ...], str], Deferred[list[Choice]]]
"""From the words before the cursor and what is typed of the next, what that may become."""


class Prompt:
    """Asks for lines.  One is asked for at a time."""

    def __init__(
        self, workers: Workers, call_in_reactor: Callable[..., Any], choices: Complete, history: str
    ) -> None:
        """``workers`` is one thread, for the prompt alone; ``history`` is a path, whose folder is made."""
        self._workers = workers
        self._call_in_reactor = call_in_reactor
        self._choices = choices
        self._history = history
        self._session: PromptSession[str] | None = None
        # Importing takes a tenth of a second, and the connection is being made meanwhile.
        workers.run(self._prepare).addErrback(lambda _: None)  # `line` will say so

    async def line(self) -> str | None:
        """What was typed; empty after Ctrl-C, None after Ctrl-D.  Raises `LocalFileTrouble`."""
        return await self._workers.run(self._ask)

    def interrupt(self) -> None:
        """As if Ctrl-C had been typed."""
        self._leave(KeyboardInterrupt)

    async def close(self) -> None:
        """Give the terminal back as it was."""
        self._leave(EOFError)
        with contextlib.suppress(LocalFileTrouble):
            await self._workers.run(lambda: None)

    def _leave(self, how: type[BaseException]) -> None:
        app = self._session.app if self._session is not None else None
        if app is not None and app.is_running and app.loop is not None:
            app.loop.call_soon_threadsafe(lambda: app.exit(exception=how))

    def _ask(self) -> str | None:
        if self._session is None:
            raise LocalFileTrouble("the terminal cannot be used")
        try:
            return self._session.prompt([(PLAIN, PROMPT)], handle_sigint=False, set_exception_handler=False)
        except KeyboardInterrupt:
            return ""
        except EOFError:
            return None
        except (OSError, termios.error) as error:
            raise LocalFileTrouble(f"the terminal cannot be used: {error}") from error

    def _prepare(self) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.output import create_output
        from prompt_toolkit.output.vt100 import Vt100_Output
        from prompt_toolkit.shortcuts import CompleteStyle

        output = create_output(always_prefer_tty=True)
        if isinstance(output, Vt100_Output):
            # Nothing here needs to know where the cursor is, and terminals that can't tell get a warning.
            output.enable_cpr = False
        self._session = PromptSession(
            history=_open_history(self._history),
            completer=_completer(self._names),
            complete_while_typing=False,
            complete_style=CompleteStyle.READLINE_LIKE,
            enable_suspend=True,
            output=output,
        )

    def _names(self, before: tuple[str, ...], typed: str) -> list[Choice]:
        """In the prompt's thread: ask the reactor's, and wait a little."""
        answer: queue.SimpleQueue[list[Choice]] = queue.SimpleQueue()
        asked: list[Deferred[Any]] = []

        def ask() -> None:
            asked.append(self._choices(before, typed).addCallbacks(answer.put, lambda _: answer.put([])))

        self._call_in_reactor(ask)
        try:
            return answer.get(timeout=PATIENCE)
        except queue.Empty:
            self._call_in_reactor(lambda: asked[0].cancel())
            return []


def _completer(names: Callable[[tuple[str, ...], str], list[Choice]]) -> Any:
    from prompt_toolkit.completion import CompleteEvent, Completer, Completion
    from prompt_toolkit.document import Document

    class WordCompleter(Completer):
        def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
            text = document.text_before_cursor
            word = unfinished(text)
            if word is None:
                return
            for name, finished in names(word.before, word.typed):
                shown = spell(name.rstrip("/").rpartition("/")[2] + ("/" if name.endswith("/") else ""))
                yield Completion(complete(name, word.quote, finished), word.start - len(text), display=shown)

    return WordCompleter()


def _open_history(path: str) -> History:
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    class KeptHistory(FileHistory):
        def store_string(self, string: str) -> None:
            # A full disk is no reason to lose the line.
            with contextlib.suppress(OSError):
                super().store_string(string)

    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError:
        return InMemoryHistory()
    return KeptHistory(path)
