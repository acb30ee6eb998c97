"""Tokens where the server connects: each end of a data channel proves itself before a byte moves."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from harness import BIG, Server, blocking, eventually
from raw import (
    CANCELLED,
    LISTED,
    PASSIVE,
    PATIENCE,
    SYNTAX,
    TO_RECEIVE,
    TO_SEND,
    TRANSFERRED,
    UNENCRYPTED,
    Session,
    closed_port,
    is_dropped,
    read_all,
    reset,
)

OURS, ITS = "0123456789abcdef", "fedcba9876543210"
TOKEN = f"Data channel token: {OURS}{ITS}"
OUR_HALF, ITS_HALF = f"Data channel token: {OURS}\n".encode(), f"Data channel token: {ITS}\n".encode()


def read_line(sock: socket.socket) -> bytes:
    """One line, and nothing behind it."""
    line = b""
    while not line.endswith(b"\n"):
        piece = sock.recv(1)
        if not piece:
            raise EOFError(line)
        line += piece
    return line


def says_nothing(sock: socket.socket, seconds: float = 0.1) -> bool:
    """Whether nothing comes for so long."""
    sock.settimeout(seconds)
    try:
        sock.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return True
    finally:
        sock.settimeout(PATIENCE)
    return False


def begin(session: Session, command: str, answer: str, *fields: str) -> socket.socket:
    """Steps 1 to 4 with the token: a connection on which nothing was said yet."""
    return session.begin(command, answer, TOKEN, *fields)


def is_over(session: Session) -> str:
    """The command's final status, with no more than a size before it."""
    line = session.line()
    return session.line() if line.startswith("File size: ") else line


# With those who are what they say.


@blocking
def test_get_put_and_ls(server: Server) -> None:
    content = os.urandom(300_000)
    with server.session() as session:
        with begin(session, "put f", TO_RECEIVE, f"File size: {len(content)} bytes") as data:
            data.sendall(OUR_HALF)
            assert read_line(data) == ITS_HALF
            data.sendall(content)
        session.send("Transfer complete: f")
        session.expect("Transfer complete: f", TRANSFERRED)
        assert (server.root / "f").read_bytes() == content
        with begin(session, "get f", TO_SEND) as data:
            data.sendall(OUR_HALF)
            assert read_all(data) == ITS_HALF + content
        session.expect(f"File size: {len(content)} bytes", "Transfer complete: f")
        session.send("Transfer complete: f")
        session.expect(TRANSFERRED)
        with begin(session, "ls", TO_SEND) as data:
            data.sendall(OUR_HALF)
            assert read_all(data) == ITS_HALF + b"f\n"
        session.expect("Transfer complete: .")
        session.send("Transfer complete: .")
        session.expect(LISTED)
        # The same token again is the client's own affair; without one, as ever.
        assert session.get("f") == content


@blocking
def test_bytes_right_behind_the_half(server: Server) -> None:
    """What a client sends that does not wait for the server's half is not lost."""
    content = os.urandom(50_000)
    with server.session() as session:
        with begin(session, "put f", TO_RECEIVE, f"File size: {len(content)} bytes") as data:
            data.sendall(OUR_HALF + content)
            # To close with the server's half unread would be a reset.
            assert data.recv(len(OUR_HALF), socket.MSG_WAITALL).startswith(b"Data channel token: ")
        session.send("Transfer complete: f")
        session.expect("Transfer complete: f", TRANSFERRED)
    assert (server.root / "f").read_bytes() == content


@pytest.mark.parametrize(
    "half",
    [
        OUR_HALF.upper(),
        OUR_HALF.replace(b"\n", b"\r\n"),
        OUR_HALF.replace(b"Data", b"dATA"),
    ],
)
@blocking
def test_other_spellings(server: Server, half: bytes) -> None:
    (server.root / "f").write_bytes(b"abc")
    with server.session() as session:
        data = session.begin("get f", TO_SEND, TOKEN.replace(OURS + ITS, (OURS + ITS).upper()))
        data.sendall(half)
        assert read_all(data) == ITS_HALF + b"abc"
        session.expect("File size: 3 bytes", "Transfer complete: f")
        session.send("Transfer complete: f")
        session.expect(TRANSFERRED)


@blocking
def test_a_half_that_comes_byte_by_byte(server: Server) -> None:
    (server.root / "f").write_bytes(b"abc")
    with server.session() as session:
        data = begin(session, "get f", TO_SEND)
        for each in OUR_HALF:
            data.sendall(bytes([each]))
        assert read_all(data) == ITS_HALF + b"abc"


# At the port are others.


@pytest.fixture(params=["get big", "put f"])
def awaited(request: pytest.FixtureRequest, tree: Server) -> Iterator[tuple[Session, str, list[str]]]:
    """A session, a command, and its answer and fields; the session goes on after it."""
    rest = tree.descriptors_at_rest()
    with tree.session() as session:
        if request.param == "get big":
            yield session, "get big", [TO_SEND]
        else:
            yield session, "put f", [TO_RECEIVE, "File size: 100 bytes"]
        assert session.is_answered()
        assert session.get("f") == b"small"
    eventually(lambda: tree.descriptors() <= rest)


@pytest.mark.parametrize(
    "said",
    [
        ITS_HALF,
        f"Data channel token: {OURS}{ITS}\n".encode(),
        f"Data channel token: {OURS[:-1]}\n".encode(),
        f"Data channel token: {OURS[:-1]}0\n".encode(),
        b"Data channel token: \n",
        OURS.encode() + b"\n",
        b"\n",
        b"SUCCESS: Data channel ready.\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        pytest.param(b"x" * 100_000, id="flood"),
        b"\n" + OUR_HALF,
        b"abc" + OUR_HALF,
    ],
)
@blocking
def test_a_stranger(awaited: tuple[Session, str, list[str]], said: bytes) -> None:
    """No byte goes to it, none is taken from it."""
    session, command, begun = awaited
    data = begin(session, command, *begun)
    with contextlib.suppress(ConnectionError):  # a server that takes no more of it resets
        data.sendall(said)
    assert is_dropped(data)
    assert is_over(session).startswith("ERROR: Connection ")


@pytest.mark.parametrize("said", [b"", b"Data channel token: 01234567"])
@blocking
def test_a_silent_stranger(awaited: tuple[Session, str, list[str]], said: bytes) -> None:
    session, command, begun = awaited
    began = time.monotonic()
    data = begin(session, command, *begun)
    data.sendall(said)
    assert is_over(session).startswith("ERROR: Connection timed out.")
    assert 0.4 < time.monotonic() - began < 1.5
    assert is_dropped(data)


@pytest.mark.parametrize("how", ["end", "half", "reset"])
@blocking
def test_a_stranger_that_goes(awaited: tuple[Session, str, list[str]], how: str) -> None:
    session, command, begun = awaited
    data = begin(session, command, *begun)
    if how == "reset":
        reset(data)
    elif how == "end":
        data.close()
    else:
        data.shutdown(socket.SHUT_WR)
    assert is_over(session).startswith("ERROR: Connection lost.")


@blocking
def test_an_abort_while_the_half_is_awaited(awaited: tuple[Session, str, list[str]]) -> None:
    session, command, begun = awaited
    data = begin(session, command, *begun)
    session.send("abort")
    session.expect(CANCELLED)
    assert is_dropped(data)


@blocking
def test_nothing_of_a_strangers_is_stored(server: Server) -> None:
    (server.root / "f").write_bytes(b"old")
    with server.session() as session:
        data = begin(session, "put f", TO_RECEIVE, "File size: 3 bytes")
        session.send("Transfer complete: f")
        with contextlib.suppress(ConnectionError):
            data.sendall(b"abc")
            data.shutdown(socket.SHUT_WR)
        assert is_over(session).startswith("ERROR: Connection ")
        assert session.get("f") == b"old"
        assert session.ls() == [b"f"]


@blocking
def test_the_size_of_a_file_is_told_to_whom_it_is_for(tree: Server) -> None:
    """Nothing of a get is said before the half was seen, on either connection."""
    with tree.session() as session:
        data = begin(session, "get big", TO_SEND)
        assert session.waits(0.05)
        assert says_nothing(data, 0.05)
        data.sendall(OUR_HALF)
        session.expect(f"File size: {BIG} bytes")
        assert read_line(data) == ITS_HALF


@blocking
def test_the_server_proves_itself_once(server: Server) -> None:
    """A half said again is data, which a receiver must not send."""
    (server.root / "f").write_bytes(b"abc")
    with server.session() as session:
        with begin(session, "put f", TO_RECEIVE, f"File size: {len(OUR_HALF)} bytes") as data:
            data.sendall(OUR_HALF * 2)
        session.send("Transfer complete: f")
        session.expect("Transfer complete: f", TRANSFERRED)
    assert (server.root / "f").read_bytes() == OUR_HALF


@blocking
def test_a_port_that_nobody_listens_on(server: Server) -> None:
    (server.root / "f").write_bytes(b"abc")
    with server.session() as session, closed_port() as port:
        session.send("get f")
        session.expect(TO_SEND)
        session.send(TOKEN, f"Data channel port: {port}")
        session.expect("ERROR: Connection refused.")
        assert session.is_answered()


# The field.


@pytest.mark.parametrize(
    "value",
    ["", "0" * 31, "0" * 33, "g" * 32, "0" * 30 + " 0", "\N{FULLWIDTH DIGIT ZERO}" * 32, "-" + "0" * 31],
)
@blocking
def test_what_is_no_token(server: Server, value: str) -> None:
    (server.root / "f").write_bytes(b"abc")
    with server.session() as session:
        session.send("get f")
        session.expect(TO_SEND)
        session.send(f"Data channel token: {value}")
        session.expect(SYNTAX)
        assert session.is_answered()


@blocking
def test_twice(server: Server) -> None:
    (server.root / "f").write_bytes(b"abc")
    with server.session() as session:
        session.send("get f", TOKEN, TOKEN.replace(OURS, ITS))
        session.expect(TO_SEND, SYNTAX)
        assert session.is_answered()
        session.send("get f")
        session.expect(TO_SEND)
        with session.listen() as listener:
            session.send(TOKEN, TOKEN, listener.announcement)
            with listener.accept() as data:
                data.sendall(OUR_HALF)
                assert read_all(data) == ITS_HALF + b"abc"


@blocking
def test_behind_the_port_it_comes_too_late(server: Server) -> None:
    """Options stand before the port."""
    (server.root / "f").write_bytes(b"abc")
    with server.session() as session, session.listen() as listener:
        session.send("get f", listener.announcement, TOKEN)
        session.expect(TO_SEND)
        with listener.accept() as data:
            assert read_all(data) == b"abc"


@blocking
def test_where_it_is_demanded(serve: Callable[..., Server]) -> None:
    server = serve("--require-token")
    (server.root / "f").write_bytes(b"abc")
    with server.session() as session, session.listen() as listener:
        for command, answer in (("get f", TO_SEND), ("put g", TO_RECEIVE), ("ls", TO_SEND)):
            session.send(command, listener.announcement)
            session.expect(answer, UNENCRYPTED)
        assert listener.is_left_alone(0.05)
        data = begin(session, "get f", TO_SEND)
        data.sendall(OUR_HALF)
        assert read_all(data) == ITS_HALF + b"abc"
        session.expect("File size: 3 bytes", "Transfer complete: f")
        session.send("Transfer complete: f")
        session.expect(TRANSFERRED)
        # Passive has its own.
        with session.join(session.offer("get f", TO_SEND)) as passive:
            assert passive.rest() == b"abc"
        session.expect("File size: 3 bytes", "Transfer complete: f")
        session.send("Transfer complete: f")
        session.expect(TRANSFERRED)


@blocking
def test_the_clients_own_is_of_no_use_where_it_connects(server: Server) -> None:
    (server.root / "f").write_bytes(b"abc")
    with server.session() as session:
        token = session.offer("get f", TO_SEND, TOKEN)
        with session.beside() as stranger:
            stranger.send(TOKEN)
            assert is_dropped(stranger.socket)
        with session.join(token) as data:
            assert data.rest() == b"abc"


@blocking
def test_it_is_listed(server: Server) -> None:
    with server.session() as session:
        session.send("features")
        assert "Feature: token" in list(iter(session.line, "SUCCESS: Features listed."))


@blocking
def test_no_log_tells_it(server: Server) -> None:
    (server.root / "f").write_bytes(b"abc")
    with server.session() as session:
        session.send("get f", PASSIVE)
        session.expect(TO_SEND)
        token = session.offered()
        with session.join(token) as data:
            assert data.rest() == b"abc"
        session.expect("File size: 3 bytes", "Transfer complete: f")
        session.send("Transfer complete: f")
        session.expect(TRANSFERRED)
        server.logged(" get f SUCCESS")
        data = begin(session, "get f", TO_SEND)
        data.sendall(ITS_HALF)
        assert is_dropped(data)
        server.logged(" get f ERROR")
    whole = "\n".join(server.log)
    assert token.split()[-1] not in whole
    assert OURS not in whole
    assert ITS not in whole
