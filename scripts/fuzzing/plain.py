"""Mutations without atheris: blind, but the same whenever the seed is the same."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

LONGEST = 4096


def mutations(seeds: Sequence[bytes], words: Sequence[bytes], chance: random.Random) -> Iterator[bytes]:
    """The seeds, and then without end what comes of them."""
    yield from seeds
    yield b""
    while True:
        data = chance.choice(seeds)
        for _ in range(chance.randint(1, 8)):
            data = _mutate(data, seeds, words, chance)
        yield data[:LONGEST]


def _mutate(data: bytes, seeds: Sequence[bytes], words: Sequence[bytes], chance: random.Random) -> bytes:
    start = chance.randint(0, len(data))
    end = min(len(data), start + chance.randint(0, 16))
    before, cut, behind = data[:start], data[start:end], data[end:]
    match chance.randrange(6):
        case 0 | 1:
            return before + chance.choice(words) + cut + behind
        case 2:
            return before + chance.choice(words) + behind
        case 3:
            return before + behind
        case 4:
            return before + bytes((chance.randrange(256),)) + data[start + 1 :]
    other = chance.choice(seeds)
    return before + other[chance.randint(0, len(other)) :]
