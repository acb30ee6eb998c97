"""One bit turned, on its way or where it waits: a short form of `scripts/soak rot`."""

from __future__ import annotations

from pathlib import Path

from soaks import rot, shortly


def test_it_is_caught(tmp_path: Path) -> None:
    shortly(lambda soak: rot.run(soak, (1, 1_500_000)), tmp_path, 1)
