"""Hosts that fail to log in, each as often as it likes: a short form of `scripts/soak bans`."""

from __future__ import annotations

from pathlib import Path

from soaks import bans, shortly


def test_who_failed_too_often_is_refused_and_nobody_else(tmp_path: Path) -> None:
    shortly(bans.run, tmp_path, 1)
