"""What people read: names and texts without hidden characters, figures, and errors with their remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .. import errors
from .words import UNSEEN, spell

if TYPE_CHECKING:
    from ..storage.interface import Entry

PROGRAM = "ftplite-client"

_CHECK_SERVER = "Check that the server runs there (twistd ftplite) and that host and port are right."
_SPEAKS_OTHERWISE = "Is it an FTPLite server, and not much older or newer than this client?"
_TRY_AGAIN = "Try again."

_WHEN_CONNECTING: dict[type[Exception], str] = {
    errors.ConnectionRefused: _CHECK_SERVER,
    errors.ConnectionTimedOut: f"{_CHECK_SERVER[:-1]}, or allow more time with --timeout.",
    errors.ConnectionLost: _CHECK_SERVER,
    errors.TooManyConnections: "Try again later.",
    errors.ServerShuttingDown: "Try again when it is back.",
    errors.ProtocolViolation: _SPEAKS_OTHERWISE,
}

_WHEN_COMMANDING: dict[type[Exception], str] = {
    errors.FileNotFound: "See with ls what is there.",
    errors.NotADirectory: "See with ls what is there.",
    errors.PermissionDenied: "The server's user may not do that, or it serves read-only.",
    errors.IsADirectory: "Name a file.",
    errors.NotARegularFile: "Only regular files can be moved.",
    errors.NameNotAllowed: "Choose another name.",
    errors.DiskFull: "The server's disk needs room; what stood under the name is untouched.",
    errors.QuotaExceeded: "Room must be made on the server.",
    errors.FileTooLarge: "The server takes no file of that size.",
    errors.LimitReached: "Try again when the server has less to do.",
    errors.SizeMismatch: _TRY_AGAIN,
    errors.ChecksumMismatch: _TRY_AGAIN,
    errors.FileChanged: "Try again when nobody writes it.",
    errors.NotSupported: "This server does not offer it; see features.",
    errors.PortNotAllowed: "Choose other ports with --data-ports.",
    errors.ConnectionRefused: "The server could not reach a data port of this host: let it through the"
    " firewall, or name ports that are open with --data-ports.",
    errors.ConnectionTimedOut: "Check the network and, for data ports that a firewall closes, --data-ports;"
    " more time is allowed with --timeout.",
    errors.ConnectionLost: _TRY_AGAIN,
    errors.TooManyConnections: "Try again later.",
    errors.ServerShuttingDown: "Try again when it is back.",
    errors.StorageFailed: "The server's log tells more.",
    errors.InternalError: "The server's log tells more.",
    errors.ProtocolViolation: "Nothing was kept. " + _SPEAKS_OTHERWISE,
    errors.UnknownCommand: _SPEAKS_OTHERWISE,
}

_STEPS = ("B", "kB", "MB", "GB", "TB", "PB")


def escape(text: str) -> str:
    r"""The text on one line and without what steers a terminal: ``\x1b``, ``\x80`` (a byte), ``\u202e``."""
    return UNSEEN.sub(_escape_one, text)


def _escape_one(match: re.Match[str]) -> str:
    code = ord(match.group())
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"


def describe(error: Exception, *, connecting: bool = False) -> str:
    """What happened and how to mend it; text of a peer is escaped."""
    if not isinstance(error, errors.FTPLiteError):
        return escape(str(error) or type(error).__name__)
    table = _WHEN_CONNECTING if connecting else _WHEN_COMMANDING
    # Nobody answered: the detail is this machine's own reason, and a name that is not known was not refused.
    unanswered = connecting and isinstance(error, errors.ConnectionRefused)
    said = escape(error.detail if unanswered and error.detail else str(error))
    remedy = next((table[each] for each in type(error).__mro__ if each in table), "")
    return f"{said}{'' if said.endswith('.') else '.'} {remedy}" if remedy else said


def listing(entries: Iterable[Entry], *, terminal: bool) -> str:
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


def summary(name: str, size: int, seconds: float) -> str:
    """The one line after a transfer."""
    return f"{spell(name)}: {size} bytes in {seconds:.3f} s, {rate(size, seconds)}\n"
