"""A server beside a dict of names to bytes, anything in any order: a short form of `scripts/soak model`."""

from __future__ import annotations

from pathlib import Path

import pytest
from soaks import model


@pytest.mark.parametrize("kind", ["memory", "local"])
def test_the_tree_is_the_model(tmp_path: Path, kind: str) -> None:
    model.hold(kind, tmp_path, 15, 20, None)
