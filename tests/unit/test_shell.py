"""The commands of `ftplite-client` against a session in memory: what they say, where, and how they end."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from twisted_ftplite.cli import status_of
from twisted_ftplite.client.completion import Choices
from twisted_ftplite.client.shell import Mode
from twisted_ftplite.client.standard import LINE_LENGTH, ScriptLines
from twisted_ftplite.client.troubles import Interrupted
from twisted_ftplite.errors import ConnectionLost, ConnectionRefused
from twisted_ftplite.flow.workers import InlineWorkers

from .shell_case import Lines, MemorySession, ShellCase


class OneShotTests(ShellCase):
    def test_ls(self) -> None:
        assert self.one("ls") == 0
        assert self.said() == "a.txt\ndir/\nmy file\n"
        assert self.one("ls", "dir/") == 0
        assert self.said().endswith("b.txt\n")
        assert self.complained() == []

    def test_it_says_goodbye(self) -> None:
        self.one("ls")
        assert self.sessions[0].said_goodbye

    def test_get(self) -> None:
        assert self.one("get", "a.txt") == 0
        assert Path("a.txt").read_bytes() == b"12345"
        assert self.said() == "a.txt: 5 bytes in 0.500 s, 10 B/s\n"

    def test_get_stores_under_the_last_segment_asked_for(self) -> None:
        self.one("get", "dir/b.txt")
        assert Path("b.txt").read_bytes() == b"b"

    def test_get_into_a_directory(self) -> None:
        Path("here").mkdir()
        self.one("get", "dir/b.txt", "here")
        self.one("get", "a.txt", "here/")
        self.one("get", "a.txt", "else")
        assert Path("here/b.txt").exists()
        assert Path("here/a.txt").exists()
        assert Path("else").is_file()

    def test_get_into_a_directory_that_is_none(self) -> None:
        self.one("get", "a.txt", "nowhere/")
        assert self.sessions[0].calls[0] == ("get", "a.txt", "nowhere/a.txt")

    def test_get_of_no_file_name(self) -> None:
        for name in ("dir/", "..", "/"):
            assert self.one("get", name) == 2
        assert self.sessions == []

    def test_put(self) -> None:
        Path("here").mkdir()
        Path("here/new").write_bytes(b"123")
        assert self.one("put", "here/new") == 0
        assert self.one("put", "here/new", "dir/") == 0
        assert self.one("put", "here/new", ".") == 0
        assert self.one("put", "here/new", "x/y") == 0
        assert [calls.calls[0][2] for calls in self.sessions] == ["new", "dir/new", "./new", "x/y"]
        assert self.said().startswith("new: 3 bytes in 0.500 s, 6 B/s\n")

    def test_standard_input_needs_a_name(self) -> None:
        assert self.one("put", "-") == 2
        assert "NAME" in self.complained()[0]
        self.tree.files["n"] = b""
        assert self.one("put", "-", "n") == 0
        assert self.sessions[0].calls[0] == ("put", "-", "n")

    def test_a_tilde_is_the_users_shells_business(self) -> None:
        self.one("get", "a.txt", "~nobody-of-this-name")
        assert self.sessions[0].calls[0] == ("get", "a.txt", "~nobody-of-this-name")

    def test_failures(self) -> None:
        assert self.one("get", "none") == 1
        assert self.one("put", "none") == 4
        assert self.complained() == [
            "ftplite-client: get none: File not found. See with ls what is there.",
            "ftplite-client: put none: none: No such file or directory",
        ]

    def test_no_connection(self) -> None:
        self.unreachable = ConnectionRefused()
        assert self.one("ls") == 3
        (line,) = self.complained()
        assert line.startswith("ftplite-client: cannot connect to host port 2121: Connection refused. Check")

    def test_a_fault_is_one_line(self) -> None:
        shell = self.shell(Mode.ONE_SHOT)

        async def fault() -> Any:
            raise ZeroDivisionError("division\nby zero")

        shell._connect = fault
        result = self.successResultOf(Deferred.fromCoroutine(shell.one(["ls"])))
        assert status_of(result) == 3
        (line,) = self.complained()
        assert "ZeroDivisionError: division\\x0aby zero (test_shell.py:" in line

    def test_nothing_of_the_server_steers_the_terminal(self) -> None:
        self.tree.files = {"\x1b[2J": b""}
        self.one("ls")
        self.one("features")
        self.one("get", "\x1b[2J", "x")
        self.one("get", "\x1b", "x")
        assert "\x1b" not in self.said() + "".join(self.complained())

    def test_output_that_nobody_takes(self) -> None:
        os.dup2(os.open("/dev/full", os.O_WRONLY), self.output)
        assert self.one("ls") == 4
        assert self.complained() == ["ftplite-client: ls: standard output: No space left on device"]

    def test_interrupt(self) -> None:
        shell = self.shell(Mode.ONE_SHOT)
        waits: Deferred[None] = Deferred()
        connect = self.connect

        async def connected() -> Any:
            session = await connect()
            session.waits = waits
            return session

        shell._connect = connected
        result = Deferred.fromCoroutine(shell.one(["get", "a.txt"]))
        self.assertNoResult(result)
        shell.interrupt()
        assert status_of(self.successResultOf(result)) == 130
        assert self.complained() == [
            "ftplite-client: get a.txt: interrupted; get -c goes on where it broke off"
        ]
        assert not self.sessions[0].said_goodbye
        assert not self.sessions[0].connected

    def test_a_server_that_does_not_say_goodbye(self) -> None:
        shell = self.shell(Mode.ONE_SHOT)
        result = Deferred.fromCoroutine(shell.one(["features"]))
        self.successResultOf(result)
        again = self.shell(Mode.ONE_SHOT)
        connect = self.connect

        async def connected() -> Any:
            session = await connect()
            session.waits = Deferred()
            return session

        again._connect = connected
        result = Deferred.fromCoroutine(again.one(["features"]))
        self.assertNoResult(result)
        self.clock.advance(3)
        assert self.successResultOf(result) is None
        assert not self.sessions[-1].connected


class ScriptTests(ShellCase):
    def test_all_run_in_order(self) -> None:
        assert self.script(b"# first\n\nget a.txt\nput a.txt new\r\nget 'my file' x\nls") == 0
        assert [call[0] for call in self.sessions[0].calls] == ["get", "put", "get", "ls", "quit"]
        assert self.said().endswith("a.txt\ndir/\nmy file\nnew\n")

    def test_the_first_failure_counts(self) -> None:
        assert self.script(b"get none\nput none\nfrob\nget a.txt\n") == 1
        assert Path("a.txt").exists()
        assert [line.partition(": ")[2].partition(":")[0] for line in self.complained()] == [
            "line 1", "line 2", "line 3",
        ]  # fmt: skip
        assert self.script(b"'\nget none\n") == 2

    def test_quit_ends_it(self) -> None:
        assert self.script(b"ls\nexit\nget none\n") == 0
        assert self.complained() == []

    def test_standard_input_is_taken(self) -> None:
        assert self.script(b"put - n\n") == 2
        assert "standard input is where the commands come from" in self.complained()[0]

    def test_no_commands(self) -> None:
        assert self.script(b"") == 0
        self.unreachable = ConnectionRefused()
        assert self.script(b"") == 3

    def test_the_connection_is_lost(self) -> None:
        shell = self.shell(Mode.SCRIPT)
        session = MemorySession(self.tree)

        async def connect() -> Any:
            return session

        shell._connect = connect
        session.connected = False
        result = self.begin_script(shell, b"noop\nls\n\n# no command\nls\n")
        assert status_of(self.successResultOf(result)) == 3
        assert self.complained() == [
            "ftplite-client: line 1: noop: Connection lost. Try again.",
            "ftplite-client: the connection is gone; commands not run: 2",
        ]

    def test_a_line_without_end(self) -> None:
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 2 * LINE_LENGTH)
        os.write(writing, b"ls\n" + b"x" * (LINE_LENGTH + 1))
        shell = self.shell(Mode.SCRIPT)
        result = Deferred.fromCoroutine(shell.script(ScriptLines(InlineWorkers(), reading)))
        assert status_of(self.successResultOf(result)) == 4
        assert self.complained() == ["ftplite-client: standard input: a line is longer than 65536 bytes"]

    def test_interrupt_between_commands(self) -> None:
        shell = self.shell(Mode.SCRIPT)
        lines: Any = Lines("ls", lambda: Deferred())
        result = Deferred.fromCoroutine(shell.script(lines))
        self.assertNoResult(result)
        shell.interrupt()
        assert status_of(self.successResultOf(result)) == 130

    def test_interrupt_ends_all(self) -> None:
        shell = self.shell(Mode.SCRIPT)

        async def connect() -> Any:
            session = MemorySession(self.tree)
            session.waits = Deferred()
            return session

        shell._connect = connect
        result = self.begin_script(shell, b"ls\nls\n")
        shell.interrupt()
        assert isinstance(self.successResultOf(result), Interrupted)
        assert self.complained() == ["ftplite-client: line 1: ls: interrupted"]


class InteractiveTests(ShellCase):
    def test_failures_do_not_end_it(self) -> None:
        assert self.interact("frob", "get none", "", "get a.txt", "get a.txt x y") == 0
        assert Path("a.txt").exists()
        assert len(self.complained()) == 3

    def test_it_ends(self) -> None:
        for verb in ("quit", "EXIT", "bye"):
            assert self.interact(verb, "get a.txt") == 0
        assert not Path("a.txt").exists()

    def test_help_needs_no_quotes(self) -> None:
        self.interact("?", "help get", "help frob")
        assert "put [-cp] LOCAL [NAME]" in self.said()
        assert "unknown command" in self.complained()[0]

    def test_a_tilde(self) -> None:
        self.patch(os, "environ", {**os.environ, "HOME": os.getcwd()})
        self.interact("get a.txt ~/x", "put ~/x")
        assert Path("x").exists()
        assert "x" in self.tree.files

    def test_it_connects_again(self) -> None:
        def lose() -> str:
            self.sessions[0].connected = False
            return "ls"

        assert self.interact("noop", lose, "noop") == 0
        assert len(self.sessions) == 2
        assert self.complained() == [
            "ftplite-client: the connection to host port 2121 was lost; connecting again"
        ]

    def test_it_cannot_connect_again(self) -> None:
        def lose() -> str:
            self.sessions[0].connected = False
            self.unreachable = ConnectionLost()
            return "ls"

        assert self.interact(lose, "ls") == 0
        assert len(self.complained()) == 3

    def test_no_connection_at_all(self) -> None:
        self.unreachable = ConnectionRefused()
        assert self.interact("ls") == 3

    def test_interrupt_returns_to_the_prompt(self) -> None:
        shell = self.shell(Mode.INTERACTIVE)
        prompt: Any = Lines("get a.txt", "ls")
        waits: Deferred[None] = Deferred()
        session = MemorySession(self.tree)
        session.waits = waits

        async def connect() -> Any:
            return session

        shell._connect = connect
        result = Deferred.fromCoroutine(shell.interact(prompt))
        self.assertNoResult(result)
        session.waits = None
        shell.interrupt()
        assert self.successResultOf(result) is None
        assert self.complained() == [
            "ftplite-client: get a.txt: interrupted; get -c goes on where it broke off"
        ]
        assert self.said().startswith("a.txt\n")
        assert session.said_goodbye


class CompletionTests(ShellCase):
    def find(self, before: tuple[str, ...], typed: str) -> list[tuple[str, bool]]:
        shell = self.shell(Mode.INTERACTIVE)
        self.successResultOf(Deferred.fromCoroutine(shell.session()))
        choices = Choices(shell, InlineWorkers())
        return self.successResultOf(Deferred.fromCoroutine(choices.find(before, typed)))

    def test_verbs(self) -> None:
        assert self.find((), "g") == [("get", True)]
        assert self.find(("help",), "pu") == [("put", True)]

    def test_names_there(self) -> None:
        for verb in ("get", "ls", "GET"):
            assert self.find((verb,), "") == [("a.txt", True), ("dir/", False), ("my file", True)]
        assert self.find(("get",), "dir/") == [("dir/b.txt", True)]
        assert self.find(("put", "x"), "my") == [("my file", True)]

    def test_names_here(self) -> None:
        Path("here").mkdir()
        Path("here/x").touch()
        Path(".hidden").touch()
        assert self.find(("put",), "") == [("here/", False), ("streams/", False)]
        assert self.find(("get", "a.txt"), "here/") == [("here/x", True)]
        assert self.find(("put",), ".h") == [(".hidden", True)]

    def test_nothing(self) -> None:
        assert self.find(("frob",), "") == []
        assert self.find(("noop",), "") == []
        assert self.find(("get", "a", "b"), "") == []

    def test_without_a_session(self) -> None:
        choices = Choices(self.shell(Mode.INTERACTIVE), InlineWorkers())
        assert self.successResultOf(Deferred.fromCoroutine(choices.find(("get",), ""))) == []
