"""The flags of a verb: letters that may stand together (``-la``), long names, and ``--`` behind the last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final, NamedTuple

from .display import escape
from .troubles import BadUsage

END: Final = "--"
"""What stands behind it is no flag."""


class Flag(NamedTuple):
    """One flag of a verb."""

    name: str
    """What stands behind ``--``."""

    help: str
    letter: str = ""
    """What stands behind ``-``; empty where there is no such."""

    def spellings(self) -> str:
        """How it can be written, for people."""
        return f"-{self.letter}, --{self.name}" if self.letter else f"    --{self.name}"


class Call(NamedTuple):
    """A verb as it was called."""

    flags: tuple[str, ...]
    """The long names of the flags that were given, in that order."""

    words: tuple[str, ...]
    """The arguments."""

    usage: str
    """How the verb is used, for errors."""

    def last(self, *names: str) -> str | None:
        """Of flags that exclude each other, the one that was given last."""
        return next((each for each in reversed(self.flags) if each in names), None)


def usage(flags: Iterable[Flag]) -> str:
    """All of them as a line of usage has them: ``[-la] [--json]``."""
    letters = "".join(flag.letter for flag in flags)
    long = [f"[--{flag.name}]" for flag in flags if not flag.letter]
    return " ".join(([f"[-{letters}]"] if letters else []) + long)


def read(
    flags: Sequence[Flag], words: Sequence[str], others: Iterable[str] = ()
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Divide the words behind a verb into the names of its flags and its arguments.

    ``others`` are options that would be understood elsewhere: a word much like one of them gets a hint.
    Raises `BadUsage`.
    """
    given: list[str] = []
    arguments: list[str] = []
    for index, word in enumerate(words):
        if word == END:
            arguments += words[index + 1 :]
            break
        if word.startswith("--"):
            given.append(_long(flags, word, others))
        elif word.startswith("-") and len(word) > 1:
            given += [_short(flags, word, letter) for letter in word[1:]]
        else:
            arguments.append(word)
    return tuple(given), tuple(arguments)


def _long(flags: Sequence[Flag], word: str, others: Iterable[str]) -> str:
    spelled, mark, _ = word.partition("=")
    known = [f"--{flag.name}" for flag in flags]
    if spelled in known:
        if mark:
            raise BadUsage(f"{spelled} takes no value")
        return spelled[2:]
    close = get_close_matches(spelled, [*known, *others], 1)
    raise _unknown(word, f" (did you mean {close[0]}?)" if close else "")


def _short(flags: Sequence[Flag], word: str, letter: str) -> str:
    for flag in flags:
        if flag.letter == letter:
            return flag.name
    raise _unknown(f"-{letter}", f" (in {escape(word)})" if len(word) > 2 else "")


def _unknown(flag: str, hint: str) -> BadUsage:
    return BadUsage(f"no such option {escape(flag)}{hint}; a name that begins with a dash stands behind --")
