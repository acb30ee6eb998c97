"""What can be told to `ftplite-client`: one table for parsing, help and completion, one coroutine a verb.

Nothing here is imported from Twisted, nor from what would: ``--help`` shows the table.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from . import flags as flags_of
from .display import escape
from .doctor import doctor
from .flags import Call, Flag
from .listing_commands import FLAGS as OF_LISTINGS
from .listing_commands import lls, ls
from .local_commands import lcd, lpwd
from .removal import rm
from .status_command import FLAGS as OF_STATUS
from .status_command import status
from .transfer_commands import get, put
from .tree_commands import cd, checksum, mkdir, mv, pwd, rmdir, stat
from .troubles import BadUsage

if TYPE_CHECKING:
    from .shell import Shell

Run = Callable[["Shell", Call], Coroutine[Any, Any, None]]


class Verb(NamedTuple):
    """One row of the table."""

    name: str
    arguments: str
    """As the help shows them, those in brackets optional, and any number of what ends in ``...``.

    LOCAL is a file here, COMMAND one of these, ALGORITHM one of a checksum, every other one a name there.
    """

    help: str
    run: Run
    flags: tuple[Flag, ...] = ()
    one_shot: bool = True
    """Whether it may stand behind HOST."""

    directories: bool = False
    """Whether its names are directories only."""

    aliases: tuple[str, ...] = ()

    def usage(self) -> str:
        return " ".join(filter(None, (self.name, flags_of.usage(self.flags), self.arguments)))

    def argument(self, position: int) -> str | None:
        """What the argument at ``position`` is, in capitals; None where there is no such argument."""
        names = self.arguments.split()
        if names and names[-1].endswith("..."):
            position = min(position, len(names) - 1)
        return names[position].strip("[].") if position < len(names) else None

    def details(self) -> str:
        """Lines about its flags."""
        width = max((len(flag.spellings()) for flag in self.flags), default=0)
        return "".join(f"    {flag.spellings():{width}}  {flag.help}\n" for flag in self.flags)


def named(word: str) -> Verb:
    """The verb of this name, in any case.  Raises `BadUsage`."""
    verb = VERBS.get(word.lower())
    if verb is None:
        raise BadUsage("unknown command; help lists the commands")
    return verb


def find(words: Sequence[str], options: Iterable[str] = ()) -> tuple[Verb, Call]:
    """The verb that the first word names, and its flags and arguments, their number checked.

    ``options`` are what may stand elsewhere and be meant by a word that is no flag.  Raises `BadUsage`.
    """
    verb = named(words[0])
    try:
        given, arguments = flags_of.read(verb.flags, words[1:], options)
    except BadUsage as error:
        raise BadUsage(f"{error}; usage: {verb.usage()}") from error
    names = verb.arguments.split()
    if arguments and verb.argument(len(arguments) - 1) is None:
        hint = "; a name with blanks goes in quotes, and so does a pattern" if names else ""
        raise BadUsage(f"too many arguments{hint}; usage: {verb.usage()}")
    if len(arguments) < len(names) and not names[len(arguments)].startswith("["):
        raise BadUsage(f"{names[len(arguments)].rstrip('.')} is missing; usage: {verb.usage()}")
    return verb, Call(given, arguments, verb.usage())


async def _features(shell: Shell, call: Call) -> None:
    session = await shell.session()
    await _lines(shell, await session.features())


async def _noop(shell: Shell, call: Call) -> None:
    session = await shell.session()
    began = time.monotonic()
    await session.noop()
    await shell.console.say(f"answered in {(time.monotonic() - began) * 1000:.1f} ms\n")


async def _remote_help(shell: Shell, call: Call) -> None:
    session = await shell.session()
    await _lines(shell, await session.help())


async def _lines(shell: Shell, lines: Sequence[str]) -> None:
    await shell.console.say("".join(escape(line) + "\n" for line in lines))


async def _help(shell: Shell, call: Call) -> None:
    if call.words:
        verb = named(call.words[0])
        await shell.console.say(f"{verb.usage()}\n    {verb.help}\n{verb.details()}")
        return
    await shell.console.say(overview(ROWS) + WORDS)


async def _quit(shell: Shell, call: Call) -> None:
    shell.leaving = True


def overview(rows: Iterable[Verb]) -> str:
    """A line a verb."""
    rows = list(rows)
    width = max(len(row.usage()) for row in rows)
    return "".join(f"{row.usage():{width}}  {row.help}\n" for row in rows)


WORDS = r"""
help COMMAND tells what its options mean.
Blanks divide words. A name with blanks goes in quotes: get "my file.txt" or get 'my file.txt' or
get my\ file.txt. Double quotes hold a JSON string, which is how ls writes names that it must quote.
* ? [...] in what get, put, rm and ls are given stand for any name that matches, unless they are quoted.
LOCAL may begin with ~ for a home directory and may be a directory; - is standard input or output.
A name that begins with a dash stands behind --. A line that begins with # is a comment.
"""

_TRANSFER = (
    Flag("continue", "go on with what broke off, having compared what is there", "c"),
    Flag("preserve", "keep time and mode", "p"),
)

ROWS = (
    Verb("ls", "[PATH]", "list a directory", ls, OF_LISTINGS),
    Verb("get", "NAME [LOCAL]", "fetch a file; - writes it to standard output", get, _TRANSFER),
    Verb("put", "LOCAL [NAME]", "store a file; - reads standard input", put, _TRANSFER),
    Verb("cd", "[PATH]", "go to a directory, or to the root", cd, one_shot=False, directories=True),
    Verb("pwd", "", "where this is in the server's tree", pwd),
    Verb(
        "mkdir",
        "PATH",
        "make a directory",
        mkdir,
        (Flag("parents", "those above it too; content with one that is there", "p"),),
        directories=True,
    ),
    Verb("rmdir", "PATH", "remove an empty directory", rmdir, directories=True),
    Verb(
        "rm",
        "NAME...",
        "remove files",
        rm,
        (
            Flag("recursive", "directories too, and all in them; asks at a terminal", "r"),
            Flag("force", "don't ask, and don't mind what is not there", "f"),
        ),
    ),
    Verb("mv", "OLD NEW", "rename, or move into a directory", mv),
    Verb("stat", "NAME", "what the server knows of a name", stat),
    Verb("checksum", "NAME [ALGORITHM]", "a file's checksum; xxh128 unless told", checksum),
    Verb(
        "lcd",
        "[LOCAL]",
        "go to a directory of this machine, or home",
        lcd,
        one_shot=False,
        directories=True,
    ),
    Verb("lpwd", "", "where this is on this machine", lpwd, one_shot=False),
    Verb(
        "lls",
        "[LOCAL]",
        "list a directory of this machine",
        lls,
        OF_LISTINGS,
        one_shot=False,
    ),
    Verb("doctor", "", "try what works: TLS, login, ways of data", doctor),
    Verb("status", "", "what your sessions do, and what slows them", status, OF_STATUS),
    Verb("features", "", "what else the server offers", _features),
    Verb("noop", "", "ask whether the server is there", _noop),
    Verb("remotehelp", "", "what the server says of its commands", _remote_help),
    Verb("help", "[COMMAND]", "this list, or one of it", _help, aliases=("?",)),
    Verb("quit", "", "leave", _quit, one_shot=False, aliases=("exit", "bye")),
)

VERBS = {name: row for row in ROWS for name in (row.name, *row.aliases)}
