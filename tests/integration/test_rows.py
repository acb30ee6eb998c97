"""Listings with attributes by hand: section 6, ``json``."""

from __future__ import annotations

import json
import os
from typing import Any

from harness import Server, blocking
from raw import LISTED, TO_SEND, Session, read_all


def rows(session: Session, command: str, *fields: str) -> list[dict[str, Any]]:
    """What a listing of JSON lines holds."""
    with session.begin(command, TO_SEND, "Format: json", *fields) as data:
        listing = read_all(data)
    complete = f"Transfer complete: {command.partition(' ')[2] or '.'}"
    session.expect(complete)
    session.send(complete)
    session.expect(LISTED)
    assert listing == b"" or listing.endswith(b"\n")
    return [json.loads(line) for line in listing.split(b"\n")[:-1]]


def make_tree(server: Server) -> None:
    root = server.root
    (root / "d").mkdir()
    (root / "d" / "deep").mkdir()
    (root / "d" / "deep" / "f").write_bytes(b"12")
    (root / "d.txt").write_bytes(b"123")
    (root / "to-d").symlink_to("d")
    (root / "out").symlink_to("/etc")
    os.mkfifo(root / "fifo")
    (root / os.fsdecode(b"\xff\xe4")).write_bytes(b"")
    os.chmod(root / "d.txt", 0o604)
    os.utime(root / "d.txt", ns=(0, 1_763_816_400_500_000_000))


@blocking
def test_one_directory(server: Server) -> None:
    make_tree(server)
    with server.session() as session:
        listed = rows(session, "ls")
        assert [each["name"] for each in listed] == ["d", "d.txt", "fifo", "out", "to-d", "\udcff\udce4"]
        assert [each["type"] for each in listed] == [
            "directory",
            "file",
            "other",
            "link",
            "directory",
            "file",
        ]
        assert [each.get("link") for each in listed] == [None, None, None, True, True, None]
        expected = {"name": "d.txt", "type": "file", "size": 3, "mtime": 1763816400.5, "mode": 0o604}
        assert listed[1] == expected
        assert isinstance(listed[1]["mtime"], float)
        assert rows(session, "ls d.txt") == [expected]
        assert [each["name"] for each in rows(session, "ls d/deep")] == ["f"]
        assert rows(session, "ls to-d") == rows(session, "ls d")


@blocking
def test_a_whole_tree(server: Server) -> None:
    make_tree(server)
    with server.session() as session:
        listed = rows(session, "ls", "Depth: all")
        names = [each["name"] for each in listed]
        assert names == ["d", "d.txt", "d/deep", "d/deep/f", "fifo", "out", "to-d", "\udcff\udce4"]
        assert [each["name"] for each in rows(session, "ls d", "Depth: all")] == ["deep", "deep/f"]
        with session.begin("ls d", TO_SEND, "Depth: all") as data:
            assert read_all(data) == b"deep/\ndeep/f\n"
        session.expect("Transfer complete: d")
        session.send("Transfer complete: d")
        session.expect(LISTED)


@blocking
def test_an_empty_directory(server: Server) -> None:
    with server.session() as session:
        assert rows(session, "ls") == []
        assert rows(session, "ls", "Depth: all") == []


@blocking
def test_a_reader_that_stops_holds_only_its_session(server: Server) -> None:
    """50,000 names, of which nobody reads any."""
    for number in range(500):
        directory = server.root / f"{number:03}"
        directory.mkdir()
        for name in range(100):
            os.mknod(directory / f"{name:02}{'x' * 100}")
    with server.session() as session, server.session() as other:
        before = server.memory()
        data = session.begin("ls", TO_SEND, "Format: json", "Depth: all", receive_buffer=4096)
        for _ in range(20):
            assert other.is_answered()
        assert server.memory() - before < 64 << 20
        assert data.recv(1) == b"{"
