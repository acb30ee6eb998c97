"""Disks that are slow or fail: others notice nothing, and the old file stays."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from harness import Server, blocking, names_in
from raw import TO_RECEIVE, TO_SEND, TRANSFERRED, Session, read_all
from twisted.internet import reactor

from twisted_ftplite.errors import from_oserror
from twisted_ftplite.server.service import Config, FTPLiteService

SOON = 0.3
FULL = "FAILURE: Disk full."


# A disk made slow, or broken: the real storage behind a gate.


class Gate:
    """Where calls of one name wait, or fail."""

    def __init__(self) -> None:
        self.shut: set[str] = set()
        self.broken: dict[str, int] = {}
        self.reached = threading.Event()
        self.opened = threading.Event()

    def shut_for(self, *names: str) -> None:
        """Let calls of these names wait."""
        self.shut.update(names)

    def pass_through(self, name: str) -> None:
        if name in self.broken:
            failure = OSError(self.broken[name], "the disk is broken")
            raise from_oserror(failure) from failure
        if name in self.shut:
            self.reached.set()
            assert self.opened.wait(10)


class Gated:
    """Anything of the storage's, its methods behind the gate."""

    def __init__(self, inner: Any, gate: Gate) -> None:
        self._inner = inner
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found) or name in ("fileno", "close", "changed", "spliced", "set_attributes"):
            return found

        def call(*args: Any) -> Any:
            self._gate.pass_through(name)
            result = found(*args)
            return Gated(result, self._gate) if name in ("open_read", "open_write") else result

        return call

    def open_read_now(self, path: object) -> None:
        """Nothing is in memory."""


class GatedServer:
    """A server in this process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.gate = Gate()
        config = Config(root=str(root), endpoints=("tcp:0:interface=127.0.0.1",))
        self.service = FTPLiteService(reactor, config)  # type: ignore[arg-type]
        services = self.service._services  # no option makes a disk slow
        services.storage = Gated(services.storage, self.gate)  # type: ignore[assignment]
        self.service.listen()
        self.service.startService()
        self.address = ("127.0.0.1", self.service.ports[0].getHost().port)  # type: ignore[attr-defined]

    def session(self) -> Session:
        return Session(self.address)


@pytest.fixture
def gated(tmp_path: Path) -> Iterator[GatedServer]:
    """A server whose disk can be stopped."""
    server = GatedServer(tmp_path)
    (tmp_path / "f").write_bytes(b"old")
    (tmp_path / "d").mkdir()
    (tmp_path / "large").write_bytes(b"x" * 300_000)
    yield server
    server.gate.opened.set()
    pytest_twisted.blockon(server.service.stopService())


def assert_others_are_served(server: GatedServer, seconds: float = SOON) -> None:
    with server.session() as other:
        for _ in range(3):
            began = time.monotonic()
            other.send("ls d")
            other.expect(TO_SEND)
            with other.listen() as listener:
                other.send(listener.announcement, "Transfer complete: d")
                with listener.accept() as data:
                    read_all(data)
            other.expect("Transfer complete: d", "SUCCESS: Listing complete.")
            assert time.monotonic() - began < seconds


@pytest.mark.parametrize(
    ("step", "size"),
    # A large file is spliced, not written, and a small one synced as it is published.
    [
        ("check_write", 3),
        ("open_write", 3),
        ("write", 3),
        ("publish", 3),
        ("sync", 300_000),
        ("publish", 300_000),
    ],
)
@blocking
def test_a_slow_put_delays_nobody_else(gated: GatedServer, step: str, size: int) -> None:
    with gated.session() as session:
        gated.gate.shut_for(step)
        session.send("put f")
        if step != "check_write":
            session.expect(TO_RECEIVE)
            with session.listen() as listener:
                session.send(f"File size: {size} bytes", listener.announcement, "Transfer complete: f")
                if step != "open_write":
                    with listener.accept() as data:
                        data.sendall(b"n" * size)
        assert gated.gate.reached.wait(5)
        assert_others_are_served(gated)
        assert session.waits(0.01)
        if step in ("check_write", "open_write"):
            session.send("abort")
            session.expect("FAILURE: Transfer cancelled.")
            gated.gate.opened.set()
        else:
            gated.gate.opened.set()
            session.expect("Transfer complete: f", TRANSFERRED)
            assert (gated.root / "f").read_bytes() == b"n" * size


@pytest.mark.parametrize(("step", "command"), [("open_read", "get f"), ("stat", "ls d/..")])
@blocking
def test_a_slow_get_or_ls_delays_nobody_else(gated: GatedServer, step: str, command: str) -> None:
    with gated.session() as session, gated.session() as third:
        gated.gate.shut_for(step)
        session.send(command)
        assert gated.gate.reached.wait(5)
        if step == "stat":
            assert third.is_answered()
        else:
            assert_others_are_served(gated)
        gated.gate.opened.set()
        session.expect(TO_SEND)


@blocking
def test_forty_stalled_disks_delay_nobody_else(gated: GatedServer) -> None:
    with contextlib.ExitStack() as clients:
        gated.gate.shut_for("open_read")
        sessions = [clients.enter_context(gated.session()) for _ in range(40)]
        for session in sessions:
            session.send("get f")
        assert gated.gate.reached.wait(5)
        assert_others_are_served(gated)
        gated.gate.opened.set()
        for session in sessions:
            session.expect(TO_SEND)


@blocking
def test_abort_and_reset_while_the_disk_is_waited_for(gated: GatedServer) -> None:
    with gated.session() as session, gated.session() as gone:
        gated.gate.shut_for("check_write")
        for each in (session, gone):
            each.send("put f", "noop")
        assert gated.gate.reached.wait(5)
        gone.socket.close()
        session.send("abort", "noop")
        session.expect(*["FAILURE: Transfer cancelled."] * 2, "SUCCESS: Nothing done.")
        gated.gate.opened.set()
        gated.gate.shut.clear()
        session.put("f", b"new")


@blocking
def test_the_old_file_stays_until_it_is_durable(gated: GatedServer) -> None:
    """The server's completion of a put means: on disk, under its name."""
    with gated.session() as session:
        gated.gate.shut_for("publish")
        session.send_content("f", b"new")
        assert gated.gate.reached.wait(5)
        assert (gated.root / "f").read_bytes() == b"old"
        assert session.waits()
        gated.gate.opened.set()
        session.expect("Transfer complete: f", TRANSFERRED)


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        (errno.EIO, "ERROR: Storage failed."),
        (errno.ENOSPC, FULL),
        (errno.EDQUOT, "FAILURE: Quota exceeded."),
        (errno.EMFILE, "FAILURE: Limit reached."),
        (errno.EROFS, "FAILURE: Permission denied."),
    ],
)
@pytest.mark.parametrize("step", ["check_write", "open_write", "write", "sync", "publish"])
@blocking
def test_a_disk_that_fails(gated: GatedServer, step: str, code: int, answer: str) -> None:
    gated.gate.broken = {step: code}
    size = 300_000 if step == "sync" else 10
    with gated.session() as session:
        if step == "check_write":
            session.send("put f")
        elif step == "open_write":
            session.send("put f", f"File size: {size} bytes", "Data channel port: 5000")
            session.expect(TO_RECEIVE)
        else:
            session.send_content("f", b"n" * size)
        session.expect(answer)
        gated.gate.broken = {}
        assert names_in(gated.root) == ["d", "f", "large"]
        assert session.get("f") == b"old"
        session.put("f", b"new")


@pytest.mark.parametrize(("step", "command"), [("open_read", "get f"), ("stat", "ls")])
@blocking
def test_a_disk_that_fails_to_read(gated: GatedServer, step: str, command: str) -> None:
    gated.gate.broken = {step: errno.EIO}
    with gated.session() as session:
        session.send(command, "noop")
        session.expect("ERROR: Storage failed.", "SUCCESS: Nothing done.")


@pytest.fixture
def crowded(serve: Callable[..., Server]) -> Iterator[Server]:
    """A server with 200,000 files in one folder."""
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as root:
        crowd = Path(root, "crowd")
        crowd.mkdir()
        (Path(root) / "d").mkdir()
        (crowd / "0").touch()
        for number in range(1, 200_000):
            os.link(crowd / "0", crowd / str(number))
        yield serve("--stall-timeout", "20", root=Path(root))


@blocking
def test_a_listing_of_200000_names_delays_nobody_else(crowded: Server) -> None:
    listed: list[bytes] = []
    delays: list[float] = []

    def list_the_crowd() -> None:
        with crowded.session() as session:
            listed.extend(session.ls("crowd"))

    thread = threading.Thread(target=list_the_crowd)
    with crowded.session() as other:
        thread.start()
        while thread.is_alive():
            began = time.monotonic()
            assert other.ls("d") == []
            delays.append(time.monotonic() - began)
    assert len(listed) == 200_000
    assert listed == sorted(listed)
    assert len(delays) > 3
    assert max(delays) < SOON
