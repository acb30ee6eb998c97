"""The server as a real process, and what is measured of it from outside."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import os
import re
import resource
import shutil
import signal
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pytest
import pytest_twisted
from raw import PATIENCE, Session
from twisted.internet.threads import deferToThread

SCRIPTS = Path(sysconfig.get_path("scripts"))
_STARTED = re.compile(r"FTPLite serves .* at (\S+?):(\d+)[, ]")
_TICKS = os.sysconf("SC_CLK_TCK")


def blocking(test: Callable[..., None]) -> Any:
    """A test that blocks, run in a thread beside the reactor."""

    @functools.wraps(test)
    async def run(*args: Any, **kwargs: Any) -> None:
        await deferToThread(test, *args, **kwargs)

    return pytest_twisted.ensureDeferred(run)


@contextlib.contextmanager
def own_network(ports: str = "32768 60999") -> Iterator[list[str]]:
    """A network namespace with a loopback of its own; the words that start a command inside.

    ``ports`` is the range of ephemeral ports there.
    """
    name = f"ftplite-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        inside = ["ip", "netns", "exec", name]
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        setting = "/proc/sys/net/ipv4/ip_local_port_range"
        subprocess.run([*inside, "sh", "-c", f"echo {ports} > {setting}"], check=True)
        yield inside
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@contextlib.contextmanager
def within(network: Sequence[str]) -> Iterator[None]:
    """Have this thread make its sockets in a network, told by the words of `own_network`."""
    setns = ctypes.CDLL(None, use_errno=True).setns
    with open("/proc/thread-self/ns/net") as own, open(f"/run/netns/{network[-1]}") as other:

        def enter(namespace: IO[str]) -> None:
            if setns(namespace.fileno(), 0):
                raise OSError(ctypes.get_errno(), "setns")

        enter(other)
        try:
            yield
        finally:
            enter(own)


BIG = 64 << 20
"""Bytes that no buffers between two processes hold."""


def make_big(root: Path) -> None:
    """Make a file "big" of so many bytes."""
    with open(root / "big", "wb") as file:
        file.truncate(BIG)


def empty(tree: Path) -> None:
    """Remove all that is in a folder."""
    for each in tree.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()


def names_in(folder: Path) -> list[str]:
    """What stands in a folder, sorted, but for what has arrived of uploads that broke off."""
    return sorted(each for each in os.listdir(folder) if not each.startswith(".ftplite-part-"))


OPENLY = ("--anonymous", "write", "--allow-root")
"""What a server says that serves anybody, beyond loopback too, whoever runs the tests."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts or network namespaces")


def eventually(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Wait for what nothing tells us of; its first true value."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.01)


TWISTD = ("twistd", "-n", "--pidfile=")


def twistd_command(*options: str, program: Sequence[str] = TWISTD) -> list[str]:
    """The command line of a server."""
    return [str(SCRIPTS / program[0]), *program[1:], "ftplite", *options]


def outcome(
    *options: str, program: Sequence[str] = TWISTD, cwd: str | Path = "/", before: Sequence[str] = ()
) -> tuple[int, list[str]]:
    """Exit status of a server that does not start, and the lines it says."""
    said = subprocess.run(
        [*before, *twistd_command(*options, program=program)],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=20,
        check=False,
    )
    return said.returncode, said.stdout.splitlines()


class Server:
    """A running server: its address, its log and its process."""

    def __init__(
        self,
        root: Path,
        *options: str,
        listen: str = "tcp:0:interface=127.0.0.1",
        before: Sequence[str] = (),
        program: Sequence[str] = TWISTD,
        **popen: Any,
    ) -> None:
        self.root = root
        self.log: list[str] = []
        self._news = threading.Condition()
        command = twistd_command("--root", str(root), "--listen", listen, *options, program=program)
        self.process = subprocess.Popen(
            [*before, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            **popen,
        )
        assert self.process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()
        try:
            started = self.logged(_STARTED)
        except AssertionError:
            self.stop()
            raise
        self.address = (started[1].strip("[]"), int(started[2]))

    @property
    def pid(self) -> int:
        """The process."""
        return self.process.pid

    def logged(self, pattern: str | re.Pattern[str], seconds: float = PATIENCE) -> re.Match[str]:
        """The first line of the log that matches; waits for it."""
        looked = 0
        deadline = time.monotonic() + seconds
        with self._news:
            while True:
                for line in self.log[looked:]:
                    if found := re.search(pattern, line):
                        return found
                looked = len(self.log)
                left = deadline - time.monotonic()
                lost = left <= 0 or not self._reader.is_alive()
                assert not lost, f"no {pattern!r} in {self.log[-50:]}"
                self._news.wait(min(left, 0.5))

    def session(self, **options: Any) -> Session:
        """A client."""
        return Session(self.address, **options)

    def memory(self) -> int:
        """Bytes resident."""
        return int(_field(f"/proc/{self.pid}/status", "VmRSS")) * 1024

    def cpu(self) -> float:
        """Seconds of CPU time used."""
        words = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / _TICKS

    def clock(self) -> float:
        """Seconds that pass for it and for us: a clock that stands while other processes have the machine."""
        waits = (f"/proc/{self.pid}/schedstat", "/proc/thread-self/schedstat")
        return time.monotonic() - sum(int(Path(each).read_text().split()[1]) for each in waits) / 1e9

    def descriptors(self) -> int:
        """How many are open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def descriptors_at_rest(self) -> int:
        """How many are open when there is no session; there must be none when this is asked."""
        with self.session() as session:
            assert session.is_answered()
            return self.descriptors() - 1

    def free_descriptor(self) -> int:
        """The lowest number that is free, with all below it taken."""
        taken = set(os.listdir(f"/proc/{self.pid}/fd"))
        return next(each for each in itertools.count() if str(each) not in taken)

    def limit_descriptors(self, count: int) -> None:
        """Let it have no descriptor of this number or a higher one."""
        _, most = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (count, most))

    def terminate(self) -> None:
        """Ask it to stop."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Its exit status; the log is then complete."""
        status = self.process.wait(seconds)
        self._reader.join(seconds)
        return status

    def wait_for_end(self, seconds: float = PATIENCE) -> None:
        """It ended as it was asked to: twistd cleans up and then lets the signal have its way."""
        assert self.wait(seconds) in (0, -signal.SIGTERM)

    def stop(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def check(self) -> None:
        """Nothing went wrong that nobody was told of."""
        wrong = [
            n for n, line in enumerate(self.log) if re.search(r"Traceback|Unhandled|#critical|#error", line)
        ]
        assert not wrong, "\n".join(self.log[max(wrong[0] - 5, 0) : wrong[0] + 60])

    def _read(self, stream: IO[bytes]) -> None:
        for line in stream:
            with self._news:
                self.log.append(line.decode(errors="replace").rstrip("\n"))
                self._news.notify_all()


def _field(file: str, name: str) -> str:
    for line in Path(file).read_text().splitlines():
        if line.startswith(name + ":"):
            return line.split()[1]
    raise KeyError(name)
