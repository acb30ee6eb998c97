"""``twistd ftplite``: from options to a service, or to one line about what is wrong with them."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from twisted.application.service import IService

from .server import policy, privileges, sandbox
from .server.config import DEFAULT_ENDPOINT, CannotStart, Config
from .server.options import Options, limits_of, quit_with, tuning_of
from .server.service import FTPLiteService
from .server.speeds import speed_limits_of
from .storage.unnamed import process_umask

__all__ = ["Options", "makeService"]

STATE_OF_ROOT = "/var/lib/ftplite"
"""Where root keeps the certificate of ``--tls self``."""

_INTERFACE = re.compile(r":interface=((?:\\.|[^:\\])+)")


def makeService(options: Mapping[str, Any]) -> IService:
    """What twistd calls.  The ports are bound here: twistd has not forked yet if they cannot be."""
    from twisted.internet import reactor

    # The wall clock may be set; timers must neither fire nor freeze because of it.
    vars(reactor)["seconds"] = time.monotonic
    twistd = getattr(options, "parent", None) or {}
    try:
        config = _with_certificate(_configure(options, twistd), options)
        policy.check_words(config)
        policy.check_tuning(config)
        policy.check_files(config, [config.root])
        service = FTPLiteService(reactor, config)  # type: ignore[arg-type]
        policy.check_files(config, service.roots)
        privileges.check_readable(config, service.roots)
        sandbox.check(config, asks_pam=service.asks_pam)
        service.listen()
        whole: IService = service if config.metrics is None else _observed(reactor, service, config.metrics)
    except CannotStart as error:
        raise quit_with(str(error)) from None
    signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(service.reload))  # type: ignore[attr-defined]
    return whole


def _observed(reactor: Any, service: FTPLiteService, endpoint: str) -> IService:
    """With the page that tells of it."""
    try:
        from .ops.service import ObservedService
    except ImportError as error:
        raise CannotStart(
            f"--metrics needs the module {error.name}; pip install twisted-ftplite[metrics]"
        ) from error
    observed = ObservedService(reactor, service)
    observed.listen(endpoint)
    return observed


def _configure(options: Mapping[str, Any], twistd: Mapping[str, Any]) -> Config:
    umask = options["umask"]
    uid, gid = privileges.dropped_to(twistd)
    log_file, pid_file = _files_of(twistd)
    if options["read-only"] and options["anonymous"] not in (None, "read"):
        raise CannotStart(f"--read-only and --anonymous {options['anonymous']} contradict; say one of them")
    return Config(
        root=_check_root(options["root"]),
        endpoints=tuple(options["listen"]) or (DEFAULT_ENDPOINT,),
        umask=process_umask() if umask is None else umask,
        limits=limits_of(options),
        tuning=tuning_of(options),
        speeds=speed_limits_of(options),
        anonymous="read" if options["read-only"] else options["anonymous"],
        users=_check_file("users", options["users"]),
        client_ca=_check_file("client-ca", options["client-ca"]),
        certificate=_check_file("tls-cert", options["tls-cert"]),
        key=_check_file("tls-key", options["tls-key"]),
        require_tls=_yes_or_no(options, "require-tls"),
        require_token=bool(options["require-token"]),
        plain_passwords=bool(options["allow-plain-passwords"]),
        allow_root=bool(options["allow-root"]),
        sandbox=options["sandbox"],
        uid=uid,
        gid=gid,
        keeps_root=bool(twistd.get("euid")),
        metrics=options["metrics"],
        log_file=log_file,
        pid_file=pid_file,
    )


def _check_root(root: str) -> str:
    real = os.path.realpath(root)
    if not os.path.isdir(real):
        problem = "is not a folder" if os.path.exists(real) else "does not exist"
        raise CannotStart(f"--root {real} {problem}; make it, or name another")
    if not os.access(real, os.R_OK | os.X_OK):
        raise CannotStart(f"--root {real} may not be read by this user; change its mode, or name another")
    return real


def _check_file(option: str, path: str | None) -> str | None:
    """Its absolute path: twistd changes the folder it runs in."""
    if path is None:
        return None
    path = os.path.abspath(path)
    if not os.path.isfile(path):
        problem = "is no file" if os.path.exists(path) else "does not exist"
        raise CannotStart(f"--{option} {path} {problem}; make it, or name another")
    if not os.access(path, os.R_OK):
        raise CannotStart(f"--{option} {path} may not be read by this user; change its mode, or name another")
    return path


def _yes_or_no(options: Mapping[str, Any], name: str) -> bool | None:
    yes, no = bool(options[name]), bool(options[f"no-{name}"])
    if yes and no:
        raise CannotStart(f"--{name} and --no-{name} contradict; say one of them")
    return yes if yes or no else None


def _files_of(twistd: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Where twistd, or twist, writes its log and its pid, if to files."""
    log_file = twistd.get("logfile")
    if log_file is None and "nodaemon" in twistd and not (twistd["nodaemon"] or twistd.get("syslog")):
        log_file = "twistd.log"
    if "logFile" in twistd:  # twist has opened it already
        log_file = getattr(twistd["logFile"], "name", None)

    def absolute(path: Any) -> str | None:
        if not isinstance(path, str) or path in ("", "-") or path.startswith("<"):
            return None
        return os.path.abspath(os.path.join(twistd.get("rundir", "."), path))

    return absolute(log_file), absolute(twistd.get("pidfile"))


def _with_certificate(config: Config, options: Mapping[str, Any]) -> Config:
    """With the certificate that ``--tls self`` makes and keeps."""
    folder = options["tls-folder"]
    if options["tls"] is None:
        if folder is not None:
            raise CannotStart("--tls-folder is where --tls self keeps its certificate; say both or neither")
        return config
    if config.certificate is not None or config.key is not None:
        raise CannotStart("--tls self and --tls-cert contradict; say one of them")
    from .server.certificates import CertificateTrouble, make_self_signed

    folder = os.path.abspath(_state_folder() if folder is None else folder)
    policy.check_place("tls-folder", folder, [config.root])
    is_new = not os.path.exists(folder)
    try:
        certificate, key = make_self_signed(folder, _names(config.endpoints))
        if os.geteuid() == 0 and (config.uid, config.gid) != (None, None):
            # They are read again on SIGHUP.
            for path in (certificate, key, *([folder] if is_new else [])):
                os.chown(
                    path,
                    -1 if config.uid is None else config.uid,
                    -1 if config.gid is None else config.gid,
                    follow_symlinks=False,
                )
    except CertificateTrouble as error:
        raise CannotStart(f"--tls self: {error}") from error
    except OSError as error:
        raise CannotStart(
            f"--tls self cannot keep its certificate in {folder}: {error.strerror}; "
            "name another folder by --tls-folder"
        ) from error
    return replace(config, certificate=certificate, key=key)


def _state_folder() -> str:
    if os.geteuid() == 0:
        return STATE_OF_ROOT
    from platformdirs import user_state_path

    return str(user_state_path("ftplite") / "server")


def _names(endpoints: tuple[str, ...]) -> list[str]:
    """What this machine is called, for its certificate."""
    told = [match[1].replace("\\", "") for each in endpoints if (match := _INTERFACE.search(each))]
    names = [socket.gethostname(), "localhost", "127.0.0.1", "::1", *told]
    return [each for each in dict.fromkeys(names) if each not in ("", "0.0.0.0", "::")]
