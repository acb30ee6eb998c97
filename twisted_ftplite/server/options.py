"""The options of ``twistd ftplite``: a table, and what their values may be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from twisted.python.usage import Options as UsageOptions
from twisted.python.usage import UsageError

from ..flow.feasible import congestions
from ..flow.tuning import PROFILE_HELP, SETTINGS, Tuning, read_profile, tuned
from ..limits import Limits
from .config import ANONYMOUS
from .speeds import RATE_OPTIONS

_DEFAULTS = Limits()
_LIMITS = (
    "connect_timeout",
    "stall_timeout",
    "idle_timeout",
    "drain_timeout",
    "max_sessions",
    "max_sessions_per_host",
    "max_sessions_per_user",
    "max_transfers_per_user",
    "max_depth",
    "max_file_size",
    "keep_partials",
)
"""The limits that are options too."""


def _seconds(text: str) -> float:
    """A coercion: a time that passes."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ValueError(f"{text!r} is no number of seconds above 0")
    return value


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration(text: str) -> float:
    """A coercion: seconds, or a number and one of the letters s, m, h, d."""
    unit = _UNITS.get(text[-1:])
    try:
        return _seconds(text if unit is None else text[:-1]) * (unit or 1)
    except ValueError:
        raise ValueError(f"{text!r} is no time above 0 such as 90s, 30m, 12h or 7d") from None


def _count(text: str) -> int:
    """A coercion: a number of things, one at least."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ValueError(f"{text!r} is no whole number above 0")
    return int(text)


def _octal(text: str) -> int:
    """A coercion: permission bits."""
    try:
        value = int(text, 8)
    except ValueError:
        value = -1
    if not 0 <= value <= 0o777:
        raise ValueError(f"{text!r} is no octal mask from 000 to 777")
    return value


def _one_of(*words: str) -> Callable[[str], str]:
    """A coercion: one of these words."""

    def check(text: str) -> str:
        if text not in words:
            raise ValueError(f"{text!r} is not {' or '.join(words)}")
        return text

    return check


class Options(UsageOptions):
    """The options of ``twistd ftplite``."""

    synopsis = "[options]"
    longdesc = (
        "Serve a folder over FTPLite. Told nothing, it serves the current folder on port 2121 of the "
        "loopback address, where anyone on this machine may read and write."
    )
    optFlags: ClassVar[Sequence[Sequence[Any]]] = [
        ["read-only", None, "The same as --anonymous read."],
        ["require-tls", None, "Serve nobody without TLS. [default with a certificate, beyond loopback]"],
        ["no-require-tls", None, "Serve those too who speak no TLS."],
        ["require-token", None, "Serve no data channel that does not prove whose it is."],
        ["allow-plain-passwords", None, "Take passwords that come in the clear from beyond loopback."],
        ["allow-root", None, "Serve beyond loopback as root."],
    ]
    optParameters: ClassVar[Sequence[Sequence[Any]]] = [
        ["root", None, ".", "The folder to serve."],
        ["users", None, None, "The file of those who may log in, as ftplite-passwd writes it."],
        ["client-ca", None, None, "Certificates (PEM): whose those of clients are signed with, may log in."],
        [
            "anonymous",
            None,
            None,
            "What those may do who do not log in: read, write, or drop (store only). "
            "[default: write where nobody can log in, on loopback alone]",
            _one_of(*ANONYMOUS),
        ],
        ["tls-cert", None, None, "The server's certificate and its chain (PEM)."],
        ["tls-key", None, None, "The key of --tls-cert (PEM)."],
        ["tls", None, None, "self: make a certificate and keep it.", _one_of("self")],
        ["tls-folder", None, None, "Where --tls self keeps it. [default: a folder of this user's]"],
        [
            "sandbox",
            None,
            "auto",
            "Have the kernel keep the server to its files: auto (where it can), on (or not start), off.",
            _one_of("auto", "on", "off"),
        ],
        [
            "metrics",
            None,
            None,
            "A port of this machine, or a tcp, tcp6 or systemd endpoint: to show a status page, /metrics for "
            "Prometheus, /healthz and /readyz over HTTP.",
        ],
        ["connect-timeout", None, _DEFAULTS.connect_timeout, "Seconds to connect a data channel.", _seconds],
        [
            "stall-timeout",
            None,
            _DEFAULTS.stall_timeout,
            "Seconds without movement after which a transfer is given up.",
            _seconds,
        ],
        [
            "idle-timeout",
            None,
            _DEFAULTS.idle_timeout,
            "Seconds of silence after which a session ends.",
            _seconds,
        ],
        [
            "drain-timeout",
            None,
            _DEFAULTS.drain_timeout,
            "Seconds that running transfers get to finish when the server stops.",
            _seconds,
        ],
        ["max-sessions", None, _DEFAULTS.max_sessions, "Sessions at a time.", _count],
        [
            "max-sessions-per-host",
            None,
            _DEFAULTS.max_sessions_per_host,
            "Sessions at a time of one host.",
            _count,
        ],
        [
            "max-sessions-per-user",
            None,
            _DEFAULTS.max_sessions_per_user,
            "Sessions at a time of one user.",
            _count,
        ],
        [
            "max-transfers-per-user",
            None,
            _DEFAULTS.max_transfers_per_user,
            "Transfers at a time of one user.",
            _count,
        ],
        ["max-depth", None, _DEFAULTS.max_depth, "Folders that a path may go down.", _count],
        ["max-file-size", None, _DEFAULTS.max_file_size, "Bytes of a stored file at most.", _count],
        [
            "keep-partials",
            None,
            _DEFAULTS.keep_partials,
            "How long an upload that broke off is kept to be gone on with: seconds, or as in 30m, 12h, 7d.",
            _duration,
        ],
        *RATE_OPTIONS,
        ["umask", None, None, "Octal mask of a stored file's mode 666. [default: that of the shell]", _octal],
        *([each.option, None, None, each.help, each.read] for each in SETTINGS),
        ["profile", None, None, PROFILE_HELP, read_profile],
    ]

    def __init__(self) -> None:
        UsageOptions.__init__(self)
        self["listen"] = []

    def opt_listen(self, endpoint: str) -> None:
        """A Twisted endpoint to listen on; may be repeated. [default: tcp:2121:interface=127.0.0.1]"""
        self["listen"].append(endpoint)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """As usual, but what is wrong is said in one line instead of the whole help."""
        try:
            UsageOptions.parseOptions(self, options)
        except UsageError as error:
            raise quit_with(f"{error}; twistd ftplite --help lists the options") from None


def limits_of(options: Mapping[str, Any]) -> Limits:
    """The limits with those that were told."""
    return replace(_DEFAULTS, **{name: options[name.replace("_", "-")] for name in _LIMITS})


def tuning_of(options: Mapping[str, Any]) -> Tuning:
    """How TCP is to be used."""
    return tuned(options, limits_of(options), congestions())


def quit_with(message: str) -> SystemExit:
    """An exit with status 1 that says why in one line."""
    return SystemExit(f"ftplite: {message}")
