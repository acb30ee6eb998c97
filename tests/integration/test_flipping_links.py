"""Links that flip between inside and outside while they are used: nothing comes from there or goes there."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from accounts import line_of, session_of, write_users
from harness import Server, blocking, eventually
from raw import TO_RECEIVE, TO_SEND, Session, read_all

SECONDS = 2.0
SECRET = b"of nobody's business"

_FLIPS = """
import ctypes, os, sys
tree, outside, spare = sys.argv[1:]
os.chdir(tree)
exchange = ctypes.CDLL(None, use_errno=True).renameat2
names = [os.fsencode(each) for each in ("real", os.path.join(spare, "real"))]
os.symlink(outside, names[1])
targets = (("in/f", os.path.join(outside, "f")), ("in", outside), ("in", "../../outside"))
print("flipping", flush=True)
while True:
    for side in (0, 1):
        for name, target in zip(("file", "folder", "relative"), targets):
            os.symlink(target[side], os.path.join(spare, name))
            os.rename(os.path.join(spare, name), name)
        # A folder and a link that change places.
        if exchange(-100, names[0], -100, names[1], 2):
            sys.exit(os.strerror(ctypes.get_errno()))
"""


@pytest.fixture
def flipping(serve: Callable[..., Server], tmp_path: Path) -> Iterator[Server]:
    """A server, in which the names in a user's root that are links do not stand still."""
    tree, outside, spare = (tmp_path / each for each in ("tree", "outside", "spare"))
    (tree / "alice" / "in").mkdir(parents=True)
    (tree / "alice" / "real").mkdir()
    for each in (outside, spare, outside / "folder of others"):
        each.mkdir()
    # The user's own tree is all that is inside: what else is served is outside as well.
    (tree / "outside").symlink_to(outside)
    (outside / "f").write_bytes(SECRET)
    for each in ("in", "real"):
        (tree / "alice" / each / "f").write_bytes(b"inside")
    server = serve("--users", write_users(tmp_path / "users", line_of("alice", "root=alice")))
    words = [sys.executable, "-c", _FLIPS, str(tree / "alice"), str(outside), str(spare)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as flips:
        try:
            assert flips.stdout is not None
            assert flips.stdout.readline() == b"flipping\n"
            yield server
            assert flips.poll() is None
        finally:
            flips.kill()


def transfer(session: Session, command: str, content: bytes | None = None) -> tuple[bytes, str]:
    """A transfer, which may end in any way: what came, and the last line."""
    session.send(command)
    line = session.line()
    if not line.startswith((TO_SEND, TO_RECEIVE)):
        return b"", line
    received = b""
    with session.listen() as listener:
        session.send(
            *([] if content is None else [f"File size: {len(content)} bytes"]), listener.announcement
        )
        readable, _, _ = select.select([listener.socket, session.socket], [], [], 10)
        if listener.socket in readable:
            with listener.accept() as data, contextlib.suppress(ConnectionError):
                if content is None:
                    received = read_all(data)
                else:
                    data.sendall(content)
    completion = f"Transfer complete: {command.partition(' ')[2]}"
    if content is not None:
        session.send(completion)
    while not (line := session.line()).startswith(("SUCCESS", "FAILURE", "ERROR")):
        if content is None and line == completion:
            session.send(completion)
    return received, line


class Trial:
    """What sessions tried, and what they got."""

    def __init__(self, server: Server) -> None:
        self.outcomes: Counter[tuple[str, bool]] = Counter()
        """By verb, and whether it succeeded."""

        self.wrong: list[object] = []
        self._server = server
        self._end = time.monotonic() + SECONDS

    def run(self, use: Callable[[Session, int], None]) -> None:
        """Use the links in a session until the time is over."""
        try:
            with session_of(self._server, "alice") as session:
                number = 0
                while time.monotonic() < self._end:
                    use(session, number)
                    number += 1
        except BaseException as error:
            self.wrong.append(error)
            raise

    def note(self, verb: str, status: str) -> None:
        """How one ended."""
        self.outcomes[verb, status.startswith("SUCCESS")] += 1

    def get(self, session: Session, number: int) -> None:
        for name in ("file", "folder/f", "relative/f", "real/f", "folder/../real/f"):
            content, status = transfer(session, f"get {name}")
            self.note("get", status)
            if content not in (b"", b"inside"):
                self.wrong.append((name, content))

    def put(self, session: Session, number: int) -> None:
        for name in ("file", "folder/f", "relative/new", "real/new"):
            _, status = transfer(session, f"put {name}", b"inside")
            self.note("put", status)

    def look(self, session: Session, number: int) -> None:
        for name in ("folder", "relative", "real"):
            listing, status = transfer(session, f"ls {name}")
            self.note("ls", status)
            if b"others" in listing:
                self.wrong.append((name, listing))
        for name in ("file", "folder/f", "real/f", "relative/folder of others"):
            for command in (f"stat {name}", f"checksum {name}"):
                said = _answers(session, command)
                self.note(command.partition(" ")[0], said[-1])
                if f"File size: {len(SECRET)} bytes" in said or ("others" in name and "SUCCESS" in said[-1]):
                    self.wrong.append((name, said))

    def change(self, session: Session, number: int) -> None:
        for command in (
            f"mkdir folder/d{number}",
            f"rmdir folder/d{number}",
            f"mkdir real/d{number}",
            f'mv "real/d{number}" "relative/d{number}"',
            f"rmdir relative/d{number}",
            'mv "real/f" "folder/g"',
            'mv "relative/g" "real/f"',
            "rm relative/new",
            "rmdir real/folder of others",
            "cd folder",
            "rm f" if number % 2 else "pwd",
            "cd /",
        ):
            self.note(command.partition(" ")[0], _answers(session, command)[-1])


def _answers(session: Session, command: str) -> list[str]:
    session.send(command)
    said = [session.line()]
    while not said[-1].startswith(("SUCCESS", "FAILURE", "ERROR")):
        said.append(session.line())
    return said


def _all_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    found = {}
    for each in (folder, *folder.rglob("*")):
        found[str(each)] = (os.stat(each).st_mtime_ns, b"" if each.is_dir() else each.read_bytes())
    return found


def _is_fooled(tree: Path) -> bool:
    """Whether somebody who looks first and opens then reads what is outside."""
    file = tree / "folder" / "f"
    for _ in range(100):
        with contextlib.suppress(OSError):
            if file.resolve().is_relative_to(tree) and file.read_bytes() == SECRET:
                return True
    return False


@blocking
def test_links_that_flip(flipping: Server, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    eventually(lambda: _is_fooled(flipping.root / "alice"))
    before = _all_of(outside)
    trial = Trial(flipping)
    uses = (trial.get, trial.put, trial.look, trial.change)
    threads = [threading.Thread(target=trial.run, args=[each]) for each in uses]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not trial.wrong
    assert _all_of(outside) == before
    # Each met the links on both sides.
    for verb in ("get", "put", "ls", "stat", "checksum", "mkdir", "cd"):
        assert trial.outcomes[verb, True], (verb, trial.outcomes)
        assert trial.outcomes[verb, False], (verb, trial.outcomes)
