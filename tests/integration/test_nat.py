"""One open port is enough: sessions and data through port mappings, NAT and firewalls, with real ones."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import OPENLY, Server, blocking, needs_root
from networks import MASQUERADE, Host, connect, hosts, no_nat
from terminal import CLIENT, environment_of

pytestmark = [needs_root]

SERVER, INNER, OUTER, CLIENT_SIDE = "10.77.1.2", "10.77.1.1", "10.77.2.1", "10.77.2.2"
"""The server, the router's two sides, the client."""

MAPPED = 9000
"""The port that a mapping shows outside."""

PATIENCE = 3.0
"""Seconds that a way of data is tried before the other one is."""

PORT_MAPPING = f"""
table ip mapping {{
    chain prerouting {{
        type nat hook prerouting priority dstnat
        ip daddr {OUTER} tcp dport {MAPPED} dnat to {SERVER}:2121
    }}
}}
"""
"""As of ``docker -p 9000:2121``."""

NOTHING_OUT = """
table ip wall {
    chain forward {
        type filter hook forward priority filter
        ct state established,related accept
        ct status dnat accept
        drop
    }
}
"""
"""Only what answers goes out, and only what was mapped comes in."""

NOTHING_IN = """
table ip wall {
    chain input {
        type filter hook input priority filter
        ct state established,related accept
        tcp flags syn counter drop
    }
}
"""


@pytest.fixture(scope="module", autouse=True)
def packet_filters() -> None:
    """Skips where there are none."""
    why = no_nat()
    if why:
        pytest.skip(why)


@pytest.fixture
def network() -> Iterator[list[Host]]:
    """A server's host, a router, and a client's host; neither end knows a way to the other's network."""
    with hosts("server", "router", "client") as (server, router, client):
        connect(server, SERVER, router, INNER)
        connect(router, OUTER, client, CLIENT_SIDE)
        router.forward()
        yield [server, router, client]


TRANSFERS = "get there\nput there new\nls\n"
EVERYTHING = f"doctor\n{TRANSFERS}"

Serve = Callable[..., Server]
ClientAt = Callable[..., "Said"]


@pytest.fixture
def client_at(tmp_path: Path) -> ClientAt:
    """Runs the client on a host, with arguments, for `EVERYTHING` or other commands; all of it works."""
    (tmp_path / "here").mkdir()

    def run(host: Host, *arguments: str, commands: str = EVERYTHING) -> Said:
        done = subprocess.run(
            [*host.inside, CLIENT, *arguments],
            cwd=tmp_path / "here",
            env=environment_of(tmp_path / "here"),
            input=commands,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return Said(done.stdout.splitlines())

    return run


def start(serve: Serve, host: Host, *options: str) -> Server:
    """A server with a file "there"."""
    server = serve(*OPENLY, "--require-token", *options, listen="tcp:2121", before=host.inside)
    (server.root / "there").write_bytes(b"small")
    return server


class Said:
    """What the client says to `TRANSFERS`, behind what it says to other commands."""

    def __init__(self, lines: list[str]) -> None:
        self.found = {line[:9].rstrip(): line[9:] for line in lines}
        """What `doctor` finds, behind each word."""

        moved = [re.search(r" bytes in ([\d.]+) s", line) for line in lines]
        self.seconds = [float(each[1]) for each in moved if each is not None]
        """How long each transfer took."""

        assert len(self.seconds) == 2
        assert lines[-2:] == ["new", "there"]


@blocking
def test_a_port_mapping(network: list[Host], serve: Serve, client_at: ClientAt) -> None:
    """As docker has it: the server gets out, with the router's address."""
    inner, router, outer = network
    router.filter(PORT_MAPPING + MASQUERADE.replace("masquerade", f"ip saddr {SERVER} masquerade"))
    inner.gateway(INNER)
    server = start(serve, inner)
    for data in ("active", "passive"):
        said = client_at(outer, OUTER, str(MAPPED), "--data", data)
        assert (server.root / "new").read_bytes() == b"small"
        (server.root / "new").unlink()
        assert said.found["auto"] == "takes active"
        assert said.found["passive"].startswith("works")


@blocking
def test_a_port_mapping_and_no_way_out(network: list[Host], serve: Serve, client_at: ClientAt) -> None:
    inner, router, outer = network
    router.filter(PORT_MAPPING + NOTHING_OUT)
    inner.gateway(INNER)
    server = start(serve, inner, "--connect-timeout", "0.5")
    said = client_at(outer, OUTER, str(MAPPED))
    assert (server.root / "new").read_bytes() == b"small"
    first, second = said.seconds
    assert first >= 0.5  # the server gave up
    assert second < first  # the answer is remembered
    assert said.found["active"].startswith("does not work: Connection timed out")
    assert f"must let {OUTER} in to all TCP ports from 1024 of {CLIENT_SIDE}" in said.found["active"]
    assert said.found["passive"].startswith("works")
    assert said.found["auto"].startswith("takes passive when active has failed")


@blocking
def test_a_port_mapping_that_hides_who_comes(network: list[Host], serve: Serve, client_at: ClientAt) -> None:
    """As a forwarding program has it: all that the server sees of its clients is the router."""
    inner, router, outer = network
    router.filter(PORT_MAPPING + MASQUERADE)
    server = start(serve, inner)
    said = client_at(outer, OUTER, str(MAPPED))
    assert (server.root / "new").read_bytes() == b"small"
    assert max(said.seconds) < PATIENCE  # the router refuses, and so nothing is waited for
    assert server.logged(rf"{INNER}:\d+ get there ERROR 0 bytes")
    assert said.found["active"].startswith("does not work: Connection refused")
    assert said.found["passive"].startswith("works")


@blocking
def test_a_client_behind_nat(network: list[Host], serve: Serve, client_at: ClientAt, tmp_path: Path) -> None:
    """The server is far away, and so passive is what is tried first; inside TLS."""
    inner, router, outer = network
    router.filter(MASQUERADE)
    outer.gateway(OUTER)
    server = start(serve, inner, "--tls", "self", "--tls-folder", str(tmp_path / "tls"))
    said = client_at(outer, SERVER, "--pin", server.logged(r"sha256:[0-9a-f]{64}")[0])
    assert (server.root / "new").read_bytes() == b"small"
    assert max(said.seconds) < PATIENCE
    assert said.found["TLS"].startswith("TLSv1.3")
    assert "does not work: Connection refused" in said.found["active"]
    assert "through NAT or a port mapping it may never work" in said.found["active"]
    assert said.found["passive"].startswith("works")
    assert said.found["auto"] == "takes passive"


@blocking
def test_a_firewall_of_the_client(network: list[Host], serve: Serve, client_at: ClientAt) -> None:
    """On the same network as the server, so that active is tried first."""
    inner, near, _ = network
    near.filter(NOTHING_IN)
    server = start(serve, inner)
    said = client_at(near, SERVER, commands=TRANSFERS)
    assert (server.root / "new").read_bytes() == b"small"
    first, second = said.seconds
    assert PATIENCE <= first < PATIENCE + 1
    assert second < PATIENCE
    said = client_at(near, SERVER, "--data-ports", "5000-5001", "--timeout", "0.5")
    assert said.found["active"].startswith("does not work: Connection timed out")
    assert f"must let {SERVER} in to TCP ports 5000-5001 of {INNER}" in said.found["active"]
    assert said.found["auto"].startswith("takes passive when active has failed")
