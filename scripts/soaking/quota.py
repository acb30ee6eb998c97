"""Uploads that race for the room of one quota, and end in every way there is: the sum never exceeds it.

The server is halted for each look, so that what is counted is of one instant: files, partials, and what has
no name yet.  When all is over, what the server says is left must be what the disk says.
"""

from __future__ import annotations

import contextlib
import random
import re
import select
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from accounts import QUOTA_EXCEEDED, line_of, password_of, session_of, write_users
from harness import Server
from raw import PATIENCE, Session, reset

from .files import OWN, random_file
from .instant import halted, taken
from .programs import beside_python, die_with_parent, environment, eventually
from .report import Counts, Soak

QUOTA, FILES, SESSIONS = 5_000_000, 60, 50
ACTS = 6
"""Of each session in a round."""

ENDS = (
    "SUCCESS: ",
    QUOTA_EXCEEDED,
    "FAILURE: Size mismatch.",
    "FAILURE: Transfer cancelled.",
    "FAILURE: File not found.",
    "FAILURE: File exists.",
    "FAILURE: Directory not empty.",
    "FAILURE: Offset not valid.",
    "ERROR: Connection lost.",
)
"""All that may be said of what is done here."""

LEFT = re.compile(re.escape(QUOTA_EXCEEDED) + r" (\d+) of \d+ (bytes|files) are left\.")


class Gone(Exception):
    """This session is over."""


class Racer:
    """One session, and what it does."""

    def __init__(self, session: Session, folder: str, chance: random.Random, announced: float) -> None:
        """``announced`` is how likely a size is: one that is not reserves all that is left."""
        self.session, self.folder, self.chance, self.announced = session, folder, chance, announced

    def act(self) -> tuple[str, str]:
        """One thing, and how it ended."""
        chance = self.chance
        kind = chance.choices(["put", "rm", "mv", "mkdir", "rmdir"], [76, 10, 9, 4, 1])[0]
        if kind == "put":
            return self._put()
        names = {"rm": [self._name()], "mv": [self._name(), self._name()]}.get(kind, [f"{self.folder}/sub"])
        self.session.send(" ".join([kind, *(f'"{each}"' for each in names)]))
        return kind, self.session.line()

    def _name(self) -> str:
        place = self.chance.choice([self.folder] * 4 + [f"{self.folder}/sub"])
        return f"{place}/f{self.chance.randrange(40)}"

    def _put(self) -> tuple[str, str]:
        """Whole or cut off, of a size that is announced or not, going on with what broke off or not."""
        chance, session, name = self.chance, self.session, self._name()
        size, announced, sure = int(300_000 * chance.random() ** 3), [], "announced"
        way = chance.choices(["whole", "too short", "aborted", "reset", "killed"], [60, 10, 12, 12, 6])[0]
        offset = self._partial(name) if chance.random() < 0.3 else None
        if offset is not None:
            size += offset
            announced.append(f"Start offset: {offset} bytes")
        if chance.random() < self.announced:
            announced.insert(0, f"File size: {size} bytes")
        else:
            sure = "of unknown size"
        kind = f"put {sure}, {way}" + ("" if offset is None else ", gone on with")
        session.send(f"put {name}")
        line = session.line()
        if not line.startswith("SUCCESS: Ready to receive."):
            return kind, line
        with session.listen() as listener:
            session.send(*announced, listener.announcement)
            readable, _, _ = select.select([listener.socket, session.socket], [], [], PATIENCE)
            if listener.socket not in readable:
                return kind, session.line()
            data = listener.accept()
        left = size - (offset or 0)
        with data, contextlib.suppress(OSError):  # refused meanwhile
            data.sendall(bytes(left if way == "whole" else left // 2))
            if way in ("reset", "killed"):
                if way == "killed":
                    reset(session.socket)
                reset(data)
        if way == "killed":
            raise Gone
        if way == "aborted":
            session.send("abort")
        elif way != "reset":
            size_told = [] if sure == "announced" else [f"File size: {size} bytes"]
            session.send(*size_told, f"Transfer complete: {name}")
        line = session.line()
        return kind, session.line() if line.startswith("Transfer complete") else line

    def _partial(self, name: str) -> int | None:
        """Bytes that are kept of an upload."""
        self.session.send(f"stat {name}")
        found = None
        while not (line := self.session.line()).startswith(("SUCCESS", "FAILURE", "ERROR")):
            if line.startswith("Partial size: "):
                found = int(line.split()[2])
        return found


class Trial:
    """A server that is killed and started again, and all that happens to one user's tree."""

    def __init__(self, soak: Soak, base: Path) -> None:
        self.soak, self.base = soak, base
        self.tree = base / "tree" / "alice"
        self.tree.mkdir(parents=True)
        settings = ("root=alice", f"quota={QUOTA}", f"files={FILES}", f"sessions={SESSIONS + 10}")
        self.users = write_users(base / "users", line_of("alice", *settings))
        (base / "password").write_text(password_of("alice") + "\n")
        self.big = random_file(base / "big", 500_000)
        self.ends = Counts()
        self.counted = Counts()
        self.most = (0, 0)
        self.server = self.start()

    def start(self) -> Server:
        """A server on what the last one left."""
        return Server(self.base / "tree", "--users", self.users, preexec_fn=die_with_parent)

    def stop(self) -> None:
        """End it."""
        self.server.stop()

    def round(self, number: int) -> None:
        """All sessions at once; perhaps the server is killed, or asked to stop; then it is counted again."""
        chance = self.soak.chance("quota", number)
        folder = f"r{number}"
        with session_of(self.server, "alice") as session:
            session.send(f"mkdir {folder}", f"mkdir {folder}/sub")
            session.expect("SUCCESS: Directory made.", "SUCCESS: Directory made.")
        how = ("goes on", "is killed", "is asked to stop")[number % 3]
        signals = {"is killed": signal.SIGKILL, "is asked to stop": signal.SIGTERM}
        self.counted.add(f"rounds in which the server {how}")
        started: list[float] = []
        start = threading.Barrier(SESSIONS, lambda: started.append(time.monotonic()))
        with ThreadPoolExecutor(SESSIONS + 2) as pool:
            racers = [pool.submit(self._race, number, start, chance.random()) for _ in range(SESSIONS)]
            clients = [pool.submit(self._client, folder, each, chance.random()) for each in range(2)]
            seconds = chance.uniform(0.2, 2)
            while not all(each.done() for each in (*racers, *clients)):
                if how in signals and started and time.monotonic() > started[0] + seconds:
                    self.server.process.send_signal(signals.pop(how))
                self._look(f"round {number}")
                time.sleep(0.005)
            for each in (*racers, *clients):
                each.result()
        if how != "goes on":
            self.server.process.send_signal(signals.get(how, 0))
            self.server.wait(40)
            self.soak.must_be_calm(self.server.log)
            self.server.stop()
            self.server = self.start()
        self.compare(f"after round {number}")
        if chance.random() < 0.7:
            self.remove(folder)
            self.compare(f"after round {number}, with its files removed")

    def _race(self, number: int, start: threading.Barrier, fate: float) -> None:
        chance = random.Random(fate)
        with contextlib.ExitStack() as stack:
            try:
                session = stack.enter_context(session_of(self.server, "alice"))
            except BaseException:
                start.abort()  # nobody shall wait for one that could not come
                raise
            start.wait(60)
            racer = Racer(session, f"r{number}", chance, 1.0 if number % 2 else 0.9)
            for _ in range(ACTS):
                try:
                    kind, status = racer.act()
                except Gone:
                    self.ends.add(("put, its client killed", ""))
                    return
                except (OSError, EOFError):
                    self.ends.add(("anything", "the server is gone"))
                    return
                if status.startswith("ERROR: Server shutting down"):
                    return
                self.ends.add((kind, status[: status.find(".") + 1]))
                self.soak.must(status.startswith(ENDS), f"{kind}: {status}")

    def _client(self, folder: str, number: int, fate: float) -> None:
        """A real client is killed in the middle, or before or behind."""
        words = ["--user", "alice", "--password-file", str(self.base / "password"), "--retries", "0"]
        words += map(str, self.server.address)
        client = subprocess.Popen(
            [
                beside_python("ftplite-client"),
                *words,
                "put",
                "-c",
                str(self.big),
                f"{folder}/client-{number}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.base,
            env={**environment(), "HOME": str(self.base)},
            preexec_fn=die_with_parent,
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            client.wait(0.3 + 1.5 * fate)
        client.kill()
        self.counted.add("clients killed", client.wait() < 0)

    def _look(self, when: str) -> None:
        """Count while nothing moves."""
        with halted(self.server.pid):
            size, files = taken(self.tree, self.server.pid)
        self.counted.add("looks")
        self.most = (max(self.most[0], size), max(self.most[1], files))
        self.soak.must(size <= QUOTA, f"{when}: {size} bytes are there, {QUOTA} may be")
        self.soak.must(files <= FILES, f"{when}: {files} files are there, {FILES} may be")

    def compare(self, when: str) -> None:
        """What the server says is left, and what the disk says."""
        told = there = (0, 0)

        def agree() -> bool:
            nonlocal told, there
            size, files = taken(self.tree, self.server.pid)
            told, there = self._left(), (QUOTA - size, FILES - files)
            return told == there

        eventually(agree, 5)
        what = f"{when}: the server says that {told[0]} bytes and {told[1]} files are left, the disk {there}"
        self.soak.must(told == there, what)
        self.counted.add("times that tally and disk were compared")

    def _left(self) -> tuple[int, int]:
        """Bytes and files."""
        with session_of(self.server, "alice") as session:
            made = 0
            while (line := _refusal(session, "x" * (made + 1), 0)).startswith("SUCCESS"):
                made += 1
            told = LEFT.fullmatch(line)
            if told is None or told[2] != "files":
                return -1, -1
            if made == 0:
                return -1, int(told[1])  # it would take a file to be told of the bytes
            for each in range(made):
                session.send(f"rm {'x' * (each + 1)}")
                session.expect("SUCCESS: File removed.")
            told = LEFT.fullmatch(_refusal(session, "x", QUOTA + 1))
            return (int(told[1]), made) if told is not None and told[2] == "bytes" else (-1, made)

    def remove(self, folder: str) -> None:
        """All that was stored in a folder, partials with it."""
        with session_of(self.server, "alice") as session:
            for each in (f"{folder}/sub", folder):
                for name in sorted((self.tree / each).glob("*")) if (self.tree / each).is_dir() else []:
                    if name.is_file() and not name.name.startswith(OWN):
                        session.send(f"rm {each}/{name.name}")
                        session.expect("SUCCESS: File removed.")
                session.send(f"rmdir {each}")
                line = session.line()
                gone = line.startswith("SUCCESS") or each.endswith("sub")
                self.soak.must(gone, f"rmdir {each}: {line}")


def _refusal(session: Session, name: str, size: int) -> str:
    """How a put of so many zeros ends."""
    session.send(f"put {name}")
    session.expect("SUCCESS: Ready to receive.")
    with session.listen() as listener:
        session.send(f"File size: {size} bytes", listener.announcement)
        readable, _, _ = select.select([listener.socket, session.socket], [], [], PATIENCE)
        if listener.socket in readable:
            listener.accept().close()
            session.send(f"Transfer complete: {name}")
    line = session.line()
    return session.line() if line.startswith("Transfer complete") else line


def run(soak: Soak) -> Trial:
    """So many rounds."""
    trial = Trial(soak, soak.room("quota"))
    try:
        for number in range(soak.rounds):
            soak.say(f"  round {number + 1} of {soak.rounds}")
            trial.round(number)
        soak.must_be_calm(trial.server.log)
    finally:
        trial.stop()
    rows = [[kind, status, count] for (kind, status), count in sorted(trial.ends.items())]
    soak.table(f"{SESSIONS} sessions that race for one quota", ["what", "ended with", "times"], rows)
    rows = [[what, count] for what, count in sorted(trial.counted.items())]
    rows.append(["most bytes at an instant", f"{trial.most[0]:,} of {QUOTA:,}"])
    rows.append(["most files at an instant", f"{trial.most[1]} of {FILES}"])
    soak.table("What was done, and seen", ["what", "times"], rows)
    return trial
