"""get and put as people use them: options, patterns, and going on after a break."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite.cli import status_of
from twisted_ftplite.client.display import describe, summary
from twisted_ftplite.client.progress import ProgressBar
from twisted_ftplite.client.shell import Mode, Preferences
from twisted_ftplite.client.troubles import BadUsage, Interrupted
from twisted_ftplite.errors import (
    ChecksumMismatch,
    ConnectionLost,
    ConnectionRefused,
    ConnectionTimedOut,
    FileExists,
    FileNotFound,
    OffsetNotValid,
    PermissionDenied,
    ProtocolViolation,
)

from .shell_case import Lines, ShellCase, broken

DELAY = 10.0
"""Seconds: longer than any pause before another try."""


class TransferCase(ShellCase):
    def setUp(self) -> None:
        super().setUp()
        self.tree.files = {"a.txt": b"12345", "b.txt": b"1", "dir/c.txt": b"", "dir/d.jpg": b"", "[x]": b""}

    def transfers(self) -> list[tuple[str, ...]]:
        return [call for each in self.sessions for call in each.calls if call[0] in ("get", "put")]

    def said_names(self) -> list[str]:
        return [line.partition(": ")[0] for line in self.said().splitlines()]


class OptionTests(TransferCase):
    def test_they_reach_the_session(self) -> None:
        Path("x").touch()
        self.one("get", "-c", "a.txt")
        self.one("get", "-pc", "a.txt", "y")
        self.one("put", "--preserve", "x")
        self.preferences = Preferences(checksum="sha256")
        self.one("get", "a.txt")
        self.preferences = Preferences(checksum=None)
        self.one("put", "x")
        assert self.transfers() == [
            ("get", "a.txt", "a.txt", "resume"),
            ("get", "a.txt", "y", "resume", "preserve"),
            ("put", "x", "x", "preserve"),
            ("get", "a.txt", "a.txt", "sha256"),
            ("put", "x", "x", "None"),
        ]

    def test_streams_take_none(self) -> None:
        for words in (("get", "-c", "a.txt", "-"), ("get", "-p", "a.txt", "-"), ("put", "-c", "-", "x")):
            assert self.one(*words) == 2
        assert self.sessions == []
        assert "standard output takes no options" in self.complained()[0]

    def test_what_was_there_already(self) -> None:
        Path("x").write_bytes(b"123")
        self.one("get", "-c", "a.txt")
        self.one("put", "-c", "x")
        assert self.said() == (
            "a.txt: 5 bytes in 0.500 s, 6 B/s (went on at 2)\nx: already there, 3 bytes compared\n"
        )

    def test_names_that_begin_with_a_dash(self) -> None:
        self.tree.files["-c"] = b"dash"
        assert self.one("get", "-p", "--", "-c") == 0
        assert self.transfers() == [("get", "-c", "-c", "preserve")]
        assert self.one("get", "-x") == 2

    def test_put_into_a_directory(self) -> None:
        Path("x").touch()
        assert self.one("put", "x", "dir") == 0
        assert self.transfers() == [("put", "x", "dir"), ("put", "x", "dir/x")]
        assert self.said_names() == ["dir/x"]

    def test_what_goes_nowhere(self) -> None:
        Path("dir").touch()
        assert self.one("put", "dir") == 1
        self.tree.files["b/b/b"] = b""
        Path("b").touch()
        assert self.one("put", "b", "b") == 1
        assert self.complained()[-1] == (
            "ftplite-client: put b b: Is a directory. Name a file, or end NAME with / to store it in there."
        )


class PatternTests(TransferCase):
    def test_get(self) -> None:
        Path("here").mkdir()
        assert self.one("get", "*.txt", "here") == 0
        assert [call[:3] for call in self.transfers()] == [
            ("get", "a.txt", "here/a.txt"),
            ("get", "b.txt", "here/b.txt"),
        ]
        assert self.said_names() == ["a.txt", "b.txt"]

    def test_get_across_directories(self) -> None:
        assert self.one("get", "d*/*.t*") == 0
        assert self.transfers() == [("get", "dir/c.txt", "c.txt")]

    def test_one_match_may_be_renamed(self) -> None:
        assert self.one("get", "a*", "renamed") == 0
        assert Path("renamed").read_bytes() == b"12345"

    def test_several_need_a_directory(self) -> None:
        Path("file").touch()
        for place in ("file", "none", "none/"):
            assert self.one("get", "*.txt", place) == 4
        assert self.transfers() == []
        assert self.complained()[0].endswith("file: is no directory, and 2 names match; name one")
        Path("x1").touch()
        Path("x2").touch()
        assert self.one("put", "x*", "a.txt") == 1
        assert self.one("put", "x*", "none") == 1
        assert self.transfers() == []
        assert "Several files can go to a.txt only if it is a directory." in self.complained()[-2]

    def test_directories_are_left_out(self) -> None:
        assert self.one("get", "*") == 0
        assert self.said_names() == ["[x]", "a.txt", "b.txt"]
        assert self.complained() == ["ftplite-client: dir: is a directory, left out"]
        assert self.one("get", "d*") == 1
        assert self.complained()[1:] == [
            "ftplite-client: get d*: Is a directory. Only directories match. Name a file."
        ]
        assert self.one("put", "str*") == 4

    def test_no_match(self) -> None:
        assert self.one("get", "*.png") == 1
        assert self.one("put", "*.png") == 4
        assert self.complained() == [
            "ftplite-client: get *.png: File not found. No name matches. See with ls what is there.",
            "ftplite-client: put *.png: *.png: no name matches",
        ]

    def test_a_name_that_is_there(self) -> None:
        assert self.one("get", "[x]") == 0
        self.tree.files["*.txt"] = b""
        assert self.one("get", "*.txt") == 0
        assert [call[1] for call in self.transfers()] == ["[x]", "*.txt"]

    def test_quoted_in_the_shell(self) -> None:
        assert self.interact("get '*.txt'", r"get \*.txt") == 0
        assert [call[1] for call in self.transfers()] == ["*.txt", "*.txt"]
        assert [call[0] for call in self.sessions[0].calls] == ["get", "get", "quit"]

    def test_put(self) -> None:
        Path("p").mkdir()
        for name in ("p/1.txt", "p/2.txt", "p/.3.txt"):
            Path(name).touch()
        assert self.one("put", "p/*.txt", "dir") == 0
        assert self.one("put", "p/*") == 0
        assert self.interact("put p/.*", "put 'p/'1*") == 0
        assert [call[1:3] for call in self.transfers()] == [
            ("p/1.txt", "dir/1.txt"), ("p/2.txt", "dir/2.txt"), ("p/1.txt", "1.txt"), ("p/2.txt", "2.txt"),
            ("p/.3.txt", ".3.txt"), ("p/1.txt", "1.txt"),
        ]  # fmt: skip

    def test_names_that_are_not_utf8(self) -> None:
        name = os.fsdecode(b"\xff\xfe.txt")
        Path(name).touch()
        assert self.one("put", "?" + name[1:]) == 0
        assert self.one("put", "*.txt", "dir/") == 0
        assert [call[2] for call in self.transfers()] == [name, "dir/" + name]

    def test_no_file_replaces_another(self) -> None:
        self.tree.files["other/c.txt"] = b""
        assert self.one("get", "*/c.txt") == 2
        assert self.transfers() == []
        assert self.complained() == [
            "ftplite-client: get */c.txt: dir/c.txt and other/c.txt would both be stored as c.txt; move them"
            " one at a time"
        ]

    def test_standard_output_takes_one(self) -> None:
        assert self.one("get", "a*", "-") == 0
        assert self.one("get", "*.txt", "-") == 2
        assert self.transfers() == [("get", "a.txt", "-")]
        assert self.complained()[1:] == [
            "ftplite-client: get *.txt -: standard output takes one file, and 2 match"
        ]

    def test_one_failure_does_not_stop_the_others(self) -> None:
        self.tree.files["c.txt"] = b""
        self.breaks = [FileNotFound(), PermissionDenied()]
        assert self.script(b"get *.txt\n") == 1
        assert self.said_names() == ["c.txt"]
        assert self.complained() == [
            "ftplite-client: line 1: a.txt: File not found. See with ls what is there.",
            "ftplite-client: line 1: b.txt: Permission denied. The server's user may not do that, or it"
            " serves only reading, or only storing.",
        ]

    def test_what_is_not_permitted(self) -> None:
        for state, remedy in (
            ({"user": "al\x1bice"}, r"Those who run the server can permit it to al\x1bice."),
            ({"may_log_in": True}, "More may be permitted to who logs in, with --user NAME."),
        ):
            self.session_state = state
            self.breaks = [PermissionDenied()]
            assert self.one("put", "streams/output", "x") == 1
            assert self.complained()[-1].endswith(f"Permission denied. {remedy}")

    def test_what_may_not_be_replaced(self) -> None:
        self.breaks = [FileExists()]
        assert self.one("put", "streams/output", "dir/") == 1
        assert "choose another name, or end NAME with /" in self.complained()[-1]

    def test_a_lost_connection_does(self) -> None:
        self.preferences = Preferences(retries=0)
        self.breaks = [PermissionDenied(), broken("get"), broken("get")]
        self.tree.files["c.txt"] = b""
        assert self.one("get", "*.txt") == 1
        assert len(self.transfers()) == 2
        assert self.complained()[1:] == [
            "ftplite-client: b.txt: Connection lost; get -c goes on where it broke off",
            "ftplite-client: the connection is gone; names not reached: 1",
        ]

    def test_a_third_word_tells_to_quote(self) -> None:
        assert self.one("put", "a", "b", "c") == 2
        assert "a name with blanks goes in quotes, and so does a pattern" in self.complained()[0]


class RetryTests(TransferCase):
    def begin(self, *words: str) -> Deferred[Any]:
        self.running = self.shell(Mode.ONE_SHOT)
        return Deferred.fromCoroutine(self.running.one(words))

    def test_it_goes_on_by_itself(self) -> None:
        self.breaks = [broken("get", 3), broken("get", 4, ConnectionTimedOut)]
        result = self.begin("get", "a.txt", "x")
        self.assertNoResult(result)
        self.clock.advance(DELAY)
        self.assertNoResult(result)
        self.clock.advance(DELAY)
        assert self.successResultOf(result) is None
        assert [call[3:] for call in self.transfers()] == [(), ("resume",), ("resume",)]
        assert Path("x").read_bytes() == b"12345"
        assert self.said().endswith("(went on at 2)\n")
        told = self.complained()
        assert len(told) == 2
        assert told[0].startswith("ftplite-client: a.txt: Connection lost at byte 3; going on in 0.")
        assert told[1].startswith("ftplite-client: a.txt: Connection timed out at byte 4; going on in ")

    def test_put_too(self) -> None:
        Path("x").write_bytes(b"123")
        self.breaks = [broken("put")]
        result = self.begin("put", "x")
        self.clock.advance(DELAY)
        assert self.successResultOf(result) is None
        assert [call[3:] for call in self.transfers()] == [(), ("resume",)]

    def test_in_the_same_directory(self) -> None:
        prompt_lines: list[Any] = ["cd dir", "get c.txt"]
        self.breaks = [broken("get")]
        result = Deferred.fromCoroutine(self.begin_interact(*prompt_lines))
        self.clock.advance(DELAY)
        self.successResultOf(result)
        assert self.sessions[1].calls[:2] == [("cd", "/dir"), ("get", "c.txt", "c.txt", "resume")]
        assert len(self.complained()) == 1

    def test_a_script_goes_on_in_the_middle_of_a_command(self) -> None:
        self.breaks = [broken("get")]
        result = self.begin_script(self.shell(Mode.SCRIPT), b"get a.txt\nget b.txt\n")
        self.clock.advance(DELAY)
        assert self.successResultOf(result) is None
        assert self.said_names() == ["a.txt", "b.txt"]

    def test_until_it_is_enough(self) -> None:
        self.preferences = Preferences(retries=2)
        self.breaks = [broken("get") for _ in range(3)]
        result = self.begin("get", "a.txt")
        for _ in range(2):
            self.clock.advance(DELAY)
        assert status_of(self.successResultOf(result)) == 3
        assert len(self.transfers()) == 3
        assert self.complained()[-1] == (
            "ftplite-client: get a.txt: Connection lost; get -c goes on where it broke off"
        )

    def test_a_server_that_does_not_come_back(self) -> None:
        self.preferences = Preferences(retries=1)
        self.breaks = [broken("get")]
        result = self.begin("get", "a.txt")
        self.unreachable = ConnectionRefused()
        self.clock.advance(DELAY)
        assert status_of(self.successResultOf(result)) == 3
        assert self.complained()[-1].startswith("ftplite-client: cannot connect to host port 2121: ")
        assert self.complained()[-1].endswith("; get -c goes on where it broke off")

    def test_without_offset_it_starts_again(self) -> None:
        self.preferences = Preferences(retries=0)
        del self.tree.features["offset"]
        self.breaks = [broken("get")]
        assert self.one("get", "a.txt") == 3
        assert self.complained() == ["ftplite-client: get a.txt: Connection lost. Try again."]

    def test_what_is_no_break(self) -> None:
        for error in (FileNotFound(), ChecksumMismatch(), ProtocolViolation()):
            self.breaks = [error]
            assert self.one("get", "a.txt") in (1, 3)
        assert len(self.transfers()) == 3

    def test_streams_and_devices_are_not_repeated(self) -> None:
        os.mkfifo("fifo")
        self.tree.files["x"] = b""
        for words in (("get", "x", "-"), ("put", "-", "x"), ("get", "x", "fifo"), ("put", "fifo", "x")):
            self.breaks = [broken(words[0])]
            assert self.one(*words) == 3
        assert len(self.transfers()) == 4
        assert not any("going on" in line for line in self.complained())
        assert self.complained()[0] == "ftplite-client: get x -: Connection lost. Try again."
        assert self.one("put", "-c", "fifo", "x") == 2
        assert self.complained()[-1].endswith("fifo: only a regular file can be gone on with; leave out -c")

    def test_interrupted_while_it_waits(self) -> None:
        self.breaks = [broken("get")]
        result = self.begin("get", "a.txt")
        self.running.interrupt()
        assert isinstance(self.successResultOf(result), Interrupted)
        assert self.complained()[-1] == (
            "ftplite-client: get a.txt: interrupted; get -c goes on where it broke off"
        )
        assert self.clock.getDelayedCalls() == []

    def begin_interact(self, *lines: Any) -> Any:
        prompt: Any = Lines(*lines)
        return self.shell(Mode.INTERACTIVE).interact(prompt)


class TextTests(SynchronousTestCase):
    def test_summaries(self) -> None:
        assert summary("a", 200, 1, 100) == "a: 200 bytes in 1.000 s, 100 B/s (went on at 100)\n"
        assert summary("a", 200, 1, 200) == "a: already there, 200 bytes compared\n"
        assert summary("a", 0, 1, 0) == "a: 0 bytes in 1.000 s, 0 B/s\n"

    def test_remedies(self) -> None:
        assert "nothing was kept" in describe(ChecksumMismatch())
        assert "without -c" in describe(OffsetNotValid(), verb="put")
        assert describe(FileNotFound(), verb="frob") == "File not found. See with ls what is there."
        assert describe(ConnectionLost("It ended."), hint="get -c goes on") == (
            "Connection lost. It ended; get -c goes on"
        )
        assert describe(FileNotFound(), hint="get -c goes on") == "File not found. See with ls what is there."
        assert describe(BadUsage("no"), hint="get -c goes on") == "no"


class ProgressTests(SynchronousTestCase):
    """The bar, without a terminal: only its figures."""

    def test_what_was_there_before_says_nothing_of_the_speed(self) -> None:
        rich = pytest.importorskip("rich.progress")
        self.patch(os, "get_terminal_size", lambda _: os.terminal_size((80, 24)))
        with ProgressBar("a") as bar:
            bar(1_000_000, 2_000_000)
            assert bar._bar is not None
            (task,) = bar._bar.tasks
            assert task.completed == 1_000_000
            assert task.speed is None
            bar.wipe()
            assert bar._bar is None
            bar(1_500_000, 2_000_000)
            assert isinstance(bar._bar, rich.Progress)
            bar.finish(2_000_000)
