"""A file is whole when announced size, end of stream and completion agree, and only then it is in place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from harness import Server, blocking, eventually, names_in
from raw import LOST, MISMATCH, TIMED_OUT, TO_RECEIVE, TRANSFERRED, reset

TOO_LARGE = "FAILURE: File too large."


@pytest.fixture
def tree(server: Server) -> Server:
    """A server with an old file."""
    (server.root / "f").write_bytes(b"old")
    return server


def assert_untouched(server: Server) -> None:
    """The old file stands, and nothing else but a partial, nor is anything held open without a name."""
    assert names_in(server.root) == ["f"]
    assert (server.root / "f").read_bytes() == b"old"
    descriptors = f"/proc/{server.pid}/fd"

    def held() -> list[str]:
        found = []
        for each in os.listdir(descriptors):
            try:
                target = os.readlink(f"{descriptors}/{each}")
            except FileNotFoundError:
                continue
            if target.startswith(str(server.root)) and target.endswith("(deleted)"):
                found.append(target)
        return found

    eventually(lambda: not held())


@pytest.mark.parametrize("size", [0, 1, 1000, 100_000, 3 << 20])
@blocking
def test_fewer_bytes_than_announced(tree: Server, size: int) -> None:
    with tree.session() as session:
        with session.begin_put("f", size + 1) as data:
            data.sendall(b"n" * size)
        session.send("Transfer complete: f")
        session.expect(MISMATCH)
        assert_untouched(tree)
        assert session.is_answered()


@pytest.mark.parametrize("size", [0, 1, 1000, 100_000, 3 << 20])
@blocking
def test_more_bytes_than_announced_at_once(tree: Server, size: int) -> None:
    """Neither the end of the stream nor the completion is waited for."""
    with tree.session() as session:
        with session.begin_put("f", size) as data:
            data.sendall(b"n" * (size + 1))
            session.expect(MISMATCH)
        assert_untouched(tree)
        session.send("Transfer complete: f")
        assert session.is_answered()


@blocking
def test_many_more_bytes_than_announced(tree: Server) -> None:
    with tree.session() as session:
        with session.begin_put("f", 10) as data, pytest.raises(ConnectionError):
            data.sendall(b"n" * (64 << 20))
        session.expect(MISMATCH)
        assert_untouched(tree)


@pytest.mark.parametrize(("told", "sent"), [(99_999, 100_000), (100_001, 100_000), (0, 1), (1, 0)])
@blocking
def test_a_size_told_late_is_compared_as_well(tree: Server, told: int, sent: int) -> None:
    with tree.session() as session:
        with session.begin_put("f", None) as data:
            data.sendall(b"n" * sent)
        session.send(f"File size: {told} bytes", "Transfer complete: f")
        session.expect(MISMATCH)
        assert_untouched(tree)
        assert session.is_answered()


@blocking
def test_a_size_never_told_and_no_completion(tree: Server) -> None:
    with tree.session() as session:
        with session.begin_put("f", None) as data:
            data.sendall(b"new")
        session.expect(LOST)
        assert_untouched(tree)
        assert session.is_answered()


@pytest.mark.parametrize("sent", [b"new", b"ne", b""])
@blocking
def test_bytes_without_completion(tree: Server, sent: bytes) -> None:
    """However many came: a sender that was killed looks like this."""
    with tree.session() as session:
        with session.begin_put("f", 3) as data:
            data.sendall(sent)
        session.expect(LOST)
        assert_untouched(tree)
        session.send("Transfer complete: f")  # too late
        assert session.is_answered()


@blocking
def test_completion_without_the_end_of_the_stream(tree: Server) -> None:
    with tree.session() as session:
        data = session.begin_put("f", 3)
        data.sendall(b"new")
        session.send("Transfer complete: f")
        session.expect(TIMED_OUT)
        assert_untouched(tree)


@blocking
def test_completion_without_bytes(tree: Server) -> None:
    with tree.session() as session:
        data = session.begin_put("f", 3)
        session.send("Transfer complete: f")
        data.close()
        session.expect(MISMATCH)
        assert_untouched(tree)


@blocking
def test_a_data_channel_that_is_reset(tree: Server) -> None:
    with tree.session() as session:
        for size in (3, 1 << 20):
            data = session.begin_put("f", size)
            data.sendall(b"new")
            reset(data)
            session.expect(LOST)
            assert_untouched(tree)
        assert session.is_answered()


@blocking
def test_a_control_channel_that_ends_before_the_completion(tree: Server) -> None:
    with tree.session() as session:
        with session.begin_put("f", 3) as data:
            data.sendall(b"new")
            session.half_close()
        session.expect(LOST)
        assert session.ended()
    assert_untouched(tree)


_SENDER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from raw import Session
session = Session(("127.0.0.1", int(sys.argv[2])))
data = session.begin_put("f", int(sys.argv[3]))
data.sendall(b"n" * int(sys.argv[4]))
print("sent", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(("size", "sent"), [(5 << 20, 1 << 20), (1000, 1000)])
@blocking
def test_a_sender_that_is_killed(tree: Server, size: int, sent: int) -> None:
    """Its kernel ends both streams cleanly; that all of it had come makes no difference."""
    words = (os.path.dirname(__file__), str(tree.address[1]), str(size), str(sent))
    with subprocess.Popen([sys.executable, "-c", _SENDER, *words], stdout=subprocess.PIPE) as sender:
        try:
            assert sender.stdout is not None
            assert sender.stdout.readline() == b"sent\n"
        finally:
            sender.send_signal(signal.SIGKILL)
    tree.logged(rf" put f ERROR {sent} bytes .* Connection lost")
    assert_untouched(tree)
    tree.log.clear()


@blocking
def test_every_completion_ahead_of_time_still_needs_the_bytes(tree: Server) -> None:
    with tree.session() as session:
        session.send("put f")
        session.expect(TO_RECEIVE)
        with session.listen() as listener:
            session.send("File size: 3 bytes", listener.announcement, "Transfer complete: f")
            data = listener.accept()
            assert session.waits()
            data.sendall(b"ne")
            data.close()
        session.expect(MISMATCH)
        assert_untouched(tree)


@pytest.mark.parametrize("when", ["before the port", "behind the port", "at the end", "never"])
@blocking
def test_max_file_size(serve: Callable[..., Server], when: str) -> None:
    server = serve("--max-file-size", "100000", "--stall-timeout", "2")
    (server.root / "f").write_bytes(b"old")
    with server.session() as session:
        session.put("g", b"x" * 100_000)
        os.unlink(server.root / "g")
        session.send("put f")
        session.expect(TO_RECEIVE)
        with session.listen() as listener:
            size = "File size: 100001 bytes"
            if when == "before the port":
                session.send(size, listener.announcement)
            elif when == "behind the port":
                session.send(listener.announcement, size)
            else:
                session.send(listener.announcement)
            if when != "before the port":
                data = listener.accept()
                data.sendall(b"x" * 100_001)
                if when == "at the end":
                    session.send(size)
                data.close()
            session.expect(TOO_LARGE)
        session.send("Transfer complete: f")
        assert_untouched(server)
        assert session.is_answered()
        session.put("f", b"new")


@blocking
def test_a_client_may_begin_anew_after_each(tree: Server) -> None:
    with tree.session() as session:
        session.send_content("f", b"")
        session.expect("Transfer complete: f", TRANSFERRED)
        assert session.get("f") == b""
