"""Who may come in, and how: what a server demands of all its clients, and what one of them has shown."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from twisted.internet.interfaces import IAddress, IReactorTime

from ..flow.addresses import plain_host
from ..flow.handshake import TLSSide
from ..limits import Limits
from ..protocol.gate import Gate
from .bans import Bans
from .certificates import Certificates
from .hosts import accountable
from .login import Accounts
from .passive import PassiveChannels
from .users import User


@dataclass(slots=True)
class Entry:
    """What a server demands."""

    bans: Bans
    passive: PassiveChannels
    anonymous: User | None
    """Who comes without a login; None: nobody does."""

    accounts: Accounts | None = None
    """Who is known by name; None: whoever has a certificate of a trusted authority is a user."""

    certificates: Certificates | None = None
    demands_tls: bool = False
    demands_token: bool = False
    plain_passwords: bool = False
    """Passwords may come without TLS, from beyond loopback too."""


def open_entry(clock: IReactorTime, limits: Limits, anonymous: User | None) -> Entry:
    """An entry without logins or TLS."""
    return Entry(Bans(clock, limits), PassiveChannels(clock, limits.connect_timeout), anonymous)


@dataclass(slots=True)
class Visitor:
    """Who is at the other end of one session, as far as has been shown."""

    entry: Entry
    address: IAddress | None
    """Where it is; None while that is not known."""

    user: User | None = None
    name: str | None = None
    """Who says that he is this, and has still to prove it."""

    failures: int = 0
    side: TLSSide | None = None
    """The server's side of TLS, in a session inside that."""

    gate: Gate = field(default_factory=Gate)

    @property
    def host(self) -> str | None:
        """Whom failed logins are counted for; None for loopback, of which they are not."""
        return None if self.address is None else accountable(self.address)

    @property
    def peer(self) -> str:
        """Who it is, for the log."""
        where = f"{getattr(self.address, 'host', '-')}:{getattr(self.address, 'port', '-')}"
        return f"{self.user.name}@{where}" if self.user is not None and self.user.name else where

    @property
    def owner(self) -> str:
        """Whose partials its uploads leave: without a login, its host's."""
        if self.user is not None and self.user.name:
            return f"user {self.user.name}"
        host = getattr(self.address, "host", None)
        return "" if host is None else str(plain_host(host))

    def become(self, user: User | None) -> None:
        """It is this user from now on; None: nobody yet."""
        self.user = user
        self.gate.permissions = None if user is None else user.permissions

    def fail(self) -> None:
        """A login has failed."""
        self.failures += 1
        self.entry.bans.failed(self.host)

    def secured(self, side: TLSSide) -> Visitor:
        """The same client in the session that begins anew inside TLS, everything else forgotten."""
        anew = arrive(self.entry, self.address)
        anew.failures, anew.side = self.failures, side
        anew.gate = replace(anew.gate, secure=True)
        return anew

    @property
    def features(self) -> tuple[str, ...]:
        """What is offered to this client because of who it is, and how it came."""
        offered = []
        if self.side is None and self.entry.certificates is not None:
            offered.append("tls")
        if self.entry.accounts is not None and self.entry.accounts.has_passwords:
            offered.append("login")
        return tuple(offered)


def arrive(entry: Entry, address: IAddress | None) -> Visitor:
    """A client that has said nothing yet."""
    visitor = Visitor(entry, address)
    visitor.gate = Gate(
        demands_tls=entry.demands_tls,
        demands_token=entry.demands_token,
        hides_secrets=visitor.host is not None and not entry.plain_passwords,
    )
    visitor.become(entry.anonymous)
    return visitor
