"""Steps of a conversation on raw sockets, run one alone or many at once; and what moves bytes under them.

A step is a generator that yields what it waits for: a socket that shall become readable, or seconds to sleep.
`finish` runs one with blocking sockets, `together` many at once in one thread.
"""

from __future__ import annotations

import heapq
import os
import selectors
import socket
import struct
import time
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TypeVar

from .frame import MIB

Result = TypeVar("Result")
Steps = Generator[socket.socket | float, None, Result]


class Refused(Exception):
    """The server said something else than what the step waits for."""


def finish(steps: Steps[Result]) -> Result:
    """Run one to its end; its sockets block, so there is nothing to wait for here."""
    while True:
        try:
            wait = next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        if isinstance(wait, float):
            time.sleep(wait)


def together(many: Iterable[Steps[Result]]) -> list[Result]:
    """Run all of them at once; returns what they return, in order."""
    everyone = list(many)
    results: dict[int, Result] = {}
    selector = selectors.EpollSelector()
    sleepers: list[tuple[float, int]] = []

    def advance(index: int) -> None:
        try:
            wait = next(everyone[index])
        except StopIteration as end:
            results[index] = end.value
        else:
            if isinstance(wait, float):
                heapq.heappush(sleepers, (time.monotonic() + wait, index))
            else:
                selector.register(wait, selectors.EVENT_READ, index)

    for index in range(len(everyone)):
        advance(index)
    while len(results) < len(everyone):
        rest = sleepers[0][0] - time.monotonic() if sleepers else 60
        for key, _ in selector.select(max(rest, 0)):
            selector.unregister(key.fileobj)
            advance(key.data)
        while sleepers and sleepers[0][0] <= time.monotonic():
            advance(heapq.heappop(sleepers)[1])
    selector.close()
    return [results[index] for index in range(len(everyone))]


def limit_waits(one: socket.socket, seconds: int = 30) -> None:
    """Have the kernel end a wait that lasts too long; a Python timeout would add a poll to every call."""
    one.setblocking(True)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        one.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", seconds, 0))


def swallow(data: socket.socket, original: Path | None = None) -> int:
    """Read to the end of the stream into one buffer; returns how many bytes came."""
    buffer = bytearray(MIB)
    total = 0
    if original is None:
        while taken := data.recv_into(buffer):
            total += taken
        return total
    with original.open("rb") as file:
        while taken := data.recv_into(buffer):
            if file.read(taken) != buffer[:taken]:
                raise Refused(f"other bytes than those of {original.name} near {total}")
            total += taken
    return total


def send_file(data: socket.socket, descriptor: int, size: int) -> None:
    """Send a whole file from its descriptor, as a blocking loop does it."""
    offset = 0
    while offset < size:
        sent = os.sendfile(data.fileno(), descriptor, offset, MIB)
        if not sent:
            raise Refused(f"the file ended at {offset} of {size}")
        offset += sent


def store(path: Path, contents: bytes) -> None:
    """Write a small file in the fewest calls."""
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
    try:
        os.write(descriptor, contents)
    finally:
        os.close(descriptor)
