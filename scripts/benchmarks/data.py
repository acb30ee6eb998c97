"""Figures that are kept, so that scripts/pictures can draw them, and draw them again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from .frame import Bench
from .machine import describe


def keep(bench: Bench, name: str, **what: Any) -> None:
    """One small file of JSON in the folder that --data names, if any."""
    if bench.settings.data is None:
        return
    bench.settings.data.mkdir(parents=True, exist_ok=True)
    told = {"when": datetime.now(UTC).date().isoformat(), "where": describe().splitlines()[0], **what}
    lines = [f"  {json.dumps(key)}: {json.dumps(_rounded(value))}" for key, value in told.items()]
    (bench.settings.data / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _rounded(value: Any) -> Any:
    """To five digits, which is more than they are worth."""
    match value:
        case float():
            return float(f"{value:.5g}")
        case dict():
            return {key: _rounded(each) for key, each in value.items()}
        case list() | tuple():
            return [_rounded(each) for each in value]
        case _:
            return value
