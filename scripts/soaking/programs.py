"""The real commands as child processes: `twistd ftplite`, which can be killed and started again, and
`ftplite-client`."""

from __future__ import annotations

import ctypes
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from .report import TROUBLE, CannotRun

SCRIPTS = Path(__file__).resolve().parent.parent
CHECKOUT = SCRIPTS.parent
PATIENCE = 20.0
"""Seconds until what does not come is given up."""

_STARTED = re.compile(r"FTPLite serves .*:(\d+) to anyone")
_PR_SET_PDEATHSIG = 1


def beside_python(name: str) -> str:
    """A command of the environment that this Python belongs to."""
    found = Path(sys.executable).parent / name
    if not found.exists():
        raise CannotRun(f"there is no {found.name} beside this Python: pip install -e . first")
    return str(found)


def environment() -> dict[str, str]:
    """That of every child: the checkout and these modules can be imported."""
    paths = [str(SCRIPTS), str(CHECKOUT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def die_with_parent() -> None:
    """In a child before its exec: end when this process ends, even where that was killed."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def eventually(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Wait for what nothing tells us of; whether it came to be so."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def descriptors(pid: int) -> int:
    """How many a process has open; pipes are lent from one transfer to the next, and not counted."""
    count = 0
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            count += not os.readlink(each).startswith("pipe:")
    return count


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_range(count: int) -> range:
    """Ports in a row that nobody listens on just now, below those that the system gives away."""
    for _ in range(1000):
        first = random.randrange(10_000, 30_000)
        with ExitStack() as probes, suppress(OSError):
            for port in range(first, first + count):
                probes.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return range(first, first + count)
    raise CannotRun(f"there are no {count} free ports in a row")


class Server:
    """A server that can be killed and started again on the same port and root.  Ends with its block."""

    def __init__(
        self,
        root: Path,
        *options: str,
        port: int | None = None,
        host: str = "127.0.0.1",
        before: Sequence[str] = (),
        program: Sequence[str] | None = None,
    ) -> None:
        """``before`` are the words that start a command elsewhere (in another network namespace);
        ``program`` is started in place of twistd."""
        self.root, self.host, self.port = root, host, port or free_port()
        listen = f"tcp:{self.port}:interface={host}"
        self._command = [*before, *(program or self._twistd(root, listen)), *options]
        self.log: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def _twistd(root: Path, listen: str) -> list[str]:
        start = [beside_python("twistd"), "-n", "--pidfile=", "ftplite"]
        openly = ["--anonymous", "write", "--allow-root"]  # counts beyond loopback
        return [*start, "--root", str(root), "--listen", listen, *openly]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; it serves when this returns."""
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=environment(),
            preexec_fn=die_with_parent,
        )
        started = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(self._process, started), daemon=True)
        self._reader.start()
        if not started.wait(PATIENCE) or not self.alive:
            self.kill()
            raise RuntimeError(f"the server does not start: {' / '.join(self.log[-3:])}")

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._reader.join(PATIENCE)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def troubles(self) -> list[str]:
        """Lines of the log that tell of what nobody expected."""
        return [line for line in self.log if TROUBLE.search(line)]

    def _read(self, process: subprocess.Popen[bytes], started: threading.Event) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.log.append(line.decode(errors="replace").rstrip("\n"))
            if _STARTED.search(self.log[-1]):
                started.set()
        started.set()


class Client:
    """One run of `ftplite-client`; ``words`` are those behind HOST and PORT."""

    def __init__(
        self,
        server: Server,
        *words: str,
        options: Sequence[str] = (),
        port: int | None = None,
        before: Sequence[str] = (),
        cwd: Path,
    ) -> None:
        command = [*before, beside_python("ftplite-client"), *options]
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [*command, server.host, str(port or server.port), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=environment(),
            preexec_fn=die_with_parent,
        )
        self.said = ""
        """What it told, once it has ended: its standard error, then its standard output."""

    def end(self, seconds: float = 120.0) -> int:
        """Its exit status; one that does not end is killed, and that tells -9."""
        try:
            out, errors = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, errors = self.process.communicate()
        self.said = (errors + out).decode(errors="replace").strip()
        return self.process.returncode

    def kill(self) -> int:
        """SIGKILL; -9 unless it had ended before."""
        with suppress(OSError):
            self.process.kill()
        return self.end()


def run_client(server: Server, *words: str, cwd: Path, seconds: float = 120.0, **more: object) -> Client:
    """One that has ended: `Client.process.returncode` and `Client.said`."""
    client = Client(server, *words, cwd=cwd, **more)  # type: ignore[arg-type]
    client.end(seconds)
    return client
