"""What a user may store, by hand: reserved before the first byte, and given back when it does not stay."""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from accounts import QUOTA_EXCEEDED, answer_to, line_of, session_of, write_users
from harness import Server, blocking
from raw import CANCELLED, MISMATCH, TO_RECEIVE, TRANSFERRED, Listener, Session

KB = 1000
SESSIONS = 50
USERS = {
    "many": "quota=1M",
    "unknown": "quota=1M",
    "files": "files=10",
    "failing": "quota=100k",
    "partial": "quota=100k files=2",
    "removing": "quota=100k files=2",
    "lost": "quota=100k",
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a user, and a root, for each test."""
    folder = tmp_path_factory.mktemp("quota")
    for name in USERS:
        (folder / "tree" / name).mkdir(parents=True)
    users = [line_of(name, f"root={name}", settings) for name, settings in USERS.items()]
    file = write_users(folder / "users", *users, line_of("second", "root=many", "quota=500k"))
    server = Server(folder / "tree", "--users", file)
    with contextlib.ExitStack() as stopping:
        stopping.callback(server.stop)
        yield server
        server.check()


def stored(folder: Path) -> list[int]:
    """The sizes of all files in a folder, partials included."""
    sizes = []
    for each in os.scandir(folder):
        with contextlib.suppress(FileNotFoundError):
            sizes.append(each.stat().st_size)
    return sizes


def refuse(session: Session, name: str, size: int, detail: str = "") -> None:
    """A put that is refused before a byte has come."""
    session.send(f"put {name}")
    session.expect(TO_RECEIVE)
    with session.listen() as listener:
        session.send(f"File size: {size} bytes", listener.announcement)
        line = session.line()
        assert line.startswith(f"{QUOTA_EXCEEDED} {detail}"), line
        assert listener.is_left_alone(0.001)


def break_off(session: Session, name: str, size: int, sent: int) -> None:
    """A put of which only the beginning comes."""
    with session.begin_put(name, size) as data:
        data.sendall(b"x" * sent)
        session.send("FAILURE: Transfer cancelled.")
        session.expect(CANCELLED)


class _Upload:
    """One of many puts at a time."""

    def __init__(self, session: Session, number: int, size: int | None) -> None:
        self.session = session
        self.name = f"f{number}"
        session.send(f"put {self.name}")
        session.expect(TO_RECEIVE)
        self.listener: Listener = session.listen()
        announced = [] if size is None else [f"File size: {size} bytes"]
        session.send(*announced, self.listener.announcement)

    def begins(self) -> bool:
        """Whether there is room for it; else it has been told that there is none."""
        readable, _, _ = select.select([self.session.socket, self.listener.socket], [], [], 10)
        if self.listener.socket in readable:
            self.data = self.listener.accept()
            return True
        self.session.expect(QUOTA_EXCEEDED)
        return False


@contextlib.contextmanager
def at_once(server: Server, *names: str, size: int | None) -> Iterator[list[_Upload]]:
    """Puts of so many bytes in fifty sessions of these users: those that begin."""
    with contextlib.ExitStack() as clients:
        sessions = [
            clients.enter_context(session_of(server, names[number % len(names)]))
            for number in range(SESSIONS)
        ]
        uploads = [_Upload(session, number, size) for number, session in enumerate(sessions)]
        begun = [each for each in uploads if each.begins()]
        for each in begun:
            clients.enter_context(each.data)
        yield begun
        for session in sessions:
            assert session.is_answered()


@blocking
def test_fifty_puts_at_a_time(served: Server) -> None:
    """Two users share a root: each has his own bound for all that is there."""
    folder = served.root / "many"
    with at_once(served, "many", size=90 * KB) as begun:
        assert len(begun) == 11
        for number, each in enumerate(begun):
            each.data.sendall(b"x" * (90 * KB))
            each.data.close()
            each.session.send(f"Transfer complete: {each.name}")
            each.session.expect(f"Transfer complete: {each.name}", TRANSFERRED)
            assert stored(folder) == [90 * KB] * (number + 1)
    with session_of(served, "many") as session, session_of(served, "second") as second:
        refuse(session, "more", 10 * KB + 1, "10000 of 1000000 bytes are left.")
        refuse(second, "more", 1, "0 of 500000 bytes are left.")
        for number in (each.name for each in begun[:6]):
            assert answer_to(session, f"rm {number}") == "SUCCESS: File removed."
    with at_once(served, "many", "second", size=10 * KB) as begun:
        # The second user's have room until there are 500 kB, whoever they are of.
        assert 25 <= len(begun) <= 25 + 5
        assert {each.name for each in begun} >= {f"f{number}" for number in range(0, SESSIONS, 2)}
        for each in begun:
            each.session.send("abort")
            each.session.expect(CANCELLED)
    assert sum(stored(folder)) == 5 * 90 * KB


@blocking
def test_fifty_puts_of_unknown_size(served: Server) -> None:
    folder = served.root / "unknown"
    with at_once(served, "unknown", size=None) as begun:
        for each in begun:
            with contextlib.suppress(ConnectionError):
                each.data.sendall(b"x" * (90 * KB))
                each.data.close()
            assert sum(stored(folder)) <= 1000 * KB
        finished = 0
        for each in begun:
            each.session.send(f"File size: {90 * KB} bytes", f"Transfer complete: {each.name}")
            line = each.session.line()
            if line.startswith(QUOTA_EXCEEDED):
                continue
            assert line == f"Transfer complete: {each.name}"
            each.session.expect(TRANSFERRED)
            finished += 1
            assert sum(stored(folder)) <= 1000 * KB
        assert 1 <= finished <= 11
    with session_of(served, "unknown") as session:
        # What was only reserved is there again, to the last byte.
        left = 1000 * KB - finished * 90 * KB
        with session.begin_put("over", None) as data, contextlib.suppress(ConnectionError):
            data.sendall(b"x" * (left + 1))
            data.close()
            session.send(f"File size: {left + 1} bytes", "Transfer complete: over")
        session.expect(QUOTA_EXCEEDED)
        assert session.is_answered()
        with session.begin_put("rest", None) as data:
            data.sendall(b"x" * left)
        session.send(f"File size: {left} bytes", "Transfer complete: rest")
        session.expect("Transfer complete: rest", TRANSFERRED)
        refuse(session, "more", 1, "0 of 1000000 bytes are left.")
    assert sum(stored(folder)) == 1000 * KB


@blocking
def test_fifty_files_where_ten_may_be(served: Server) -> None:
    folder = served.root / "files"
    with at_once(served, "files", size=0) as begun:
        assert len(begun) == 10
        for each in begun:
            each.data.close()
            each.session.send(f"Transfer complete: {each.name}")
            each.session.expect(f"Transfer complete: {each.name}", TRANSFERRED)
    assert stored(folder) == [0] * 10
    with session_of(served, "files") as session:
        refuse(session, "more", 0, "0 of 10 files are left.")
        assert answer_to(session, "mkdir d") == "SUCCESS: Directory made."  # no file
        assert answer_to(session, f'mv "{begun[0].name}" "{begun[1].name}"') == "SUCCESS: Renamed."
        session.put("more", b"x")
        refuse(session, "d/more", 0, "0 of 10 files are left.")


@blocking
def test_a_put_that_fails_gives_back(served: Server) -> None:
    with session_of(served, "failing") as session, session_of(served, "failing") as other:
        for name in ("/none/f", "/"):
            session.send(f"put {name}")
            assert session.line().startswith("FAILURE: ")
        data = session.begin_put("f", 100 * KB)
        refuse(other, "g", 1, "0 of 100000 bytes are left.")
        data.sendall(b"x" * 10)
        data.close()
        session.send("Transfer complete: f")
        session.expect(MISMATCH)
        session.send("put f")
        session.expect(TO_RECEIVE)
        session.send("File size: 100000 bytes", "Data channel port: 1")
        assert session.line().startswith("ERROR: ")
        with session.begin_put("f", 100 * KB):
            session.send("FAILURE: Disk full.")
            session.expect("FAILURE: Disk full.")
        other.put("g", b"x" * (100 * KB))
    assert stored(served.root / "failing") == [100 * KB]


@blocking
def test_what_breaks_off_holds_what_has_come(served: Server) -> None:
    with session_of(served, "partial") as session:
        break_off(session, "f", 100 * KB, 40 * KB)
        refuse(session, "g", 60 * KB + 1, "60000 of 100000 bytes are left.")
        session.put("g", b"x" * (50 * KB))
        refuse(session, "h", 0, "0 of 2 files are left.")
        # It may be gone on with as far as there is room,
        session.send("put f")
        session.expect(TO_RECEIVE)
        session.send("File size: 50001 bytes", "Start offset: 40000 bytes", "Data channel port: 5000")
        session.expect(QUOTA_EXCEEDED)
        with session.begin(
            "put f", TO_RECEIVE, "File size: 50000 bytes", "Start offset: 40000 bytes"
        ) as data:
            data.sendall(b"y" * (10 * KB))
        session.send("Transfer complete: f")
        session.expect("Transfer complete: f", TRANSFERRED)
        assert session.get("f") == b"x" * (40 * KB) + b"y" * (10 * KB)
        refuse(session, "f", 1, "0 of 2 files are left.")
    assert sorted(stored(served.root / "partial")) == [50 * KB, 50 * KB]


@blocking
def test_a_client_that_is_gone(served: Server) -> None:
    """What had come stays, and all that was only reserved is given back."""
    with session_of(served, "lost") as session:
        with session_of(served, "lost") as gone:
            gone.begin_put("f", 100 * KB).sendall(b"x" * (30 * KB))
        served.logged(r"lost@\S+ put f ERROR 30000 bytes")
        session.put("g", b"x" * (70 * KB))
        refuse(session, "h", 1, "0 of 100000 bytes are left.")
        with session.begin(
            "put f", TO_RECEIVE, "File size: 30000 bytes", "Start offset: 30000 bytes"
        ) as data:
            data.close()
        session.send("Transfer complete: f")
        session.expect("Transfer complete: f", TRANSFERRED)


@blocking
def test_what_is_removed_or_replaced_is_given_back(served: Server) -> None:
    with session_of(served, "removing") as session:
        session.put("f", b"x" * (60 * KB))
        refuse(session, "g", 40 * KB + 1)
        assert answer_to(session, "rm f") == "SUCCESS: File removed."
        session.put("f", b"x" * (40 * KB))
        session.put("f", b"y" * (60 * KB))  # there are both until it is in place
        refuse(session, "g", 40 * KB + 1)
        session.put("g", b"x" * (40 * KB))
        assert answer_to(session, 'mv "g" "f"') == "SUCCESS: Renamed."
        refuse(session, "g", 60 * KB + 1, "60000 of 100000 bytes are left.")
        assert answer_to(session, "mkdir d") == "SUCCESS: Directory made."
        break_off(session, "d/g", 60 * KB, 30 * KB)
        refuse(session, "h", 30 * KB + 1)
        assert answer_to(session, "rmdir d") == "SUCCESS: Directory removed."  # with the partial
        session.put("h", b"x" * (60 * KB))
        assert answer_to(session, "rm h") == "SUCCESS: File removed."
        break_off(session, "h", 60 * KB, 30 * KB)
        session.put("h", b"x" * (60 * KB))  # a partial that is begun anew is none
    assert sorted(stored(served.root / "removing")) == [40 * KB, 60 * KB]


@blocking
def test_what_is_there_already_counts(serve: Callable[..., Server], tmp_path: Path) -> None:
    """Whoever put it there; and again after a restart, partials included."""
    users = write_users(tmp_path / "users", line_of("alice", "root=a", "quota=100k"))
    tree = tmp_path / "tree"
    (tree / "a" / "deep").mkdir(parents=True)
    (tree / "a" / "deep" / "f").write_bytes(b"x" * (30 * KB))
    (tree / "beside").write_bytes(b"x" * (90 * KB))
    server = serve("--users", users)
    with session_of(server, "alice") as session:
        session.put("g", b"x" * (20 * KB))
        break_off(session, "h", 50 * KB, 10 * KB)
        refuse(session, "i", 40 * KB + 1)
    server.terminate()
    server.wait_for_end()
    (tree / "a" / "deep" / "f").write_bytes(b"x" * (35 * KB))
    with session_of(serve("--users", users), "alice") as session:
        refuse(session, "i", 35 * KB + 1, "35000 of 100000 bytes are left.")
        session.put("i", b"x" * (35 * KB))
    assert sum(stored(tree / "a")) == 65 * KB + (tree / "a" / "deep").stat().st_size
