"""Going on with servers that lack something, change their mind or lie, each a script on a real socket."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import xxhash
from harness import Server
from library import (
    data_channel,
    hear,
    hidden,
    in_reactor,
    reactor,
    resources,
    say,
    scripted,
    session_with,
)
from raw import GREETING, TO_RECEIVE, TO_SEND, TRANSFERRED, read_all
from twisted.internet.defer import CancelledError, ensureDeferred
from twisted.internet.task import deferLater

from twisted_ftplite.client import connect
from twisted_ftplite.errors import (
    ChecksumMismatch,
    ConnectionRefused,
    FileNotFound,
    LimitReached,
    ProtocolViolation,
)
from twisted_ftplite.limits import Limits

CONTENT = b"0123456789" * 3
TIME, MODE = "2026-11-22T13:00:00.123456Z", "0644"
DESCRIBED = "SUCCESS: Described."
ALL = ("files", "offset", "modified", "checksum xxh128", "partial-checksum")


def xxh128(data: bytes) -> str:
    return f"xxh128 {xxhash.xxh3_128_hexdigest(data)}"


def offer(lines: Any, *features: str) -> None:
    say(lines, GREETING)
    hear(lines, "features")
    say(lines, *(f"Feature: {each}" for each in features), "SUCCESS: Features listed.")


def describe(lines: Any, asked: str, size: int, *more: str, modified: str = TIME) -> None:
    hear(lines, asked)
    say(
        lines,
        "Type: file",
        f"File size: {size} bytes",
        f"Modified: {modified}",
        f"Mode: {MODE}",
        *more,
        DESCRIBED,
    )


def describe_partial(lines: Any, asked: str, partial: bytes, *, checksum: bool = True) -> None:
    hear(lines, asked)
    told = [f"Partial checksum: {xxh128(partial)}"] if checksum else []
    say(lines, "Type: none", f"Partial size: {len(partial)} bytes", *told, DESCRIBED)


def send(lines: Any, content: bytes, *options: str, size: int = len(CONTENT), modified: str = TIME) -> None:
    """The server's part of a get, up to its completion."""
    hear(lines, "get f", *options)
    with data_channel(lines) as data:
        say(lines, TO_SEND, f"File size: {size} bytes", f"Modified: {modified}", f"Mode: {MODE}")
        if content:  # nothing is sent that may be refused already
            data.sendall(content)


def finish(lines: Any, checksum: str | None = None) -> None:
    say(lines, *([f"Checksum: {checksum}"] if checksum else []), "Transfer complete: f")
    hear(lines, "Transfer complete: f")
    say(lines, TRANSFERRED)


def refuse_put(lines: Any, *options: str) -> None:
    hear(lines, "put f", f"File size: {len(CONTENT)} bytes", *options)
    lines.readline()
    say(lines, TO_RECEIVE, "FAILURE: Offset not valid.")


def receive(lines: Any, *options: str, status: str = TRANSFERRED) -> bytes:
    """The server's part of a put; what came."""
    hear(lines, "put f", f"File size: {len(CONTENT)} bytes", *options)
    with data_channel(lines) as data:
        say(lines, TO_RECEIVE)
        content = read_all(data)
    hear(
        lines,
        *([f"Checksum: {xxh128(CONTENT)}"] if "Checksum: xxh128" in options else []),
        "Transfer complete: f",
    )
    say(lines, *(["Transfer complete: f"] if status == TRANSFERRED else []), status)
    return content


@in_reactor
async def test_a_ghost_that_had_more(tmp_path: Path) -> None:
    def script(lines: Any) -> None:
        offer(lines, *ALL)
        describe_partial(lines, 'stat "f" "xxh128"', CONTENT[:10])
        refuse_put(lines, "Start offset: 10 bytes", "Checksum: xxh128")
        describe_partial(lines, 'stat "f" "xxh128"', CONTENT[:12])
        assert receive(lines, "Start offset: 12 bytes", "Checksum: xxh128") == CONTENT[12:]

    (tmp_path / "f").write_bytes(CONTENT)
    with scripted(script) as address:
        async with session_with(address) as session:
            put = await session.put(str(tmp_path / "f"), "f", resume=True)
    assert (put.size, put.resumed_at, str(put.checksum)) == (30, 12, xxh128(CONTENT))


@in_reactor
async def test_an_offset_that_is_never_valid(tmp_path: Path) -> None:
    def script(lines: Any) -> None:
        offer(lines, *ALL)
        for _ in range(3):
            describe_partial(lines, 'stat "f" "xxh128"', CONTENT[:10])
            refuse_put(lines, "Start offset: 10 bytes", "Checksum: xxh128")
        assert receive(lines, "Checksum: xxh128") == CONTENT

    (tmp_path / "f").write_bytes(CONTENT)
    with scripted(script) as address:
        async with session_with(address) as session:
            assert (await session.put(str(tmp_path / "f"), "f", resume=True)).resumed_at == 0


@in_reactor
async def test_a_partial_that_cannot_be_compared(tmp_path: Path) -> None:
    def script(lines: Any) -> None:
        offer(lines, "files", "offset", "checksum xxh128")
        describe_partial(lines, "stat f", b"x" * 10, checksum=False)
        options = ("Start offset: 10 bytes", "Checksum: xxh128")
        assert receive(lines, *options, status="FAILURE: Checksum mismatch.") == CONTENT[10:]
        hear(lines, "stat f")
        say(lines, "FAILURE: File not found.")
        assert receive(lines, "Checksum: xxh128") == CONTENT
        # Nobody would notice that it is of another file.
        describe_partial(lines, "stat f", b"x" * 10, checksum=False)
        assert receive(lines) == CONTENT

    (tmp_path / "f").write_bytes(CONTENT)
    with scripted(script) as address:
        async with session_with(address) as session:
            assert (await session.put(str(tmp_path / "f"), "f", resume=True)).resumed_at == 0
            put = await session.put(str(tmp_path / "f"), "f", resume=True, checksum=None)
            assert (put.resumed_at, put.checksum) == (0, None)


@in_reactor
async def test_a_mismatch_behind_a_beginning_that_was_compared(tmp_path: Path) -> None:
    def script(lines: Any) -> None:
        offer(lines, *ALL)
        describe_partial(lines, 'stat "f" "xxh128"', CONTENT[:10])
        receive(lines, "Start offset: 10 bytes", "Checksum: xxh128", status="FAILURE: Checksum mismatch.")

    (tmp_path / "f").write_bytes(CONTENT)
    with scripted(script) as address:
        async with session_with(address) as session:
            with pytest.raises(ChecksumMismatch):
                await session.put(str(tmp_path / "f"), "f", resume=True)


def stalled_get(lines: Any) -> None:
    """The first ten bytes, and no more."""
    hear(lines, "get f", "Checksum: xxh128")
    with data_channel(lines) as data:
        say(lines, TO_SEND, f"File size: {len(CONTENT)} bytes", f"Modified: {TIME}", f"Mode: {MODE}")
        data.sendall(CONTENT[:10])
        hear(lines, "abort")
    say(lines, "FAILURE: Transfer cancelled.")


@in_reactor
async def test_a_file_that_is_another_by_now(tmp_path: Path) -> None:
    other = CONTENT[::-1]
    later = TIME.replace("00:00", "00:01")

    def script(lines: Any) -> None:
        offer(lines, *ALL)
        stalled_get(lines)
        # It changes right between the description and the answer.
        describe(lines, "stat f", len(CONTENT))
        send(lines, b"", "Start offset: 10 bytes", "Checksum: xxh128", modified=later)
        hear(lines, "abort")
        say(lines, "FAILURE: Transfer cancelled.")
        describe(lines, "stat f", len(other), modified=later)
        send(lines, other, "Checksum: xxh128", modified=later)
        finish(lines, xxh128(other))

    with scripted(script) as address:
        async with session_with(address, limits=Limits(stall_timeout=0.3)) as session:
            with pytest.raises(Exception, match="timed out"):
                await session.get("f", str(tmp_path / "f"))
            assert len(hidden(tmp_path)) == 1
            assert (await session.get("f", str(tmp_path / "f"), resume=True)).resumed_at == 0
    assert (tmp_path / "f").read_bytes() == other
    assert hidden(tmp_path) == []


@in_reactor
async def test_a_resumed_get_whose_checksum_is_wrong(tmp_path: Path) -> None:
    def script(lines: Any) -> None:
        offer(lines, *ALL)
        stalled_get(lines)
        describe(lines, "stat f", len(CONTENT))
        send(lines, CONTENT[10:], "Start offset: 10 bytes", "Checksum: xxh128")
        say(lines, f"Checksum: {xxh128(b'')}", "Transfer complete: f")
        hear(lines, "FAILURE: Checksum mismatch.")
        say(lines, "FAILURE: Checksum mismatch.")
        describe(lines, "stat f", len(CONTENT))
        send(lines, CONTENT, "Checksum: xxh128")
        say(lines, f"Checksum: {xxh128(b'')}", "Transfer complete: f")
        hear(lines, "FAILURE: Checksum mismatch.")
        say(lines, "FAILURE: Checksum mismatch.")

    with scripted(script) as address:
        async with session_with(address, limits=Limits(stall_timeout=0.3)) as session:
            with pytest.raises(Exception, match="timed out"):
                await session.get("f", str(tmp_path / "f"))
            with pytest.raises(ChecksumMismatch):
                await session.get("f", str(tmp_path / "f"), resume=True)
            assert os.listdir(tmp_path) == []


@in_reactor
async def test_a_refusal_costs_nothing_that_was_there(tmp_path: Path) -> None:
    def script(lines: Any) -> None:
        offer(lines, *ALL)
        stalled_get(lines)
        for refusal in ("FAILURE: Limit reached.", "ERROR: Connection refused."):
            describe(lines, "stat f", len(CONTENT))
            hear(lines, "get f", "Start offset: 10 bytes", "Checksum: xxh128")
            lines.readline()
            say(lines, refusal)
        describe(lines, "stat f", len(CONTENT))
        send(lines, CONTENT[10:], "Start offset: 10 bytes", "Checksum: xxh128")
        finish(lines, xxh128(CONTENT))

    with scripted(script) as address:
        async with session_with(address, limits=Limits(stall_timeout=0.3)) as session:
            with pytest.raises(Exception, match="timed out"):
                await session.get("f", str(tmp_path / "f"))
            for refusal in (LimitReached, ConnectionRefused):
                with pytest.raises(refusal):
                    await session.get("f", str(tmp_path / "f"), resume=True)
            assert (await session.get("f", str(tmp_path / "f"), resume=True)).resumed_at == 10
    assert (tmp_path / "f").read_bytes() == CONTENT


@pytest.mark.parametrize("missing", ["files", "offset", "modified"])
@in_reactor
async def test_a_server_that_lacks_what_a_resumed_get_takes(tmp_path: Path, missing: str) -> None:
    def script(lines: Any) -> None:
        offer(lines, *(each for each in ALL if each != missing))
        stalled_get(lines)
        send(lines, CONTENT, "Checksum: xxh128")
        finish(lines, xxh128(CONTENT))

    with scripted(script) as address:
        async with session_with(address, limits=Limits(stall_timeout=0.3)) as session:
            with pytest.raises(Exception, match="timed out"):
                await session.get("f", str(tmp_path / "f"))
            assert os.listdir(tmp_path) == []
            assert (await session.get("f", str(tmp_path / "f"), resume=True)).resumed_at == 0
    assert (tmp_path / "f").read_bytes() == CONTENT


@in_reactor
async def test_a_server_that_does_not_tell_what_it_offers_to_tell(tmp_path: Path) -> None:
    size = (1 << 20) + 1

    def script(lines: Any) -> None:
        offer(lines, "files", "offset", "modified")
        for preserve in (False, True):
            hear(lines, "get f")
            with data_channel(lines) as data:
                say(lines, TO_SEND, f"File size: {size} bytes")
                if preserve:
                    say(lines, "Transfer complete: f")
                else:
                    say(lines, f"Modified: {TIME}")
                hear(lines, "abort")
                data.close()
            say(lines, "FAILURE: Transfer cancelled.")

    with scripted(script) as address:
        async with session_with(address, limits=Limits(stall_timeout=0.3)) as session:
            with pytest.raises(Exception, match="timed out"):
                await session.get("f", str(tmp_path / "f"))
            with pytest.raises(ProtocolViolation):
                await session.get("f", str(tmp_path / "f"), preserve=True)
    assert os.listdir(tmp_path) == []


@in_reactor
async def test_what_a_resumed_transfer_is_refused(server: Server, tmp_path: Path) -> None:
    (server.root / "d").mkdir()
    async with session_with(server.address) as session:
        with pytest.raises(FileNotFound):
            await session.get("none", str(tmp_path / "f"), resume=True)
        with pytest.raises(Exception, match="Is a directory"):
            await session.get("d", str(tmp_path / "f"), resume=True)
        with pytest.raises(Exception, match="is a directory"):
            await session.put(str(tmp_path), "f", resume=True)
        (tmp_path / "f").write_bytes(b"x")
        with pytest.raises(Exception, match="Is a directory"):
            await session.put(str(tmp_path / "f"), "d", resume=True)
        with pytest.raises(FileNotFound):
            await session.put(str(tmp_path / "f"), "none/f", resume=True)
        with pytest.raises(Exception, match="No such file"):
            await session.put(str(tmp_path / "none"), "f", resume=True)
        await session.noop()


@in_reactor
async def test_cancelled_at_any_moment(server: Server, tmp_path: Path) -> None:
    """Nothing is left open, the session goes on, and what was begun is gone on with."""
    content = os.urandom(6 << 20)
    (server.root / "f").write_bytes(content)
    (tmp_path / "f").write_bytes(content)

    async def cancel_all(steps: int) -> None:
        session = await connect(reactor, *server.address)
        for number in range(steps):
            for start in (
                session.get("f", str(tmp_path / "g"), resume=True),
                session.put(str(tmp_path / "f"), "g", resume=True),
            ):
                running = ensureDeferred(start)
                await deferLater(reactor, number * 0.0008)
                running.cancel()
                try:
                    assert (await running).size == len(content)
                except CancelledError:
                    continue
            for each in (tmp_path / "g", server.root / "g"):
                if each.exists():
                    each.unlink()
        await session.get("f", str(tmp_path / "g"), resume=True)
        await session.put(str(tmp_path / "f"), "g", resume=True)
        await session.quit()

    await cancel_all(2)
    before = resources()
    await cancel_all(40)
    assert resources() == before
    assert (tmp_path / "g").read_bytes() == content == (server.root / "g").read_bytes()
    assert hidden(tmp_path) == [] == hidden(server.root)
