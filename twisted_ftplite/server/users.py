"""The users file: who may log in, with what, and what each may do.

One user a line: a name, a secret and settings, divided by blanks, quoted as in a shell; ``#`` begins a
comment.

    alice $argon2id$v=19$m=65536,t=3,p=4$... root=alice permissions=list,get,put quota=10G files=1000
    bob   -   permissions=read certificate="Bob B"   # comes with a certificate only
    carol pam permissions=drop

No error tells what stands in the file, but for the settings' own names: a secret may stand anywhere.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

import argon2

from ..flow.rates import Rate
from .settings import ACCESS, PERMISSIONS, SETTINGS, Wrong

__all__ = [
    "ACCESS",
    "NAME_LENGTH",
    "NO_PASSWORD",
    "PAM",
    "PERMISSIONS",
    "SETTINGS",
    "User",
    "UsersError",
    "Word",
    "anonymous",
    "check_name",
    "decoded",
    "is_setting",
    "notice_of",
    "parse_users",
    "read_users",
    "split_words",
]

PAM: Final = "pam"
"""The secret of a user whose password the system knows."""

NO_PASSWORD: Final = "-"
"""The file's word for a user without a secret."""

NAME_LENGTH: Final = 64
"""Characters of a user's name."""

_MOST_MEMORY: Final = 2**21
"""KiB that one hash may take: 2 GiB, the most that RFC 9106 proposes."""

_MOST_WORK: Final = 2**23
"""KiB times passes: about two seconds."""

_MOST_LANES: Final = 64

_HASH: Final = re.compile(
    r"\$argon2(?:id|i|d)\$v=(?:16|19)\$m=[0-9]{1,10},t=[0-9]{1,10},p=[0-9]{1,10}"
    r"\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{16,171}"
)
_BLANKS: Final = re.compile(r"[ \t\r]*")
_WORD: Final = re.compile(r"""(?:[^ \t\r'"\\]|'[^']*'|"(?:[^"\\]|\\.)*"|\\.)+""", re.DOTALL)
_QUOTED: Final = re.compile(r"""'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)""", re.DOTALL)
_ESCAPED: Final = re.compile(r'\\(["\\])')


@dataclass(frozen=True, slots=True)
class User:
    """Somebody, and what he may do and take.  None is no limit but the server's own."""

    name: str
    """Empty for whoever came without a login."""

    permissions: frozenset[str]
    root: str = ""
    """A folder beneath the served one, or an absolute path; empty for all that is served."""

    secret: str | None = field(default=None, repr=False)
    """An argon2 hash, ``pam``, or None: no password lets him in."""

    certificates: frozenset[str] = frozenset()
    """Names in client certificates that are his too; his own name always is."""

    quota_bytes: int | None = None
    quota_files: int | None = None
    max_sessions: int | None = None
    max_transfers: int | None = None
    max_file_size: int | None = None
    rate: Rate | None = None
    """Bytes a second, up and down each, unless `rate_up` or `rate_down` says otherwise of one."""

    rate_up: Rate | None = None
    rate_down: Rate | None = None
    profile: str | None = None
    """One of `tuning.PROFILES`: what his transfers count for beside those of others."""

    @property
    def replaces(self) -> bool:
        """Whether its uploads may replace files: who sees nothing there could destroy what others sent."""
        return bool(self.permissions & {"list", "get", "delete"})


def anonymous(access: str) -> User:
    """Whoever comes without a login, with ``read``, ``write`` or ``drop``."""
    return User("", ACCESS[access])


class UsersError(Exception):
    """One line: the file, the line, what is wrong and how to mend it."""

    def __init__(self, what: str, file: str = "", line: int | None = None) -> None:
        place = f"{file}, line {line}: " if line is not None else f"{file}: " * bool(file)
        super().__init__(f"{place}{what}")
        self.what = what


def read_users(path: str) -> dict[str, User]:
    """All users of a file, by name.  Raises `UsersError`."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        said = error.strerror or "it cannot be read"
        raise UsersError(f"{said}; ftplite-passwd makes such a file", path) from None
    return parse_users(decoded(content, path), path)


def decoded(content: bytes, path: str) -> str:
    """A users file as text.  Raises `UsersError`."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
    # Outside of the handler: that error holds the whole file, and would stay this one's context.
    raise UsersError("it is not UTF-8; save the file in that encoding", path, line)


def notice_of(path: str) -> str:
    """What is worth telling about the file's mode, in one line; empty where there is nothing."""
    try:
        mode = os.stat(path).st_mode & 0o777
    except OSError:
        return ""
    if mode & 0o037 == 0:
        return ""
    may = "change" if mode & 0o022 else "read"
    return f"{path} is open to others, who may {may} it (mode {mode:04o}); mend it with: chmod 600 {path}"


def parse_users(text: str, path: str) -> dict[str, User]:
    """All users of the text of a file, by name.  Raises `UsersError`."""
    users: dict[str, User] = {}
    owners: dict[str, str] = {}  # of the names in certificates
    for number, line in enumerate(text.split("\n"), 1):
        try:
            user = _parse(line)
            if user is None:
                continue
            if user.name in users:
                raise Wrong("this user has a line above already; keep one of the two")
            for name in (user.name, *user.certificates):
                if owners.setdefault(name, user.name) != user.name:
                    raise Wrong("a certificate's name here belongs to a user above; it can mean only one")
        except Wrong as wrong:
            what = str(wrong)
        else:
            users[user.name] = user
            continue
        raise UsersError(what, path, number)
    return users


class Word(NamedTuple):
    """One word of a line, and where it stands there."""

    text: str
    start: int
    end: int


def split_words(line: str) -> list[Word]:
    """The words of a line, as a shell divides them.  Raises ``ValueError`` for a quote that does not end."""
    words: list[Word] = []
    end = 0
    while True:
        start = _end_of_blanks(line, end)
        if start == len(line) or line[start] == "#":
            return words
        found = _WORD.match(line, start)
        end = found.end() if found else start
        if found is None or (end < len(line) and line[end] not in " \t\r"):
            raise Wrong("a quote does not end, or nothing follows a backslash; close it")
        words.append(Word(_QUOTED.sub(_unquoted, found.group()), start, end))


def is_setting(word: str) -> bool:
    """Whether a word is one of the settings that may follow a secret."""
    return word.partition("=")[0] in SETTINGS


def _end_of_blanks(line: str, start: int) -> int:
    blanks = _BLANKS.match(line, start)
    return blanks.end() if blanks else start


def _unquoted(found: re.Match[str]) -> str:
    single, double, escaped = found.groups()
    if double is not None:
        return _ESCAPED.sub(r"\1", double)
    return str(single if single is not None else escaped)


def _parse(line: str) -> User | None:
    """The user of a line; None where it has none."""
    words = [word.text for word in split_words(line)]
    if not words:
        return None
    if not all(map(str.isprintable, words)):
        raise Wrong("it holds a character that cannot be seen; write the line anew")
    name = check_name(words[0])
    if len(words) == 1:
        raise Wrong("behind the name a secret is missing; ftplite-passwd makes one, - stands for none")
    values: dict[str, Any] = {}
    for position, word in enumerate(words[2:], 3):
        _read_setting(position, word, values)
    values.setdefault("permissions", ACCESS["write"])
    values["certificates"] = frozenset(values.get("certificates", ()))
    return User(name, secret=_read_secret(words[1]), **values)


def check_name(name: str) -> str:
    """A user's name.  Raises ``ValueError`` for what can be none."""
    if name.startswith("$argon2"):
        raise Wrong("it begins with a hash; put the user's name before it")
    if is_setting(name) and "=" in name:
        raise Wrong("it begins with a setting; put the user's name and his secret before it")
    if not (1 <= len(name) <= NAME_LENGTH and name.isprintable() and name.strip() == name):
        raise Wrong(f"a user's name has 1 to {NAME_LENGTH} visible characters, no blank at its ends")
    return name


def _read_secret(word: str) -> str | None:
    if word == NO_PASSWORD:
        return None
    if word == PAM:
        return word
    if is_setting(word) and "=" in word:
        raise Wrong("before the settings a secret is missing; ftplite-passwd makes one, - stands for none")
    if not _HASH.fullmatch(word) or not all(map(_is_base64, word.split("$")[-2:])):
        raise Wrong("the word behind the name is no argon2 hash, pam or -; make a hash with ftplite-passwd")
    cost = argon2.extract_parameters(word)
    if not (cost.time_cost >= 1 and 1 <= cost.parallelism <= _MOST_LANES):
        raise Wrong("the hash has no passes or too many lanes; make it anew with ftplite-passwd")
    if not 8 * cost.parallelism <= cost.memory_cost <= _MOST_MEMORY:
        raise Wrong("the hash takes too little memory, or more than 2 GiB; make it anew with ftplite-passwd")
    if cost.memory_cost * cost.time_cost > _MOST_WORK:
        raise Wrong("the hash takes seconds to check; make it anew with ftplite-passwd")
    return word


def _is_base64(text: str) -> bool:
    """Whether argon2 could read it: it takes only one spelling of each."""
    try:
        plain = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return False
    return base64.b64encode(plain).decode().rstrip("=") == text


def _read_setting(position: int, word: str, values: dict[str, Any]) -> None:
    """Add what a word says to the user's fields."""
    key, equals, value = word.partition("=")
    if key not in SETTINGS:
        close = get_close_matches(key, SETTINGS, 1)
        meant = f"did you mean {close[0]}=?" if close else f"there are {', '.join(SETTINGS)}"
        raise Wrong(f"word {position} is no setting; {meant}")
    if not equals or not value:
        raise Wrong(f"{key} has no value; write {key}=VALUE, or leave it away")
    name, read = SETTINGS[key]
    if name == "certificates":
        given = values.setdefault(name, set())
        if value in given:
            raise Wrong("a certificate's name is given twice; keep one")
        given.add(value)
        return
    if name in values:
        raise Wrong(f"{key} is given twice; keep one")
    values[name] = read(key, value)
