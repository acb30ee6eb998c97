"""Bare blocking loops on two `ssl` sockets, a process each: the limit of TLS from Python."""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
import time
from contextlib import suppress
from pathlib import Path

from .frame import Bench
from .machine import check_file, warm_pages
from .processes import Helper, Server, free_port, module

PIECE = 256 * 1024
"""Bytes read from the file and given to OpenSSL at a time, and gathered before they are written to one."""


def serve(certificate: str, key: str, path: str, port: str) -> None:
    """The sender: whoever connects gets the file, one at a time."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.num_tickets = 0
    buffer = memoryview(bytearray(PIECE))
    with socket.create_server(("127.0.0.1", int(port))) as listener, open(path, "rb", buffering=0) as file:
        while True:
            connection = listener.accept()[0]
            with suppress(OSError), context.wrap_socket(connection, server_side=True) as data:
                file.seek(0)
                while count := file.readinto(buffer):
                    data.sendall(buffer[:count])
                data.unwrap()


def receive(port: str, target: str) -> None:
    """The receiver, once it is told to; says seconds from before it connects, bytes, version and suite."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    view, total = memoryview(bytearray(PIECE)), 0
    print("ready", flush=True)
    sys.stdin.readline()
    with open(target, "wb", buffering=0) as file:
        start = time.perf_counter()
        with context.wrap_socket(socket.create_connection(("127.0.0.1", int(port)))) as data:
            spoken = data.version(), (data.cipher() or ("",))[0]
            while taken := _fill(data, view):
                file.write(view[:taken])
                total += taken
            data.unwrap()
        seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "size": total, "spoken": [spoken]}), flush=True)


def _fill(data: ssl.SSLSocket, view: memoryview) -> int:
    """OpenSSL gives a record at a time, of 16 KiB at most."""
    taken = 0
    while taken < len(view) and (count := data.recv_into(view[taken:])):
        taken += count
    return taken


class SecurePair:
    """The sender in a process of its own, and receivers that are started for each run."""

    def __init__(self, bench: Bench, source: Path, certificate: str, key: str) -> None:
        port = free_port()
        self.bench, self.source = bench, source
        command = module("secure_pair", "serve", certificate, key, source, port)
        self.server = Server(bench, "bare-ssl-sender", port, command)

    def to_nowhere(self) -> float:
        """To the null device; GB/s."""
        return self._run(Path(os.devnull))

    def to_file(self) -> float:
        """To a new file on tmpfs; GB/s."""
        target = self.bench.local / "bare"
        figure = self._run(target)
        check_file(target, self.source)
        return figure

    def _run(self, target: Path) -> float:
        from .secure import check_spoken

        size = self.source.stat().st_size
        with Helper(self.bench, module("secure_pair", "receive", self.server.port, target)) as receiver:
            receiver.hear()
            if target != Path(os.devnull):
                warm_pages(self.bench.folder, size)
            receiver.tell("go")
            done = json.loads(receiver.hear())
        check_spoken(done["spoken"], 1)
        if done["size"] != size:
            raise AssertionError(f"{done['size']} bytes arrived")
        return float(size / done["seconds"] / 1e9)


if __name__ == "__main__":
    {"serve": serve, "receive": receive}[sys.argv[1]](*sys.argv[2:])
