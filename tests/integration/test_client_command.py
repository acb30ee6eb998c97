"""`ftplite-client` as people and scripts use it: a real process, a real server, a real terminal."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness import Server, blocking, eventually
from raw import GREETING, PATIENCE
from terminal import CLIENT, Terminal, client


def at(server: Server) -> str:
    """The server's address as the client takes it."""
    host, port = server.address
    return f"ftplite://{host}:{port}"


@contextmanager
def talker(*lines: str) -> Iterator[str]:
    """Something that takes one connection, says a line at once and one to each it hears, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as heard:
                for line in lines:
                    connection.sendall((line + "\n").encode())
                    heard.readline()

        thread = threading.Thread(target=talk)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def until_connected(process: subprocess.Popen[bytes], times: int) -> None:
    """Wait until a process has so many connections; a data channel is the second."""

    def connected() -> bool:
        table = Path(f"/proc/{process.pid}/net/tcp").read_text()
        established = {line.split()[9] for line in table.splitlines()[1:] if line.split()[3] == "01"}
        links = []
        for each in os.listdir(f"/proc/{process.pid}/fd"):
            with contextlib.suppress(OSError):
                links.append(os.readlink(f"/proc/{process.pid}/fd/{each}"))
        return sum(f"socket:[{inode}]" in links for inode in established) == times

    eventually(connected)


@blocking
def test_one_shot(server: Server, tmp_path: Path) -> None:
    host, port = server.address
    (tmp_path / "sample.txt").write_bytes(b"x" * 1024)
    done = client(host, str(port), "put", "sample.txt", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"sample.txt: 1024 bytes in 0.")
    assert (server.root / "sample.txt").read_bytes() == b"x" * 1024
    assert client(host, str(port), "ls", cwd=tmp_path).stdout == b"sample.txt\n"
    done = client(at(server), "get", "sample.txt", "copy", cwd=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "copy").read_bytes() == b"x" * 1024


@blocking
def test_standard_streams(server: Server, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    done = client(at(server), "put", "-", "piped", cwd=tmp_path, stdin=content)
    assert done.returncode == 0
    assert (server.root / "piped").read_bytes() == content
    done = client(at(server), "get", "piped", "-", cwd=tmp_path)
    assert done.stdout == content
    assert done.stderr.startswith(b"piped: 300000 bytes in ")
    with open(tmp_path / "redirected", "ab") as target:
        subprocess.run(
            [CLIENT, at(server), "get", "piped", "-"], stdout=target, stderr=subprocess.PIPE, check=True
        )
    assert (tmp_path / "redirected").read_bytes() == content


@blocking
def test_a_script(server: Server, tmp_path: Path) -> None:
    (server.root / "my file").write_bytes(b"mine")
    script = b'# a comment\n\nget "my file" a\nget none\nput nothing\nput - x\nput a b\r\nls'
    done = client(at(server), cwd=tmp_path, stdin=script)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-2:] == [b"b", b"my file"]
    assert (server.root / "b").read_bytes() == b"mine"
    complaints = done.stderr.decode().splitlines()
    assert [line[:24] for line in complaints] == [f"ftplite-client: line {number}: " for number in (4, 5, 6)]


@blocking
def test_exit_statuses(server: Server, tmp_path: Path) -> None:
    (server.root / "there").write_bytes(b"")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"127.0.0.1:{closed.getsockname()[1]}"
    for status, arguments in (
        (0, [at(server), "noop"]),
        (1, [at(server), "get", "none"]),
        (2, [at(server), "frob"]),
        (2, [at(server), "put", "-"]),
        (2, ["--frob"]),
        (3, [nobody, "ls"]),
        (4, [at(server), "put", "none"]),
        (4, [at(server), "get", "there", "no/such/folder"]),
        (4, [at(server), "get", "there", "/dev/full/x"]),
    ):
        done = client(*arguments, cwd=tmp_path)
        assert done.returncode == status, (arguments, done)
        complaints = done.stderr.decode().splitlines()
        assert len(complaints) == (status != 0)
        assert all(line.startswith("ftplite-client: ") for line in complaints)
    assert os.listdir(tmp_path) == []


@blocking
def test_refused_connections_say_what_to_check(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = str(closed.getsockname()[1])
    complaint = client("127.0.0.1", port, "ls", cwd=tmp_path).stderr.decode()
    assert f"127.0.0.1 port {port}" in complaint
    assert "twistd ftplite" in complaint


@blocking
def test_names_that_begin_with_a_dash(server: Server, tmp_path: Path) -> None:
    (server.root / "-x").write_bytes(b"dash")
    assert client(at(server), "get", "--", "-x", cwd=tmp_path).returncode == 0
    assert (tmp_path / "-x").read_bytes() == b"dash"


@blocking
def test_hostile_names(server: Server, tmp_path: Path) -> None:
    names = [b"\x1b[31m", b"byte\xff", "c1\x9b".encode(), b" blank", "bidi\u202e".encode()]
    for name in names:
        (server.root / os.fsdecode(name)).write_bytes(name)
    lines = client(at(server), "ls", cwd=tmp_path).stdout.decode().splitlines()
    meant = [os.fsencode(json.loads(line) if line.startswith('"') else line) for line in lines]
    assert meant == sorted(names)
    with Terminal(at(server), "ls", cwd=tmp_path) as terminal:
        assert terminal.end() == 0
        assert not set(terminal.seen) & {"\x1b", "\x9b", "\u202e"}
    for number, name in enumerate(sorted(names)):
        done = client(at(server), "get", os.fsdecode(name), str(number), cwd=tmp_path)
        assert done.returncode == 0
        assert b"\x1b" not in done.stdout
        # What ls shows can be put back into the shell.
        shown = lines[number] if lines[number].startswith('"') else json.dumps(lines[number])
        script = f"get {shown} again{number}".encode()
        assert client(at(server), cwd=tmp_path, stdin=script).returncode == 0
        assert (tmp_path / f"again{number}").read_bytes() == name


@blocking
def test_what_a_server_says_is_escaped(tmp_path: Path) -> None:
    plain = (GREETING, "ERROR: Unknown command. \x1b[2J")  # the second answers `features`
    for lines, status in (
        ((*plain, "FAILURE: File not found. \x1b[2J\x9b"), 1),
        ((*plain, "FAILURE: \x1b[2J"), 1),
        ((*plain, "ERROR: Internal error. \x1b[2J"), 3),
        (("ERROR: Too many connections. \x07\x1b[2J",), 3),
        (("220 \x1b[2J ready",), 3),
        ((*plain, "SUCCESS: Nothing of that kind. \x1b[2J"), 3),
    ):
        with talker(*lines) as address:
            done = client(address, "get", "x", cwd=tmp_path)
        assert done.returncode == status, done
        assert len(done.stderr.splitlines()) == 1
        assert not set(done.stderr.decode()) & {"\x1b", "\x07", "\x9b"}
    assert os.listdir(tmp_path) == []


@blocking
def test_a_lost_connection_ends_a_script(tmp_path: Path) -> None:
    with talker(GREETING, "SUCCESS: Features listed.", "SUCCESS: Nothing done.") as address:
        done = client(address, cwd=tmp_path, stdin=b"noop\nnoop\nls\n# no command\nget x\n")
    assert done.returncode == 3
    complaints = done.stderr.decode().splitlines()
    assert len(complaints) == 2
    assert "line 2: noop: Connection lost." in complaints[0]
    assert complaints[1].endswith("commands not run: 2")


@blocking
def test_a_closed_output_is_trouble_without_traceback(server: Server, tmp_path: Path) -> None:
    (server.root / "big").write_bytes(bytes(1 << 20))
    for arguments in (["get", "big", "-"], ["ls"]):
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [CLIENT, at(server), *arguments], stdout=writing, stderr=subprocess.PIPE, timeout=PATIENCE
        )
        os.close(writing)
        assert done.returncode == 4
        assert done.stderr.endswith(b"standard output: Broken pipe\n")
        assert done.stderr.count(b"\n") == 1
    for option in ("--help", "--version"):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([CLIENT, option], stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE)
        assert (done.returncode, done.stderr.count(b"\n")) == (4, 1)


@blocking
def test_standard_streams_that_are_closed(server: Server, tmp_path: Path) -> None:
    for redirection, status in (("<&-", 4), (">&-", 0), ("<&- >&- 2>&-", 4)):
        done = subprocess.run(
            ["sh", "-c", f'"$0" "$1" {redirection}', CLIENT, at(server)], stdin=subprocess.DEVNULL
        )
        assert done.returncode == status


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@blocking
def test_interrupted(server: Server, tmp_path: Path, number: int, status: int) -> None:
    (server.root / "big").write_bytes(bytes(1 << 22))
    for arguments in (["put", "-", "new"], ["get", "big", "-"], []):
        with subprocess.Popen(
            [CLIENT, at(server), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
        ) as process:
            # It waits for its input, or for somebody to take its output.
            until_connected(process, 2 if arguments else 1)
            process.send_signal(number)
            assert process.wait(PATIENCE) == status
            assert process.stderr is not None
            assert process.stderr.read().count(b"\n") == 1
    assert os.listdir(server.root) == ["big"]
    assert os.listdir(tmp_path) == []


@blocking
def test_the_shell(server: Server, tmp_path: Path) -> None:
    (server.root / "docs").mkdir()
    (server.root / "docs" / "my file").write_bytes(b"deep")
    (tmp_path / "local.txt").write_bytes(b"here")
    with Terminal(at(server), cwd=tmp_path) as terminal:
        terminal.prompt()
        terminal.type("ge\tdo\t\t\r")  # get docs/my\ file
        terminal.expect(r"docs/my file: 4 bytes in .*\r\n")
        assert (tmp_path / "my file").read_bytes() == b"deep"
        terminal.prompt()
        terminal.type("put loc\t\r")
        terminal.expect(r"local.txt: 4 bytes in .*\r\n")
        terminal.prompt()
        terminal.type("frob\r")
        terminal.expect("ftplite-client: frob: unknown command; help lists the commands")
        terminal.prompt()
        terminal.type("get none\r")
        terminal.expect("File not found")
        terminal.prompt()
        terminal.type("put ~/local.txt there\r")
        terminal.expect("there: 4 bytes")
        terminal.prompt()
        terminal.type("half a line\x03noop\r")
        terminal.expect("answered in")
        terminal.prompt()
        terminal.type("\x04")
        assert terminal.end() == 0
        assert terminal.echoes()
    history = tmp_path / "state" / "ftplite" / "history"
    assert "+put loc" in history.read_text()
    assert history.stat().st_mode & 0o777 == 0o600
    with Terminal(at(server), cwd=tmp_path) as terminal:
        terminal.prompt()
        terminal.type("\x1b[A\x1b[A")
        terminal.expect("put ~/local.txt there")
        terminal.type("\x15quit\r")
        assert terminal.end() == 0


@blocking
def test_the_shell_goes_on_after_ctrl_c(server: Server, tmp_path: Path) -> None:
    with Terminal(at(server), cwd=tmp_path) as terminal:
        terminal.prompt()
        terminal.type("put - new\r")
        until_connected(terminal.process, 2)
        terminal.type("\x03")
        terminal.expect("ftplite-client: put - new: interrupted")
        terminal.prompt()
        terminal.type("put - new\r")
        eventually(terminal.echoes)
        terminal.type("typed\r\x04")
        terminal.expect("new: 6 bytes")
        terminal.prompt()
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.end() == 143
        assert terminal.echoes()
    assert (server.root / "new").read_bytes() == b"typed\n"


@blocking
def test_the_shell_connects_again(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve("--idle-timeout", "0.3")
    with Terminal(at(server), cwd=tmp_path) as terminal:
        terminal.prompt()
        until_connected(terminal.process, 0)
        terminal.type("noop\r")
        terminal.expect("was lost; connecting again")
        terminal.expect("answered in")


@blocking
def test_no_connection_no_prompt(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = str(closed.getsockname()[1])
    with Terminal("127.0.0.1", port, cwd=tmp_path) as terminal:
        assert terminal.end() == 3
        assert "ftp>" not in terminal.seen


@blocking
def test_a_progress_bar_only_for_people(server: Server, tmp_path: Path) -> None:
    (server.root / "big").write_bytes(bytes(1 << 24))
    with Terminal(at(server), "get", "big", "-", cwd=tmp_path, stdout=subprocess.PIPE) as terminal:
        stream = terminal.process.stdout
        assert stream is not None
        got = 0
        while not re.search(r"big .*%.*MB/s.*\d:\d\d:\d\d", terminal.seen):
            got += len(stream.read(1 << 20))
            terminal.expect("%")
        got += len(stream.read())
        assert terminal.end() == 0
        assert got == 1 << 24
        assert "big: 16777216 bytes in" in terminal.seen
    with Terminal(at(server), "get", "big", cwd=tmp_path, stdout=subprocess.PIPE) as terminal:
        assert terminal.end() == 0
        assert "%" in terminal.seen
        assert terminal.process.stdout is not None
        assert terminal.process.stdout.read().startswith(b"big: 16777216 bytes")
    done = client(at(server), "get", "big", cwd=tmp_path)
    assert done.stderr == b""
