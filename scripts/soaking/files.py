"""Files that are made to be moved, and what the server keeps of its own beside them."""

from __future__ import annotations

import filecmp
import os
from collections.abc import Iterator
from pathlib import Path

from .report import MIB

OWN = ".ftplite-"
"""Names that begin so are the server's, or the client's: partials and what is in the making."""


def random_file(path: Path, size: int) -> Path:
    """A file of ``size`` random bytes."""
    with path.open("wb") as file:
        for start in range(0, size, MIB):
            file.write(os.urandom(min(MIB, size - start)))
    return path


def own_files(root: Path) -> dict[Path, int]:
    """What has a name of the server's own anywhere below, with its bytes."""
    found = {}
    for path in walk(root):
        if path.name.startswith(OWN):
            found[path] = path.stat().st_size
    return found


def walk(root: Path) -> Iterator[Path]:
    """Every file below."""
    for folder, _, names in os.walk(root):
        for name in names:
            yield Path(folder, name)


def same(one: Path, other: Path) -> bool:
    """Whether both are there and hold the same bytes."""
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)


def flip(path: Path, position: int, bit: int = 0) -> None:
    """Turn one bit of a file in place, as a disk might."""
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ (1 << bit)]))
