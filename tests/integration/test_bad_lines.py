"""Lines that nobody can make sense of, and clients at the wrong door: sections 1 and 2."""

from __future__ import annotations

import time

import pytest
from harness import Server, blocking
from raw import CANCELLED, NOTHING, SYNTAX, TO_SEND, UNEXPECTED, UNKNOWN

TOO_MANY = "ERROR: Too many failures."
TOO_LONG = "ERROR: Line too long."


@blocking
def test_ten_lines_of_junk_end_the_session(server: Server) -> None:
    with server.session() as session:
        session.send(*["junk", ""] * 5, "noop")
        session.expect(*[UNKNOWN, UNEXPECTED] * 5, TOO_MANY)
        assert session.ended()


@blocking
def test_a_command_in_between_begins_the_count_anew(server: Server) -> None:
    with server.session() as session:
        for _ in range(3):
            session.send(*["junk"] * 9, "noop")
            session.expect(*[UNKNOWN] * 9, NOTHING)
        session.send(*["junk"] * 9, "get", *["junk"] * 9, b"\xff", *["junk"] * 10)
        session.expect(*[UNKNOWN] * 9, SYNTAX, *[UNKNOWN] * 9, "ERROR: Not UTF-8.", *[UNKNOWN] * 10, TOO_MANY)
        assert session.ended()


@blocking
def test_the_tenth_may_end_a_command_at_step_3(server: Server) -> None:
    (server.root / "f").touch()
    with server.session() as session:
        session.send("get f")
        session.expect(TO_SEND)
        session.send(*["junk"] * 10)
        session.expect(*[UNKNOWN] * 10, TOO_MANY)
        assert session.ended()


@blocking
def test_not_utf8(server: Server) -> None:
    with server.session() as session:
        session.send(b"\xff", b"get \xe9", b"\xed\xb3\xa9", b"\xc0\x80", "noop")
        session.expect(*["ERROR: Not UTF-8."] * 4, NOTHING)


@pytest.mark.parametrize(
    "line", ["GET / HTTP/1.1", "GET /x y HTTP/1.0\r", "POST /ls HTTP/1.1\r", "xyzzy HTTP/1.1", " HTTP/1.1"]
)
@blocking
def test_a_browser_is_shown_out_without_a_word(server: Server, line: str) -> None:
    with server.session() as session:
        began = time.monotonic()
        session.send(line, "Host: localhost\r", "\r")
        assert session.ended()
        assert time.monotonic() - began < 1


@pytest.mark.parametrize("line", ["GET / HTTP/1.1 ", "GET / HTTP/2", "GET / http/1.1", "HTTP/1.1"])
@blocking
def test_what_only_resembles_a_browser(server: Server, line: str) -> None:
    with server.session() as session:
        session.send(line, "noop")
        assert not session.line().startswith("SUCCESS")
        session.expect(NOTHING)


@blocking
def test_a_browsers_line_later_on_is_a_line(server: Server) -> None:
    with server.session() as session:
        session.send("noop", "GET / HTTP/1.1", "POST / HTTP/1.1", "noop")
        session.expect(NOTHING, "FAILURE: File not found.", UNKNOWN, NOTHING)


@pytest.mark.parametrize(
    "first", [b"\x16", b"\x16\x03\x01\x02\x00\x01", b"\x16\x03\x01\n\n", b"\x16 HTTP/1.1\n"]
)
@blocking
def test_a_tls_client_is_shown_out_without_a_word(server: Server, first: bytes) -> None:
    with server.session() as session:
        began = time.monotonic()
        session.socket.sendall(first)
        assert session.ended()
        assert time.monotonic() - began < 1


@blocking
def test_a_16_that_is_not_the_first_byte(server: Server) -> None:
    with server.session() as session:
        session.socket.sendall(b"noop")
        time.sleep(0.05)  # two reads of the server's, nothing can be awaited
        session.socket.sendall(b"\x16\n")
        session.expect(UNKNOWN)
        session.send(b"\x16")
        session.expect(UNKNOWN)
        assert session.is_answered()


@blocking
def test_a_line_of_8192_bytes_is_taken(server: Server) -> None:
    with server.session() as session:
        session.send("x" * 8191, "x" * 8190 + "\r", "noop")
        session.expect(UNKNOWN, UNKNOWN, NOTHING)


@pytest.mark.parametrize(
    "line",
    [b"x" * 8192 + b"\n", b"x" * 8192, b"x" * 100_000, b"get " + b"y" * 8190 + b"\nnoop\n", b"\xff" * 9000],
)
@blocking
def test_a_longer_line_ends_the_session(server: Server, line: bytes) -> None:
    with server.session() as session:
        session.socket.sendall(line)
        session.expect(TOO_LONG)
        assert session.ended()


@blocking
def test_a_long_line_behind_others(server: Server) -> None:
    """What was sent before it is answered first."""
    with server.session() as session:
        session.send("noop", "pwd", "junk", "x" * 9000, "noop")
        session.expect(NOTHING, "Directory: /", "SUCCESS: Described.", UNKNOWN, TOO_LONG)
        assert session.ended()


@blocking
def test_a_long_line_at_step_3_is_the_final_status(server: Server) -> None:
    (server.root / "f").write_bytes(b"abc")
    with server.session() as session:
        session.send("get f")
        session.expect(TO_SEND)
        session.send("x" * 8192)
        session.expect(TOO_LONG)
        assert session.ended()


@blocking
def test_a_long_line_behind_an_abort(server: Server) -> None:
    with open(server.root / "big", "wb") as file:
        file.truncate(64 << 20)
    with server.session() as session:
        session.begin_get("big", 64 << 20)
        session.send("noop", "abort", "x" * 9000)
        session.expect(CANCELLED, CANCELLED, TOO_LONG)
        assert session.ended()


@blocking
def test_last_words_arrive_where_much_was_sent_behind(server: Server) -> None:
    """To close while the client still sends would reset the connection, and the words would be lost."""
    with server.session() as session:
        session.socket.sendall(b"quit\n" + b"noop\n" * 20_000)
        time.sleep(0.1)  # what is unread when a side closes is what resets; nothing tells of that
        session.socket.sendall(b"noop\n" * 1000)
        session.expect("SUCCESS: Goodbye.")
        assert session.ended()
