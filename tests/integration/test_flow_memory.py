"""However slow one side is, the other holds little: at most 8 MiB above rest for a transfer."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import BIG, SCRIPTS, Server, blocking, make_big
from pki import server_files, trusting
from raw import TO_RECEIVE, TO_SEND, Session, finish

MIB = 1 << 20
MOST = 8 * MIB
LONG = 0.5
"""Seconds in which a side that does not hold would take many times that."""

SLOW_DISK = ("python", "-m", "benchmarks.slow_disk", str(4 * MIB), "-n", "--pidfile=")
"""A server whose disk takes 4 MiB a second."""

TOKENS = "0123456789abcdef", "fedcba9876543210"


@contextlib.contextmanager
def bounded(pid: int) -> Iterator[None]:
    """The most that a process has held meanwhile is little more than it has now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # its peak is what it has now
    rest = peak(pid)
    yield
    assert peak(pid) - rest < MOST, f"{(peak(pid) - rest) / MIB:.1f} MiB"


def peak(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


@contextlib.contextmanager
def begin(session: Session, command: str, answer: str, *fields: str, secure: bool) -> Iterator[socket.socket]:
    """The data channel of a transfer, its tokens and TLS done."""
    if not secure:
        with session.begin(command, answer, *fields) as plain:
            yield plain
        return
    token = f"Data channel token: {''.join(TOKENS)}"
    with session.wrap(session.begin(command, answer, token, *fields)) as data:
        data.sendall(f"Data channel token: {TOKENS[0]}\n".encode())
        while data.recv(1) != b"\n":
            pass
        yield data


def warm(server: Server, *, secure: bool = False) -> Session:
    """A session in which something has moved both ways."""
    session = server.session()
    if secure:
        session.starttls(trusting())
    (server.root / "small").write_bytes(bytes(300_000))
    for command, answer, fields in (
        ("get small", TO_SEND, ()),
        ("put new", TO_RECEIVE, ("File size: 300000 bytes",)),
    ):
        with begin(session, command, answer, *fields, secure=secure) as data:
            if answer is TO_SEND:
                while data.recv(MIB):
                    pass
            else:
                data.sendall(bytes(300_000))
                finish(data)
        session.send(f"Transfer complete: {command.split()[1]}")
        while not session.line().startswith("SUCCESS: File"):
            pass
    return session


def read_slowly(data: socket.socket) -> None:
    """1 kB a second."""
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        assert data.recv(100)
        time.sleep(0.1)


def push(data: socket.socket) -> None:
    """As fast as it goes."""
    with contextlib.suppress(OSError):
        data.settimeout(LONG)
        end = time.monotonic() + LONG
        while time.monotonic() < end:
            data.send(bytes(MIB))


@pytest.mark.parametrize("secure", [False, True], ids=["in the clear", "inside TLS"])
@blocking
def test_a_slow_reader(serve: Callable[..., Server], tmp_path: Path, secure: bool) -> None:
    server = serve(*server_files(tmp_path))
    make_big(server.root)
    with warm(server, secure=secure) as session:
        rest = bounded(server.pid)
        with rest, begin(session, "get big", TO_SEND, secure=secure) as data:
            read_slowly(data)


@pytest.mark.parametrize("secure", [False, True], ids=["in the clear", "inside TLS"])
@blocking
def test_a_slow_disk(serve: Callable[..., Server], tmp_path: Path, secure: bool) -> None:
    paths = os.pathsep.join([str(Path(__file__).resolve().parents[2] / each) for each in ("scripts", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    server = serve(*server_files(tmp_path), program=SLOW_DISK, env=environment)
    with warm(server, secure=secure) as session:
        size, rest = f"File size: {BIG} bytes", bounded(server.pid)
        with rest, begin(session, "put up", TO_RECEIVE, size, "Checksum: xxh128", secure=secure) as data:
            push(data)


@pytest.mark.parametrize("secure", [False, True], ids=["in the clear", "inside TLS"])
@blocking
def test_a_limit(serve: Callable[..., Server], tmp_path: Path, secure: bool) -> None:
    server = serve(*server_files(tmp_path), "--limit-rate", "4M")
    make_big(server.root)
    with warm(server, secure=secure) as session, bounded(server.pid):
        size = f"File size: {2 * BIG} bytes"
        put, get = ("put up", TO_RECEIVE, size), ("get big", TO_SEND)
        with begin(session, *get, secure=secure) as data:
            end = time.monotonic() + LONG
            while time.monotonic() < end:
                assert data.recv(MIB)
        while not session.line().startswith("ERROR: Connection lost."):
            pass
        with begin(session, *put, secure=secure) as data:
            push(data)


@contextlib.contextmanager
def client(server: Server, *words: str, **popen: object) -> Iterator[subprocess.Popen[bytes]]:
    """The command, as soon as it moves something; killed in the end."""
    command = [str(SCRIPTS / "ftplite-client"), "{}:{}".format(*server.address), *words]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, **popen) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


@blocking
def test_a_client_whose_output_nobody_reads(tree: Server) -> None:
    with client(tree, "get", "big", "-", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert len(process.stdout.read(MIB)) == MIB
        with bounded(process.pid):
            end = time.monotonic() + LONG
            while time.monotonic() < end:
                assert process.stdout.read(100)
                time.sleep(0.1)


@blocking
def test_a_client_whose_server_is_slow(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve("--limit-rate", "4M")
    source = tmp_path / "source"
    source.write_bytes(bytes(BIG))
    with client(server, "put", str(source), "up") as process:
        # Moving, once the server has made something of it that only it can see.
        moving = threading.Event()
        while not any(each.stat().st_size > MIB for each in server.root.iterdir()):
            moving.wait(0.01)
        with bounded(process.pid):
            moving.wait(LONG)
