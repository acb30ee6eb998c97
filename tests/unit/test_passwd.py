"""`ftplite-passwd`: what it makes of a users file, and of what it was not meant to be given."""

from __future__ import annotations

import getpass
import io
import os
import stat
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import skipIf

import argon2
from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite import passwd
from twisted_ftplite.passwd import main
from twisted_ftplite.server.users import User, read_users

OLD = (
    "# people of the house\r\n"
    "alice\t$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA   root='a lice'   # the first\n"
    "\n"
    'bob - certificate="Bob B"\n'
    "  'carol' pam permissions=read"
)
HASH = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA"


class PasswdCase(SynchronousTestCase):
    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.file = self.folder / "users"

    def run_it(self, *arguments: str, stdin: bytes | None = None, file: str | None = None) -> int:
        """Run it on the file; `out` and `err` are what it then has said."""
        out, err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        if stdin is not None:
            self.patch(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            arguments = (*arguments, "--stdin")
        status = main([str(self.file) if file is None else file, *arguments])
        self.out, self.err = out.getvalue(), err.getvalue()
        assert status == 0 or self.err.startswith("ftplite-passwd: ")
        assert self.err.count("\n") <= 1
        return status

    def refuses(self, status: int, expected: str, *arguments: str, stdin: bytes | None = None) -> None:
        """It leaves with that status and that in its one line, and with the file as it was."""
        before = self.file.read_bytes() if self.file.is_file() else None
        names = sorted(os.listdir(self.folder))
        assert self.run_it(*arguments, stdin=stdin) == status
        assert expected in self.err
        assert self.out == ""
        assert before == (self.file.read_bytes() if self.file.is_file() else None)
        assert sorted(os.listdir(self.folder)) == names

    def secret_of(self, name: str) -> str:
        secret = read_users(str(self.file))[name].secret
        assert secret is not None
        return secret

    def is_password(self, name: str, password: str) -> bool:
        try:
            return argon2.PasswordHasher().verify(self.secret_of(name), password)
        except argon2.exceptions.VerifyMismatchError:
            return False


class NewLineTests(PasswdCase):
    def test_a_new_file(self) -> None:
        self.addCleanup(os.umask, os.umask(0))
        assert self.run_it("alice", stdin=b"secret\n") == 0
        assert self.out == f"{self.file}: alice was added\n"
        assert self.err == ""
        assert stat.S_IMODE(self.file.stat().st_mode) == 0o600
        assert self.file.read_text() == f"alice {self.secret_of('alice')}\n"
        assert self.is_password("alice", "secret")
        assert os.listdir(self.folder) == ["users"]

    def test_a_new_line_with_settings(self) -> None:
        self.file.write_text(OLD)
        assert (
            self.run_it("Däve D", "--permissions", "list,get", "--quota=5M", "--root", "d d", stdin=b"x") == 0
        )
        secret = self.secret_of("Däve D")
        line = f"'Däve D' {secret} permissions=list,get 'root=d d' quota=5M\n"
        assert self.file.read_bytes() == f"{OLD}\n{line}".encode()
        permissions = frozenset(("list", "get"))
        expected = User("Däve D", permissions, "d d", secret, quota_bytes=5_000_000)
        assert read_users(str(self.file))["Däve D"] == expected

    def test_it_ends_as_the_lines_before(self) -> None:
        self.file.write_bytes(b"bob -\r\n")
        assert self.run_it("alice", stdin=b"x\r\n") == 0
        assert self.file.read_bytes() == f"bob -\r\nalice {self.secret_of('alice')}\r\n".encode()
        assert self.is_password("alice", "x")


class OldLineTests(PasswdCase):
    def setUp(self) -> None:
        super().setUp()
        self.file.write_text(OLD, newline="")

    def test_only_the_secret_changes(self) -> None:
        for name, secret in (("alice", HASH), ("bob", "-"), ("carol", "pam")):
            with open(self.file, newline="") as file:
                before = file.read()
            assert self.run_it(name, stdin=b"new\n") == 0
            assert self.out == f"{self.file}: {name} has a new password\n"
            with open(self.file, newline="") as file:
                line_start = before.index(name)
                place = before.index(secret, line_start + len(name))
                assert file.read() == before[:place] + self.secret_of(name) + before[place + len(secret) :]
            assert self.is_password(name, "new")

    def test_a_line_that_has_no_secret_yet_gets_one(self) -> None:
        self.file.write_text("bob root=b # him\n")
        assert self.run_it("bob", stdin=b"new") == 0
        assert self.file.read_text() == f"bob {self.secret_of('bob')} root=b # him\n"
        self.file.write_text("bob")
        assert self.run_it("bob", stdin=b"new") == 0
        assert self.file.read_text() == f"bob {self.secret_of('bob')}"

    def test_what_is_no_secret_is_mended(self) -> None:
        self.file.write_text("bob hunter2 root=b\n")
        assert self.run_it("bob", stdin=b"hunter2") == 0
        assert self.file.read_text() == f"bob {self.secret_of('bob')} root=b\n"

    def test_a_line_is_removed(self) -> None:
        lines = OLD.splitlines(keepends=True)
        assert self.run_it("alice", "--delete") == 0
        assert self.out == f"{self.file}: alice was removed\n"
        assert self.file.read_bytes() == "".join((lines[0], *lines[2:])).encode()
        assert self.run_it("carol", "--delete") == 0
        assert self.file.read_bytes() == "".join((lines[0], *lines[2:4])).encode()

    def test_its_mode_stays(self) -> None:
        for mode in (0o600, 0o640, 0o400):
            os.chmod(self.file, mode)
            assert self.run_it("bob", stdin=b"new") == 0
            assert self.err == ""
            assert stat.S_IMODE(self.file.stat().st_mode) == mode
        os.chmod(self.file, 0o644)
        assert self.run_it("bob", stdin=b"new") == 0
        assert stat.S_IMODE(self.file.stat().st_mode) == 0o644
        assert f"mend it with: chmod 600 {self.file}" in self.err

    @skipIf(os.geteuid() != 0, "needs root: gives a file away")
    def test_its_owner_stays(self) -> None:
        os.chown(self.file, 4321, 1234)
        os.chmod(self.file, 0o640)
        assert self.run_it("bob", stdin=b"new") == 0
        found = self.file.stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (4321, 1234, 0o640)

    def test_a_link_to_it_stays(self) -> None:
        link = self.folder / "link"
        link.symlink_to("users")
        assert self.run_it("bob", stdin=b"new", file=str(link)) == 0
        assert link.is_symlink()
        assert self.is_password("bob", "new")


class AskingTests(PasswdCase):
    def asks(self, *answers: str | type[BaseException]) -> list[str]:
        """Have a terminal at which these are typed; what it is asked for."""
        questions: list[str] = []
        left = list(answers)

        def answer(question: str) -> str:
            questions.append(question)
            typed = left.pop(0)
            if isinstance(typed, str):
                return typed
            raise typed

        self.patch(getpass, "getpass", answer)
        return questions

    def test_twice(self) -> None:
        questions = self.asks("secret", "secret")
        assert self.run_it("alice") == 0
        assert questions == ["Password of alice: ", "Once more: "]
        assert self.is_password("alice", "secret")

    def test_two_passwords(self) -> None:
        self.asks("secret", "secert")
        self.refuses(2, "these were two passwords", "alice")

    def test_an_empty_one_is_not_asked_for_twice(self) -> None:
        questions = self.asks("")
        self.refuses(2, "the password is empty", "alice")
        assert len(questions) == 1

    def test_nothing_is_asked_for_in_vain(self) -> None:
        questions = self.asks()
        self.file.write_text("alice -\nbob\n")
        self.refuses(4, "users, line 2: ", "alice")
        self.refuses(2, "is in", "alice", "--root", "a")
        self.file.unlink()
        self.file.mkdir()
        self.refuses(4, "Is a directory", "alice")
        assert questions == []

    def test_interrupted(self) -> None:
        for how in (KeyboardInterrupt, EOFError):
            self.asks("secret", how)
            out, err = io.StringIO(), io.StringIO()
            self.patch(sys, "stdout", out)
            self.patch(sys, "stderr", err)
            assert main([str(self.file), "alice"]) == 130
            assert (out.getvalue(), err.getvalue()) == ("", "\nftplite-passwd: interrupted\n")
            assert not self.file.exists()


class RefusalTests(PasswdCase):
    def test_passwords(self) -> None:
        for password, why in (
            (b"", "the password is empty"),
            (b"\n", "the password is empty"),
            (b"\r\n", "the password is empty"),
            (b"\xff\n", "the password is not UTF-8"),
            (b"x" * 1025, "more than 1024 bytes"),
            (b"x" * 5000, "more than 1024 bytes"),
        ):
            self.refuses(2, why, "alice", stdin=password)
        assert self.run_it("alice", stdin=b"x" * 1024 + b"\r\n") == 0

    def test_usage(self) -> None:
        for arguments, why in (
            ((), "Missing argument 'USER'. ftplite-passwd --help tells more."),
            (("alice", "bob"), "unexpected extra argument"),
            (("alice", "--nothing"), "No such option"),
            ((" alice",), "no blank at its ends"),
            (("",), "1 to 64 visible characters"),
            (("a\x1b[2Jb",), "visible characters"),
            (("alice", "--permissions", "all"), "permissions has a word that is none"),
            (("alice", "--quota", "0"), "quota is no size"),
            (("alice", "--root", "../bob"), "root holds .."),
            (("alice", "--delete", "--root", "a"), "--delete stands alone"),
            (("alice", "--delete", "--stdin"), "--delete stands alone"),
        ):
            self.refuses(2, why, *arguments)

    def test_no_file(self) -> None:
        self.refuses(4, f"{self.file}: there is no user alice", "alice", "--delete")
        assert self.run_it("alice", stdin=b"x", file=str(self.folder / "no" / "users")) == 4
        assert "No such file or directory" in self.err
        os.mkfifo(self.file)
        self.refuses(4, "is no regular file", "alice", stdin=b"x")

    def test_a_file_with_a_mistake_stays_as_it_is(self) -> None:
        for text in ("alice -\nbob 'x\n", "alice -\n\nalice -\n", "bob hunter2\n"):
            self.file.write_text(text)
            self.refuses(4, "users, line ", "alice", stdin=b"x")
            assert "hunter2" not in self.err
        self.file.write_text("bob -\nalice\n\ncarol\n")
        self.refuses(4, "users, line 4: ", "alice", "--delete")
        self.file.write_bytes(b"alice -\nb\xe4r -\n")
        self.refuses(4, "users, line 2: it is not UTF-8", "alice", stdin=b"x")

    def test_a_disk_that_is_full_changes_nothing(self) -> None:
        self.file.write_text(OLD)

        def full(_descriptor: int) -> None:
            raise OSError(28, os.strerror(28))

        self.patch(passwd.os, "fsync", full)
        self.refuses(4, "No space left on device", "alice", stdin=b"x")
