"""Values of fields that are neither numbers nor names (docs/protocol.md, section 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.test_properties import QUICK
from twisted_ftplite.errors import BadSyntax
from twisted_ftplite.protocol.values import (
    Checksum,
    parse_checksum,
    parse_mode,
    parse_time,
    parse_word,
    spell_mode,
    spell_time,
)

SECOND = 10**9
FIRST = -62_135_596_800 * SECOND
LAST = 253_402_300_799_999_999_000

BEHIND = (" ", "\n", "\r", "\0", "x:", " 0", "é")
"""What makes anything something else when it stands behind it."""


def refuses(parse: Callable[[str], object], texts: Iterable[str]) -> None:
    for text in texts:
        with pytest.raises(BadSyntax):
            parse(text)


TIMES = {
    "1970-01-01T00:00:00Z": 0,
    "1970-01-01T00:00:00.000000Z": 0,
    "1970-01-01T00:00:01Z": SECOND,
    "1970-01-01T00:00:00.5Z": SECOND // 2,
    "1970-01-01T00:00:00.000001Z": 1000,
    "1970-01-01T00:00:00.00001Z": 10_000,
    "1969-12-31T23:59:59.999999Z": -1000,
    "2026-11-22T13:00:00.123456Z": 1_795_352_400_123_456_000,
    "2024-02-29T00:00:00Z": 1_709_164_800 * SECOND,
    "0001-01-01T00:00:00Z": FIRST,
    "9999-12-31T23:59:59.999999Z": LAST,
}
NO_TIMES = [
    "",
    "0",
    "1970-01-01",
    "1970-01-01T00:00:00",
    "1970-01-01T00:00Z",
    "1970-01-01 00:00:00Z",
    "1970-01-01t00:00:00Z",
    "1970-01-01T00:00:00z",
    "1970-01-01T00:00:00+00:00",
    "1970-01-01T00:00:00.Z",
    "1970-01-01T00:00:00,5Z",
    "1970-01-01T00:00:00.1234567Z",
    "1970-1-1T0:0:0Z",
    "01970-01-01T00:00:00Z",
    "-1970-01-01T00:00:00Z",
    "19700101T000000Z",
    "1970-W01-4T00:00:00Z",
    "1970-00-01T00:00:00Z",
    "1970-13-01T00:00:00Z",
    "1970-01-00T00:00:00Z",
    "1970-01-32T00:00:00Z",
    "2023-02-29T00:00:00Z",
    "1970-01-01T24:00:00Z",
    "1970-01-01T00:60:00Z",
    "1970-01-01T00:00:60Z",
    "0000-01-01T00:00:00Z",
    "١٩٧٠-01-01T00:00:00Z",
    " 1970-01-01T00:00:00Z",
]


class TimeTests(SynchronousTestCase):
    def test_times(self) -> None:
        for text, nanoseconds in TIMES.items():
            assert parse_time(text) == nanoseconds, text

    def test_no_times(self) -> None:
        refuses(parse_time, NO_TIMES)
        refuses(parse_time, (text + behind for text in TIMES for behind in BEHIND))

    def test_spelling(self) -> None:
        for text, nanoseconds in TIMES.items():
            if len(text) == 27:
                assert spell_time(nanoseconds) == text

    def test_it_is_cut_to_microseconds(self) -> None:
        assert spell_time(999) == "1970-01-01T00:00:00.000000Z"
        assert spell_time(-1) == "1969-12-31T23:59:59.999999Z"

    def test_beyond_the_calendar(self) -> None:
        for nanoseconds, text in {
            FIRST - 1: "0001-01-01T00:00:00.000000Z",
            LAST + 1000: "9999-12-31T23:59:59.999999Z",
            -(2**63) * SECOND: "0001-01-01T00:00:00.000000Z",
            2**63 * SECOND: "9999-12-31T23:59:59.999999Z",
        }.items():
            assert spell_time(nanoseconds) == text

    @QUICK
    @given(st.integers(FIRST, LAST + 999))
    def test_there_and_back(self, nanoseconds: int) -> None:
        text = spell_time(nanoseconds)
        assert len(text) == 27
        assert parse_time(text) == nanoseconds // 1000 * 1000


class ModeTests(SynchronousTestCase):
    def test_every_mode_there_and_back(self) -> None:
        for mode in range(0o1000):
            assert parse_mode(spell_mode(mode)) == mode
        assert spell_mode(0o644) == "0644"
        assert spell_mode(0) == "0000"

    def test_only_nine_bits_are_told(self) -> None:
        assert spell_mode(0o104755) == "0755"

    def test_no_modes(self) -> None:
        refuses(
            parse_mode,
            [
                "",
                "0",
                "644",
                "00644",
                "1644",
                "0844",
                "0o644",
                "-644",
                "+644",
                "0_44",
                "\u0660644",
                " 0644",
                "rw-r",
            ],
        )
        refuses(parse_mode, ("0644" + behind for behind in BEHIND))


class WordTests(SynchronousTestCase):
    def test_words(self) -> None:
        for text in ("xxh128", "sha-256", "SHA512/256", "~", "!", "x" * 64):
            assert parse_word(text) == text

    def test_no_words(self) -> None:
        refuses(parse_word, ["", " ", "a b", " a", "a\tb", "é", "x" * 65])
        refuses(parse_word, ("xxh128" + behind for behind in BEHIND if behind != "x:"))


CHECKSUMS = {
    "xxh128 99aa06d3014798d86001c324468d497f": ("xxh128", "99aa06d3014798d86001c324468d497f"),
    "xxh128 99AA06D3014798d86001c324468d497f": ("xxh128", "99aa06d3014798d86001c324468d497f"),
    f"sha256 {'0' * 64}": ("sha256", "0" * 64),
    f"sha-512 {'F' * 128}": ("sha-512", "f" * 128),
    "x 0": ("x", "0"),  # whether it is long enough is told by comparing
}
NO_CHECKSUMS = [
    "",
    " ",
    "xxh128",
    "xxh128 ",
    " 00",
    "xxh128  00",
    "xxh128 0g",
    "xxh128 0x00",
    "xxh128 00 00",
    "xxh128\t00",
    "xxh128 -0",
    "xxh128 \u0660\u0660",
    "é 00",
    f"x {'0' * 129}",
    f"{'x' * 65} 00",
]


class ChecksumTests(SynchronousTestCase):
    def test_checksums(self) -> None:
        for text, (algorithm, digest) in CHECKSUMS.items():
            checksum = parse_checksum(text)
            assert checksum == Checksum(algorithm, digest), text
            assert str(checksum) == f"{algorithm} {digest}"
            assert parse_checksum(str(checksum)) == checksum

    def test_no_checksums(self) -> None:
        refuses(parse_checksum, NO_CHECKSUMS)
        refuses(parse_checksum, (text + behind for text in CHECKSUMS for behind in BEHIND))


class AnyTextTests(SynchronousTestCase):
    @QUICK
    @given(
        st.one_of(
            st.text(max_size=40),
            st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z"),
            st.from_regex(r"[0-9]{4}"),
            st.from_regex(r"[a-z0-9]{1,8} [0-9a-f]{1,8}"),
        )
    )
    def test_it_is_read_or_refused(self, text: str) -> None:
        for parse in (parse_time, parse_mode, parse_word, parse_checksum):
            try:
                parse(text)
            except BadSyntax:
                continue
