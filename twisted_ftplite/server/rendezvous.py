"""Step 4 of a transfer: how its two ends come to share a data channel (docs/protocol.md, sections 4 to 6)."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import NotSupported, PortNotAllowed
from ..flow.addresses import is_own_address
from ..flow.channel import DataChannel
from ..flow.opening import ConnectBack
from ..flow.talk import prove_connecting
from ..protocol.lines import FieldName, encode_field
from ..protocol.tokens import encode_token
from .entry import Visitor
from .services import Ends, Services

LOWEST_PORT, HIGHEST_PORT = 1024, 65535


async def connect_back(
    services: Services, visitor: Visitor, ends: Ends | None, port: int, token: str | None, *, sends: bool
) -> DataChannel:
    """Connect to the port the client announced, and have both ends prove themselves where there is a token.

    ``sends``: the server is the one that will send.  Raises `NotSupported` where there is no way back to the
    client, and `PortNotAllowed`.
    """
    if ends is None:
        raise NotSupported("The server cannot connect to you from here; be passive.")
    if not LOWEST_PORT <= port <= HIGHEST_PORT:
        raise PortNotAllowed(f"Ports are {LOWEST_PORT} to {HIGHEST_PORT}.")
    if port in services.own_ports and is_own_address(ends.peer):
        raise PortNotAllowed("That is the server's own port.")
    introduce = None
    if token is not None or visitor.side is not None:
        introduce = prove_connecting(token, visitor.side, sends=sends)
    timeout = services.limits.connect_timeout
    factory = ConnectBack(services.reactor, ends.local, ends.peer, port, timeout, introduce, services.tuning)
    return await factory.open()


async def wait_passively(
    services: Services, visitor: Visitor, port: int, say: Callable[[bytes], None]
) -> DataChannel:
    """Tell the client a token and wait until it comes with that; ``port`` is for people."""
    token, joined = services.entry.passive.expect(secure=visitor.side is not None)
    say(encode_field(FieldName.DATA_CHANNEL_PORT, str(port)) + encode_token(token))
    return await joined
