"""A link that is cut and mended in the middle of a get and a put: a short form of `scripts/soak cut`."""

from __future__ import annotations

from pathlib import Path

from soaks import MIB, cut, shortly

STALLED = cut.Case("cut for 3 s, stall time 1 s", 3.0, 1.0)


def test_it_goes_on_without_a_person(tmp_path: Path) -> None:
    shortly(lambda soak: cut.run(soak, (STALLED,)), tmp_path, 1, 12 * MIB)
