"""Bare blocking loops on two sockets: the limit that every other figure is held against."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

from .frame import MIB, Bench
from .machine import check_file, warm_pages
from .processes import Server, free_port, module
from .steps import send_file, swallow

F_SETPIPE_SZ = 1031


def serve(path: str, port: str) -> None:
    """The bare sender: whoever connects gets the file by sendfile, one at a time."""
    with socket.create_server(("127.0.0.1", int(port))) as listener, open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        while True:
            with listener.accept()[0] as data, suppress(OSError):
                send_file(data, file.fileno(), size)


class BareLoops:
    """A bare sender in a process of its own, and the sinks that receive from it here."""

    def __init__(self, bench: Bench, source: Path) -> None:
        port = free_port()
        self.bench, self.source = bench, source
        self.server = Server(bench, "bare-sender", port, module("loops", source, port))

    def _connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.port))

    def _figure(self, total: int, seconds: float) -> float:
        if total != self.source.stat().st_size:
            raise AssertionError(f"{total} bytes arrived")
        return total / seconds / 1e9

    def received(self) -> float:
        """sendfile → recv_into one buffer; GB/s."""
        start = time.perf_counter()
        with self._connect() as data:
            total = swallow(data)
        return self._figure(total, time.perf_counter() - start)

    def spliced_to_nowhere(self) -> float:
        """sendfile → splice through a pipe → the null device; GB/s."""
        with open(os.devnull, "wb") as null:
            start = time.perf_counter()
            with self._connect() as data:
                total = splice_all(data, null.fileno())
            return self._figure(total, time.perf_counter() - start)

    def spliced_to_file(self) -> float:
        """sendfile → splice through a pipe → a new file on tmpfs; GB/s."""
        target = self.bench.local / "bare"
        warm_pages(self.bench.folder, self.source.stat().st_size)
        with target.open("wb") as file:
            start = time.perf_counter()
            with self._connect() as data:
                total = splice_all(data, file.fileno())
            seconds = time.perf_counter() - start
        check_file(target, self.source)
        return self._figure(total, seconds)

    def received_to_file(self) -> float:
        """sendfile → recv_into one buffer → write to a new file on tmpfs; GB/s."""
        target = self.bench.local / "bare"
        warm_pages(self.bench.folder, self.source.stat().st_size)
        buffer = bytearray(MIB)
        view = memoryview(buffer)
        total = 0
        with target.open("wb", buffering=0) as file:
            start = time.perf_counter()
            with self._connect() as data:
                while taken := data.recv_into(buffer):
                    file.write(view[:taken])
                    total += taken
            seconds = time.perf_counter() - start
        check_file(target, self.source)
        return self._figure(total, seconds)


def splice_all(data: socket.socket, target: int) -> int:
    """Move a stream to its end into ``target`` through a pipe of 1 MiB; returns the bytes."""
    out, into = os.pipe()
    with closing(os.fdopen(out, "rb", 0)), closing(os.fdopen(into, "wb", 0)):
        size = fcntl.fcntl(into, F_SETPIPE_SZ, MIB)
        total = 0
        while taken := os.splice(data.fileno(), into, size):
            total += taken
            while taken:
                taken -= os.splice(out, target, taken)
    return total


def copy_and_sync(source: Path, target: Path) -> float:
    """`cp`, then fsync of the file and its directory, as one would do it by hand; seconds."""
    start = time.perf_counter()
    subprocess.run(["cp", str(source), str(target)], check=True)
    for path in (target, target.parent):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    return time.perf_counter() - start


if __name__ == "__main__":
    serve(*sys.argv[1:3])
