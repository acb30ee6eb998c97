"""How many sessions there may be, and what happens when descriptors run out."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from harness import BIG, Server, blocking, eventually, make_big
from raw import LOST, TO_SEND, Session


@blocking
def test_max_sessions(serve: Callable[..., Server]) -> None:
    server = serve("--max-sessions", "3")
    with contextlib.ExitStack() as clients:
        first, *_ = [clients.enter_context(server.session()) for _ in range(3)]
        for _ in range(5):
            refused = clients.enter_context(server.session(greeted=False))
            refused.expect("ERROR: Too many connections.")
            assert refused.ended()
        assert first.is_answered()
        first.send("quit")
        first.expect("SUCCESS: Goodbye.")
        first.socket.close()
        # Those that were refused have not left yet, and take nobody's place.
        eventually(lambda: _is_let_in(server))


@blocking
def test_max_sessions_per_host(serve: Callable[..., Server]) -> None:
    server = serve("--max-sessions-per-host", "2", "--max-sessions", "4")
    with contextlib.ExitStack() as clients:
        first, *_ = [clients.enter_context(server.session()) for _ in range(2)]
        for _ in range(5):
            refused = clients.enter_context(server.session(greeted=False))
            refused.expect("ERROR: Too many connections.")
            assert refused.ended()
        other = clients.enter_context(server.session(source="127.0.0.2"))
        assert other.is_answered()
        first.socket.close()
        eventually(lambda: _is_let_in(server))


@blocking
def test_those_who_leave_make_room_at_once(serve: Callable[..., Server]) -> None:
    """With or without quit."""
    server = serve("--max-sessions-per-host", "1")
    for number in range(20):
        with eventually(lambda: _let_in(server), 2) as session:
            if number % 2:
                session.send("quit")
                session.expect("SUCCESS: Goodbye.")


def _let_in(server: Server) -> Session | None:
    session = server.session(greeted=False)
    if session.line().startswith("SUCCESS"):
        return session
    session.socket.close()
    return None


def _is_let_in(server: Server) -> bool:
    with server.session(greeted=False) as session:
        return session.line().startswith("SUCCESS")


@blocking
def test_out_of_descriptors(serve: Callable[..., Server]) -> None:
    server = serve("--stall-timeout", "5")
    make_big(server.root)
    (server.root / "f").write_bytes(b"abc")
    with server.session() as session, server.session() as other:
        assert session.get("f") == b"abc"
        session.put("g", b"x" * 200_000)
        time.sleep(0.1)  # what the put held is let go behind its answer
        server.limit_descriptors(server.free_descriptor())
        for command in ("get big", "put h", "get f"):
            session.send(command)
            line = session.line()
            if not line.startswith("FAILURE: Limit reached."):
                assert line.startswith(TO_SEND)  # a small file needs none before the data channel
                session.send("Data channel port: 5000")
                session.expect("FAILURE: Limit reached.")
        assert other.is_answered()
        # A stranger is not served, and the server does not spin.
        began = server.cpu()
        with socket.create_connection(server.address, 5) as stranger:
            stranger.settimeout(1)
            with contextlib.suppress(TimeoutError, ConnectionError):
                assert stranger.recv(100) == b""
        assert server.cpu() - began < 0.5
        server.limit_descriptors(1000)
        assert session.get("f") == b"abc"
        session.put("h", b"def")
        assert sorted(session.ls()) == [b"big", b"f", b"g", b"h"]
        with server.session() as later:
            assert later.is_answered()
    assert set(os.listdir(server.root)) == {"big", "f", "g", "h"}
    server.log[:] = [line for line in server.log if "Could not accept" not in line]


@blocking
def test_descriptors_are_given_back(tree: Server) -> None:
    """After every kind of end."""
    (tree.root / "f").write_bytes(b"abc")
    with tree.session() as session:
        session.get("f")
        session.put("g", b"x" * 200_000)
        before = tree.descriptors()
        for _ in range(2):
            session.begin_get("big", BIG)
            session.send("abort")
            session.expect("FAILURE: Transfer cancelled.")
            with session.begin_put("g", 10) as data:
                data.sendall(b"x" * 20)
            session.expect("FAILURE: Size mismatch.")
            with session.begin_get("big", BIG) as data:
                data.recv(10)
            session.expect(LOST)
            session.send("put h", "junk")
            session.expect("SUCCESS: Ready to receive.", "ERROR: Unknown command.")
        eventually(lambda: tree.descriptors() <= before)
    assert Path(tree.root, "g").stat().st_size == 200_000
