"""``twistd ftplite``: options, and what is wrong with them in one line."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from twisted.application.service import IService
from twisted.python.usage import Options as UsageOptions
from twisted.python.usage import UsageError

from .limits import Limits
from .server.config import DEFAULT_ENDPOINT, CannotStart, Config
from .server.service import FTPLiteService
from .storage.unnamed import process_umask

_DEFAULTS = Limits()
_LIMITS = (
    "connect_timeout",
    "stall_timeout",
    "idle_timeout",
    "drain_timeout",
    "max_sessions",
    "max_sessions_per_host",
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


class Options(UsageOptions):
    """The options of ``twistd ftplite``."""

    synopsis = "[options]"
    longdesc = (
        "Serve a folder over FTPLite. Told nothing, it serves the current folder on port 2121 of the "
        "loopback address, where anyone on this machine may read and write."
    )
    optFlags: ClassVar[Sequence[Sequence[Any]]] = [
        ["read-only", None, "Refuse every put."],
    ]
    optParameters: ClassVar[Sequence[Sequence[Any]]] = [
        ["root", None, ".", "The folder to serve."],
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
        ["max-file-size", None, _DEFAULTS.max_file_size, "Bytes of a stored file at most.", _count],
        [
            "keep-partials",
            None,
            _DEFAULTS.keep_partials,
            "How long an upload that broke off is kept to be gone on with: seconds, or as in 30m, 12h, 7d.",
            _duration,
        ],
        ["umask", None, None, "Octal mask of a stored file's mode 666. [default: that of the shell]", _octal],
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
            raise _quit(f"{error}; twistd ftplite --help lists the options") from None


def makeService(options: Mapping[str, Any]) -> IService:
    """What twistd calls.  The ports are bound here: twistd has not forked yet if they cannot be."""
    from twisted.internet import reactor

    # The wall clock may be set; timers must neither fire nor freeze because of it.
    vars(reactor)["seconds"] = time.monotonic
    try:
        config = _configure(options)
        _check_files(config.root, getattr(options, "parent", None) or {})
        service = FTPLiteService(reactor, config)  # type: ignore[arg-type]
        service.listen()
    except CannotStart as error:
        raise _quit(str(error)) from None
    return service


def _configure(options: Mapping[str, Any]) -> Config:
    limits = replace(_DEFAULTS, **{name: options[name.replace("_", "-")] for name in _LIMITS})
    umask = options["umask"]
    return Config(
        root=_check_root(options["root"]),
        endpoints=tuple(options["listen"]) or (DEFAULT_ENDPOINT,),
        anonymous="read" if options["read-only"] else None,
        umask=process_umask() if umask is None else umask,
        limits=limits,
    )


def _check_root(root: str) -> str:
    real = os.path.realpath(root)
    if not os.path.isdir(real):
        problem = "is not a folder" if os.path.exists(real) else "does not exist"
        raise CannotStart(f"--root {real} {problem}; make it, or name another")
    if not os.access(real, os.R_OK | os.X_OK):
        raise CannotStart(f"--root {real} may not be read by this user; change its mode, or name another")
    return real


def _check_files(root: str, twistd: Mapping[str, Any]) -> None:
    """Refuse to have twistd's own files in the served tree, where clients could read and replace them."""
    run_directory = twistd.get("rundir", ".")
    log_file = twistd.get("logfile")
    if log_file is None and "nodaemon" in twistd and not (twistd["nodaemon"] or twistd.get("syslog")):
        log_file = "twistd.log"
    log_option = "logfile"
    if "logFile" in twistd:  # twist has opened it already
        log_option, log_file = "log-file", getattr(twistd["logFile"], "name", None)
    for option, path in (("pidfile", twistd.get("pidfile")), (log_option, log_file)):
        if not isinstance(path, str) or path in ("", "-") or path.startswith("<"):
            continue
        real = os.path.realpath(os.path.join(run_directory, path))
        if os.path.commonpath([root, real]) == root:
            none = " (or --pidfile= for none)" if option == "pidfile" else ""
            raise CannotStart(
                f"{real} would lie inside the served tree; "
                f"put --{option} with a path outside it{none} before the word ftplite"
            )


def _quit(message: str) -> SystemExit:
    """An exit with status 1 that says why in one line."""
    return SystemExit(f"ftplite: {message}")
