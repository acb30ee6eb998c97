"""What broke: each kind once, as a file that shows it again."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable
from pathlib import Path

from .script import Wrong


class Findings:
    """Runs a target and keeps what breaks it."""

    def __init__(self, run: Callable[[bytes], None], name: str, folder: Path) -> None:
        self._run = run
        self._name = name
        self._folder = folder
        self.files: list[Path] = []
        self._known: set[str] = set()

    def run(self, data: bytes) -> None:
        """One run; it never raises, so that the next one can follow."""
        try:
            self._run(data)
        except Exception as problem:  # noqa: BLE001 - that is what is looked for
            self._keep(data, problem)

    def _keep(self, data: bytes, problem: Exception) -> None:
        kind = place_of(problem)
        if kind in self._known:
            return
        self._known.add(kind)
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"{self._name}-{hashlib.sha256(data).hexdigest()[:12]}"
        file.write_bytes(data)
        told = "".join(traceback.format_exception(problem))
        file.with_suffix(".txt").write_text(f"{kind}\n\n{told}\n{data!r}\n", encoding="utf-8")
        self.files.append(file)


def place_of(problem: Exception) -> str:
    """What it is and where it came from: the same for the same mistake."""
    if isinstance(problem, Wrong):
        return str(problem)
    frames = traceback.extract_tb(problem.__traceback__)[-2:]
    places = " < ".join(f"{Path(each.filename).name}:{each.lineno}" for each in reversed(frames))
    return f"{type(problem).__name__} at {places}"
