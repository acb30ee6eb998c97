"""kill -9 of either side in the middle of a transfer, then `-c`: a short form of `scripts/soak kill`."""

from __future__ import annotations

from pathlib import Path

from soaks import MIB, kill, shortly

SHORT = tuple(way for way in kill.WAYS if way.by_itself == (way.verb == "put" and way.victim == "server"))
"""Both sides, both directions; once a client that goes on by itself."""


def test_it_goes_on(tmp_path: Path) -> None:
    shortly(lambda soak: kill.run(soak, 400, SHORT), tmp_path, 1, 24 * MIB)
