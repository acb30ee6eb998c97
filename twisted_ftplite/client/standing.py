"""What the server tells of one's own sessions, read from the fields that tell it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from ..errors import BadSyntax, Broken, ProtocolViolation
from ..protocol.lines import Field, FieldName, join_bytes

T = TypeVar("T")


class Moving(NamedTuple):
    """A transfer that runs."""

    verb: str
    name: str
    """As it was asked for; cut, with an ``…``, where it is very long."""

    size: int | None
    """Bytes that are to move; None while that is not known."""

    moved: int
    seconds: float
    rate: float
    """Bytes a second, so far."""

    limited_by: str | None
    """What the server has waited for most: ``network``, ``receiver``, ``disk``, ``cpu`` or ``limit``."""

    rtt: float | None
    """A round trip of the data channel, in seconds; None where the server's system doesn't tell."""

    retransmitted: int | None
    """Segments that the server has sent again."""


class Standing(NamedTuple):
    """One of one's own sessions."""

    own: bool
    """Whether it is the one that asks."""

    peer: str
    """Address and port of its client."""

    user: str | None
    secure: bool
    seconds: float
    """How long it has been there."""

    directory: str
    transfer: Moving | None
    told: Mapping[str, Any]
    """All that the server told of it."""


def read_standings(fields: Iterable[Field]) -> list[Standing]:
    """What ``status`` answers.  Raises `ProtocolViolation`; keys that are unknown are ignored."""
    try:
        return [_read(field.text()) for field in fields if field.name is FieldName.SESSION]
    except (Broken, ValueError, RecursionError) as error:
        raise ProtocolViolation("What it tells of a session has no meaning.") from error


def _read(text: str) -> Standing:
    told = _Told(json.loads(text))
    moves = told.maybe("transfer", dict)
    return Standing(
        told.must("own", bool),
        told.text("peer"),
        None if told.maybe("user", str) is None else told.text("user"),
        told.must("secure", bool),
        told.number("seconds"),
        told.text("directory"),
        None if moves is None else _read_moving(_Told(moves)),
        told.values,
    )


def _read_moving(told: _Told) -> Moving:
    return Moving(
        told.text("verb"),
        told.text("name"),
        told.maybe("size", int),
        told.must("moved", int),
        told.number("seconds"),
        told.number("rate"),
        told.maybe("limited_by", str),
        None if told.maybe("rtt", (int, float)) is None else told.number("rtt"),
        told.maybe("retransmitted", int),
    )


class _Told:
    """A JSON object whose values are what they should be.  Raises `BadSyntax`."""

    def __init__(self, values: object) -> None:
        if not isinstance(values, dict):
            raise BadSyntax
        self.values: dict[str, Any] = values

    def maybe(self, name: str, kind: type[T] | tuple[type[T], ...]) -> T | None:
        value = self.values.get(name)
        if value is not None and not isinstance(value, kind):
            raise BadSyntax
        return value

    def must(self, name: str, kind: type[T]) -> T:
        value = self.maybe(name, kind)
        if value is None:
            raise BadSyntax
        return value

    def text(self, name: str) -> str:
        return join_bytes(self.must(name, str))

    def number(self, name: str) -> float:
        value: Any = self.values.get(name)
        if not isinstance(value, int | float):
            raise BadSyntax
        return float(value)
