"""What a session may ask for, before anything is looked at (docs/protocol.md, section 6)."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from ..errors import EncryptionRequired, LoginRequired, PermissionDenied
from .lines import Verb

_SECRETS = ("login", "password")


@dataclass(slots=True)
class Gate:
    """Who is asking, and how; its host keeps it up to date.  As it comes it lets everything through."""

    permissions: Container[str] | None = frozenset({"list", "get", "put", "delete", "rename", "mkdir"})
    """Of whoever asks; None: they have to log in first."""

    secure: bool = False
    """Whether the session is inside TLS."""

    demands_tls: bool = False
    """Whether nothing is served in the clear."""

    demands_token: bool = False
    """Whether a data channel needs a token; inside TLS it always does."""

    hides_secrets: bool = False
    """Whether a password must not be said in the clear."""

    def check(self, verb: Verb) -> None:
        """Raises `EncryptionRequired`, `LoginRequired` or `PermissionDenied`."""
        if not self.secure:
            if self.demands_tls and not verb.before_login:
                raise EncryptionRequired("Say starttls first.")
            if (self.demands_tls or self.hides_secrets) and verb.name in _SECRETS:
                raise EncryptionRequired("Say starttls first.")
        if verb.before_login:
            return
        if self.permissions is None:
            raise LoginRequired("Say login first.")
        if verb.permission is not None and verb.permission not in self.permissions:
            raise PermissionDenied(f"You may not {verb.permission}.")

    def check_port(self, token: str | None) -> None:
        """Whether a port may be announced with this token, or none.  Raises `EncryptionRequired`."""
        if token is None and (self.secure or self.demands_token):
            raise EncryptionRequired("The data channel needs a token.")
