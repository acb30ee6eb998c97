"""What the verbs ls and lls do: names, or rows with attributes, of a directory or of what a pattern finds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from . import local_tree, long_listing
from .display import listing
from .flags import Call, Flag
from .globs import Match, expand, is_pattern
from .troubles import BadUsage
from .words import pattern_of

if TYPE_CHECKING:
    from ..protocol.listing import Row
    from ..storage.interface import Entry
    from .session import Session
    from .shell import Shell

FLAGS = (
    Flag("names", "a name a line, which is how it is without options", "1"),
    Flag("all", "also names that begin with a dot", "a"),
    Flag("long", "with mode, size in bytes and time (UTC); @ marks a link", "l"),
    Flag("recursive", "the whole tree, as paths", "R"),
    Flag("reverse", "the other way round", "r"),
    Flag("by-time", "the newest first", "t"),
    Flag("by-size", "the largest first", "S"),
    Flag("json", "the protocol's own lines: an object a name"),
)

_NEED_ROWS = {"long", "recursive", "by-time", "by-size", "json"}


async def ls(shell: Shell, call: Call) -> None:
    """List a directory of the server."""
    path, sought = _path(call)
    if _NEED_ROWS.isdisjoint(call.flags):
        entries = await _matching_entries(shell, path) if sought else await _entries(shell, path)
        await _show_entries(shell, call, entries, path)
    else:
        whole_tree = "recursive" in call.flags
        rows = await _matching_rows(shell, path) if sought else await _rows(shell, path, whole_tree)
        await _show_rows(shell, call, rows, path)


async def lls(shell: Shell, call: Call) -> None:
    """List a directory of this machine."""
    path, sought = _path(call)
    if sought:
        from .transfer_commands import local_matches

        matches = await local_matches(shell, path) or []
        rows = await shell.local(local_tree.rows_of, [match.name for match in matches])
    else:
        place = shell.expand(path) or "."
        rows = await shell.local(lambda: local_tree.rows(place, whole_tree="recursive" in call.flags))
    await _show_rows(shell, call, rows, path)


def _path(call: Call) -> tuple[str, bool]:
    """What is to be listed, and whether that is a pattern: then it is the names themselves that are shown."""
    path = call.words[0] if call.words else ""
    sought = is_pattern(pattern_of(path))
    if sought and "recursive" in call.flags:
        raise BadUsage(f"a whole tree is listed of a directory, not of a pattern; usage: {call.usage}")
    return path, sought


async def _entries(shell: Shell, path: str) -> list[Entry]:
    async def ask(session: Session, _: bool) -> list[Entry]:
        return await session.ls(path or None)

    return await shell.persist(ask)


async def _rows(shell: Shell, path: str, whole_tree: bool) -> list[Row]:
    async def ask(session: Session, _: bool) -> list[Row]:
        rows: list[Row] = []
        await session.list_to(rows.extend, path or None, depth_all=whole_tree)
        return rows

    return await shell.persist(ask)


async def _matching_entries(shell: Shell, word: str) -> Sequence[Match]:
    from .several import remote_matches

    return await remote_matches(shell, word) or ()


async def _matching_rows(shell: Shell, word: str) -> list[Row]:
    from ..errors import FileNotFound
    from .several import ahead

    seen: dict[str, Row] = {}

    async def find(session: Session, _: bool) -> list[Match]:
        async def look(folders: Sequence[str]) -> Any:
            listings = await ahead(partial(session.list, each or None) for each in folders)
            names: list[Any] = []
            for folder, rows in zip(folders, listings, strict=True):
                if isinstance(rows, list):
                    seen.update({folder + row.name: row for row in rows})
                    names.append([(row.name, row.kind == "directory") for row in rows])
                else:
                    names.append(rows)
            return names

        return await expand(word, pattern_of(word), look)

    matches = await shell.persist(find)
    if not matches:
        raise FileNotFound("No name matches.")
    found = [(match.name.rstrip("/"), match) for match in matches]
    return [seen[name]._replace(name=name) for name, _ in found if name in seen]


async def _show_entries(shell: Shell, call: Call, entries: Iterable[tuple[str, bool]], path: str) -> None:
    shown = [each for each in entries if _is_shown(call, each[0], path)]
    if "reverse" in call.flags:
        shown.reverse()
    await shell.console.say(listing(shown, terminal=shell.console.output_is_terminal))


async def _show_rows(shell: Shell, call: Call, rows: Sequence[Row], path: str) -> None:
    by = call.last("by-time", "by-size")
    reverse = "reverse" in call.flags
    terminal = shell.console.output_is_terminal
    if "json" in call.flags:
        # All of it, hidden names too, and as it came unless an order was asked for.
        rows = long_listing.in_order(rows, by, reverse=reverse) if by or reverse else rows
        await shell.console.say(long_listing.json(rows))
        return
    shown = [row for row in rows if _is_shown(call, row.name, path)]
    written = long_listing.long if "long" in call.flags else long_listing.names
    await shell.console.say(written(long_listing.in_order(shown, by, reverse=reverse), terminal=terminal))


def _is_shown(call: Call, name: str, path: str) -> bool:
    """Whether a name has no dot before it, or was asked for all the same."""
    if "all" in call.flags or not (name.startswith(".") or "/." in name):
        return True
    return is_pattern(pattern_of(path)) or name == path.rstrip("/").rpartition("/")[2]
