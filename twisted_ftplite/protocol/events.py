"""What a server's session core tells its host to do."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import FTPLiteError
from .lines import Command


class Begin(NamedTuple):
    """Run this command; `ServerSession.finish` is to be called once, whatever becomes of it."""

    command: Command


class Announced(NamedTuple):
    """Step 3 is over: connect to this port."""

    port: int | None
    """None: the client connects (``passive``)."""


class Joined(NamedTuple):
    """This is no session but a data channel, and what comes behind this line is its data."""

    token: str | None
    """What was said; None where it was none."""


class SizeTold(NamedTuple):
    """The client says how many bytes it sends."""

    size: int


class Completed(NamedTuple):
    """The client's completion has come."""


class Ended(NamedTuple):
    """Break the running command off: this is to be its final status."""

    error: FTPLiteError


class Say(NamedTuple):
    """Send this line."""

    line: bytes
    cancelled: Command | None = None
    """The command that is answered, where it waited and was cancelled before it began."""


class InputOver(NamedTuple):
    """No line will come any more; what runs may finish."""


class Close(NamedTuple):
    """End the connection behind what has been said."""


Event = Begin | Announced | Joined | SizeTold | Completed | Ended | Say | InputOver | Close
