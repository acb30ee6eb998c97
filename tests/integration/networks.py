"""Hosts by hand: network namespaces, the cables between them, and what their packet filters do."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

MASQUERADE = """
table ip away {
    chain postrouting {
        type nat hook postrouting priority srcnat
        masquerade
    }
}
"""
"""What a router sends on comes from an address of its own."""


class Host:
    """A host with its own network."""

    def __init__(self, name: str) -> None:
        self.name = f"ftplite-{os.getpid()}-{name}"
        self.inside = ["ip", "netns", "exec", self.name]
        """The words that start a command there."""

    def run(self, *words: str, stdin: str = "") -> None:
        """A command, which succeeds."""
        done = subprocess.run(
            [*self.inside, *words], input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def gateway(self, address: str) -> None:
        """What is far away is reached by this address."""
        self.run("ip", "route", "add", "default", "via", address)

    def forward(self) -> None:
        """Be a router."""
        self.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")

    def filter(self, rules: str) -> None:
        """Have a packet filter, in the language of nft."""
        self.run("nft", "-f", "-", stdin=rules)


@contextlib.contextmanager
def hosts(*names: str) -> Iterator[list[Host]]:
    """Hosts with nothing but a loopback."""
    with contextlib.ExitStack() as removing:
        made = []
        for name in names:
            host = Host(name)
            subprocess.run(["ip", "netns", "add", host.name], check=True)
            removing.callback(subprocess.run, ["ip", "netns", "del", host.name], check=True)
            host.run("ip", "link", "set", "lo", "up")
            made.append(host)
        yield made


def connect(one: Host, its_address: str, other: Host, other_address: str) -> None:
    """A cable between two hosts, which makes a network of 24 bits."""
    ends = (f"to-{other.name[-5:]}", f"to-{one.name[-5:]}")
    one.run(
        "ip", "link", "add", "name", ends[0], "type", "veth", "peer", "name", ends[1], "netns", other.name
    )
    for host, end, address in ((one, ends[0], its_address), (other, ends[1], other_address)):
        host.run("ip", "address", "add", f"{address}/24", "dev", end)
        host.run("ip", "link", "set", end, "up")


def no_nat() -> str:
    """Why no host can have a packet filter that changes addresses; empty where it can."""
    missing = [each for each in ("ip", "nft") if shutil.which(each) is None]
    if missing:
        return f"needs {' and '.join(missing)}"
    with hosts("probe") as (probe,):
        try:
            probe.filter(MASQUERADE)
        except AssertionError as error:
            return f"this kernel has no NAT: {error}".splitlines()[0]
    return ""
