"""What a server says of itself, of a name and of its directory, read from the fields that tell it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..errors import Broken, ProtocolViolation
from ..protocol.lines import Field, FieldName
from ..protocol.values import Checksum, parse_checksum, parse_mode, parse_time

Offered = Mapping[str, tuple[str, ...]]
"""Features by their first word, each with the words behind it: ``{"checksum": ("xxh128", "sha256")}``."""

KINDS = ("file", "directory", "link", "other", "none")


class Description(NamedTuple):
    """What ``stat`` tells of a name; None where the server did not tell."""

    kind: str
    """``file``, ``directory``, ``link`` (one that leads nowhere the server serves), ``other``, or ``none``:
    there is only a partial."""

    size: int | None
    """Bytes."""

    mtime_ns: int | None
    """When it was modified: nanoseconds since the epoch, precise to the microsecond."""

    mode: int | None
    """The nine bits of permission."""

    link: bool
    """The name itself is a symbolic link; the rest is of what it leads to."""

    partial_size: int | None
    """Bytes that have arrived of an upload of one's own to that name that broke off or still runs."""

    partial_checksum: Checksum | None
    """Of just these bytes, where it was asked for."""


def read_offered(features: Iterable[str]) -> Offered:
    """What the fields of ``features`` name."""
    words = [feature.split() for feature in features]
    return {each[0]: tuple(each[1:]) for each in words if each}


def read_description(fields: Iterable[Field]) -> Description:
    """What the fields of ``stat`` say.  Raises `ProtocolViolation`; a field that is unknown is ignored."""
    told: dict[FieldName, Field] = {}
    for field in fields:
        told.setdefault(field.name, field)

    def size(name: FieldName) -> int | None:
        return told[name].size() if name in told else None

    def text(name: FieldName) -> str | None:
        return told[name].text() if name in told else None

    try:
        kind = text(FieldName.TYPE)
        modified, mode, partial = map(text, (FieldName.MODIFIED, FieldName.MODE, FieldName.PARTIAL_CHECKSUM))
        if kind not in KINDS:
            raise ProtocolViolation("It described a name without saying what it is.")
        return Description(
            kind,
            size(FieldName.FILE_SIZE),
            None if modified is None else parse_time(modified),
            None if mode is None else parse_mode(mode),
            text(FieldName.LINK) == "yes",
            size(FieldName.PARTIAL_SIZE),
            None if partial is None else parse_checksum(partial),
        )
    except Broken as error:
        raise _meaningless(error) from error


def read_checksum(fields: Iterable[Field], algorithm: str) -> Checksum:
    """What ``checksum`` answers.  Raises `ProtocolViolation`."""
    try:
        for field in fields:
            if field.name is FieldName.CHECKSUM:
                checksum = parse_checksum(field.text())
                if checksum.algorithm == algorithm:
                    return checksum
    except Broken as error:
        raise _meaningless(error) from error
    raise ProtocolViolation(f"It told no {algorithm} checksum.")


def read_directory(fields: Iterable[Field]) -> str:
    """What ``pwd`` answers: a path from the root.  Raises `ProtocolViolation`."""
    try:
        for field in fields:
            if field.name is FieldName.DIRECTORY:
                return field.argument()
    except Broken as error:
        raise _meaningless(error) from error
    raise ProtocolViolation("It told no directory.")


def _meaningless(error: Broken) -> ProtocolViolation:
    return ProtocolViolation(f"Its field has no meaning ({error.phrase}).")
