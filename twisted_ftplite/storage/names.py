"""Paths and names as the system takes them."""

from __future__ import annotations

import errno
import os

from ..errors import NameNotAllowed
from ..protocol.paths import Path, check_segment

LEADS_NOWHERE = frozenset(
    (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.EACCES, errno.ENAMETOOLONG)
)
"""What a link says that dangles or leads outside: it is listed as a plain name."""


def encoded(path: Path) -> bytes:
    """The path as the jail takes it.  Raises `NameNotAllowed`."""
    try:
        found = os.fsencode("/".join(path))
    except UnicodeEncodeError as failure:
        raise NameNotAllowed from failure
    if b"\0" in found:
        raise NameNotAllowed
    return found or b"."


def parent_and_name(path: Path) -> tuple[bytes, bytes]:
    """Where something is made, changed or removed: ``path`` is not the root.

    The name is fit for calls that know no jail, and none of the server's own; else `NameNotAllowed`.
    """
    parent, name = encoded(path[:-1]), encoded(path[-1:])
    if b"/" in name or name in (b".", b".."):
        raise NameNotAllowed
    check_segment(path[-1])
    return parent, name
