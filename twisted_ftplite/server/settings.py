"""The settings in a users file: what each may be."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from ..errors import NameNotAllowed
from ..flow.rates import UNITS, Rate, parse_rate
from ..flow.tuning import PROFILES
from ..protocol.paths import resolve

PERMISSIONS: Final = ("list", "get", "put", "delete", "rename", "mkdir")

ACCESS: Final = {
    "read": frozenset(("list", "get")),
    "write": frozenset(PERMISSIONS),
    "drop": frozenset(("put",)),
}
"""Words for several permissions at once."""

_MOST: Final = 2**63 - 1
_UNITS: Final = {**UNITS, "T": 1000**4, "Ti": 1024**4}
_SIZE: Final = re.compile("([0-9]{1,19})([kMGT]|[KMGT]i|)")


class Wrong(ValueError):
    """What is wrong with a line, and how to mend it."""


def _read_permissions(key: str, value: str) -> frozenset[str]:
    found: set[str] = set()
    for word in value.split(","):
        if word in ACCESS:
            found |= ACCESS[word]
        elif word in PERMISSIONS:
            found.add(word)
        else:
            words = ", ".join((*PERMISSIONS, *ACCESS))
            raise Wrong(f"{key} has a word that is none; there are {words}, with commas between them")
    return frozenset(found)


def _read_root(key: str, value: str) -> str:
    if ".." in value.split("/"):
        raise Wrong(f"{key} holds ..; name the folder as it is")
    try:
        path = "/".join(resolve((), value))
    except NameNotAllowed as error:
        raise Wrong(f"{key} is a name that no folder may have; {error.detail}") from None
    return f"/{path}" if value.startswith("/") else path


def _read_size(key: str, value: str) -> int:
    found = _SIZE.fullmatch(value)
    size = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 0 < size <= _MOST:
        raise Wrong(f"{key} is no size; write bytes above 0, or a number with k, M, G, T, Ki, Mi, Gi, Ti")
    return size


def _read_count(key: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 19 and int(value)):
        raise Wrong(f"{key} is no number; write a whole one above 0")
    return int(value)


def _read_rate(key: str, value: str) -> Rate:
    with suppress(ValueError):
        return parse_rate(value)
    raise Wrong(
        f"{key} is no rate; write bytes a second, 500k or 2M, or as in 08:00-18:00=2M,else=0 (no limit)"
    )


def _read_profile(key: str, value: str) -> str:
    if value not in PROFILES:
        raise Wrong(f"{key} is none; there are {', '.join(PROFILES)}")
    return value


def _read_text(_key: str, value: str) -> str:
    return value


SETTINGS: Final[dict[str, tuple[str, Callable[[str, str], Any]]]] = {
    "root": ("root", _read_root),
    "permissions": ("permissions", _read_permissions),
    "quota": ("quota_bytes", _read_size),
    "files": ("quota_files", _read_count),
    "sessions": ("max_sessions", _read_count),
    "transfers": ("max_transfers", _read_count),
    "file-size": ("max_file_size", _read_size),
    "rate": ("rate", _read_rate),
    "rate-up": ("rate_up", _read_rate),
    "rate-down": ("rate_down", _read_rate),
    "profile": ("profile", _read_profile),
    "certificate": ("certificates", _read_text),
}
"""Each setting's field, and how its value is read; ``certificate`` may be given for each name."""
