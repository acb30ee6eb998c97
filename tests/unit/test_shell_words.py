"""Words that people type, names as they are shown, and the one read back as the other."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite.client.display import describe, escape, listing, rate, summary
from twisted_ftplite.client.troubles import BadUsage
from twisted_ftplite.client.words import complete, quote, spell, split, unfinished
from twisted_ftplite.errors import ConnectionRefused, FileNotFound, LocalFileTrouble
from twisted_ftplite.protocol.lines import parse_argument
from twisted_ftplite.storage.interface import Entry

NAMES = st.binary(min_size=1, max_size=20).map(
    lambda raw: raw.replace(b"\0", b"0").decode("utf-8", "surrogateescape")
)
HOSTILE = "\x1b[2Jred\x07\x9b31m\u202etxt.exe\udc80"


class SplitTests(SynchronousTestCase):
    def check(self, line: str, *words: str) -> None:
        assert split(line) == list(words)

    def test_blanks_divide(self) -> None:
        self.check("get  a\tb ", "get", "a", "b")

    def test_nothing_and_comments(self) -> None:
        for line in ("", "   ", "# get a", "  #"):
            self.check(line)

    def test_a_hash_elsewhere_is_part_of_a_name(self) -> None:
        self.check("get #1# a#b", "get", "#1#", "a#b")

    def test_quotes(self) -> None:
        self.check("get 'my file' \"your file\" our\\ file", "get", "my file", "your file", "our file")
        self.check(r"""'a"\b' "it's" \'""", 'a"\\b', "it's", "'")
        self.check("a'b c'd", "ab cd")
        self.check("''", "")

    def test_double_quotes_hold_json(self) -> None:
        self.check(
            r'"\u001b[1m" "\udc80" "\ud83d\ude00" "a\\b\"" "\udcc3\udca9"',
            "\x1b[1m",
            "\udc80",
            "😀",
            'a\\b"',
            "é",
        )

    def test_other_blanks_are_parts_of_names(self) -> None:
        self.check("a\u00a0b", "a\u00a0b")

    def test_what_makes_no_sense(self) -> None:
        for line in ("'a", '"a', 'get "a\\', "a\\", r'"\x"', r'"\ud800"', r'"\u0000"', "a\0"):
            with pytest.raises(BadUsage):
                split(line)

    @given(st.text())
    @example("\\")
    def test_any_line_is_words_or_bad_usage(self, line: str) -> None:
        with contextlib.suppress(BadUsage):
            assert all(isinstance(word, str) for word in split(line))

    @given(st.lists(NAMES))
    def test_what_is_quoted_comes_back(self, names: list[str]) -> None:
        assert split("get " + " ".join(map(quote, names))) == ["get", *names]


class CompletionTests(SynchronousTestCase):
    def test_where_the_word_begins(self) -> None:
        for text, before, start, typed, open_quote in (
            ("", (), 0, "", ""),
            ("ge", (), 0, "ge", ""),
            ("get ", ("get",), 4, "", ""),
            ("get 'a b' my\\ f", ("get", "a b"), 10, "my f", ""),
            ('get "my f', ("get",), 4, "my f", '"'),
            ("get 'my f", ("get",), 4, "my f", "'"),
        ):
            assert unfinished(text) == (before, start, typed, open_quote)

    def test_nonsense_has_no_completion(self) -> None:
        assert unfinished(r'get "\x" a') is None

    @given(NAMES, st.sampled_from(["", "'", '"']))
    def test_a_completion_means_the_name(self, name: str, open_quote: str) -> None:
        typed = complete(name, open_quote, finished=True)
        assert split("get " + typed) == ["get", name]
        assert "\x1b" not in typed

    def test_it_goes_on_with_what_was_begun(self) -> None:
        assert complete("my file", "", finished=True) == "my\\ file "
        assert complete("my file", '"', finished=True) == '"my file" '
        assert complete("my dir/", "'", finished=False) == "'my dir/"
        assert complete("my dir/", '"', finished=False) == '"my dir/'


class DisplayTests(SynchronousTestCase):
    def test_nothing_steers_the_terminal(self) -> None:
        assert escape(HOSTILE) == r"\x1b[2Jred\x07\x9b31m\u202etxt.exe\x80"
        assert escape("a\nb") == r"a\x0ab"
        assert json.loads(spell(HOSTILE)) == HOSTILE

    @given(st.text(st.characters(exclude_categories=[])))
    def test_what_is_shown_is_printable(self, text: str) -> None:
        for shown in (escape(text), spell(text)):
            assert not [char for char in shown if ord(char) < 32 or 127 <= ord(char) < 160]
            shown.encode()

    def test_a_listing_for_people(self) -> None:
        entries = [Entry("my file", False), Entry("dir", True), Entry("a\u202eb", False), Entry("\x1b", True)]
        assert listing(entries, terminal=True) == 'my file\ndir/\n"a\\u202eb"\n"\\u001b/"\n'

    @given(st.lists(NAMES.filter(lambda name: "/" not in name)))
    def test_a_listing_for_scripts(self, names: list[str]) -> None:
        lines = listing([Entry(name, False) for name in names], terminal=False).split("\n")[:-1]
        assert [parse_argument(line) for line in lines] == [(name,) for name in names]

    def test_figures(self) -> None:
        assert summary("a b", 1024, 0.004) == "a b: 1024 bytes in 0.004 s, 256.0 kB/s\n"
        assert rate(0, 0) == "0 B/s"
        assert rate(5 * 10**9, 1) == "5.0 GB/s"
        assert rate(999, 1) == "999 B/s"

    def test_errors_tell_the_remedy(self) -> None:
        assert describe(FileNotFound("no \x1b")) == r"File not found. no \x1b. See with ls what is there."
        assert "--data-ports" in describe(ConnectionRefused())
        assert "twistd ftplite" in describe(ConnectionRefused(), connecting=True)
        assert describe(LocalFileTrouble("a: Permission denied")) == "a: Permission denied"
