"""What a client asks for of one transfer, between steps 2 and 3 (docs/protocol.md, section 6): one table."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..errors import BadSyntax, NotSupported, UnexpectedMessage
from .lines import Field, FieldName, encode_field, encode_size
from .values import parse_mode, parse_time, spell_mode, spell_time


@dataclass(slots=True)
class Options:
    """The options of one transfer; None where nothing was said."""

    offset: int | None = None
    """Bytes at the file's beginning that are not sent."""

    byte_count: int | None = None
    """Bytes that are wanted of a get."""

    checksum: str | None = None
    """The algorithm to use."""

    mtime_ns: int | None = None
    """When the file of a put was modified, in nanoseconds since the epoch."""

    mode: int | None = None
    """Nine bits for the file of a put."""

    format: str | None = None
    """``json`` for a listing with attributes."""

    depth: str | None = None
    """``all`` for a listing of the whole tree."""


class Option(NamedTuple):
    """One row of the table."""

    feature: str
    verbs: tuple[str, ...]
    attribute: str
    read: Callable[[Field], Any]


def _one_of(word: str) -> Callable[[Field], str]:
    def read(field: Field) -> str:
        if field.text() != word:
            raise NotSupported(f"{field.name} can be {word}.")
        return word

    return read


def _word(field: Field) -> str:
    text = field.text()
    if not (text.isascii() and text.isalnum()):
        raise BadSyntax(f"Usage: {field.name}: word")
    return text


TABLE: dict[FieldName, Option] = {
    FieldName.START_OFFSET: Option("offset", ("get", "put"), "offset", Field.size),
    FieldName.BYTE_COUNT: Option("offset", ("get",), "byte_count", Field.size),
    FieldName.CHECKSUM: Option("checksum", ("get", "put"), "checksum", _word),
    FieldName.MODIFIED: Option("modified", ("put",), "mtime_ns", lambda field: parse_time(field.text())),
    FieldName.MODE: Option("modified", ("put",), "mode", lambda field: parse_mode(field.text())),
    FieldName.FORMAT: Option("json", ("ls",), "format", _one_of("json")),
    FieldName.DEPTH: Option("json", ("ls",), "depth", _one_of("all")),
}


def note(options: Options, field: Field, verb: str, features: Container[str]) -> None:
    """Remember an option.

    Raises `UnexpectedMessage` for a field that is no option of this verb or belongs to a feature that is
    not offered, `BadSyntax`, also for another value than before, and `NotSupported`.
    """
    row = TABLE.get(field.name)
    if row is None or verb not in row.verbs or row.feature not in features:
        raise UnexpectedMessage("The data channel port was due.")
    value = row.read(field)
    if getattr(options, row.attribute) not in (None, value):
        raise BadSyntax(f"Another {field.name.lower()} was told before.")
    setattr(options, row.attribute, value)


def encode_options(options: Options) -> list[bytes]:
    """The lines that ask for these options."""
    lines = []
    if options.offset is not None:
        lines.append(encode_size(FieldName.START_OFFSET, options.offset))
    if options.byte_count is not None:
        lines.append(encode_size(FieldName.BYTE_COUNT, options.byte_count))
    if options.checksum is not None:
        lines.append(encode_field(FieldName.CHECKSUM, options.checksum))
    if options.mtime_ns is not None:
        lines.append(encode_field(FieldName.MODIFIED, spell_time(options.mtime_ns)))
    if options.mode is not None:
        lines.append(encode_field(FieldName.MODE, spell_mode(options.mode)))
    if options.format is not None:
        lines.append(encode_field(FieldName.FORMAT, options.format))
    if options.depth is not None:
        lines.append(encode_field(FieldName.DEPTH, options.depth))
    return lines
