"""The verbs that show and look after trees, the server's and this machine's, as people use them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from twisted_ftplite.client import long_listing
from twisted_ftplite.client.completion import Choices
from twisted_ftplite.client.shell import Mode
from twisted_ftplite.errors import (
    ConnectionLost,
    DirectoryNotEmpty,
    FTPLiteError,
    PermissionDenied,
)
from twisted_ftplite.flow.workers import InlineWorkers
from twisted_ftplite.protocol.listing import Row

from .shell_case import MemorySession, Node, ShellCase, broken

TIME = "2025-11-22T13:00:00.123456Z"


class TreeCase(ShellCase):
    """One whose server has what a person may have."""

    def setUp(self) -> None:
        super().setUp()
        self.tree.files = {
            ".rc": b"",
            "a": b"1",
            "b": b"333",
            "photos/.cache/x": b"",
            "photos/2025/sea.jpg": b"22",
            "photos/sky.jpg": b"22",
        }
        self.tree.directories = {"empty", "to-photos"}
        self.tree.nodes = {
            "b": Node(mtime_ns=1_000_000_000, mode=0o755),
            "to-photos": Node(link=True, mode=0o755),
            "photos": Node(mode=0o755),
        }

    def calls(self) -> list[tuple[str, ...]]:
        """What was asked of the server, the goodbye left out."""
        return [call for call in self.sessions[-1].calls if call != ("quit",)]


class ListingTests(TreeCase):
    def listed(self, *words: str) -> list[str]:
        os.ftruncate(self.output, 0)
        os.lseek(self.output, 0, os.SEEK_SET)
        assert self.one(*words) == 0, self.complained()
        return self.said().splitlines()

    def test_names(self) -> None:
        assert self.listed("ls") == ["a", "b", "empty/", "photos/", "to-photos/"]
        assert self.listed("ls", "-1a") == [".rc", "a", "b", "empty/", "photos/", "to-photos/"]
        assert self.listed("ls", "-r") == ["to-photos/", "photos/", "empty/", "b", "a"]
        assert self.listed("ls", ".rc") == [".rc"]
        assert self.listed("ls", "photos/2025") == ["sea.jpg"]

    def test_a_plain_server_is_enough_for_names(self) -> None:
        self.tree.features = {}
        assert self.listed("ls", "-1ar")
        assert self.calls() == [("ls",)]
        assert self.one("ls", "-l") == 1
        assert self.complained() == [
            "ftplite-client: ls -l: Not supported. See with features what this server offers."
        ]

    def test_long(self) -> None:
        assert self.listed("ls", "-l") == [
            f"-rw-r--r-- 1 {TIME} a",
            "-rwxr-xr-x 3 1970-01-01T00:00:01.000000Z b",
            f"drw-r--r-- 0 {TIME} empty/",
            f"drwxr-xr-x 0 {TIME} photos/",
            f"drwxr-xr-x 0 {TIME} to-photos/@",
        ]
        assert self.listed("ls", "-l", "a") == [f"-rw-r--r-- 1 {TIME} a"]

    def test_order(self) -> None:
        assert self.listed("ls", "-S", "-a")[:3] == ["b", "a", ".rc"]
        assert self.listed("ls", "-t")[-1] == "b"
        assert self.listed("ls", "-tr")[0] == "b"
        assert self.listed("ls", "-tS")[0] == "b"
        assert self.listed("ls", "-St")[-1] == "b"

    def test_the_whole_tree(self) -> None:
        assert self.listed("ls", "-R") == [
            "a", "b", "empty/", "photos/", "photos/2025/", "photos/2025/sea.jpg", "photos/sky.jpg",
            "to-photos/",
        ]  # fmt: skip
        assert "photos/.cache/x" in self.listed("ls", "-Ra")
        assert self.listed("ls", "-R", "photos")[0] == "2025/"

    def test_json(self) -> None:
        lines = self.listed("ls", "--json")
        assert lines[1] == '{"name": "a", "type": "file", "size": 1, "mtime": 1763816400.123456, "mode": 420}'
        assert json.loads(lines[-1])["link"] is True
        assert json.loads(lines[0])["name"] == ".rc"
        assert json.loads(self.listed("ls", "--json", "-S")[0])["name"] == "b"

    def test_patterns(self) -> None:
        assert self.listed("ls", "*o*") == ["photos/", "to-photos/"]
        assert self.listed("ls", "photos/*.jpg") == ["photos/sky.jpg"]
        assert self.listed("ls", ".*") == [".rc"]
        assert self.listed("ls", "-l", "[ab]") == [
            f"-rw-r--r-- 1 {TIME} a",
            "-rwxr-xr-x 3 1970-01-01T00:00:01.000000Z b",
        ]
        assert self.listed("ls", "-l", "*/*.jpg") == [f"-rw-r--r-- 2 {TIME} photos/sky.jpg"]
        assert self.listed("ls", "-l", "ph*/") == [f"drwxr-xr-x 0 {TIME} photos/"]
        assert self.one("ls", "x*") == 1
        assert self.one("ls", "-l", "x*") == 1
        assert self.one("ls", "-R", "*") == 2
        assert [line.partition("ls ")[2] for line in self.complained()] == [
            "x*: File not found. No name matches. See with ls what is there.",
            "-l x*: File not found. No name matches. See with ls what is there.",
            "-R *: a whole tree is listed of a directory, not of a pattern; usage: ls [-1alRrtS] [--json]"
            " [PATH]",
        ]

    def test_a_listing_that_breaks_off_is_asked_for_again(self) -> None:
        shell = self.shell(Mode.ONE_SHOT)
        self.successResultOf(Deferred.fromCoroutine(shell.session()))
        self.sessions[0].listing_breaks = [broken("ls")]
        result = Deferred.fromCoroutine(shell.one(["ls", "-l"]))
        self.assertNoResult(result)
        self.clock.advance(0.5)
        assert self.successResultOf(result) is None
        assert self.said().count("\n") == 5
        assert len(self.sessions) == 2

    def test_hostile_names(self) -> None:
        name = "\x1b[31m\u202e\udcff"
        row = Row(name, "file", 1, 0, 0o644, False)
        for shown in (
            long_listing.long([row], terminal=True),
            long_listing.names([row], terminal=True),
            long_listing.json([row]),
        ):
            assert "\x1b" not in shown
            assert shown.count("\n") == 1

    def test_odd_kinds(self) -> None:
        rows = [Row("a", "other", 10, 0, 0o600, False), Row("b", "link", 5, 0, 0o777, True)]
        assert long_listing.long(rows, terminal=True).splitlines() == [
            "?rw------- 10 1970-01-01T00:00:00.000000Z a",
            "lrwxrwxrwx  5 1970-01-01T00:00:00.000000Z b@",
        ]


class DirectoryTests(TreeCase):
    def test_where_this_is(self) -> None:
        assert self.interact("pwd", "cd photos", "pwd", "cd 2025", "pwd", "cd ..", "pwd", "cd", "pwd") == 0
        assert self.said().split() == ["/", "/photos", "/photos/2025", "/photos", "/"]

    def test_names_are_taken_from_there(self) -> None:
        self.interact("cd photos/2025", "get sea.jpg")
        assert Path("sea.jpg").exists()

    def test_no_directory(self) -> None:
        self.interact("cd a", "cd none", "pwd")
        assert self.said() == "/\n"
        assert self.complained() == [
            "ftplite-client: cd a: Not a directory. See with ls what is there.",
            "ftplite-client: cd none: File not found. See with pwd where this is, and with ls what is there.",
        ]

    def test_a_new_session_goes_there_again(self) -> None:
        def lose() -> str:
            self.sessions[0].connected = False
            return "pwd"

        self.interact("cd photos", lose)
        assert self.said() == "/photos\n"
        assert self.sessions[1].calls[0] == ("cd", "/photos")

    def test_where_that_is_gone_nothing_happens_elsewhere(self) -> None:
        def lose() -> str:
            self.sessions[0].connected = False
            del self.tree.files["photos/sky.jpg"], self.tree.files["photos/2025/sea.jpg"]
            del self.tree.files["photos/.cache/x"]
            return "rm a"

        self.interact("cd photos", lose, "pwd", "rm a")
        assert self.said() == "/\n"
        assert self.sessions[1].calls == [("cd", "/photos")]
        assert self.complained()[1:] == [
            "ftplite-client: rm a: File not found. /photos cannot be entered any more; from here on this is"
            " /. See with ls what is there.",
        ]
        assert "a" not in self.tree.files

    def test_mkdir(self) -> None:
        assert self.one("mkdir", "new") == 0
        assert self.one("mkdir", "new") == 1
        assert self.one("mkdir", "x/y") == 1
        assert self.tree.directories >= {"new"}
        assert self.complained() == [
            "ftplite-client: mkdir new: File exists. Choose another name; mkdir -p is content with a"
            " directory that is there.",
            "ftplite-client: mkdir x/y: File not found. The directory above is missing; mkdir -p makes it"
            " too.",
        ]

    def test_mkdir_with_parents(self) -> None:
        assert self.one("mkdir", "-p", "x/y//z/") == 0
        assert self.tree.directories >= {"x", "x/y", "x/y/z"}
        assert self.one("mkdir", "-p", "/x/y/z") == 0
        assert self.one("mkdir", "-p", "photos/../w") == 0
        assert "w" in self.tree.directories
        assert self.one("mkdir", "-p", "a") == 1
        assert self.one("mkdir", "-p", "/") == 0

    def test_mkdir_with_parents_tells_the_first_reason(self) -> None:
        async def refuse(path: str) -> None:
            raise PermissionDenied(path)

        self.patch(MemorySession, "mkdir", refuse_method(refuse))
        assert self.one("mkdir", "-p", "x/y") == 1
        assert "Permission denied. x." in self.complained()[0]

    def test_rmdir(self) -> None:
        assert self.one("rmdir", "empty") == 0
        assert self.one("rmdir", "photos") == 1
        assert self.one("rmdir", "a") == 1
        assert self.complained() == [
            "ftplite-client: rmdir photos: Directory not empty. rm -r removes it with all that is in it.",
            "ftplite-client: rmdir a: Not a directory. rm removes a file.",
        ]

    def test_mv(self) -> None:
        assert self.one("mv", "a", "c") == 0
        assert self.one("mv", "b", "photos") == 0
        assert self.one("mv", "c", "photos/2025/") == 0
        assert self.one("mv", "photos/sky.jpg", ".") == 0
        assert set(self.tree.files) >= {"photos/b", "photos/2025/c", "sky.jpg"}
        assert self.one("mv", "none", "x") == 1

    def test_stat(self) -> None:
        self.tree.partials = {"a": 7, "begun": 8}
        self.one("stat", "a")
        self.one("stat", "to-photos")
        self.one("stat", "begun")
        assert self.said() == (
            f"Type: file\nSize: 1 bytes\nModified: {TIME}\nMode: 0644 -rw-r--r--\n"
            "Partial: 7 bytes; put -c goes on there\n"
            f"Type: directory\nLink: yes\nSize: 0 bytes\nModified: {TIME}\nMode: 0755 drwxr-xr-x\n"
            "Type: none; there is only what an upload that broke off has left\n"
            "Partial: 8 bytes; put -c goes on there\n"
        )

    def test_checksum(self) -> None:
        assert self.one("checksum", "b") == 0
        assert self.calls() == [("checksum", "b", "xxh128")]
        assert self.one("checksum", "b", "SHA256") == 0
        assert self.calls() == [("checksum", "b", "sha256")]
        digest, name = self.said().splitlines()[0].split("  ")
        assert (len(digest), name) == (64, "b")


def refuse_method(refuse: Any) -> Any:
    return lambda self, path: refuse(path)


class RemoveTests(TreeCase):
    def failing(self, failures: dict[str, FTPLiteError]) -> None:
        for verb in ("rm", "rmdir"):
            works = getattr(MemorySession, verb)

            async def removed(session: MemorySession, path: str, works: Any = works) -> None:
                if path in failures:
                    raise failures[path]
                await works(session, path)

            self.patch(MemorySession, verb, removed)

    def answer(self, text: str) -> None:
        """A terminal at which this is typed."""
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        self.source = slave
        os.write(master, text.encode())

    def test_files(self) -> None:
        assert self.one("rm", "a", "photos/sky.jpg") == 0
        assert set(self.tree.files) == {".rc", "b", "photos/.cache/x", "photos/2025/sea.jpg"}

    def test_one_that_is_missing_does_not_stop_the_rest(self) -> None:
        assert self.one("rm", "none", "photos", "a") == 1
        assert self.one("rm", "none") == 1
        assert "a" not in self.tree.files
        assert self.complained() == [
            "ftplite-client: none: File not found. See with ls what is there.",
            "ftplite-client: photos: Is a directory. rm -r removes it with all that is in it, rmdir an"
            " empty one.",
            "ftplite-client: rm none: File not found. See with ls what is there.",
        ]

    def test_force(self) -> None:
        assert self.one("rm", "-f", "none", "x*", "a") == 0
        assert "a" not in self.tree.files
        assert self.one("rm", "-f", "photos") == 1
        assert self.one("rm", "-rf", "none") == 0

    def test_patterns(self) -> None:
        assert self.one("rm", "[ab]", "a", "x*") == 1
        assert set(self.tree.files) & {"a", "b"} == set()
        assert self.complained() == [
            "ftplite-client: x*: File not found. No name matches. See with ls what is there."
        ]

    def test_a_quoted_pattern_is_a_name(self) -> None:
        self.tree.files["*"] = b""
        self.script(b"rm '*'\n")
        assert "*" not in self.tree.files
        assert "a" in self.tree.files
        self.tree.files["*"] = b""
        self.script(b"rm *\n")
        assert "*" not in self.tree.files
        assert "a" in self.tree.files

    def test_a_tree(self) -> None:
        assert self.one("rm", "-r", "photos/") == 0
        assert set(self.tree.files) == {".rc", "a", "b"}
        removed = [path for verb, path in self.calls()[2:]]
        assert removed[:3] == ["photos/.cache/x", "photos/2025/sea.jpg", "photos/sky.jpg"]
        assert set(removed[3:5]) == {"photos/.cache", "photos/2025"}
        assert removed[5:] == ["photos"]

    def test_never_into_a_link(self) -> None:
        self.tree.files["photos/2025/keep"] = b""
        self.tree.nodes["photos/2025"] = Node(link=True)
        assert self.one("rm", "-r", "to-photos", "a") == 0
        assert self.calls() == [("stat", "to-photos"), ("stat", "a"), ("rm", "to-photos"), ("rm", "a")]

    def test_links_in_a_tree_are_removed_themselves(self) -> None:
        self.tree.files = {}
        self.tree.directories = {"d", "d/link"}
        self.tree.nodes = {"d/link": Node(link=True)}
        assert self.one("rm", "-r", "d") == 0
        assert self.calls()[2:] == [("rm", "d/link"), ("rmdir", "d")]

    def test_what_cannot_be_removed_keeps_what_is_above(self) -> None:
        self.failing({"photos/2025/sea.jpg": PermissionDenied()})
        assert self.one("rm", "-r", "photos") == 1
        assert set(self.tree.files) == {".rc", "a", "b", "photos/2025/sea.jpg"}
        (line,) = self.complained()
        assert line.startswith("ftplite-client: photos/2025/sea.jpg: Permission denied.")
        assert ("rmdir", "photos/2025") not in self.calls()

    def test_what_comes_meanwhile(self) -> None:
        self.failing({"photos/2025": DirectoryNotEmpty()})
        assert self.one("rm", "-r", "photos") == 1
        assert self.complained() == [
            "ftplite-client: photos/2025: Directory not empty. Something came into it meanwhile; do it"
            " again to remove that too."
        ]

    def test_the_root_and_what_one_is_in_have_no_name(self) -> None:
        for name in ("/", ".", "..", "photos/..", "a/.", "//"):
            assert self.one("rm", "-r", name) == 2
        assert self.sessions == []
        assert "name what to remove by its own name" in self.complained()[0]

    def test_the_connection_breaks(self) -> None:
        self.failing({"photos/sky.jpg": ConnectionLost()})
        assert self.one("rm", "-r", "photos") == 3
        assert self.complained() == ["ftplite-client: rm -r photos: Connection lost. Try again."]

    def test_many_are_sent_ahead_and_not_all_at_once(self) -> None:
        self.tree.files |= {f"many/{number}": b"" for number in range(1000)}
        most = running = 0
        waits: list[Deferred[None]] = []

        async def removed(session: MemorySession, path: str) -> None:
            nonlocal most, running
            running += 1
            most = max(most, running)
            waits.append(Deferred())
            await waits[-1]
            running -= 1
            del self.tree.files[path]

        self.patch(MemorySession, "rm", removed)
        result = Deferred.fromCoroutine(self.shell(Mode.ONE_SHOT).one(["rm", "many/*"]))
        while not result.called:
            waits.pop(0).callback(None)
        assert self.successResultOf(result) is None
        assert not any(name.startswith("many/") for name in self.tree.files)
        assert most == 64

    def test_interrupted_nothing_more_is_removed(self) -> None:
        waits: list[Deferred[None]] = []

        async def removed(session: MemorySession, path: str) -> None:
            waits.append(Deferred())
            await waits[-1]
            del self.tree.files[path]

        self.patch(MemorySession, "rm", removed)
        shell = self.shell(Mode.ONE_SHOT)
        result = Deferred.fromCoroutine(shell.one(["rm", "a", "b"]))
        shell.interrupt()
        self.successResultOf(result)
        assert set(self.tree.files) >= {"a", "b"}
        assert self.complained() == ["ftplite-client: rm a b: interrupted"]

    def test_a_person_is_asked(self) -> None:
        answers = {"y\n": True, "Yes\n": True, "n\n": False, "\n": False, "yesterday\n": False, "\x04": False}
        for answer, removed in answers.items():
            self.setUp()
            self.answer(answer)
            assert self.one("rm", "-r", "photos") == 0
            assert ("photos/sky.jpg" not in self.tree.files) is removed, answer
            said = "".join(self.complained())
            assert said == "rm -r photos: remove it and the 5 names in it? [y/N] "

    def test_in_the_shell_too(self) -> None:
        self.answer("n\ny\n")
        self.interact("rm -r photos", "rm -r empty", "rm -rf photos")
        assert "".join(self.complained()) == (
            "rm -r photos: remove it and the 5 names in it? [y/N] rm -r empty: remove it? [y/N] "
        )
        assert set(self.tree.files) == {".rc", "a", "b"}
        assert "empty" not in self.tree.directories

    def test_nobody_is_asked(self) -> None:
        self.answer("n\n")
        assert self.script(b"rm -r photos\n") == 0
        assert set(self.tree.files) == {".rc", "a", "b"}
        assert self.complained() == []


class LocalTests(TreeCase):
    def setUp(self) -> None:
        super().setUp()
        Path("here").mkdir()
        Path("here/.hidden").write_bytes(b"")
        Path("here/my file").write_bytes(b"12")

    def test_where_this_is(self) -> None:
        before = os.getcwd()
        self.interact("lpwd", "lcd here", "lpwd", "lls", "lcd ..")
        assert self.said().splitlines() == [before, f"{before}/here", "my file"]

    def test_home(self) -> None:
        self.patch(os, "environ", {**os.environ, "HOME": os.path.abspath("here")})
        self.interact("lcd", "lpwd", "lls ~")
        assert self.said().splitlines() == [os.path.abspath("../here"), "my file"]

    def test_no_directory(self) -> None:
        self.interact("lcd none", "lls none", "lls x*", "lls -R *")
        assert self.complained() == [
            "ftplite-client: lcd none: none: No such file or directory",
            "ftplite-client: lls none: none: No such file or directory",
            "ftplite-client: lls x*: x*: no name matches",
            "ftplite-client: lls -R *: a whole tree is listed of a directory, not of a pattern; usage: lls"
            " [-1alRrtS] [--json] [LOCAL]",
        ]

    def test_listings(self) -> None:
        os.utime("here/my file", ns=(0, 1_763_816_400_123_456_000))
        os.chmod("here/my file", 0o600)
        self.interact("lls -l here", "lls -a here", "lls here/*", "lls -R")
        assert self.said().splitlines() == [
            f"-rw------- 2 {TIME} my file", ".hidden", "my file", "here/my file",
            "here/", "here/my file", "streams/", "streams/errors", "streams/output",
        ]  # fmt: skip

    def test_no_server_is_needed(self) -> None:
        self.interact("lls", "lcd here", "lpwd")
        assert self.calls() == []


class CompletionTests(TreeCase):
    def find(self, before: tuple[str, ...], typed: str) -> list[tuple[str, bool]]:
        shell = self.shell(Mode.INTERACTIVE)
        self.successResultOf(Deferred.fromCoroutine(shell.session()))
        choices = Choices(shell, InlineWorkers())
        return self.successResultOf(Deferred.fromCoroutine(choices.find(before, typed)))

    def test_flags(self) -> None:
        assert self.find(("ls",), "--r") == [("--recursive", True), ("--reverse", True)]
        assert ("--json", True) in self.find(("ls", "-l"), "-")
        assert self.find(("pwd",), "-") == []
        assert self.find(("ls", "--"), "-") == []

    def test_flags_are_no_arguments(self) -> None:
        assert self.find(("get", "-c", "--preserve"), "ph") == [("photos/", False)]
        assert self.find(("get", "-c", "a"), "s") == [("streams/", False)]
        assert self.find(("get", "--"), "ph") == [("photos/", False)]
        assert self.find(("put", "-"), "ph") == [("photos/", False)]

    def test_any_number_of_names(self) -> None:
        assert self.find(("rm", "a", "b", "c"), "ph") == [("photos/", False)]

    def test_only_directories(self) -> None:
        assert self.find(("cd",), "") == [("empty/", False), ("photos/", False), ("to-photos/", False)]
        Path("file").touch()
        assert self.find(("lcd",), "") == [("streams/", False)]
        assert self.find(("lls",), "f") == [("file", True)]

    def test_algorithms(self) -> None:
        assert self.find(("checksum", "a"), "s") == [("sha256", True)]
