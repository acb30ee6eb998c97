"""Ways to listen: several endpoints, sockets from systemd, and behind a proxy."""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

from harness import OPENLY, Server, blocking, eventually
from raw import MISSING, TO_SEND, UNSUPPORTED

# Ways to listen.


@blocking
def test_several_endpoints(serve: Callable[..., Server]) -> None:
    server = serve("--listen", r"tcp6:0:interface=\:\:1", listen="tcp:0:interface=127.0.0.2")
    port = int(server.logged(r"\[::1\]:(\d+)")[1])
    with server.session() as session:
        session.put("f", b"abc")
    server.address = ("::1", port)
    with server.session() as session:
        assert session.get("f") == b"abc"


_ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="ftplite")
os.execv(sys.argv[2], sys.argv[2:])
"""


@blocking
def test_a_socket_from_systemd(serve: Callable[..., Server]) -> None:
    with socket.socket() as passed:
        passed.bind(("127.0.0.1", 0))
        passed.listen()
        server = serve(
            listen="systemd:domain=INET:index=0",
            before=[sys.executable, "-c", _ACTIVATE, str(passed.fileno())],
            pass_fds=[passed.fileno()],
        )
        assert server.address == passed.getsockname()
    with server.session() as session, server.session() as other:
        session.put("f", b"abc")
        assert other.get("f") == b"abc"
        session.send("get f")
        session.expect(TO_SEND)
        session.send(f"Data channel port: {server.address[1]}")
        session.expect("ERROR: Port not allowed.")


HEADER = b"PROXY TCP4 203.0.113.%d 203.0.113.1 50000 2121\r\n"


@blocking
def test_behind_a_proxy(serve: Callable[..., Server]) -> None:
    server = serve(*OPENLY, "--max-sessions-per-host", "2", listen="haproxy:tcp:0:interface=127.0.0.1")
    server.logged("to anyone who can reach it")
    (server.root / "f").write_bytes(b"abc")
    with contextlib.ExitStack() as clients:
        session = clients.enter_context(server.session(first=HEADER % 7))
        session.send("noop", "get f", "Data channel port: 5000", "get none", "noop")
        session.expect("SUCCESS: Nothing done.", TO_SEND, UNSUPPORTED, MISSING, "SUCCESS: Nothing done.")
        server.logged(r" 203\.0\.113\.7:50000 noop \. SUCCESS")
        another = clients.enter_context(server.session(first=HEADER % 7))
        assert another.is_answered()
        third = clients.enter_context(server.session(first=HEADER % 7))
        third.send("noop")
        third.expect("ERROR: Too many connections.")
        assert third.ended()
        elsewhere = clients.enter_context(server.session(first=HEADER % 8))
        assert elsewhere.is_answered()
        session.send("quit")
        session.expect("SUCCESS: Goodbye.")
        session.socket.settimeout(2)
        assert session.ended()
        session.socket.close()

        def is_let_in() -> bool:
            with server.session(first=HEADER % 7) as later:
                later.send("noop")
                return later.line().startswith("SUCCESS")

        eventually(is_let_in)


@blocking
def test_a_megabyte_of_newlines_behind_a_proxy(serve: Callable[..., Server]) -> None:
    server = serve(*OPENLY, listen="haproxy:tcp:0:interface=127.0.0.1")
    with server.session(first=HEADER % 7) as session:
        began = server.cpu()
        with contextlib.suppress(ConnectionError):
            session.socket.sendall(b"\n" * (1 << 20))
        with contextlib.suppress(ConnectionError):
            while session.socket.recv(1 << 16):  # up to the end, which ten of them bring about
                pass
        with server.session(first=HEADER % 8) as other:
            assert other.is_answered()
        assert server.cpu() - began < 1


@blocking
def test_tls_behind_a_proxy(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(
        *OPENLY, "--tls", "self", "--tls-folder", str(tmp_path), listen="haproxy:tcp:0:interface=127.0.0.1"
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with server.session(first=HEADER % 9) as session:
        session.send("ls")
        session.expect("FAILURE: Encryption required.")
        session.send("starttls")
        session.expect("SUCCESS: Begin TLS.")
        session.socket = context.wrap_socket(session.socket)
        assert session.is_answered()
        session.socket.close()
    server.logged(r" 203\.0\.113\.9:50000 noop \. SUCCESS")
