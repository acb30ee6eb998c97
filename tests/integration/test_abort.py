"""What ends a transfer before its end: `abort`, and a failure told by the other side; section 2."""

from __future__ import annotations

import pytest
from harness import Server, blocking, names_in
from raw import (
    CANCELLED,
    MISMATCH,
    MISSING,
    NOTHING,
    TO_SEND,
    UNKNOWN,
    read_all,
)

# Abort, wherever a session stands.


@blocking
def test_abort_of_nothing_is_ignored(tree: Server) -> None:
    with tree.session() as session:
        session.send("abort", "ABORT\r", "noop", "abort", "noop")
        session.expect(NOTHING, NOTHING)
        session.send("get none")
        session.expect(MISSING)
        session.send("abort", "noop")
        session.expect(NOTHING)


@blocking
def test_abort_while_connecting(tree: Server) -> None:
    with tree.session() as session, session.listen() as listener:
        listener.socket.listen(0)
        session.send("get f", listener.announcement, "abort", "noop")
        session.expect(TO_SEND)
        answers = [session.line() for _ in range(2)]
        assert answers[0].startswith(CANCELLED) or answers[0] == "File size: 5 bytes"
        while not answers[-1].startswith(NOTHING):
            answers.append(session.line())
        assert sum(each.startswith(CANCELLED) for each in answers) == 1


@blocking
def test_abort_while_bytes_move(tree: Server) -> None:
    with tree.session() as session:
        with session.begin_get("big", 64 << 20) as data:
            assert data.recv(1000)
            session.send("abort")
            session.expect(CANCELLED)
            with pytest.raises(ConnectionResetError):
                read_all(data)
        session.send("Transfer complete: big", "noop")
        session.expect(NOTHING)


@blocking
def test_abort_while_a_completion_is_waited_for(tree: Server) -> None:
    with tree.session() as session:
        read_all(session.begin_get("f", 5))
        session.expect("Transfer complete: f")
        session.send("abort", "Transfer complete: f")
        session.expect(CANCELLED)
        assert session.is_answered()


@blocking
def test_abort_of_a_put_keeps_the_old_file(tree: Server) -> None:
    with tree.session() as session:
        with session.begin_put("f", 1 << 20) as data:
            data.sendall(b"x" * 5000)
            session.send("abort")
            session.expect(CANCELLED)
        assert session.get("f") == b"small"
        assert names_in(tree.root) == ["big", "f"]


@blocking
def test_abort_ends_all_that_wait_each_with_its_own_status(tree: Server) -> None:
    with tree.session() as session:
        data = session.begin_get("big", 64 << 20)
        session.send(
            "noop",
            "get f",
            "Data channel port: 5000",
            "xyzzy",
            "put g",
            "File size: 1 bytes",
            "abort",
            "noop",
        )
        session.expect(CANCELLED, CANCELLED, CANCELLED, UNKNOWN, CANCELLED, NOTHING)
        assert session.is_answered()
        data.close()
    assert not (tree.root / "g").exists()


@blocking
def test_two_aborts_with_commands_between(tree: Server) -> None:
    with tree.session() as session:
        session.begin_get("big", 64 << 20)
        session.send("noop", "abort", "help", "abort", "noop")
        session.expect(CANCELLED, CANCELLED)
        rest = []
        while not rest or not rest[-1].startswith(NOTHING):
            rest.append(session.line())
        # The second abort finds help unfinished or not, as it comes; either way one status.
        assert len([each for each in rest if each.split(":")[0] in ("SUCCESS", "FAILURE")]) == 2


# What a receiver says.


@pytest.mark.parametrize(
    ("told", "repeated"),
    [
        ("FAILURE: Disk full.", "FAILURE: Disk full."),
        ("FAILURE: Checksum mismatch. at byte 7", "FAILURE: Checksum mismatch."),
        ("FAILURE: Size mismatch.", MISMATCH),
        ("FAILURE: Out of cheese.", CANCELLED),
        ("FAILURE: Disk full", CANCELLED),
        ("FAILURE: disk full.", CANCELLED),
        ("FAILURE: Connection lost.", CANCELLED),
        ("FAILURE:", CANCELLED),
    ],
)
@pytest.mark.parametrize("name", ["f", "big"])
@blocking
def test_the_receivers_failure_is_repeated(tree: Server, name: str, told: str, repeated: str) -> None:
    with tree.session() as session:
        size = (tree.root / name).stat().st_size
        session.begin_get(name, size)
        if name == "f":
            session.expect("Transfer complete: f")
        session.send(told, "noop")
        session.expect(repeated, NOTHING)


@blocking
def test_a_failure_of_the_sender_ends_the_put(tree: Server) -> None:
    with tree.session() as session:
        data = session.begin_put("f", 10)
        data.sendall(b"12345")
        session.send("FAILURE: File changed.")
        session.expect("FAILURE: File changed.")
        assert session.get("f") == b"small"
