"""Going on with a transfer that broke off: what there is to go on with, and whether it is of any use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from ..errors import FileNotFound, OffsetNotValid
from ..flow.digest import Digest
from ..protocol.values import Checksum
from .command import Command
from .description import Description, Offered, read_checksum, read_description
from .files import LocalFile, open_source
from .services import Progress
from .targets import Identity, LocalTarget
from .wishes import DEFAULT, Transfer, choose

TRIES = 3
"""How often it is tried to go on; then all is moved again."""


class StartOver(Exception):
    """What was gone on with is not the beginning of what is wanted."""


class Begun(NamedTuple):
    """What there is already of a file."""

    offset: int = 0
    """Bytes that need not be moved."""

    digest: Digest | None = None
    """One in which they are, or some of them; None where none was made."""

    verified: bool = False
    """Whether they have been compared."""

    whole: bool = False
    """Nothing is to be moved any more."""

    checksum: Checksum | None = None
    """Of the whole file, where that is there."""


def can_resume_get(offered: Offered) -> bool:
    """Whether a get can be gone on with: a partial is told by size and time of the file it is of."""
    return offered.keys() >= {"files", "offset", "modified"}


async def persist(attempt: Callable[[bool], Awaitable[Transfer]]) -> Transfer:
    """Try to go on, and where that fails again and again, start over; the argument says which."""
    for _ in range(TRIES):
        try:
            return await attempt(True)
        except (StartOver, OffsetNotValid):
            # The file is another by now, or the server got more from a connection that seemed lost.
            continue
    return await attempt(False)


async def begun_get(
    command: Command, target: LocalTarget, algorithm: str | None, progress: Progress | None
) -> tuple[Begun, Description]:
    """What is there of a file that is to be fetched, the partial then open in ``target``."""
    name = command.arguments[0]
    found = read_description(await command.inquire("stat", name))
    if found.kind != "file" or found.size is None or found.mtime_ns is None:
        return Begun(), found  # the get will say what is wrong
    target.identity = Identity(command.services.place, command.remote_path, found.size, found.mtime_ns)
    held = await command.work(target.resume, found.size)
    if held is not None:
        return Begun(held), found
    if found.size > command.services.limits.resumable_size:
        await command.work(target.remove_older)
    check = algorithm or choose(DEFAULT, command.offered)
    if check is None or await command.work(target.size_there) != found.size:
        return Begun(), found
    theirs = await _their_checksum(command, name, check)
    local = await command.open(lambda each: each.close(), open_source, target.name, command.services.limits)
    if not isinstance(local, LocalFile):
        return Begun(), found
    digest = Digest(check, command.services.workers)
    ours = await command.digested(digest, local, local.size, progress, local.size)
    if ours != theirs:
        return Begun(), found
    return Begun(found.size, verified=True, whole=True, checksum=ours), found


async def begun_put(
    command: Command, file: LocalFile, algorithm: str | None, progress: Progress | None, *, preserve: bool
) -> Begun:
    """What the server has of a file that is to be stored, as far as its bytes are the file's."""
    offered = command.offered
    if not offered.keys() >= {"files", "offset"}:
        return Begun()
    name = command.arguments[0]
    check = algorithm or choose(DEFAULT, offered)
    words = (name, check) if check is not None and "partial-checksum" in offered else (name,)
    try:
        found = read_description(await command.inquire("stat", *words))
    except FileNotFound:
        return Begun()
    digest = None if check is None else Digest(check, command.services.workers)
    usable = digest if check == algorithm else None

    async def has(theirs: Checksum, end: int) -> bool:
        return digest is not None and theirs == await command.digested(digest, file, end, progress, file.size)

    if found.partial_size is not None:
        if not 0 < found.partial_size <= file.size:
            return Begun()
        if found.partial_checksum is not None:
            same = await has(found.partial_checksum, found.partial_size)
            return Begun(found.partial_size, usable, verified=True) if same else Begun()
        # Without a checksum at the end, nobody would notice that it is of another file.
        return Begun() if algorithm is None else Begun(found.partial_size)
    same = found.kind == "file" and found.size == file.size
    if check is None or not same or (preserve and not _has_attributes(found, file)):
        return Begun()
    theirs = await _their_checksum(command, name, check)
    if await has(theirs, file.size):
        return Begun(file.size, verified=True, whole=True, checksum=theirs)
    return Begun(digest=usable)


async def _their_checksum(command: Command, name: str, algorithm: str) -> Checksum:
    return read_checksum(await command.inquire(*checksum_command(name, algorithm)), algorithm)


def checksum_command(name: str, algorithm: str) -> tuple[str, ...]:
    """The words that ask for a file's checksum."""
    return ("checksum", name) if algorithm == "xxh128" else ("checksum", name, algorithm)


def _has_attributes(found: Description, file: LocalFile) -> bool:
    return found.mode == file.mode and (found.mtime_ns or 0) // 1000 == file.mtime_ns // 1000
