"""Starting and stopping: `twistd ftplite` and `twist ftplite` as an operator sees them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import (
    OPENLY,
    TWISTD,
    Server,
    blocking,
    eventually,
    needs_root,
    outcome,
    own_network,
    twistd_command,
)
from raw import SHUTTING_DOWN, Session, closed_port

TWIST = ("twist", "--log-format=text")


# The start.


@pytest.mark.parametrize("program", [TWISTD, TWIST])
@blocking
def test_it_says_in_one_line_what_it_serves(serve: Callable[..., Server], program: tuple[str, ...]) -> None:
    server = serve(program=program)
    (line,) = [line for line in server.log if "FTPLite serves" in line]
    where = f"127.0.0.1:{server.address[1]}"
    assert line.endswith(
        f"FTPLite serves {server.root} at {where} to anyone on this machine, to read and write."
    )
    with server.session() as session:
        session.put("f", b"abc")
        assert session.get("f") == b"abc"
    server.terminate()
    server.wait_for_end()


@blocking
def test_it_says_whom_it_serves(serve: Callable[..., Server]) -> None:
    serve(*OPENLY, listen="tcp:0:interface=0.0.0.0").logged(
        r"at 0\.0\.0\.0:\d+ to anyone who can reach it, to read and write"
    )
    serve("--read-only", listen=r"tcp6:0:interface=\:\:1").logged(
        r"at \[::1\]:\d+ to anyone on this machine, to read\."
    )


@needs_root
@blocking
def test_by_default_it_serves_this_folder_on_loopback(tmp_path: Path) -> None:
    """In a network of its own, where port 2121 is free."""
    (tmp_path / "here").touch()
    with own_network() as inside:
        command = [*inside, *twistd_command()]
        with subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as server:
            try:
                assert server.stdout is not None
                line = next(line for line in server.stdout if b"FTPLite serves" in line).decode()
            finally:
                server.kill()
    assert (
        f"FTPLite serves {tmp_path} at 127.0.0.1:2121 to anyone on this machine, to read and write." in line
    )


@pytest.fixture
def taken() -> int:
    """A port that somebody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--wrong"], "wrong"),
        (["extra"], ""),
        (["--idle-timeout", "soon"], "idle-timeout|soon"),
        (["--idle-timeout", "0"], "above 0"),
        (["--idle-timeout", "-1"], "above 0"),
        (["--stall-timeout", "nan"], "nan"),
        (["--connect-timeout", "inf"], "inf"),
        (["--max-sessions", "1.5"], "1.5"),
        (["--max-sessions", "0"], "above 0"),
        (["--max-file-size", "1e6"], "1e6"),
        (["--umask", "9"], "9"),
        (["--root", "{tmp}/missing"], "missing does not exist"),
        (["--root", "{tmp}/file"], "is not a folder"),
        (["--listen", "tcp:{taken}:interface=127.0.0.1"], "stop what has the port|in use"),
        (["--listen", "tcp:0:interface=127.0.0.1", "--listen", "tcp:{taken}:interface=127.0.0.1"], "{taken}"),
        (["--listen", "tcp:0:interface=203.0.113.77"], "203.0.113.77"),
        (["--listen", "gopher:70"], "gopher"),
        (["--listen", "tcp:many"], "many"),
        (["--listen", "tcp"], "tcp"),
        (["--listen", ""], "listen"),
        (["--listen", "systemd:domain=INET:index=0"], "systemd"),
    ],
)
@blocking
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, taken: int, options: list[str], word: str) -> None:
    (tmp_path / "file").touch()
    words = [each.format(tmp=tmp_path, taken=taken) for each in options]
    if "--root" not in words:
        words[:0] = ["--root", str(tmp_path)]
    if "--listen" not in words:
        words[:0] = ["--listen", "tcp:0:interface=127.0.0.1"]
    # twist goes the same way from the options on; two of them will do.
    for program in (TWISTD, TWIST) if word in ("wrong", "{taken}") else (TWISTD,):
        status, said = outcome(*words, program=program, cwd=tmp_path)
        assert (status, len(said)) == (1, 1), said
        assert re.search(word.format(taken=taken), said[0]), said


@pytest.mark.parametrize(
    ("program", "what"),
    [
        (("twistd", "-n"), "twistd.pid"),
        (("twistd", "-n", "--pidfile={tmp}/d/x.pid"), "x.pid"),
        (("twistd", "-n", "--pidfile=d/../x.pid"), "x.pid"),
        (("twistd", "-n", "--pidfile=", "--logfile={tmp}/d/x.log"), "x.log"),
        (("twistd", "--pidfile="), "twistd.log"),
        (("twistd", "--pidfile=", "--logfile=x.log"), "x.log"),
        (("twistd", "-n", "--rundir={tmp}/d"), "twistd.pid"),
        (("twist", "--log-file={tmp}/x.log"), "x.log"),
    ],
)
@blocking
def test_no_file_of_its_own_in_the_served_tree(tmp_path: Path, program: tuple[str, ...], what: str) -> None:
    (tmp_path / "d").mkdir()
    words = tuple(each.format(tmp=tmp_path) for each in program)
    options = ("--root", str(tmp_path), "--listen", "tcp:0:interface=127.0.0.1")
    status, said = outcome(*options, program=words, cwd=tmp_path)
    assert status == 1
    assert len(said) == 1, said
    assert what in said[0]
    assert "would lie inside the served tree" in said[0]
    assert os.listdir(tmp_path / "d") == []


@blocking
def test_as_a_daemon(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    with closed_port() as port:
        pass
    pid_file, log_file = tmp_path / "pid", tmp_path / "log"
    program = ("twistd", f"--pidfile={pid_file}", f"--logfile={log_file}")
    options = ("--root", str(root), "--listen", f"tcp:{port}:interface=127.0.0.1")
    status, said = outcome(*options, program=program)
    assert (status, said) == (0, [])
    pid = eventually(lambda: pid_file.exists() and pid_file.read_text().strip())
    try:
        eventually(lambda: f"FTPLite serves {root} at 127.0.0.1:{port}" in log_file.read_text())
        with Session(("127.0.0.1", port)) as session:
            session.put("f", b"abc")
            assert session.get("f") == b"abc"
            session.send("ls d")
            session.expect("FAILURE: File not found.")
            # Taken: said by the one who would fork, before it forks.
            again, said = outcome(*options, program=("twistd", "--pidfile=/tmp/none", "--logfile=/dev/null"))
            assert (again, len(said)) == (1, 1)
            os.kill(int(pid), signal.SIGTERM)
            session.expect(SHUTTING_DOWN)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGTERM)
    eventually(lambda: not pid_file.exists())
    assert os.listdir(root) == ["f"]


@blocking
def test_sessions_are_lowered_to_what_the_system_allows(serve: Callable[..., Server]) -> None:
    server = serve(before=["prlimit", "--nofile=256:812"])
    server.logged(r"--max-sessions is lowered from 1000 to 100\b.* 812 ")
    limits = Path(f"/proc/{server.pid}/limits").read_text()
    assert "Max open files            812                  812 " in limits
    few = serve("--max-sessions", "100", before=["prlimit", "--nofile=256:812"])
    assert not [line for line in few.log if "--max-sessions" in line]
