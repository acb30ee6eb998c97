"""What may come next on a line of the interactive shell: verbs, their flags, and names here and there."""

from __future__ import annotations

from collections.abc import Sequence

from ..flow.workers import Workers
from . import local_tree
from .arguments import ALGORITHMS
from .flags import END
from .shell import Shell
from .verbs import ROWS, VERBS, Verb

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
            return _words([row.name for row in ROWS], typed)
        verb = VERBS.get(before[0].lower())
        if verb is None:
            return []
        ended = END in before
        if typed.startswith("-") and not ended:
            return _words([f"--{flag.name}" for flag in verb.flags], typed)
        position = sum(ended or not (word.startswith("-") and len(word) > 1) for word in before[1:])
        kind = verb.argument(position - ended)
        match kind:
            case None:
                return []
            case "COMMAND":
                return _words([row.name for row in ROWS], typed)
            case "ALGORITHM":
                return _words(ALGORITHMS[:-1], typed)
        return await self._names(verb, typed, local=kind == "LOCAL")

    async def _names(self, verb: Verb, typed: str, *, local: bool) -> list[Choice]:
        begun = typed.rpartition("/")[2]
        folder = typed[: len(typed) - len(begun)]
        names: Sequence[Choice]
        if local:
            names = sorted(await self._workers.run(local_tree.names, self._shell.expand(folder)))
        else:
            names = await self._remote(folder)
        hidden = begun.startswith(".")
        return [
            (f"{folder}{name}/", False) if is_directory else (folder + name, True)
            for name, is_directory in names
            if name.startswith(begun)
            and (hidden or not name.startswith("."))
            and (is_directory or not verb.directories)
        ]

    async def _remote(self, folder: str) -> Sequence[Choice]:
        session = self._shell.present()
        return await session.ls(folder or None) if session is not None else ()


def _words(known: Sequence[str], typed: str) -> list[Choice]:
    return [(each, True) for each in known if each.startswith(typed)]
