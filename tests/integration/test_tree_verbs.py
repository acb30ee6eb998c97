"""pwd, cd, mkdir, rmdir, rm, mv and stat by hand: section 6, ``files``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Server, blocking, eventually
from raw import MISSING, SYNTAX, Session

DESCRIBED = "SUCCESS: Described."
CHANGED = "SUCCESS: Directory changed."
MADE = "SUCCESS: Directory made."
REMOVED = "SUCCESS: Directory removed."
FILE_REMOVED = "SUCCESS: File removed."
RENAMED = "SUCCESS: Renamed."
DENIED = "FAILURE: Permission denied."
EXISTS = "FAILURE: File exists."
IS_A_DIRECTORY = "FAILURE: Is a directory."
NO_DIRECTORY = "FAILURE: Not a directory."
NOT_EMPTY = "FAILURE: Directory not empty."
NOT_ALLOWED = "FAILURE: Name not allowed."


def ask(session: Session, command: str | bytes, *expected: str) -> None:
    session.send(command)
    session.expect(*expected)


@blocking
def test_the_working_directory(server: Server) -> None:
    (server.root / "a" / 'with "quotes"').mkdir(parents=True)
    (server.root / "a" / "f").write_bytes(b"in a")
    (server.root / "f").write_bytes(b"at the root")
    with server.session() as session:
        ask(session, "pwd", "Directory: /", DESCRIBED)
        ask(session, "cd a", CHANGED)
        ask(session, "pwd", "Directory: /a", DESCRIBED)
        assert session.get("f") == b"in a"
        assert session.ls() == [b"f", b'with "quotes"/']
        assert session.get("/f") == b"at the root"
        assert session.get("../f") == b"at the root"
        ask(session, 'cd "with \\"quotes\\""', CHANGED)
        ask(session, "pwd", 'Directory: /a/with "quotes"', DESCRIBED)
        ask(session, "cd ../../../..", CHANGED)
        ask(session, "pwd", "Directory: /", DESCRIBED)
        ask(session, "cd none", MISSING)
        ask(session, "cd f", NO_DIRECTORY)
        ask(session, "cd", SYNTAX)
        ask(session, "pwd", "Directory: /", DESCRIBED)
        session.put("a/new", b"x")
        ask(session, "cd a", CHANGED)
        session.put("newer", b"y")
    assert (server.root / "a" / "newer").read_bytes() == b"y"


@blocking
def test_a_completion_is_compared_from_the_working_directory(server: Server) -> None:
    (server.root / "a").mkdir()
    with server.session() as session:
        ask(session, "cd a", CHANGED)
        with session.begin_put("f", 1) as data:
            data.sendall(b"x")
        session.send("Transfer complete: /a/f")
        session.expect("Transfer complete: f", "SUCCESS: File transferred successfully.")


@blocking
def test_directories(server: Server) -> None:
    with server.session() as session:
        ask(session, "mkdir d", MADE)
        ask(session, "mkdir d", EXISTS)
        ask(session, "mkdir d/e", MADE)
        ask(session, "mkdir none/e", MISSING)
        ask(session, "mkdir /", EXISTS)
        ask(session, "mkdir .ftplite-x", NOT_ALLOWED)
        ask(session, "rmdir d", NOT_EMPTY)
        ask(session, "rm d", IS_A_DIRECTORY)
        ask(session, "rmdir d/e", REMOVED)
        ask(session, "rmdir d/e", MISSING)
        session.put("d/f", b"x")
        ask(session, "rmdir d/f", NO_DIRECTORY)
        ask(session, "rm d/f", FILE_REMOVED)
        ask(session, "rm d/f", MISSING)
        ask(session, "rmdir d", REMOVED)
        ask(session, "rmdir /", DENIED)
    assert os.listdir(server.root) == []


@blocking
def test_renaming(server: Server) -> None:
    root = server.root
    (root / "d").mkdir()
    (root / "full").mkdir()
    (root / "full" / "f").write_bytes(b"deep")
    (root / "a b").write_bytes(b"1")
    (root / "c").write_bytes(b"2")
    with server.session() as session:
        ask(session, 'mv "a b" "c"', RENAMED)
        assert session.get("c") == b"1"
        ask(session, 'mv "c" "d"', IS_A_DIRECTORY)
        ask(session, 'mv "d" "full"', NOT_EMPTY)
        ask(session, 'mv "full" "d"', RENAMED)
        assert session.get("d/f") == b"deep"
        ask(session, 'mv "d" "d/e"', NOT_ALLOWED)
        ask(session, 'mv "none" "c"', MISSING)
        ask(session, 'mv "d" "c"', NO_DIRECTORY)
        ask(session, 'mv "/" "x"', DENIED)
        ask(session, 'mv "c" "/"', DENIED)
        ask(session, "mv c", SYNTAX)
        ask(session, 'mv "c" "/d/./c"', RENAMED)
    assert sorted(os.listdir(root / "d")) == ["c", "f"]


@blocking
def test_links_are_what_rm_and_mv_act_on(server: Server) -> None:
    root = server.root
    (root / "f").write_bytes(b"kept")
    (root / "d").mkdir()
    (root / "to-f").symlink_to("f")
    (root / "to-d").symlink_to("d")
    (root / "out").symlink_to("/etc/passwd")
    with server.session() as session:
        ask(session, "rm to-f", FILE_REMOVED)
        ask(session, "rmdir to-d", NO_DIRECTORY)
        ask(session, 'mv "to-d" "moved"', RENAMED)
        ask(session, "cd out", MISSING)
        ask(session, "rm out", FILE_REMOVED)
    assert (root / "f").read_bytes() == b"kept"
    assert os.readlink(root / "moved") == "d"
    assert Path("/etc/passwd").exists()


@blocking
def test_stat(server: Server) -> None:
    root = server.root
    (root / "f").write_bytes(b"12345")
    os.chmod(root / "f", 0o640)
    os.utime(root / "f", ns=(0, 1_763_816_400_123_456_789))
    (root / "to-f").symlink_to("f")
    (root / "nowhere").symlink_to("none")
    os.mkfifo(root / "fifo")
    described = ("File size: 5 bytes", "Modified: 2025-11-22T13:00:00.123456Z", "Mode: 0640", DESCRIBED)
    with server.session() as session:
        ask(session, "stat f", "Type: file", *described)
        ask(session, "stat to-f", "Type: file", "Link: yes", *described)
        for name, kind in (("/", "directory"), ("fifo", "other"), ("nowhere", "link")):
            session.send(f"stat {name}")
            session.expect(f"Type: {kind}")
            if kind == "link":
                session.expect("Link: yes")
            assert re.fullmatch(r"File size: \d+ bytes", session.line())
            assert session.line().startswith("Modified: 20")
            assert re.fullmatch(r"Mode: 0[0-7]{3}", session.line())
            session.expect(DESCRIBED)
        ask(session, "stat none", MISSING)
        ask(session, "stat f/none", NO_DIRECTORY)
        ask(session, "stat .ftplite-x", NOT_ALLOWED)


@pytest.mark.parametrize(
    "command", ["mkdir d", "rmdir e", "rm f", 'mv "f" "g"', "put f"], ids=lambda each: each.split()[0]
)
@blocking
def test_a_read_only_server(serve: Callable[..., Server], tmp_path: Path, command: str) -> None:
    root = tmp_path / "tree"
    (root / "e").mkdir(parents=True)
    (root / "f").write_bytes(b"x")
    with serve("--read-only").session() as session:
        ask(session, command, DENIED)
    assert sorted(os.listdir(root)) == ["e", "f"]


@blocking
def test_rmdir_takes_the_partials_along(server: Server) -> None:
    with server.session() as session:
        ask(session, "mkdir d", MADE)
        session.begin_put("d/f", 10).sendall(b"12345")
        session.send("FAILURE: Transfer cancelled.")
        session.expect("FAILURE: Transfer cancelled.")
        ask(session, "stat d/f", "Type: none", "Partial size: 5 bytes", DESCRIBED)
        eventually(lambda: os.listdir(server.root / "d"))
        ask(session, "rmdir d", REMOVED)
    assert os.listdir(server.root) == []


@blocking
def test_a_directory_that_is_gone_under_a_put(server: Server) -> None:
    with server.session() as session, server.session() as other:
        ask(session, "mkdir d", MADE)
        with session.begin_put("d/f", 3) as data:
            ask(other, "rmdir d", REMOVED)
            data.sendall(b"abc")
        session.send("Transfer complete: d/f")
        session.expect(MISSING)
        assert session.is_answered()
