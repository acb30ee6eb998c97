"""SIGHUP: users are read again, sessions go on with what they may now, and a mistake changes nothing."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from accounts import (
    DENIED,
    LIMIT_REACHED,
    LOGIN_FAILED,
    LOGIN_REQUIRED,
    PASSWORD_REQUIRED,
    QUOTA_EXCEEDED,
    answer_to,
    cheap_hash,
    line_of,
    log_in,
    session_of,
    write_users,
)
from harness import BIG, Server, blocking, make_big
from raw import MISSING, TO_RECEIVE, TO_SEND, TRANSFERRED, Session, read_all


class Reloaded:
    """A server and its users file."""

    def __init__(self, serve: Callable[..., Server], file: Path, *options: str) -> None:
        self.file = file
        write_users(file, line_of("alice"), line_of("bob", "permissions=read"), line_of("carol"))
        self.server = serve("--users", str(file), *options)
        (self.server.root / "d").mkdir()
        (self.server.root / "f").write_bytes(b"abc")

    def read_again(self, *lines: str) -> None:
        """Have it read these users, which it does."""
        write_users(self.file, *lines)
        self._hang_up()
        self.server.logged(rf"The users were read again: {len(lines)}$")

    def refuse(self) -> str:
        """Have it read the file, which it does not take; why not."""
        self._hang_up()
        said = self.server.logged(r"#error\] The users stay as they were: (.*)")[1]
        self.server.log.clear()
        return said

    def _hang_up(self) -> None:
        self.server.log.clear()
        self.server.process.send_signal(signal.SIGHUP)


@pytest.fixture
def reloaded(serve: Callable[..., Server], tmp_path: Path) -> Reloaded:
    """A server with alice, who may all, bob, who may read, and carol."""
    return Reloaded(serve, tmp_path / "users")


@blocking
def test_what_users_may_now(reloaded: Reloaded) -> None:
    server = reloaded.server
    make_big(server.root)
    with contextlib.ExitStack() as clients:
        alice, second, bob, carol = [
            clients.enter_context(session_of(server, name)) for name in ("alice", "alice", "bob", "carol")
        ]
        stranger = clients.enter_context(server.session())
        stranger.send("login dave")
        stranger.expect(PASSWORD_REQUIRED)
        assert answer_to(carol, "cd d") == "SUCCESS: Directory changed."
        data = alice.begin_get("big", BIG)
        upload = second.begin_put("g", 3)
        leaving = bob.begin_get("big", BIG)
        reloaded.read_again(
            line_of("alice", "permissions=list,put", "file-size=2", "sessions=2"),
            line_of("carol"),
            line_of("dave"),
        )
        # What runs goes on,
        for session, channel in ((alice, data), (bob, leaving)):
            assert len(read_all(channel)) == BIG
            session.expect("Transfer complete: big")
            session.send("Transfer complete: big")
            session.expect(TRANSFERRED)
        upload.sendall(b"def")
        upload.close()
        second.send("Transfer complete: g")
        second.expect("Transfer complete: g", TRANSFERRED)
        # and what begins is looked at anew.
        assert answer_to(alice, "get f").startswith(DENIED)
        assert answer_to(second, "mkdir e").startswith(DENIED)
        alice.put("h", b"xy")
        alice.send("put i")
        alice.expect(TO_RECEIVE)
        alice.send("File size: 3 bytes", "Data channel port: 5000")
        alice.expect("FAILURE: File too large. The limit is 2 bytes.")
        assert answer_to(bob, "get f").startswith(LOGIN_REQUIRED)
        assert answer_to(bob, "stat f").startswith(LOGIN_REQUIRED)
        bob.send("login bob", "password the secret of bob")
        bob.expect(PASSWORD_REQUIRED, LOGIN_FAILED)
        log_in(bob, "carol")
        assert bob.get("f") == b"abc"
        stranger.send("password the secret of dave")
        stranger.expect("SUCCESS: Logged in.")
        bob.send("login alice", "password the secret of alice")
        bob.expect(PASSWORD_REQUIRED)
        assert bob.line().startswith(LIMIT_REACHED)
        # Nobody else has noticed.
        assert carol.get("../f") == b"abc"
        assert carol.ls() == []


@blocking
def test_whoever_comes_back_is_not_in_yet(reloaded: Reloaded) -> None:
    """One of the same name may be somebody else."""
    server = reloaded.server
    with session_of(server, "alice") as session, session_of(server, "bob") as bob:
        reloaded.read_again(line_of("bob"))
        assert answer_to(session, "get f").startswith(LOGIN_REQUIRED)
        reloaded.read_again(f"alice {cheap_hash('another')} sessions=1", line_of("bob"))
        assert answer_to(session, "get f").startswith(LOGIN_REQUIRED)
        session.send("login alice", "password the secret of alice")
        session.expect(PASSWORD_REQUIRED, LOGIN_FAILED)
        log_in(session, "alice", "another")
        # A secret that changes ends no session.
        reloaded.read_again(f"bob {cheap_hash('another')}")
        bob.put("g", b"abc")
        bob.send("login bob", "password the secret of bob")
        bob.expect(PASSWORD_REQUIRED, LOGIN_FAILED)
        log_in(bob, "bob", "another")


@blocking
def test_roots_and_quotas(reloaded: Reloaded) -> None:
    server = reloaded.server
    (server.root / "d" / "f").write_bytes(b"in d")
    with session_of(server, "alice") as alice, session_of(server, "carol") as carol:
        assert alice.get("f") == b"abc"
        alice.put("d/g", b"x" * 1000)
        reloaded.read_again(line_of("alice", "root=d", "quota=2k"), line_of("carol"))
        assert alice.get("f") == b"in d"
        assert answer_to(alice, "stat d").startswith(MISSING)
        assert carol.get("f") == b"abc"
        _refuse(alice, 997, "996 of 2000 bytes are left.")
        carol.put("d/h", b"x" * 500)  # who has no quota, and another root
        reloaded.read_again(line_of("alice", "root=d", "quota=3k"), line_of("carol"))
        _refuse(alice, 1997)
        alice.put("h", b"x" * 1000)
        reloaded.read_again(line_of("alice", "root=d"), line_of("carol"))
        alice.put("i", b"x" * 5000)


def _refuse(session: Session, size: int, detail: str = "") -> None:
    session.send("put refused")
    session.expect(TO_RECEIVE)
    session.send(f"File size: {size} bytes", "Data channel port: 5000")
    line = session.line()
    assert line.startswith(f"{QUOTA_EXCEEDED} {detail}"), line


@blocking
def test_a_mistake_changes_nothing(reloaded: Reloaded) -> None:
    """The log says which line; a secret that stands at the wrong place is not told."""
    server, file = reloaded.server, reloaded.file
    with session_of(server, "alice") as alice, session_of(server, "bob") as bob:
        alice.begin("get f", TO_SEND)
        alice.expect("File size: 3 bytes", "Transfer complete: f")
        good = file.read_text()
        for line, words in (
            ("dave hunter2", "no argon2 hash"),
            (line_of("dave", "quota=hunter2"), "quota is no size"),
            (line_of("dave", "permission=read"), "permissions="),
            (line_of("alice"), "a line above already"),
            ("dave - root=../out", "root holds .."),
            ("dave", "a secret is missing"),
        ):
            file.write_text(f"# new\n{good}{line}\n")
            said = reloaded.refuse()
            assert said.startswith(f"{file}, line 5: "), said
            assert words in said
            assert "hunter2" not in said
            assert "$argon2" not in said
        file.write_text(good + line_of("dave", "root=none") + "\n")
        assert "the root of user dave" in reloaded.refuse()
        file.write_bytes(good.encode() + b"d\xe4ve -\n")
        assert "line 4: it is not UTF-8" in reloaded.refuse()
        file.unlink()
        assert reloaded.refuse().startswith(f"{file}: No such file")
        # Nobody has noticed.
        alice.send("Transfer complete: f")
        alice.expect(TRANSFERRED)
        alice.put("g", b"def")
        assert bob.get("g") == b"def"
        assert answer_to(bob, "put g").startswith(DENIED)
        with session_of(server, "carol") as carol:
            assert carol.get("f") == b"abc"
        reloaded.read_again(line_of("dave"))
        assert answer_to(alice, "get f").startswith(LOGIN_REQUIRED)
        assert server.process.poll() is None


@blocking
def test_nobody_to_read_again(serve: Callable[..., Server]) -> None:
    """A server without users only goes on."""
    server = serve()
    (server.root / "f").write_bytes(b"abc")
    with server.session() as session:
        server.process.send_signal(signal.SIGHUP)
        assert session.get("f") == b"abc"
        assert session.is_answered()
    assert server.process.poll() is None
