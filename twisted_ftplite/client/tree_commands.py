"""What the verbs do that look after the server's tree: pwd, cd, mkdir, rmdir, mv, stat and checksum."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..errors import Failure, FileExists
from . import long_listing
from .flags import Call
from .several import ahead
from .transfer_commands import last_segment
from .words import spell

if TYPE_CHECKING:
    from .description import Description
    from .session import Session
    from .shell import Shell


async def pwd(shell: Shell, call: Call) -> None:
    """Tell the working directory."""
    session = await shell.session()
    await shell.console.say(spell(await session.pwd()) + "\n")


async def cd(shell: Shell, call: Call) -> None:
    """Go to a directory, or to the root, and remember where that is."""
    session = await shell.session()
    await session.cd(call.words[0] if call.words else "/")
    shell.directory = session.directory


async def mkdir(shell: Shell, call: Call) -> None:
    """Make a directory, and with ``-p`` those above it."""
    session = await shell.session()
    path = call.words[0]
    if "parents" not in call.flags:
        await session.mkdir(path)
        return
    made = await ahead(partial(session.mkdir, each) for each in _with_parents(path))
    if made[-1] is None:
        return
    if isinstance(made[-1], FileExists):
        if (await session.stat(path)).kind == "directory":
            return
        raise FileExists("It is no directory.")
    raise next(each for each in made if each is not None and not isinstance(each, FileExists))


def _with_parents(path: str) -> list[str]:
    """The path and all above it, the highest first."""
    segments = path.rstrip("/").split("/")
    above = ["/".join(segments[:count]) for count in range(1, len(segments))]
    return [each for each in above if last_segment(each) is not None] + [path]


async def rmdir(shell: Shell, call: Call) -> None:
    """Remove an empty directory."""
    await (await shell.session()).rmdir(call.words[0])


async def mv(shell: Shell, call: Call) -> None:
    """Rename, or move into a directory that is there."""
    session = await shell.session()
    old, new = call.words
    own = last_segment(old.rstrip("/"))
    # Asked beforehand: rename(2) would let a directory take the place of an empty one, and not go into it.
    if own is not None and (last_segment(new) is None or await _is_directory(session, new)):
        new = f"{new.removesuffix('/')}/{own}"
    await session.mv(old, new)


async def _is_directory(session: Session, path: str) -> bool:
    try:
        return (await session.stat(path)).kind == "directory"
    except Failure:
        return False  # what there is to say of it mv will say


async def stat(shell: Shell, call: Call) -> None:
    """Tell what the server knows of a name."""
    session = await shell.session()
    await shell.console.say(_described(await session.stat(call.words[0])))


def _described(told: Description) -> str:
    from ..protocol.values import spell_time

    kind = "none; there is only what an upload that broke off has left" if told.kind == "none" else told.kind
    lines = [f"Type: {kind}"]
    if told.link:
        lines.append("Link: yes")
    if told.size is not None:
        lines.append(f"Size: {told.size} bytes")
    if told.mtime_ns is not None:
        lines.append(f"Modified: {spell_time(told.mtime_ns)}")
    if told.mode is not None:
        lines.append(f"Mode: {told.mode:04o} {long_listing.spell_mode(told.kind, told.mode)}")
    if told.partial_size is not None:
        lines.append(f"Partial: {told.partial_size} bytes; put -c goes on there")
    return "".join(line + "\n" for line in lines)


async def checksum(shell: Shell, call: Call) -> None:
    """Tell a checksum, as sha256sum and its kin do."""
    session = await shell.session()
    name, *algorithm = call.words
    digest = await session.checksum(name, *(each.lower() for each in algorithm))
    await shell.console.say(f"{digest}  {spell(name)}\n")
