"""Short forms of what `scripts/soak` does at length, for the tests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts"))

from soaking import bans, cut, guessing, injection, kill, links, model, power, quota, rot, strangers
from soaking.report import MIB, CannotRun, Soak

__all__ = [
    "MIB",
    "CannotRun",
    "bans",
    "cut",
    "guessing",
    "injection",
    "kill",
    "links",
    "model",
    "power",
    "quota",
    "rot",
    "shortly",
    "strangers",
]


def shortly(run: Callable[[Soak], object], folder: Path, rounds: int, size: int = MIB) -> None:
    """Run a theme so many times with a big file of that size: nothing may be wrong.

    Skips where this machine lacks what it takes.
    """
    soak = Soak(folder, rounds, size=size, loud=False)
    try:
        run(soak)
    except CannotRun as reason:
        pytest.skip(str(reason))
    assert not soak.wrong, "\n".join(soak.wrong)
