"""Numbers, and the ports that the server connects to: sections 1, 4 and 5."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from harness import OPENLY, Server, blocking, eventually, needs_root, own_network
from raw import SYNTAX, TIMED_OUT, TO_RECEIVE, TO_SEND, TRANSFERRED, Listener, closed_port, read_all

NOT_ALLOWED = "ERROR: Port not allowed."
REFUSED = "ERROR: Connection refused."

NOT_NUMBERS = [
    "+5",
    "-5",
    "05",
    "00",
    "1_0",
    " 5",
    "5 ",
    "5\t",
    "5.0",
    "1e5",
    "0x10",
    "\u0665\u0660\u0660\u0660\u0660",
    "\uff15\uff10\uff10\uff10",
    "²",
    "",
    "1" * 20,
    "9" * 4000,
    "nan",
    '"5"',
]


@pytest.mark.parametrize("number", NOT_NUMBERS)
@blocking
def test_what_is_no_number(tree: Server, number: str) -> None:
    with tree.session() as session:
        session.send("get f")
        session.expect(TO_SEND)
        session.send(f"Data channel port: {number}")
        session.expect(SYNTAX)
        session.send("put g")
        session.expect(TO_RECEIVE)
        session.send(f"File size: {number} bytes")
        session.expect(SYNTAX)
        assert session.is_answered()


@pytest.mark.parametrize("port", [0, 1, 22, 1023, 65536, 70000, 10**18, 9999999999999999999])
@blocking
def test_ports_out_of_range(tree: Server, port: int) -> None:
    with tree.session() as session:
        session.send("get f")
        session.expect(TO_SEND)
        session.send(f"Data channel port: {port}")
        session.expect(NOT_ALLOWED)
        assert session.is_answered()


@blocking
def test_the_largest_sizes_are_numbers(tree: Server) -> None:
    with tree.session() as session:
        for size in (2**63 - 1, 2**63, 10**19 - 1):
            session.send("put g")
            session.expect(TO_RECEIVE)
            with session.listen() as listener:
                session.send(f"File size: {size} bytes", listener.announcement)
                session.expect("FAILURE: File too large." if size >= 2**63 else "FAILURE: Disk full.")
                assert listener.is_left_alone(0.05)
        assert session.is_answered()


@blocking
def test_the_servers_own_port(tree: Server) -> None:
    with tree.session() as session:
        session.send("get f")
        session.expect(TO_SEND)
        session.send(f"Data channel port: {tree.address[1]}")
        session.expect(NOT_ALLOWED)


@pytest.mark.parametrize(("reached", "source"), [("127.0.0.1", "127.0.0.2"), ("127.0.0.2", "127.0.0.1")])
@blocking
def test_the_servers_own_port_by_another_of_its_addresses(
    serve: Callable[..., Server], reached: str, source: str
) -> None:
    server = serve(*OPENLY, listen="tcp:0:interface=0.0.0.0")
    (server.root / "f").write_bytes(b"small")
    server.address = (reached, server.address[1])
    with server.session(source=source) as session:
        session.send("get f")
        session.expect(TO_SEND)
        session.send(f"Data channel port: {server.address[1]}")
        session.expect(NOT_ALLOWED)
        assert session.is_answered()


@blocking
def test_any_of_the_servers_own_ports(serve: Callable[..., Server]) -> None:
    server = serve("--listen", "tcp:0:interface=127.0.0.1")
    ports = [int(each.rpartition(":")[2]) for each in server.logged(r" at (.*) to anyone")[1].split(", ")]
    assert len(ports) == 2
    with server.session() as session:
        for port in ports:
            session.send("ls")
            session.expect(TO_SEND)
            session.send(f"Data channel port: {port}")
            session.expect(NOT_ALLOWED)


@blocking
def test_a_port_that_refuses(tree: Server) -> None:
    with tree.session() as session, closed_port() as port:
        began = time.monotonic()
        for command, answer in (("get f", TO_SEND), ("ls", TO_SEND), ("put g", TO_RECEIVE)):
            session.send(command)
            session.expect(answer)
            session.send(f"Data channel port: {port}")
            session.expect(REFUSED)
        assert time.monotonic() - began < 0.4
        assert session.get("f") == b"small"
    eventually(lambda: sorted(os.listdir(tree.root)) == ["big", "f"])  # what is left goes behind the status


@blocking
def test_the_control_channels_own_other_end(tree: Server) -> None:
    with tree.session() as session:
        session.send("get f")
        session.expect(TO_SEND)
        session.send(f"Data channel port: {session.socket.getsockname()[1]}")
        session.expect(REFUSED)
        assert session.is_answered()


@contextlib.contextmanager
def a_port_that_never_answers() -> Iterator[int]:
    """Its backlog is full, so that the kernel drops whoever knocks."""
    with Listener("127.0.0.1") as listener, contextlib.ExitStack() as waiting:
        listener.socket.listen(0)
        for _ in range(4):
            caller = waiting.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(("127.0.0.1", listener.port))
        time.sleep(0.05)  # the handshakes of the first are the kernel's affair
        yield listener.port


@blocking
def test_a_port_that_never_answers_times_out(tree: Server) -> None:
    with tree.session() as session, a_port_that_never_answers() as port:
        session.send("get f")
        session.expect(TO_SEND)
        began = time.monotonic()
        session.send(f"Data channel port: {port}", "noop")
        session.expect(TIMED_OUT)
        assert 0.4 < time.monotonic() - began < 1
        session.expect("SUCCESS: Nothing done.")
        assert session.get("f") == b"small"


@blocking
def test_a_port_that_never_comes_times_out(tree: Server) -> None:
    with tree.session() as session:
        session.send("get f")
        session.expect(TO_SEND)
        began = time.monotonic()
        session.expect(TIMED_OUT)
        assert 0.9 < time.monotonic() - began < 2
        assert session.is_answered()


@blocking
def test_abort_while_connecting(tree: Server) -> None:
    with tree.session() as session, a_port_that_never_answers() as port:
        session.send("get f")
        session.expect(TO_SEND)
        began = time.monotonic()
        session.send(f"Data channel port: {port}", "abort", "noop")
        session.expect("FAILURE: Transfer cancelled.", "SUCCESS: Nothing done.")
        assert time.monotonic() - began < 0.4


@blocking
def test_it_connects_from_the_address_that_the_client_reached(serve: Callable[..., Server]) -> None:
    server = serve(*OPENLY, listen="tcp:0:interface=0.0.0.0")
    (server.root / "f").write_bytes(b"small")
    for reached, source in (
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.2", "127.0.0.3"),
        ("127.0.0.3", "127.0.0.1"),
    ):
        server.address = (reached, server.address[1])
        with server.session(source=source) as session:
            data = session.begin_get("f", 5)
            assert data.getpeername()[0] == reached
            assert data.getsockname()[0] == source
            assert read_all(data) == b"small"


@blocking
def test_it_connects_to_the_control_channels_other_end_and_nowhere_else(serve: Callable[..., Server]) -> None:
    server = serve(*OPENLY, listen="tcp:0:interface=0.0.0.0")
    with server.session(source="127.0.0.5") as session, session.listen("127.0.0.1") as elsewhere:
        session.send("ls")
        session.expect(TO_SEND)
        session.send(elsewhere.announcement)
        session.expect(REFUSED)
        assert elsewhere.is_left_alone()


@blocking
def test_it_connects_once(tree: Server) -> None:
    with tree.session() as session, session.listen() as listener:
        session.send("get f")
        session.expect(TO_SEND)
        session.send(listener.announcement, listener.announcement)
        with listener.accept() as data:
            read_all(data)
        session.expect("File size: 5 bytes", "Transfer complete: f")
        assert listener.is_left_alone()
        session.send("Transfer complete: f")
        session.expect(TRANSFERRED)


@blocking
def test_ipv6(serve: Callable[..., Server]) -> None:
    server = serve(listen=r"tcp6:0:interface=\:\:1")
    assert server.address[0] == "::1"
    with server.session() as session:
        session.put("f", b"six")
        assert session.get("f") == b"six"
        data = session.begin_get("f", 3)
        assert data.getpeername()[0] == "::1"


@blocking
def test_ipv4_inside_ipv6(serve: Callable[..., Server]) -> None:
    server = serve(*OPENLY, listen=r"tcp6:0:interface=\:\:")
    server.address = ("127.0.0.2", server.address[1])
    with server.session() as session:
        session.put("f", b"four")
        data = session.begin_get("f", 4)
        assert data.getpeername()[0] == "127.0.0.2"
        read_all(data)
        session.expect("Transfer complete: f")
        session.send("Transfer complete: f")
        session.expect(TRANSFERRED)
        session.send("get f")
        session.expect(TO_SEND)
        session.send(f"Data channel port: {server.address[1]}")
        session.expect(NOT_ALLOWED)


_SPEAKER = """
import sys
sys.path.insert(0, sys.argv[1])
from raw import Session
with Session(("127.0.0.1", 5000)) as session:
    for port in (40000, 40001, 40002) * 4:
        session.send("put f")
        session.expect("SUCCESS: Ready to receive.")
        session.send(f"Data channel port: {port}")
        session.expect("ERROR: Connection refused.")
"""


@needs_root
@blocking
def test_a_closed_port_of_ones_own_host_may_connect_to_itself(serve: Callable[..., Server]) -> None:
    """With three ephemeral ports in all, of which connect(2) likes some better, it does so soon."""
    with own_network("40000 40002") as inside:
        serve("--connect-timeout", "1", listen="tcp:5000:interface=127.0.0.1", before=inside)
        speaker = [*inside, sys.executable, "-c", _SPEAKER, os.path.dirname(__file__)]
        said = subprocess.run(speaker, capture_output=True, text=True, check=False, timeout=30)
        assert (said.returncode, said.stderr) == (0, "")
