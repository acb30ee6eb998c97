"""Quotas of a real server: what all puts together leave is never more, however they race and end."""

from __future__ import annotations

import contextlib
import random
import select
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from accounts import QUOTA_EXCEEDED, line_of, session_of, write_users
from harness import Server, blocking
from raw import PATIENCE, Session

QUOTA, FILES, PUTS = 4_000_000, 60, 50
ENDS = ("SUCCESS", QUOTA_EXCEEDED, "FAILURE: Size mismatch.", "FAILURE: Transfer cancelled.")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "tree" / "alice").mkdir(parents=True)
    users = write_users(
        tmp_path / "users", line_of("alice", "root=alice", f"quota={QUOTA}", f"files={FILES}", "sessions=60")
    )
    server = Server(tmp_path / "tree", "--users", users)
    with contextlib.ExitStack() as stopping:
        stopping.callback(server.stop)
        yield server
        server.check()


def taken(tree: Path) -> tuple[int, int]:
    """Bytes and files beneath a folder, the server's own included."""
    sizes = []
    for each in tree.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            if each.is_file():
                sizes.append(each.stat().st_size)
    return sum(sizes), len(sizes)


def race(session: Session, number: int, start: threading.Barrier) -> str:
    """One put, whole or cut off, of a size that is announced or not; how it ended."""
    chance = random.Random(number)
    size, name = chance.randrange(300_000), f"f{chance.randrange(40)}"
    start.wait()
    session.send(f"put {name}")
    session.expect("SUCCESS: Ready to receive.")
    announced = [f"File size: {size} bytes"] if chance.random() < 0.6 else []
    with session.listen() as listener:
        session.send(*announced, listener.announcement)
        readable, _, _ = select.select([listener.socket, session.socket], [], [], PATIENCE)
        if listener.socket not in readable:
            return session.line()
        data = listener.accept()
    with data:
        whole = chance.random() < 0.7
        with contextlib.suppress(OSError):  # refused meanwhile
            data.sendall(bytes(size if whole else size // 2))
    if not whole and chance.random() < 0.5:
        session.send("abort")
        return session.line()
    session.send(*([] if announced else [f"File size: {size} bytes"]), f"Transfer complete: {name}")
    line = session.line()
    return session.line() if line.startswith("Transfer complete") else line


def remove_all(session: Session) -> None:
    for name in session.ls():
        session.send(f"rm {name.decode()}")
        session.expect("SUCCESS: File removed.")


@blocking
def test_fifty_puts_at_a_time(served: Server) -> None:
    tree = served.root / "alice"
    for _ in range(3):
        with contextlib.ExitStack() as stack:
            sessions = [stack.enter_context(session_of(served, "alice")) for _ in range(PUTS)]
            start = threading.Barrier(PUTS)
            with ThreadPoolExecutor(PUTS) as pool:
                ends = [pool.submit(race, session, number, start) for number, session in enumerate(sessions)]
                while not all(each.done() for each in ends):
                    size, files = taken(tree)
                    assert size <= QUOTA
                    assert files <= FILES
            said = [each.result() for each in ends]
        assert any(each.startswith("SUCCESS") for each in said)
        assert any(each.startswith(QUOTA_EXCEEDED) for each in said)
        assert all(each.startswith(ENDS) for each in said), said
        with session_of(served, "alice") as session:
            remove_all(session)
    with session_of(served, "alice") as session:
        left = QUOTA - taken(tree)[0]
        session.send("put more", f"File size: {left + 1} bytes", "Data channel port: 2000")
        session.expect("SUCCESS: Ready to receive.")
        refusal = session.line()
        assert refusal == f"{QUOTA_EXCEEDED} {left} of {QUOTA} bytes are left."
