"""Root, and whom twistd drops its power to."""

from __future__ import annotations

import os
import pwd
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from twisted.python.util import switchUID

from .config import CannotStart, Config


def dropped_to(twistd: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """The user and the group that twistd becomes once the ports are bound; None: it stays what it is."""
    uid, gid = twistd.get("uid"), twistd.get("gid")
    if uid is None or os.geteuid() != 0:  # whoever is not root becomes nobody else: twistd says so
        return uid, gid
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise CannotStart(f"--uid {uid} is no user of this machine; name one that is") from None
    return uid, entry.pw_gid if gid is None else gid


def stays_root(config: Config) -> bool:
    """Whether root serves, or a process that can be root again."""
    return os.geteuid() == 0 and (config.uid in (None, 0) or config.keeps_root)


def check_readable(config: Config, roots: Iterable[str]) -> None:
    """Raise `CannotStart` for what could be read now, and no more once the power is dropped.

    Files are read again on SIGHUP.  To be called before there are threads: it forks.
    """
    if os.geteuid() != 0 or (config.uid in (None, 0) and config.gid is None):
        return
    files = [each for each in (config.users, config.client_ca, config.certificate, config.key) if each]
    paths = [*roots, *files]
    unreadable = _tried(paths, config)
    if unreadable is not None:
        raise CannotStart(
            f"{paths[unreadable]} cannot be read by {_name(config)}, whom twistd becomes; "
            "change its owner or mode, or that of the folders above it"
        )


def _tried(paths: list[str], config: Config) -> int | None:
    """Which of the paths cannot be opened by whom twistd becomes, as told by a child that became it."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, _try(paths, config))
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return int(answer) if answer else None


def _try(paths: list[str], config: Config) -> bytes:
    warnings.simplefilter("ignore")  # Twisted warns whoever is that user already
    try:
        switchUID(config.uid, config.gid)
    except OSError:
        return b""  # twistd will say so
    for number, path in enumerate(paths):
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
            if os.path.isdir(path) and not os.access(path, os.X_OK):
                return b"%d" % number
        except OSError:
            return b"%d" % number
    return b""


def _name(config: Config) -> str:
    """The user, or the group, as people call it."""
    if config.uid is None:
        return f"group {config.gid}"
    return f"user {pwd.getpwuid(config.uid).pw_name}"
