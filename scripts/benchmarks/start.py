"""How long a person waits for a command, its start-up included."""

from __future__ import annotations

import sys

from . import ours
from .frame import Bench, Case, Table
from .machine import make_small_files
from .peers import Peer
from .processes import Server, timed

NAMES = 20
VERSION, LIST = "`ftplite-client --version`", "`ftplite-client HOST PORT ls few`"


def run(bench: Bench) -> None:
    """The table of this theme."""
    few = bench.served / "few"
    few.mkdir(exist_ok=True)
    make_small_files(few, NAMES)
    vsftpd, pyftpdlib = Peer(bench, "vsftpd"), Peer(bench, "pyftpdlib")
    servers: list[Server] = []

    def ls() -> float:
        if not servers:
            servers.append(ours.server(bench))
        return timed(bench, [*ours.client_command(), "127.0.0.1", str(servers[0].port), "ls", "few"])

    def listed(peer: Peer) -> float:
        _ = peer.server
        return peer.lftp("cls -1 few")

    def curled(peer: Peer) -> float:
        _ = peer.server
        return peer.curl_list()

    cases: dict[str, Case] = {
        "`python -c pass`": lambda: timed(bench, [sys.executable, "-c", "pass"]),
        VERSION: lambda: timed(bench, [*ours.client_command(), "--version"]),
        LIST: ls,
        "curl, vsftpd": lambda: curled(vsftpd),
        "lftp, vsftpd": lambda: listed(vsftpd),
        "curl, pyftpdlib": lambda: curled(pyftpdlib),
        "lftp, pyftpdlib": lambda: listed(pyftpdlib),
    }
    title = f"Start-up: a version, and a listing of {NAMES} names over loopback"
    table = Table(title, "s", "`python -c pass`").run(cases, bench.settings.runs)
    bench.judge(f"{VERSION}, s", table.median(VERSION), 0.15, most=True, failed=table.broke(VERSION))
    bench.judge(f"{LIST}, s", table.median(LIST), 0.4, most=True, failed=table.broke(LIST))
