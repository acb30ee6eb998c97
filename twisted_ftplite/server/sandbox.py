"""The sandbox: Landlock, by which the kernel keeps this process to the files it has to do with.

It binds the thread that enters and those it starts, so it is entered before there are others, and is
never left.  Rules are about folders: whoever edits a file may put another in its place.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import NoReturn

from .config import CannotStart, Config

# The calls' numbers: the same on every architecture but Alpha.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
"""The flag that asks for the version alone."""

_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38
_O_PATH = os.O_PATH | os.O_CLOEXEC

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = (1 << each for each in range(4))
REMOVE_DIR, REMOVE_FILE, MAKE_CHAR, MAKE_DIR, MAKE_REG = (1 << each for each in range(4, 9))
MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM, REFER = (1 << each for each in range(9, 14))
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15

_SINCE = {1: (1 << 13) - 1, 2: REFER, 3: TRUNCATE, 5: IOCTL_DEV}
"""The rights by the version that knew them first."""

OLDEST = 2
"""Version 1 lets no name move from a folder to another."""

_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV

READ = READ_FILE | READ_DIR
STORE = READ | WRITE_FILE | TRUNCATE | MAKE_REG | REMOVE_FILE
SERVE = STORE | REFER | REMOVE_DIR | MAKE_DIR | MAKE_SYM | MAKE_FIFO | MAKE_SOCK
"""What a tree is served with: nothing is run in it, and no device comes to be in it."""

_SYSTEM = {
    "/dev/null": READ_FILE | WRITE_FILE,
    "/dev/urandom": READ_FILE,
    "/proc/self": READ,
    **dict.fromkeys(("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib"), READ),
    **dict.fromkeys(("/usr/share/zoneinfo", "/etc/ssl", "/etc/localtime", "/etc/ld.so.cache"), READ),
    **dict.fromkeys(
        ("/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/hosts", "/etc/host.conf"), READ
    ),
    **dict.fromkeys(("/etc/resolv.conf", "/etc/gai.conf", "/etc/services"), READ),
}
"""What libraries read of the system, sooner or later."""


class _CannotEnter(Exception):
    """Why there is no sandbox."""


def version() -> int:
    """The version of the kernel's Landlock; 0 where it has none."""
    return max(_call(_CREATE_RULESET, None, 0, _VERSION), 0)


def check(config: Config, *, asks_pam: bool = False) -> None:
    """Raise `CannotStart` where a sandbox is demanded and cannot be had: before anything forks."""
    if config.sandbox == "on":
        try:
            _check(config, asks_pam)
        except _CannotEnter as error:
            _refuse(error)


def enter(config: Config, roots: Iterable[str] = (), *, asks_pam: bool = False) -> str:
    """Enter, unless it is off.  ``roots`` are served beside the configured one.

    Where it cannot be had a line that says so is returned, or `CannotStart` is raised if it was demanded.
    """
    if config.sandbox == "off":
        return ""
    try:
        _check(config, asks_pam)
        if len(os.listdir("/proc/self/task")) > 1:
            raise _CannotEnter("there are threads already")
        restrict(_rules(config, roots))
    except (_CannotEnter, OSError) as error:
        if config.sandbox == "on":
            _refuse(error)
        return f"The kernel does not keep the server to its files: {error} (--sandbox off says nothing)."
    return ""


def restrict(rules: Mapping[str, int]) -> None:
    """Let this thread have these rights beneath these paths, and none elsewhere.  What is missing is passed.

    Raises `OSError`.
    """
    known = 0
    for since, rights in _SINCE.items():
        known |= rights if since <= version() else 0
    ruleset = _checked(_call(_CREATE_RULESET, struct.pack("=Q", known), 8, 0))
    try:
        for path, rights in rules.items():
            _allow(ruleset, path, rights & known)
        libc = _libc()
        libc.prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)
        _checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _checked(_call(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _check(config: Config, asks_pam: bool) -> None:
    if asks_pam:
        raise _CannotEnter("PAM, which passwords are asked of, runs programs and reads files of its own")
    found = version()
    if found < OLDEST:
        raise _CannotEnter(f"its Landlock has version {found}" if found else "it has no Landlock")
    if config.log_file is not None and os.path.dirname(config.log_file) == os.sep:
        raise _CannotEnter(f"{config.log_file} has no folder of its own, in which alone it could be written")
    for path in (config.users, config.client_ca, config.certificate, config.key):
        if path is not None and os.path.dirname(path) == os.sep:
            raise _CannotEnter(f"{path} has no folder of its own, from which alone it could be read")


def _refuse(error: Exception) -> NoReturn:
    raise CannotStart(
        f"--sandbox on: the kernel does not keep the server to its files: {error}; "
        "mend that, or say --sandbox auto"
    ) from error


def _rules(config: Config, roots: Iterable[str]) -> dict[str, int]:
    """The rights by path."""
    found = dict(_SYSTEM)

    def add(path: str, rights: int) -> None:
        path = os.path.realpath(path)
        found[path] = found.get(path, 0) | rights

    for path in _python():
        add(path, READ)
    for own in (config.users, config.client_ca, config.certificate, config.key):
        if own is not None:  # the link, and what it leads to now
            add(os.path.dirname(own), READ_FILE)
            add(os.path.dirname(os.path.realpath(own)), READ_FILE)
    if config.log_file is not None:
        add(os.path.dirname(config.log_file), STORE)
    if config.pid_file is not None and os.path.dirname(config.pid_file) != os.sep:
        add(os.path.dirname(config.pid_file), REMOVE_FILE)
    for root in (config.root, *roots):
        add(root, SERVE)
    return found


def _python() -> Iterator[str]:
    """Folders that modules were imported from: more may be, and tracebacks quote them."""
    entries = {os.path.realpath(each) for each in sys.path if each}
    for name, module in list(sys.modules.items()):
        origin = getattr(getattr(module, "__spec__", None), "origin", None)
        if "." in name or not isinstance(origin, str) or not os.path.isabs(origin):
            continue
        folder = os.path.dirname(os.path.realpath(origin))
        for each in (folder, os.path.dirname(folder)):
            if each in entries and each != os.sep:
                yield each
                break


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, _O_PATH)
    except (FileNotFoundError, PermissionError):
        if rights & MAKE_DIR:  # a tree that is served
            raise
        return
    try:
        if not os.path.isdir(path):
            rights &= _OF_FILES
        if rights:
            # struct landlock_path_beneath_attr, which is packed
            _checked(_call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0))
    finally:
        os.close(place)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: int | bytes | None) -> int:
    """A system call: numbers are passed as long as they may be, bytes by their address."""
    syscall = _libc().syscall
    syscall.restype = ctypes.c_long
    passed = [ctypes.c_long(each) if isinstance(each, int) else ctypes.c_char_p(each) for each in arguments]
    result: int = syscall(ctypes.c_long(number), *passed)
    return result


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code) if code != errno.E2BIG else "too many Landlock rulesets")
    return result
