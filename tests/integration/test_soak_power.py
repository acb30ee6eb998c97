"""The power goes right after SUCCESS: a short form of `scripts/soak power`."""

from __future__ import annotations

from pathlib import Path

from soaks import power, shortly


def test_what_was_acknowledged_is_there(tmp_path: Path) -> None:
    shortly(power.run, tmp_path, 3)
