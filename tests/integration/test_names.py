"""Names of every kind: spelled, resolved, listed, compared and refused; sections 1 and 3."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from harness import Server, blocking
from raw import (
    LISTED,
    NOTHING,
    TO_SEND,
    TRANSFERRED,
    read_all,
)


@blocking
def test_names_in_folders(server: Server) -> None:
    (server.root / "a" / "b").mkdir(parents=True)
    with server.session() as session:
        session.put("a/b/c", b"deep")
        assert (server.root / "a/b/c").read_bytes() == b"deep"
        for spelling in ("/a/b/c", "a/./b//c", "a/b/../b/c", "../../a/b/c", "/../a/b/c"):
            assert session.get(spelling) == b"deep"
        assert session.ls("..") == [b"a/"]
        assert session.ls("/") == [b"a/"]
        session.send("put a/none/c", "get a/none/c", "put a/b", "get a/b")
        session.expect("FAILURE: File not found.", "FAILURE: File not found.")
        session.expect("FAILURE: Is a directory.", "FAILURE: Is a directory.")


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("two words", b"two words"),
        ("naïve ☃", "naïve ☃".encode()),
        ('in"side', b'in"side'),
        ('"quoted"', b"quoted"),
        (r'"\"leading"', b'"leading'),
        ('" spaced "', b" spaced "),
        (r'"tab\there"', b"tab\there"),
        (r'"new\nline"', b"new\nline"),
        (r'"\u0085"', "\x85".encode()),
        (r'"caf\udce9"', b"caf\xe9"),
        (r'"\ud83d\ude00"', "😀".encode()),
        ("back\\slash", b"back\\slash"),
        ("{braces} %s", b"{braces} %s"),
        ("-rf", b"-rf"),
        ("...", b"..."),
        ("x" * 255, b"x" * 255),
    ],
)
@blocking
def test_names_of_every_kind(server: Server, spelled: str, name: bytes) -> None:
    with server.session() as session:
        session.put(spelled, b"content")
        assert os.listdir(os.fsencode(server.root)) == [name]
        assert session.get(spelled) == b"content"
        (listed,) = session.ls()
        assert session.get(listed.decode()) == b"content"


@blocking
def test_listing_quotes_what_must_be_quoted(server: Server) -> None:
    for name in (b'"q', b" s", b"t ", b"n\nl", b"e\xff", b"d e", "c\x9f".encode()):
        Path(os.fsdecode(os.fsencode(server.root) + b"/" + name)).touch()
    (server.root / " d").mkdir()
    with server.session() as session:
        assert session.ls() == [
            b'" d/"',
            b'" s"',
            b'"\\"q"',
            b'"c\\u009f"',
            b"d e",
            b'"e\\udcff"',
            b'"n\\nl"',
            b'"t "',
        ]


@pytest.mark.parametrize("spelling", ["./a b", '"a b"', "/a b", "x/../a b", '"\\u0061 b"', "a b"])
@blocking
def test_completion_is_compared_by_meaning(server: Server, spelling: str) -> None:
    (server.root / "a b").write_bytes(b"1")
    with server.session() as session:
        data = session.begin_get("a b", 1)
        read_all(data)
        session.expect("Transfer complete: a b")
        session.send(f"Transfer complete: {spelling}")
        session.expect(TRANSFERRED)


@pytest.mark.parametrize("spelling", [".", "/", "./", '"."', "d/.."])
@blocking
def test_completion_of_ls_without_argument(server: Server, spelling: str) -> None:
    with server.session() as session:
        read_all(session.begin("ls", TO_SEND))
        session.expect("Transfer complete: .")
        session.send(f"Transfer complete: {spelling}")
        session.expect(LISTED)


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("get none", "FAILURE: File not found."),
        ("ls none", "FAILURE: File not found."),
        ("get file/below", "FAILURE: Not a directory."),
        ("put file/below", "FAILURE: Not a directory."),
        ("ls file/below", "FAILURE: Not a directory."),
        ("get d", "FAILURE: Is a directory."),
        ("put d", "FAILURE: Is a directory."),
        ("put /", "FAILURE: Is a directory."),
        ("get .", "FAILURE: Is a directory."),
        ("get .ftplite-x", "FAILURE: Name not allowed."),
        ("put d/.ftplite-x", "FAILURE: Name not allowed."),
        ("ls .ftplite-x", "FAILURE: Name not allowed."),
        ('get "nul\\u0000"', "FAILURE: Name not allowed."),
        ("put " + "x" * 256, "FAILURE: Name not allowed."),
        ("get", "ERROR: Bad syntax."),
        ("put", "ERROR: Bad syntax."),
        ("get ", "ERROR: Bad syntax."),
        ("ls ", "ERROR: Bad syntax."),
        ("get  file", "ERROR: Bad syntax."),
        ("get file ", "ERROR: Bad syntax."),
        ("get fi\tle", "ERROR: Bad syntax."),
        ("get fi\x85le", "ERROR: Bad syntax."),
        ('get "file', "ERROR: Bad syntax."),
        ('get "file" ', "ERROR: Bad syntax."),
        ('get "file" "file"', "ERROR: Bad syntax."),
        ('get "file"  "file"', "ERROR: Bad syntax."),
        ('get "file"x', "ERROR: Bad syntax."),
        ('get "\\ud800"', "ERROR: Bad syntax."),
        ('get "\\udc7f"', "ERROR: Bad syntax."),
        ('get "\\udce9\\ud83d"', "ERROR: Bad syntax."),
        ("quit now", "ERROR: Bad syntax."),
        ("noop 1", "ERROR: Bad syntax."),
        ("abort it", "ERROR: Bad syntax."),
        ("get\tfile", "ERROR: Unknown command."),
        (" get file", "ERROR: Unknown command."),
        ("user anonymous", "ERROR: Unknown command."),
        ("get: file", "ERROR: Unknown command."),
        ("", "ERROR: Unexpected message."),
        ("\r", "ERROR: Unexpected message."),
    ],
)
@blocking
def test_refusals(server: Server, line: str, answer: str) -> None:
    (server.root / "file").touch()
    (server.root / "d").mkdir()
    with server.session() as session:
        session.send(line, "noop")
        session.expect(answer, NOTHING)
