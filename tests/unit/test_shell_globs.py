"""Patterns of names: what matches, and what is found with them in a tree."""

from __future__ import annotations

import glob
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite.client import local_tree
from twisted_ftplite.client.globs import Listing, Match, expand, is_pattern, literally, matches
from twisted_ftplite.client.words import Word, pattern_of, quote, split
from twisted_ftplite.errors import (
    ConnectionLost,
    FileNotFound,
    FTPLiteError,
    LocalFileTrouble,
    PermissionDenied,
)

NAMES = st.text(st.sampled_from("ab.*?[]!-\udcff"), min_size=1, max_size=6)


class MatchTests(SynchronousTestCase):
    def test_what_matches(self) -> None:
        for pattern, name, expected in (
            ("*", "a", True),
            ("*", ".a", False),
            (".*", ".a", True),
            ("?a", ".a", False),
            ("[.]a", ".a", False),
            ("*.jpg", "x.jpg", True),
            ("*.jpg", "x.JPG", False),
            ("x?.jpg", "x1.jpg", True),
            ("x?.jpg", "x.jpg", False),
            ("x[0-9]", "x5", True),
            ("x[!0-9]", "x5", False),
            ("x[!0-9]", "xa", True),
            ("a?", "a\udcff", True),
            ("a?", "aé", True),
            ("*", "a\nb", True),
            ("a[*]b", "a*b", True),
            ("a[*]b", "axb", False),
            ("[", "[", True),
            ("[]", "[]", True),
            ("a+(b)", "a+(b)", True),
            ("a$", "a", False),
        ):
            assert matches(pattern, name) is expected, (pattern, name)

    def test_what_is_a_pattern(self) -> None:
        for text in ("*", "a?", "x[12]", "*/a", "[]a]"):
            assert is_pattern(text)
        for text in ("", "a", "[", "a]", "[]", "a/b", "[*][?][[]"):
            assert not is_pattern(text)

    @given(NAMES)
    def test_literally(self, name: str) -> None:
        assert not is_pattern(literally(name))
        assert matches(literally(name), name)


class WordTests(SynchronousTestCase):
    def pattern(self, line: str) -> str:
        (word,) = split(line)
        return pattern_of(word)

    def test_what_is_quoted_stands_for_itself(self) -> None:
        assert self.pattern("*.jpg") == "*.jpg"
        for line in (r"\*.jpg", "'*.jpg'", '"*.jpg"', "'*'.jpg"):
            assert not is_pattern(self.pattern(line))
            assert split(line) == ["*.jpg"]

    def test_a_part_may_be_quoted(self) -> None:
        for line in (r"my\ dir/*.jpg", "'my dir'/*.jpg", '"my dir/"*.jpg'):
            assert split(line) == ["my dir/*.jpg"]
            assert self.pattern(line) == "my dir/*.jpg"
        assert self.pattern("'[1]'*") == "[[]1]*"

    def test_a_word_from_elsewhere_is_its_own_pattern(self) -> None:
        assert pattern_of("*.jpg") == "*.jpg"
        assert pattern_of(Word("*", "[*]")) == "[*]"

    @given(NAMES)
    def test_a_quoted_name_is_no_pattern(self, name: str) -> None:
        assert not is_pattern(self.pattern(quote(name)))


class ExpandTests(SynchronousTestCase):
    """In a tree of strings: its directories end with a slash."""

    tree = (
        "a.jpg", "b.jpg", ".hidden.jpg", "B.JPG", "*", "x1/", "x1/p.jpg", "x1/q.png", "x1/deep/",
        "x1/deep/p.jpg", "x2/", "x2/p.jpg", "a[1]/", "a[1]/s.jpg", "a1/", "a1/t.jpg", "\udcff.jpg", "locked/",
    )  # fmt: skip

    def setUp(self) -> None:
        self.asked: list[str] = []
        self.refused: dict[str, FTPLiteError] = {"locked/": PermissionDenied()}

    async def look(self, folders: Sequence[str]) -> Sequence[Listing | FTPLiteError]:
        return [self.names(folder) for folder in folders]

    def names(self, folder: str) -> Listing | FTPLiteError:
        self.asked.append(folder)
        at = folder.removeprefix("/").removeprefix("./").replace("/./", "/")
        if at in self.refused:
            return self.refused[at]
        if at and at not in self.tree:
            return FileNotFound()
        inside = [path[len(at) :] for path in self.tree if path.startswith(at)]
        return [(name.rstrip("/"), name.endswith("/")) for name in inside if name and "/" not in name[:-1]]

    def expand(self, text: str, pattern: str | None = None) -> list[str]:
        result = expand(text, text if pattern is None else pattern, self.look)
        return [match.name for match in self.successResultOf(Deferred.fromCoroutine(result))]

    def test_names(self) -> None:
        assert self.expand("?.jpg") == ["a.jpg", "b.jpg", "\udcff.jpg"]
        assert self.expand(".h*") == [".hidden.jpg"]
        assert self.expand("no*") == []

    def test_directories_are_told_from_files(self) -> None:
        result = Deferred.fromCoroutine(expand("x1/[dp]*", "x1/[dp]*", self.look))
        assert self.successResultOf(result) == [Match("x1/deep", True), Match("x1/p.jpg", False)]

    def test_segments(self) -> None:
        assert self.expand("x?/*.jpg") == ["x1/p.jpg", "x2/p.jpg"]
        assert self.expand("x?/*/p*") == ["x1/deep/p.jpg"]
        assert self.expand("x*/p.jpg") == ["x1/p.jpg", "x2/p.jpg"]
        assert self.expand("x?/") == ["x1/", "x2/"]
        assert self.expand("x?/./p*") == ["x1/./p.jpg", "x2/./p.jpg"]
        assert self.expand("/x1/q*") == ["/x1/q.png"]
        assert self.expand("./x1/q*") == ["./x1/q.png"]

    def test_only_what_is_needed_is_listed(self) -> None:
        self.expand("x1/deep/*")
        assert self.asked == ["x1/deep/"]
        self.expand("x1/")
        assert len(self.asked) == 1

    def test_a_name_that_is_there_is_that_name(self) -> None:
        assert self.expand("*") == ["*"]
        assert self.expand("a[1]/*") == ["a[1]/s.jpg"]
        assert self.expand("a[1]/s.jpg") == ["a[1]/s.jpg"]
        self.tree = tuple(each for each in self.tree if not each.startswith("a[1]"))
        assert self.expand("a[1]/*") == ["a1/t.jpg"]

    def test_what_was_quoted(self) -> None:
        assert self.expand("*?jpg", "[*]?jpg") == []
        assert self.expand("a[1]/*", "a[[]1]/*") == ["a[1]/s.jpg"]

    def test_what_cannot_be_listed(self) -> None:
        self.failureResultOf(Deferred.fromCoroutine(expand("none/*", "none/*", self.look)), FileNotFound)
        assert self.expand("[lx]*/p.jpg") == ["x1/p.jpg", "x2/p.jpg"]
        self.refused = {"locked/": ConnectionLost()}
        self.failureResultOf(Deferred.fromCoroutine(expand("l*/*", "l*/*", self.look)), ConnectionLost)

    @given(st.text(st.sampled_from("ab*?[]/.!")))
    @example("*/")
    @example("//*")
    @example("..")
    def test_nothing_but_names_or_refusals(self, pattern: str) -> None:
        result = Deferred.fromCoroutine(expand(pattern, pattern, self.look))
        result.addErrback(lambda failure: failure.trap(FTPLiteError) and None)
        self.successResultOf(result)


class LocalTests(SynchronousTestCase):
    """On this machine it is as Python's own glob has it."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        before = os.getcwd()
        self.addCleanup(os.chdir, before)
        os.chdir(folder.name)
        for name in ("a", "ab", ".c", "B", "d/e", "d/.f", "g/e", "g/h/i", os.fsdecode(b"\xff")):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).touch()
        Path("to-d").symlink_to("d")

    async def look(self, folders: Sequence[str]) -> Sequence[Listing | FTPLiteError]:
        return local_tree.look(folders)

    def test_as_glob(self) -> None:
        for pattern in (
            "*",
            ".*",
            "a*",
            "?",
            "*/*",
            "*/.*",
            "*/e",
            "*/*/*",
            "[!a]",
            "[a-z]",
            "d/*",
            "*/",
            "./*",
        ):
            found = self.successResultOf(Deferred.fromCoroutine(expand(pattern, pattern, self.look)))
            assert sorted(each.name for each in found) == sorted(glob.glob(pattern)), pattern

    def test_trouble(self) -> None:
        assert isinstance(local_tree.look(["none/"])[0], LocalFileTrouble)
        self.failureResultOf(Deferred.fromCoroutine(expand("none/*", "none/*", self.look)), LocalFileTrouble)

    def test_kinds(self) -> None:
        Path("nowhere").symlink_to("none")
        for path, kind in (
            ("a", "file"),
            ("d", "directory"),
            ("to-d", "directory"),
            ("nowhere", "none"),
            ("x\0", "none"),
        ):
            assert local_tree.kind(path) == kind
        assert local_tree.kind(os.devnull) == "other"

    def test_rows(self) -> None:
        Path("a").write_bytes(b"123")
        os.utime("a", ns=(0, 1_500_000_000_123_456_789))
        os.chmod("a", 0o640)
        Path("nowhere").symlink_to("none")
        rows = {row.name: row for row in local_tree.rows(".", whole_tree=True)}
        assert rows["a"] == ("a", "file", 3, 1_500_000_000_123_456_789, 0o640, False)
        assert (rows["to-d"].kind, rows["to-d"].link) == ("directory", True)
        assert (rows["nowhere"].kind, rows["nowhere"].link) == ("link", True)
        assert "g/h/i" in rows
        assert "to-d/e" not in rows
        assert [row.name for row in local_tree.rows("d/e", whole_tree=False)] == ["e"]
        assert [row.name for row in local_tree.rows_of(["d/e", "gone", "d/"])] == ["d/e", "d"]
        with pytest.raises(LocalFileTrouble, match="none: No such file"):
            local_tree.rows("none", whole_tree=False)
