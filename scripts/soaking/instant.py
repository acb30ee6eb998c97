"""What there is at one instant: the process that changes it is halted meanwhile."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from .programs import eventually


@contextlib.contextmanager
def halted(pid: int) -> Iterator[None]:
    """A process, if it is still there, that does nothing meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
    try:
        eventually(lambda: _state(pid) not in "RSD", 5)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _state(pid: int) -> str:
    """Of that of its threads that still does most; a zombie does nothing."""
    states = []
    for each in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):
            states.append(each.read_text().rpartition(")")[2].split()[0])
    return next((each for each in states if each in "RSD"), "T")


def taken(tree: Path, pid: int) -> tuple[int, int]:
    """Bytes and files beneath a folder, the server's own included, and those that have no name yet."""
    found: dict[int, int] = {}
    for each in tree.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            if each.is_file():
                found[each.stat().st_ino] = each.stat().st_size
    for each in Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(OSError):
            if os.readlink(each).startswith(f"{tree}/"):
                about = each.stat()
                if not each.is_dir():
                    found[about.st_ino] = about.st_size
    return sum(found.values()), len(found)
