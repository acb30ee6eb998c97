"""Standard input, output and error of the command: each may make its user wait for ever, none the reactor.

What waits does so in a thread (`flow.workers`: they are daemons), and in steps short enough to notice
that it shall stop: a session lets go of a handle only when its call has come back.
"""

from __future__ import annotations

import contextlib
import os
import select
import stat
import sys
from collections import deque
from typing import Final

from ..errors import LocalFileTrouble
from ..flow.workers import Workers
from ..storage.interface import Buffer
from .display import PROGRAM, escape

NOTICE: Final = 0.1
"""Seconds that a thread may wait before it looks whether it shall stop."""

READ_SIZE: Final = 64 * 1024
"""Bytes: what a pipe holds."""

LINE_LENGTH: Final = 64 * 1024
"""Bytes of a script's line: names of the protocol and local paths fit many times over."""


class _Stream:
    """A descriptor that is waited for in steps of `NOTICE`."""

    name = ""

    def __init__(self, descriptor: int, event: int) -> None:
        self.descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, event)
        self._stopped = False

    def stop(self) -> None:
        """End the waiting of whoever waits; from any thread."""
        self._stopped = True

    def now(self) -> bool:
        """Whether a short call would not wait."""
        return bool(self._poll.poll(0))

    def _wait(self) -> None:
        while not self._poll.poll(NOTICE * 1000):
            if self._stopped:
                raise LocalFileTrouble(f"{self.name}: interrupted")
        if self._stopped:
            raise LocalFileTrouble(f"{self.name}: interrupted")

    def _trouble(self, error: OSError) -> LocalFileTrouble:
        return LocalFileTrouble(f"{self.name}: {error.strerror}")


class StandardInput(_Stream):
    """What ``put - NAME`` sends: a source of the client's session."""

    name = "standard input"

    def __init__(self, descriptor: int = 0) -> None:
        super().__init__(descriptor, select.POLLIN)

    def read(self, count: int) -> bytes:
        """Up to ``count`` bytes; empty at the end.  Raises `LocalFileTrouble`, also when it was closed."""
        self._wait()
        try:
            return os.read(self.descriptor, count)
        except OSError as error:
            raise self._trouble(error) from error

    def close(self) -> None:
        self.stop()


class StandardOutput(_Stream):
    """Where ``get NAME -`` puts what comes: a `WriteHandle` that can take nothing back."""

    name = "standard output"
    waits = True

    def __init__(self, descriptor: int = 1) -> None:
        super().__init__(descriptor, select.POLLOUT)
        try:
            regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        except OSError:
            regular = False
        # A pipe or terminal that is ready takes so much without waiting; a file takes all.
        self._piece = sys.maxsize if regular else select.PIPE_BUF

    def fileno(self) -> int | None:
        """None: splicing into a pipe would wait where it can't be interrupted."""
        return None

    def write(self, data: Buffer) -> None:
        rest = memoryview(data)
        while rest:
            self._wait()
            try:
                rest = rest[os.write(self.descriptor, rest[: self._piece]) :]
            except OSError as error:
                raise self._trouble(error) from error

    def spliced(self, count: int) -> None:
        """It has no descriptor to splice into."""

    def takes(self, size: int) -> bool:
        """Whether so many bytes can be written now without waiting."""
        return size <= self._piece and self.now()

    def sync(self) -> None:
        pass

    def publish(self) -> None:
        pass

    def discard(self) -> None:
        self.stop()


class Console:
    """Where results and complaints go, and whether a person looks at them."""

    def __init__(self, workers: Workers, *, source: int = 0, output: int = 1, errors: int = 2) -> None:
        self._workers = workers
        self._source = source
        self._output = StandardOutput(output)
        self._errors = errors
        self.input_is_terminal = os.isatty(source)
        self.output_is_terminal = os.isatty(output)
        self.errors_are_terminal = os.isatty(errors)
        # Scripts get UTF-8, which is what names are; a terminal says what it can show.
        self._encoding = (sys.stdout and sys.stdout.encoding) if self.output_is_terminal else "utf-8"

    async def say(self, text: str) -> None:
        """Put a result on standard output.  Raises `LocalFileTrouble` when nobody takes it."""
        data = text.encode(self._encoding or "utf-8", "backslashreplace")
        if self._output.takes(len(data)):
            self._output.write(data)
        elif data:
            await self._workers.run(self._output.write, data)

    def stop(self) -> None:
        """End the waiting of a `say` for a reader that doesn't read; what is said later waits anew."""
        self._output.stop()
        self._output = StandardOutput(self._output.descriptor)

    def ask(self, question: str) -> StandardInput:
        """Put a question; from what is returned the answer can be read, a line with its end."""
        self._tell(f"{escape(question)} ")
        return StandardInput(self._source)

    def complain(self, text: str) -> None:
        """One line on standard error, as the program's."""
        self.remark(f"{PROGRAM}: {text}")

    def remark(self, text: str) -> None:
        """One line on standard error.  Nobody hears complaints about complaints."""
        self._tell(f"{escape(text)}\n")

    def _tell(self, text: str) -> None:
        with contextlib.suppress(OSError):
            os.write(self._errors, text.encode("utf-8", "backslashreplace"))


class ScriptLines:
    """Commands from standard input, a line at a time, read no further than is needed."""

    def __init__(self, workers: Workers, descriptor: int = 0) -> None:
        self._workers = workers
        self._source = StandardInput(descriptor)
        self._lines: deque[bytes] = deque()
        self._begun = b""
        self._ended = False

    async def line(self) -> str | None:
        """The next line without its end, or None when there is no more; the last one may lack its end.

        Raises `LocalFileTrouble`, also for a line that has no end in sight.
        """
        while not self._lines and not self._ended:
            self._take(await self._workers.run(self._source.read, READ_SIZE))
        if not self._lines:
            return None
        return self._lines.popleft().removesuffix(b"\r").decode("utf-8", "surrogateescape")

    def rest(self) -> list[str]:
        """The lines that are there already, without waiting for more."""
        with contextlib.suppress(LocalFileTrouble):
            while not self._ended and self._source.now():
                self._take(self._source.read(READ_SIZE))
        left = [line.decode("utf-8", "surrogateescape") for line in self._lines]
        self._lines.clear()
        return left

    def _take(self, data: bytes) -> None:
        *whole, self._begun = (self._begun + data).split(b"\n")
        self._lines.extend(whole)
        if not data:
            self._ended = True
            if self._begun:
                self._lines.append(self._begun)
        elif len(self._begun) > LINE_LENGTH:
            self._ended = True
            raise LocalFileTrouble(f"standard input: a line is longer than {LINE_LENGTH} bytes")
