"""`ftplite-client` and what broke off: it goes on by itself, and when it is told to."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Server, blocking, eventually
from raw import PATIENCE
from terminal import CLIENT, Terminal, client

SIZE = 128 << 20
"""Bytes that take long enough to be interrupted."""

ENOUGH = 8 << 20
"""Bytes after which that happens."""


def at(server: Server) -> str:
    """The server's address as the client takes it."""
    host, port = server.address
    return f"ftplite://{host}:{port}"


def make(path: Path) -> bytes:
    """A file of which no two stretches are alike; its content."""
    block = os.urandom(1 << 20)
    content = b"".join(number.to_bytes(8, "big") + block[8:] for number in range(SIZE >> 20))
    path.write_bytes(content)
    return content


def partial_size(folder: Path) -> int:
    """Bytes in the largest file that is under no name of a user's."""
    sizes = [0]
    for path in folder.rglob(".ftplite-*"):
        try:
            sizes.append(0 if path.is_dir() else path.stat().st_size)
        except OSError:
            continue
    return max(sizes)


def hold(*arguments: str, cwd: Path, target: Path) -> subprocess.Popen[bytes]:
    """Run the client, and stop it in the middle of writing ``target``, or of having it written."""
    for _ in range(5):
        process = subprocess.Popen(
            [CLIENT, *arguments],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        while process.poll() is None:
            if partial_size(target.parent) > ENOUGH:
                process.send_signal(signal.SIGSTOP)
                if partial_size(target.parent) > ENOUGH:
                    return process
                process.send_signal(signal.SIGCONT)
            time.sleep(0.001)
        said, complained = process.communicate()
        assert process.returncode == 0, (said, complained)
        target.unlink()  # it was too quick
    raise AssertionError("it could not be held")


def resumed_at(said: bytes, name: str) -> int:
    """Where a transfer went on, as it tells itself."""
    found = re.search(rf"{name}: {SIZE} bytes in .* \(went on at (\d+)\)\n".encode(), said)
    assert found, said
    return int(found[1])


Serve = Callable[..., Server]


@pytest.mark.parametrize("verb", ["get", "put"])
@blocking
def test_the_server_is_killed_and_comes_back(serve: Serve, tmp_path: Path, verb: str) -> None:
    here = tmp_path / "here"
    here.mkdir()
    server = serve()
    there = server.root
    source, target = (there, here) if verb == "get" else (here, there)
    content = make(source / "big")
    process = hold(at(server), verb, "big", cwd=here, target=target / "big")
    server.process.kill()
    server.wait()
    process.send_signal(signal.SIGCONT)
    serve(root=there, listen=f"tcp:{server.address[1]}:interface=127.0.0.1")
    said, complained = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, complained
    assert (target / "big").read_bytes() == content
    assert resumed_at(said, "big") >= ENOUGH // 2
    assert re.match(
        rb"ftplite-client: big: Connection lost.* at byte \d+; going on in 0\.\d s \(try 1 of 5\)\n",
        complained,
    )
    assert partial_size(target) == 0


@pytest.mark.parametrize("verb", ["get", "put"])
@blocking
def test_the_server_stands_still_for_a_while(serve: Serve, tmp_path: Path, verb: str) -> None:
    """What it still has of the old session, when it moves again, is in nobody's way."""
    here = tmp_path / "here"
    here.mkdir()
    server = serve()
    source, target = (server.root, here) if verb == "get" else (here, server.root)
    content = make(source / "big")
    process = hold("--timeout", "0.5", at(server), verb, "big", cwd=here, target=target / "big")
    server.process.send_signal(signal.SIGSTOP)
    process.send_signal(signal.SIGCONT)
    time.sleep(2)
    server.process.send_signal(signal.SIGCONT)
    said, complained = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, complained
    assert b"Connection timed out" in complained.splitlines()[0]
    assert b" (try " in complained.splitlines()[-1]
    assert resumed_at(said, "big") >= ENOUGH // 2
    assert (target / "big").read_bytes() == content


@pytest.mark.parametrize("verb", ["get", "put"])
@blocking
def test_the_client_is_killed_and_told_to_go_on(serve: Serve, tmp_path: Path, verb: str) -> None:
    here = tmp_path / "here"
    here.mkdir()
    server = serve()
    source, target = (server.root, here) if verb == "get" else (here, server.root)
    content = make(source / "big")
    process = hold(at(server), verb, "big", cwd=here, target=target / "big")
    process.kill()
    process.communicate()
    done = client(at(server), verb, "-c", "big", cwd=here)
    assert (done.returncode, done.stderr) == (0, b"")
    assert resumed_at(done.stdout, "big") >= ENOUGH // 2
    assert (target / "big").read_bytes() == content
    done = client(at(server), verb, "-c", "big", cwd=here)
    assert done.stdout == f"big: already there, {SIZE} bytes compared\n".encode()


@blocking
def test_a_file_that_changed_is_moved_anew(serve: Serve, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    server = serve()
    for verb, source, target in (("get", server.root, here), ("put", here, server.root)):
        make(source / verb)
        process = hold(at(server), verb, verb, cwd=here, target=target / verb)
        process.kill()
        process.communicate()
        content = make(source / verb)
        done = client(at(server), verb, "-c", verb, cwd=here)
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"went on" not in done.stdout
        assert (target / verb).read_bytes() == content


@blocking
def test_a_server_that_does_not_come_back(serve: Serve, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    server = serve()
    make(server.root / "big")
    process = hold("--retries", "1", at(server), "get", "big", cwd=here, target=here / "big")
    server.process.kill()
    server.wait()
    process.send_signal(signal.SIGCONT)
    said, complained = process.communicate(timeout=PATIENCE)
    assert (process.returncode, said) == (3, b"")
    first, second = complained.decode().splitlines()
    assert "(try 1 of 1)" in first
    assert "cannot connect to 127.0.0.1" in second
    assert second.endswith("; get -c goes on where it broke off")


@blocking
def test_without_retries(serve: Serve, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    server = serve()
    make(server.root / "big")
    process = hold("--retries", "0", at(server), "get", "big", cwd=here, target=here / "big")
    server.process.kill()
    server.wait()
    process.send_signal(signal.SIGCONT)
    _, complained = process.communicate(timeout=PATIENCE)
    assert process.returncode == 3
    assert complained.decode().endswith("; get -c goes on where it broke off\n")
    assert complained.count(b"\n") == 1
    assert os.listdir(here) != ["big"]


@blocking
def test_interrupted_by_a_person(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    content = make(server.root / "big")
    here = tmp_path / "here"
    here.mkdir()
    with Terminal(at(server), cwd=here) as terminal:
        terminal.prompt()
        terminal.type("get big\r")
        eventually(lambda: partial_size(here) > ENOUGH)
        terminal.type("\x03")
        if terminal.expect("interrupted|bytes in")[0] == "interrupted":
            terminal.expect("; get -c goes on where it broke off")
        terminal.prompt()
        terminal.type("get -c big\r")
        terminal.expect(r"went on at \d+|already there|bytes in")
        terminal.prompt()
        terminal.type("\x04")
        assert terminal.end() == 0
    assert (here / "big").read_bytes() == content


@blocking
def test_checksums_and_what_is_preserved(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    here = tmp_path / "here"
    here.mkdir()
    (here / "f").write_bytes(b"x" * 100_000)
    os.chmod(here / "f", 0o600)
    os.utime(here / "f", ns=(0, 1_500_000_000_123_456_000))
    for algorithm in ("xxh128", "blake3", "sha256", "none"):
        assert (
            client("--checksum", algorithm, at(server), "put", "-p", "f", algorithm, cwd=here).returncode == 0
        )
        stored = (server.root / algorithm).stat()
        assert (stored.st_mtime_ns, stored.st_mode & 0o777) == (1_500_000_000_123_456_000, 0o600)
        done = client(at(server), "get", algorithm, "--checksum", algorithm, "-p", cwd=here)
        assert done.returncode == 0
        fetched = (here / algorithm).stat()
        assert (fetched.st_mtime_ns, fetched.st_mode & 0o777) == (1_500_000_000_123_456_000, 0o600)
