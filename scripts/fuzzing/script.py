"""How the bytes of a fuzzer are read: what comes over the wire, and between that what the host does.

A NUL and the byte behind it are a step of the host; two NULs are a NUL on the wire.  So a file that was found
can be read, and written, by people.
"""

from __future__ import annotations

from collections.abc import Iterator


class Wrong(Exception):
    """Something was not as it must be."""


def must(so: object, otherwise: str) -> None:
    """Raise `Wrong` unless it is ``so``."""
    if not so:
        raise Wrong(otherwise)


def split(body: bytes) -> Iterator[bytes | int]:
    """Pieces of the wire, and steps as numbers from 1."""
    piece = bytearray()
    position = 0
    while position < len(body):
        byte = body[position]
        position += 1
        if byte or position == len(body):
            piece.append(byte)
            continue
        step = body[position]
        position += 1
        if not step:
            piece.append(0)
            continue
        if piece:
            yield bytes(piece)
            piece.clear()
        yield step
    if piece:
        yield bytes(piece)


def head(data: bytes, count: int) -> tuple[bytes, bytes]:
    """The first bytes, which choose options, and the rest."""
    return data[:count].ljust(count, b"\0"), data[count:]


def bits(number: int, names: tuple[str, ...]) -> frozenset[str]:
    """Those names whose bit is set."""
    return frozenset(name for position, name in enumerate(names) if number >> position & 1)
