"""Lines that a person types, or a script holds, into words; and names back into what can be typed.

Blanks (space, tab) divide words, as in sftp, so a name with blanks is quoted: ``'as it is'``, or
``"as a JSON string"``, which is also how the protocol and ``ls`` write a name that cannot stand bare, or
with ``\\`` before each character that would mean something else.  A line that begins with ``#`` is a comment.
What is quoted in any of these ways is taken literally also where a pattern may stand (`globs`).
"""

from __future__ import annotations

import json
import re
from typing import Final, NamedTuple, Self

from .globs import literally
from .troubles import BadUsage

_PIECE: Final = re.compile(
    r"""(?P<bare>[^ \t'"\\]+)
    | \\(?P<escaped>.)
    | '(?P<single>[^']*)(?P<single_end>'?)
    | "(?P<double>(?:[^"\\]|\\.)*)(?P<double_end>"?)""",
    re.VERBOSE | re.DOTALL,
)
_BLANKS: Final = re.compile(r"[ \t]*")
_MEANT_OTHERWISE: Final = re.compile(r"""[ \t'"\\]""")

UNSEEN: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""What steers a terminal, turns the order of what it shows, hides, or is not UTF-8."""

_BYTES: Final = re.compile("[\udc80-\udcff]")
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


class Word(str):
    """A word of a line, and what it is as a pattern: there, what was quoted stands for itself."""

    pattern: str

    def __new__(cls, text: str, pattern: str) -> Self:
        word = super().__new__(cls, text)
        word.pattern = pattern
        return word


def pattern_of(word: str) -> str:
    """The word as a pattern; one that no shell of ours has read is what it is."""
    return word.pattern if isinstance(word, Word) else word


class Unfinished(NamedTuple):
    """A line as far as it was typed, for completion."""

    before: tuple[str, ...]
    """The words before the one that is being typed."""

    start: int
    """Where that one begins."""

    typed: str
    """What it means so far."""

    quote: str
    """The quote that is open, or an empty string."""


def split(line: str) -> list[Word]:
    """The words of a line; none of an empty one and of a comment.  Raises `BadUsage`."""
    if line.lstrip(" \t").startswith("#"):
        return []
    words: list[Word] = []
    index = _skip_blanks(line, 0)
    while index < len(line):
        word, index, quote = _word(line, index)
        if quote:
            raise BadUsage(f"a closing {quote} is missing")
        if "\0" in word:
            raise BadUsage("no name can hold a NUL")
        words.append(word)
        index = _skip_blanks(line, index)
    return words


def unfinished(text: str) -> Unfinished | None:
    """What stands before the cursor; None where it can't be made sense of."""
    before: list[str] = []
    start = _skip_blanks(text, 0)
    while start < len(text):
        try:
            word, end, quote = _word(text, start)
        except BadUsage:
            return None
        if end == len(text):
            return Unfinished(tuple(before), start, word, quote)
        before.append(word)
        start = _skip_blanks(text, end)
    return Unfinished(tuple(before), start, "", "")


def _skip_blanks(line: str, index: int) -> int:
    match = _BLANKS.match(line, index)
    return match.end() if match else index


def _word(line: str, index: int) -> tuple[Word, int, str]:
    """The word that begins at ``index``, where it ends, and the quote that is still open there."""
    text, pattern, open_quote = "", "", ""
    while index < len(line) and line[index] not in " \t" and not open_quote:
        piece = _PIECE.match(line, index)
        if piece is None:
            return Word(text, pattern), len(line), "\\"
        index = piece.end()
        bare = piece["bare"] or ""
        quoted = piece["escaped"] or piece["single"] or ""
        if piece["double"] is not None:
            quoted = _meaning(piece["double"])
            open_quote = "" if piece["double_end"] else '"'
        elif piece["single_end"] == "":
            open_quote = "'"
        text += bare + quoted
        pattern += bare + literally(quoted)
    return Word(text, pattern), index, open_quote


def _meaning(inside: str) -> str:
    """What stands inside a JSON string; a byte that is not UTF-8 as a lone surrogate."""
    try:
        text: str = json.loads(f'"{inside}"', strict=False)
    except ValueError:
        raise BadUsage(f'"{inside}" is no JSON string; write \\\\ for a backslash') from None
    if _SURROGATES.search(_BYTES.sub("", text)):
        raise BadUsage("a lone surrogate stands for a byte only from dc80 to dcff")
    # Bytes that make sense together are the character they make: one name, one spelling.
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


def quote(name: str) -> str:
    """The name as a JSON string in which nothing is unseen."""
    return UNSEEN.sub(_json_escape, json.dumps(name, ensure_ascii=False))


def _json_escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match.group()):04x}"


def spell(name: str) -> str:
    """The name as people read it, safe for a terminal, and such that `split` understands it back.

    Like the protocol it leaves a name with blanks inside bare: lists are for reading.
    """
    if name and name[0] not in '" ' and name[-1] != " " and not UNSEEN.search(name):
        return name
    return quote(name)


def complete(name: str, open_quote: str, finished: bool) -> str:
    """What to type for ``name`` where ``open_quote`` was begun; ``finished`` closes it and adds a blank."""
    end = " " if finished else ""
    if UNSEEN.search(name) or (open_quote == "'" and "'" in name):
        open_quote = '"'
    if open_quote == '"':
        spelled = quote(name)
        return spelled + end if finished else spelled[:-1]
    if open_quote == "'":
        return f"'{name}'{end}" if finished else f"'{name}"
    return _MEANT_OTHERWISE.sub(r"\\\g<0>", name) + end
