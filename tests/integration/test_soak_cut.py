"""A link that is cut and mended in the middle of a get and a put: a short form of `scripts/soak cut`."""

from __future__ import annotations

from pathlib import Path

import pytest
from soaks import MIB, cut, shortly

PATIENT = cut.Case("cut for 1.5 s, stall time 60 s", 1.5, None)
STALLED = cut.Case("cut for 3 s, stall time 1 s", 3.0, 1.0)


@pytest.mark.parametrize("case", [PATIENT, STALLED], ids=lambda case: case.name)
def test_it_goes_on_without_a_person(tmp_path: Path, case: cut.Case) -> None:
    shortly(lambda soak: cut.run(soak, (case,)), tmp_path, 1, 12 * MIB)
