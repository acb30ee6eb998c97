"""A get over an emulated link, run on its client's side: `python far.py ROOT SIZE WINDOW OPTION...`

Prints what the client and the server's log say that it waited for, a line each.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from harness import OPENLY, Server
from soaks import cut
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from twisted_ftplite.client.session import connect


async def fetch(reactor: Any, server: Server, target: str) -> None:
    """Move it, and tell."""
    session = await connect(reactor, *server.address)
    print((await session.get("big", target)).limited_by)
    await session.quit()
    print(server.logged(r" get big SUCCESS .*, limited by (.*)$")[1])


def main(root: str, size: str, *options: str) -> None:
    """Serve on the other side of the link, and fetch from here."""
    tree = Path(root, "tree")
    tree.mkdir()
    with open(tree / "big", "wb") as file:
        file.truncate(int(size))
    listen = f"tcp:0:interface={os.environ['WAN_SERVER']}"
    before = ("ip", "netns", "exec", cut.NAMESPACES[0])
    server = Server(tree, *OPENLY, *options, listen=listen, before=before)
    try:
        react(lambda reactor: Deferred.fromCoroutine(fetch(reactor, server, f"{root}/got")))
    finally:
        server.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
