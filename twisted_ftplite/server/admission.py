"""Who may come in, as files say it: users and certificates, read at the start and again on SIGHUP."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ..flow.workers import Workers
from ..limits import Limits
from . import policy
from .certificates import Certificates, CertificateTrouble
from .config import CannotStart, Config
from .entry import Entry, open_entry
from .login import Accounts
from .trees import Trees
from .users import User, UsersError, anonymous, notice_of, read_users

log = Logger()


class Admission:
    """Makes the `Entry` that a configuration asks for, and keeps it up to date."""

    def __init__(
        self, config: Config, clock: IReactorTime, limits: Limits, trees: Trees, hashing: Workers
    ) -> None:
        """``hashing`` are the threads that passwords are hashed in.  Raises `CannotStart`."""
        self._config = config
        self._trees = trees
        self.notices: list[str] = []
        """What the operator should know of these files."""

        self.roots: list[str] = []
        """The folders that users are served."""

        self.bounds: list[str] | None = None
        """The folders that the sandbox keeps the server to; None: it is in none."""

        access = config.access
        self.entry: Entry = open_entry(clock, limits, None if access is None else anonymous(access))
        self.entry.demands_token = config.require_token
        self.entry.plain_passwords = config.plain_passwords
        try:
            if config.certificate is not None and config.key is not None:
                self.entry.certificates = Certificates(config.certificate, config.key, config.client_ca)
            if config.users is not None:
                users = read_users(config.users)
                self.entry.accounts = Accounts(users, hashing)
                self.roots = trees.check(users.values())
                self.notices += [notice_of(config.users), self.entry.accounts.notice]
        except (UsersError, CertificateTrouble) as error:
            raise CannotStart(str(error)) from error

    def bound(self, *, beyond: bool) -> None:
        """It is known what the server listens on."""
        self.entry.demands_tls = policy.requires_tls(self._config, beyond=beyond)

    def reload(self) -> Mapping[str, User] | None:
        """Read the files again.  One with a mistake leaves what it said before, and the log tells.

        Returns the users where they are others now, perhaps.
        """
        self._reload_certificates()
        return self._reload_users()

    def _reload_certificates(self) -> None:
        certificates = self.entry.certificates
        if certificates is None:
            return
        try:
            certificates.reload()
        except CertificateTrouble as error:
            log.error("The certificate stays as it was: {error}", error=str(error))
        else:
            log.info("The certificate was read again: {fingerprint}", fingerprint=certificates.fingerprint)

    def _reload_users(self) -> Mapping[str, User] | None:
        accounts, file = self.entry.accounts, self._config.users
        if accounts is None or file is None:
            return None
        try:
            users = read_users(file)
            roots = self._trees.check(users.values())
            policy.check_files(self._config, roots)
            policy.check_bounds(roots, self.bounds)
            accounts.replace(users)
        except (UsersError, CannotStart) as error:
            log.error("The users stay as they were: {error}", error=str(error))
            return None
        log.info("The users were read again: {count}", count=len(users))
        for notice in (notice_of(file), accounts.notice):
            if notice:
                log.warn("{notice}", notice=notice)
        return users
