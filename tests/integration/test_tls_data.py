"""Data channels of a session inside TLS, by hand: who may have one, and how its stream ends."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from channels import ITS_HALF, OUR_HALF, TOKEN, Begin, active, complete, passive
from harness import BIG, Server, blocking, eventually, make_big, names_in
from pki import server_files, stranger, trusting
from raw import (
    CANCELLED,
    CROWDED,
    LISTED,
    LOST,
    READY,
    TIMED_OUT,
    TO_RECEIVE,
    TO_SEND,
    TRANSFERRED,
    UNENCRYPTED,
    Session,
    cut,
    finish,
    is_dropped,
    read_all,
    reset,
)


@pytest.fixture
def inside(secure: Server) -> Iterator[Session]:
    """A session inside TLS, which is at rest and can go on after all that is done to it."""
    rest = secure.descriptors_at_rest()
    with secure.session() as session:
        session.starttls(trusting())
        yield session
        assert session.is_answered()
    eventually(lambda: secure.descriptors() <= rest)


both = pytest.mark.parametrize("begin", [active, passive])


# What it does.


@both
@blocking
def test_get_put_and_ls(secure: Server, inside: Session, begin: Begin) -> None:
    content = os.urandom(3_000_000)
    with begin(inside, "put new", TO_RECEIVE, f"File size: {len(content)} bytes") as data:
        data.sendall(content)
        finish(data)
        inside.send("Transfer complete: new")
        inside.expect("Transfer complete: new", TRANSFERRED)
        assert is_dropped(data)
    assert (secure.root / "new").read_bytes() == content
    with begin(inside, "get new", TO_SEND) as data:
        assert read_all(data) == content  # up to TLS's close: a cut would be an error
        complete(inside, "new", len(content))
    with begin(inside, "get big", TO_SEND) as data:
        assert read_all(data) == bytes(BIG)
        complete(inside, "big", BIG)
    with begin(inside, "ls", TO_SEND) as data:
        assert read_all(data) == b"big\nf\nnew\n"
        complete(inside, ".", None, LISTED)


@both
@blocking
def test_nothing_at_all(secure: Server, inside: Session, begin: Begin) -> None:
    with begin(inside, "put new", TO_RECEIVE, "File size: 0 bytes") as data:
        finish(data)
        inside.send("Transfer complete: new")
        inside.expect("Transfer complete: new", TRANSFERRED)
    with begin(inside, "get new", TO_SEND) as data:
        assert read_all(data) == b""
        complete(inside, "new", 0)


@both
@blocking
def test_a_receiver_that_answers_the_close_before_its_completion(inside: Session, begin: Begin) -> None:
    with begin(inside, "get f", TO_SEND) as data:
        assert read_all(data) == b"small"
        finish(data)
        complete(inside, "f", 5)


@both
@blocking
def test_with_tls_1_2(secure: Server, begin: Begin) -> None:
    context = trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    content = os.urandom(300_000)
    with secure.session() as session:
        session.starttls(context)
        with begin(session, "put new", TO_RECEIVE, f"File size: {len(content)} bytes") as data:
            data.sendall(content)
            finish(data)
            session.send("Transfer complete: new")
            session.expect("Transfer complete: new", TRANSFERRED)
        with begin(session, "get new", TO_SEND) as data:
            assert read_all(data) == content
            complete(session, "new", len(content))


@blocking
def test_bytes_right_behind_the_token(secure: Server, inside: Session) -> None:
    """In one record with it."""
    content = os.urandom(9_000)
    token = inside.offer("put new", TO_RECEIVE, f"File size: {len(content)} bytes")
    data = inside.beside()
    data.socket.sendall(token.encode() + b"\n" + content)
    finish(data.socket)
    inside.send("Transfer complete: new")
    inside.expect("Transfer complete: new", TRANSFERRED)
    assert (secure.root / "new").read_bytes() == content


# Who may have one.


@blocking
def test_a_port_without_a_token(inside: Session) -> None:
    with inside.listen() as listener:
        for command, answer in (("get f", TO_SEND), ("put new", TO_RECEIVE), ("ls", TO_SEND)):
            inside.send(command, listener.announcement)
            inside.expect(answer, UNENCRYPTED)
        assert listener.is_left_alone(0.05)


@blocking
def test_a_token_that_comes_in_the_clear(secure: Server, inside: Session) -> None:
    """It is nobody's there, and still good where it belongs."""
    token = inside.offer("get f", TO_SEND)
    with secure.session() as other:
        other.send(token)
        assert is_dropped(other.socket)
    assert inside.waits(0.02)
    with inside.join(token) as data:
        assert data.rest() == b"small"
    complete(inside, "f", 5)


@blocking
def test_a_token_that_comes_in_the_clear_where_tls_began(secure: Server, inside: Session) -> None:
    token = inside.offer("get f", TO_SEND)
    with secure.session(first=b"starttls\n" + token.encode() + b"\n") as other:
        assert is_dropped(other.socket)
    with inside.join(token) as data:
        assert data.rest() == b"small"
    complete(inside, "f", 5)


@blocking
def test_strangers_inside_tls(secure: Server, inside: Session) -> None:
    token = inside.offer("get f", TO_SEND)
    for wrong in ("Data channel token: " + "0" * 32, "Data channel token: ", token[:-1]):
        other = inside.beside()
        other.send(wrong)
        assert is_dropped(other.socket)
    silent = inside.beside()
    with inside.join(token) as data:
        assert data.rest() == b"small"
    complete(inside, "f", 5)
    assert silent.is_answered()  # a session as any


@pytest.mark.parametrize("said", [OUR_HALF, b"\n", b"x" * 20_000])
@blocking
def test_a_stranger_at_the_port_that_speaks_no_tls(inside: Session, said: bytes) -> None:
    """It gets an alert of TLS at most, whatever it knows."""
    data = inside.begin("get f", TO_SEND, TOKEN)
    with contextlib.suppress(ConnectionError):
        data.sendall(said)
    with contextlib.suppress(ConnectionError):
        assert read_all(data)[:1] in (b"", b"\x15")
    assert inside.line().startswith("ERROR: Connection ")


@blocking
def test_a_silent_stranger_at_the_port(inside: Session) -> None:
    data = inside.begin("get f", TO_SEND, TOKEN)
    inside.expect(TIMED_OUT)
    assert is_dropped(data)


@pytest.mark.parametrize("said", [ITS_HALF, TOKEN.encode() + b"\n", b"abc\n"])
@blocking
def test_a_stranger_at_the_port_that_speaks_tls(inside: Session, said: bytes) -> None:
    with inside.wrap(inside.begin("get f", TO_SEND, TOKEN)) as data:
        data.sendall(said)
        assert is_dropped(data)
        assert inside.line().startswith("ERROR: Connection ")


@blocking
def test_a_client_that_does_not_trust_the_server(inside: Session) -> None:
    """Somebody between the two: the client breaks off, on each data channel anew."""
    distrustful = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger().configure_trust(distrustful)
    data = inside.begin("put new", TO_RECEIVE, TOKEN, "File size: 5 bytes")
    with pytest.raises(ssl.SSLCertVerificationError):
        inside.wrap(data, distrustful)
    inside.expect(LOST)
    inside.send("ls")
    inside.expect(TO_SEND)
    inside.send("abort")
    inside.expect(CANCELLED)


@blocking
def test_a_data_channel_is_no_session(serve: Callable[..., Server], tmp_path: Path) -> None:
    """Neither while it turns to TLS."""
    server = serve("--max-sessions", "1", "--connect-timeout", "1", *server_files(tmp_path))
    (server.root / "f").write_bytes(b"small")
    with server.session() as session:
        session.starttls(trusting())
        for _ in range(2):
            with session.join(session.offer("get f", TO_SEND)) as data:
                assert data.rest() == b"small"
            complete(session, "f", 5)
        token = session.offer("get f", TO_SEND)
        other, silent = session.beside(), session.beside()
        other.send("noop")
        other.expect(CROWDED)
        assert other.ended()
        with session.join(token) as data:
            assert data.rest() == b"small"
        complete(session, "f", 5)
        silent.expect(CROWDED)
        assert silent.ended()
        assert session.is_answered()


# How it ends.


def cut_in_a_record(data: socket.socket) -> None:
    """End TCP's stream when one has begun."""
    socket.socket.send(data, b"\x17\x03\x03\x00")
    cut(data)


def tamper(data: socket.socket) -> None:
    """Put in a record that was not sealed by the client."""
    socket.socket.send(data, b"\x17\x03\x03\x00\x20" + bytes(32))


BREAKS: dict[str, tuple[Callable[[socket.socket], object], str]] = {
    "cut": (cut, LOST),
    "record": (cut_in_a_record, LOST),
    "tampered": (tamper, LOST),
    "reset": (reset, LOST),
    "stalls": (lambda data: None, TIMED_OUT),
}
"""What is done to the channel of a put, and what that ends with."""


@both
@blocking
def test_puts_that_break_off(secure: Server, begin: Begin) -> None:
    """All bytes have come, and the completion too; but anybody between can end TCP's stream."""
    for how in BREAKS:
        (secure.root / how).write_bytes(b"old")
    with contextlib.ExitStack() as opened:
        broken = []
        for how, (break_it, _) in BREAKS.items():  # all at once: each takes a second
            session = opened.enter_context(secure.session())
            session.starttls(trusting())
            data = opened.enter_context(begin(session, f"put {how}", TO_RECEIVE, "File size: 9 bytes"))
            data.sendall(b"1234" if how == "stalls" else b"123456789")
            if how != "stalls":
                session.send(f"Transfer complete: {how}")
            break_it(data)
            broken.append((how, session, data))
        for how, session, data in broken:
            session.expect(BREAKS[how][1])
            assert data.fileno() < 0 or is_dropped(data), how
            assert session.is_answered()
    for how in BREAKS:
        assert (secure.root / how).read_bytes() == b"old"
    assert names_in(secure.root) == sorted(["big", "f", *BREAKS])


@both
@blocking
def test_a_put_of_more_than_was_announced(secure: Server, inside: Session, begin: Begin) -> None:
    with begin(inside, "put new", TO_RECEIVE, "File size: 9 bytes") as data:
        data.sendall(b"1234567890")
        inside.expect("FAILURE: Size mismatch.")
        assert is_dropped(data)
    assert names_in(secure.root) == ["big", "f"]


@both
@blocking
def test_a_get_that_the_server_breaks_off(inside: Session, begin: Begin) -> None:
    """It must not look like the end."""
    with begin(inside, "get big", TO_SEND) as data:
        inside.expect(f"File size: {BIG} bytes")
        assert data.recv(1000)
        inside.send("abort")
        inside.expect(CANCELLED)
        with pytest.raises(OSError, match=r"EOF|reset"):
            read_all(data)


@both
@blocking
def test_a_get_of_a_server_that_is_killed(serve: Callable[..., Server], tmp_path: Path, begin: Begin) -> None:
    server = serve(*server_files(tmp_path))
    make_big(server.root)
    with server.session() as session:
        session.starttls(trusting())
        with begin(session, "get big", TO_SEND) as data:
            assert data.recv(1000)
            server.process.kill()
            with pytest.raises(OSError, match=r"EOF|reset"):
                read_all(data)
        with pytest.raises(OSError, match=r"EOF|reset"):
            session.rest()


@blocking
def test_receivers_that_stop_reading_or_break_off(secure: Server) -> None:
    memory = secure.memory()
    with contextlib.ExitStack() as opened:
        stopped = []
        for begin in (active, passive):
            for ends_with in (TIMED_OUT, LOST):
                session = opened.enter_context(secure.session())
                session.starttls(trusting())
                data = opened.enter_context(begin(session, "get big", TO_SEND))
                session.expect(f"File size: {BIG} bytes")
                assert data.recv(1000)
                if ends_with == LOST:
                    reset(data)
                stopped.append((session, ends_with))
        for session, ends_with in stopped:
            session.expect(ends_with)
            assert session.is_answered()
        assert secure.memory() < memory + (16 << 20)


@both
@blocking
def test_a_receiver_that_sends(inside: Session, begin: Begin) -> None:
    """It ends the transfer, and does no harm to the session."""
    with begin(inside, "get f", TO_SEND) as data:
        data.sendall(b"what?")
        inside.expect("File size: 5 bytes")
        statuses = []
        while not statuses or not statuses[-1].startswith(("ERROR", "SUCCESS")):
            statuses.append(inside.line())


@blocking
def test_at_an_endpoint_of_tls(serve: Callable[..., Server], tmp_path: Path) -> None:
    """Where the server connects, TLS is there from the first byte anyway; where the client does, here too."""
    server = serve(*server_files(tmp_path), listen="ssl:0:interface=127.0.0.1")
    with server.session(greeted=False) as session:
        session.turn(trusting(), first=True)
        for begin in (active, passive):
            with begin(session, "put new", TO_RECEIVE, "File size: 3 bytes") as data:
                data.sendall(b"abc")
                finish(data)
                session.send("Transfer complete: new")
                session.expect("Transfer complete: new", TRANSFERRED)
            with begin(session, "get new", TO_SEND) as data:
                assert read_all(data) == b"abc"
                complete(session, "new", 3)
        token = session.offer("get new", TO_SEND)
        with contextlib.suppress(ConnectionError), server.session(greeted=False) as other:
            other.send(token)
            assert READY.encode() not in other.rest()
        with session.join(token) as joined:
            assert joined.rest() == b"abc"
        complete(session, "new", 3)
