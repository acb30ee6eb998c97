"""Checksums, times and modes by hand: section 6, ``checksum``, ``modified`` and ``partial-checksum``."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import blake3
import pytest
import xxhash
from harness import Server, blocking, eventually
from raw import LOST, MISSING, SYNTAX, TO_RECEIVE, TO_SEND, TRANSFERRED, Session, read_all

DESCRIBED = "SUCCESS: Described."
WRONG = "FAILURE: Checksum mismatch."
UNSUPPORTED = "FAILURE: Not supported."
MIB = 1 << 20
SUMS: dict[str, Callable[[bytes], str]] = {
    "xxh128": lambda data: str(xxhash.xxh3_128_hexdigest(data)),
    "blake3": lambda data: str(blake3.blake3(data).hexdigest()),
    "sha256": lambda data: hashlib.sha256(data).hexdigest(),
}


@blocking
def test_features(server: Server) -> None:
    with server.session() as session:
        session.send("features")
        listed = [session.line() for _ in range(11)]
        session.expect("SUCCESS: Features listed.")
    assert set(listed) == {
        "Feature: files",
        "Feature: json",
        "Feature: offset",
        "Feature: checksum xxh128 blake3 sha256",
        "Feature: modified",
        "Feature: partial-checksum",
        "Feature: status",
        "Feature: passive",
        "Feature: token",
        "Feature: noop",
        "Feature: help",
    }


@pytest.mark.parametrize("algorithm", SUMS)
@pytest.mark.parametrize("size", [0, 1, 70_000, 9 * MIB + 1], ids=str)
@blocking
def test_a_get_with_a_checksum(server: Server, size: int, algorithm: str) -> None:
    content = os.urandom(size)
    (server.root / "f").write_bytes(content)
    with server.session() as session:
        for fields, summed in (
            ([], content),
            ([f"Start offset: {size // 2} bytes"], content),
            ([f"Start offset: {size // 3} bytes", "Byte count: 10 bytes"], content[size // 3 :][:10]),
        ):
            with session.begin("get f", TO_SEND, f"Checksum: {algorithm}", *fields) as data:
                read_all(data)
            session.expect(
                f"File size: {size} bytes",
                f"Checksum: {algorithm} {SUMS[algorithm](summed)}",
                "Transfer complete: f",
            )
            session.send("Transfer complete: f")
            session.expect(TRANSFERRED)


@blocking
def test_a_client_that_got_something_else(server: Server) -> None:
    (server.root / "f").write_bytes(b"12345")
    with server.session() as session:
        with session.begin("get f", TO_SEND, "Checksum: xxh128") as data:
            read_all(data)
        session.send(WRONG)
        session.expect("File size: 5 bytes", f"Checksum: xxh128 {SUMS['xxh128'](b'12345')}")
        session.expect("Transfer complete: f", WRONG)
        assert session.is_answered()


def put(session: Session, content: bytes, *told: str, size: int | None = None, first: str = "") -> None:
    fields = [first] if first else []
    fields.append(f"File size: {len(content) if size is None else size} bytes")
    with session.begin("put f", TO_RECEIVE, "Checksum: xxh128", *fields) as data:
        data.sendall(content)
    session.send(*told, "Transfer complete: f")


@pytest.mark.parametrize("size", [0, 70_000, 5 * MIB], ids=str)
@blocking
def test_a_put_with_a_checksum(server: Server, size: int) -> None:
    content = os.urandom(size)
    right = SUMS["xxh128"](content)
    with server.session() as session:
        put(session, content, f"Checksum: xxh128 {right.upper()}")
        session.expect("Transfer complete: f", TRANSFERRED)
        assert (server.root / "f").read_bytes() == content
        put(session, content[:-1] + b"?", f"Checksum: xxh128 {right}", size=max(size, 1))
        session.expect(WRONG)
        assert (server.root / "f").read_bytes() == content
        assert session.is_answered()
    eventually(lambda: os.listdir(server.root) == ["f"])


@pytest.mark.parametrize(
    "told",
    [
        [],
        ["Checksum: sha256 " + "0" * 64],
        ["Checksum: xxh128"],
        ["Checksum: xxh128 xyz"],
        ["Checksum: xxh128 " + "0" * 32, "Checksum: xxh128 " + "1" * 32],
    ],
)
@blocking
def test_a_put_without_the_checksum_that_it_asked_for(server: Server, told: list[str]) -> None:
    with server.session() as session:
        put(session, b"abc", *told)
        session.expect(SYNTAX)
        assert session.is_answered()
    assert not (server.root / "f").exists()


@pytest.mark.parametrize("size", [100, 300_000, 6 * MIB], ids=str)
@blocking
def test_the_checksum_covers_the_whole_file_also_after_a_resume(server: Server, size: int) -> None:
    content = os.urandom(size)
    half = len(content) // 2
    with server.session() as session, server.session() as ghost:
        for whole, answer in ((content, TRANSFERRED), (b"?" + content[1:], WRONG)):
            data = ghost.begin_put("f", len(content))
            data.sendall(content[:half])
            eventually(lambda: _tells(session, "stat f")[-2] == f"Partial size: {half} bytes")
            offset = f"Start offset: {half} bytes"
            told = f"Checksum: xxh128 {SUMS['xxh128'](whole)}"
            put(session, content[half:], told, size=len(content), first=offset)
            if answer == TRANSFERRED:
                session.expect("Transfer complete: f")
            session.expect(answer)
            ghost.expect(LOST)
            data.close()
    assert (server.root / "f").read_bytes() == content
    eventually(lambda: os.listdir(server.root) == ["f"])


def _tells(session: Session, command: str) -> list[str]:
    """All lines of an answer."""
    session.send(command)
    lines = [session.line()]
    while lines[-1].partition(":")[0] not in ("SUCCESS", "FAILURE", "ERROR"):
        lines.append(session.line())
    return lines


@blocking
def test_the_verb(server: Server) -> None:
    content = os.urandom(3 * MIB)
    (server.root / "a b").write_bytes(content)
    (server.root / "d").mkdir()
    with server.session() as session:
        assert _tells(session, "checksum a b") == [f"Checksum: xxh128 {SUMS['xxh128'](content)}", DESCRIBED]
        for algorithm, summed in SUMS.items():
            for _ in range(2):
                told = _tells(session, f'checksum "a b" "{algorithm}"')
                assert told == [f"Checksum: {algorithm} {summed(content)}", DESCRIBED]
        (server.root / "a b").write_bytes(content[::-1])
        assert _tells(session, "checksum a b")[0] == f"Checksum: xxh128 {SUMS['xxh128'](content[::-1])}"
        assert _tells(session, "checksum none")[0].startswith(MISSING)
        assert _tells(session, "checksum d")[0].startswith("FAILURE: Is a directory.")
        assert _tells(session, 'checksum "a b" "md5"')[0].startswith(UNSUPPORTED)


@blocking
def test_a_checksum_is_known_again_until_the_file_changes(server: Server) -> None:
    """What takes seconds to read takes none the second time."""
    path = server.root / "large"
    with open(path, "wb") as file:
        file.truncate(256 << 20)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    with server.session() as session:
        first = _tells(session, 'checksum "large" "sha256"')
        spent = server.cpu()
        assert _tells(session, 'checksum "large" "sha256"') == first
        assert server.cpu() - spent < 0.2
        with open(path, "r+b") as file:
            file.write(b"x")
        assert _tells(session, 'checksum "large" "sha256"') != first


@blocking
def test_hashing_is_broken_off_by_abort(server: Server) -> None:
    with open(server.root / "large", "wb") as file:
        file.truncate(1 << 40)
    with server.session() as session:
        session.send('checksum "large" "sha256"')
        assert session.waits(0.1)
        session.send("abort")
        session.expect("FAILURE: Transfer cancelled.")
        assert session.is_answered()
        spent = server.cpu()
        assert session.waits(0.3)
        assert server.cpu() - spent < 0.2


@blocking
def test_the_checksum_of_a_partial(server: Server) -> None:
    content = os.urandom(3 * MIB)
    with server.session() as session, server.session() as other:
        data = session.begin_put("f", len(content) + 1)
        data.sendall(content)
        eventually(lambda: _tells(other, "stat f")[-2] == f"Partial size: {len(content)} bytes")
        session.send("abort")
        session.expect("FAILURE: Transfer cancelled.")
        assert _tells(other, 'stat "f" "sha256"') == [
            "Type: none",
            f"Partial size: {len(content)} bytes",
            f"Partial checksum: sha256 {SUMS['sha256'](content)}",
            DESCRIBED,
        ]
        assert _tells(other, 'stat "f" "md5"')[0].startswith(UNSUPPORTED)


@blocking
def test_times_and_modes(server: Server) -> None:
    with server.session() as session:
        fields = ("File size: 3 bytes", "Modified: 2001-02-03T04:05:06.000007Z", "Mode: 0604")
        with session.begin("put f", TO_RECEIVE, *fields) as data:
            data.sendall(b"abc")
        session.send("Transfer complete: f")
        session.expect("Transfer complete: f", TRANSFERRED)
        found = os.stat(server.root / "f")
        assert found.st_mtime_ns == 981_173_106_000_007_000
        assert stat.S_IMODE(found.st_mode) == 0o604
        with session.begin("get f", TO_SEND) as data:
            assert read_all(data) == b"abc"
        session.expect("File size: 3 bytes", fields[1], fields[2], "Transfer complete: f")
        session.send("Transfer complete: f")
        session.expect(TRANSFERRED)


@blocking
def test_nobody_is_told_times_who_has_not_asked(server: Server, tmp_path: Path) -> None:
    (server.root / "f").write_bytes(b"x")
    with server.session() as session:
        assert session.get("f") == b"x"
        session.send("features")
        while session.line() != "SUCCESS: Features listed.":
            pass
        with session.begin("get f", TO_SEND) as data:
            read_all(data)
        session.expect("File size: 1 bytes")
        assert session.line().startswith("Modified: ")
        assert session.line().startswith("Mode: 0")
