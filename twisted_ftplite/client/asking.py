"""Questions to the person at the terminal, wherever standard input and output go.

They wait in a thread, and in steps short enough to notice that nobody wants the answer any more.
"""

from __future__ import annotations

import os
import select
import termios
import threading
from contextlib import suppress
from typing import Any, Final

from twisted.internet.defer import CancelledError

from ..errors import LocalFileTrouble
from ..flow.workers import Workers, shielded
from .display import escape
from .standard import NOTICE

TERMINAL: Final = "/dev/tty"

_LONGEST: Final = 4096
"""Bytes of an answer: a terminal gives no longer line."""

_ECHO: Final = 3
"""Where the flags for it are in what ``tcgetattr`` tells."""


class Questions:
    """Put one at a time."""

    def __init__(self, workers: Workers, path: str = TERMINAL) -> None:
        self._workers = workers
        self._path = path
        self._stopped = False
        self._lock = threading.Lock()  # of what follows, until it is done
        self._open: int | None = None
        """The terminal, while it has a question without an end of line behind it."""
        self._before: list[Any] | None = None
        """How it was, while it does not show what is typed."""

    def available(self) -> bool:
        """Whether there is a terminal, and somebody may look at it: standard error goes to one too."""
        if not os.isatty(2):
            return False
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_NOCTTY))
        except OSError:
            return False
        return True

    async def agrees(self, question: str) -> bool:
        """Whether the answer is yes.  Raises `LocalFileTrouble` where the terminal is gone."""
        answer = await self._put(f"{_lines(question)} ", shown=True)
        return answer.strip().lower() in ("y", "yes")

    async def secret(self, question: str) -> str:
        """What was typed, unseen; empty also where the end of all was.  The same."""
        return await self._put(_lines(question), shown=False)

    def stop(self) -> None:
        """Nobody wants the answer any more; the terminal shows again what is typed, on a new line.

        From any thread.
        """
        self._stopped = True
        self._end_question()

    async def _put(self, question: str, *, shown: bool) -> str:
        self._stopped = False
        answer = await shielded(self._workers.run(self._ask, question, shown))
        if answer is None:
            raise CancelledError
        return answer

    def _ask(self, question: str, shown: bool) -> str | None:
        """Blocking.  None when it was stopped."""
        try:
            terminal = os.open(self._path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as error:
            raise LocalFileTrouble(f"{self._path}: {error.strerror}", error) from error
        try:
            with self._lock:
                if not shown:
                    self._hide(terminal)
                self._open = terminal
            os.write(terminal, question.encode("utf-8", "backslashreplace"))
            answer = self._answer(terminal)
            if shown and (answer or b"").endswith(b"\n"):
                self._open = None
        except (OSError, termios.error) as error:
            raise LocalFileTrouble(f"{self._path}: it is no terminal any more") from error
        finally:
            self._end_question()
            os.close(terminal)
        return None if answer is None else answer.rstrip(b"\r\n").decode("utf-8", "surrogateescape")

    def _answer(self, terminal: int) -> bytes | None:
        """What is typed up to the end of the line, or of all."""
        poll = select.poll()
        poll.register(terminal, select.POLLIN)
        answer = b""
        while not self._stopped:
            if not poll.poll(NOTICE * 1000):
                continue
            piece = os.read(terminal, _LONGEST)
            answer += piece
            if not piece or answer.endswith(b"\n") or len(answer) > _LONGEST:
                return answer
        return None

    def _hide(self, terminal: int) -> None:
        self._before = termios.tcgetattr(terminal)
        hidden = list(self._before)
        hidden[_ECHO] &= ~termios.ECHO
        termios.tcsetattr(terminal, termios.TCSAFLUSH, hidden)

    def _end_question(self) -> None:
        with self._lock:
            terminal, self._open = self._open, None
            before, self._before = self._before, None
            if terminal is None:
                return
            with suppress(OSError, termios.error):
                if before is not None:
                    termios.tcsetattr(terminal, termios.TCSANOW, before)
                os.write(terminal, b"\n")


def _lines(question: str) -> str:
    """The question without hidden characters, but with its lines."""
    return "\n".join(map(escape, question.split("\n")))
