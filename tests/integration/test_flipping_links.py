"""Links that flip between inside and outside while they are used: nothing comes from there or goes there.

A short form of `scripts/soak links`.
"""

from __future__ import annotations

from pathlib import Path

from soaks import links, shortly


def test_links_that_flip(tmp_path: Path) -> None:
    trials: list[links.Trial] = []
    shortly(lambda soak: trials.append(links.run(soak)), tmp_path, 1)
    outcomes = trials[0].outcomes
    # Each met the links on both sides.
    for verb in ("get", "put", "ls", "stat", "checksum", "mkdir", "cd"):
        assert outcomes[verb, True], (verb, outcomes)
        assert outcomes[verb, False], (verb, outcomes)
