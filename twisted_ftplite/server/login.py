"""Who somebody is: twisted.cred's portal and realm over the users file, and its two checkers.

Whichever part of a login is wrong, the same is done: one argon2 hash is checked, in the hashing pool, and
the answer is the same.  No password is ever in a repr, in a log or in what a failure holds: what runs in
the pool returns whether it was right and raises nothing.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

import argon2
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ICredentials, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import Attribute, Interface, classImplements, implementer

from ..errors import LoginFailed
from ..flow.workers import Workers, shielded
from .users import PAM, User, UsersError

log = Logger()

SERVICE: Final = "ftplite"
"""The service that PAM is asked for: /etc/pam.d/ftplite, or what stands for all others there."""

AskPAM = Callable[[str, bytes], bool]
"""Whether PAM lets this name and password in."""

_KINDS: Final = {
    argon2.Type.ID: "argon2id",
    argon2.Type.I: "argon2i",
    argon2.Type.D: "argon2d",
}


class ILoggedIn(Interface):
    """What somebody is to the server once he has logged in: a `User`."""

    name = Attribute("The user's name.")
    permissions = Attribute("What he may do: a frozenset of words.")


classImplements(User, ILoggedIn)


class ICertificateNames(ICredentials):
    """The names in a client certificate that the TLS handshake has found valid."""

    names = Attribute("They, the certificate's own order.")


@implementer(IUsernamePassword)
class Password:
    """A name and a password, in UTF-8 as twisted.cred has them."""

    __slots__ = ("password", "username")

    def __init__(self, name: str, password: str) -> None:
        self.username = name.encode("utf-8", "surrogatepass")
        self.password = password.encode("utf-8", "surrogatepass")

    def checkPassword(self, password: bytes) -> bool:
        """Never: there are hashes here, and no passwords."""
        return False

    def __repr__(self) -> str:
        return "<Password>"


@implementer(ICertificateNames)
class CertificateNames:
    """The names of a client certificate."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)


class Register:
    """The users as they are at present: a reload replaces all of them at once."""

    def __init__(self, users: Mapping[str, User]) -> None:
        self.users: Mapping[str, User] = {}
        self.owners: Mapping[str, User] = {}
        """Whose each name in a certificate is."""

        self.decoy = ""
        """A hash that no password fits, as costly as the costliest of the users'."""

        self.replace(users)

    def replace(self, users: Mapping[str, User]) -> None:
        users = dict(users)
        self.decoy = _decoy(_costs(users))
        self.owners = {name: user for user in users.values() for name in (user.name, *user.certificates)}
        self.users = users

    def password_of(self, name: str) -> str:
        """What a password is compared with: the user's secret, or what fits none."""
        user = self.users.get(name)
        return self.decoy if user is None or user.secret is None else user.secret


@implementer(ICredentialsChecker)
class PasswordChecker:
    """Names and passwords, against hashes or PAM; all in the hashing pool."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, register: Register, hashing: Workers, pam: AskPAM | None) -> None:
        self.pam = pam
        self._register = register
        self._hashing = hashing

    def requestAvatarId(self, credentials: IUsernamePassword) -> Deferred[Any]:
        name = credentials.username.decode("utf-8", "replace")
        secret = self._register.password_of(name)
        question = _Question(secret, self.pam)
        job = self._hashing.run(_answer, question, credentials)
        return shielded(job).addCallbacks(self._judge, question.withdraw, (name,))

    @staticmethod
    def _judge(trouble: str | None, name: str) -> str | Failure:
        if trouble is None:
            return name
        if trouble:
            log.error("A login could not be checked: {trouble}", trouble=trouble)
        return Failure(UnauthorizedLogin())


@implementer(ICredentialsChecker)
class CertificateChecker:
    """Names in a valid client certificate, against the users' own and those in the users file."""

    credentialInterfaces = (ICertificateNames,)

    def __init__(self, register: Register) -> None:
        self._register = register

    def requestAvatarId(self, credentials: ICertificateNames) -> Deferred[Any]:
        owners = self._register.owners
        found = {owners[name].name for name in credentials.names if name in owners}
        # One that names two users is nobody's: which of them would he be?
        return succeed(found.pop()) if len(found) == 1 else fail(Failure(UnauthorizedLogin()))


@implementer(IRealm)
class Realm:
    """What somebody gets who was let in: his `User`, as `ILoggedIn`."""

    def __init__(self, register: Register) -> None:
        self._register = register

    def requestAvatar(
        self, avatarId: object, mind: object, *interfaces: object
    ) -> tuple[type[Interface], User, Callable[[], None]]:
        if ILoggedIn not in interfaces:
            raise NotImplementedError("there is nothing here but ILoggedIn")
        user = self._register.users.get(str(avatarId))
        if user is None:  # the users file has been read again meanwhile
            raise UnauthorizedLogin
        return ILoggedIn, user, _nothing


class Accounts:
    """The front door of this module."""

    def __init__(self, users: Mapping[str, User], hashing: Workers, pam: AskPAM | None = None) -> None:
        """``pam`` stands for the system's.  Raises `UsersError`."""
        self._register = Register({})
        self._passwords = PasswordChecker(self._register, hashing, pam)
        self.portal = Portal(Realm(self._register), (self._passwords, CertificateChecker(self._register)))
        self.replace(users)

    @property
    def users(self) -> Mapping[str, User]:
        return self._register.users

    @property
    def has_passwords(self) -> bool:
        """Whether anybody can log in with one."""
        return any(user.secret is not None for user in self.users.values())

    @property
    def asks_pam(self) -> bool:
        """Whether passwords may be asked of PAM, whose modules run programs and read files of their own."""
        return self._passwords.pam is not None

    @property
    def notice(self) -> str:
        """What is worth telling of the users' secrets, in one line; empty where there is nothing."""
        secrets = {user.secret for user in self.users.values()}
        if PAM in secrets:
            return (
                "how long a failed login takes tells which names are known to PAM, and which are not;"
                " where that matters, give all users a hash with ftplite-passwd"
            )
        if len(_costs(self.users)) > 1:
            return (
                "the users' hashes differ in cost, so that how long a failed login takes tells names;"
                " make the older ones anew with ftplite-passwd"
            )
        return ""

    def replace(self, users: Mapping[str, User]) -> None:
        """From now on it is these.  Raises `UsersError`, and then it stays as it was."""
        if self._passwords.pam is None and any(user.secret == PAM for user in users.values()):
            self._passwords.pam = _load_pam()
        self._register.replace(users)

    def by_password(self, name: str, password: str) -> Deferred[User]:
        """The user; fails with `LoginFailed`, in the same time whichever part was wrong."""
        return self._log_in(Password(name, password))

    def by_certificate(self, names: Sequence[str]) -> Deferred[User]:
        """The user whose name one of these is; fails with `LoginFailed` for none, or more than one."""
        return self._log_in(CertificateNames(names))

    def _log_in(self, credentials: ICredentials) -> Deferred[User]:
        return self.portal.login(credentials, None, ILoggedIn).addCallbacks(_user_of, _refused)


def _user_of(avatar: tuple[type[Interface], User, Callable[[], None]]) -> User:
    return avatar[1]


def _refused(failure: Failure) -> Failure:
    """A failure that has no traceback, no context, and nothing else of where it comes from."""
    if failure.check(CancelledError):
        return failure
    if not failure.check(UnauthorizedLogin):
        log.error("A login could not be checked: {trouble}", trouble=type(failure.value).__name__)
    return Failure(LoginFailed())


class _Question:
    """Whether a password fits a secret, on its way through a queue."""

    __slots__ = ("is_withdrawn", "pam", "secret")

    def __init__(self, secret: str, pam: AskPAM | None) -> None:
        self.secret = secret
        self.pam = pam
        self.is_withdrawn = False

    def withdraw(self, failure: Failure) -> Failure:
        """Nobody waits for the answer: it is to keep nobody waiting either."""
        self.is_withdrawn = True
        return failure


def _answer(question: _Question, credentials: IUsernamePassword) -> str | None:
    """None where the password is right, else what kept it from being compared, or nothing: ""."""
    if question.is_withdrawn:
        return ""
    if question.secret == PAM and question.pam is not None:
        return _ask_pam(question.pam, credentials)
    return _compare(question.secret, credentials)


def _compare(secret: str, credentials: IUsernamePassword) -> str | None:
    """The same of a hash."""
    try:
        argon2.PasswordHasher().verify(secret, credentials.password)
    except argon2.exceptions.VerifyMismatchError:
        return ""
    except argon2.exceptions.Argon2Error as error:
        return f"{type(error).__name__}: {error}"  # argon2's own words, such as that memory is short
    except Exception as error:  # noqa: BLE001 - its frames hold the password
        return f"{type(error).__name__} of argon2"
    return None


def _ask_pam(pam: AskPAM, credentials: IUsernamePassword) -> str | None:
    """The same of PAM."""
    name, password = credentials.username.decode("utf-8", "replace"), credentials.password
    if b"\0" in password:  # PAM would take what stands before it
        return ""
    try:
        return None if pam(name, password) else ""
    except Exception as error:  # noqa: BLE001 - its frames hold the password
        return f"{type(error).__name__} of PAM"


def _load_pam() -> AskPAM:
    try:
        pamela: Any = import_module("pamela")
    except ImportError:
        why = "which is not installed; pip install twisted-ftplite[pam]"
    except (OSError, AttributeError):  # it looks for the library when it is imported
        why = "which finds no libpam; install the system's, or give these users a hash with ftplite-passwd"
    else:

        def ask(name: str, password: bytes) -> bool:
            try:
                pamela.authenticate(name, (password,), service=SERVICE)
            except pamela.PAMError:  # why so is in PAM's own log
                return False
            return True

        return ask
    raise UsersError(f"the secret pam needs the module pamela, {why}")


def _costs(users: Mapping[str, User]) -> set[tuple[int, int, int, str]]:
    """What the users' hashes cost: work, KiB, lanes and the kind."""
    found = [
        argon2.extract_parameters(user.secret) for user in users.values() if user.secret not in (None, PAM)
    ]
    return {
        (each.memory_cost * each.time_cost, each.memory_cost, each.parallelism, _KINDS[each.type])
        for each in found
    }


def _decoy(costs: set[tuple[int, int, int, str]]) -> str:
    """A hash made of nothing: no password fits it, and to compare one costs as much as the costliest."""
    usual = argon2.PasswordHasher()
    default = (usual.memory_cost * usual.time_cost, usual.memory_cost, usual.parallelism, _KINDS[usual.type])
    work, memory, lanes, kind = max(costs, default=default)
    salt, digest = (base64.b64encode(os.urandom(size)).decode().rstrip("=") for size in (16, 32))
    return f"${kind}$v=19$m={memory},t={work // memory},p={lanes}${salt}${digest}"


def _nothing() -> None:
    """There is nothing to leave."""
