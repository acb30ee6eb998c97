"""What the commands of one session share, and how a command breaks off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from twisted.internet.defer import CancelledError

from ..errors import ConnectionLost, ConnectionTimedOut, ServerShuttingDown
from ..flow.handshake import TLSSide
from ..flow.opening import Listen
from ..flow.pipes import Pipes
from ..flow.reactor import Reactor
from ..flow.tuning import PLAIN, Tuning
from ..flow.workers import Workers
from ..limits import Limits
from .description import Offered
from .speed import Speed

Progress = Callable[[int, int | None], None]
"""Called with the bytes moved so far and in all (None: not known), about ten times a second."""

BREAKS = (ConnectionLost, ConnectionTimedOut, ServerShuttingDown, CancelledError)
"""How a command ends that can be gone on with: nothing is wrong with what has arrived."""


class BrokeOff(Exception):
    """The cause of a `ConnectionLost` or `ConnectionTimedOut` that ended a command which had been sent."""

    def __init__(self, verb: str, position: int | None, *, answered: bool) -> None:
        super().__init__(f"{verb} broke off at {position}")
        self.verb = verb
        self.position = position
        """Bytes of the file that had moved, those from earlier tries included; None where there was no
        data channel yet."""

        self.answered = answered
        """Whether it is the server that said so: then the session goes on."""


class Secured(NamedTuple):
    """How the control channel's TLS came to be; data channels have theirs in the same way."""

    side: TLSSide
    starttls: bool
    """Whether it was begun by ``starttls``, not with the first byte."""

    version: str
    cipher: str
    fingerprint: str
    """Of the server's certificate, ``sha256:<hex>``."""

    trusted: str
    """Why that is believed, for people."""

    showed: bool = False
    """Whether this side has a certificate of its own to show, which may have logged it in."""


@dataclass(slots=True)
class Services:
    """What the commands of one session share."""

    reactor: Reactor
    workers: Workers
    pipes: Pipes
    limits: Limits
    data_ports: tuple[int, int]
    place: str = ""
    """The server, as host and port: what is kept of a file is for one from there."""

    offered: Offered | None = None
    """None while that was not asked."""

    secured: Secured | None = None
    """None while nothing is encrypted."""

    user: str | None = None
    """Who has logged in by name; None: nobody."""

    data: str = "auto"
    """The way data channels are to come to be: `reaching.ACTIVE`, `reaching.PASSIVE`, or ``auto``."""

    tuning: Tuning = PLAIN
    speed: Speed | None = None
    """None: nothing is limited."""

    near: bool = True
    """Whether the server can likely connect back."""

    way: str | None = None
    """What has worked in this session, where it was to be found out."""

    in_memory: set[str] = field(default_factory=set)
    """Local directories without a disk behind them: no thread is needed to write there."""

    listener: Listen | None = None
    """One that a transfer which ended well has left: to make one takes longer than to move a small file."""
