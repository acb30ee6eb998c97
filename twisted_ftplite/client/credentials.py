"""Who logs in, and by which password; neither is ever an argument that ``ps`` shows to everybody.

The password is the first of these that is there: a file, the environment, ``~/.netrc``, the keyring where
it is installed, and what a person types.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Awaitable, Callable
from importlib import import_module
from netrc import NetrcParseError, netrc
from typing import Final, NamedTuple

from ..errors import LocalFileTrouble
from ..flow.workers import Workers, shielded
from .display import escape
from .files import about
from .troubles import BadUsage

VARIABLE: Final = "FTPLITE_PASSWORD"
"""The environment variable that holds the password."""

_LONGEST: Final = 4096
"""Bytes of a password file: a line of the protocol takes less than twice that."""

Tell = Callable[[], Awaitable[str]]


class Login(NamedTuple):
    """Who to be on a server."""

    name: str

    password: str | Tell
    """The password, or what tells it when the server asks; it may raise what a session raises."""

    insecure: bool = False
    """Whether the password may go to another host in the clear."""

    optional: bool = False
    """Whether to go on without a login where none can be had safely."""

    def __repr__(self) -> str:
        return f"Login({self.name!r})"

    async def secret(self) -> str:
        """The password."""
        return self.password if isinstance(self.password, str) else await self.password()


class Credentials:
    """The login for one server, found when it is needed, and kept for when that is again."""

    def __init__(
        self,
        host: str,
        user: str | None,
        password_file: str | None,
        workers: Workers,
        ask: Callable[[str], Awaitable[str]] | None = None,
        warn: Callable[[str], None] | None = None,
        *,
        insecure: bool = False,
    ) -> None:
        """``user`` is None where nobody was named; ``ask`` lets a person type what nobody sees, and is
        None where there is no person.  ``warn`` is told for people, in a line and in any thread, what
        they better changed.
        """
        self._host = host
        self._user = user
        self._file = password_file
        self._workers = workers
        self._ask = ask
        self._warn = warn
        self._insecure = insecure
        self._password: str | None = None
        self._typed = False

    async def login(self) -> Login | None:
        """Who to be; None for nobody: no name was given, and ``~/.netrc`` has none for this host.

        A ``~/.netrc`` that can't be read then names nobody.
        """
        if self._user is not None:
            return Login(self._user, self._tell, self._insecure)
        try:
            name, password = await shielded(self._workers.run(_from_netrc, self._host, None))
        except LocalFileTrouble:
            return None
        if name is None or password is None:
            return None
        return Login(name, password, self._insecure, optional=True)

    def forget(self) -> bool:
        """The password was wrong: find another.  Whether a person typed it, who may know better."""
        self._password, typed, self._typed = None, self._typed, False
        return typed

    async def _tell(self) -> str:
        """Raises `BadUsage` where there is no password to be had, and `LocalFileTrouble`."""
        assert self._user is not None
        if self._password is None:
            self._password = await shielded(self._workers.run(self._find, self._user))
        if self._password is None and self._ask is not None:
            typed = await self._ask(f"Password of {escape(self._user)} at {escape(self._host)}: ")
            if not typed:
                raise BadUsage("no password was typed")
            self._password, self._typed = typed, True
        if self._password is None:
            raise BadUsage(f"no password for {escape(self._user)}: name a --password-file, or set {VARIABLE}")
        return self._password

    def _find(self, user: str) -> str | None:
        """Blocking: where no person is asked."""
        if self._file is not None:
            return read_password(self._file, self._warn)
        told = os.environ.pop(VARIABLE, None)  # what this program starts need not know
        if told is not None:
            return told
        return _from_netrc(self._host, user)[1] or _from_keyring(self._host, user)


def read_password(path: str, warn: Callable[[str], None] | None = None) -> str:
    """The first line of a file.  Raises `LocalFileTrouble`, also where it is empty or no text.

    ``warn`` hears it where others can read the file.
    """
    with about(path), open(path, "rb") as file:
        line = file.readline(_LONGEST + 1)
        mode = os.fstat(file.fileno()).st_mode
    if warn is not None and stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH):
        warn(f"{path}: others can read the password in it; chmod 600 keeps it from them")
    try:
        text = line.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        text = ""
    if not text or len(line) > _LONGEST:
        raise LocalFileTrouble(f"{path}: its first line is no password")
    return text


def _from_netrc(host: str, user: str | None) -> tuple[str | None, str | None]:
    """Login and password of the host in ``~/.netrc``; of that user, where one is named.

    The entry for all other hosts is never taken: it was not meant for this one.  Raises `LocalFileTrouble`.
    """
    path = os.path.expanduser("~/.netrc")
    try:
        entry = netrc().hosts.get(host)  # this also sees that nobody else may read it
    except FileNotFoundError:
        return None, None
    except OSError as error:
        raise LocalFileTrouble(f"{path}: {error.strerror}", error) from error
    except (NetrcParseError, UnicodeDecodeError) as error:
        # What it says may quote the file, and that a password.
        line = getattr(error, "lineno", None)
        where = f"line {line} is wrong" if line else "it is no netrc file that only its owner can read"
        raise LocalFileTrouble(f"{path}: {where}; mend it, or name a --password-file") from None
    if entry is None or (user is not None and entry[0] not in ("", user)):
        return None, None
    return entry[0] or None, entry[2] or None


def _from_keyring(host: str, user: str) -> str | None:
    """What the desktop's keyring has for ``ftplite://host``; None where it isn't installed, or locked."""
    try:
        keyring = import_module("keyring")
    except ImportError:
        return None
    try:
        told = keyring.get_password(f"ftplite://{host}", user)
    except (keyring.errors.KeyringError, OSError):
        return None
    return told if isinstance(told, str) else None
