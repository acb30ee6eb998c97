"""Lines of the control channel: commands, fields and statuses (docs/protocol.md, sections 1, 3, 6 and 7).

A line is parsed in two steps.  `decode` says what kind of line it is, which decides when its turn comes;
the argument or value is read when the turn has come, because a line behind a command that is over falls
on the floor, well-formed or not.
"""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import NamedTuple

from ..errors import (
    ERRORS,
    FAILURES,
    BadSyntax,
    Broken,
    Failure,
    FTPLiteError,
    NotUTF8,
    UnexpectedMessage,
    UnknownCommand,
)


class Verb(NamedTuple):
    """One row of the table of verbs."""

    name: str
    usage: str
    arity: tuple[int, int]
    """Fewest and most arguments."""

    help: str
    feature: str | None = None
    """The feature it belongs to; None for the plain protocol."""

    permission: str | None = None
    """What a session must be allowed: ``list get put delete rename mkdir``; None for anybody."""

    before_login: bool = False


_ROWS = (
    Verb("ls", "ls [path]", (0, 1), "list a directory over a data channel", permission="list"),
    Verb("get", "get name", (1, 1), "send a file over a data channel", permission="get"),
    Verb("put", "put name", (1, 1), "take a file over a data channel", permission="put"),
    Verb("abort", "abort", (0, 0), "end every unfinished command"),
    Verb("quit", "quit", (0, 0), "end the session", before_login=True),
    Verb("features", "features", (0, 0), "tell what can be asked for", before_login=True),
    Verb("noop", "noop", (0, 0), "do nothing, but be heard", "noop", before_login=True),
    Verb("help", "help", (0, 0), "tell the verbs", "help", before_login=True),
    Verb("pwd", "pwd", (0, 0), "tell the working directory", "files"),
    Verb("cd", "cd path", (1, 1), "change the working directory", "files"),
    Verb("mkdir", "mkdir path", (1, 1), "make a directory", "files", "mkdir"),
    Verb("rmdir", "rmdir path", (1, 1), "remove an empty directory", "files", "delete"),
    Verb("rm", "rm path", (1, 1), "remove a file", "files", "delete"),
    Verb("mv", 'mv "from" "to"', (2, 2), "rename, replacing a file", "files", "rename"),
    Verb("stat", 'stat path, or stat "path" "algorithm"', (1, 2), "describe a name", "files", "list"),
    Verb(
        "checksum",
        'checksum name, or checksum "name" "algorithm"',
        (1, 2),
        "tell a file's checksum",
        "checksum",
        "get",
    ),
    Verb("starttls", "starttls", (0, 0), "turn to TLS", "tls", before_login=True),
    Verb("login", "login name", (1, 1), "say who one is", "login", before_login=True),
    Verb("password", "password secret", (1, 1), "prove it", "login", before_login=True),
    Verb("status", "status", (0, 0), "describe one's own sessions", "status"),
    Verb("mget", "mget path", (1, 1), "send many files over one data channel", "bundle", "get"),
    Verb("mput", "mput path", (1, 1), "take many files over one data channel", "bundle", "put"),
)

VERBS: dict[str, Verb] = {row.name: row for row in _ROWS}
"""Every verb of the protocol.  What a server does not offer it answers with ``FAILURE: Not supported.``"""


class FieldName(StrEnum):
    """Every field of the protocol, as it is written."""

    DATA_CHANNEL_PORT = "Data channel port"
    DATA_CHANNEL_TOKEN = "Data channel token"
    FILE_SIZE = "File size"
    TRANSFER_COMPLETE = "Transfer complete"
    WORKING = "Working"
    FEATURE = "Feature"
    HELP = "Help"
    DIRECTORY = "Directory"
    TYPE = "Type"
    LINK = "Link"
    MODIFIED = "Modified"
    MODE = "Mode"
    PARTIAL_SIZE = "Partial size"
    PARTIAL_CHECKSUM = "Partial checksum"
    FORMAT = "Format"
    DEPTH = "Depth"
    START_OFFSET = "Start offset"
    BYTE_COUNT = "Byte count"
    CHECKSUM = "Checksum"
    SESSION = "Session"
    LIMITED_BY = "Limited by"


_FIELDS = {name.lower(): name for name in FieldName}


class Success(StrEnum):
    """The phrases behind ``SUCCESS:``."""

    GREETING = "FTPLite/1 ready."
    READY_TO_SEND = "Ready to send."
    READY_TO_RECEIVE = "Ready to receive."
    DATA_CHANNEL_READY = "Data channel ready."
    FILE_TRANSFERRED = "File transferred successfully."
    LISTING_COMPLETE = "Listing complete."
    BUNDLE_COMPLETE = "Bundle complete."
    GOODBYE = "Goodbye."
    FEATURES_LISTED = "Features listed."
    HELP_LISTED = "Help listed."
    NOTHING_DONE = "Nothing done."
    DIRECTORY_CHANGED = "Directory changed."
    DIRECTORY_MADE = "Directory made."
    DIRECTORY_REMOVED = "Directory removed."
    FILE_REMOVED = "File removed."
    RENAMED = "Renamed."
    DESCRIBED = "Described."
    PASSWORD_REQUIRED = "Password required."
    LOGGED_IN = "Logged in."
    BEGIN_TLS = "Begin TLS."


class Command(NamedTuple):
    """A line whose first word is a verb; ``argument`` is as it was spelled, None where there is none."""

    verb: Verb
    argument: str | None

    def arguments(self) -> tuple[str, ...]:
        """What the argument means.  Raises `BadSyntax` where it means nothing or there are too many."""
        meant = () if self.argument is None else parse_argument(self.argument)
        fewest, most = self.verb.arity
        if not fewest <= len(meant) <= most:
            raise BadSyntax(f"Usage: {self.verb.usage}")
        return meant


class Field(NamedTuple):
    """A line that begins with a field's name and a colon; ``value`` is all behind the colon."""

    name: FieldName
    value: str

    def _behind_space(self) -> str:
        if not self.value.startswith(" "):
            raise BadSyntax(f"Usage: {self.name}: value")
        return self.value[1:]

    def number(self) -> int:
        """The value as a number.  Raises `BadSyntax`."""
        return parse_number(self._behind_space())

    def size(self) -> int:
        """The value as bytes, ``N bytes``.  Raises `BadSyntax`."""
        digits, unit, rest = self._behind_space().partition(" bytes")
        if not unit or rest:
            raise BadSyntax(f"Usage: {self.name}: N bytes")
        return parse_number(digits)

    def argument(self) -> str:
        """The value as one argument.  Raises `BadSyntax`."""
        meant = parse_argument(self._behind_space())
        if len(meant) != 1:
            raise BadSyntax(f"Usage: {self.name}: name")
        return meant[0]

    def text(self) -> str:
        """The value as it stands.  Raises `BadSyntax`."""
        return self._behind_space()


class Status(NamedTuple):
    """A line that begins with ``SUCCESS:``, ``FAILURE:`` or ``ERROR:``; ``text`` is phrase and detail."""

    kind: str
    text: str

    def error(self) -> FTPLiteError | None:
        """The exception that this status stands for; None for a success.

        A phrase that section 7 lacks is a plain `Failure` or `Broken` with the text as its detail.
        """
        if self.kind == "SUCCESS":
            return None
        table, otherwise = (FAILURES, Failure) if self.kind == "FAILURE" else (ERRORS, Broken)
        for phrase, each in table.items():
            if self.says(phrase):
                return each(self.text[len(phrase) + 1 :])
        return otherwise(self.text)

    def says(self, phrase: str) -> bool:
        """Whether this is the phrase, with or without a detail behind it."""
        return self.text == phrase or self.text.startswith(phrase + " ")


Message = Command | Field | Status

_NUMBER = re.compile(r"(?:0|[1-9][0-9]{0,18})", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NOT_UTF8_BYTE = re.compile(r"[\udc80-\udcff]")
_ANY_SURROGATE = re.compile(r"[\ud800-\udfff]")
_TO_ESCAPE = re.compile(r"[\x7f-\x9f\udc80-\udcff]")
_KINDS = ("SUCCESS", "FAILURE", "ERROR")
_json = json.JSONDecoder()


def decode(line: bytes) -> Message:
    """What a line is, given without its LF; a CR before it is dropped.

    Raises `NotUTF8`, `UnexpectedMessage` for an empty line and `UnknownCommand` for a first word that is
    neither verb nor field nor the kind of a status.
    """
    try:
        text = (line[:-1] if line.endswith(b"\r") else line).decode("utf-8")
    except UnicodeDecodeError:
        raise NotUTF8 from None
    if not text:
        raise UnexpectedMessage("The line is empty.")
    word, space, rest = text.partition(" ")
    verb = VERBS.get(word.lower()) if word.isascii() else None
    if verb is not None:
        return Command(verb, rest if space else None)
    name, colon, value = text.partition(":")
    if colon:
        field = _FIELDS.get(name.lower()) if name.isascii() else None
        if field is not None:
            return Field(field, value)
        if name in _KINDS:
            return Status(name, value[1:] if value.startswith(" ") else value)
    raise UnknownCommand("Say help to see the commands.")


def parse_number(text: str) -> int:
    """``0``, or up to 19 digits that begin with 1 to 9.  Raises `BadSyntax`.

    ``int`` alone would also take ``+5``, ``1_0``, `` 5`` and digits of other scripts.
    """
    if not _NUMBER.fullmatch(text):
        raise BadSyntax("A number is 0, or at most 19 digits that begin with 1 to 9.")
    return int(text)


def parse_argument(text: str) -> tuple[str, ...]:
    """One bare argument, or several JSON strings with a space between.  Raises `BadSyntax`.

    A byte that is not UTF-8 comes as a lone surrogate, as in ``os.fsdecode``.
    """
    if not text.startswith('"'):
        if not text or text != text.strip(" ") or _CONTROL.search(text):
            raise BadSyntax("A name that is empty, spaced or holds control characters is written as JSON.")
        return (text,)
    meant: list[str] = []
    end = -1
    while end < len(text):
        if meant and text[end] != " ":
            raise BadSyntax("JSON strings have one space between.")
        if text[end + 1 : end + 2] != '"':
            raise BadSyntax("A JSON string was expected.")
        try:
            value, end = _json.raw_decode(text, end + 1)
        except ValueError:
            raise BadSyntax("That is no JSON string.") from None
        meant.append(join_bytes(value))
    return tuple(meant)


def join_bytes(text: str) -> str:
    """Spell a name in the one way that ``os.fsdecode`` would, whatever way it was escaped.

    Raises `BadSyntax` for a lone surrogate that stands for no byte.
    """
    if _ANY_SURROGATE.search(text) is None:
        return text
    if _ANY_SURROGATE.search(_NOT_UTF8_BYTE.sub("", text)) is not None:
        raise BadSyntax("A lone surrogate stands for a byte only from dc80 to dcff.")
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


def spell_argument(*arguments: str) -> str:
    """The arguments as they are written: bare where that is allowed, else as JSON strings.

    Raises `BadSyntax` for a lone surrogate that stands for no byte.
    """
    if len(arguments) == 1 and _may_be_bare(arguments[0]):
        return arguments[0]
    return " ".join(map(quote, arguments))


def _may_be_bare(text: str) -> bool:
    return (
        text != ""
        and text[0] not in '" '
        and text[-1] != " "
        and _CONTROL.search(text) is None
        and _ANY_SURROGATE.search(text) is None
    )


def quote(text: str) -> str:
    """A name as a JSON string, the way the wire has it.  Raises `BadSyntax` as `spell_argument` does."""
    if _ANY_SURROGATE.search(_NOT_UTF8_BYTE.sub("", text)) is not None:
        raise BadSyntax("A lone surrogate stands for a byte only from dc80 to dcff.")
    quoted = json.dumps(text, ensure_ascii=False)
    return _TO_ESCAPE.sub(lambda match: f"\\u{ord(match.group()):04x}", quoted)


def encode_command(verb: str, *arguments: str) -> bytes:
    """The line of a command, with its LF."""
    return f"{verb} {spell_argument(*arguments)}\n".encode() if arguments else f"{verb}\n".encode()


def encode_field(name: FieldName, value: str) -> bytes:
    """The line of a field, with its LF; ``value`` is spelled already."""
    return f"{name}: {value}\n".encode()


def encode_size(name: FieldName, size: int) -> bytes:
    """The line of a field that counts bytes."""
    return f"{name}: {size} bytes\n".encode()


def encode_success(phrase: Success, detail: str = "") -> bytes:
    """The line of a success."""
    return f"SUCCESS: {phrase} {detail}\n".encode() if detail else f"SUCCESS: {phrase}\n".encode()


def encode_error(error: FTPLiteError) -> bytes:
    """The line of a refusal or an error."""
    return f"{error.kind}: {error}\n".encode()
