"""What the sessions of one server share, and what a command sees of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ..errors import FTPLiteError
from ..flow.opening import Reactor
from ..flow.pipes import Pipes
from ..flow.tcp import SocketAddress
from ..flow.tuning import PLAIN, Tuning
from ..flow.workers import Workers
from ..limits import Limits
from ..storage.interface import Storage
from .checksums import Checksums
from .entry import Entry, Visitor
from .quota import Quotas
from .running import Running
from .speeds import Speeds
from .uploads import LiveUploads
from .users import User
from .watch import Watch

if TYPE_CHECKING:
    from .door import Guest


@dataclass(slots=True)
class Services:
    """What the sessions of one server share."""

    reactor: Reactor
    storage: Storage
    """The whole tree that is served."""

    workers: Workers
    pipes: Pipes
    limits: Limits
    entry: Entry
    features: tuple[str, ...] = ()
    """As they are listed: a name, for some with words behind it.  Those that depend on who asks, and how,
    are not among them."""

    tree_of: Callable[[str], Storage] | None = None
    """From a user's root to what is served there; None: there is but one tree."""

    quotas: Quotas | None = None
    uploads: LiveUploads = field(default_factory=LiveUploads)
    checksums: Checksums = field(default_factory=Checksums)
    transfers: Running = field(default_factory=Running)
    tuning: Tuning = PLAIN
    speeds: Speeds | None = None
    """None: nothing is limited, and cannot be while this server runs."""

    watch: Watch | None = None
    """None: nobody looks."""

    guests_of: Callable[[str], Sequence[Guest]] = field(default=lambda owner: ())
    """The sessions of one owner."""

    own_ports: frozenset[int] = frozenset()
    """The ports this server listens on: it never connects to itself."""

    @property
    def algorithms(self) -> frozenset[str]:
        """The checksums that can be made."""
        return frozenset(word for each in self.features for word in each.split()[1:])


class Ends(NamedTuple):
    """Both ends of a control channel along which the server may connect back."""

    local: SocketAddress
    peer: SocketAddress


class Control(Protocol):
    """What a command sees of its control channel."""

    @property
    def visitor(self) -> Visitor:
        """Who the client is."""

    @property
    def features(self) -> tuple[str, ...]:
        """What is offered to it."""

    def enter(self, user: User) -> None:
        """It has logged in.  Raises `LimitReached` where it may not now."""

    def say(self, line: bytes) -> None:
        """Send a line."""

    def flush(self) -> None:
        """Send what was said now, and not in the reactor's next turn: the client waits for it."""

    def ends(self) -> Ends | None:
        """Where to connect back; None where the server must not."""

    def obey(self) -> None:
        """Go on with the session's events."""

    def end_command(self, call: object, error: FTPLiteError) -> None:
        """End this command, if it still runs, for a reason of the server's own."""

    def too_late(self) -> None:
        """The running command was told to end, and will not."""
