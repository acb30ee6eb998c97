"""What ``ls`` sends, in both formats (docs/protocol.md, sections 1, 4 and 6)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.test_properties import QUICK
from twisted_ftplite.errors import BadSyntax
from twisted_ftplite.protocol import listing
from twisted_ftplite.protocol.listing import Row, json_lines, parse_json, parse_json_line

NAMES = [
    ("a", False),
    ("b", True),
    (" c", False),
    ('"', True),
    ("\udcff", True),
    ("d\n", False),
    ("é 😀", False),
]


class PlainTests(SynchronousTestCase):
    def test_lines(self) -> None:
        assert b"".join(listing.plain(NAMES)) == (
            b'a\nb/\n" c"\n"\\"/"\n"\\udcff/"\n"d\\n"\n' + "é 😀\n".encode()
        )

    def test_there_and_back(self) -> None:
        assert list(listing.parse_plain(b"".join(listing.plain(NAMES)))) == NAMES
        assert list(listing.parse_plain(b"")) == []

    def test_a_space_before_the_slash_needs_no_quotes(self) -> None:
        assert list(listing.plain([("a ", True), ("a ", False)])) == [b"a /\n", b'"a "\n']
        assert list(listing.parse_plain(b'a /\n"a "\n')) == [("a ", True), ("a ", False)]

    def test_a_whole_tree_without_attributes_is_paths(self) -> None:
        assert list(listing.plain([("d", True), ("d/ e", False)])) == [b"d/\n", b"d/ e\n"]

    def test_what_is_no_listing(self) -> None:
        for data in (
            b"a",
            b"\n",
            b"a\n\n",
            b"/\n",
            b"a/b\n",
            b"a//\n",
            b"\xff\n",
            b"a\r\n",
            b'"a" "b"\n',
            b'"a\n',
            b'"\\u0000"\n',
            b" a\n",
        ):
            with pytest.raises(BadSyntax):
                list(listing.parse_plain(data))

    def test_names_that_would_lead_elsewhere(self) -> None:
        for data in (b".\n", b"..\n", b"./\n", b"../\n"):
            with pytest.raises(BadSyntax):
                list(listing.parse_plain(data))


FILE = Row("a", "file", 1024, 1_763_816_400_500_000_000, 0o644, False)
ROWS: dict[Row, bytes] = {
    FILE: b'{"name": "a", "type": "file", "size": 1024, "mtime": 1763816400.5, "mode": 420}',
    FILE._replace(kind="directory", mode=0o755): (
        b'{"name": "a", "type": "directory", "size": 1024, "mtime": 1763816400.5, "mode": 493}'
    ),
    FILE._replace(kind="link", link=True): (
        b'{"name": "a", "type": "link", "size": 1024, "mtime": 1763816400.5, "mode": 420, "link": true}'
    ),
    FILE._replace(kind="other", size=0, mode=0): (
        b'{"name": "a", "type": "other", "size": 0, "mtime": 1763816400.5, "mode": 0}'
    ),
    FILE._replace(name='é\n"\\'): (
        '{"name": "é\\n\\"\\\\", "type": "file", "size": 1024, "mtime": 1763816400.5, "mode": 420}'.encode()
    ),
    FILE._replace(name="\x7f\x85\udc80\udcff"): (
        b'{"name": "\\u007f\\u0085\\udc80\\udcff", "type": "file", "size": 1024, '
        b'"mtime": 1763816400.5, "mode": 420}'
    ),
    FILE._replace(size=2**63 - 1): (
        b'{"name": "a", "type": "file", "size": 9223372036854775807, "mtime": 1763816400.5, "mode": 420}'
    ),
}

MTIMES: dict[int, bytes] = {
    0: b"0.0",
    1000: b"0.000001",
    -1000: b"-0.000001",
    500_000_000: b"0.5",
    -1_500_000_000: b"-1.5",
    1_763_816_400_123_456_000: b"1763816400.123456",
    99_999_999_999_999_999_000: b"99999999999.999999",  # more than a float can tell
    -(2**63) * 10**9: b"-9223372036854775808.0",
    (2**63 - 1) * 10**9: b"9223372036854775807.0",
}


def one_line(row: Row) -> bytes:
    (line,) = json_lines([row])
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    return line[:-1]


def with_member(key: str, value: bytes) -> bytes:
    """The line of `FILE` with another value, as it is spelled, for a key."""
    members = {"name": b'"a"', "type": b'"file"', "size": b"1", "mtime": b"0.5", "mode": b"420", key: value}
    return b"{" + b", ".join(b'"%s": %s' % (each.encode(), members[each]) for each in members) + b"}"


class JsonTests(SynchronousTestCase):
    def test_lines(self) -> None:
        for row, line in ROWS.items():
            assert one_line(row) == line
            assert parse_json_line(line) == row

    def test_it_is_what_any_parser_reads(self) -> None:
        for row, line in ROWS.items():
            read = json.loads(line)
            assert (read["name"], read["size"], read["mtime"]) == (row.name, row.size, row.mtime_ns / 1e9)

    def test_a_whole_listing(self) -> None:
        data = b"".join(json_lines(ROWS))
        assert list(parse_json(data)) == list(ROWS)
        assert list(parse_json(b"")) == []

    def test_lines_are_made_one_by_one(self) -> None:
        def endless() -> Iterator[Row]:
            while True:
                yield FILE

        lines = json_lines(endless())
        assert next(lines) == next(lines)

    def test_times(self) -> None:
        for mtime_ns, spelled in MTIMES.items():
            line = one_line(FILE._replace(mtime_ns=mtime_ns))
            assert b'"mtime": %s,' % spelled in line
            assert parse_json_line(line).mtime_ns == mtime_ns

    def test_times_are_cut_to_microseconds(self) -> None:
        for mtime_ns, cut in {1: 0, 999: 0, 1999: 1000, -1: -1000, -1001: -2000}.items():
            assert parse_json_line(one_line(FILE._replace(mtime_ns=mtime_ns))).mtime_ns == cut

    def test_times_as_others_may_spell_them(self) -> None:
        for spelled, mtime_ns in {
            b"5": 5 * 10**9,
            b"-5": -5 * 10**9,
            b"-0": 0,
            b"-0.0": 0,
            b"1.7638164005e9": FILE.mtime_ns,
            b"1763816400.1234560013": 1_763_816_400_123_456_000,
            b"1763816400.123455999": 1_763_816_400_123_456_000,
            b"1E-400": 0,
            b"0." + b"3" * 5000: 333_333_000,
        }.items():
            assert parse_json_line(with_member("mtime", spelled)).mtime_ns == mtime_ns, spelled[:40]

    def test_only_nine_bits_of_the_mode(self) -> None:
        assert parse_json_line(one_line(FILE._replace(mode=0o104755))).mode == 0o755

    def test_a_name_that_no_file_has_cannot_be_said(self) -> None:
        with pytest.raises(BadSyntax):
            one_line(FILE._replace(name="\ud800"))


NO_VALUES: dict[str, list[bytes]] = {
    "name": [
        b'""',
        b'"."',
        b'".."',
        b'"/"',
        b'"a/b"',
        b'"/a"',
        b'"a/"',
        b'"\\u0000"',
        b'"\\ud800"',
        b'"\\udc7f"',
        b'"\t"',
        b'"\xff"',
        b"1",
        b"null",
        b'["a"]',
    ],
    "type": [b'""', b'"File"', b'"none"', b'"socket"', b"1", b"null"],
    "size": [
        b"-1",
        b"1.0",
        b"1e3",
        b"true",
        b"null",
        b'"1"',
        b"01",
        b"+1",
        b"10000000000000000000",
        b"9" * 5000,
        b"NaN",
        b"[1]",
    ],
    "mtime": [
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"nan",
        b"true",
        b"false",
        b"null",
        b'"0.5"',
        b"1e19",
        b"-1e19",
        b"1e999999999999999999999",
        b"1e999999999",
        b"9" * 20,
        b"9" * 5000,
        b".5",
        b"5.",
        b"{}",
    ],
    "mode": [b"-1", b"512", b"33188", b"420.0", b"true", b"null", b'"0644"', b"0644"],
    "link": [b"1", b"0", b"null", b'"true"', b"[]"],
}

NO_OBJECTS = [
    b"",
    b"a",
    b"null",
    b"1",
    b'"a"',
    b"[]",
    b"{}",
    b"{",
    b"}",
    b"{}{}",
    b"{" * 100_000 + b"}" * 100_000,
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    b"{'name': 'a'}",
    b'{"name": "a", "type": "file", "size": 1, "mtime": 0.5}',
    b'{"name": "a", "type": "file", "size": 1, "mtime": 0.5, "mode": 420,}',
    b'{"name": "a" "type": "file", "size": 1, "mtime": 0.5, "mode": 420}',
    b'{"Name": "a", "type": "file", "size": 1, "mtime": 0.5, "mode": 420}',
    b'{"name": "a", "name": "a", "type": "file", "size": 1, "mtime": 0.5, "mode": 420}',
    b'{"name": "a", "\\u006eame": "b", "type": "file", "size": 1, "mtime": 0.5, "mode": 420}',
    b'{"name": "a", "type": "file", "size": 1, "mtime": 0.5, "mode": 420, "x": {"y": 1, "y": 1}}',
    b'{"name": "a", "type": "file", "size": 1, "mtime": 0.5, "mode": 420, "x": NaN}',
    b'{"name": "a", "type": "file", "size": 1, "mtime": 0.5, "mode": 420} ',
    b' {"name": "a", "type": "file", "size": 1, "mtime": 0.5, "mode": 420}',
    b'\xef\xbb\xbf{"name": "a", "type": "file", "size": 1, "mtime": 0.5, "mode": 420}',
    b'{"name": "a", "type": "file", "size": 1, "mtime": 0.5, "mode": 420}\r',
    '{"name": "a", "type": "file", "size": 1, "mtime": 0.5, "mode": 420}'.encode("utf-16"),
]

ELSEWHERE = ["", ".", "..", "/", "/a", "a/", "a//b", "a/./b", "a/../b", "../a", "a/..", "./a", "a/\0"]


class StrictJsonTests(SynchronousTestCase):
    def test_the_vectors_differ_from_a_row_in_one_thing(self) -> None:
        assert parse_json_line(with_member("link", b"false")) == Row(
            "a", "file", 1, 500_000_000, 0o644, False
        )

    def test_no_values(self) -> None:
        for key, values in NO_VALUES.items():
            for value in values:
                with pytest.raises(BadSyntax):
                    parse_json_line(with_member(key, value))

    def test_no_objects(self) -> None:
        for line in NO_OBJECTS:
            with pytest.raises(BadSyntax):
                parse_json_line(line)

    def test_every_piece_of_a_row_is_none(self) -> None:
        for line in ROWS.values():
            for length in range(len(line)):
                with pytest.raises(BadSyntax):
                    parse_json_line(line[:length])

    def test_nothing_stands_behind_a_row(self) -> None:
        for line in ROWS.values():
            for behind in (b" ", b"\r", b"\0", b"{}", b",", b"}", line):
                with pytest.raises(BadSyntax):
                    parse_json_line(line + behind)

    def test_no_listings(self) -> None:
        line = ROWS[FILE]
        for data in (line, line + b"\n\n", b"\n" + line + b"\n", line + b"\r\n", line + b"\n" + line, b"a\n"):
            with pytest.raises(BadSyntax):
                list(parse_json(data))

    def test_keys_that_are_not_known_are_ignored(self) -> None:
        for value in (b"1", b"1e999", b'"\\ud800"', b'{"name": "b"}', b"[[], {}]", b"null"):
            assert parse_json_line(with_member("owner", value)).name == "a"

    def test_blanks_between_the_members_are_as_they_like(self) -> None:
        for spelled in (ROWS[FILE].replace(b" ", b""), ROWS[FILE].replace(b" ", b"\t ").replace(b"{", b"{ ")):
            assert parse_json_line(spelled) == FILE

    def test_a_whole_tree_has_paths_downwards(self) -> None:
        for name in ("a", "a/b", " a/b /...", "a/.b", "é/\udcff"):
            row = FILE._replace(name=name)
            assert parse_json_line(one_line(row), whole_tree=True) == row
        for name in ELSEWHERE:
            with pytest.raises(BadSyntax):
                parse_json_line(one_line(FILE._replace(name=name)), whole_tree=True)

    def test_a_directory_has_names(self) -> None:
        for name in [*ELSEWHERE, "a/b"]:
            with pytest.raises(BadSyntax):
                parse_json_line(one_line(FILE._replace(name=name)))


NAME_BYTES = st.binary(min_size=1, max_size=20).filter(
    lambda name: name not in (b".", b"..") and not {0, ord("/")} & set(name)
)
"""Any name that a file of Linux can have."""

NAME = NAME_BYTES.map(os.fsdecode)
ATTRIBUTES = (
    st.sampled_from(sorted(listing.KINDS)),
    st.integers(0, 2**63 - 1),
    st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63) * 10**9, 2**63 * 10**9 - 1)),
    st.integers(0, 0o777),
    st.booleans(),
)
ANY_ROW = st.builds(Row, NAME, *ATTRIBUTES)
ANY_PATH_ROW = st.builds(Row, st.lists(NAME, min_size=1, max_size=4).map("/".join), *ATTRIBUTES)


def cut(row: Row) -> Row:
    """The row as the wire can tell it."""
    return row._replace(mtime_ns=row.mtime_ns // 1000 * 1000)


class JsonProperties(SynchronousTestCase):
    @QUICK
    @given(st.lists(ANY_ROW, max_size=4))
    def test_there_and_back(self, rows: list[Row]) -> None:
        data = b"".join(json_lines(rows))
        assert list(parse_json(data)) == list(map(cut, rows))
        assert data.count(b"\n") == len(rows)
        data.decode("utf-8")

    @QUICK
    @given(NAME_BYTES)
    def test_names_keep_their_bytes(self, name: bytes) -> None:
        line = one_line(FILE._replace(name=os.fsdecode(name)))
        assert os.fsencode(parse_json_line(line).name) == name

    @QUICK
    @given(st.lists(ANY_PATH_ROW, max_size=4))
    def test_a_whole_tree_there_and_back(self, rows: list[Row]) -> None:
        assert list(parse_json(b"".join(json_lines(rows)), whole_tree=True)) == list(map(cut, rows))

    @QUICK
    @given(
        st.one_of(
            st.binary(max_size=60),
            st.binary(max_size=30).map(lambda inside: b"{" + inside + b"}"),
            st.sampled_from(sorted(NO_VALUES)).flatmap(
                lambda key: st.binary(max_size=20).map(lambda value: with_member(key, value))
            ),
            st.recursive(
                st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
            ).map(lambda value: with_member("size", json.dumps(value).encode())),
        ),
        st.booleans(),
    )
    def test_any_line_is_read_or_refused(self, line: bytes, whole_tree: bool) -> None:
        try:
            row = parse_json_line(line, whole_tree=whole_tree)
        except BadSyntax:
            return
        assert row.kind in listing.KINDS
        assert 0 <= row.size < 10**19
        assert 0 <= row.mode <= 0o777
        assert parse_json_line(one_line(row), whole_tree=whole_tree) == row

    @QUICK
    @given(ANY_ROW, st.data())
    def test_one_wrong_byte_is_read_or_refused(self, row: Row, data: st.DataObject) -> None:
        line = bytearray(one_line(row))
        line[data.draw(st.integers(0, len(line) - 1))] = data.draw(st.integers(0, 255))
        try:
            parse_json_line(bytes(line))
        except BadSyntax:
            return
