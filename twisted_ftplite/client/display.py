"""What people read: names and texts without hidden characters, figures, and errors with their remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .. import errors
from .troubles import Interrupted
from .words import UNSEEN, spell

PROGRAM = "ftplite-client"

_CHECK_SERVER = "Check that the server runs there (twistd ftplite) and that host and port are right."
_SPEAKS_OTHERWISE = "Is it an FTPLite server, and not much older or newer than this client?"
_TRY_AGAIN = "Try again."
_WHO = "Say who you are with --user NAME."
_LOGIN = "Check name and password."
_READ_ONLY = "The server's user may not do that, or it serves only reading, or only storing."
_ENCRYPTION = "The server wants TLS for that, and offers none here; ask who runs it."

_WHEN_CONNECTING: dict[type[Exception], str] = {
    errors.ConnectionRefused: _CHECK_SERVER,
    errors.ConnectionTimedOut: f"{_CHECK_SERVER[:-1]}, or allow more time with --timeout.",
    errors.ConnectionLost: _CHECK_SERVER,
    errors.TooManyConnections: "Try again later.",
    errors.ServerShuttingDown: "Try again when it is back.",
    errors.ProtocolViolation: _SPEAKS_OTHERWISE,
    errors.LoginRequired: _WHO,
    errors.LoginFailed: _LOGIN,
    errors.TooManyFailures: f"Try again later. {_LOGIN}",
    errors.EncryptionRequired: _ENCRYPTION,
    errors.LimitReached: "End sessions of yours that are not needed, or try again later.",
}

_WHEN_COMMANDING: dict[type[Exception], str] = {
    errors.FileNotFound: "See with ls what is there.",
    errors.NotADirectory: "See with ls what is there.",
    errors.IsADirectory: "Name a file.",
    errors.NotARegularFile: "Only regular files can be moved.",
    errors.NameNotAllowed: "Choose another name.",
    errors.DiskFull: "The server's disk needs room; what stood under the name is untouched.",
    errors.QuotaExceeded: "Room must be made on the server.",
    errors.FileExists: "Choose another name.",
    errors.DirectoryNotEmpty: "Empty it first.",
    errors.OffsetNotValid: "What is there has changed; do it again without -c.",
    errors.FileTooLarge: "The server takes no file of that size.",
    errors.LimitReached: "Try again when the server has less to do.",
    errors.SizeMismatch: _TRY_AGAIN,
    errors.ChecksumMismatch: "Bytes were changed on the way or by a disk, and nothing was kept; try again,"
    " and where it happens again, have the network and both disks checked.",
    errors.FileChanged: "Try again when nobody writes it.",
    errors.NotSupported: "See with features what this server offers.",
    errors.PortNotAllowed: "Choose other ports with --data-ports.",
    errors.ConnectionRefused: "The server could not reach a data port of this host: let it through the"
    " firewall, or name ports that are open with --data-ports; doctor tells what works.",
    errors.ConnectionTimedOut: "Check the network and, for data ports that a firewall closes, --data-ports;"
    " more time is allowed with --timeout, and doctor tells what works.",
    errors.ConnectionLost: _TRY_AGAIN,
    errors.TooManyConnections: "Try again later.",
    errors.ServerShuttingDown: "Try again when it is back.",
    errors.StorageFailed: "The server's log tells more.",
    errors.InternalError: "The server's log tells more.",
    errors.ProtocolViolation: "Nothing was kept. " + _SPEAKS_OTHERWISE,
    errors.UnknownCommand: _SPEAKS_OTHERWISE,
    errors.LoginRequired: _WHO,
    errors.LoginFailed: _LOGIN,
    errors.EncryptionRequired: _ENCRYPTION,
}

_OF_VERB: dict[str, dict[type[Exception], str]] = {
    "put": {
        errors.IsADirectory: "Name a file, or end NAME with / to store it in there.",
        errors.FileExists: "You may replace nothing there; choose another name, or end NAME with / where it"
        " is a directory to store it in.",
        errors.OffsetNotValid: "The server has other bytes of it than it said; without -c it is sent anew.",
    },
    "get": {
        errors.OffsetNotValid: "The file became shorter; without -c it is fetched anew.",
    },
    "cd": {errors.FileNotFound: "See with pwd where this is, and with ls what is there."},
    "mkdir": {
        errors.FileExists: "Choose another name; mkdir -p is content with a directory that is there.",
        errors.FileNotFound: "The directory above is missing; mkdir -p makes it too.",
    },
    "rmdir": {
        errors.DirectoryNotEmpty: "rm -r removes it with all that is in it.",
        errors.NotADirectory: "rm removes a file.",
    },
    "rm": {
        errors.IsADirectory: "rm -r removes it with all that is in it, rmdir an empty one.",
        errors.DirectoryNotEmpty: "Something came into it meanwhile; do it again to remove that too.",
    },
    "mv": {
        errors.FileExists: "Remove first what is there, or choose another name.",
        errors.IsADirectory: "A file replaces no directory; choose another name.",
        errors.NotADirectory: "A directory replaces no file; choose another name.",
        errors.DirectoryNotEmpty: "No directory is replaced that holds something; choose another name.",
        errors.NotARegularFile: "It can't be moved there; fetch it and store it instead.",
    },
}
"""Where a verb has a remedy of its own."""

BROKEN_OFF = (errors.ConnectionLost, errors.ConnectionTimedOut, errors.ServerShuttingDown)
"""After these what had begun can be gone on with."""

_STEPS = ("B", "kB", "MB", "GB", "TB", "PB")


def escape(text: str) -> str:
    r"""The text on one line and without what steers a terminal: ``\x1b``, ``\x80`` (a byte), ``\u202e``."""
    return UNSEEN.sub(_escape_one, text)


def _escape_one(match: re.Match[str]) -> str:
    code = ord(match.group())
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"


def describe(
    error: Exception, *, connecting: bool = False, verb: str = "", hint: str = "", denied: str = _READ_ONLY
) -> str:
    """What happened and how to mend it; text of a peer is escaped.

    ``verb`` is what was being done, ``hint`` the remedy where that broke off, and ``denied`` the one where
    it is not permitted.
    """
    broke = bool(hint) and isinstance(error, (*BROKEN_OFF, Interrupted))
    if not isinstance(error, errors.FTPLiteError):
        return escape(str(error) or type(error).__name__) + (f"; {hint}" if broke else "")
    # Nobody answered: the detail is this machine's own reason, and a name that is not known was not refused.
    unanswered = connecting and isinstance(error, errors.ConnectionRefused)
    # What the server says behind this phrase is for people who type its protocol.
    told = error.phrase if isinstance(error, errors.LoginRequired) else str(error)
    said = escape(error.detail if unanswered and error.detail else told)
    if broke:
        return f"{said.removesuffix('.')}; {hint}"
    refused = isinstance(error, errors.PermissionDenied) and not connecting
    remedy = denied if refused else _remedy(error, connecting, verb)
    return f"{said}{'' if said.endswith('.') else '.'} {remedy}" if remedy else said


def when_denied(user: str | None, *, may_log_in: bool) -> str:
    """What to do where the server does not permit something to ``user``; None is nobody, or not by name."""
    if user is not None:
        return f"Those who run the server can permit it to {escape(user)}."
    return "More may be permitted to who logs in, with --user NAME." if may_log_in else _READ_ONLY


def _remedy(error: errors.FTPLiteError, connecting: bool, verb: str) -> str:
    if isinstance(error, errors.EncryptionRequired) and error.detail:
        return ""  # it says what can be done
    tables = [_WHEN_CONNECTING] if connecting else [_OF_VERB.get(verb, {}), _WHEN_COMMANDING]
    return next((table[each] for table in tables for each in type(error).__mro__ if each in table), "")


def listing(entries: Iterable[tuple[str, bool]], *, terminal: bool) -> str:
    r"""A name a line, as ``ls`` shows it.

    A script gets the protocol's own spelling, in which every line is one name and any JSON parser reads
    those that begin with a double quote.  A terminal gets that too, but quoted and escaped also where a
    character would turn the order of what is shown (U+202E), which scripts want as it is.
    """
    from ..protocol.lines import spell_argument

    written = spell if terminal else spell_argument
    return "".join(written(name + "/" if is_directory else name) + "\n" for name, is_directory in entries)


def rate(size: int, seconds: float) -> str:
    """Bytes a second, in powers of 1000."""
    value = size / max(seconds, 1e-6)
    for step in _STEPS:
        if value < 1000 or step == _STEPS[-1]:
            break
        value /= 1000
    return f"{value:.0f} {step}/s" if step == "B" else f"{value:.1f} {step}/s"


def summary(name: str, size: int, seconds: float, resumed_at: int = 0, limited_by: str = "") -> str:
    """The one line after a transfer; ``resumed_at`` bytes of ``size`` had been there already."""
    if 0 < resumed_at == size:
        return f"{spell(name)}: already there, {size} bytes compared\n"
    line = f"{spell(name)}: {size} bytes in {seconds:.3f} s, {rate(size - resumed_at, seconds)}"
    if limited_by:
        line = f"{line}, limited by {limited_by}"
    return f"{line} (went on at {resumed_at})\n" if resumed_at else f"{line}\n"
