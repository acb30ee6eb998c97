"""Starting and stopping: `twistd ftplite` and `twist ftplite` as an operator sees them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Server, blocking, eventually, own_network, needs_root, twistd_command
from raw import TIMED_OUT, TO_RECEIVE, TO_SEND, TRANSFERRED, Session, closed_port, read_all

SHUTTING_DOWN = "ERROR: Server shutting down."
TWISTD = ("twistd", "-n", "--pidfile=")
TWIST = ("twist", "--log-format=text")


# The start.


@pytest.mark.parametrize("program", [TWISTD, TWIST])
@blocking
def test_it_says_in_one_line_what_it_serves(serve: Callable[..., Server], program: tuple[str, ...]) -> None:
    server = serve(program=program)
    (line,) = [line for line in server.log if "FTPLite serves" in line]
    said = f"FTPLite serves {server.root} at 127.0.0.1:{server.address[1]} to anyone on this machine, to read and write."
    assert line.endswith(said)
    with server.session() as session:
        session.put("f", b"abc")
        assert session.get("f") == b"abc"
    server.terminate()
    server.wait_for_end()


@blocking
def test_it_says_whom_it_serves(serve: Callable[..., Server]) -> None:
    serve(listen="tcp:0:interface=0.0.0.0").logged(r"at 0\.0\.0\.0:\d+ to anyone who can reach it, to read and write")
    serve("--read-only", listen=r"tcp6:0:interface=\:\:1").logged(r"at \[::1\]:\d+ to anyone on this machine, to read\.")


@needs_root
@blocking
def test_by_default_it_serves_this_folder_on_loopback(tmp_path: Path) -> None:
    """In a network of its own, where port 2121 is free."""
    (tmp_path / "here").touch()
    with own_network() as inside:
        command = [*inside, *twistd_command()]
        with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
            try:
                assert server.stdout is not None
                line = next(line for line in server.stdout if b"FTPLite serves" in line).decode()
            finally:
                server.kill()
    assert f"FTPLite serves {tmp_path} at 127.0.0.1:2121 to anyone on this machine, to read and write." in line


def outcome(
    *options: str, program: tuple[str, ...] = TWISTD, cwd: str | Path = "/"
) -> tuple[int, list[str]]:
    """Exit status of a server that does not start, and the lines it says."""
    said = subprocess.run(
        twistd_command(*options, program=program),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=20,
        check=False,
    )
    return said.returncode, said.stdout.splitlines()


@pytest.fixture
def taken() -> int:
    """A port that somebody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


@pytest.mark.parametrize("program", [TWISTD, TWIST])
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
def test_what_is_wrong_is_said_in_one_line(
    tmp_path: Path, taken: int, program: tuple[str, ...], options: list[str], word: str
) -> None:
    (tmp_path / "file").touch()
    words = [each.format(tmp=tmp_path, taken=taken) for each in options]
    if "--root" not in words:
        words[:0] = ["--root", str(tmp_path)]
    if "--listen" not in words:
        words[:0] = ["--listen", "tcp:0:interface=127.0.0.1"]
    status, said = outcome(*words, program=program, cwd=tmp_path)
    assert status == 1
    said = [line for line in said if "twist" not in line.split("[")[-1].split("#")[0] or "ftplite:" in line]
    assert len(said) == 1, said
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
    said = [line for line in said if "ftplite:" in line] if program[0] == "twist" else said
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


# Ways to listen.


@blocking
def test_several_endpoints(serve: Callable[..., Server]) -> None:
    server = serve("--listen", r"tcp6:0:interface=\:\:1", listen="tcp:0:interface=127.0.0.2")
    port = int(server.logged(r"\[::1\]:(\d+)")[1])
    with server.session() as session:
        session.put("f", b"abc")
    server.address = ("::1", port)
    with server.session() as session:
        assert session.get("f") == b"abc"


_ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""


@blocking
def test_a_socket_from_systemd(serve: Callable[..., Server]) -> None:
    with socket.socket() as passed:
        passed.bind(("127.0.0.1", 0))
        passed.listen()
        server = serve(
            listen="systemd:domain=INET:index=0",
            before=[sys.executable, "-c", _ACTIVATE, str(passed.fileno())],
            pass_fds=[passed.fileno()],
        )
        assert server.address == passed.getsockname()
    with server.session() as session, server.session() as other:
        session.put("f", b"abc")
        assert other.get("f") == b"abc"
        session.send("get f")
        session.expect(TO_SEND)
        session.send(f"Data channel port: {server.address[1]}")
        session.expect("ERROR: Port not allowed.")


HEADER = b"PROXY TCP4 203.0.113.%d 203.0.113.1 50000 2121\r\n"


@blocking
def test_behind_a_proxy(serve: Callable[..., Server]) -> None:
    server = serve("--max-sessions-per-host", "2", listen="haproxy:tcp:0:interface=127.0.0.1")
    server.logged("to anyone who can reach it")
    (server.root / "f").write_bytes(b"abc")
    with contextlib.ExitStack() as clients:
        session = clients.enter_context(server.session(first=HEADER % 7))
        session.send("noop", "get f", "Data channel port: 5000", "ls", "put g", "get none", "noop")
        session.expect("SUCCESS: Nothing done.")
        session.expect(*["FAILURE: Not supported."] * 3, "FAILURE: File not found.", "SUCCESS: Nothing done.")
        server.logged(r" 203\.0\.113\.7:50000 noop \. SUCCESS")
        another = clients.enter_context(server.session(first=HEADER % 7))
        assert another.is_answered()
        third = clients.enter_context(server.session(first=HEADER % 7))
        third.send("noop")
        third.expect("ERROR: Too many connections.")
        assert third.ended()
        elsewhere = clients.enter_context(server.session(first=HEADER % 8))
        assert elsewhere.is_answered()
        session.send("quit")
        session.expect("SUCCESS: Goodbye.")
        session.socket.settimeout(2)
        assert session.ended()
        session.socket.close()

        def is_let_in() -> bool:
            with server.session(first=HEADER % 7) as later:
                later.send("noop")
                return later.line().startswith("SUCCESS")

        eventually(is_let_in)


@blocking
def test_a_megabyte_of_newlines_behind_a_proxy(serve: Callable[..., Server]) -> None:
    server = serve(listen="haproxy:tcp:0:interface=127.0.0.1")
    with server.session(first=HEADER % 7) as session:
        began = server.cpu()
        with contextlib.suppress(ConnectionError):
            session.socket.sendall(b"\n" * (1 << 20))
        eventually(lambda: server.cpu() > began)
        with server.session(first=HEADER % 8) as other:
            assert other.is_answered()
        assert server.cpu() - began < 1


# The end.


@blocking
def test_sigterm_lets_transfers_finish(serve: Callable[..., Server]) -> None:
    server = serve()
    size = 64 << 20
    with open(server.root / "big", "wb") as file:
        file.truncate(size)
    with server.session() as idle, server.session() as getting, server.session() as putting, server.session() as due:
        sent = putting.begin_put("new", 2_000_000)
        sent.sendall(b"n" * 1_000_000)
        received = getting.begin_get("big", size)
        getting.send("Transfer complete: big", "noop")
        due.send("put other")
        due.expect(TO_RECEIVE)
        server.terminate()
        idle.expect(SHUTTING_DOWN)
        assert idle.ended()
        due.expect(SHUTTING_DOWN)
        assert due.ended()
        with pytest.raises(ConnectionRefusedError):
            server.session()
        sent.sendall(b"n" * 1_000_000)
        sent.close()
        putting.send("Transfer complete: new")
        putting.expect("Transfer complete: new", TRANSFERRED, SHUTTING_DOWN)
        assert putting.ended()
        assert len(read_all(received)) == size
        getting.expect("Transfer complete: big", TRANSFERRED, SHUTTING_DOWN)
        assert getting.ended()
    server.wait_for_end()
    assert sorted(os.listdir(server.root)) == ["big", "new"]
    assert (server.root / "new").read_bytes() == b"n" * 2_000_000


@blocking
def test_sigterm_with_nobody_there_is_quick(serve: Callable[..., Server]) -> None:
    server = serve()
    with server.session() as session:
        assert session.is_answered()
    began = time.monotonic()
    server.terminate()
    server.wait_for_end()
    assert time.monotonic() - began < 2


@blocking
def test_what_does_not_finish_in_time_is_told(serve: Callable[..., Server]) -> None:
    server = serve("--drain-timeout", "0.5")
    size = 64 << 20
    with open(server.root / "big", "wb") as file:
        file.truncate(size)
    (server.root / "f").write_bytes(b"old")
    with server.session() as getting, server.session() as putting:
        received = getting.begin_get("big", size)
        sent = putting.begin_put("f", 1_000_000)
        sent.sendall(b"n" * 500_000)
        began = time.monotonic()
        server.terminate()
        getting.expect(SHUTTING_DOWN)
        putting.expect(SHUTTING_DOWN)
        assert 0.4 < time.monotonic() - began < 2
        assert getting.ended()
        assert putting.ended()
        with pytest.raises(ConnectionResetError):
            read_all(received)
    server.wait_for_end()
    assert sorted(os.listdir(server.root)) == ["big", "f"]
    assert (server.root / "f").read_bytes() == b"old"


@blocking
def test_peers_that_do_not_read_cannot_hold_it(serve: Callable[..., Server]) -> None:
    server = serve("--drain-timeout", "0.5")
    with server.session(receive_buffer=4096) as session:
        session.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            while True:
                session.socket.send(b"help\n" * 5000)
        server.terminate()
        server.wait_for_end(15)


@blocking
def test_a_crash_leaves_nothing_that_is_listed(serve: Callable[..., Server]) -> None:
    server = serve()
    (server.root / "f").write_bytes(b"old")
    with server.session() as session:
        data = session.begin_put("f", 1_000_000)
        data.sendall(b"n" * 900_000)
        eventually(lambda: _arrived(server, 400_000))
        server.process.kill()
        assert session.ended()
    again = serve(root=server.root)
    with again.session() as session:
        assert session.ls() == [b"f"]
        assert session.get("f") == b"old"
    assert os.listdir(server.root) == ["f"]


def _arrived(server: Server, size: int) -> bool:
    """Whether a file without a name has grown so large."""
    folder = Path(f"/proc/{server.pid}/fd")
    with contextlib.suppress(OSError):
        return any(
            os.stat(each).st_size >= size for each in folder.iterdir() if os.readlink(each).endswith(" (deleted)")
        )
    return False


# The clock.


def test_timers_run_on_a_clock_that_nobody_sets(tmp_path: Path) -> None:
    script = (
        "import time; from twisted_ftplite.tap import Options, makeService; from twisted.internet import reactor;"
        "options = Options(); options.parseOptions(['--root', '.', '--listen', 'tcp:0:interface=127.0.0.1']);"
        "makeService(options); assert abs(reactor.seconds() - time.monotonic()) < 1"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)


def _faketime() -> str:
    found = list(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    return str(found[0]) if found else ""


@pytest.mark.skipif(not _faketime(), reason="needs libfaketime")
@pytest.mark.parametrize("step", ["+7200", "-7200"])
@blocking
def test_a_step_of_the_clock_neither_fires_nor_freezes_a_timer(
    serve: Callable[..., Server], tmp_path: Path, step: str
) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0")
    environment = {
        **os.environ,
        "LD_PRELOAD": _faketime(),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    server = serve("--idle-timeout", "2", env=environment)
    with server.session() as session:
        data = session.begin_put("f", 3)
        clock.write_text(step)
        assert session.waits(1)
        data.sendall(b"abc")
        data.close()
        session.send("Transfer complete: f")
        session.expect("Transfer complete: f", TRANSFERRED)
        began = time.monotonic()
        session.expect(TIMED_OUT)
        assert 1.9 < time.monotonic() - began < 3
    shown = [line[:13] for line in server.log if " put f SUCCESS" in line]
    assert shown != [time.strftime("%Y-%m-%dT%H", time.gmtime())]  # the step did reach the process
