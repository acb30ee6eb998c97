"""The peers written in Python, and the bare Twisted protocol, each run as a process of its own."""

from __future__ import annotations

import asyncio
import logging
import sys
import warnings
from collections.abc import Callable
from typing import Any, cast

from .machine import raise_open_files

FOREVER = 1e9
MANY = 200_000


def pyftpdlib(port: int, root: str, certificate: str = "", key: str = "") -> None:
    """pyftpdlib with its own defaults, but for its limits on connections; inside TLS with a certificate."""
    from pyftpdlib import handlers  # type: ignore[import-untyped]
    from pyftpdlib.authorizers import DummyAuthorizer  # type: ignore[import-untyped]
    from pyftpdlib.servers import FTPServer  # type: ignore[import-untyped]

    logging.basicConfig(level=logging.ERROR)
    warnings.simplefilter("ignore")  # it warns of an anonymous user who may write
    users = DummyAuthorizer()
    users.add_anonymous(root, perm="elradfmwMT")
    handler = handlers.TLS_FTPHandler if certificate else handlers.FTPHandler
    if certificate:
        handler.certfile, handler.keyfile = certificate, key
        handler.tls_control_required = handler.tls_data_required = True
    handler.authorizer = users
    handler.timeout = 7200
    server = FTPServer(("127.0.0.1", port), handler, backlog=4096)
    server.max_cons, server.max_cons_per_ip = MANY, 0
    server.serve_forever()


def twisted_ftp(port: int, root: str) -> None:
    """twisted.protocols.ftp, anonymous users allowed to write."""
    from twisted.cred.checkers import AllowAnonymousAccess
    from twisted.cred.portal import IRealm, Portal
    from twisted.internet import reactor
    from twisted.protocols import ftp
    from twisted.python.filepath import FilePath
    from zope.interface import implementer

    @implementer(IRealm)
    class Realm:
        def requestAvatar(self, avatar: object, mind: object, *interfaces: Any) -> tuple[Any, Any, Any]:
            return ftp.IFTPShell, ftp.FTPShell(FilePath(root)), lambda: None

    factory = ftp.FTPFactory(Portal(Realm(), [AllowAnonymousAccess()]))
    factory.timeOut = 7200
    reactor.listenTCP(port, factory, backlog=4096, interface="127.0.0.1")
    reactor.run()


def aioftp(port: int, root: str) -> None:
    """aioftp with its own defaults."""
    import aioftp as library

    async def serve() -> None:
        user = library.User(base_path=root, home_path="/")
        server = library.Server([user], idle_timeout=7200)
        await server.start("127.0.0.1", port)
        await asyncio.sleep(FOREVER)

    asyncio.run(serve())


def bare(port: int, root: str) -> None:
    """The least a Twisted server can do: greet, then read lines."""
    from twisted.internet import reactor
    from twisted.internet.protocol import Factory, ServerFactory
    from twisted.protocols.basic import LineReceiver

    class Greeter(LineReceiver):
        def connectionMade(self) -> None:
            self.sendLine(b"SUCCESS: FTPLite/1 ready.")  # type: ignore[no-untyped-call]

        def lineReceived(self, line: bytes) -> None:
            self.sendLine(line)  # type: ignore[no-untyped-call]

    reactor.listenTCP(
        port, cast(ServerFactory, Factory.forProtocol(Greeter)), backlog=4096, interface="127.0.0.1"
    )
    reactor.run()


SERVERS: dict[str, Callable[..., None]] = {
    "pyftpdlib": pyftpdlib,
    "twisted.protocols.ftp": twisted_ftp,
    "aioftp": aioftp,
    "bare": bare,
}


if __name__ == "__main__":
    raise_open_files()
    SERVERS[sys.argv[1]](int(sys.argv[2]), *sys.argv[3:])
