"""What a control channel and whoever keeps count of the sessions know of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ..errors import FTPLiteError
from ..protocol.server import ServerSession
from .entry import Visitor
from .services import Ends
from .users import User

if TYPE_CHECKING:
    from .performing import Performer


class Guest(Protocol):
    """A connection, as it is counted."""

    transport: Any
    host: str | None
    """Whom it is counted for."""

    counted_user: str | None
    """The same of users."""

    heard: float
    """When the client last said or was last told something, in the reactor's seconds."""

    began: float
    """When it came."""

    session: ServerSession
    performer: Performer

    @property
    def visitor(self) -> Visitor:
        """Who the client is, as far as has been shown."""

    @property
    def silent(self) -> bool:
        """Whether no command runs and it is the client's turn to say something."""

    def arrived(self) -> None:
        """Its host is known."""

    def refuse(self, error: FTPLiteError) -> None:
        """End the session for this reason; a running command ends with it."""

    def drain(self) -> None:
        """Begin nothing any more, and leave when what moves has moved."""

    def abort(self) -> None:
        """Drop the connection."""


class Door(Protocol):
    """Who keeps count of the sessions."""

    @property
    def turns_first(self) -> bool:
        """Whether connections turn to TLS before a word is said."""

    def opened(self, guest: Guest) -> FTPLiteError | None:
        """A connection was made; an error where it cannot stay."""

    def introduced(self, guest: Guest) -> FTPLiteError | None:
        """Its first line has come, which is no data channel's, and so whoever a proxy says that it is."""

    def entered(self, guest: Guest, user: User | None) -> None:
        """It has logged in, or with None it is nobody any more.

        Raises `LimitReached` where this user has sessions enough.
        """

    def closed(self, guest: Guest) -> None:
        """The connection is gone, or no session.  May be said more than once."""

    def ends(self, guest: Guest) -> Ends | None:
        """Where the server may connect back for this client.  Raises `ConnectionLost`."""
