"""What an operator decides, in one frozen value, and the exception that says why nothing starts."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..flow.tuning import PLAIN, Tuning
from ..limits import Limits
from .speeds import UNLIMITED, SpeedLimits

DEFAULT_ENDPOINT = "tcp:2121:interface=127.0.0.1"

ANONYMOUS = ("read", "write", "drop")
"""What those who come without a login may be allowed (`users.ACCESS`)."""


class CannotStart(Exception):
    """Why the server does not start, and what to do about it: one line for the operator."""


@dataclass(frozen=True)
class Config:
    """What an operator decides.  What belongs together is checked by `policy.check`."""

    root: str
    endpoints: tuple[str, ...] = (DEFAULT_ENDPOINT,)
    umask: int = 0o022
    limits: Limits = field(default_factory=Limits)

    tuning: Tuning = PLAIN
    speeds: SpeedLimits = UNLIMITED
    anonymous: str | None = None
    """As it was told: one of `ANONYMOUS`, or None.  What then holds is `access`."""

    users: str | None = None
    """The users file."""

    client_ca: str | None = None
    """The certificates that those of clients are signed with."""

    certificate: str | None = None
    key: str | None = None
    require_tls: bool | None = None
    """None: with a certificate and beyond loopback (`policy.requires_tls`)."""

    require_token: bool = False
    plain_passwords: bool = False
    """Passwords may come in without TLS, from beyond loopback too."""

    allow_root: bool = False
    sandbox: str = "off"
    """auto, on or off, for the whole process: told nothing, ``twistd ftplite`` says auto."""

    uid: int | None = None
    gid: int | None = None
    """Whom twistd drops its privileges to, once the ports are bound; None: to nobody."""

    keeps_root: bool = False
    """It can take them up again: twistd's --euid."""

    metrics: str | None = None
    """The endpoint at which metrics and the status page are told; None: nowhere."""

    log_file: str | None = None
    pid_file: str | None = None
    """Absolute paths of twistd's own files, for the sandbox."""

    @property
    def has_logins(self) -> bool:
        """There is somebody who can log in."""
        return self.users is not None or self.client_ca is not None

    @property
    def access(self) -> str | None:
        """What those without a login may do, one of `ANONYMOUS`; None: nobody is served without one.

        Told nothing at all, they may write; beyond loopback `policy.check` refuses that.
        """
        if self.anonymous is None and not self.has_logins:
            return "write"
        return self.anonymous
