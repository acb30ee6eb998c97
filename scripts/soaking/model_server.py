"""The server that the model is held against: `python -m soaking.model_server memory|local ROOT PORT`.

Its limits are small, so that small files are moved in all the ways that large ones are.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import reactor as global_reactor

from twisted_ftplite.limits import Limits
from twisted_ftplite.server.service import Config, FTPLiteService
from twisted_ftplite.storage.memory import MemoryStorage

reactor: Any = global_reactor

LIMITS = Limits(small_file=1000, resumable_size=5000, verdict_timeout=0.2, pipe_size=4096, piece=4096)


def main(kind: str, root: str, port: str) -> None:
    """Serve until killed."""
    config = Config(root=root, endpoints=(f"tcp:{port}:interface=127.0.0.1",), limits=LIMITS)
    service = FTPLiteService(reactor, config)
    if kind == "memory":
        service._services.storage = MemoryStorage(limits=LIMITS)  # no option serves memory
    service.listen()
    service.startService()
    print(service.summary(), flush=True)
    reactor.run()


if __name__ == "__main__":
    from twisted.python.log import startLogging

    startLogging(sys.stdout, setStdout=False)
    main(*sys.argv[1:])
