"""Virtual paths: where an argument leads inside the served tree (docs/protocol.md, section 1)."""

from __future__ import annotations

from ..errors import NameNotAllowed

Path = tuple[str, ...]
"""Segments from the root of the tree, resolved: none is empty, ``.`` or ``..``.

A byte that is not UTF-8 is a lone surrogate, as in ``os.fsdecode``.
"""

ROOT: Path = ()
RESERVED = ".ftplite-"
"""Names that begin so are the server's own: never listed, refused everywhere."""

SEGMENT_LENGTH = 255
"""Bytes of one segment: what Linux's file systems take."""


def resolve(directory: Path, argument: str) -> Path:
    """Where ``argument`` leads from ``directory``; ``..`` of the root is the root.

    Raises `NameNotAllowed` for a NUL, for a name of the server's own and for one that is too long.
    """
    segments = [] if argument.startswith("/") else list(directory)
    for segment in argument.split("/"):
        if segment in ("", "."):
            continue
        if segment == "..":
            del segments[-1:]
            continue
        segments.append(segment)
    for segment in segments:
        check_segment(segment)
    return tuple(segments)


def is_same(directory: Path, one: str, other: str) -> bool:
    """Whether two arguments lead to one place; what no file can be named is not even the same as itself."""
    try:
        return resolve(directory, one) == resolve(directory, other)
    except NameNotAllowed:
        return False


def check_segment(segment: str) -> None:
    """Raises `NameNotAllowed` where no file may have this name."""
    if segment.startswith(RESERVED):
        raise NameNotAllowed("Names that begin with .ftplite- are the server's own.")
    if "\0" in segment:
        raise NameNotAllowed("A name cannot hold a NUL.")
    if len(segment.encode("utf-8", "surrogateescape")) > SEGMENT_LENGTH:
        raise NameNotAllowed(f"A name has at most {SEGMENT_LENGTH} bytes.")


def spell(path: Path) -> str:
    """The path from the root, as people read it."""
    return "/" + "/".join(path)
