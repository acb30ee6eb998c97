"""All that reads a line, a value or a listing; what it makes sense of is written and read again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from twisted_ftplite.errors import FTPLiteError
from twisted_ftplite.protocol import listing, tokens, values
from twisted_ftplite.protocol.lines import (
    Command,
    Field,
    Status,
    Success,
    decode,
    encode_command,
    encode_error,
    encode_field,
    encode_success,
    parse_argument,
    parse_number,
    spell_argument,
)
from twisted_ftplite.protocol.order import classify
from twisted_ftplite.protocol.paths import is_same, resolve

from ..script import must


def run(data: bytes) -> None:
    """Read it in every way."""
    for line in data.split(b"\n")[:64]:
        _read_line(line)
        _read_text(line)
    _read_listing(data)


def seeds() -> Iterator[bytes]:
    """What is well-formed."""
    yield b'get f\nput "f"\nmv "a" "b"\nls\nstat "f" "xxh128"\n'
    yield b"File size: 7 bytes\nData channel port: 4242\nTransfer complete: f\nFeature: checksum xxh128\n"
    yield b"SUCCESS: Ready to send.\nFAILURE: File not found. f\nERROR: Bad syntax. Usage: get name\n"
    yield b'f\nd/\n"\\udce9"\n'
    yield b'{"name": "f", "type": "file", "size": 7, "mtime": 1.5, "mode": 420}\n'
    yield b"2026-11-22T13:00:00.123456Z\n0644\nxxh128 0123456789abcdef\n0123456789abcdef0123456789abcdef\n"


def _read_line(line: bytes) -> None:
    classify(line)
    told = _or_none(decode, line)
    match told:
        case Command(verb):
            meant = _or_none(told.arguments)
            if meant is not None:
                again = decode(encode_command(verb.name, *meant).removesuffix(b"\n"))
                must(isinstance(again, Command) and again.verb is verb, "a command came back as another line")
                must(again.arguments() == meant, "a command's arguments did not come back")
        case Field(name, value):
            for read in (told.number, told.size, told.argument, told.text):
                _or_none(read)
            text = _or_none(told.text)
            if text is not None:
                again = decode(encode_field(name, text).removesuffix(b"\n"))
                # Only a CR at the end is lost, which no value can have.
                must(again == told or value.endswith("\r"), "a field did not come back")
        case Status():
            error = told.error()
            must((error is None) == (told.kind == "SUCCESS"), "a status became what it is not")
            if error is not None:
                must(encode_error(error).count(b"\n") == 1, "an error is more than a line")
            must(
                encode_success(Success.RENAMED, told.text).count(b"\n") == 1, "a success is more than a line"
            )
    tokens.is_token_line(line)
    tokens.proves(line, "0123456789abcdef")


def _read_text(line: bytes) -> None:
    text = line.decode("utf-8", "surrogateescape")
    for read, spell in _BACK:
        value = _or_none(read, text)
        if value is not None:
            must(read(spell(value)) == value, f"what {read.__name__} reads did not come back")
    path = _or_none(resolve, ("d",), text)
    if path is not None:
        must(all(each not in ("", ".", "..") and "/" not in each for each in path), "a path leads elsewhere")
        must(resolve((), "/".join(path)) == path, "a path did not come back")
    is_same(("d",), text, "f")


_BACK: tuple[tuple[Callable[[str], Any], Callable[[Any], str]], ...] = (
    (parse_number, str),
    (parse_argument, lambda meant: spell_argument(*meant)),
    (values.parse_time, values.spell_time),
    (values.parse_mode, values.spell_mode),
    (values.parse_word, str),
    (values.parse_checksum, str),
    (tokens.parse_token, str),
)


def _read_listing(data: bytes) -> None:
    names = _or_none(lambda: list(listing.parse_plain(data)))
    if names is not None:
        must(
            list(listing.parse_plain(b"".join(listing.plain(names)))) == names, "a listing did not come back"
        )
    for whole_tree in (False, True):
        rows = _or_none(lambda whole: list(listing.parse_json(data, whole_tree=whole)), whole_tree)
        if rows is not None:
            again = b"".join(listing.json_lines(rows))
            must(list(listing.parse_json(again, whole_tree=whole_tree)) == rows, "rows did not come back")


def _or_none(read: Callable[..., Any], *args: Any) -> Any:
    """What it reads; None where it refuses in the package's own way."""
    try:
        return read(*args)
    except FTPLiteError:
        return None
