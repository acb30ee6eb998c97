"""Load for the fairness bench, each kind a process of its own.

`python -m benchmarks.load flood PORT get|put FILE`: transfers of one file, one after another, until its input
ends; then says how many bytes it moved and in how many seconds.
`python -m benchmarks.load listings PORT SESSIONS SECONDS PATH NAMES`: that many sessions list a small
directory, think, list again; says each latency in seconds as one line of JSON.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from pathlib import Path

from .steps import Refused, Steps, finish, together
from .wire import Session, connect

THINK = (0.25, 0.75)
"""Seconds a session waits before it lists again, at random between these."""


def flood(port: str, way: str, file: str) -> None:
    """Transfers back to back; `file` is the local path, its name the remote one."""
    stopped = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        stopped.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    session, path, total = connect(int(port)), Path(file), 0
    print("ready", flush=True)
    start = time.perf_counter()
    while not stopped.is_set():
        total += finish(session.get_big(path.name) if way == "get" else session.put_big(path, "up/flood"))
    print(json.dumps([total, time.perf_counter() - start]), flush=True)


def listings(port: str, sessions: str, seconds: str, path: str, names: str) -> None:
    """The latencies of `ls`, from the request to the final status."""
    end = time.monotonic() + float(seconds)

    def one(session: Session) -> Steps[list[float]]:
        chance, seen = random.Random(session.port), []
        yield chance.uniform(0, THINK[1])
        while time.monotonic() < end:
            start = time.perf_counter()
            found = yield from session.ls(path)
            seen.append(time.perf_counter() - start)
            if len(found) != int(names):
                raise Refused(f"{len(found)} names instead of {names}")
            yield chance.uniform(*THINK)
        return seen

    results = together([one(connect(int(port))) for _ in range(int(sessions))])
    print(json.dumps([each for seen in results for each in seen]), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "flood":
        flood(*sys.argv[2:])
    else:
        listings(*sys.argv[2:])
