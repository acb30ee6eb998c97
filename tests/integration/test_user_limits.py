"""What one user may have at a time, and how large and how deep: every refusal says which limit it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

import pytest
from accounts import (
    LIMIT_REACHED,
    PASSWORD_REQUIRED,
    answer_to,
    line_of,
    log_in,
    password_of,
    session_of,
    write_users,
)
from harness import BIG, Server, blocking, eventually, make_big
from raw import CANCELLED, TO_RECEIVE, TO_SEND, Session

BOUNDED = ("sessions=2", "transfers=2", "file-size=100")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of users, some with bounds of their own; each test has its users."""
    folder = tmp_path_factory.mktemp("limits")
    tree = folder / "tree"
    (tree / "a" / "b" / "c" / "d").mkdir(parents=True)
    (tree / "f").write_bytes(b"abc")
    make_big(tree)
    lines = [line_of(name, *BOUNDED) for name in ("alice", "carol", "erin")]
    lines += [line_of(name, "sessions=1") for name in ("grace", "heidi")]
    lines += [line_of(name, "file-size=1T") for name in ("bob", "dave", "frank", "ivan")]
    options = ("--max-sessions-per-user", "3", "--max-transfers-per-user", "1")
    options += ("--max-file-size", "1000", "--max-depth", "3", "--anonymous", "write")
    server = Server(tree, "--users", write_users(folder / "users", *lines), *options)
    with contextlib.ExitStack() as stopping:
        stopping.callback(server.stop)
        yield server
        server.check()


def refused_entry(server: Server, name: str) -> str:
    """What somebody with one session too many is told; the session goes on."""
    with server.session() as session:
        session.send(f"login {name}", f"password {password_of(name)}")
        session.expect(PASSWORD_REQUIRED)
        answer = session.line()
        session.send("pwd")
        session.expect("Directory: /", "SUCCESS: Described.")  # as whoever he was before
        assert session.get("f") == b"abc"
    return answer


@blocking
def test_sessions_of_a_user(served: Server) -> None:
    with contextlib.ExitStack() as clients:
        for name, most in (("alice", 2), ("bob", 3)):
            sessions = [clients.enter_context(session_of(served, name)) for _ in range(most)]
            said = f"{LIMIT_REACHED} You may have {most} sessions at a time."
            assert refused_entry(served, name) == said
            # From another host as well.
            other = clients.enter_context(served.session(source="127.0.0.7"))
            other.send(f"login {name}", f"password {password_of(name)}")
            other.expect(PASSWORD_REQUIRED, said)
            log_in(sessions[0], name)  # who has one already takes no other
            assert refused_entry(served, name) == said
            # A refusal is no failed login, and whoever leaves makes room.
            for _ in range(6):
                other.send(f"login {name}", f"password {password_of(name)}")
                other.expect(PASSWORD_REQUIRED, said)
            sessions[0].socket.close()
            eventually(partial(_gets_in, other, name))


@blocking
def test_a_session_that_becomes_another_users(served: Server) -> None:
    """It is counted for that one alone, and where it may not become that, for the one before."""
    with contextlib.ExitStack() as clients:
        one, other, third = [clients.enter_context(served.session()) for _ in range(3)]
        log_in(one, "grace")
        assert not _gets_in(other, "grace")
        log_in(one, "heidi")
        log_in(other, "grace")
        assert not _gets_in(one, "grace")
        assert answer_to(one, "pwd") == "SUCCESS: Described."
        assert not _gets_in(third, "heidi")


def _gets_in(session: Session, name: str) -> bool:
    session.send(f"login {name}", f"password {password_of(name)}")
    session.expect(PASSWORD_REQUIRED)
    return session.line().startswith("SUCCESS")


@blocking
def test_transfers_of_a_user(served: Server) -> None:
    """A second session does not evade it."""
    with contextlib.ExitStack() as clients:
        one, other = [clients.enter_context(session_of(served, "carol")) for _ in range(2)]
        _begin_get(clients.enter_context(session_of(served, "dave")))
        _begin_get(one)
        # One that has been offered and not yet begun counts as well.
        other.send("put g")
        other.expect(TO_RECEIVE)
        nobody = clients.enter_context(served.session())
        again = clients.enter_context(session_of(served, "dave"))
        for command in ("get f", "put h", "ls"):
            assert answer_to(again, command) == f"{LIMIT_REACHED} You may have 1 transfers at a time."
        assert answer_to(again, "stat f") == "SUCCESS: Described."
        # Others are not concerned: who has not logged in counts by his host.
        assert nobody.get("f") == b"abc"
        other.send("abort")
        other.expect(CANCELLED)
        assert other.get("f") == b"abc"
        assert b"f" in other.ls()
        one.send("abort")
        one.expect(CANCELLED)
        _begin_get(one)
        _begin_get(other)
        one.send("abort", "get f")
        one.expect(CANCELLED, TO_SEND)


@blocking
def test_transfers_one_behind_the_other(served: Server) -> None:
    """One that was broken off a moment ago is none any more, whatever still works for it."""
    with session_of(served, "ivan") as session:
        for _ in range(20):
            with session.begin_put("g", 1000) as data:
                data.sendall(b"x" * 500)
                session.send("abort", "get f")
                session.expect(CANCELLED, TO_SEND)
                session.send("abort", "put g")
                session.expect(CANCELLED, TO_RECEIVE)
                session.send("abort")
                session.expect(CANCELLED)


def _begin_get(session: Session) -> None:
    data = session.begin_get("big", BIG)
    assert data.recv(1)


@blocking
def test_transfers_of_those_without_a_login(served: Server) -> None:
    with (
        served.session(source="127.0.0.9") as one,
        served.session(source="127.0.0.9") as other,
        served.session(source="127.0.0.8") as third,
    ):
        one.send("get big")
        one.expect(TO_SEND)
        assert answer_to(other, "get f") == f"{LIMIT_REACHED} You may have 1 transfers at a time."
        assert third.get("f") == b"abc"


@blocking
def test_the_size_of_a_file(served: Server) -> None:
    """The lower of the user's bound and the server's."""
    for name, most in (("erin", 100), ("frank", 1000)):
        said = f"FAILURE: File too large. The limit is {most} bytes."
        with session_of(served, name) as session:
            session.send("put g")
            session.expect(TO_RECEIVE)
            with session.listen() as listener:
                session.send(f"File size: {most + 1} bytes", listener.announcement)
                session.expect(said)
                assert listener.is_left_alone(0.01)
            # Unannounced, it is the first byte too many.
            with session.begin_put("g", None) as data, contextlib.suppress(ConnectionError):
                data.sendall(b"x" * (most + 1))
                data.close()
            session.expect(said)
            session.put(name, b"x" * most)
            assert session.get(name) == b"x" * most
    assert not (served.root / "g").exists()


@blocking
def test_the_depth_of_a_path(served: Server) -> None:
    (served.root / "a" / "b" / "g").write_bytes(b"abc")
    said = "FAILURE: Name not allowed. A path may be 3 names long."
    with session_of(served, "bob") as session:
        assert session.get("a/b/g") == b"abc"
        assert session.get("a/x/../b/./../b//g") == b"abc"
        for command in (
            "get a/b/c/d",
            "put a/b/c/f",
            "mkdir a/b/c/e",
            "cd a/b/c/d",
            "stat a/b/c/d",
            "ls a/b/c/d",
        ):
            assert answer_to(session, command) == said
        assert answer_to(session, 'mv "f" "a/b/c/f"') == said
        assert answer_to(session, "cd a/b/c") == "SUCCESS: Directory changed."
        for command in ("get f", "put f", "mkdir e", "rmdir d", 'mv "../g" "g"'):
            assert answer_to(session, command) == said
        session.put("../f", b"abc")
        assert answer_to(session, "stat ../f") == "SUCCESS: Described."
    assert (served.root / "a" / "b" / "f").read_bytes() == b"abc"
