"""Our own side: the server as people start it, the client library in a process of its own, the command."""

from __future__ import annotations

import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .frame import Bench, NotInstalled
from .processes import Helper, Server, free_port, module

TWISTD = "from twisted.scripts.twistd import run; run()"
CLIENT = "import sys; from twisted_ftplite.cli import main; sys.exit(main())"
GENEROUS = ("--idle-timeout", "7200", "--max-sessions", "6000", "--max-sessions-per-host", "6000")


def need(*modules: str) -> None:
    """Raise `NotInstalled` unless the package has these modules."""
    for each in modules:
        if find_spec(f"twisted_ftplite.{each}") is None:
            raise NotInstalled(f"twisted_ftplite.{each} is not there")


def server(
    bench: Bench, *options: str, root: Path | None = None, name: str = "ftplite", slow: str | None = None
) -> Server:
    """`twistd -n ftplite` on the served tree, its log elsewhere; ``slow``: bytes a second of its disk."""
    need("tap")
    port = free_port()
    start = module("slow_disk", slow) if slow is not None else [sys.executable, "-c", TWISTD]
    command = [
        *start,
        "-n",
        "--pidfile=",
        "ftplite",
        *("--root", str(root or bench.served)),
        *("--listen", f"tcp:{port}:interface={bench.host}:backlog=4096"),
        *GENEROUS,
        *options,
    ]
    return Server(bench, name, port, command)


def client_command() -> list[str]:
    """`ftplite-client`: the installed script where there is one, else what that script does."""
    need("cli")
    beside = Path(sys.executable).parent / "ftplite-client"
    if beside.exists():
        return [str(beside)]
    found = shutil.which("ftplite-client")
    return [found] if found else [sys.executable, "-c", CLIENT]


class Library:
    """A fresh process that uses `twisted_ftplite.client`; it has connected when the block begins."""

    def __init__(
        self, bench: Bench, port: int, sessions: int = 1, *, data: str = "auto", pin: str = ""
    ) -> None:
        """``data`` is the way of data channels; with ``pin`` it demands TLS, and trusts that fingerprint."""
        need("client.session")
        self._helper = Helper(bench, module("driver", port, sessions, data, pin))

    def __enter__(self) -> Library:
        self._helper.__enter__()
        if self._helper.hear() != "ready":
            raise RuntimeError("the client's process did not get ready")
        return self

    def __exit__(self, *details: object) -> None:
        self._helper.__exit__(*details)

    def do(self, **job: Any) -> dict[str, Any]:
        """Have it do something; returns what it measured: ``seconds``, ``size``, and the TLS it spoke."""
        self._helper.tell(json.dumps(job))
        answer: dict[str, Any] = json.loads(self._helper.hear())
        return answer
