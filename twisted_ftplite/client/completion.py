"""What may come next on a line of the interactive shell: verbs, and names here and there."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..flow.workers import Workers
from .shell import Shell
from .verbs import ROWS, VERBS

Choice = tuple[str, bool]
"""A word, and whether it is finished with that; a directory is not."""


class Choices:
    """Finds what a word may become."""

    def __init__(self, shell: Shell, workers: Workers) -> None:
        self._shell = shell
        self._workers = workers

    async def find(self, before: tuple[str, ...], typed: str) -> list[Choice]:
        """What ``typed`` may become behind the words ``before``, sorted."""
        if not before:
            return [(row.name, True) for row in ROWS if row.name.startswith(typed)]
        verb = VERBS.get(before[0].lower())
        kind = verb.argument(len(before) - 1) if verb is not None else None
        if kind is None:
            return []
        if kind == "COMMAND":
            return [(row.name, True) for row in ROWS if row.name.startswith(typed)]
        folder, _, begun = typed.rpartition("/")
        folder = typed[: len(typed) - len(begun)]
        if kind == "LOCAL":
            names: Sequence[Choice] = await self._workers.run(_local, folder)
        else:
            names = await self._remote(folder)
        hidden = begun.startswith(".")
        return [
            (f"{folder}{name}/", False) if is_directory else (folder + name, True)
            for name, is_directory in names
            if name.startswith(begun) and (hidden or not name.startswith("."))
        ]

    async def _remote(self, folder: str) -> Sequence[Choice]:
        session = self._shell.present()
        return await session.ls(folder or None) if session is not None else ()


def _local(folder: str) -> list[Choice]:
    with os.scandir(os.path.expanduser(folder) or ".") as entries:
        return sorted((entry.name, entry.is_dir()) for entry in entries)
