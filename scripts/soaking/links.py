"""Links that flip between inside and outside while they are used: nothing comes from there or goes there."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from accounts import line_of, session_of, write_users
from harness import Server
from raw import TO_RECEIVE, TO_SEND, Session, read_all

from .programs import die_with_parent, eventually
from .report import Counts, Soak

SECONDS = 2.0
"""Of a round."""

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


@contextlib.contextmanager
def flipping(base: Path) -> Iterator[Server]:
    """A server, in which the names in a user's root that are links do not stand still."""
    tree, outside, spare = (base / each for each in ("tree", "outside", "spare"))
    (tree / "alice" / "in").mkdir(parents=True)
    (tree / "alice" / "real").mkdir()
    for each in (outside, spare, outside / "folder of others"):
        each.mkdir()
    # The user's own tree is all that is inside: what else is served is outside as well.
    (tree / "outside").symlink_to(outside)
    (outside / "f").write_bytes(SECRET)
    for each in ("in", "real"):
        (tree / "alice" / each / "f").write_bytes(b"inside")
    users = write_users(base / "users", line_of("alice", "root=alice"))
    server = Server(tree, "--users", users, preexec_fn=die_with_parent)
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        words = [sys.executable, "-c", _FLIPS, str(tree / "alice"), str(outside), str(spare)]
        flips = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=die_with_parent
        )
        stack.enter_context(flips)
        stack.callback(flips.kill)
        assert flips.stdout is not None
        if flips.stdout.readline() != b"flipping\n":
            raise RuntimeError("nothing flips")
        yield server
        if flips.poll() is not None:
            raise RuntimeError("what flipped the links has ended")


def transfer(session: Session, command: str, content: bytes | None, *fields: str) -> tuple[bytes, str]:
    """A transfer, which may end in any way: what came, and the last line."""
    session.send(command)
    line = session.line()
    if not line.startswith((TO_SEND, TO_RECEIVE)):
        return b"", line
    received = b""
    with session.listen() as listener:
        session.send(*fields, listener.announcement)
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

    def __init__(self, soak: Soak, server: Server) -> None:
        self.outcomes = Counts()
        """By verb, and whether it succeeded."""

        self.soak = soak
        self._server = server
        self._end = 0.0

    def all_at_once(self) -> None:
        """Every use in a session of its own."""
        self._end = time.monotonic() + SECONDS
        uses = (self.get, self.put, self.put_in_two, self.look, self.change)
        threads = [threading.Thread(target=self._use, args=[each]) for each in uses]
        for each in threads:
            each.start()
        for each in threads:
            each.join()

    def _use(self, use: Callable[[Session, int], None]) -> None:
        """Use the links until the time is over."""
        try:
            with session_of(self._server, "alice") as session:
                number = 0
                while time.monotonic() < self._end:
                    use(session, number)
                    number += 1
        except BaseException as error:
            self.soak.must(False, f"{use.__name__}: {error!r}")
            raise

    def note(self, verb: str, status: str) -> None:
        """How one ended."""
        self.outcomes.add((verb, status.startswith("SUCCESS")))

    def get(self, session: Session, number: int) -> None:
        """Fetch, the whole or a part."""
        for name in ("file", "folder/f", "relative/f", "real/f", "folder/../real/f"):
            fields = ("Start offset: 1 bytes",) if number % 2 else ()
            content, status = transfer(session, f"get {name}", None, *fields)
            self.note("get", status)
            self.soak.must(content in (b"", b"inside", b"nside"), f"get {name}: {content!r}")

    def put(self, session: Session, number: int) -> None:
        """Store."""
        for name in ("file", "folder/f", "relative/new", "real/new"):
            _, status = transfer(session, f"put {name}", b"inside", "File size: 6 bytes")
            self.note("put", status)

    def put_in_two(self, session: Session, number: int) -> None:
        """Break an upload off, and go on with it: the folder of its partial is another by then."""
        for name in ("folder/half", "relative/half", "real/half"):
            session.send(f"put {name}")
            if not (line := session.line()).startswith(TO_RECEIVE):
                self.note("put, broken off", line)
                continue
            with session.listen() as listener:
                session.send("File size: 6 bytes", listener.announcement)
                readable, _, _ = select.select([listener.socket, session.socket], [], [], 10)
                if listener.socket in readable:
                    with listener.accept() as data:
                        data.sendall(b"ins")
                    session.send("FAILURE: Transfer cancelled.")
            line = session.line()
            self.note("put, broken off", line.replace("FAILURE: Transfer cancelled.", "SUCCESS"))
            fields = ("File size: 6 bytes", "Start offset: 3 bytes")
            _, status = transfer(session, f"put {name}", b"ide", *fields)
            self.note("put, gone on with", status)

    def look(self, session: Session, number: int) -> None:
        """List and describe."""
        for name in ("folder", "relative", "real"):
            fields = ("Format: json", "Depth: all") if number % 2 else ()
            listing, status = transfer(session, f"ls {name}", None, *fields)
            self.note("ls", status)
            self.soak.must(b"others" not in listing, f"ls {name}: {listing!r}")
        for name in ("file", "folder/f", "real/f", "relative/folder of others"):
            for command in (f"stat {name}", f"checksum {name}"):
                said = _answers(session, command)
                self.note(command.partition(" ")[0], said[-1])
                told = f"File size: {len(SECRET)} bytes" in said
                self.soak.must(
                    not told and not ("others" in name and "SUCCESS" in said[-1]), f"{name}: {said}"
                )

    def change(self, session: Session, number: int) -> None:
        """Make, move and remove."""
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


def _all_of(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    found = {}
    for each in (folder, *folder.rglob("*")):
        about = os.stat(each)
        content = b"" if each.is_dir() else each.read_bytes()
        found[str(each)] = (about.st_mtime_ns, about.st_mode, content)
    return found


def _is_fooled(tree: Path) -> bool:
    """Whether somebody who looks first and opens then reads what is outside."""
    file = tree / "folder" / "f"
    for _ in range(100):
        with contextlib.suppress(OSError):
            if file.resolve().is_relative_to(tree) and file.read_bytes() == SECRET:
                return True
    return False


def run(soak: Soak) -> Trial:
    """So many rounds of two seconds."""
    base = soak.room("links")
    outside = base / "outside"
    with flipping(base) as server:
        if not eventually(lambda: _is_fooled(server.root / "alice")):
            raise RuntimeError("the links flip so slowly that nobody could be fooled")
        before = _all_of(outside)
        trial = Trial(soak, server)
        for number in range(soak.rounds):
            soak.say(f"  round {number + 1} of {soak.rounds}")
            trial.all_at_once()
            (server.root / "alice" / "in" / "f").write_bytes(b"inside")
            soak.must(_all_of(outside) == before, f"outside something has changed: {_all_of(outside)}")
        soak.must_be_calm(server.log)
    verbs = sorted({verb for verb, _ in trial.outcomes})
    rows = [[verb, trial.outcomes[verb, True], trial.outcomes[verb, False]] for verb in verbs]
    seconds = f"{soak.rounds * SECONDS:g} s of links that flip between inside and outside"
    soak.table(seconds, ["verb", "found inside", "was refused"], rows)
    return trial
