"""Flags of the verbs, and the table of verbs that has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite.client.flags import Call, Flag, read, usage
from twisted_ftplite.client.troubles import BadUsage
from twisted_ftplite.client.verbs import ROWS, VERBS, find, overview

FLAGS = (Flag("long", "", "l"), Flag("all", "", "a"), Flag("json", ""))


class ReadTests(SynchronousTestCase):
    def check(self, line: str, flags: str, arguments: str) -> None:
        assert read(FLAGS, line.split()) == (tuple(flags.split()), tuple(arguments.split()))

    def test_letters_and_long_names(self) -> None:
        self.check("", "", "")
        self.check("-l", "long", "")
        self.check("-la x", "long all", "x")
        self.check("--json --all x", "json all", "x")

    def test_they_stand_anywhere(self) -> None:
        self.check("x -l y --all", "long all", "x y")

    def test_the_end_of_them(self) -> None:
        self.check("-l -- -a --json", "long", "-a --json")
        self.check("-- --", "", "--")

    def test_a_lone_dash_is_an_argument(self) -> None:
        self.check("- -l", "long", "-")

    def test_a_flag_may_come_twice(self) -> None:
        self.check("-ll", "long long", "")

    def test_what_is_no_flag(self) -> None:
        for line, told in (
            ("-x", "no such option -x; a name that begins with a dash stands behind --"),
            ("-lx", r"no such option -x \(in -lx\)"),
            ("--lang", r"no such option --lang \(did you mean --long\?\)"),
            ("--timeuot=3", r"no such option --timeuot=3 \(did you mean --timeout\?\)"),
            ("--zzz", "no such option --zzz; "),
            ("--json=1", "--json takes no value"),
            ("--l", "no such option --l"),
            ("-\x1b", r"no such option -\\x1b"),
        ):
            with pytest.raises(BadUsage, match=told):
                read(FLAGS, line.split(" "), ["--timeout"])

    @given(st.lists(st.text()))
    def test_any_words_are_flags_and_arguments_or_bad_usage(self, words: list[str]) -> None:
        try:
            flags, arguments = read(FLAGS, words)
        except BadUsage:
            return
        assert set(flags) <= {"long", "all", "json"}
        assert set(arguments) <= set(words)

    def test_the_last_one_counts(self) -> None:
        call = Call(("by-time", "long", "by-size"), (), "")
        assert call.last("by-time", "by-size") == "by-size"
        assert call.last("json") is None

    def test_usage(self) -> None:
        assert usage(FLAGS) == "[-la] [--json]"
        assert usage(()) == ""


class TableTests(SynchronousTestCase):
    def test_find(self) -> None:
        verb, call = find(["LS", "-la", "docs"])
        assert verb is VERBS["ls"]
        assert call == Call(("long", "all"), ("docs",), "ls [-1alRrtS] [--json] [PATH]")

    def test_how_many_arguments(self) -> None:
        for words in ("rm a", "rm a b c", "mv a b", "checksum a", "checksum a sha256", "cd", "get a b"):
            find(words.split())
        for words, told in (
            ("rm", "NAME is missing; usage: rm"),
            ("mv a", "NEW is missing"),
            ("mkdir -p", "PATH is missing"),
            (
                "get a b c",
                "too many arguments; a name with blanks goes in quotes, and so does a pattern; usage:",
            ),
            ("pwd x", "too many arguments; usage: pwd$"),
            ("get -l", "no such option -l; .*; usage: get "),
        ):
            with pytest.raises(BadUsage, match=told):
                find(words.split())

    def test_what_an_argument_is(self) -> None:
        assert VERBS["rm"].argument(7) == "NAME"
        assert VERBS["get"].argument(1) == "LOCAL"
        assert VERBS["get"].argument(2) is None
        assert VERBS["pwd"].argument(0) is None

    def test_every_flag_is_spelled_one_way(self) -> None:
        for row in ROWS:
            letters = [flag.letter for flag in row.flags if flag.letter]
            names = [flag.name for flag in row.flags]
            assert len(set(letters)) == len(letters)
            assert len(set(names)) == len(names)
            for flag in row.flags:
                assert flag.help

    def test_the_overview_fits_a_terminal(self) -> None:
        for line in overview(ROWS).splitlines() + "".join(row.details() for row in ROWS).splitlines():
            assert len(line) < 79, line
