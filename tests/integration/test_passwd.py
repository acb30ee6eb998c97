"""`ftplite-passwd` as people and scripts use it: a real process, at a real terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import subprocess
import sys
from pathlib import Path

import argon2
import pytest
from harness import SCRIPTS, eventually
from raw import PATIENCE

from twisted_ftplite.server.users import read_users

PASSWD = str(SCRIPTS / "ftplite-passwd")


def verify(file: Path, name: str, password: str) -> None:
    secret = read_users(str(file))[name].secret
    assert secret is not None
    argon2.PasswordHasher().verify(secret, password)


def test_at_a_terminal_nothing_is_shown(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    with open(master, "r+b", buffering=0) as terminal:
        # setsid -c makes it the controlling terminal, at which passwords are asked for.
        process = subprocess.Popen(
            ["setsid", "-c", PASSWD, "users", "alice"], cwd=tmp_path, stdin=slave, stdout=slave, stderr=slave
        )
        os.close(slave)
        seen = b""
        for question in (b"Password of alice: ", b"Once more: "):
            while not seen.endswith(question):
                seen += terminal.read(1000)
            terminal.write(b"sesame open\n")
        while not seen.endswith(b"added\r\n"):
            seen += terminal.read(1000)
        assert process.wait(PATIENCE) == 0
    assert seen == b"Password of alice: \r\nOnce more: \r\nusers: alice was added\r\n"
    verify(tmp_path / "users", "alice", "sesame open")


def test_from_a_script_one_waits_for_the_other(tmp_path: Path) -> None:
    """What another of its kind changes meanwhile is not lost."""
    file = tmp_path / "users"
    held = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with subprocess.Popen([PASSWD, file, "bob", "--stdin"], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"sesame\n")
        process.stdin.flush()

        def waits() -> bool:
            """The kernel lists who waits for a lock behind an arrow."""
            lines = Path("/proc/locks").read_text().splitlines()
            return any("->" in line and str(process.pid) in line.split() for line in lines)

        eventually(waits)
        file.write_text("alice -\n")
        os.close(held)
        assert process.wait(PATIENCE) == 0
    assert list(read_users(str(file))) == ["alice", "bob"]
    verify(file, "bob", "sesame")


@pytest.mark.parametrize("closed", [0, 1])
def test_a_closed_standard_stream(closed: int, tmp_path: Path) -> None:
    redirect = "<&-" if closed == 0 else ">&-"
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" users alice --stdin {redirect}', PASSWD],
        cwd=tmp_path,
        input=b"sesame\n",
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    if closed == 0:
        assert (done.returncode, done.stderr) == (4, b"ftplite-passwd: standard input: Bad file descriptor\n")
    else:
        assert (done.returncode, done.stderr) == (0, b"")


def test_it_never_sees_twisted() -> None:
    code = "import sys, twisted_ftplite.passwd; sys.exit('twisted' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=PATIENCE, check=False).returncode == 0
