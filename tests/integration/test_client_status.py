"""`ftplite-client`: status, the last line of a transfer, and progress for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from harness import BIG, Server, blocking, make_big
from library import in_reactor, session_with
from terminal import client


def at(server: Server) -> str:
    return "{}:{}".format(*server.address)


@in_reactor
async def test_the_library(tree: Server) -> None:
    async with session_with(tree.address) as session, session_with(tree.address) as other:
        first, second = await session.status()
        assert (first.own, second.own) == (True, False)
        assert first.peer.startswith("127.0.0.1:")
        assert (first.user, first.secure, first.directory, first.transfer) == (None, False, "/", None)
        assert [each.own for each in await other.status()] == [False, True]


@blocking
def test_status(serve: Callable[..., Server]) -> None:
    server = serve()
    make_big(server.root)
    with server.session() as session, session.begin_get("big", BIG) as data:
        assert data.recv(1000)
        done = client(at(server), "status", cwd="/")
        assert (done.returncode, done.stderr) == (0, b"")
        first, moves, own = done.stdout.decode().splitlines()
        assert " in the clear, for " in first
        assert moves.startswith("    get big: ")
        assert f" of {BIG} bytes, " in moves
        assert own.endswith(", in /, this session")
        rows = [
            json.loads(line) for line in client(at(server), "status", "--json", cwd="/").stdout.splitlines()
        ]
        assert [row["own"] for row in rows] == [False, True]
        assert rows[0]["transfer"]["size"] == BIG
        data.close()
        assert session.line().startswith("ERROR: Connection lost.")


@blocking
def test_the_last_line_and_progress(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve("--limit-rate", "2M")
    make_big(server.root)
    with open(server.root / "big", "r+b") as file:
        file.truncate(3_000_000)
    done = client(at(server), "--progress=json", "get", "big", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith(b"big: 3000000 bytes in 1.")
    assert done.stdout.endswith(b", limited by the server's limit\n")
    first, last = [json.loads(line) for line in done.stderr.splitlines()]
    assert (first["name"], first["size"], last["moved"]) == ("big", 3_000_000, 3_000_000)
    assert 1_500_000 < first["moved"] < 2_500_000
    assert 1_500_000 < first["rate"] < 2_500_000
    assert (last["done"], last["limited_by"]) == (True, "the server's limit")
    assert server.logged(r" get big SUCCESS 3000000 bytes .*, limited by the server's limit$")


@blocking
def test_progress_beside_the_data(server: Server) -> None:
    (server.root / "f").write_bytes(b"abc")
    done = client(at(server), "--progress=json", "get", "f", "-", cwd="/")
    assert done.stdout == b"abc"
    (line,) = done.stderr.splitlines()
    assert json.loads(line)["done"] is True


@blocking
def test_the_clients_own_limit(server: Server, tmp_path: Path) -> None:
    (server.root / "big").write_bytes(bytes(2_000_000))
    done = client(at(server), "--limit-rate", "2M", "get", "big", cwd=tmp_path)
    assert done.stdout.endswith(b", limited by the client's limit\n")
    done = client(at(server), "--limit-rate", "2M", "put", "big", "up", cwd=tmp_path)
    assert done.stdout.endswith(b", limited by the client's limit\n")
    assert server.logged(r" put up SUCCESS .*, limited by the client's limit$")
