"""A network namespace whose loopback has a rate, and counts what it carries."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Self

from .programs import die_with_parent
from .report import CannotRun


class Network:
    """One of its own, slow enough to be broken in the middle.  It has no name and ends with its block.

    It is held by a process that sleeps, so that nothing is left behind however this one ends.
    """

    def __init__(self, megabits: int) -> None:
        self._megabits = megabits
        self._holder: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        missing = [each for each in ("unshare", "nsenter", "ip", "tc") if shutil.which(each) is None]
        if os.geteuid() != 0:
            raise CannotRun("needs root, for a network namespace")
        if missing:
            raise CannotRun(f"needs {' and '.join(missing)}")
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--", "sh", "-c", "echo; exec sleep infinity"],
            stdout=subprocess.PIPE,
            preexec_fn=die_with_parent,
        )
        assert self._holder.stdout is not None
        self._holder.stdout.readline()
        shape = ["tc", "qdisc", "add", "dev", "lo", "root", "tbf", "rate", f"{self._megabits}mbit"]
        try:
            self._do("ip", "link", "set", "lo", "up")
            # The queue must take whatever TCP sends, or what is lost would be counted as sent again.
            self._do(*shape, "burst", "1mb", "limit", "64mb")
        except subprocess.CalledProcessError as failure:
            self.__exit__()
            raise CannotRun(f"this kernel has no tbf: {failure.stderr.decode().strip()}") from failure
        return self

    def __exit__(self, *_: object) -> None:
        if self._holder is not None:
            self._holder.kill()
            self._holder.wait()
            assert self._holder.stdout is not None
            self._holder.stdout.close()

    @property
    def inside(self) -> list[str]:
        """The words that start a command in it, with the same process id."""
        assert self._holder is not None
        return ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net", "--"]

    def carried(self) -> int:
        """Bytes that loopback has carried, headers included."""
        assert self._holder is not None
        for line in Path(f"/proc/{self._holder.pid}/net/dev").read_text().splitlines():
            name, _, figures = line.partition(":")
            if name.strip() == "lo":
                return int(figures.split()[8])
        raise AssertionError("no loopback")

    def _do(self, *words: str) -> None:
        subprocess.run([*self.inside, *words], check=True, capture_output=True)
