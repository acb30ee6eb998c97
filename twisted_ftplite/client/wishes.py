"""What can be wished for of a transfer, and what it comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..errors import NotSupported
from ..protocol.values import Checksum
from .description import Offered
from .services import Progress

DEFAULT = "default"
"""As the algorithm of a checksum: the protocol's own where the server offers it, else none."""

_OWN = "xxh128"


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a file is to be moved."""

    progress: Progress | None = None
    checksum: str | None = DEFAULT
    """An algorithm, `DEFAULT`, or None for none."""

    preserve: bool = False
    """Keep time and mode."""


class Transfer(NamedTuple):
    """A transfer that worked."""

    name: str
    """The remote name that was asked for."""

    size: int
    """Bytes of the whole file."""

    seconds: float
    """From the request to the final status and the file in its place."""

    resumed_at: int = 0
    """Bytes that were there already: the others have moved."""

    checksum: Checksum | None = None
    """What both sides came to."""

    limited_by: str = ""
    """What it waited for most, for people: ``the server's disk``; empty where it was too short to tell."""


def choose(checksum: str | None, offered: Offered) -> str | None:
    """The algorithm that a wish comes to.  Raises `NotSupported`."""
    algorithms = offered.get("checksum", ())
    if checksum == DEFAULT:
        return _OWN if _OWN in algorithms else None
    if checksum is not None and checksum not in algorithms:
        raise NotSupported(f'The server does not offer the checksum "{checksum}".')
    return checksum
