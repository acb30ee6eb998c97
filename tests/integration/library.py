"""What tests of the client's library share: sessions in the test's own reactor, and scripted servers."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest_twisted
from faulty import Link
from harness import Server
from twisted.internet import reactor as installed

from twisted_ftplite.client import Session, connect

reactor: Any = installed
in_reactor = pytest_twisted.ensureDeferred
"""A test that is a coroutine."""


@asynccontextmanager
async def session_with(address: tuple[str, int], **options: Any) -> AsyncIterator[Session]:
    session = await connect(reactor, *address, **options)
    try:
        yield session
    finally:
        await session.close()


@asynccontextmanager
async def link_to(server: Server) -> AsyncIterator[Link]:
    link = Link(server.address)
    try:
        yield link
    finally:
        await link.close()


def hidden(folder: Path) -> list[str]:
    """What a listing would not show."""
    return [name for name in os.listdir(folder) if name.startswith(".ftplite-")]


def resources() -> tuple[set[str], set[int]]:
    """What this process has open, and which of its threads are no workers."""
    links = {os.readlink(f"/proc/self/fd/{each}") for each in os.listdir("/proc/self/fd") if _is_open(each)}
    threads = {each.ident or 0 for each in threading.enumerate() if each.name != "ftplite-worker"}
    return {each for each in links if not each.startswith("pipe:")}, threads


def _is_open(descriptor: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{descriptor}")


@contextmanager
def scripted(script: Callable[[Any], None]) -> Iterator[tuple[str, int]]:
    """A server of one session that does as the script says."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        failed: list[BaseException] = []

        def serve() -> None:
            connection, _ = listener.accept()
            connection.settimeout(10)
            try:
                with connection, connection.makefile("rwb", buffering=0) as lines:
                    script(lines)
            except BaseException as error:  # noqa: BLE001 - told below
                failed.append(error)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[:2]
        finally:
            thread.join()
            assert failed == []


def hear(lines: Any, *expected: str) -> None:
    for each in expected:
        assert lines.readline() == (each + "\n").encode()


def data_channel(lines: Any) -> socket.socket:
    name, _, port = lines.readline().partition(b": ")
    assert name == b"Data channel port"
    return socket.create_connection(("127.0.0.1", int(port)))


def say(lines: Any, *said: str) -> None:
    lines.write("".join(each + "\n" for each in said).encode())
