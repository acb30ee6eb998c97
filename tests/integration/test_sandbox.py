"""The server kept to its files by the kernel: what it still does, and what it cannot do."""

from __future__ import annotations

import contextlib
import os
import signal
import ssl
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import argon2
import pytest
from harness import Server, blocking, eventually, names_in, needs_root, outcome
from raw import Session, closed_port

from twisted_ftplite.server import sandbox
from twisted_ftplite.server.certificates import make_self_signed

needs_landlock = pytest.mark.skipif(sandbox.version() < sandbox.OLDEST, reason="needs a kernel with Landlock")
BIG = 3 << 20
"""Bytes of an upload that has a partial."""

_NO_LANDLOCK = """
import ctypes, os, struct, sys
libc = ctypes.CDLL(None)
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in steps))
program = struct.pack("@HP", len(steps), ctypes.addressof(code))
assert not libc.prctl(38, 1, 0, 0, 0)
assert not libc.prctl(22, 2, ctypes.c_char_p(program), 0, 0), "seccomp"
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Runs a command in a kernel that seems to have no Landlock: a filter answers ENOSYS."""

_PROBED = """
import os, sys, threading
from twisted.internet import reactor
from twisted.scripts.twistd import run

def tries(who):
    for what, attempt in {
        "reads": lambda: os.close(os.open(secret, os.O_RDONLY)),
        "writes": lambda: os.close(os.open(secret, os.O_WRONLY)),
        "makes": lambda: os.close(os.open(secret + who, os.O_WRONLY | os.O_CREAT)),
        "lists": lambda: os.listdir("/"),
    }.items():
        try:
            attempt()
        except OSError as error:
            print(who, what, error.strerror, flush=True)
        else:
            print(who, what, "all right", flush=True)

def begin():
    loaded.update(sys.modules)
    tries("reactor")
    threading.Thread(target=tries, args=["thread"]).start()
    1 / 0

secret, loaded = sys.argv[1], set()
sys.argv = sys.argv[2:]
reactor.callWhenRunning(reactor.callLater, 0, begin)
reactor.addSystemEventTrigger(
    "after", "shutdown", lambda: print("late:", sorted(set(sys.modules) - loaded), flush=True)
)
run()
"""
"""twistd with something inside that tries what a server taken over would try."""


def use(server: Server) -> None:
    """All that a server does with files."""
    with server.session() as session:
        session.put("small", b"abc")
        session.put("big", b"x" * BIG)
        session.put("small", b"abcd")
        assert (session.get("small"), len(session.get("big"))) == (b"abcd", BIG)
        for command in (
            "mkdir a",
            "mkdir b",
            'mv "small" "a/small"',
            'mv "a" "b/a"',
            'mv "big" "b/a/small"',
            "mkdir c",
            "rmdir c",
        ):
            session.send(command)
            assert session.line().startswith("SUCCESS"), command
        session.send("checksum b/a/small")
        assert session.line().startswith("Checksum: ")
        assert session.line().startswith("SUCCESS")
        assert session.ls("b/a") == [b"small"]
        session.begin_put("b/part", BIG).sendall(b"y" * (BIG // 2))
        session.send("FAILURE: Transfer cancelled.")
        session.expect("FAILURE: Transfer cancelled.")
        session.send("stat b/part", "rm b/a/small")
        for beginning in ("Type: none", "Partial size: ", "SUCCESS", "SUCCESS"):
            line = session.line()
            assert line.startswith(beginning), line
        assert [each.rstrip(b"/") for each in session.ls()] == [b"b"]


@needs_landlock
@blocking
def test_all_that_a_server_does(serve: Callable[..., Server]) -> None:
    server = serve("--sandbox", "on")
    use(server)
    assert names_in(server.root) == ["b"]
    server.terminate()
    server.wait_for_end()
    assert not [line for line in server.log if "keep the server" in line]


def probed(serve: Callable[..., Server], secret: Path, *options: str) -> Server:
    """A server with something inside that tries to reach a file outside."""
    secret.touch()
    server = serve(*options, before=[sys.executable, "-c", _PROBED, str(secret)])
    server.logged("thread lists")
    return server


@needs_landlock
@blocking
def test_a_server_taken_over(serve: Callable[..., Server], tmp_path: Path) -> None:
    """Neither its own thread nor one that starts later reaches a file outside the tree."""
    server = probed(serve, tmp_path / "secret", "--sandbox", "on")
    tried = [line for line in server.log if " reads " in line or " writes " in line or " makes " in line]
    tried += [line for line in server.log if " lists " in line]
    assert len(tried) == 8
    assert all(line.endswith("Permission denied") for line in tried), tried
    # What goes wrong is told with its source.
    server.logged("ZeroDivisionError")
    server.logged("call.func")
    assert sorted(os.listdir(tmp_path)) == ["secret", "tree"]
    server.log.clear()


@blocking
def test_a_server_taken_over_that_is_not_kept(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = probed(serve, tmp_path / "secret", "--sandbox", "off")
    assert len([line for line in server.log if line.endswith("all right")]) == 8
    server.logged("ZeroDivisionError")
    server.log.clear()


@needs_landlock
@blocking
def test_nothing_is_imported_late(serve: Callable[..., Server], tmp_path: Path) -> None:
    """Whom twistd becomes may not be able to read Python itself."""
    server = probed(serve, tmp_path / "secret", "--sandbox", "on")
    use(server)
    server.terminate()
    server.wait_for_end()
    server.logged(r"late: \[\]")
    server.log.clear()


@needs_landlock
@blocking
def test_the_log_and_the_pid_of_a_daemon(tmp_path: Path) -> None:
    for each in ("tree", "log", "run"):
        (tmp_path / each).mkdir()
    log, pid_file = tmp_path / "log" / "log", tmp_path / "run" / "pid"
    with closed_port() as port:
        pass
    options = ("--root", str(tmp_path / "tree"), "--listen", f"tcp:{port}:interface=127.0.0.1")
    program = ("twistd", f"--pidfile={pid_file}", f"--logfile={log}")
    assert outcome(*options, "--sandbox", "on", program=program) == (0, [])
    pid = int(eventually(lambda: pid_file.exists() and pid_file.read_text().strip()))
    try:
        eventually(lambda: "FTPLite serves" in log.read_text())
        os.kill(pid, signal.SIGUSR1)  # twistd puts its log away
        eventually(lambda: (tmp_path / "log" / "log.1").exists())
        with Session(("127.0.0.1", port)) as session:
            session.put("f", b"abc")
        eventually(lambda: "put f SUCCESS" in log.read_text())
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    eventually(lambda: not pid_file.exists())
    assert "Traceback" not in log.read_text()


def users(file: Path, *names: str) -> None:
    """Write a users file beside it and put that in its place, as editors do."""
    cheap = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    new = file.with_name("new")
    new.write_text("".join(f"{name} {cheap.hash(name + '-secret')}\n" for name in names))
    new.chmod(0o600)
    os.chown(new, file.parent.stat().st_uid, -1)
    new.rename(file)


def log_in(server: Server, name: str, tls: ssl.SSLContext) -> str:
    """What a login comes to, inside TLS."""
    with server.session() as session:
        session.send("starttls")
        session.expect("SUCCESS: Begin TLS.")
        session.socket = tls.wrap_socket(session.socket)
        with session.socket:
            session.send(f"login {name}", f"password {name}-secret")
            session.expect("SUCCESS: Password required.")
            return session.line()


def check_reading_again(serve: Callable[..., Server], folder: Path, owner: int, **how: Any) -> None:
    """Users and certificate are read again on SIGHUP, and nothing is imported on the way."""
    for each in ("tree", "etc", "tls", "secret"):
        (folder / each).mkdir()
        os.chown(folder / each, owner, -1)
    users(folder / "etc" / "users", "alice")
    server = serve(
        *("--sandbox", "on", "--users", str(folder / "etc" / "users")),
        *("--tls", "self", "--tls-folder", str(folder / "tls")),
        root=folder / "tree",
        before=[sys.executable, "-c", _PROBED, str(folder / "secret" / "f")],
        **how,
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    assert log_in(server, "alice", tls) == "SUCCESS: Logged in."
    assert log_in(server, "bob", tls) == "FAILURE: Login failed."
    first = server.logged(r"sha256:(\w+)")[1]
    users(folder / "etc" / "users", "bob")
    for each in (folder / "tls").iterdir():
        if each.is_file():
            each.unlink()
    for each in make_self_signed(str(folder / "tls"), ["localhost"]):
        os.chown(each, owner, -1)
    server.log.clear()
    os.kill(server.pid, signal.SIGHUP)
    assert server.logged(r"certificate was read again.*sha256:(\w+)")[1] != first
    server.logged("users were read again")
    assert log_in(server, "alice", tls) == "FAILURE: Login failed."
    assert log_in(server, "bob", tls) == "SUCCESS: Logged in."
    (folder / "etc" / "users").write_text("bob nonsense\n")
    os.kill(server.pid, signal.SIGHUP)
    server.logged("users stay as they were: .*line 1")
    assert log_in(server, "bob", tls) == "SUCCESS: Logged in."
    server.terminate()
    server.wait_for_end()
    server.logged(r"late: \[\]")
    server.log.clear()


@needs_landlock
@blocking
def test_reading_again(serve: Callable[..., Server], tmp_path: Path) -> None:
    check_reading_again(serve, tmp_path, os.geteuid())


@needs_landlock
@blocking
def test_the_roots_of_users(serve: Callable[..., Server], tmp_path: Path) -> None:
    """Those that are there at the start are served; later ones want a start anew."""
    for each in ("etc", "home", "later", "tree", "tree/deep"):
        (tmp_path / each).mkdir()
    file = tmp_path / "etc" / "users"
    users(file, "alice")
    alice = file.read_text().rstrip()
    file.write_text(f"{alice} root={tmp_path}/home\n")
    server = serve("--sandbox", "on", "--users", str(file))
    with server.session() as session:
        session.send("login alice", "password alice-secret")
        session.expect("SUCCESS: Password required.", "SUCCESS: Logged in.")
        session.put("f", b"x" * BIG)
        assert names_in(tmp_path / "home") == ["f"]
        for root, answer in (("later", "stay as they were: .* outside the sandbox"), ("etc", "inside the")):
            file.write_text(f"{alice} root={tmp_path}/{root}\n")
            os.kill(server.pid, signal.SIGHUP)
            server.logged(answer)
        assert session.get("f") == b"x" * BIG
        file.write_text(f"{alice} root=deep\n")
        os.kill(server.pid, signal.SIGHUP)
        server.logged("users were read again")
    with server.session() as session:
        session.send("login alice", "password alice-secret")
        session.expect("SUCCESS: Password required.", "SUCCESS: Logged in.")
        session.put("g", b"abc")
    assert names_in(tmp_path / "tree" / "deep") == ["g"]
    server.log.clear()  # of errors that were wanted


# Where it cannot be had.


@blocking
def test_without_landlock(serve: Callable[..., Server], tmp_path: Path) -> None:
    kernel = [sys.executable, "-c", _NO_LANDLOCK]
    server = serve(before=kernel)
    use(server)
    server.logged(r"does not keep the server to its files: it has no Landlock")
    silent = serve("--sandbox", "off", before=kernel, root=tmp_path)
    assert not [line for line in silent.log if "keep the server" in line]


@pytest.mark.parametrize("daemon", [False, True])
@blocking
def test_demanded_without_landlock(tmp_path: Path, daemon: bool) -> None:
    (tmp_path / "tree").mkdir()
    program = (
        "twistd",
        *([] if daemon else ["-n"]),
        f"--pidfile={tmp_path}/pid",
        f"--logfile={tmp_path}/log",
    )
    options = ("--root", str(tmp_path / "tree"), "--listen", "tcp:0:interface=127.0.0.1", "--sandbox", "on")
    status, said = outcome(*options, program=program, before=[sys.executable, "-c", _NO_LANDLOCK])
    assert (status, len(said)) == (1, 1), said
    assert "--sandbox on: " in said[0]
    assert "no Landlock" in said[0]
    assert not (tmp_path / "pid").exists()


_THREADED = """
import sys, threading
from twisted.scripts.twistd import run
sys.argv = sys.argv[1:]
threading.Thread(target=threading.Event().wait, daemon=True).start()
run()
"""


@needs_landlock
@blocking
def test_demanded_too_late(tmp_path: Path) -> None:
    """Threads that were there before would not be kept."""
    options = ("--root", str(tmp_path), "--listen", "tcp:0:interface=127.0.0.1", "--sandbox", "on")
    status, said = outcome(*options, before=[sys.executable, "-c", _THREADED])
    assert status == 1
    assert [line for line in said if "there are threads already" in line] == [said[-1]]
    assert not [line for line in said if "Traceback" in line or "FTPLite serves" in line]


# Whom twistd becomes.


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that anybody can reach."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@needs_root
@needs_landlock
@pytest.mark.parametrize("mode", ["on", "off"])
@blocking
def test_as_somebody_else(serve: Callable[..., Server], open_folder: Path, mode: str) -> None:
    root = open_folder / "tree"
    root.mkdir()
    os.chown(root, 65534, 65534)
    program = ("twistd", "-n", "--pidfile=", "--uid=65534", "--gid=65534")
    server = serve("--sandbox", mode, "--anonymous", "write", root=root, listen="tcp:0", program=program)
    use(server)
    assert (root / "b").stat().st_uid == 65534
    status = Path(f"/proc/{server.pid}/status").read_text()
    assert "Uid:\t65534\t65534\t65534\t65534" in status
    assert not [line for line in server.log if "runs as root" in line]
    server.terminate()
    server.wait_for_end()


@needs_root
@needs_landlock
@blocking
def test_reading_again_as_somebody_else(serve: Callable[..., Server], open_folder: Path) -> None:
    program = ("twistd", "-n", "--pidfile=", "--uid=65534", "--gid=65534")
    check_reading_again(serve, open_folder, 65534, program=program)
