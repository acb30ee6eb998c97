"""Lines put into the clear where TLS begins, both ways: a short form of `scripts/soak injection`."""

from __future__ import annotations

from pathlib import Path

from soaks import injection, shortly


def test_nothing_of_them_is_done_or_believed(tmp_path: Path) -> None:
    shortly(injection.run, tmp_path, 1)
