"""What crosses on the wire or is sent ahead must not desynchronise a session: section 2, "Out of turn"."""

from __future__ import annotations

import pytest
from harness import Server, blocking
from raw import (
    CANCELLED,
    LISTED,
    MISSING,
    NOTHING,
    SYNTAX,
    TO_RECEIVE,
    TO_SEND,
    TRANSFERRED,
    UNEXPECTED,
    UNKNOWN,
    read_all,
    reset,
)


@blocking
def test_fields_behind_a_refused_get_fall_on_the_floor(tree: Server) -> None:
    with tree.session() as session, session.listen() as listener:
        session.send(
            "get none", listener.announcement, "Transfer complete: none", "FAILURE: Disk full.", "noop"
        )
        session.expect(MISSING, NOTHING)
        session.send(listener.announcement, "File size: rubbish", "Transfer complete: none", "noop")
        session.expect(NOTHING)
        assert listener.is_left_alone()


@blocking
def test_fields_behind_an_answered_command_are_ignored(tree: Server) -> None:
    with tree.session() as session:
        session.send(
            "noop", "Data channel port: 1", "Transfer complete: .", "FAILURE: Transfer cancelled.", "noop"
        )
        session.expect(NOTHING, NOTHING)
        assert session.get("f") == b"small"
        session.send("Transfer complete: f", "Data channel port: +5", "noop")
        session.expect(NOTHING)


@blocking
def test_fields_before_any_command_do_not_belong(tree: Server) -> None:
    with tree.session() as session:
        session.send(
            "Data channel port: 5000", "FAILURE: Disk full.", "noop", "Data channel port: 5000", "noop"
        )
        session.expect(UNEXPECTED, UNEXPECTED, NOTHING, NOTHING)


@blocking
def test_everything_sent_ahead(tree: Server) -> None:
    with tree.session() as session, session.listen() as listener:
        transfer = (listener.announcement, "Transfer complete: f")
        session.send("noop", "get f", *transfer, "get none", *transfer, "get f", *transfer, "noop")
        session.expect(NOTHING, TO_SEND)
        for answer in (MISSING, NOTHING):
            with listener.accept() as data:
                session.expect("File size: 5 bytes", "Transfer complete: f", TRANSFERRED, answer)
                assert read_all(data) == b"small"
            if answer == MISSING:
                session.expect(TO_SEND)


@blocking
def test_put_with_everything_sent_ahead(tree: Server) -> None:
    with tree.session() as session, session.listen() as listener:
        session.send("put new", "File size: 3 bytes", listener.announcement, "Transfer complete: new", "noop")
        session.expect(TO_RECEIVE)
        with listener.accept() as data:
            assert session.waits()
            data.sendall(b"abc")
        session.expect("Transfer complete: new", TRANSFERRED, NOTHING)
        assert (tree.root / "new").read_bytes() == b"abc"


# Sizes and completions.


@blocking
def test_a_second_size_that_is_the_same(tree: Server) -> None:
    with tree.session() as session:
        data = session.begin_put("g", 3)
        session.send("File size: 3 bytes")
        data.sendall(b"abc")
        data.close()
        session.send("File size: 3 bytes", "Transfer complete: g")
        session.expect("Transfer complete: g", TRANSFERRED)


@blocking
def test_a_second_size_that_differs(tree: Server) -> None:
    with tree.session() as session:
        session.send("put g")
        session.expect(TO_RECEIVE)
        session.send("File size: 3 bytes", "File size: 4 bytes")
        session.expect(SYNTAX)
        with session.begin_put("g", 3) as data:
            data.sendall(b"abc")
            session.send("File size: 4 bytes")
            session.expect(SYNTAX)
        assert session.is_answered()
    assert not (tree.root / "g").exists()


@blocking
def test_a_completion_without_a_size_before_it(tree: Server) -> None:
    with tree.session() as session:
        with session.begin_put("f", None) as data:
            data.sendall(b"abc")
        session.send("Transfer complete: f", "File size: 3 bytes")
        session.expect(SYNTAX)
        assert session.get("f") == b"small"


@blocking
def test_a_completion_ahead_of_its_bytes(tree: Server) -> None:
    with tree.session() as session:
        with session.begin_put("g", 3) as data:
            session.send("Transfer complete: g", "noop")
            data.sendall(b"abc")
        session.expect("Transfer complete: g", TRANSFERRED, NOTHING)
        data = session.begin_get("big", 64 << 20)
        session.send("Transfer complete: big", "noop")
        assert session.waits()
        assert len(read_all(data)) == 64 << 20
        session.expect("Transfer complete: big", TRANSFERRED, NOTHING)


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ("other", UNEXPECTED),
        ("F", UNEXPECTED),
        (".ftplite-x", UNEXPECTED),
        ('"f\\u0000"', UNEXPECTED),
        ("x" * 300, UNEXPECTED),
        ("", SYNTAX),
        ('"f', SYNTAX),
        ('"f" "f"', SYNTAX),
        (" f", SYNTAX),
        ('"\\ud800"', SYNTAX),
    ],
)
@blocking
def test_a_completion_that_names_something_else(tree: Server, value: str, answer: str) -> None:
    with tree.session() as session:
        read_all(session.begin_get("f", 5))
        session.expect("Transfer complete: f")
        session.send(f"Transfer complete: {value}", "noop")
        session.expect(answer, NOTHING)


# What waits during a transfer.


@blocking
def test_all_else_keeps_its_place_during_a_transfer(tree: Server) -> None:
    with tree.session() as session:
        data = session.begin_get("big", 64 << 20)
        session.send(
            "noop", "xyzzy", "", b"\xff", "SUCCESS: Goodbye.", "get none", "Transfer complete: none", "ls"
        )
        assert session.waits()
        assert len(read_all(data)) == 64 << 20
        session.expect("Transfer complete: big")
        # The completions so far stand behind commands that wait, and belong to those.
        assert session.waits()
        session.send("abort")
        session.expect(CANCELLED, CANCELLED, UNKNOWN, UNEXPECTED, "ERROR: Not UTF-8.", UNEXPECTED)
        session.expect(CANCELLED, CANCELLED)
        assert session.is_answered()


@blocking
def test_junk_that_waits_is_answered_behind_the_transfer(tree: Server) -> None:
    with tree.session() as session:
        data = session.begin_get("big", 64 << 20)
        session.send("xyzzy", "Transfer complete: big", "noop", "Mode: 0644")
        assert len(read_all(data)) == 64 << 20
        session.expect("Transfer complete: big", TRANSFERRED, UNKNOWN, NOTHING)
        assert session.is_answered()


@blocking
def test_a_field_behind_a_waiting_command_waits_with_it(tree: Server) -> None:
    with tree.session() as session, session.listen() as listener:
        data = session.begin_get("big", 64 << 20)
        session.send("get f", listener.announcement, "FAILURE: Disk full.", "noop")
        session.send("Transfer complete: big")  # behind noop: ignored there
        read_all(data)
        session.expect("Transfer complete: big")
        # No completion of its own can come any more, so it ends by the stall time.
        session.expect("ERROR: Connection timed out.", TO_SEND)
        answers = [session.line()]
        while not answers[-1].startswith(NOTHING):
            answers.append(session.line())
        assert "FAILURE: Disk full." in answers


@blocking
def test_64_kib_wait_and_no_more_is_read(tree: Server) -> None:
    with tree.session() as session:
        data = session.begin_get("big", 64 << 20)
        session.send("Transfer complete: big")
        line = b"noop\n" + b"Mode: " + b"x" * 1000 + b"\n"
        sent = session.flood(line * 64)
        assert sent < 32 << 20
        read_all(data)
        session.expect("Transfer complete: big", TRANSFERRED)
        for _ in range(sent // len(line)):
            session.expect(NOTHING)


# The client's end of the control channel.


@blocking
def test_half_close_is_answered_to_the_end(tree: Server) -> None:
    with tree.session() as session, session.listen() as listener:
        session.send("noop", "get none", "get f", listener.announcement, "Transfer complete: f", "noop")
        session.half_close()
        with listener.accept() as data:
            assert read_all(data) == b"small"
        session.expect(
            NOTHING, MISSING, TO_SEND, "File size: 5 bytes", "Transfer complete: f", TRANSFERRED, NOTHING
        )
        assert session.ended()


@blocking
def test_half_close_during_a_transfer(tree: Server) -> None:
    with tree.session() as session:
        data = session.begin_get("big", 64 << 20)
        session.send("Transfer complete: big")
        session.half_close()
        assert len(read_all(data)) == 64 << 20
        session.expect("Transfer complete: big", TRANSFERRED)
        assert session.ended()


@blocking
def test_half_close_with_nothing_said_or_half_a_line(tree: Server) -> None:
    for half in (b"", b"noo", b"\n"):
        with tree.session() as session:
            session.socket.sendall(half)
            session.half_close()
            if half == b"\n":
                session.expect(UNEXPECTED)
            assert session.ended()


@blocking
def test_half_close_before_the_port_or_the_completion(tree: Server) -> None:
    with tree.session() as session:
        session.send("get f")
        session.half_close()
        session.expect(TO_SEND, "ERROR: Connection lost.")
        assert session.ended()
    with tree.session() as session:
        read_all(session.begin_get("f", 5))
        session.half_close()
        session.expect("Transfer complete: f", "ERROR: Connection lost.")
        assert session.ended()


@pytest.mark.parametrize("name", ["f", "big"])
@blocking
def test_reset_ends_the_running_transfer(tree: Server, name: str) -> None:
    with tree.session() as session:
        data = session.begin_get(name, (tree.root / name).stat().st_size)
        if name == "f":
            session.expect("Transfer complete: f")
        peer = "{}:{}".format(*session.socket.getsockname())
        reset(session.socket)
        tree.logged(rf"{peer} get {name} ERROR .* Connection lost")
        if name == "big":
            with pytest.raises(ConnectionResetError):
                read_all(data)


@blocking
def test_listing_may_be_empty_and_cancelled(tree: Server) -> None:
    (tree.root / "d").mkdir()
    with tree.session() as session:
        session.send("ls d")
        session.expect(TO_SEND)
        session.send("abort")
        session.expect(CANCELLED)
        read_all(session.begin("ls d", TO_SEND))
        session.expect("Transfer complete: d")
        session.send("FAILURE: Disk full.")
        session.expect("FAILURE: Disk full.")
        read_all(session.begin("ls d", TO_SEND))
        session.expect("Transfer complete: d")
        session.send("Transfer complete: d")
        session.expect(LISTED)
