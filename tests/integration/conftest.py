"""Fixtures of the tests with real sockets."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Server, empty, make_big
from pki import server_files


@pytest.fixture(scope="session")
def common_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the many tests that need no options of their own."""
    server = Server(tmp_path_factory.mktemp("common"), "--stall-timeout", "1", "--connect-timeout", "0.5")
    with contextlib.closing(_Stopped(server)):
        yield server


@pytest.fixture
def server(common_server: Server) -> Iterator[Server]:
    """A server with short timeouts, an empty tree, and nothing in its log of sessions before."""
    empty(common_server.root)
    common_server.log.clear()  # a port may come again
    yield common_server
    assert common_server.process.poll() is None
    common_server.check()


@pytest.fixture(scope="session")
def common_secure_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same with a certificate."""
    folder = tmp_path_factory.mktemp("secure")
    (folder / "tree").mkdir()
    options = ("--stall-timeout", "1", "--connect-timeout", "0.5", *server_files(folder))
    server = Server(folder / "tree", *options)
    with contextlib.closing(_Stopped(server)):
        yield server


@pytest.fixture
def secure(common_secure_server: Server) -> Iterator[Server]:
    """A server with a certificate, the two files of `tree`, and an empty log."""
    server = common_secure_server
    empty(server.root)
    server.log.clear()
    (server.root / "f").write_bytes(b"small")
    make_big(server.root)
    yield server
    assert server.process.poll() is None
    server.check()


@pytest.fixture
def tree(server: Server) -> Server:
    """The same with a small file and one that does not fit into the kernel's buffers."""
    (server.root / "f").write_bytes(b"small")
    make_big(server.root)
    return server


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers with options of their own; the tree is empty unless one is given."""
    with contextlib.ExitStack() as stopping:
        started: list[Server] = []

        def start(*options: str, root: Path | None = None, **more: Any) -> Server:
            if root is None:
                root = tmp_path / "tree"
                root.mkdir(exist_ok=True)
            server = Server(root, *options, **more)
            stopping.callback(server.stop)
            started.append(server)
            return server

        yield start
        for each in started:
            each.check()


class _Stopped:
    """Stops a server at the end."""

    def __init__(self, server: Server) -> None:
        self.close = server.stop
