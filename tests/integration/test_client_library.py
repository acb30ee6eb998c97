"""The client's library against a real server: checksums, attributes, listings and the tree."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from faulty import Link
from harness import Server, eventually
from library import data_channel, hear, hidden, in_reactor, link_to, resources, say, scripted, session_with
from raw import GREETING, TO_RECEIVE, TO_SEND, TRANSFERRED, read_all
from twisted.internet.defer import ensureDeferred

from twisted_ftplite.errors import (
    ChecksumMismatch,
    DirectoryNotEmpty,
    FileNotFound,
    LocalFileTrouble,
    NotSupported,
    ProtocolViolation,
)
from twisted_ftplite.limits import Limits

BIG = os.urandom(1 << 20) * 5 + b"and an end that is no whole page"


@in_reactor
async def test_features_are_asked_once(server: Server) -> None:
    async with link_to(server) as link, session_with(link.address) as session:
        assert link.lines == [b"features"]
        await session.ls()
        assert (await session.offered())["checksum"][0] == "xxh128"
        await session.list()
        await session.offered()
        assert link.lines.count(b"features") == 1


@in_reactor
async def test_commands_at_the_same_time_keep_their_order(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    async with link_to(server) as link, session_with(link.address) as session:
        calls = [
            ensureDeferred(each)
            for each in (
                session.put(str(tmp_path / "a"), "a"),
                session.ls(),
                session.get("a", str(tmp_path / "b")),
                session.stat("a"),
            )
        ]
        put, names, got, described = [await each for each in calls]
        assert [entry.name for entry in names] == ["a"]
        assert put.size == got.size == described.size == 7
    asked = [
        line.split()[0] for line in link.lines if line.split()[0] in (b"features", b"put", b"ls", b"get")
    ]
    assert asked == [b"features", b"put", b"ls", b"get"]


@pytest.mark.parametrize("content", [b"", b"small", BIG], ids=["empty", "small", "big"])
@pytest.mark.parametrize("algorithm", ["default", "xxh128", "sha256", None])
@in_reactor
async def test_checksums(server: Server, tmp_path: Path, content: bytes, algorithm: str | None) -> None:
    (tmp_path / "source").write_bytes(content)
    async with link_to(server) as link, session_with(link.address) as session:
        put = await session.put(str(tmp_path / "source"), "there", checksum=algorithm)
        got = await session.get("there", str(tmp_path / "target"), checksum=algorithm)
    assert (server.root / "there").read_bytes() == content == (tmp_path / "target").read_bytes()
    assert put.checksum == got.checksum
    if algorithm is None:
        assert put.checksum is None
        assert not any(line.startswith(b"Checksum") for line in link.lines)
    else:
        expected = "xxh128" if algorithm == "default" else algorithm
        assert put.checksum is not None
        assert put.checksum.algorithm == expected
        assert link.lines.count(b"Checksum: " + expected.encode()) == 2
        assert link.lines.count(f"Checksum: {put.checksum}".encode()) == 1
    assert not hidden(tmp_path)


@in_reactor
async def test_a_checksum_that_is_not_offered(server: Server, tmp_path: Path) -> None:
    (server.root / "f").write_bytes(b"x")
    async with session_with(server.address) as session:
        with pytest.raises(NotSupported):
            await session.get("f", str(tmp_path / "f"), checksum="md5")
        with pytest.raises(NotSupported):
            await session.checksum("f", "md5")
        assert (await session.get("f", str(tmp_path / "f"))).size == 1


@pytest.mark.parametrize("content", [b"small", BIG], ids=["small", "big"])
@in_reactor
async def test_a_flipped_bit_is_caught(server: Server, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "source").write_bytes(content)
    (server.root / "there").write_bytes(content)
    (tmp_path / "target").write_bytes(b"old")
    async with link_to(server) as link, session_with(link.address) as session:
        link.flip_at = len(content) // 2
        with pytest.raises(ChecksumMismatch):
            await session.get("there", str(tmp_path / "target"))
        assert (tmp_path / "target").read_bytes() == b"old"
        assert not hidden(tmp_path)
        link.flip_at = len(content) + len(content) // 2
        with pytest.raises(ChecksumMismatch):
            await session.put(str(tmp_path / "source"), "new")
        assert not (server.root / "new").exists()
        eventually(lambda: not hidden(server.root))
        assert (await session.get("there", str(tmp_path / "target"))).size == len(content)


@in_reactor
async def test_whoever_takes_long_says_so(server: Server, tmp_path: Path) -> None:
    content = BIG * 8
    (server.root / "there").write_bytes(content)
    shown: list[int] = []
    limits = Limits(working_interval=0.0005)
    async with link_to(server) as link, session_with(link.address, limits=limits) as session:
        how: dict[str, Any] = {"checksum": "sha256"}
        for _ in range(3):  # once in a while the checksum is there as soon as the last byte
            await session.get("there", str(tmp_path / "target"), **how)
            await session.put(str(tmp_path / "target"), "new", **how)
        assert _worked(link)
        # Also before the command: a server that hears nothing for long ends the session.
        again = await session.put(
            str(tmp_path / "target"),
            "new",
            resume=True,
            progress=lambda *each: shown.append(each[0]),
            **how,
        )
        assert again.resumed_at == len(content)
        await session.noop()
        assert _worked(link)
    assert shown == sorted(shown)


def _worked(link: Link) -> bool:
    """Whether the client has said so since the last time."""
    said = [line for line in link.lines if line.startswith(b"Working: ") and line.endswith(b" bytes")]
    link.lines.clear()
    return said != []


class Once:
    """A source that is no file."""

    name = "once"

    def __init__(self, content: bytes) -> None:
        self._left = content

    def read(self, count: int) -> bytes:
        piece, self._left = self._left[:count], self._left[count:]
        return piece

    def close(self) -> None:
        """Nothing is open."""


class Bytes:
    """A target that is no file."""

    waits = True

    def __init__(self) -> None:
        self.content = b""

    def fileno(self) -> None:
        return None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.content += bytes(data)

    def spliced(self, count: int) -> None:
        raise AssertionError

    def sync(self) -> None:
        """Nothing to do."""

    def publish(self) -> None:
        """Nothing to do."""

    def discard(self) -> None:
        self.content = b""


@in_reactor
async def test_streams_are_compared_and_cannot_be_resumed(server: Server) -> None:
    async with session_with(server.address) as session:
        put = await session.put(Once(BIG), "there", preserve=True)
        target = Bytes()
        got = await session.get("there", target)
        assert target.content == BIG
        assert put.checksum == got.checksum is not None
        with pytest.raises(NotSupported):
            await session.get("there", target, resume=True)
        with pytest.raises(NotSupported):
            await session.put(Once(b""), "there", resume=True)
        assert (await session.get("there", "/dev/null")).checksum == got.checksum


@pytest.mark.parametrize("content", [b"small", BIG], ids=["small", "big"])
@in_reactor
async def test_preserving(server: Server, tmp_path: Path, content: bytes) -> None:
    when = 1_500_000_000_123_456_000
    source = tmp_path / "source"
    source.write_bytes(content)
    os.utime(source, ns=(when, when))
    source.chmod(0o640)
    async with session_with(server.address) as session:
        await session.put(str(source), "there", preserve=True)
        await session.put(str(source), "plain")
        await session.get("there", str(tmp_path / "kept"), preserve=True)
        await session.get("there", str(tmp_path / "new"))
        # What is there already still gets its attributes.
        os.utime(tmp_path / "new", ns=(when, when + 10**9))
        again = await session.get("there", str(tmp_path / "new"), preserve=True, resume=True)
        assert again.resumed_at == len(content)
        os.utime(source, ns=(when, when + 10**9))
        assert (await session.put(str(source), "there", resume=True)).resumed_at == len(content)
        again = await session.put(str(source), "there", preserve=True, resume=True)
        assert again.resumed_at == 0
    for file in (tmp_path / "kept", tmp_path / "new"):
        assert file.stat().st_mtime_ns == when
        assert file.stat().st_mode & 0o777 == 0o640
    assert (server.root / "there").stat().st_mtime_ns == when + 10**9
    assert (server.root / "plain").stat().st_mtime_ns != when


@in_reactor
async def test_the_tree(server: Server, tmp_path: Path) -> None:
    (server.root / "f").write_bytes(b"content")
    (server.root / "l").symlink_to("f")
    async with session_with(server.address) as session:
        assert await session.pwd() == session.directory == "/"
        await session.mkdir("d")
        await session.mkdir("d/my dir")
        await session.cd("d/my dir")
        assert await session.pwd() == session.directory == "/d/my dir"
        await session.put(os.fspath(__file__), "inner")
        assert [entry.name for entry in await session.ls()] == ["inner"]
        await session.cd("../..")
        with pytest.raises(DirectoryNotEmpty):
            await session.rmdir("d/my dir")
        with pytest.raises(FileNotFound):
            await session.cd("nowhere")
        assert session.directory == "/"
        names = [row.name for row in await session.list(depth_all=True)]
        assert names == ["d", "d/my dir", "d/my dir/inner", "f", "l"]
        assert [(row.name, row.kind, row.link) for row in await session.list("l")] == [("l", "file", True)]
        found = await session.stat("f")
        assert (found.kind, found.size, found.link, found.partial_size) == ("file", 7, False, None)
        assert found.mode == (server.root / "f").stat().st_mode & 0o777
        assert (await session.stat("l")).link
        assert await session.checksum("f") == await session.checksum("l")
        assert len(await session.checksum("f", "sha256")) == 64
        await session.mv("f", "d/g")
        await session.rm("d/g")
        await session.rm("d/my dir/inner")
        await session.rmdir("d/my dir")
        with pytest.raises(FileNotFound):
            await session.stat("f")
    assert sorted(os.listdir(server.root)) == ["d", "l"]


@in_reactor
async def test_long_listings_come_in_pieces(server: Server) -> None:
    for number in range(4000):
        (server.root / f"{number:0100}").touch()
    pieces: list[int] = []
    async with session_with(server.address) as session:
        await session.list_to(lambda rows: pieces.append(len(rows)))
        assert sum(pieces) == 4000
        assert len(pieces) > 1

        def refuse(rows: object) -> None:
            raise LocalFileTrouble("full")

        with pytest.raises(LocalFileTrouble):
            await session.list_to(refuse)
        await session.noop()


@in_reactor
async def test_nothing_is_left_open(server: Server, tmp_path: Path) -> None:
    (server.root / "big").write_bytes(BIG)

    async def all_of_it() -> None:
        async with session_with(server.address) as session:
            for resume in (False, True):
                await session.get("big", str(tmp_path / "big"), resume=resume)
                await session.put(str(tmp_path / "big"), "copy", resume=resume)
            for failing in (session.get("none", str(tmp_path / "x")), session.put("/none", "x")):
                with pytest.raises((FileNotFound, LocalFileTrouble)):
                    await failing
            running = ensureDeferred(session.get("big", str(tmp_path / "y")))
            running.addErrback(lambda _: None)
            running.cancel()
            await running
            await session.quit()

    await all_of_it()
    before = resources()
    await all_of_it()
    assert resources() == before


@in_reactor
async def test_a_server_without_features(tmp_path: Path) -> None:
    def script(lines: Any) -> None:
        say(lines, GREETING)
        hear(lines, "features")
        say(lines, "ERROR: Unknown command.")
        hear(lines, "get f")
        with data_channel(lines) as data:
            say(lines, TO_SEND, "File size: 5 bytes")
            data.sendall(b"plain")
        say(lines, "Transfer complete: f")
        hear(lines, "Transfer complete: f")
        say(lines, TRANSFERRED)
        hear(lines, "put g", "File size: 5 bytes")
        with data_channel(lines) as data:
            say(lines, TO_RECEIVE)
            assert read_all(data) == b"plain"
        hear(lines, "Transfer complete: g")
        say(lines, "Transfer complete: g", TRANSFERRED)
        assert lines.readline() == b""

    file = str(tmp_path / "f")
    with scripted(script) as address:
        async with session_with(address) as session:
            got = await session.get("f", file, resume=True)
            put = await session.put(file, "g", resume=True)
            assert (got.checksum, put.checksum, got.resumed_at) == (None, None, 0)
            for failing in (
                session.get("f", file, preserve=True),
                session.put(file, "g", checksum="xxh128"),
                session.list(),
                session.stat("f"),
                session.mkdir("d"),
            ):
                with pytest.raises(NotSupported):
                    await failing
            assert await session.offered() == {}


@pytest.mark.parametrize(
    "answer", ["Type: unheard of", "Mode: 0999", "File size: 1", "Modified: yesterday", "Partial checksum: x"]
)
@in_reactor
async def test_descriptions_that_make_no_sense(answer: str) -> None:
    def script(lines: Any) -> None:
        say(lines, GREETING)
        hear(lines, "features")
        say(lines, "Feature: files", "SUCCESS: Features listed.")
        hear(lines, "stat f")
        say(lines, "Type: file" if "Type" not in answer else answer, answer, "SUCCESS: Described.")
        lines.readline()

    with scripted(script) as address:
        async with session_with(address) as session:
            with pytest.raises(ProtocolViolation):
                await session.stat("f")
