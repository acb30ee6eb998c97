"""Parts of files and uploads that go on where they broke off, by hand: section 6, ``offset``."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Server, blocking, eventually
from raw import (
    CANCELLED,
    LOST,
    MISMATCH,
    SYNTAX,
    TO_RECEIVE,
    TO_SEND,
    TRANSFERRED,
    UNEXPECTED,
    Session,
    read_all,
)

DESCRIBED = "SUCCESS: Described."
NOT_VALID = "FAILURE: Offset not valid."
MISSING = "FAILURE: File not found."
MIB = 1 << 20
BIG = os.urandom(3 * MIB)
"""More than is worth keeping only when it breaks off."""


def partial_size(session: Session, name: str) -> int | None:
    """What ``stat`` tells of a name that is only a partial; None where it is not there at all."""
    session.send(f"stat {name}")
    line = session.line()
    if line.startswith(MISSING):
        return None
    assert line == "Type: none"
    size = session.line()
    session.expect(DESCRIBED)
    assert size.startswith("Partial size: ")
    assert size.endswith(" bytes")
    return int(size.split()[2])


def break_off(session: Session, name: str, content: bytes, announced: int | None) -> None:
    """Send the beginning of a put, and leave when the server has it."""
    data = session.begin_put(name, announced)
    data.sendall(content)
    eventually(lambda: seen(session, name) == len(content))
    data.close()
    session.socket.close()


def seen(session: Session, name: str) -> int | None:
    """The same as `partial_size`, asked in a session beside."""
    with Session(session.socket.getpeername()[:2]) as other:
        return partial_size(other, name)


def go_on(session: Session, name: str, offset: int, rest: bytes, size: int) -> None:
    """Steps 1 to 9 of a put from an offset."""
    fields = (f"Start offset: {offset} bytes", f"File size: {size} bytes")
    with session.begin(f"put {name}", TO_RECEIVE, *fields) as data:
        data.sendall(rest)
    session.send(f"Transfer complete: {name}")
    session.expect(f"Transfer complete: {name}", TRANSFERRED)


def get_part(session: Session, name: str, size: int, *fields: str) -> bytes:
    """The bytes of a get with options."""
    with session.begin(f"get {name}", TO_SEND, *fields) as data:
        content = read_all(data)
    session.expect(f"File size: {size} bytes")
    session.expect(f"Transfer complete: {name}")
    session.send(f"Transfer complete: {name}")
    session.expect(TRANSFERRED)
    return content


@pytest.mark.parametrize("size", [10, 200_000, 3 * MIB], ids=str)
@blocking
def test_parts_of_a_file(server: Server, size: int) -> None:
    content = os.urandom(size)
    (server.root / "f").write_bytes(content)
    with server.session() as session:
        for offset, count in ((0, 3), (3, 4), (size - 1, 1), (size, 0), (5, size), (2, 10**18)):
            fields = (f"Start offset: {offset} bytes", f"Byte count: {count} bytes")
            assert get_part(session, "f", size, *fields) == content[offset : offset + count]
        assert get_part(session, "f", size, "Start offset: 4 bytes") == content[4:]
        assert get_part(session, "f", size, "Byte count: 4 bytes") == content[:4]
        session.send("get f")
        session.expect(TO_SEND)
        with session.listen() as listener:
            session.send(f"Start offset: {size + 1} bytes", listener.announcement)
            session.expect(NOT_VALID)
            assert listener.is_left_alone()
        assert session.is_answered()


@pytest.mark.parametrize(
    ("command", "field", "answer"),
    [
        ("get f", "Start offset: -1 bytes", SYNTAX),
        ("get f", "Start offset: 01 bytes", SYNTAX),
        ("get f", "Start offset: 5", SYNTAX),
        ("get f", "Byte count: x bytes", SYNTAX),
        ("get f", "Format: json", UNEXPECTED),
        ("put f", "Byte count: 1 bytes", UNEXPECTED),
        ("ls", "Start offset: 0 bytes", UNEXPECTED),
        ("ls", "Format: xml", "FAILURE: Not supported."),
        ("ls", "Depth: 2", "FAILURE: Not supported."),
        ("get f", "Checksum: md5", "FAILURE: Not supported."),
        ("get f", "Modified: 2026-11-22T13:00:00Z", UNEXPECTED),
        ("put f", "Modified: yesterday", SYNTAX),
        ("put f", "Modified: 2026-02-30T13:00:00Z", SYNTAX),
        ("put f", "Mode: 644", SYNTAX),
        ("put f", "Mode: 0800", SYNTAX),
        ("put f", "Mode: 4755", SYNTAX),
    ],
)
@blocking
def test_options_that_are_none(server: Server, command: str, field: str, answer: str) -> None:
    (server.root / "f").write_bytes(b"x")
    with server.session() as session, session.listen() as listener:
        session.send(command)
        session.expect(TO_RECEIVE if command.startswith("put") else TO_SEND)
        session.send(field, listener.announcement)
        session.expect(answer)
        assert session.is_answered()
        assert listener.is_left_alone()


@pytest.mark.parametrize(("cut", "announced"), [(5, 12), (2 * MIB, 3 * MIB), (5, None), (2 * MIB, None)])
@blocking
def test_a_put_that_broke_off_goes_on(server: Server, cut: int, announced: int | None) -> None:
    content = BIG[:12] if cut == 5 else BIG
    with server.session() as session:
        break_off(session, "f", content[:cut], announced)
    with server.session() as session:
        assert partial_size(session, "f") == cut
        assert session.ls() == []
        go_on(session, "f", cut, content[cut:], len(content))
        assert session.get("f") == content
    assert (server.root / "f").read_bytes() == content
    assert os.listdir(server.root) == ["f"]


@blocking
def test_an_offset_that_is_not_the_end_of_the_partial(server: Server) -> None:
    with server.session() as session:
        break_off(session, "f", BIG[:MIB], len(BIG))
    with server.session() as session:
        for offset, size in ((MIB - 1, len(BIG)), (MIB + 1, len(BIG)), (0, len(BIG)), (MIB, MIB - 1)):
            session.send("put f", f"Start offset: {offset} bytes", f"File size: {size} bytes")
            with session.listen() as listener:
                session.send(listener.announcement)
                session.expect(TO_RECEIVE, NOT_VALID)
                assert listener.is_left_alone(0.05)
            assert partial_size(session, "f") == MIB
        with session.listen() as listener:
            session.send("put g", "Start offset: 1 bytes", listener.announcement)
            session.expect(TO_RECEIVE, NOT_VALID)
        go_on(session, "g", 0, b"abc", 3)
        go_on(session, "f", MIB, BIG[MIB:], len(BIG))
    assert (server.root / "f").read_bytes() == BIG


@pytest.mark.parametrize("small", [True, False])
@blocking
def test_a_ghost_is_taken_over(server: Server, small: bool) -> None:
    """The client is back before the server has noticed that its link was cut."""
    content = BIG[:1000] if small else BIG
    cut = len(content) // 2
    with server.session() as ghost, server.session() as session:
        data = ghost.begin_put("f", len(content))
        data.sendall(content[:cut])
        eventually(lambda: partial_size(session, "f") == cut)
        go_on(session, "f", cut, content[cut:], len(content))
        ghost.expect(LOST)
        assert ghost.is_answered()
    assert (server.root / "f").read_bytes() == content
    assert os.listdir(server.root) == ["f"]


@blocking
def test_a_ghost_that_waits_for_its_completion_is_taken_over(server: Server) -> None:
    with server.session() as ghost, server.session() as session:
        with ghost.begin_put("f", 10) as data:
            data.sendall(b"0123456789")
        eventually(lambda: partial_size(session, "f") == 10)
        go_on(session, "f", 10, b"", 10)
        ghost.expect(LOST)
    assert (server.root / "f").read_bytes() == b"0123456789"


@blocking
def test_two_sessions_never_write_one_partial(server: Server) -> None:
    """A put without an offset leaves the other one alone; the last one to finish wins, whole."""
    with server.session() as one, server.session() as other:
        data = one.begin_put("f", len(BIG))
        data.sendall(BIG[:MIB])
        eventually(lambda: partial_size(other, "f") == MIB)
        other.put("f", b"of the other")
        assert (server.root / "f").read_bytes() == b"of the other"
        data.sendall(BIG[MIB:])
        data.close()
        one.send("Transfer complete: f")
        one.expect("Transfer complete: f", TRANSFERRED)
    assert (server.root / "f").read_bytes() == BIG
    assert os.listdir(server.root) == ["f"]


@blocking
def test_a_partial_belongs_to_its_host(server: Server) -> None:
    with server.session() as session:
        break_off(session, "f", BIG[: 2 * MIB], len(BIG))
    with server.session(source="127.0.0.2") as session:
        assert partial_size(session, "f") is None
        with session.listen() as listener:
            session.send("put f", f"Start offset: {2 * MIB} bytes", f"File size: {len(BIG)} bytes")
            session.send(listener.announcement)
            session.expect(TO_RECEIVE, NOT_VALID)
        session.put("f", b"mine")
    with server.session() as session:
        session.send("stat f")
        lines = []
        while not lines or not lines[-1].startswith("SUCCESS"):
            lines.append(session.line())
        assert lines[0] == "Type: file"
        assert lines[-2] == f"Partial size: {2 * MIB} bytes"
        go_on(session, "f", 2 * MIB, BIG[2 * MIB :], len(BIG))
    assert (server.root / "f").read_bytes() == BIG


def end_by_abort(session: Session, data: socket.socket) -> None:
    session.send("abort")
    session.expect(CANCELLED)


def end_by_full_disk(session: Session, data: socket.socket) -> None:
    session.send("FAILURE: Disk full.")
    session.expect("FAILURE: Disk full.")


def end_by_wrong_size(session: Session, data: socket.socket) -> None:
    data.close()
    session.send("Transfer complete: f")
    session.expect(MISMATCH)


def end_by_wrong_name(session: Session, data: socket.socket) -> None:
    session.send("Transfer complete: g")
    session.expect(UNEXPECTED)


@pytest.mark.parametrize("cut", [5, 2 * MIB], ids=["small", "big"])
@pytest.mark.parametrize(
    ("end", "kept"),
    [(end_by_abort, True), (end_by_wrong_name, True), (end_by_full_disk, False), (end_by_wrong_size, False)],
)
@blocking
def test_what_is_kept_after_which_end(
    server: Server, cut: int, end: Callable[[Session, socket.socket], None], kept: bool
) -> None:
    with server.session() as session, server.session() as other:
        data = session.begin_put("f", cut + 1)
        data.sendall(BIG[:cut])
        eventually(lambda: partial_size(other, "f") == cut)
        end(session, data)
        eventually(lambda: partial_size(other, "f") == (cut if kept else None))
    assert len(os.listdir(server.root)) == kept


@blocking
def test_a_put_that_starts_over_replaces_the_partial(server: Server) -> None:
    with server.session() as session:
        break_off(session, "f", BIG[: 2 * MIB], len(BIG))
    with server.session() as session:
        session.put("f", BIG)
        session.send("stat f")
        lines = [session.line() for _ in range(5)]
        assert lines[-1].startswith(DESCRIBED)
    assert os.listdir(server.root) == ["f"]


@blocking
def test_a_partial_outlives_kill_9_of_the_server(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve()
    with server.session() as session:
        data = session.begin_put("f", len(BIG))
        data.sendall(BIG[: 2 * MIB])
        eventually(lambda: seen(session, "f") == 2 * MIB)
        server.process.send_signal(signal.SIGKILL)
        server.wait()
    again = serve(root=tmp_path / "tree")
    with again.session() as session:
        kept = partial_size(session, "f")
        assert kept is not None
        assert 0 < kept <= 2 * MIB
        go_on(session, "f", kept, BIG[kept:], len(BIG))
    assert (server.root / "f").read_bytes() == BIG
    assert os.listdir(server.root) == ["f"]


@blocking
def test_partials_are_swept(serve: Callable[..., Server], tmp_path: Path) -> None:
    """At the start and now and then; younger ones stay."""
    server = serve("--keep-partials", "4s")
    with server.session() as session:
        for name in ("f", "g"):
            session.begin_put(name, 10).sendall(b"12345")
            session.send("abort")
            session.expect(CANCELLED)
            eventually(lambda name=name: partial_size(session, name) == 5)
        for hidden in os.listdir(server.root):
            os.utime(server.root / hidden, (0, 0))
        eventually(lambda: os.listdir(server.root) == [])
        assert partial_size(session, "f") is None
    assert server.logged("Swept up [12] ")


@blocking
def test_an_old_partial_is_swept_at_the_start(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve()
    with server.session() as session:
        for name in ("old", "young"):
            session.begin_put(name, 10).sendall(b"12345")
            session.send("abort")
            session.expect(CANCELLED)
            eventually(lambda name=name: partial_size(session, name) == 5)
            if name == "old":
                (hidden,) = os.listdir(server.root)
                os.utime(server.root / hidden, (time.time(), time.time() - 8 * 86400))
        eventually(lambda: len(os.listdir(server.root)) == 2)
    again = serve(root=server.root)
    again.logged("Swept up 1 ")
    with again.session() as session:
        assert partial_size(session, "old") is None
        assert partial_size(session, "young") == 5


@blocking
def test_a_sweep_spares_what_another_server_writes(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve()
    with server.session() as session:
        data = session.begin_put("f", len(BIG))
        data.sendall(BIG[: 2 * MIB])
        eventually(lambda: seen(session, "f") == 2 * MIB)
        (hidden,) = os.listdir(server.root)
        os.utime(server.root / hidden, (0, 0))
        second = serve(root=tmp_path / "tree")
        with second.session() as other:
            with other.listen() as listener:
                other.send("put f", f"Start offset: {2 * MIB} bytes", f"File size: {len(BIG)} bytes")
                other.send(listener.announcement)
                other.expect(TO_RECEIVE, "FAILURE: Limit reached.")
            assert other.waits()  # nothing tells that a sweep found nothing
        assert os.listdir(server.root) == [hidden]
        data.sendall(BIG[2 * MIB :])
        data.close()
        session.send("Transfer complete: f")
        session.expect("Transfer complete: f", TRANSFERRED)
    assert hashlib.sha256((server.root / "f").read_bytes()).digest() == hashlib.sha256(BIG).digest()


@blocking
def test_going_on_in_the_very_session_that_broke_off(server: Server) -> None:
    """What is being kept still belongs to the old command; the new one waits for that, and is not ended."""
    with server.session() as session:
        for name in ("f", "g", "h"):
            data = session.begin_put(name, len(BIG))
            data.sendall(BIG[:MIB])
            with Session(server.address) as other:
                eventually(lambda name=name, other=other: partial_size(other, name) == MIB)
            session.send("abort")
            session.expect(CANCELLED)
            go_on(session, name, MIB, BIG[MIB:], len(BIG))
            assert (server.root / name).read_bytes() == BIG
