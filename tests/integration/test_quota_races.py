"""Quotas of a real server: what all puts together leave is never more, however they race and end.

A short form of `scripts/soak quota`.
"""

from __future__ import annotations

from pathlib import Path

from accounts import QUOTA_EXCEEDED
from soaks import quota, shortly


def test_fifty_puts_at_a_time(tmp_path: Path) -> None:
    trials: list[quota.Trial] = []
    shortly(lambda soak: trials.append(quota.run(soak)), tmp_path, 2)
    ends = {status for kind, status in trials[0].ends if kind.startswith("put")}
    assert ends >= {QUOTA_EXCEEDED, "SUCCESS: File transferred successfully."}
