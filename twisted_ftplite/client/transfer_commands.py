"""What the verbs get and put do: one file, or all that a pattern finds, each going on after a break."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import IsADirectory, LocalFileTrouble, NotADirectory, NotSupported
from . import local_tree
from .display import BROKEN_OFF, escape, summary
from .flags import Call
from .globs import Match, expand, is_pattern
from .troubles import BadUsage
from .words import pattern_of, spell

if TYPE_CHECKING:
    from .session import Session
    from .shell import Shell
    from .wishes import Transfer

STANDARD = "-"
"""In the place of a local file: standard input or output."""

Progress = Callable[[int, int | None], None]
Move = Callable[["Session", bool, Progress | None], Coroutine[Any, Any, "Transfer"]]
"""A transfer with a session; the second says whether to go on with what broke off."""


# get


async def get(shell: Shell, call: Call) -> None:
    """Fetch one file, or all that match."""
    from .several import one_by_one, remote_matches

    name, *rest = call.words
    local = rest[0] if rest else None
    if local == STANDARD and call.flags:
        raise BadUsage(f"standard output takes no options; usage: {call.usage}")
    if local is None and not is_pattern(pattern_of(name)):
        _own_name(name, call)  # before there is a connection
    matches = await remote_matches(shell, name)
    names = [name] if matches is None else _files(shell, matches)
    if not names:
        raise IsADirectory("Only directories match.")
    if local == STANDARD:
        if len(names) > 1:
            raise BadUsage(f"standard output takes one file, and {len(names)} match")
        await _get_to_output(shell, names[0])
        return
    local = None if local is None else shell.expand(local)
    kind = "none" if local is None else await shell.local(local_tree.kind, local)
    if len(names) > 1 and local is not None and kind != "directory":
        raise LocalFileTrouble(f"{local}: is no directory, and {len(names)} names match; name one")
    # The server is not asked what a name with / behind it is: whoever says so means a directory.
    inside = local is not None and (kind == "directory" or local.endswith("/"))
    targets = [
        os.path.join(local or "", _own_name(each, call)) if inside or local is None else local
        for each in names
    ]
    _check_different(names, targets)
    pairs = list(zip(names, targets, strict=True))
    if matches is None:
        await _get_one(shell, call, *pairs[0])
    else:
        await one_by_one(shell, [(spell(pair[0]), partial(_get_one, shell, call, *pair)) for pair in pairs])


async def _get_one(shell: Shell, call: Call, name: str, target: str) -> None:
    async def move(session: Session, resume: bool, progress: Progress | None) -> Transfer:
        return await session.get(name, target, **_wishes(shell, call, resume, progress))

    kind = await shell.local(local_tree.kind, target)
    await _move(shell, "get", name, move, repeatable=kind != "other")


async def _get_to_output(shell: Shell, name: str) -> None:
    target = shell.standard_output()

    async def move(session: Session, _: bool, progress: Progress | None) -> Transfer:
        return await session.get(name, target, progress=progress, checksum=shell.preferences.checksum)

    await _move(shell, "get", name, move, repeatable=False, to_output=True)


def _own_name(path: str, call: Call) -> str:
    """The last segment, under which it is stored.  Raises `BadUsage` where that could only be a directory."""
    last = last_segment(path)
    if last is None:
        raise BadUsage(f"say under which name to store {escape(path)}; usage: {call.usage}")
    return last


# put


async def put(shell: Shell, call: Call) -> None:
    """Store one file, or all that match."""
    from .several import one_by_one

    local, *rest = call.words
    to = rest[0] if rest else None
    if local == STANDARD:
        if call.flags:
            raise BadUsage(f"standard input takes no options; usage: {call.usage}")
        if to is None:
            raise BadUsage(f"say under which NAME to store it; usage: {call.usage}")
        await _put_input(shell, to)
        return
    matches = await local_matches(shell, local)
    if matches is None:
        source = shell.expand(local)
        await _put_one(shell, call, source, to, last_segment(source))
        return
    sources = _files(shell, matches)
    if not sources:
        raise LocalFileTrouble(f"{local}: only directories match; name files")
    if len(sources) > 1 and to is not None:
        await _check_directory(shell, to)
        to = f"{to.removesuffix('/')}/"
    _check_different(sources, [last_segment(each) or each for each in sources])
    await one_by_one(
        shell,
        [(spell(each), partial(_put_one, shell, call, each, to, last_segment(each))) for each in sources],
    )


async def _put_one(shell: Shell, call: Call, source: str, to: str | None, own: str | None) -> None:
    """``own`` is what the file is called here."""
    if to is None and own is None:
        raise BadUsage(f"say under which NAME to store it; usage: {call.usage}")
    name = to if to is not None else own or ""
    inside = f"{name.removesuffix('/')}/{own}" if to is not None and own is not None else None
    if inside is not None and last_segment(name) is None:  # ends in / or . or .., so it is a directory
        name, inside = inside, None

    async def move(session: Session, resume: bool, progress: Progress | None) -> Transfer:
        return await session.put(source, name, **_wishes(shell, call, resume, progress))

    kind = await shell.local(local_tree.kind, source)
    if kind == "other" and "continue" in call.flags:
        raise BadUsage(f"{spell(source)}: only a regular file can be gone on with; leave out -c")
    try:
        await _move(shell, "put", name, move, repeatable=kind == "file")
    except IsADirectory:
        if inside is None:
            raise
        name = inside
        await _move(shell, "put", name, move, repeatable=kind == "file")


async def _put_input(shell: Shell, name: str) -> None:
    source = shell.standard_input()

    async def move(session: Session, _: bool, progress: Progress | None) -> Transfer:
        return await session.put(source, name, progress=progress, checksum=shell.preferences.checksum)

    await _move(shell, "put", name, move, repeatable=False)


async def local_matches(shell: Shell, word: str) -> list[Match] | None:
    """What a word means on this machine, where it is a pattern; None where it isn't.

    Raises `LocalFileTrouble` where nothing matches.
    """
    if not is_pattern(pattern_of(word)):
        return None

    async def look(folders: Sequence[str]) -> Any:
        return await shell.local(local_tree.look, folders)

    matches = await expand(shell.expand(word), shell.expand(pattern_of(word)), look)
    if not matches:
        raise LocalFileTrouble(f"{word}: no name matches")
    return matches


async def _check_directory(shell: Shell, name: str) -> None:
    """Raises `NotADirectory` where several files can't go; a server that can't tell now says so later."""

    async def ask(session: Session, _: bool) -> str:
        try:
            return (await session.stat(name)).kind
        except NotSupported:
            return "directory"

    if await shell.persist(ask) != "directory":
        raise NotADirectory(f"Several files can go to {spell(name)} only if it is a directory.")


# Both


def _wishes(shell: Shell, call: Call, resume: bool, progress: Progress | None) -> dict[str, Any]:
    """How a session is to move a file."""
    return {
        "progress": progress,
        "checksum": shell.preferences.checksum,
        "resume": resume or "continue" in call.flags,
        "preserve": "preserve" in call.flags,
    }


def _files(shell: Shell, matches: Sequence[Match]) -> list[str]:
    """What of it can be moved; where that is not all, the rest is told."""
    files = [match.name for match in matches if not match.is_directory]
    for match in matches:
        if files and match.is_directory:
            shell.console.complain(f"{spell(match.name)}: is a directory, left out")
    return files


def _check_different(names: Sequence[str], targets: Sequence[str]) -> None:
    """Raises `BadUsage` where one file would replace another."""
    taken: dict[str, str] = {}
    for name, target in zip(names, targets, strict=True):
        if target in taken:
            both = f"{spell(taken[target])} and {spell(name)}"
            raise BadUsage(f"{both} would both be stored as {spell(target)}; move them one at a time")
        taken[target] = name


async def _move(
    shell: Shell, verb: str, name: str, move: Move, *, repeatable: bool, to_output: bool = False
) -> None:
    """Do it, show how it goes, go on after a break where that is possible, and tell what came of it."""
    shell.hint = ""
    with shell.progress(name, to_output=to_output) as bar:

        async def operation(session: Session, resume: bool) -> Transfer:
            if not repeatable:
                return await move(session, False, bar)
            if "offset" in await session.offered():
                shell.hint = f"{verb} -c goes on where it broke off"
            try:
                return await move(session, resume, bar)
            except BROKEN_OFF as error:
                if not resume and not _position(error):
                    shell.hint = ""  # nothing has come to pass that could be gone on with
                raise

        if repeatable:
            transfer = await shell.persist(operation, spell(name))
        else:
            transfer = await operation(await shell.session(), False)
        if bar is not None:
            bar.finish(transfer.size, transfer.limited_by)
    shell.hint = ""
    line = summary(transfer.name, transfer.size, transfer.seconds, transfer.resumed_at, transfer.limited_by)
    if not to_output:
        await shell.console.say(line)
    elif shell.preferences.progress != "json":  # else it has been told
        shell.console.remark(line.rstrip("\n"))


def _position(error: BaseException) -> int:
    """Bytes that had moved when it broke off."""
    return getattr(error.__cause__, "position", None) or 0


def last_segment(path: str) -> str | None:
    """The last segment, or None where that could only be a directory."""
    last = path.rpartition("/")[2]
    return None if last in ("", ".", "..") else last
