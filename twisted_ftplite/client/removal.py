"""What the verb rm does: files, and with ``-r`` trees, which are listed and then removed from their ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

from ..errors import Failure, FileNotFound
from .flags import Call
from .several import ahead, remote_matches
from .transfer_commands import last_segment
from .troubles import BadUsage, Reported
from .words import spell

if TYPE_CHECKING:
    from ..protocol.listing import Row
    from .session import Session
    from .shell import Shell

Refused = tuple[str, Failure]
"""A name that is still there, and why."""


async def rm(shell: Shell, call: Call) -> None:
    """Remove all that was named; one that can't be removed doesn't stop the rest."""
    recursive, force = "recursive" in call.flags, "force" in call.flags
    for word in call.words:
        if recursive and last_segment(word.rstrip("/")) is None:
            raise BadUsage(f"{spell(word)}: name what to remove by its own name; usage: {call.usage}")
    names, refused = await _named(shell, call.words)
    session = await shell.session()
    if recursive:
        refused += await _remove_all(shell, session, names, force=force)
    else:
        refused += await _remove(session, names)
    if force:
        refused = [each for each in refused if not isinstance(each[1], FileNotFound)]
    if len(call.words) == 1 and [name for name, _ in refused] == list(call.words):
        raise refused[0][1]
    for name, failure in refused:
        shell.report(spell(name), failure)
    if refused:
        raise Reported(refused[0][1])


async def _named(shell: Shell, words: Sequence[str]) -> tuple[list[str], list[Refused]]:
    """All names that are meant, each once, and the patterns that meant none."""
    names: dict[str, None] = {}
    refused = []
    for word in words:
        try:
            matches = await remote_matches(shell, word)
        except Failure as failure:
            refused.append((word, failure))
        else:
            names.update(dict.fromkeys([word] if matches is None else [match.name for match in matches]))
    return list(names), refused


async def _remove(session: Session, names: Sequence[str]) -> list[Refused]:
    return _refusals(names, await ahead(partial(session.rm, name) for name in names))


def _refusals(names: Sequence[str], results: Sequence[object]) -> list[Refused]:
    pairs = zip(names, results, strict=True)
    return [(name, result) for name, result in pairs if isinstance(result, Failure)]


async def _remove_all(shell: Shell, session: Session, names: Sequence[str], *, force: bool) -> list[Refused]:
    """Trees and whatever else these are; a link is removed, and never gone into."""
    told = await ahead(partial(session.stat, name) for name in names)
    refused = _refusals(names, told)
    trees: list[str] = []
    others: list[str] = []
    for name, what in zip(names, told, strict=True):
        if not isinstance(what, Failure):
            (trees if what.kind == "directory" and not what.link else others).append(name)
    refused += await _remove(session, others)
    for name in trees:
        try:
            refused += await _remove_tree(shell, session, name, force=force)
        except Failure as failure:
            refused.append((name, failure))
    return refused


async def _remove_tree(shell: Shell, session: Session, name: str, *, force: bool) -> list[Refused]:
    rows: list[Row] = []
    await session.list_to(rows.extend, name, depth_all=True)
    if not force and not await shell.agrees(_question(name, len(rows))):
        return []
    top = name.rstrip("/")
    directories = {f"{top}/{row.name}": None for row in rows if row.kind == "directory" and not row.link}
    others = [path for row in rows if (path := f"{top}/{row.name}") not in directories]
    refused = _still_there(await _remove(session, others))
    kept = _above(path for path, _ in refused)
    by_depth = sorted([*directories, top], key=_depth, reverse=True)
    for _, group in groupby(by_depth, _depth):
        empty = [path for path in group if path not in kept]
        results = await ahead(partial(session.rmdir, path) for path in empty)
        full = _still_there(_refusals(empty, results))
        kept |= _above(path for path, _ in full)
        refused += full
    return refused


def _question(name: str, count: int) -> str:
    inside = f" and the {count} names in it" if count > 1 else " and the one name in it" if count else ""
    return f"rm -r {spell(name)}: remove it{inside}? [y/N]"


def _still_there(refused: Iterable[Refused]) -> list[Refused]:
    """What another one removed meanwhile is removed."""
    return [each for each in refused if not isinstance(each[1], FileNotFound)]


def _above(paths: Iterable[str]) -> set[str]:
    """The directories that can't become empty because of these."""
    above = set()
    for path in paths:
        while path := path.rpartition("/")[0]:
            above.add(path)
    return above


def _depth(path: str) -> int:
    return path.count("/")
