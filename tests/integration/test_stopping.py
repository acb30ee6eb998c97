"""Stopping: what moves may finish, and nothing is left half done; and the clock that times it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Server, blocking, eventually, names_in
from raw import SHUTTING_DOWN, TIMED_OUT, TO_RECEIVE, TRANSFERRED, read_all

# The end.


@blocking
def test_sigterm_lets_transfers_finish(serve: Callable[..., Server]) -> None:
    server = serve()
    size = 64 << 20
    with open(server.root / "big", "wb") as file:
        file.truncate(size)
    with (
        server.session() as idle,
        server.session() as getting,
        server.session() as putting,
        server.session() as due,
    ):
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
        with pytest.raises(ConnectionError):
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
    assert names_in(server.root) == ["big", "f"]
    assert (server.root / "f").read_bytes() == b"old"


@blocking
def test_peers_that_do_not_read_cannot_hold_it(serve: Callable[..., Server]) -> None:
    server = serve("--drain-timeout", "0.5")
    with server.session(receive_buffer=4096) as session:
        session.flood(b"help\n" * 5000)
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
            os.stat(each).st_size >= size
            for each in folder.iterdir()
            if os.readlink(each).endswith(" (deleted)")
        )
    return False


# The clock.


def test_timers_run_on_a_clock_that_nobody_sets(tmp_path: Path) -> None:
    script = (
        "import time; from twisted.internet import reactor;"
        "from twisted_ftplite.tap import Options, makeService;"
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
