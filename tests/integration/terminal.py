"""The client as a process: with pipes, or at a terminal as a person has it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness import SCRIPTS
from raw import PATIENCE

CLIENT = str(SCRIPTS / "ftplite-client")

_ESCAPES = r"(?:\x1b\[[0-9;?]*[A-Za-z])*"
_FRESH_PROMPT = rf"\x1b\[\?2004h{_ESCAPES}ftp> {_ESCAPES}\x1b\[\?7h"
"""Bracketed paste goes on when a prompt begins, and also when completion has listed names below it, but
then the line is not empty; the line is wrapped again when all is drawn."""


def environment_of(home: Path) -> dict[str, str]:
    """Of a person who lives in a folder."""
    return {**os.environ, "XDG_STATE_HOME": str(home / "state"), "HOME": str(home)}


def client(
    *arguments: str, cwd: Path, stdin: bytes | None = None, **more: Any
) -> subprocess.CompletedProcess[bytes]:
    """Run it to its end."""
    return subprocess.run(
        [CLIENT, *arguments], cwd=cwd, input=stdin or b"", capture_output=True, timeout=PATIENCE, **more
    )


class Terminal:
    """The client at a terminal of 80 columns that understands no questions."""

    def __init__(self, *arguments: str, cwd: Path, **streams: Any) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        environment = {**environment_of(cwd), "TERM": "xterm"}
        streams = {"stdin": slave, "stdout": slave, "stderr": slave, **streams}
        # setsid -c makes it the controlling terminal, whose Ctrl-C is a signal.
        self.process = subprocess.Popen(
            ["setsid", "-c", CLIENT, *arguments], cwd=cwd, env=environment, start_new_session=False, **streams
        )
        self._slave = slave
        self.seen = ""
        self._read_to = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        os.close(self._slave)
        os.close(self._master)

    def type(self, text: str) -> None:
        """Keys, Enter being ``\\r``."""
        os.write(self._master, text.encode())

    def shows_what_is_typed(self) -> bool:
        """Whether the terminal echoes."""
        return bool(termios.tcgetattr(self._slave)[3] & termios.ECHO)

    def expect(self, pattern: str) -> re.Match[str]:
        """Wait for what comes behind all that was expected before."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = re.compile(pattern).search(self.seen, self._read_to)
            if found:
                self._read_to = found.end()
                return found
            assert self._more(deadline - time.monotonic()), f"no {pattern!r} in {self.seen!r}"

    def prompt(self) -> None:
        """Wait until it asks for a line anew, which is not yet so where it draws one again as keys echo.

        Keys may be typed from here on: before, while a command runs, the terminal itself takes Ctrl-D.
        """
        self.expect(_FRESH_PROMPT)

    def end(self) -> int:
        """Its exit status; all that it said has then been seen."""
        status = self.process.wait(PATIENCE)
        with contextlib.suppress(OSError):
            while self._more(0):
                pass
        return status

    def echoes(self) -> bool:
        """Whether the terminal is in its ordinary state."""
        return bool(termios.tcgetattr(self._slave)[3] & termios.ECHO)

    def _more(self, seconds: float) -> bool:
        if not select.select([self._master], [], [], max(seconds, 0))[0]:
            return False
        self.seen += os.read(self._master, 65536).decode(errors="replace")
        return True
