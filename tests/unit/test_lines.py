"""Lines to values and back (docs/protocol.md, sections 1, 3, 6 and 7)."""

from __future__ import annotations

import os

import pytest
from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite import errors
from twisted_ftplite.errors import (
    BadSyntax,
    Broken,
    Failure,
    NameNotAllowed,
    NotUTF8,
    UnexpectedMessage,
    UnknownCommand,
)
from twisted_ftplite.protocol.lines import (
    VERBS,
    Command,
    Field,
    FieldName,
    Status,
    Success,
    decode,
    encode_command,
    encode_error,
    encode_field,
    encode_size,
    encode_success,
    parse_argument,
    parse_number,
    spell_argument,
)
from twisted_ftplite.protocol.paths import ROOT, check_segment, is_same, resolve, spell

COMMANDS: dict[bytes, tuple[str, str | None]] = {
    b"ls": ("ls", None),
    b"LS": ("ls", None),
    b"ls\r": ("ls", None),
    b"ls a": ("ls", "a"),
    b"Get my file.txt": ("get", "my file.txt"),
    b"get my file.txt\r": ("get", "my file.txt"),
    b"get a\r\r": ("get", "a\r"),
    b"get ": ("get", ""),
    b"get  a": ("get", " a"),
    b"get a ": ("get", "a "),
    b"get File size: 3 bytes": ("get", "File size: 3 bytes"),
    b"get \xc3\xa9": ("get", "é"),
    b'mv "a" "b"': ("mv", '"a" "b"'),
    b"abort": ("abort", None),
    b"help : x": ("help", ": x"),
    b"pAsSwOrD s": ("password", "s"),
    b"get SUCCESS: x": ("get", "SUCCESS: x"),
}
FIELDS: dict[bytes, tuple[FieldName, str]] = {
    b"File size: 1024 bytes": (FieldName.FILE_SIZE, " 1024 bytes"),
    b"FILE SIZE: 1024 bytes": (FieldName.FILE_SIZE, " 1024 bytes"),
    b"file size:": (FieldName.FILE_SIZE, ""),
    b"Data channel port: 51234\r": (FieldName.DATA_CHANNEL_PORT, " 51234"),
    b"Data channel port:51234": (FieldName.DATA_CHANNEL_PORT, "51234"),
    b"Transfer complete: a: b": (FieldName.TRANSFER_COMPLETE, " a: b"),
    b"partial CHECKSUM: xxh128 00": (FieldName.PARTIAL_CHECKSUM, " xxh128 00"),
    b"Checksum: xxh128": (FieldName.CHECKSUM, " xxh128"),  # the verb has no colon
    b"Help: x": (FieldName.HELP, " x"),  # the first word is "Help:", which is no verb
}
STATUSES: dict[bytes, tuple[str, str]] = {
    b"SUCCESS: Goodbye.": ("SUCCESS", "Goodbye."),
    b"FAILURE: Disk full. 3 bytes were left": ("FAILURE", "Disk full. 3 bytes were left"),
    b"ERROR: Line too long.\r": ("ERROR", "Line too long."),
}
NONSENSE: dict[bytes, type[Broken]] = {
    b"": UnexpectedMessage,
    b"\r": UnexpectedMessage,
    b"\xff": NotUTF8,
    b"get \xff": NotUTF8,
    b"get \xed\xb2\x80": NotUTF8,  # a surrogate, spelled as UTF-8 has it not
    b"get \xc0\xaf": NotUTF8,
    b"\x00": UnknownCommand,
    b"gett a": UnknownCommand,
    b" get a": UnknownCommand,
    b"get\ta": UnknownCommand,
    b"get:a": UnknownCommand,
    b"failure: Disk full.": UnknownCommand,
    b"Filesize: 1": UnknownCommand,
    b"File  size: 1": UnknownCommand,
    b" File size: 1": UnknownCommand,
    b"File size : 1": UnknownCommand,
    b"File size": UnknownCommand,
    b": x": UnknownCommand,
    "m\N{KELVIN SIGN}dir a".encode(): UnknownCommand,  # lower() makes an ASCII k of it
    "Wor\N{KELVIN SIGN}ing: 1 bytes".encode(): UnknownCommand,
    b"\xef\xbb\xbfls": UnknownCommand,
}


class DecodeTests(SynchronousTestCase):
    def test_commands(self) -> None:
        for line, (verb, argument) in COMMANDS.items():
            assert decode(line) == Command(VERBS[verb], argument), line

    def test_every_verb_in_any_case(self) -> None:
        for name in VERBS:
            for spelled in (name, name.upper(), name.title()):
                assert decode(spelled.encode()) == Command(VERBS[name], None)

    def test_fields(self) -> None:
        for line, (name, value) in FIELDS.items():
            assert decode(line) == Field(name, value), line

    def test_every_field_in_any_case(self) -> None:
        for name in FieldName:
            for spelled in (name, name.upper(), name.lower()):
                assert decode(f"{spelled}: x".encode()) == Field(name, " x")

    def test_statuses(self) -> None:
        for line, (kind, text) in STATUSES.items():
            assert decode(line) == Status(kind, text), line

    def test_nonsense(self) -> None:
        for line, expected in NONSENSE.items():
            with pytest.raises(Broken) as caught:
                decode(line)
            assert type(caught.value) is expected, line

    def test_any_first_word_that_is_a_verb_makes_a_command(self) -> None:
        """Also where a field would begin with that word."""
        assert [name for name in FieldName if name.split(" ")[0].lower() in VERBS and " " in name] == []


NUMBERS = {"0": 0, "1": 1, "10": 10, "51234": 51234, "9" * 19: 10**19 - 1}
NO_NUMBERS = [
    "",
    " ",
    "00",
    "01",
    "+5",
    "-5",
    "-0",
    " 5",
    "5 ",
    "1_0",
    "٣",
    "5\n",
    "0x5",
    "5.0",
    "1e3",
    "1" * 20,
    "²",
]


class NumberTests(SynchronousTestCase):
    def test_numbers(self) -> None:
        for text, value in NUMBERS.items():
            assert parse_number(text) == value
            assert Field(FieldName.DATA_CHANNEL_PORT, f" {text}").number() == value
            assert Field(FieldName.FILE_SIZE, f" {text} bytes").size() == value

    def test_what_is_no_number(self) -> None:
        for text in NO_NUMBERS:
            with pytest.raises(BadSyntax):
                parse_number(text)
            with pytest.raises(BadSyntax):
                Field(FieldName.DATA_CHANNEL_PORT, f" {text}").number()
            with pytest.raises(BadSyntax):
                Field(FieldName.FILE_SIZE, f" {text} bytes").size()

    def test_bytes_are_said(self) -> None:
        for value in (
            "",
            " ",
            "5 bytes",
            " 5",
            " 5 byte",
            " 5 bytes ",
            " 5  bytes",
            " 5 Bytes",
            " bytes",
            " 5 bytes bytes",
        ):
            with pytest.raises(BadSyntax):
                Field(FieldName.FILE_SIZE, value).size()


ARGUMENTS: dict[str, tuple[str, ...]] = {
    "a": ("a",),
    "a b": ("a b",),
    "a  b": ("a  b",),
    'a"b"': ('a"b"',),
    "a\\n": ("a\\n",),
    "[1]": ("[1]",),
    "é\u2028\ufeff😀": ("é\u2028\ufeff😀",),
    '""': ("",),
    '"a"': ("a",),
    '" a "': (" a ",),
    '"a" "b"': ("a", "b"),
    '"" ""': ("", ""),
    '"a\\"b" "\\\\"': ('a"b', "\\"),
    '"\\u0000\\n\\r\\t\\/"': ("\0\n\r\t/",),
    '"\\u007f\\u0085"': ("\x7f\x85",),
    '"\\udc80"': ("\udc80",),
    '"a\\udcffb"': ("a\udcffb",),
    '"\\uDCFF"': ("\udcff",),
    '"\\udcc3\\udca9"': ("é",),  # bytes that are UTF-8 after all
    '"\\udcc3" "\\udca9"': ("\udcc3", "\udca9"),
    '"\\ud83d\\ude00"': ("😀",),
    '"\\ud800\\udc80"': ("\U00010080",),  # a pair, no lone one
}
NO_ARGUMENTS = [
    "",
    " ",
    " a",
    "a ",
    "a\0",
    "a\tb",
    "a\x1f",
    "a\x7f",
    "a\x80",
    "a\x9f",
    "a\r",
    '"',
    '"a',
    '"a" ',
    '"a"  "b"',
    '"a""b"',
    '"a"b',
    '"a" b',
    '"a", "b"',
    '"a"\t"b"',
    '"a" 1',
    '"a" null',
    '"a" ["b"]',
    '"\\x41"',
    '"\\u12"',
    '"\t"',
    '"\\ud800"',
    '"\\udbff"',
    '"\\udc00"',
    '"\\udc7f"',
    '"\\udd00"',
    '"\\udfff"',
    '"\\udc80\\ud800"',
    '"\\ude00\\ud83d"',
]


class ArgumentTests(SynchronousTestCase):
    def test_meanings(self) -> None:
        for text, meant in ARGUMENTS.items():
            assert parse_argument(text) == meant, text

    def test_no_meanings(self) -> None:
        for text in NO_ARGUMENTS:
            with pytest.raises(BadSyntax):
                parse_argument(text)

    def test_what_is_spelled_means_the_same(self) -> None:
        for meant in ARGUMENTS.values():
            spelled = spell_argument(*meant)
            spelled.encode("utf-8")
            assert parse_argument(spelled) == meant

    def test_spelling(self) -> None:
        for arguments, spelled in {
            ("a b",): "a b",
            ('a"b',): 'a"b',
            ("",): '""',
            (" a",): '" a"',
            ("a ",): '"a "',
            ('"a"',): '"\\"a\\""',
            ("a", "b"): '"a" "b"',
            ("a\n",): '"a\\n"',
            ("a\x7f",): '"a\\u007f"',
            ("é\x9f",): '"é\\u009f"',
            ("\udcff",): '"\\udcff"',
            ("é\u2028",): "é\u2028",
        }.items():
            assert spell_argument(*arguments) == spelled

    def test_every_control_character_is_quoted(self) -> None:
        for code in (*range(0x20), *range(0x7F, 0xA0)):
            spelled = spell_argument(f"a{chr(code)}b")
            assert spelled.startswith('"'), hex(code)
            assert chr(code) not in spelled
            assert parse_argument(spelled) == (f"a{chr(code)}b",)

    def test_every_byte_can_be_said(self) -> None:
        for code in range(0x80, 0x100):
            name = os.fsdecode(b"a" + bytes([code]))
            line = encode_command("get", name)
            assert line == f'get "a\\udc{code:02x}"\n'.encode()
            command = decode(line[:-1])
            assert isinstance(command, Command)
            assert command.arguments() == (name,)

    def test_what_stands_for_nothing_cannot_be_said(self) -> None:
        for name in ("\ud800", "a\udc7f", "\udfff\udc80"):
            with pytest.raises(BadSyntax):
                spell_argument(name)

    def test_arity(self) -> None:
        for verb in VERBS.values():
            fewest, most = verb.arity
            for count in range(4):
                argument = None if count == 0 else " ".join(['"x"'] * count)
                command = Command(verb, argument)
                if fewest <= count <= most:
                    assert command.arguments() == ("x",) * count
                else:
                    with pytest.raises(BadSyntax):
                        command.arguments()

    def test_verbs_with_an_algorithm(self) -> None:
        for name in ("stat", "checksum"):
            for line, meant in {
                f"{name} a b": ("a b",),
                f'{name} "a"': ("a",),
                f'{name} "a" "sha256"': ("a", "sha256"),
            }.items():
                command = decode(line.encode())
                assert isinstance(command, Command)
                assert command.arguments() == meant
            for line in (name, f'{name} "a" "b" "c"', f'{name} "a" sha256', f'{name} a "sha256"  '):
                command = decode(line.encode())
                assert isinstance(command, Command)
                with pytest.raises(BadSyntax):
                    command.arguments()

    def test_two_bare_words_are_one_argument(self) -> None:
        with pytest.raises(BadSyntax):
            Command(VERBS["mv"], "a b").arguments()

    def test_a_field_has_one_argument(self) -> None:
        assert Field(FieldName.TRANSFER_COMPLETE, " a b").argument() == "a b"
        assert Field(FieldName.TRANSFER_COMPLETE, ' "a b"').argument() == "a b"
        for value in ("", " ", "a", "  a", ' "a" "b"'):
            with pytest.raises(BadSyntax):
                Field(FieldName.TRANSFER_COMPLETE, value).argument()

    def test_text(self) -> None:
        assert Field(FieldName.CHECKSUM, " xxh128 00").text() == "xxh128 00"
        with pytest.raises(BadSyntax):
            Field(FieldName.CHECKSUM, "xxh128").text()


PHRASES = {
    kind: [line.strip() for line in text.strip().splitlines()]
    for kind, text in {
        "SUCCESS": """
        FTPLite/1 ready.
        Ready to send.
        Ready to receive.
        Data channel ready.
        File transferred successfully.
        Listing complete.
        Bundle complete.
        Goodbye.
        Features listed.
        Help listed.
        Nothing done.
        Directory changed.
        Directory made.
        Directory removed.
        File removed.
        Renamed.
        Described.
        Password required.
        Logged in.
        Begin TLS.
    """,
        "FAILURE": """
        File not found.
        Permission denied.
        File exists.
        Is a directory.
        Not a directory.
        Not a regular file.
        Directory not empty.
        Name not allowed.
        Login required.
        Login failed.
        Encryption required.
        Disk full.
        File too large.
        Quota exceeded.
        Limit reached.
        Size mismatch.
        Checksum mismatch.
        File changed.
        Transfer cancelled.
        Offset not valid.
        Not supported.
        Bundle incomplete.
    """,
        "ERROR": """
        Unknown command.
        Bad syntax.
        Unexpected message.
        Not UTF-8.
        Port not allowed.
        Connection refused.
        Connection lost.
        Storage failed.
        Internal error.
        Line too long.
        Connection timed out.
        Too many connections.
        Too many failures.
        Server shutting down.
    """,
    }.items()
}
"""Section 7, to the letter."""

CLOSING = {"Line too long.", "Too many connections.", "Too many failures.", "Server shutting down."}


class PhraseTests(SynchronousTestCase):
    def test_the_tables_are_section_7(self) -> None:
        assert [*Success] == PHRASES["SUCCESS"]
        assert sorted(errors.FAILURES) == sorted(PHRASES["FAILURE"])
        assert sorted(errors.ERRORS) == sorted(PHRASES["ERROR"])

    def test_every_phrase_has_its_own_exception_both_ways(self) -> None:
        seen = set()
        for kind in ("FAILURE", "ERROR"):
            for phrase in PHRASES[kind]:
                for detail in ("", "some detail. And more."):
                    line = f"{kind}: {phrase}{' ' if detail else ''}{detail}".encode()
                    status = decode(line)
                    assert isinstance(status, Status)
                    error = status.error()
                    assert error is not None
                    assert (error.kind, error.phrase, error.detail) == (kind, phrase, detail)
                    assert encode_error(error) == line + b"\n"
                    seen.add(type(error))
        assert len(seen) == len(PHRASES["FAILURE"]) + len(PHRASES["ERROR"])

    def test_a_phrase_counts_only_with_its_kind(self) -> None:
        for line, base in ((b"ERROR: Disk full.", Broken), (b"FAILURE: Storage failed.", Failure)):
            status = decode(line)
            assert isinstance(status, Status)
            assert type(status.error()) is base

    def test_unknown_phrases_keep_their_text(self) -> None:
        for kind, base in (("FAILURE", Failure), ("ERROR", Broken)):
            for text in ("", "Moon full.", "Disk full", "disk full.", "Disk full.x", "Line too long.2"):
                error = Status(kind, text).error()
                assert type(error) is base, text
                assert error.detail == text

    def test_successes(self) -> None:
        for phrase in Success:
            for detail in ("", "1024 bytes in 0.004 s"):
                status = decode(encode_success(phrase, detail)[:-1])
                assert isinstance(status, Status)
                assert status.error() is None
                assert [each for each in Success if status.says(each)] == [phrase]

    def test_which_close(self) -> None:
        every = {**errors.FAILURES, **errors.ERRORS}
        assert {phrase for phrase, each in every.items() if each.closes} == CLOSING

    def test_errors_of_the_system_say_a_phrase_and_nothing_else(self) -> None:
        for number in range(200):
            error = errors.from_oserror(OSError(number, "secret", "/secret"))
            assert error.phrase in PHRASES[error.kind]
            assert "secret" not in str(error)
        assert type(errors.from_oserror(OSError())) is errors.StorageFailed
        assert type(errors.from_oserror(FileNotFoundError(2, ""))) is errors.FileNotFound


class EncodeTests(SynchronousTestCase):
    def test_lines(self) -> None:
        assert encode_command("quit") == b"quit\n"
        assert encode_command("get", "my file.txt") == b"get my file.txt\n"
        assert encode_command("mv", "old name", "new name") == b'mv "old name" "new name"\n'
        assert encode_command("get", "é") == b"get \xc3\xa9\n"
        assert encode_field(FieldName.TRANSFER_COMPLETE, ".") == b"Transfer complete: .\n"
        assert encode_size(FieldName.FILE_SIZE, 0) == b"File size: 0 bytes\n"
        assert encode_success(Success.GREETING) == b"SUCCESS: FTPLite/1 ready.\n"
        assert encode_success(Success.FILE_TRANSFERRED, "1 bytes") == (
            b"SUCCESS: File transferred successfully. 1 bytes\n"
        )
        assert encode_error(errors.FileNotFound()) == b"FAILURE: File not found.\n"
        assert encode_error(BadSyntax("Usage: x")) == b"ERROR: Bad syntax. Usage: x\n"

    def test_there_and_back(self) -> None:
        for arguments in ((), ("a",), ('"',), (" ",), ("a", "b"), ("\udc80\n",)):
            command = decode(encode_command("mv", *arguments)[:-1])
            assert isinstance(command, Command)
            parsed = () if command.argument is None else parse_argument(command.argument)
            assert parsed == arguments


PATHS: dict[tuple[str, str], str] = {
    ("/", "."): "/",
    ("/", ""): "/",
    ("/", "a"): "/a",
    ("/", "a/b"): "/a/b",
    ("/", "a//b/"): "/a/b",
    ("/", "./a/."): "/a",
    ("/", ".."): "/",
    ("/", "../../a"): "/a",
    ("/d/e", "a"): "/d/e/a",
    ("/d/e", "."): "/d/e",
    ("/d/e", "../a"): "/d/a",
    ("/d/e", "../../../../a"): "/a",
    ("/d/e", "/a"): "/a",
    ("/d/e", "//"): "/",
    ("/d/e", "/.."): "/",
    ("/d", "a/../../b"): "/b",
    ("/", "..."): "/...",
    ("/", "a\\..\\b"): "/a\\..\\b",
    ("/", "~"): "/~",
    ("/", ".ftplite"): "/.ftplite",
    ("/", "x.ftplite-"): "/x.ftplite-",
    ("/", ".ftplite-x/../a"): "/a",  # resolved first
    ("/", "\udc80"): "/\udc80",
    ("/", "x" * 255): "/" + "x" * 255,
}
NO_PATHS = [
    ".ftplite-",
    ".ftplite-x",
    "a/.ftplite-x/b",
    "a\0",
    "a\0/..x",
    "x" * 256,
    "é" * 128,
    "\udc80" * 256,
]


class PathTests(SynchronousTestCase):
    def test_resolve(self) -> None:
        for (directory, argument), expected in PATHS.items():
            assert spell(resolve(resolve(ROOT, directory), argument)) == expected, argument

    def test_names_not_allowed(self) -> None:
        for argument in NO_PATHS:
            for directory in (ROOT, ("d", "e")):
                with pytest.raises(NameNotAllowed):
                    resolve(directory, argument)

    def test_segments(self) -> None:
        check_segment("é" * 127)
        with pytest.raises(NameNotAllowed):
            check_segment(".ftplite-upload")

    def test_same(self) -> None:
        for directory, one, other, same in [
            (ROOT, "a", "/a", True),
            (ROOT, "a", "b", False),
            (("d",), "a", "/a", False),
            (("d",), "a", "../d/a/", True),
            (("d",), ".", "", True),
            (ROOT, "a\0", "a\0", False),
            (ROOT, ".ftplite-x", ".ftplite-x", False),
        ]:
            assert is_same(directory, one, other) == same, (one, other)
            assert is_same(directory, other, one) == same, (one, other)
