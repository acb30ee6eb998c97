"""The users file: what it says, and what is said of its mistakes."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.test_properties import QUICK
from twisted_ftplite.flow.rates import Period, Rate
from twisted_ftplite.server.users import (
    ACCESS,
    PERMISSIONS,
    User,
    UsersError,
    anonymous,
    decoded,
    notice_of,
    parse_users,
    read_users,
    split_words,
)

HASH = "$argon2id$v=19$m=65536,t=3,p=4$N5qkUVa5ybvTmzqWNGwA4A$lYlKMbDCYHpHI1wE2cnZMlr5cPBSZ6dIjvEOAGoK1bU"
EVERYTHING = frozenset(PERMISSIONS)
BYTE = "\N{BYTE ORDER MARK}"


def only(line: str) -> User:
    """The user of a line."""
    (user,) = parse_users(line, "users").values()
    return user


def what(text: str) -> str:
    """What is said of the mistake in a file."""
    with pytest.raises(UsersError) as caught:
        parse_users(text, "users")
    assert "\n" not in str(caught.value)
    return str(caught.value)


class LineTests(SynchronousTestCase):
    def test_all_settings(self) -> None:
        line = (
            f"alice {HASH} root=alice permissions=list,get,put quota=10G files=1000 sessions=4 transfers=2"
            " file-size=1Gi rate=2M rate-up=08:00-18:00=512Ki,else=0 rate-down=0 profile=background"
            " certificate=alice@example.org certificate='Alice A'"
        )
        assert only(line) == User(
            name="alice",
            permissions=frozenset(("list", "get", "put")),
            root="alice",
            secret=HASH,
            certificates=frozenset(("alice@example.org", "Alice A")),
            quota_bytes=10**10,
            quota_files=1000,
            max_sessions=4,
            max_transfers=2,
            max_file_size=2**30,
            rate=Rate(2e6),
            rate_up=Rate(None, (Period(480, 1080, 2**19),)),
            rate_down=Rate(),
            profile="background",
        )

    def test_little_is_enough(self) -> None:
        assert only("bob -") == User("bob", EVERYTHING)
        assert only("carol pam") == User("carol", EVERYTHING, secret="pam")

    def test_words_for_permissions(self) -> None:
        for word, meant in ACCESS.items():
            assert only(f"bob - permissions={word}").permissions == meant
            assert anonymous(word) == User("", meant)
        assert only("bob - permissions=read,mkdir").permissions == {"list", "get", "mkdir"}

    def test_comments_blanks_and_line_ends(self) -> None:
        text = f"# people\r\n\r\n  alice\t{HASH}  root=a#b # the first\r\n#bob -\n\nbob -"
        users = parse_users(text, "users")
        assert list(users) == ["alice", "bob"]
        assert users["alice"].root == "a#b"
        assert parse_users("", "users") == {}

    def test_quotes(self) -> None:
        assert only("'Bob B' -").name == "Bob B"
        assert only('"#bob" -').name == "#bob"
        assert only(r'b\ b - root="a \"b\" \c"').name == "b b"
        assert only(r'b - root="a \"b\" \c"').root == r'a "b" \c'
        assert only("bärbel - root='grüne Äpfel'").root == "grüne Äpfel"

    def test_sizes(self) -> None:
        for text, size in {
            "1": 1,
            "5k": 5000,
            "5Ki": 5120,
            "1M": 10**6,
            "1Mi": 2**20,
            "2T": 2 * 10**12,
            "1Ti": 2**40,
            "9223372036854775807": 2**63 - 1,
        }.items():
            assert only(f"bob - quota={text}").quota_bytes == size

    def test_folders(self) -> None:
        for text, root in {
            "alice": "alice",
            "alice/": "alice",
            "./alice//in": "alice/in",
            ".": "",
            "/srv/alice/": "/srv/alice",
        }.items():
            assert only(f"bob - root={text}").root == root

    def test_a_secret_is_not_shown(self) -> None:
        assert HASH not in repr(only(f"alice {HASH}"))


MISTAKES = {
    "bob": "a secret is missing",
    "bob root=bob": "a secret is missing",
    f"{HASH} root=bob": "put the user's name before it",
    "root=bob -": "put the user's name and his secret before it",
    "bob hunter2": "make a hash with ftplite-passwd",
    "bob $1$abcdefgh$0123456789012345678901": "make a hash with ftplite-passwd",
    f"bob {HASH[:-1]}": "make a hash with ftplite-passwd",
    f"bob {HASH[:-1]}V": "make a hash with ftplite-passwd",  # bits behind the last byte
    f"bob {HASH.replace('p=4', 'p=0')}": "no passes or too many lanes",
    f"bob {HASH.replace('p=4', 'p=65')}": "no passes or too many lanes",
    f"bob {HASH.replace('t=3', 't=0')}": "no passes",
    f"bob {HASH.replace('t=3', 't=3000')}": "seconds",
    f"bob {HASH.replace('m=65536', 'm=4194304')}": "more than 2 GiB",
    f"bob {HASH.replace('m=65536', 'm=31')}": "too little memory",
    f"bob {HASH.replace('t=3', 't=٣')}": "make a hash with ftplite-passwd",
    "bob - hunter2": "word 3 is no setting; there are root, permissions",
    "bob - quotta=5": "word 3 is no setting; did you mean quota=?",
    "bob - root=a Quota=5": "word 4 is no setting; did you mean quota=?",
    "bob - quota": "quota has no value",
    "bob - quota=": "quota has no value",
    "bob - quota=1 quota=1": "quota is given twice",
    "bob - permissions=get permissions=put": "permissions is given twice",
    "bob - certificate=b certificate=b": "given twice",
    "bob - rate=5K": "rate is no rate; write bytes a second",
    "bob - rate-up=-5": "rate-up is no rate",
    "bob - rate-down=8-18=5": "rate-down is no rate",
    "bob - rate=5 rate=5": "rate is given twice",
    "bob - profile=hunter2": "there are interactive, bulk, background",
    "bob - permissions=get,hunter2": "there are list, get, put, delete, rename, mkdir, read, write, drop",
    "bob - permissions=get,": "has a word that is none",
    "bob - quota=0": "is no size",
    "bob - quota=-1": "is no size",
    "bob - quota=1.5G": "is no size",
    "bob - quota=5K": "is no size",
    "bob - quota=٣": "is no size",
    "bob - quota=9223372036854775808": "is no size",
    "bob - file-size=10000000T": "is no size",
    "bob - files=0": "is no number",
    "bob - sessions=1k": "is no number",
    "bob - transfers=+1": "is no number",
    "bob - root=../alice": "name the folder as it is",
    "bob - root=/srv/../etc": "name the folder as it is",
    "bob - root=.ftplite-part-0": "no folder may have",
    "bob - root='a": "a quote does not end",
    "bob -\\": "nothing follows a backslash",
    'bob "-': "a quote does not end",
    "'' -": "1 to 64 visible characters",
    "' bob' -": "no blank at its ends",
    f"{'b' * 65} -": "1 to 64",
    "b\x1bb -": "cannot be seen",
    "b\0b -": "cannot be seen",
    "b\u202eb -": "cannot be seen",
    f"{BYTE}bob -": "cannot be seen",
    "bob - certificate='a\x07b'": "cannot be seen",
}


class MistakeTests(SynchronousTestCase):
    def test_the_line_and_the_remedy(self) -> None:
        for line, expected in MISTAKES.items():
            said = what(f"alice {HASH}\n{line}\ndave -\n")
            assert said.startswith("users, line 2: "), said
            assert expected in said, said

    def test_no_secret_is_told(self) -> None:
        for line in MISTAKES:
            said = what(line)
            assert "hunter2" not in said
            assert "lYlKMbD" not in said

    def test_two_lines_of_one_user(self) -> None:
        assert "users, line 3: this user has a line above" in what(f"alice {HASH}\nbob -\n'alice' -\n")

    def test_a_certificate_means_one_user(self) -> None:
        for text in (
            "alice - certificate=a\nbob - certificate=a",
            "alice - certificate=bob\nbob -",
            "bob -\nalice - certificate=bob",
        ):
            assert "users, line 2: a certificate's name here belongs to a user above" in what(text)
        assert only("alice - certificate=alice").certificates == {"alice"}

    @QUICK
    @given(st.text())
    def test_any_text_is_understood_or_refused(self, text: str) -> None:
        with contextlib.suppress(UsersError):
            parse_users(text, "users")

    @QUICK
    @given(st.lists(st.text(st.characters(exclude_characters="\n"), min_size=1)))
    def test_words_are_divided_as_in_a_shell(self, words: list[str]) -> None:
        line = " ".join(map(shlex.quote, words))
        found = split_words(line)
        assert [each.text for each in found] == words
        assert [line[each.start : each.end] for each in found] == list(map(shlex.quote, words))


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = Path(folder.name) / "users"

    def test_it_is_read(self) -> None:
        self.file.write_bytes(b"b\xc3\xa4r -\n")
        assert read_users(str(self.file)) == {"bär": User("bär", EVERYTHING)}

    def test_what_cannot_be_read(self) -> None:
        with pytest.raises(UsersError, match="users: No such file or directory; ftplite-passwd makes"):
            read_users(str(self.file))
        with pytest.raises(UsersError, match="Is a directory"):
            read_users(str(self.file.parent))

    def test_what_is_not_utf_8(self) -> None:
        self.file.write_bytes(b"alice -\nb\xe4r -\n")
        with pytest.raises(UsersError, match="users, line 2: it is not UTF-8; save") as caught:
            read_users(str(self.file))
        assert caught.value.__context__ is None

    def test_the_file_itself_is_decoded_to_itself(self) -> None:
        content = "bär -\r\n\n".encode()
        assert decoded(content, "users").encode() == content

    def test_a_mode_that_lets_others_in(self) -> None:
        self.file.touch()
        for mode, expected in {
            0o600: "",
            0o400: "",
            0o640: "",
            0o644: "may read it (mode 0644); mend it with: chmod 600 ",
            0o604: "may read it (mode 0604)",
            0o620: "may change it (mode 0620)",
            0o666: "may change it (mode 0666)",
        }.items():
            os.chmod(self.file, mode)
            said = notice_of(str(self.file))
            assert expected in said
            assert bool(said) == bool(expected), said
        assert stat.S_IMODE(self.file.stat().st_mode) == 0o666
        assert notice_of(str(self.file / "missing")) == ""
