"""Transfers as they should be: every line of the protocol's sections 3 and 4."""

from __future__ import annotations

import os
import threading

import pytest
from harness import Server, blocking, names_in
from raw import (
    LISTED,
    NOTHING,
    TO_RECEIVE,
    TO_SEND,
    TRANSFERRED,
    read_all,
)

BIG = os.urandom(1 << 20) * 24 + b"and an end that is no whole page"


@blocking
def test_greeting_comes_first_and_quit_ends(server: Server) -> None:
    with server.session() as session:
        session.send("quit")
        session.expect("SUCCESS: Goodbye.")
        assert session.ended()


@blocking
def test_get_step_by_step(server: Server) -> None:
    (server.root / "sample.txt").write_bytes(b"x" * 1024)
    with server.session() as session:
        session.send("get sample.txt")
        session.expect(TO_SEND)
        with session.listen() as listener:
            session.send(listener.announcement)
            with listener.accept() as data:
                session.expect("File size: 1024 bytes")
                assert read_all(data) == b"x" * 1024
        session.expect("Transfer complete: sample.txt")
        assert session.waits()
        session.send("Transfer complete: sample.txt")
        session.expect(TRANSFERRED)
        assert session.is_answered()


@blocking
def test_put_step_by_step(server: Server) -> None:
    with server.session() as session:
        session.send("put sample.txt")
        session.expect(TO_RECEIVE)
        with session.listen() as listener:
            session.send("File size: 1024 bytes", listener.announcement)
            with listener.accept() as data:
                data.sendall(b"y" * 1024)
        assert session.waits()
        assert not (server.root / "sample.txt").exists()
        session.send("Transfer complete: sample.txt")
        session.expect("Transfer complete: sample.txt")
        assert (server.root / "sample.txt").read_bytes() == b"y" * 1024
        session.expect(TRANSFERRED)
        assert session.is_answered()


@blocking
def test_ls_step_by_step(server: Server) -> None:
    (server.root / "b").mkdir()
    for name in ("b.txt", "B", "a b", "é", ".hidden"):
        (server.root / name).touch()
    with server.session() as session:
        session.send("ls")
        session.expect(TO_SEND)
        with session.listen() as listener:
            session.send(listener.announcement)
            with listener.accept() as data:
                # As bytes, and a directory without its slash: "b" comes before "b.txt".
                assert read_all(data) == ".hidden\nB\na b\nb/\nb.txt\né\n".encode()
        session.expect("Transfer complete: .")
        assert session.waits()
        session.send("Transfer complete: .")
        session.expect(LISTED)


@blocking
def test_ls_of_nothing_of_a_directory_and_of_a_file(server: Server) -> None:
    (server.root / "d" / "e").mkdir(parents=True)
    (server.root / "d" / "f.txt").touch()
    with server.session() as session:
        assert session.ls("d/e") == []
        assert session.ls("d") == [b"e/", b"f.txt"]
        assert session.ls("/d/") == [b"e/", b"f.txt"]
        assert session.ls("d/f.txt") == [b"f.txt"]


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, len(BIG)])
@blocking
def test_there_and_back(server: Server, size: int) -> None:
    with server.session() as session:
        session.put("file", BIG[:size])
        assert (server.root / "file").read_bytes() == BIG[:size]
        assert session.get("file") == BIG[:size]
        assert session.ls() == [b"file"]


@pytest.mark.parametrize("size", [0, 5, len(BIG)])
@blocking
def test_streamed_put_tells_its_size_at_the_end(server: Server, size: int) -> None:
    with server.session() as session:
        with session.begin_put("streamed", None) as data:
            data.sendall(BIG[:size])
        session.send(f"File size: {size} bytes", "Transfer complete: streamed")
        session.expect("Transfer complete: streamed", TRANSFERRED)
        assert (server.root / "streamed").read_bytes() == BIG[:size]


@blocking
def test_put_replaces_in_one_step(server: Server) -> None:
    """Whoever reads meanwhile gets the old file or the new one, on the disk as over the wire."""
    target = server.root / "file"
    target.write_bytes(b"a" * 300_000)
    seen: list[bytes] = []
    over = threading.Event()

    def read() -> None:
        with server.session() as session:
            while not over.is_set():
                seen.append(session.get("file"))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with server.session() as session:
            for letter in b"bcdefghij":
                session.put("file", bytes([letter]) * 300_000)
                assert target.read_bytes() == bytes([letter]) * 300_000
    finally:
        over.set()
        reader.join()
    assert seen
    assert all(len(set(each)) == 1 and len(each) == 300_000 for each in seen)


@blocking
def test_what_arrives_is_under_no_name(server: Server) -> None:
    (server.root / "file").write_bytes(b"old")
    with server.session() as session, server.session() as other:
        with session.begin_put("file", 2 << 20) as data:
            data.sendall(b"n" * (1 << 20))
            assert other.ls() == [b"file"]
            assert other.get("file") == b"old"
            assert names_in(server.root) == ["file"]
            data.sendall(b"n" * (1 << 20))
        session.send("Transfer complete: file")
        session.expect("Transfer complete: file", TRANSFERRED)
        assert other.get("file") == b"n" * (2 << 20)


@blocking
def test_lines_may_end_in_cr_lf(server: Server) -> None:
    with server.session() as session:
        session.send("put f\r")
        session.expect(TO_RECEIVE)
        with session.listen() as listener:
            session.send("File size: 3 bytes\r", listener.announcement + "\r")
            with listener.accept() as data:
                data.sendall(b"abc")
        session.send("Transfer complete: f\r", "noop\r")
        session.expect("Transfer complete: f", TRANSFERRED, NOTHING)
        assert os.listdir(server.root) == ["f"]


@blocking
def test_verbs_and_fields_count_in_any_case(server: Server) -> None:
    with server.session() as session:
        session.send("PuT File")
        session.expect(TO_RECEIVE)
        with session.listen() as listener:
            session.send("FILE SIZE: 3 bytes", f"data CHANNEL port: {listener.port}")
            with listener.accept() as data:
                data.sendall(b"abc")
        session.send("TRANSFER complete: File", "NOOP", "Quit")
        session.expect("Transfer complete: File", TRANSFERRED, NOTHING, "SUCCESS: Goodbye.")
        assert (server.root / "File").read_bytes() == b"abc"


VERBS = {
    "files": ("pwd", "cd d", "mkdir e", "rmdir d", "rm f", 'mv "a" "b"', "stat f"),
    "checksum": ("checksum f",),
    "tls": ("starttls",),
    "login": ("login me", "password secret"),
    "bundle": ("mget .", "mput ."),
    "status": ("status",),
}


@blocking
def test_features_and_help(server: Server) -> None:
    with server.session() as session:
        session.send("features")
        features = set()
        while (line := session.line()).startswith("Feature: "):
            features.add(line.split()[1])
        assert line == "SUCCESS: Features listed."
        assert {"noop", "help"} <= features
        session.send("help")
        verbs = set()
        while (line := session.line()).startswith("Help: "):
            verbs.add(line.split()[1])
        assert line == "SUCCESS: Help listed."
        plain = {"ls", "get", "put", "abort", "quit", "features", "noop", "help"}
        listed = {each.split()[0] for feature in features for each in VERBS.get(feature, ())}
        assert verbs == plain | listed
        for feature in VERBS.keys() - features:
            for command in VERBS[feature]:
                session.send(command)
                session.expect("FAILURE: Not supported.")
