"""Peers that stop, flood, trickle or vanish cost only themselves, and what they held comes back."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from harness import BIG, Server, blocking, eventually, make_big, needs_root, own_network
from raw import LOST, NOTHING, TIMED_OUT, TRANSFERRED, UNEXPECTED, read_all

MIB = 1 << 20


@blocking
def test_a_receiver_that_stops_reading(tree: Server) -> None:
    with tree.session() as session, tree.session() as other:
        rest = tree.memory()
        data = session.begin_get("big", BIG)
        began = time.monotonic()
        assert data.recv(1000)
        session.expect(TIMED_OUT)
        assert 0.9 < time.monotonic() - began < 2
        assert tree.memory() < rest + 8 * MIB
        assert other.is_answered()
        assert session.is_answered()


@blocking
def test_a_sender_that_stops_sending(tree: Server) -> None:
    with tree.session() as session:
        data = session.begin_put("f", 10)
        data.sendall(b"12345")
        began = time.monotonic()
        session.expect(TIMED_OUT)
        assert 0.9 < time.monotonic() - began < 2
        assert session.is_answered()
        assert session.ls() == [b"big", b"f"]


@blocking
def test_a_receiver_that_says_nothing_in_the_end(tree: Server) -> None:
    (tree.root / "f").write_bytes(b"abc")
    with tree.session() as session:
        assert read_all(session.begin_get("f", 3)) == b"abc"
        session.expect("Transfer complete: f", TIMED_OUT)
        assert session.is_answered()


@blocking
def test_a_receiver_that_sends(tree: Server) -> None:
    """It ends the transfer, at the latest by the stall time, and does no harm to the session."""
    (tree.root / "f").write_bytes(b"abc")
    with tree.session() as session:
        data = session.begin_get("f", 3)
        data.sendall(b"what?")
        session.expect("Transfer complete: f")
        assert session.line().split(":")[0] in ("ERROR", "SUCCESS")
        assert session.is_answered()


@blocking
def test_a_receiver_whose_data_channel_breaks(tree: Server) -> None:
    with tree.session() as session:
        data = session.begin_get("big", BIG)
        assert data.recv(1000)
        data.close()  # with bytes unread: a reset
        session.expect(LOST)
        assert session.is_answered()


@blocking
def test_its_own_reason_goes_before_the_broken_channel(tree: Server) -> None:
    with tree.session() as session:
        data = session.begin_get("big", BIG)
        assert data.recv(1000)
        data.close()
        time.sleep(0.2)  # the reset arrives long before the word
        session.send("FAILURE: Disk full.")
        session.expect("FAILURE: Disk full.")


@blocking
def test_a_slow_reader_is_not_stalled(tree: Server) -> None:
    """Ten times slower than the buffers between are large; the window reopens in jumps."""
    with open(tree.root / "slow", "wb") as file:
        file.truncate(8 * MIB)
    with tree.session() as session:
        data = session.begin_get("slow", 8 * MIB, receive_buffer=16384)
        for _ in range(12):
            time.sleep(0.25)  # slowness itself
            assert data.recv(10_000)
        assert len(read_all(data)) > 7 * MIB
        session.expect("Transfer complete: slow")
        session.send("Transfer complete: slow")
        session.expect(TRANSFERRED)


@blocking
def test_a_slow_reader_of_what_the_kernel_holds_already(tree: Server) -> None:
    (tree.root / "slow").write_bytes(b"x" * 100_000)
    with tree.session() as session:
        data = session.begin_get("slow", 100_000, receive_buffer=4096)
        session.expect("Transfer complete: slow")
        for _ in range(12):
            time.sleep(0.25)  # slowness itself
            assert data.recv(4096)
        read_all(data)
        session.send("Transfer complete: slow")
        session.expect(TRANSFERRED)


@blocking
def test_a_slow_sender_is_not_stalled(tree: Server) -> None:
    with tree.session() as session:
        with session.begin_put("slow", 10) as data:
            for _ in range(10):
                time.sleep(0.25)  # slowness itself
                data.sendall(b"x")
        session.send("Transfer complete: slow")
        session.expect("Transfer complete: slow", TRANSFERRED)


@blocking
def test_floods_without_reading(serve: Callable[..., Server]) -> None:
    server = serve("--idle-timeout", "1", "--stall-timeout", "1")
    make_big(server.root)
    descriptors, rest = server.descriptors_at_rest(), server.memory()
    with contextlib.ExitStack() as clients:
        # A short answer would do as well, but takes long to fill the kernel's buffers with.
        for command in (b"help\n", b"x\nhelp\n", b"get big\nfeatures\nhelp\n"):
            session = clients.enter_context(server.session(receive_buffer=4096))
            assert session.flood(command * 2000, 64 * MIB) < 64 * MIB
        assert server.memory() < rest + 32 * MIB
        with server.session() as other:
            began = server.clock()
            other.send("noop")
            other.expect(NOTHING)
            assert server.clock() - began < 0.3
        # None of them reads, nor leaves: the idle time and the close time end them.
        eventually(lambda: server.descriptors() <= descriptors, 15)


@blocking
def test_a_byte_now_and_then_is_silence(serve: Callable[..., Server]) -> None:
    server = serve("--idle-timeout", "1")
    with server.session() as session:
        session.send("noop")
        session.expect(NOTHING)
        began = time.monotonic()
        session.socket.settimeout(0.1)
        while time.monotonic() - began < 3:
            with contextlib.suppress(TimeoutError):
                if session.socket.recv(1, socket.MSG_PEEK):
                    break
            session.socket.sendall(b"x")
        session.expect(TIMED_OUT)
        assert 0.9 < time.monotonic() - began < 1.5
        assert session.ended()


@blocking
def test_a_silent_session_ends_but_not_while_it_transfers(serve: Callable[..., Server]) -> None:
    server = serve("--idle-timeout", "1", "--stall-timeout", "30")
    (server.root / "f").write_bytes(b"abc")
    with server.session() as session:
        data = session.begin_put("g", 3)
        time.sleep(2)  # silence itself
        data.sendall(b"abc")
        data.close()
        session.send("Transfer complete: g")
        session.expect("Transfer complete: g", TRANSFERRED)
        began = time.monotonic()
        session.expect(TIMED_OUT)
        assert 0.9 < time.monotonic() - began < 1.5
        assert session.ended()


@pytest.mark.parametrize("busy", [False, True])
@blocking
def test_a_megabyte_of_newlines(serve: Callable[..., Server], busy: bool) -> None:
    server = serve()
    make_big(server.root)
    with server.session() as session, server.session() as other:
        if busy:
            data = session.begin_get("big", BIG)
        began = server.cpu()
        session.flood(b"\n" * MIB, MIB)
        assert other.is_answered()
        if busy:
            data.close()
            session.expect(LOST)
        session.expect(*[UNEXPECTED] * 10, "ERROR: Too many failures.")
        assert session.ended()
        assert other.is_answered()
        assert server.cpu() - began < 1


@pytest.mark.parametrize("piece", [b"\n" * 9 + b"noop\n", b"abort\n", b"noop\nabort\n", b"Mode: 1\n"])
@blocking
def test_a_hundred_kilobytes_of_short_lines_behind_a_transfer(
    serve: Callable[..., Server], piece: bytes
) -> None:
    server = serve()
    make_big(server.root)
    with server.session() as session, server.session() as other:
        session.begin_get("big", BIG)
        began = server.cpu()
        session.flood(piece * (100_000 // len(piece)), 100_000 // len(piece) * len(piece))
        assert other.is_answered()
        assert server.cpu() - began < 1


_STOPPED = """
import sys, time
sys.path.insert(0, sys.argv[1])
from raw import Session
session = Session(("127.0.0.1", int(sys.argv[2])))
data = session.begin_get("big", int(sys.argv[3]))
data.recv(1000)
print("reading", flush=True)
while data.recv(1000):
    time.sleep(0.01)
"""


@blocking
def test_a_peer_that_is_stopped(serve: Callable[..., Server]) -> None:
    server = serve("--stall-timeout", "1", "--idle-timeout", "1")
    make_big(server.root)
    rest = server.memory()
    words = (os.path.dirname(__file__), str(server.address[1]), str(BIG))
    with subprocess.Popen([sys.executable, "-c", _STOPPED, *words], stdout=subprocess.PIPE) as peer:
        try:
            assert peer.stdout is not None
            assert peer.stdout.readline() == b"reading\n"
            peer.send_signal(signal.SIGSTOP)
            server.logged(r" get big ERROR .* Connection timed out")
            # Its session goes as in the tests around this one: by idle time and close time.
            assert server.memory() < rest + 8 * MIB
        finally:
            peer.kill()


_ASKS = """
import sys
sys.path.insert(0, sys.argv[1])
from raw import Session
with Session(("127.0.0.1", int(sys.argv[2]))) as session:
    assert session.is_answered()
"""


@needs_root
@blocking
def test_a_peer_that_vanishes(serve: Callable[..., Server]) -> None:
    """Not even a FIN comes any more."""
    with own_network() as inside:
        server = serve("--stall-timeout", "1", "--idle-timeout", "1", before=inside)
        make_big(server.root)
        words = (os.path.dirname(__file__), str(server.address[1]), str(BIG))
        subprocess.run([*inside, sys.executable, "-c", _ASKS, *words], check=True)
        descriptors = server.descriptors()
        with subprocess.Popen(
            [*inside, sys.executable, "-c", _STOPPED, *words], stdout=subprocess.PIPE
        ) as peer:
            try:
                assert peer.stdout is not None
                assert peer.stdout.readline() == b"reading\n"
                subprocess.run([*inside, "ip", "link", "set", "lo", "down"], check=True)
                server.logged(r" get big ERROR .* Connection timed out")
                eventually(lambda: server.descriptors() <= descriptors, 15)
            finally:
                peer.kill()
