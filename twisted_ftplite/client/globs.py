"""Patterns of names, as a shell has them: ``*``, ``?`` and ``[…]``, a segment of a path at a time.

They are expanded here and not by the server.  A name that begins with a dot is matched only by a pattern
that begins with one; case counts; a byte that is not UTF-8 is one character.  A name that is there exactly
as it was written is that name, whatever it would match.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from ..errors import Failure, FTPLiteError, LocalFileTrouble

_SPECIAL: Final = re.compile(r"[*?[]")
_LITERAL: Final = re.compile(r"\[[*?[]\]")
_PATTERN: Final = re.compile(r"[*?]|\[.[^/]*\]", re.DOTALL)

Listing = Iterable[tuple[str, bool]]
"""The names in a directory, and whether each is one itself."""

Look = Callable[[Sequence[str]], Awaitable[Sequence[Listing | FTPLiteError]]]
"""What is in each of some directories, or why that can't be told; an empty path is the working directory,
and all others end with ``/``."""


class Match(NamedTuple):
    """A name that a pattern found."""

    name: str
    is_directory: bool


def literally(text: str) -> str:
    """The pattern that only ``text`` matches."""
    return _SPECIAL.sub(r"[\g<0>]", text)


def is_pattern(pattern: str) -> bool:
    """Whether it can match anything but itself."""
    return _PATTERN.search(_LITERAL.sub("", pattern)) is not None


def matches(pattern: str, name: str) -> bool:
    """Whether a pattern of one segment matches a name."""
    if name.startswith(".") and not pattern.startswith("."):
        return False
    return _compiled(pattern).match(name) is not None


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))


async def expand(text: str, pattern: str, look: Look) -> list[Match]:
    """The names that ``pattern`` matches, sorted by bytes; ``text`` is the same as it was written.

    Raises what ``look`` says of the directory in which the first segment with a pattern is sought; one
    further down that can't be listed has no matches.
    """
    found = [Match("", True)]
    sought = False
    segments = list(zip(text.split("/"), pattern.split("/"), strict=True))
    for index, (literal, wanted) in enumerate(segments):
        end = "/" if index < len(segments) - 1 else ""
        if literal in ("", ".", "..") or not (sought or is_pattern(wanted)):
            found = [Match(each.name + literal + end, True) for each in found]
            continue
        folders = [each.name for each in found]
        found = []
        for folder, names in zip(folders, await look(folders), strict=True):
            if not isinstance(names, FTPLiteError):
                there = _pick(dict(names), literal, wanted)
                found += [Match(folder + name + end, deep) for name, deep in there if deep or not end]
            elif not sought or not isinstance(names, Failure | LocalFileTrouble):
                raise names
        sought = True
    return found


def _pick(names: dict[str, bool], literal: str, wanted: str) -> list[tuple[str, bool]]:
    if literal in names:
        return [(literal, names[literal])]
    if not is_pattern(wanted):
        return []
    chosen = [each for each in names.items() if matches(wanted, each[0])]
    return sorted(chosen, key=lambda each: each[0].encode("utf-8", "surrogateescape"))
