"""twistd on a disk that is slow: `python -m benchmarks.slow_disk BYTES_A_SECOND ARGUMENTS OF twistd ...`

No cgroup slows down buffered writes everywhere, so the calls themselves are: what moves bytes into a regular
file takes as long as a disk of that rate would, in whichever thread it is called.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable
from typing import Any


def is_file(descriptor: int) -> bool:
    """Whether it is a regular file."""
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def slowed(call: Callable[..., int], target: int, rate: float) -> Callable[..., int]:
    """The same call, which sleeps for what it wrote if its argument number ``target`` is a regular file."""

    def wrapper(*arguments: Any, **named: Any) -> int:
        done = call(*arguments, **named)
        if is_file(arguments[target]):
            time.sleep(done / rate)
        return done

    return wrapper


def main() -> None:
    """Slow the calls down, then be twistd."""
    rate = float(sys.argv.pop(1))
    for name, target in (("write", 0), ("writev", 0), ("pwrite", 0), ("pwritev", 0), ("splice", 1)):
        setattr(os, name, slowed(getattr(os, name), target, rate))
    from twisted.scripts.twistd import run

    run()


if __name__ == "__main__":
    main()
