"""Lines that do not belong where the data channel port is due: section 2, "Out of turn"."""

from __future__ import annotations

import pytest
from harness import Server, blocking
from raw import (
    CANCELLED,
    MISSING,
    NOTHING,
    SYNTAX,
    TO_RECEIVE,
    TO_SEND,
    UNEXPECTED,
    UNKNOWN,
)


@pytest.mark.parametrize(
    ("line", "answers"),
    [
        ("noop", [UNEXPECTED, NOTHING]),
        ("get none", [UNEXPECTED, MISSING]),
        ("get", [UNEXPECTED, SYNTAX]),
        ("quit", [UNEXPECTED, "SUCCESS: Goodbye."]),
        ("xyzzy", [UNKNOWN]),
        ("", [UNEXPECTED]),
        ("SUCCESS: Ready to send.", [UNEXPECTED]),
        ("ERROR: Internal error.", [UNEXPECTED]),
        ("FAILURE: Disk full.", [UNEXPECTED]),
        (b"\xff\xfe", ["ERROR: Not UTF-8."]),
        ("Data channel port: many", [SYNTAX]),
        ("Data channel port:5000", [SYNTAX]),
        ("Data channel port:", [SYNTAX]),
        ("Feature: get", [UNEXPECTED]),
        ("File size: 5 bytes", [UNEXPECTED]),
        ("abort", [CANCELLED]),
    ],
)
@blocking
def test_a_line_at_step_3_that_is_no_field_of_the_get(
    tree: Server, line: str | bytes, answers: list[str]
) -> None:
    with tree.session() as session, session.listen() as listener:
        session.send("get f")
        session.expect(TO_SEND)
        session.send(line)
        session.expect(*answers)
        if line != "quit":
            session.send(listener.announcement, "Transfer complete: f", "noop")
            session.expect(NOTHING)
        assert listener.is_left_alone()


@pytest.mark.parametrize(
    "line", ["File size: 5", "File size: 5 byte", "File size: 5  bytes", "File size: -1 bytes"]
)
@blocking
def test_a_bad_size_at_step_3(tree: Server, line: str) -> None:
    with tree.session() as session:
        session.send("put f")
        session.expect(TO_RECEIVE)
        session.send(line)
        session.expect(SYNTAX)
        assert session.get("f") == b"small"


@blocking
def test_a_command_sent_ahead_of_the_port_ends_the_get(tree: Server) -> None:
    """Sent ahead or typed at step 3: it is the order in the stream that counts."""
    with tree.session() as session, session.listen() as listener:
        session.send("get f", "noop", listener.announcement, "noop")
        session.expect(TO_SEND, UNEXPECTED, NOTHING, NOTHING)
        assert listener.is_left_alone()
