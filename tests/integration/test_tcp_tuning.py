"""How the server uses TCP: seen on the wire, and told by the kernel; what is refused at the start."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from harness import SCRIPTS, Server, blocking, eventually, needs_root, outcome, own_network
from pki import server_files, trusting
from raw import TO_RECEIVE, TO_SEND, TRANSFERRED, Session, read_all
from wiretap import classes, tapped

SIZE = 100_000
CONTROL, DATA = 18, 1
"""AF21 and LE."""

HOSTS = {"IPv4": r"tcp:0:interface=127.0.0.1", "IPv6": r"tcp6:0:interface=\:\:1"}


@pytest.fixture(scope="module")
def network() -> Iterator[Sequence[str]]:
    """A network that nobody else sends in."""
    with own_network() as inside:
        yield inside


def fill(server: Server) -> bytes:
    """The content of its file f, too much for one segment."""
    content = bytes(SIZE)
    (server.root / "f").write_bytes(content)
    return content


def finish(session: Session, *told: str) -> None:
    session.send("Transfer complete: f")
    session.expect(*told, "Transfer complete: f", TRANSFERRED)


@needs_root
@pytest.mark.parametrize("listen", HOSTS.values(), ids=HOSTS)
@blocking
def test_classes_of_service_on_the_wire(
    network: Sequence[str], serve: Callable[..., Server], listen: str
) -> None:
    options = ("--dscp-control", "AF21", "--dscp-data", "LE", "--mss", "1200")
    server = serve(*options, listen=listen, before=network)
    content, port = fill(server), server.address[1]
    with tapped(network) as tap, server.session() as session:
        control = session.socket.getsockname()[1]
        with session.begin("get f", TO_SEND) as data:
            announced = data.getsockname()[1]
            assert read_all(data) == content
        finish(session, f"File size: {SIZE} bytes")
        heard = tap.heard()
        assert classes(heard, source=port, target=control) == [CONTROL]
        assert classes(heard, target=announced) == [DATA], "from the first packet on"
        assert classes(heard, source=control, target=port) == [0], "the client here was told nothing"
        assert sum(each.size for each in heard if each.target == announced) == SIZE
        assert {each.mss for each in heard if each.opens and announced in each[:2]} >= {1200}

        with session.join(session.offer("get f", TO_SEND)) as other:
            joined = other.socket.getsockname()[1]
            assert other.rest() == content
        finish(session, f"File size: {SIZE} bytes")
        heard = tap.heard()
        assert classes(heard, source=port, target=control) == [CONTROL]
        assert classes(heard, source=port, target=joined) == [CONTROL, DATA], "until it became one for data"
        assert {each.mss for each in heard if each.opens and each.source == port} == {1200}


@needs_root
@blocking
def test_a_passive_data_channel_inside_tls(
    network: Sequence[str], serve: Callable[..., Server], tmp_path: Path
) -> None:
    options = ("--dscp-control", "AF21", "--dscp-data", "LE", *server_files(tmp_path))
    server = serve(*options, "--congestion", "reno", before=network)
    content, port = fill(server), server.address[1]
    with tapped(network) as tap, server.session() as session:
        session.starttls(trusting())
        with session.join(session.offer("get f", TO_SEND)) as other:
            joined = other.socket.getsockname()[1]
            assert " reno " in sockets(network, f"dport = :{joined}")
            assert other.rest() == content
        finish(session, f"File size: {SIZE} bytes")
        assert classes(tap.heard(), source=port, target=joined) == [CONTROL, DATA]


@needs_root
@pytest.mark.parametrize("data", ["active", "passive"])
@pytest.mark.parametrize("listen", HOSTS.values(), ids=HOSTS)
@blocking
def test_those_of_the_client(
    network: Sequence[str], serve: Callable[..., Server], tmp_path: Path, listen: str, data: str
) -> None:
    """It sends a file, once over a port of its own and once to the server's."""
    server = serve(listen=listen, before=network)
    (host, port), name = server.address, tmp_path / "sent"
    name.write_bytes(bytes(SIZE))
    ports = ("--data-ports", "30000-30000") if data == "active" else ()
    options = ("--dscp-control", "AF21", "--dscp-data", "LE", "--mss", "1200", "--data", data, *ports)
    with tapped(network) as tap:
        command = [*network, str(SCRIPTS / "ftplite-client"), *options, host, str(port), "put", str(name)]
        subprocess.run(command, check=True, timeout=30)
        heard = tap.heard()
    assert (server.root / "sent").read_bytes() == bytes(SIZE)
    ours = [each.source for each in heard if each.opens and each.target == port]
    if data == "active":
        ours.append(30000)
    control, sending = ours
    assert classes(heard, source=control) == [0, CONTROL], "all but the packet that opens it"
    assert classes(heard, source=sending) == [DATA]
    assert {each.mss for each in heard if each.opens and each.source == sending} == {1200}


@blocking
def test_what_the_client_refuses() -> None:
    """Before it connects: nobody is there."""
    for option, value, told in (
        ("--congestion", "nonesuch", "--congestion nonesuch is not in this kernel, which has "),
        ("--dscp-data", "AF99", "CS0 to CS7"),
        ("--profile", "fast", "'interactive', 'bulk', 'background'"),
    ):
        command = [str(SCRIPTS / "ftplite-client"), option, value, "127.0.0.1", "1", "ls"]
        said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        assert said.returncode == 2
        assert len(said.stderr.splitlines()) == 1
        assert told in said.stderr, said.stderr


@needs_root
@blocking
def test_the_kernel_s_own_account(network: Sequence[str], serve: Callable[..., Server]) -> None:
    """Congestion control, user timeout, and the unsent that is held, on both kinds of data channels."""
    options = ("--congestion", "reno", "--send-buffer", "300000", "--receive-buffer", "40000")
    server = serve(*options, "--stall-timeout", "7", before=network)
    fill(server)
    with tapped(network), server.session() as session:
        with session.begin("put f", TO_RECEIVE, "File size: 6 bytes") as data:
            told = sockets(network, f"dport = :{data.getsockname()[1]}")
            assert " reno " in told
            assert "tb600000" in told
            assert "rb80000" in told
            data.sendall(b"active")
        finish(session)
        with session.join(session.offer("put f", TO_RECEIVE, "File size: 7 bytes")) as other:
            told = sockets(network, f"dport = :{other.socket.getsockname()[1]}")
            assert " reno " in told
            assert "tb600000" in told
            assert "rb80000" in told
            other.socket.sendall(b"passive")
        finish(session)
        assert (server.root / "f").read_bytes() == b"passive"
        control = f"dport = :{session.socket.getsockname()[1]}"
        assert " reno " not in sockets(network, control)
        timed = r"timer:\(keepalive,[67]"
        assert eventually(lambda: re.search(timed, sockets(network, control))), "once all is acknowledged"


def sockets(network: Sequence[str], which: str) -> str:
    """What ss says of a connection."""
    words = [*network, "ss", "--tcp", "--info", "--memory", "--options", "--numeric", "--no-header", which]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert len(told.splitlines()) == 2, told
    return told


def refusal(*options: str, before: Sequence[str] = ()) -> str:
    status, lines = outcome("--root", "/usr/share", *options, before=before)
    assert status == 1
    assert len(lines) == 1, lines
    return lines[0]


@blocking
def test_a_congestion_control_that_the_kernel_lacks() -> None:
    has = Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()
    told = refusal("--congestion", "nonesuch")
    assert told.startswith("ftplite: --congestion nonesuch is not in this kernel"), told
    assert ", ".join(has) in told


@blocking
def test_a_buffer_that_the_kernel_would_cut() -> None:
    most = int(Path("/proc/sys/net/core/rmem_max").read_text())
    told = refusal("--receive-buffer", str(most + 1))
    assert f"--receive-buffer {most + 1} is more than the {most} of net.core.rmem_max" in told
