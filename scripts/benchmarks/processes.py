"""Child processes: servers that end with their scope, helpers that report on their output, memory of both."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from .frame import Bench
from .machine import die_with_parent

SCRIPTS = Path(__file__).resolve().parent.parent
CHECKOUT = SCRIPTS.parent


def environment(bench: Bench, **more: str) -> dict[str, str]:
    """The environment of every child: the checkout and these modules importable, a home of its own."""
    paths = [str(SCRIPTS), str(CHECKOUT), os.environ.get("PYTHONPATH", "")]
    own = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "HOME": str(bench.folder / "run")}
    return {**os.environ, **own, **bench.variables, **more}


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server process in a session of its own, so that its own children can be found and ended with it."""

    def __init__(
        self, bench: Bench, name: str, port: int, command: Sequence[str | Path], **more: str
    ) -> None:
        self.name, self.host, self.port = name, bench.host, port
        self.log = bench.folder / "run" / f"{name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(each) for each in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,
                cwd=bench.folder / "run",
                env=environment(bench, **more),
            )
        bench.stack.callback(self.stop)
        self._wait()

    def _wait(self, seconds: float = 15) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(OSError):
                socket.create_connection((self.host, self.port), 1).close()
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        words = self.log.read_text(errors="replace").strip().splitlines()[-3:]
        raise RuntimeError(f"{self.name} did not start: {' / '.join(words)}")

    def told(self, pattern: str, seconds: float = 10) -> str:
        """What in its log is like ``pattern``, which it may only be about to say."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := re.search(pattern, self.log.read_text(errors="replace")):
                return found[0]
            time.sleep(0.02)
        raise RuntimeError(f"{self.name} says nothing like {pattern}")

    def processes(self) -> list[int]:
        """Its own id and those of the children it has made."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with suppress(OSError):
                    if os.getsid(int(entry)) == self.process.pid:
                        found.append(int(entry))
        return found

    def memory(self) -> int:
        """Bytes: the proportional set size of all its processes, what the kernel holds for it apart."""
        return sum(proportional_size(each) for each in self.processes())

    def stop(self) -> None:
        """End it, politely first."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(OSError):
                os.killpg(self.process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
                break
        with suppress(OSError):  # what it left behind in its group
            os.killpg(self.process.pid, signal.SIGKILL)


def proportional_size(process: int) -> int:
    """Bytes of memory of one process, pages it shares counted in parts."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))


class Measurable(Protocol):
    """What can say how much memory it uses."""

    def memory(self) -> int:
        """Bytes."""
        ...


class Peak:
    """The most memory a process used while a block ran."""

    def __init__(self, server: Measurable) -> None:
        self.server, self.rest = server, server.memory()
        self.most = self.rest
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            self.most = max(self.most, self.server.memory())

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.most = max(self.most, self.server.memory())

    @property
    def above(self) -> int:
        """Bytes above what it used before."""
        return self.most - self.rest


def module(name: str, *arguments: str | Path | float) -> list[str]:
    """The command that runs one of these modules in a process of its own."""
    return [sys.executable, "-m", f"benchmarks.{name}", *map(str, arguments)]


class Helper:
    """A child that is told things on its input and says things on its output; ends with its block."""

    def __init__(self, bench: Bench, command: Sequence[str]) -> None:
        self._log = (bench.folder / "run" / "helpers.log").open("w+")
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            preexec_fn=die_with_parent,
            env=environment(bench),
        )

    def __enter__(self) -> Helper:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # what it was told may not have reached it
            if self._process.stdin is not None:
                self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()

    def hear(self) -> str:
        """The next line it says; raises with its last words where it ended instead."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            self._process.wait(10)
            self._log.seek(0)
            words = self._log.read().strip().splitlines()[-1:]
            raise RuntimeError(f"a helper left with {self._process.returncode}: {' '.join(words)}")
        return line

    def end(self) -> None:
        """Close its input: it shall come to an end, and may say so first."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def tell(self, line: str) -> None:
        """Say a line to it."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()


def timed(bench: Bench, command: Sequence[str], seconds: float = 120) -> float:
    """Wall time of a command from start to end, its start-up included; raises where it failed."""
    start = time.perf_counter()
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=seconds,
        env=environment(bench),
        check=False,
    )
    elapsed = time.perf_counter() - start
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip()[-200:]
        raise RuntimeError(f"{Path(command[0]).name} left with {done.returncode}: {words}")
    return elapsed
