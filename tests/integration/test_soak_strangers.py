"""Strangers race for data channels: a short form of `scripts/soak strangers`."""

from __future__ import annotations

from pathlib import Path

from soaks import shortly, strangers


def test_no_stranger_gets_or_leaves_a_byte(tmp_path: Path) -> None:
    shortly(lambda soak: strangers.run(soak, 4), tmp_path, 1)
