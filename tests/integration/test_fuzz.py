"""Nonsense for whatever reads from the wire: a short form of `scripts/fuzz`, without atheris."""

from __future__ import annotations

import gc
import random
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts"))

from fuzzing.findings import Findings
from fuzzing.plain import mutations
from fuzzing.targets import TARGETS, Target
from fuzzing.words import spelled, words

CHECKOUT = Path(__file__).resolve().parents[2]
SECONDS, MOST = 1.0, 20_000


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_nothing_breaks(target: Target, tmp_path: Path) -> None:
    findings = Findings(target.run(), target.name, tmp_path)
    seeds = list(target.seeds())
    deadline = None
    gc.freeze()  # what looks for garbage after each run shall not look at all that there is
    try:
        for runs, data in enumerate(islice(mutations(seeds, target.words(), random.Random(1)), MOST)):
            findings.run(data)
            deadline = deadline or time.monotonic() + SECONDS
            if runs > len(seeds) and time.monotonic() > deadline:
                break
    finally:
        gc.unfreeze()
    assert not findings.files, "\n".join(file.with_suffix(".txt").read_text() for file in findings.files)


def test_what_breaks_is_kept_once(tmp_path: Path) -> None:
    def breaks(data: bytes) -> None:
        if b"x" in data:
            raise KeyError(data)

    findings = Findings(breaks, "it", tmp_path)
    for data in (b"a", b"ax", b"bx"):
        findings.run(data)
    (file,) = findings.files
    assert file.read_bytes() == b"ax"
    assert file.with_suffix(".txt").read_text().startswith("KeyError at ")


def test_a_file_is_run_again(tmp_path: Path) -> None:
    """Also where there is no atheris."""
    file = tmp_path / "file"
    file.write_bytes(next(TARGETS["lines"].seeds()))
    done = subprocess.run(
        [sys.executable, "-m", "fuzzing.command", "lines", str(file)],
        env={"PYTHONPATH": f"{CHECKOUT / 'scripts'}:{CHECKOUT}"},
        stderr=subprocess.PIPE,
        check=True,
    )
    assert b"as it must" in done.stderr


def test_the_dictionary_holds_what_the_protocol_says() -> None:
    assert {b"get", b"File size: ", b"SUCCESS: Renamed.", b"FAILURE: Disk full.", b"ERROR: Not UTF-8."} <= {
        *words()
    }
    assert spelled(b'a"\n\\') == r'"a\x22\x0a\x5c"'
