"""Where the client connects: passive data channels, who else comes to the port, and who never comes."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import BIG, OPENLY, Server, blocking, eventually, make_big
from raw import (
    CANCELLED,
    CROWDED,
    GREETING,
    LISTED,
    LOST,
    MISSING,
    NOTHING,
    PASSIVE,
    PATIENCE,
    READY,
    TIMED_OUT,
    TO_RECEIVE,
    TO_SEND,
    TRANSFERRED,
    UNSUPPORTED,
    Session,
    is_dropped,
    read_all,
    reset,
)

UNKNOWN = "Data channel token: " + "0123456789abcdef" * 2


def finish_get(session: Session, token: str, name: str, content: bytes) -> None:
    """The rest of a passive get, from step 4 on."""
    with session.join(token) as data:
        assert data.rest() == content
    session.expect(f"File size: {len(content)} bytes", f"Transfer complete: {name}")
    session.send(f"Transfer complete: {name}")
    session.expect(TRANSFERRED)


def finish_put(session: Session, token: str, name: str, content: bytes) -> None:
    """The rest of a passive put, from step 4 on."""
    with session.join(token) as data:
        data.socket.sendall(content)
    session.send(f"Transfer complete: {name}")
    session.expect(f"Transfer complete: {name}", TRANSFERRED)


def passive_get(session: Session, name: str, content: bytes) -> None:
    """Fetch a file."""
    finish_get(session, session.offer(f"get {name}", TO_SEND), name, content)


def passive_put(session: Session, name: str, content: bytes) -> None:
    """Store a file."""
    token = session.offer(f"put {name}", TO_RECEIVE, f"File size: {len(content)} bytes")
    finish_put(session, token, name, content)


# What it does.


@blocking
def test_get_put_and_ls(server: Server) -> None:
    content = os.urandom(3_000_000)
    with server.session() as session:
        passive_put(session, "a b", content)
        assert (server.root / "a b").read_bytes() == content
        passive_get(session, "a b", content)
        passive_put(session, "empty", b"")
        passive_get(session, "empty", b"")
        token = session.offer("ls", TO_SEND)
        with session.join(token) as data:
            assert data.rest() == b"a b\nempty\n"
        session.expect("Transfer complete: .")
        session.send("Transfer complete: .")
        session.expect(LISTED)
        assert session.get("a b") == content  # and the other way again
        assert session.is_answered()


@blocking
def test_the_port_told_is_the_one_that_was_reached(server: Server) -> None:
    with server.session() as session:
        session.send("features")
        assert "Feature: passive" in list(iter(session.line, "SUCCESS: Features listed."))
        session.send("ls", PASSIVE)
        session.expect(TO_SEND, f"Data channel port: {server.address[1]}")


@blocking
def test_the_word_counts_in_any_case(server: Server) -> None:
    (server.root / "f").write_bytes(b"abc")
    with server.session() as session:
        session.send("GET f", "data channel PORT: Passive")
        session.expect(TO_SEND)
        token = session.offered()
        field, _, digits = token.rpartition(" ")
        finish_get(session, f"{field.upper()} {digits.upper()}", "f", b"abc")


@pytest.mark.parametrize("size", [5, 200_000])
@blocking
def test_bytes_right_behind_the_token(server: Server, size: int) -> None:
    """Neither the greeting nor the answer need be awaited."""
    content = os.urandom(size)
    with server.session() as session:
        token = session.offer("put f", TO_RECEIVE, f"File size: {size} bytes")
        with server.session(greeted=False, first=token.encode() + b"\n" + content) as data:
            data.half_close()
            session.send("Transfer complete: f")
            session.expect("Transfer complete: f", TRANSFERRED)
            data.expect(GREETING, READY)
            assert data.ended()
    assert (server.root / "f").read_bytes() == content


@blocking
def test_a_token_that_comes_byte_by_byte(server: Server) -> None:
    with server.session() as session:
        token = session.offer("put f", TO_RECEIVE, "File size: 3 bytes")
        with session.beside() as data:
            for each in token.encode() + b"\r\n":
                data.socket.sendall(bytes([each]))
            data.expect(READY)
            data.socket.sendall(b"abc")
        session.send("Transfer complete: f")
        session.expect("Transfer complete: f", TRANSFERRED)


@blocking
def test_several_at_once(server: Server) -> None:
    with contextlib.ExitStack() as clients:
        waiting = []
        for number in range(8):
            content = os.urandom(100_000)
            session = clients.enter_context(server.session())
            token = session.offer(f"put f{number}", TO_RECEIVE, f"File size: {len(content)} bytes")
            waiting.append((session, token, f"f{number}", content))
        assert len({token for _, token, _, _ in waiting}) == 8
        for session, token, name, content in reversed(waiting):
            finish_put(session, token, name, content)
        for session, _, name, content in waiting:
            assert (server.root / name).read_bytes() == content
            assert session.is_answered()


@blocking
def test_at_other_endpoints(serve: Callable[..., Server], tmp_path: Path) -> None:
    """The number told, and the connection, are those of the endpoint that the client came by."""
    server = serve("--listen", r"tcp6:0:interface=\:\:1")
    port = int(server.logged(r"\[::1\]:(\d+)")[1])
    (server.root / "f").write_bytes(b"abc")
    for address in (server.address, ("::1", port)):
        with Session(address) as session:
            session.send("get f", PASSIVE)
            session.expect(TO_SEND, f"Data channel port: {address[1]}")
            finish_get(session, session.line(), "f", b"abc")


# Whoever else comes.


@blocking
def test_what_is_no_token_of_anybody(server: Server) -> None:
    """It is dropped without a word, and who is expected is still awaited."""
    (server.root / "f").write_bytes(b"abc")
    with server.session() as session:
        for wrong in (
            UNKNOWN,
            "Data channel token: ",
            "Data channel token: " + "g" * 32,
            "Data channel token: " + "0" * 31,
            "Data channel token: " + "0" * 33,
            "Data channel token: " + "0" * 8000,
        ):
            token = session.offer("get f", TO_SEND)
            with session.beside() as stranger:
                stranger.send(wrong)
                assert is_dropped(stranger.socket), wrong
            assert session.waits(0.02)
            finish_get(session, token, "f", b"abc")


@blocking
def test_half_of_a_token_is_none(server: Server) -> None:
    (server.root / "f").write_bytes(b"abc")
    with server.session() as session:
        token = session.offer("get f", TO_SEND)
        for wrong in (token[:-16], token[:-16] + "0" * 16, token[:-1] + ("1" if token[-1] == "0" else "0")):
            with session.beside() as stranger:
                stranger.send(wrong)
                assert is_dropped(stranger.socket)
        finish_get(session, token, "f", b"abc")


@blocking
def test_a_line_that_is_too_long_is_no_token(server: Server) -> None:
    (server.root / "f").write_bytes(b"abc")
    with server.session() as session:
        token = session.offer("get f", TO_SEND)
        with session.beside() as stranger:
            stranger.send(token + " " * 9000)
            with contextlib.suppress(ConnectionError):
                assert stranger.rest() in (b"", b"ERROR: Line too long.\n")
        finish_get(session, token, "f", b"abc")


@blocking
def test_a_token_is_for_one_use(server: Server) -> None:
    with server.session() as session:
        token = session.offer("put f", TO_RECEIVE, "File size: 6 bytes")
        with session.join(token) as data:
            data.socket.sendall(b"abc")
            with session.beside() as late:
                late.send(token)
                assert is_dropped(late.socket)
            data.socket.sendall(b"def")
        session.send("Transfer complete: f")
        session.expect("Transfer complete: f", TRANSFERRED)
        with session.beside() as late:
            late.send(token)
            assert is_dropped(late.socket)
        assert session.is_answered()
    assert (server.root / "f").read_bytes() == b"abcdef"


@blocking
def test_a_token_of_another_session(server: Server) -> None:
    """Whose it is decides what is sent, not who asked first."""
    for each in (b"one", b"two"):
        (server.root / each.decode()).write_bytes(each)
    with server.session() as one, server.session() as two:
        its, other = one.offer("get one", TO_SEND), two.offer("get two", TO_SEND)
        finish_get(two, other, "two", b"two")
        finish_get(one, its, "one", b"one")


@blocking
def test_a_token_behind_another_line_is_none(server: Server) -> None:
    (server.root / "f").write_bytes(b"abc")
    with server.session() as session:
        token = session.offer("get f", TO_SEND)
        with session.beside() as stranger:
            stranger.send("noop", token, "noop")
            # It is a session that tells of a token without a command it could belong to.
            stranger.expect(NOTHING, NOTHING)
        finish_get(session, token, "f", b"abc")


@blocking
def test_strangers_that_are_first(server: Server) -> None:
    (server.root / "f").write_bytes(b"abc")
    with server.session() as session, contextlib.ExitStack() as strangers:
        token = session.offer("get f", TO_SEND)
        for words in ((), (UNKNOWN,), ("noop",), ("get f",), ("\x16\x03\x01",), ("GET / HTTP/1.1",)):
            strangers.enter_context(session.beside()).send(*words)
        strangers.enter_context(session.beside()).socket.sendall(token[:30].encode())
        finish_get(session, token, "f", b"abc")


# Who is counted.


def is_let_in(server: Server) -> bool:
    """Whether one more is greeted."""
    with server.session(greeted=False) as session:
        return session.line() == GREETING


@blocking
def test_a_data_channel_is_no_session(serve: Callable[..., Server]) -> None:
    server = serve("--max-sessions", "1")
    with server.session() as session:
        passive_put(session, "f", b"abc")
        token = session.offer("put g", TO_RECEIVE, "File size: 3 bytes")
        with session.join(token) as data:
            # While that runs nothing is due any more: nobody else comes in.
            with server.session(greeted=False) as other:
                other.expect(CROWDED)
                assert other.ended()
            data.socket.sendall(b"abc")
        session.send("Transfer complete: g")
        session.expect("Transfer complete: g", TRANSFERRED)
        with server.session(greeted=False) as other:
            other.expect(CROWDED)
            assert other.ended()
        assert session.is_answered()


@pytest.mark.parametrize("option", ["--max-sessions", "--max-sessions-per-host"])
@blocking
def test_who_turns_out_to_be_one_session_too_many(serve: Callable[..., Server], option: str) -> None:
    server = serve(option, "1", "--connect-timeout", "1")
    (server.root / "f").write_bytes(b"abc")
    with server.session() as session:
        token = session.offer("get f", TO_SEND)
        with server.session() as other, server.session() as silent:
            # As long as a data channel is due, each might be one.
            other.send("noop", "noop")
            other.expect(CROWDED)
            assert other.ended()
            other.socket.close()
            finish_get(session, token, "f", b"abc")
            began = time.monotonic()
            silent.expect(CROWDED)
            assert time.monotonic() - began < 1.5
            assert silent.ended()
        assert session.is_answered()
        session.send("quit")
        session.expect("SUCCESS: Goodbye.")
    eventually(lambda: is_let_in(server))


@blocking
def test_who_might_be_a_data_channel_is_counted_too(serve: Callable[..., Server]) -> None:
    """64 at most are in doubt, and each for the connect timeout alone."""
    server = serve("--max-sessions", "1", "--connect-timeout", "1.5")
    (server.root / "f").write_bytes(b"abc")
    with contextlib.ExitStack() as clients:
        session = clients.enter_context(server.session())
        rest = server.descriptors()
        token = session.offer("get f", TO_SEND)
        for _ in range(64):
            clients.enter_context(server.session())
        more = clients.enter_context(server.session(greeted=False))
        more.expect(CROWDED)
        session.send("abort")
        session.expect(CANCELLED)
        assert token
        eventually(lambda: server.descriptors() <= rest + 70)
        clients.pop_all().close()
    eventually(lambda: server.descriptors() < rest)
    eventually(lambda: is_let_in(server))


# Who does not come.


@blocking
def test_nobody_comes(server: Server) -> None:
    with server.session() as session:
        descriptors = server.descriptors()
        token = session.offer("put f", TO_RECEIVE, "File size: 3 bytes")
        began = time.monotonic()
        session.expect(TIMED_OUT)
        assert 0.4 < time.monotonic() - began < 1.5
        with session.beside() as late:
            late.send(token)
            assert is_dropped(late.socket)
        passive_put(session, "g", b"abc")
        assert os.listdir(server.root) == ["g"]
        eventually(lambda: server.descriptors() <= descriptors)


@pytest.mark.parametrize("how", ["abort", "end", "reset", "FAILURE: Disk full."])
@blocking
def test_the_client_goes_while_it_is_awaited(server: Server, how: str) -> None:
    (server.root / "f").write_bytes(b"abc")
    rest = server.descriptors_at_rest()
    with server.session() as session:
        token = session.offer("get f", TO_SEND)
        if how == "end":
            session.socket.close()
        elif how == "reset":
            reset(session.socket)
        else:
            session.send(how)
            session.expect(CANCELLED if how == "abort" else how)
            assert session.is_answered()

        def is_void() -> bool:
            with server.session() as late:
                late.send(token)
                return is_dropped(late.socket)

        # A client that closes may still read: it is awaited as long as any.
        if how == "end":
            server.logged(r" get f ERROR .* Connection timed out")
        elif how == "reset":
            server.logged(r" get f ERROR .* Connection lost", 0.4)
        assert is_void()
    eventually(lambda: server.descriptors() <= rest)


@blocking
def test_a_client_that_ends_its_input_is_still_served(server: Server) -> None:
    """nc -N: all was said before, but for the completion, which will not come."""
    (server.root / "f").write_bytes(b"abc")
    with server.session() as session:
        session.send("get f", PASSIVE, "Transfer complete: f")
        session.half_close()
        session.expect(TO_SEND)
        with session.join(session.offered()) as data:
            assert data.rest() == b"abc"
        session.expect("File size: 3 bytes", "Transfer complete: f", TRANSFERRED)
        assert session.ended()


@pytest.mark.parametrize("command", ["get big", "put f"])
@blocking
def test_a_data_channel_that_breaks(tree: Server, command: str) -> None:
    rest = tree.descriptors_at_rest()
    with tree.session() as session:
        if command.startswith("get"):
            data = session.join(session.offer(command, TO_SEND))
            session.expect(f"File size: {BIG} bytes")
            assert data.socket.recv(1000)
        else:
            data = session.join(session.offer(command, TO_RECEIVE, "File size: 10 bytes"))
            data.socket.sendall(b"abc")
        reset(data.socket)
        session.expect(LOST)
        assert session.is_answered()
        assert session.get("f") == b"small"
    eventually(lambda: tree.descriptors() <= rest)


@blocking
def test_a_receiver_that_goes_before_the_first_byte(tree: Server) -> None:
    """Token and reset, perhaps seen at once."""
    with tree.session() as session:
        for _ in range(5):
            token = session.offer("get big", TO_SEND)
            with socket.create_connection(tree.address) as data:
                data.sendall(token.encode() + b"\n")
                reset(data)
            while (line := session.line()).startswith("File size"):
                pass
            assert line.startswith((LOST, TIMED_OUT)), line
        assert session.is_answered()


@blocking
def test_an_abort_while_it_moves(tree: Server) -> None:
    with tree.session() as session:
        data = session.join(session.offer("get big", TO_SEND))
        session.expect(f"File size: {BIG} bytes")
        assert data.socket.recv(1000)
        session.send("abort")
        session.expect(CANCELLED)
        assert session.is_answered()


@blocking
def test_the_server_stops_while_a_client_is_awaited(serve: Callable[..., Server]) -> None:
    server = serve("--connect-timeout", "1")
    make_big(server.root)
    with server.session() as session, server.session() as waiting:
        data = session.join(session.offer("get big", TO_SEND))
        session.expect(f"File size: {BIG} bytes")
        waiting.offer("get big", TO_SEND)
        server.terminate()
        waiting.expect(TIMED_OUT)
        assert data.rest() == bytes(BIG)
        session.expect("Transfer complete: big")
        session.send("Transfer complete: big")
        session.expect(TRANSFERRED)
    server.wait_for_end()


@blocking
def test_out_of_descriptors(serve: Callable[..., Server]) -> None:
    """Whether a connection can be taken in, or not made a data channel of, only its transfer ends."""
    server = serve("--connect-timeout", "1")
    (server.root / "f").write_bytes(b"abc")
    with server.session() as session, server.session() as other:
        passive_get(session, "f", b"abc")
        rest = server.descriptors()
        for spare in (0, 1):
            token = session.offer("get f", TO_SEND)
            server.limit_descriptors(server.free_descriptor() + spare)
            with socket.create_connection(server.address) as data:
                data.settimeout(PATIENCE)
                data.sendall(token.encode() + b"\n")
                session.expect("FAILURE: Limit reached." if spare else TIMED_OUT)
            assert other.is_answered()
            server.limit_descriptors(1000)
        passive_get(session, "f", b"abc")
        eventually(lambda: server.descriptors() <= rest)
    server.log[:] = [line for line in server.log if "Could not accept" not in line]


# Where the server cannot connect.

HEADER = b"PROXY TCP4 203.0.113.%d 203.0.113.1 50000 2121\r\n"


@blocking
def test_behind_a_proxy(serve: Callable[..., Server]) -> None:
    server = serve(*OPENLY, listen="haproxy:tcp:0:interface=127.0.0.1")
    (server.root / "f").write_bytes(b"abc")
    with server.session(first=HEADER % 7) as session:
        session.send("get f", "Data channel port: 5000")
        session.expect(TO_SEND, UNSUPPORTED)
        session.send("get none")
        session.expect(MISSING)
        for header in (HEADER % 7, HEADER % 8):  # a proxy may have several addresses
            token = session.offer("get f", TO_SEND)
            with server.session(first=header) as data:
                data.send(token)
                data.expect(READY)
                assert data.rest() == b"abc"
            session.expect("File size: 3 bytes", "Transfer complete: f")
            session.send("Transfer complete: f")
            session.expect(TRANSFERRED)
        token = session.offer("put g", TO_RECEIVE, "File size: 200000 bytes")
        content = os.urandom(200_000)
        whole = HEADER % 7 + token.encode() + b"\n" + content
        with server.session(greeted=False, first=whole) as data:
            data.half_close()
            session.send("Transfer complete: g")
            session.expect("Transfer complete: g", TRANSFERRED)
    assert (server.root / "g").read_bytes() == content


@blocking
def test_over_a_socket_of_the_file_system(serve: Callable[..., Server], tmp_path: Path) -> None:
    path = tmp_path / "socket"
    server = serve("--listen", f"unix:{path}")
    (server.root / "f").write_bytes(b"abc")

    with contextlib.ExitStack() as opened:

        def connected(said: bytes) -> socket.socket:
            made = opened.enter_context(socket.socket(socket.AF_UNIX))
            made.settimeout(PATIENCE)
            made.connect(str(path))
            made.sendall(said)
            return made

        control = connected(b"get f\nData channel port: passive\n")
        lines = opened.enter_context(control.makefile("rb"))
        assert lines.readline().decode().strip() == GREETING
        assert lines.readline().decode().strip() == TO_SEND
        assert lines.readline().startswith(b"Data channel port: ")
        token = lines.readline()
        assert read_all(connected(token)) == f"{GREETING}\n{READY}\n".encode() + b"abc"
        control.sendall(b"Transfer complete: f\n")
        assert lines.readline() == b"File size: 3 bytes\n"
        assert lines.readline() == b"Transfer complete: f\n"
        assert lines.readline().startswith(TRANSFERRED.encode())
