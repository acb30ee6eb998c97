"""What a client asks for of one transfer, between steps 2 and 3 (docs/protocol.md, section 6): one table."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Any, NamedTuple

from ..errors import BadSyntax, NotSupported, UnexpectedMessage
from .lines import Field, FieldName, encode_field, encode_size
from .tokens import encode_token, parse_token
from .values import parse_mode, parse_time, parse_word, spell_mode, spell_time


@dataclass(slots=True)
class Options:
    """The options of one transfer; None where nothing was said."""

    offset: int | None = None
    """Bytes at the file's beginning that are not sent."""

    byte_count: int | None = None
    """Bytes that are wanted of a get, counted from the offset."""

    checksum: str | None = None
    """The algorithm to use."""

    mtime_ns: int | None = None
    """When the file of a put was modified: nanoseconds since the epoch, whole microseconds on the wire."""

    mode: int | None = None
    """Nine bits of permission for the file of a put."""

    format: str | None = None
    """``json`` for a listing with attributes."""

    depth: str | None = None
    """``all`` for a listing of the whole tree."""

    token: str | None = attribute(default=None, repr=False)
    """What both ends of the data channel prove themselves by, where the server connects."""


class Option(NamedTuple):
    """One row of the table."""

    feature: str
    verbs: tuple[str, ...]
    attribute: str
    """Of `Options`."""

    read: Callable[[Field], Any]
    """Its value.  Raises `BadSyntax`."""

    values: tuple[str, ...] | None = None
    """The words it can be; None: any value."""


def _word(field: Field) -> str:
    return parse_word(field.text())


TABLE: dict[FieldName, Option] = {
    FieldName.START_OFFSET: Option("offset", ("get", "put"), "offset", Field.size),
    FieldName.BYTE_COUNT: Option("offset", ("get",), "byte_count", Field.size),
    FieldName.CHECKSUM: Option("checksum", ("get", "put"), "checksum", _word),
    FieldName.MODIFIED: Option("modified", ("put",), "mtime_ns", lambda field: parse_time(field.text())),
    FieldName.MODE: Option("modified", ("put",), "mode", lambda field: parse_mode(field.text())),
    FieldName.FORMAT: Option("json", ("ls",), "format", _word, ("json",)),
    FieldName.DEPTH: Option("json", ("ls",), "depth", _word, ("all",)),
    FieldName.DATA_CHANNEL_TOKEN: Option(
        "token", ("ls", "get", "put"), "token", lambda field: parse_token(field.text())
    ),
}
"""Every option of a transfer.  Which algorithms `Checksum` can be is the server's own affair."""


def note(
    options: Options, field: Field, verb: str, features: Container[str], algorithms: Container[str] = ()
) -> None:
    """Remember an option; ``features`` are the names of what the server offers.

    Raises `UnexpectedMessage` for a field that is no option of this verb or belongs to a feature that is
    not offered, `BadSyntax`, also for another value than before, and `NotSupported` for a word that has a
    meaning only elsewhere.
    """
    row = TABLE.get(field.name)
    if row is None or verb not in row.verbs or row.feature not in features:
        raise UnexpectedMessage("The data channel port was due.")
    value = row.read(field)
    known = algorithms if field.name is FieldName.CHECKSUM else row.values
    if known is not None and value not in known:
        raise NotSupported(f"{field.name} cannot be that.")
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
    if options.token is not None:
        lines.append(encode_token(options.token))
    return lines
