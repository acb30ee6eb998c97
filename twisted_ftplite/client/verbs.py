"""What can be told to `ftplite-client`: one table for parsing, help and completion, one coroutine a verb.

Nothing here is imported from Twisted, nor from what would: ``--help`` shows the table.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .display import escape, listing, summary
from .troubles import BadUsage

if TYPE_CHECKING:
    from .shell import Shell
    from .transfers import Transfer

STANDARD = "-"
"""In the place of a local file: standard input or output."""


class Verb(NamedTuple):
    """One row of the table."""

    name: str
    arguments: str
    """As the help shows them, those in brackets optional.  LOCAL is a file here, every other one there."""

    help: str
    run: Callable[[Shell, Sequence[str]], Coroutine[Any, Any, None]]
    one_shot: bool = True
    """Whether it may stand behind HOST."""

    aliases: tuple[str, ...] = ()

    def usage(self) -> str:
        return f"{self.name} {self.arguments}".rstrip()

    def argument(self, position: int) -> str | None:
        """What the argument at ``position`` is, in capitals; None where there is no such argument."""
        names = self.arguments.split()
        return names[position].strip("[]") if position < len(names) else None


def named(word: str) -> Verb:
    """The verb of this name, in any case.  Raises `BadUsage`."""
    verb = VERBS.get(word.lower())
    if verb is None:
        raise BadUsage("unknown command; help lists the commands")
    return verb


def find(words: Sequence[str]) -> tuple[Verb, Sequence[str]]:
    """The verb that the first word names, and its arguments, their number checked.  Raises `BadUsage`."""
    verb = named(words[0])
    arguments = words[1:]
    names = verb.arguments.split()
    if len(arguments) > len(names):
        hint = "; a name with blanks goes in quotes" if names else ""
        raise BadUsage(f"too many arguments{hint}; usage: {verb.usage()}")
    if len(arguments) < len(names) and not names[len(arguments)].startswith("["):
        raise BadUsage(f"{names[len(arguments)]} is missing; usage: {verb.usage()}")
    return verb, arguments


async def _ls(shell: Shell, arguments: Sequence[str]) -> None:
    session = await shell.session()
    entries = await session.ls(*arguments)
    await shell.console.say(listing(entries, terminal=shell.console.output_is_terminal))


async def _get(shell: Shell, arguments: Sequence[str]) -> None:
    name, *rest = arguments
    to_output = rest == [STANDARD]
    target = shell.standard_output() if to_output else _target(name, shell.expand(rest[0]) if rest else None)
    session = await shell.session()
    with shell.progress(name, to_output=to_output) as progress:
        transfer = await session.get(name, target, progress=progress)
        if progress is not None:
            progress.finish(transfer.size)
    await _tell(shell, transfer, to_output=to_output)


def _target(name: str, local: str | None) -> str:
    """Where a file comes to lie: under the last segment of what was asked for, or where ``local`` says."""
    # The one file system call made in the reactor's thread: this process serves nobody else.
    if local is not None and not local.endswith("/") and not os.path.isdir(local):
        return local
    last = _last(name)
    if last is None:
        raise BadUsage(f"say under which name to store {escape(name)}; usage: {VERBS['get'].usage()}")
    return last if local is None else os.path.join(local, last)


async def _put(shell: Shell, arguments: Sequence[str]) -> None:
    local, *rest = arguments
    source = shell.standard_input() if local == STANDARD else shell.expand(local)
    last = _last(local) if local != STANDARD else None
    name = rest[0] if rest else last
    if name is None:
        raise BadUsage(f"say under which NAME to store it; usage: {VERBS['put'].usage()}")
    if rest and last is not None and _last(name) is None:  # ends in / or . or .., so it is a directory
        name = f"{name.removesuffix('/')}/{last}"
    session = await shell.session()
    with shell.progress(name) as progress:
        transfer = await session.put(source, name, progress=progress)
        if progress is not None:
            progress.finish(transfer.size)
    await _tell(shell, transfer)


def _last(path: str) -> str | None:
    """The last segment, or None where that could only be a directory."""
    last = path.rpartition("/")[2]
    return None if last in ("", ".", "..") else last


async def _tell(shell: Shell, transfer: Transfer, *, to_output: bool = False) -> None:
    line = summary(transfer.name, transfer.size, transfer.seconds)
    if to_output:
        shell.console.remark(line.rstrip("\n"))
    else:
        await shell.console.say(line)


async def _features(shell: Shell, arguments: Sequence[str]) -> None:
    session = await shell.session()
    await _lines(shell, await session.features())


async def _noop(shell: Shell, arguments: Sequence[str]) -> None:
    session = await shell.session()
    began = time.monotonic()
    await session.noop()
    await shell.console.say(f"answered in {(time.monotonic() - began) * 1000:.1f} ms\n")


async def _remote_help(shell: Shell, arguments: Sequence[str]) -> None:
    session = await shell.session()
    await _lines(shell, await session.help())


async def _lines(shell: Shell, lines: Sequence[str]) -> None:
    await shell.console.say("".join(escape(line) + "\n" for line in lines))


async def _help(shell: Shell, arguments: Sequence[str]) -> None:
    if arguments:
        verb = named(arguments[0])
        await shell.console.say(f"{verb.usage()}\n    {verb.help}\n")
        return
    width = max(len(row.usage()) for row in ROWS)
    await shell.console.say("".join(f"{row.usage():{width}}  {row.help}\n" for row in ROWS) + WORDS)


async def _quit(shell: Shell, arguments: Sequence[str]) -> None:
    shell.leaving = True


WORDS = r"""
Blanks divide words. A name with blanks goes in quotes: get "my file.txt" or get 'my file.txt' or
get my\ file.txt. Double quotes hold a JSON string, which is how ls writes names that it must quote.
LOCAL may begin with ~ for a home directory and may be a directory; - is standard input or output.
A line that begins with # is a comment.
"""

ROWS = (
    Verb("ls", "[PATH]", "list a directory", _ls),
    Verb("get", "NAME [LOCAL]", "fetch a file; - writes it to standard output", _get),
    Verb("put", "LOCAL [NAME]", "store a file; - reads standard input", _put),
    Verb("features", "", "what else the server offers", _features),
    Verb("noop", "", "ask whether the server is there", _noop),
    Verb("remotehelp", "", "what the server says of its commands", _remote_help),
    Verb("help", "[COMMAND]", "this list", _help, aliases=("?",)),
    Verb("quit", "", "leave", _quit, one_shot=False, aliases=("exit", "bye")),
)

VERBS = {name: row for row in ROWS for name in (row.name, *row.aliases)}
