"""Going on with what broke off, by the client's library and a real server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from faulty import Link
from harness import Server
from library import hidden, in_reactor, link_to, reactor, resources, session_with
from twisted.internet.defer import CancelledError, ensureDeferred
from twisted.internet.task import deferLater

from twisted_ftplite.client import Session, Transfer, connect
from twisted_ftplite.client.retrying import Retrying
from twisted_ftplite.client.services import BrokeOff
from twisted_ftplite.errors import ConnectionLost, ConnectionTimedOut, FTPLiteError
from twisted_ftplite.limits import Limits

SIZE = 12 << 20
CONTENT = os.urandom(SIZE)
LARGE, MEDIUM, SMALL = CONTENT, CONTENT[: 500 * 1024], CONTENT[: 40 * 1024]


def cut_at(link: Link, position: int, **how: bool) -> None:
    """Cut the link when so many bytes of data have come, and have been read: a reset takes others along."""

    def end() -> None:
        link.silent = False
        link.cut(**how)

    def cut(moved: int) -> None:
        if moved >= position:
            link.on_data = lambda _: None
            link.silent = True
            reactor.callLater(0.05, end)

    link.on_data = cut


async def soon(condition: Callable[[], Any]) -> Any:
    """Wait for what nothing tells us of, with the reactor running; its first true value."""
    for _ in range(500):
        result = condition()
        if result:
            return result
        await deferLater(reactor, 0.02)
    raise AssertionError("it never came to that")


async def broken(transfer: Any) -> tuple[FTPLiteError, BrokeOff]:
    """How a transfer ends that must break off."""
    with pytest.raises((ConnectionLost, ConnectionTimedOut)) as caught:
        await transfer
    assert isinstance(caught.value.__cause__, BrokeOff)
    return caught.value, caught.value.__cause__


@pytest.mark.parametrize("content", [LARGE, MEDIUM], ids=["large", "medium"])
@pytest.mark.parametrize("algorithm", ["default", None])
@in_reactor
async def test_a_get_goes_on(server: Server, tmp_path: Path, content: bytes, algorithm: str | None) -> None:
    (server.root / "f").write_bytes(content)
    target = tmp_path / "target"
    target.write_bytes(b"old")
    async with link_to(server) as link:
        async with session_with(link.address) as session:
            cut_at(link, len(content) // 2)
            _, cause = await broken(session.get("f", str(target), checksum=algorithm))
            assert not cause.answered
            assert not session.connected
        assert target.read_bytes() == b"old"
        (partial,) = hidden(tmp_path)
        held = (tmp_path / partial).stat().st_size
        assert 0 < held < len(content)
        assert (tmp_path / partial).read_bytes() == content[:held]
        shown: list[tuple[int, int | None]] = []
        async with session_with(link.address) as session:
            got = await session.get(
                "f", str(target), resume=True, checksum=algorithm, progress=lambda *each: shown.append(each)
            )
    assert (got.size, got.resumed_at) == (len(content), held)
    assert target.read_bytes() == content
    assert hidden(tmp_path) == []
    assert all(moved >= held and whole == len(content) for moved, whole in shown)


@pytest.mark.parametrize("content", [LARGE, MEDIUM], ids=["large", "medium"])
@pytest.mark.parametrize("algorithm", ["default", None])
@in_reactor
async def test_a_put_goes_on(server: Server, tmp_path: Path, content: bytes, algorithm: str | None) -> None:
    source = tmp_path / "source"
    source.write_bytes(content)
    (server.root / "f").write_bytes(b"old")
    async with link_to(server) as link:
        async with session_with(link.address) as session:
            cut_at(link, len(content) // 2)
            await broken(session.put(str(source), "f", checksum=algorithm))
        await soon(lambda: hidden(server.root))
        assert (server.root / "f").read_bytes() == b"old"
        async with session_with(link.address) as session:
            put = await session.put(str(source), "f", resume=True, checksum=algorithm)
    assert put.size == len(content)
    assert 0 < put.resumed_at < len(content)
    assert (server.root / "f").read_bytes() == content
    assert hidden(server.root) == []


@in_reactor
async def test_a_get_without_resume_starts_over(server: Server, tmp_path: Path) -> None:
    (server.root / "f").write_bytes(LARGE)
    async with link_to(server) as link:
        async with session_with(link.address) as session:
            cut_at(link, SIZE // 2)
            await broken(session.get("f", str(tmp_path / "f")))
        async with session_with(link.address) as session:
            assert (await session.get("f", str(tmp_path / "f"))).resumed_at == 0
    assert (tmp_path / "f").read_bytes() == LARGE
    assert hidden(tmp_path) == []


@in_reactor
async def test_a_remote_file_that_changed_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    (server.root / "f").write_bytes(LARGE)
    async with link_to(server) as link:
        async with session_with(link.address) as session:
            cut_at(link, SIZE // 2)
            await broken(session.get("f", str(tmp_path / "f")))
        (server.root / "f").write_bytes(LARGE[::-1])
        async with session_with(link.address) as session:
            assert (await session.get("f", str(tmp_path / "f"), resume=True)).resumed_at == 0
    assert (tmp_path / "f").read_bytes() == LARGE[::-1]
    assert hidden(tmp_path) == []


@in_reactor
async def test_a_partial_that_was_spoilt_is_found_out(server: Server, tmp_path: Path) -> None:
    (server.root / "f").write_bytes(LARGE)
    async with link_to(server) as link:
        async with session_with(link.address) as session:
            cut_at(link, SIZE // 2)
            await broken(session.get("f", str(tmp_path / "f")))
        partial = tmp_path / hidden(tmp_path)[0]
        partial.write_bytes(b"spoilt" + partial.read_bytes()[6:])
        async with session_with(link.address) as session:
            assert (await session.get("f", str(tmp_path / "f"), resume=True)).resumed_at == 0
    assert (tmp_path / "f").read_bytes() == LARGE
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("change", ["other bytes", "shorter", "longer"])
@in_reactor
async def test_a_local_file_that_changed_is_sent_anew(server: Server, tmp_path: Path, change: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(LARGE)
    async with link_to(server) as link:
        async with session_with(link.address) as session:
            cut_at(link, SIZE // 2)
            await broken(session.put(str(source), "f"))
        await soon(lambda: hidden(server.root))
        new = {"other bytes": LARGE[::-1], "shorter": LARGE[: 1 << 20], "longer": LARGE + LARGE}[change]
        source.write_bytes(new)
        link.moved = 0
        async with session_with(link.address) as session:
            put = await session.put(str(source), "f", resume=True)
            # What was added behind what the server has is all that is missing.
            assert (put.resumed_at > 0) == (change == "longer")
            assert put.size == len(new)
            assert link.moved == len(new) - put.resumed_at
    assert (server.root / "f").read_bytes() == new


@pytest.mark.parametrize("content", [LARGE, SMALL, b""], ids=["large", "small", "empty"])
@in_reactor
async def test_what_is_there_already_is_not_moved(server: Server, tmp_path: Path, content: bytes) -> None:
    (server.root / "f").write_bytes(content)
    (tmp_path / "f").write_bytes(content)
    async with link_to(server) as link, session_with(link.address) as session:
        got = await session.get("f", str(tmp_path / "f"), resume=True)
        put = await session.put(str(tmp_path / "f"), "f", resume=True)
        assert got.resumed_at == got.size == put.resumed_at == put.size == len(content)
        assert got.checksum == put.checksum
        assert link.moved == 0
        if content:
            (server.root / "f").write_bytes(content[::-1])
            assert (await session.get("f", str(tmp_path / "f"), resume=True)).resumed_at == 0
            (tmp_path / "f").write_bytes(content)
            assert (await session.put(str(tmp_path / "f"), "f", resume=True)).resumed_at == 0
            assert link.moved == 2 * len(content)


@in_reactor
async def test_a_lost_success(server: Server, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(LARGE)
    async with link_to(server) as link:
        async with session_with(link.address) as session:
            cut_at(link, SIZE)
            put = ensureDeferred(broken(session.put(str(tmp_path / "f"), "f")))
            await put
        async with session_with(link.address) as session:
            put = await session.put(str(tmp_path / "f"), "f", resume=True)
            assert put.size == SIZE
            assert put.resumed_at > 0
        (server.root / "g").write_bytes(LARGE)
        link.moved = 0
        async with session_with(link.address) as session:
            cut_at(link, SIZE)
            await broken(session.get("g", str(tmp_path / "g")))
        async with session_with(link.address) as session:
            assert (await session.get("g", str(tmp_path / "g"), resume=True)).resumed_at > 0
    assert (tmp_path / "g").read_bytes() == LARGE == (server.root / "f").read_bytes()


@pytest.mark.parametrize("content", [LARGE, MEDIUM], ids=["large", "medium"])
@pytest.mark.parametrize("verb", ["get", "put"])
@in_reactor
async def test_cancelling_keeps_what_came(server: Server, tmp_path: Path, content: bytes, verb: str) -> None:
    source, target = (server.root, tmp_path) if verb == "get" else (tmp_path, server.root)
    (source / "f").write_bytes(content)
    async with link_to(server) as link, session_with(link.address) as session:

        def start(*, resume: bool) -> Any:
            if verb == "get":
                return session.get("f", str(tmp_path / "f"), resume=resume)
            return session.put(str(tmp_path / "f"), "f", resume=resume)

        link.on_data = lambda moved: setattr(link, "silent", moved > len(content) // 3)
        running = ensureDeferred(start(resume=False))
        await soon(lambda: link.silent)
        await deferLater(reactor, 0.1)
        link.silent = False
        link.on_data = lambda _: None
        running.cancel()
        with pytest.raises(CancelledError):
            await running
        assert session.connected
        await soon(lambda: hidden(target))
        assert (await start(resume=True)).resumed_at > 0
    assert (target / "f").read_bytes() == content
    assert hidden(target) == []


@in_reactor
async def test_a_failure_keeps_nothing(server: Server, tmp_path: Path) -> None:
    (server.root / "f").write_bytes(LARGE)
    async with link_to(server) as link, session_with(link.address) as session:
        link.flip_at = SIZE - 10
        with pytest.raises(FTPLiteError, match="Checksum mismatch"):
            await session.get("f", str(tmp_path / "f"))
        assert os.listdir(tmp_path) == []
        # It cannot be told whether the part from before or the rest was at fault, but all of it can.
        cut_at(link, link.moved + SIZE // 2, data_only=True)
        _, cause = await broken(session.get("f", str(tmp_path / "f")))
        assert cause.answered
        assert session.connected
        link.flip_at = link.moved + 1000
        assert (await session.get("f", str(tmp_path / "f"), resume=True)).resumed_at == 0
    assert (tmp_path / "f").read_bytes() == LARGE


@in_reactor
async def test_two_gets_to_one_place(server: Server, tmp_path: Path) -> None:
    (server.root / "f").write_bytes(LARGE)
    async with session_with(server.address) as one, session_with(server.address) as two:
        for resume in (False, True):
            transfers = [ensureDeferred(each.get("f", str(tmp_path / "f"))) for each in (one, two)]
            transfers += [
                ensureDeferred(each.get("f", str(tmp_path / "f"), resume=resume)) for each in (one, two)
            ]
            for each in transfers:
                assert (await each).size == SIZE
    assert (tmp_path / "f").read_bytes() == LARGE
    assert hidden(tmp_path) == []


GETTING = """
import sys
from twisted.internet import task
from twisted.internet.defer import ensureDeferred
from twisted_ftplite.client import connect

async def get(reactor):
    session = await connect(reactor, "127.0.0.1", int(sys.argv[1]))
    await session.get("f", sys.argv[2])

task.react(lambda reactor: ensureDeferred(get(reactor)))
"""


def getting(link: Link, target: Path) -> subprocess.Popen[bytes]:
    """A client that fetches "f", and never gets more than a part of it."""
    link.on_data = lambda moved: setattr(link, "silent", moved > SIZE // 2)
    words = [sys.executable, "-c", GETTING, str(link.address[1]), str(target)]
    return subprocess.Popen(words, stderr=subprocess.DEVNULL)


@in_reactor
async def test_a_killed_client_goes_on(server: Server, tmp_path: Path) -> None:
    (server.root / "f").write_bytes(LARGE)
    async with link_to(server) as link:
        process = getting(link, tmp_path / "f")
        await soon(lambda: link.moved > SIZE // 2)
        process.kill()
        process.wait()
        (partial,) = hidden(tmp_path)
        held = (tmp_path / partial).stat().st_size
        link.on_data = lambda _: None
        link.silent = False
        async with session_with(link.address) as session:
            assert (await session.get("f", str(tmp_path / "f"), resume=True)).resumed_at == held > 0
    assert (tmp_path / "f").read_bytes() == LARGE
    assert hidden(tmp_path) == []


@in_reactor
async def test_the_ghost_of_a_put_is_taken_over(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve()
    (tmp_path / "f").write_bytes(LARGE)
    async with link_to(server) as link, session_with(server.address) as direct:
        async with session_with(
            link.address, limits=Limits(stall_timeout=0.4, working_interval=0.3)
        ) as session:

            def silence(moved: int) -> None:
                link.silent = moved > SIZE // 2

            link.on_data = silence
            error, _ = await broken(session.put(str(tmp_path / "f"), "f"))
            assert isinstance(error, ConnectionTimedOut)
        # The server knows nothing of this yet: the old upload still runs there.
        found = await direct.stat("f", "xxh128")
        assert found.partial_size is not None
        assert not any("put f" in line for line in server.log)
        put = await direct.put(str(tmp_path / "f"), "f", resume=True)
        assert put.resumed_at >= found.partial_size > 0
        server.logged("put f .*Connection lost")
    assert (server.root / "f").read_bytes() == LARGE


class Going:
    """A `Retrying` over a link, as the shell has it."""

    def __init__(self, link: Link, **limits: float) -> None:
        self.remarks: list[str] = []
        self.sessions: list[Session] = []
        self._link = link
        self._limits = Limits(**limits)  # type: ignore[arg-type]
        self.retrying = Retrying(
            self._connect, reactor, self.remarks.append, delays=(0.01, 0.3), random=Random(1)
        )

    async def _connect(self) -> Session:
        if not self.sessions or not self.sessions[-1].connected:
            self.sessions.append(await connect(reactor, *self._link.address, limits=self._limits))
        return self.sessions[-1]

    async def run(self, operation: Any) -> Transfer:
        try:
            return await self.retrying.run(operation)
        finally:
            for each in self.sessions:
                await each.close()


@pytest.mark.parametrize("data_only", [False, True], ids=["both", "data"])
@pytest.mark.parametrize("verb", ["get", "put"])
@in_reactor
async def test_it_goes_on_by_itself(server: Server, tmp_path: Path, verb: str, data_only: bool) -> None:
    (server.root / "f").write_bytes(LARGE)
    (tmp_path / "f").write_bytes(LARGE)
    async with link_to(server) as link:
        going = Going(link)
        cuts = [SIZE // 4, SIZE // 2, SIZE * 3 // 4]

        def cut(moved: int) -> None:
            if cuts and moved >= cuts[0]:
                del cuts[0]
                link.cut(data_only=data_only)

        link.on_data = cut
        if verb == "get":
            done = await going.run(lambda session, on: session.get("f", str(tmp_path / "g"), resume=on))
            assert (tmp_path / "g").read_bytes() == LARGE
        else:
            done = await going.run(lambda session, on: session.put(str(tmp_path / "f"), "g", resume=on))
            assert (server.root / "g").read_bytes() == LARGE
        assert done.resumed_at > 0  # how much a cut takes along depends on who had read how far
        assert len(going.sessions) == (1 if data_only else 4)
    assert len(going.remarks) == 3
    assert all("Connection lost" in each and " at byte " in each for each in going.remarks)
    assert hidden(tmp_path) == []


@in_reactor
async def test_silence_is_a_break(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve()
    (tmp_path / "f").write_bytes(LARGE)
    async with link_to(server) as link:
        going = Going(link, stall_timeout=0.4, connect_timeout=0.4, working_interval=0.3)

        def silence(moved: int) -> None:
            if moved > SIZE // 2:
                link.silent = True
                link.on_data = lambda _: None
                reactor.callLater(1, setattr, link, "silent", False)

        link.on_data = silence
        done = await going.run(lambda session, on: session.put(str(tmp_path / "f"), "f", resume=on))
    assert done.resumed_at > 0
    assert (server.root / "f").read_bytes() == LARGE
    assert len(going.sessions) == 2


@in_reactor
async def test_breaking_off_leaves_nothing_open(server: Server, tmp_path: Path) -> None:
    (server.root / "f").write_bytes(LARGE)
    (tmp_path / "f").write_bytes(LARGE)

    async def all_of_it() -> None:
        async with link_to(server) as link:
            for start in (
                lambda session: session.get("f", str(tmp_path / "g"), resume=True),
                lambda session: session.put(str(tmp_path / "f"), "g", resume=True),
            ):
                async with session_with(link.address) as session:
                    cut_at(link, link.moved + SIZE // 3)
                    await broken(start(session))
        await deferLater(reactor, 0.1)

    await all_of_it()
    before = resources()
    await all_of_it()
    assert resources() == before
