"""What a client asks for at step 3, and the checksum it tells (docs/protocol.md, section 6)."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.fakes import Host
from tests.unit.test_properties import QUICK
from tests.unit.test_server_session import (
    CANCELLED,
    PORT,
    PORT_DUE,
    READY_TO_RECEIVE,
    READY_TO_SEND,
    UNEXPECTED,
    phrases,
)
from twisted_ftplite.errors import BadSyntax, FileNotFound, NotSupported, UnexpectedMessage
from twisted_ftplite.protocol.events import Announced, Completed, SizeTold
from twisted_ftplite.protocol.lines import VERBS, Field, FieldName, Success, decode
from twisted_ftplite.protocol.options import TABLE, Options, encode_options, note
from twisted_ftplite.protocol.order import State
from twisted_ftplite.protocol.values import Checksum

FEATURES = ("json", "offset", "checksum", "modified", "files", "noop", "help")
ALGORITHMS = ("xxh128", "sha256")
NOT_SUPPORTED = "FAILURE: Not supported."
BAD_SYNTAX = "ERROR: Bad syntax."
MOVING = Announced(51234)

HEX = "99aa06d3014798d86001c324468d497f"
OTHER_HEX = "0" * 32


class OfferingHost(Host):
    """A host that offers all of section 6 that is about one transfer, or less."""

    def __init__(self, features: tuple[str, ...] = FEATURES, *, clings: bool = False) -> None:
        super().__init__(clings=clings)
        self.session.features = features
        self.session.algorithms = ALGORITHMS


def run(host: Host, command: str, lines: list[str], *, ahead: bool) -> list[object]:
    """What is told behind step 2, lines being sent ahead of it or one by one behind it."""
    phrase = Success.READY_TO_RECEIVE if command.startswith("put") else Success.READY_TO_SEND
    if ahead:
        host.receive(command, *lines)
        return host.answer(phrase)[1:]
    host.receive(command)
    host.answer(phrase)
    return [each for line in lines for each in host.receive(line)]


def both_ways(
    command: str, *lines: str, features: tuple[str, ...] = FEATURES
) -> tuple[list[object], Options | None]:
    """What is told, statuses without their detail, and the options; the same ahead and one by one."""
    outcomes = []
    for ahead in (False, True):
        host = OfferingHost(features)
        told = phrases(run(host, command, list(lines), ahead=ahead))
        transfer = host.session.transfer
        outcomes.append((told, None if transfer is None else transfer.options))
    assert outcomes[0] == outcomes[1], (command, lines)
    return outcomes[0]


OPTIONS: list[tuple[str, str, Options]] = [
    ("get a", "Start offset: 0 bytes", Options(offset=0)),
    ("get a", "start OFFSET: 9999999999999999999 bytes", Options(offset=10**19 - 1)),
    ("put a", "Start offset: 5 bytes", Options(offset=5)),
    ("get a", "Byte count: 0 bytes", Options(byte_count=0)),
    ("get a", "Byte count: 7 bytes", Options(byte_count=7)),
    ("get a", "Checksum: xxh128", Options(checksum="xxh128")),
    ("put a", "Checksum: sha256", Options(checksum="sha256")),
    ("put a", "Modified: 1970-01-01T00:00:01.5Z", Options(mtime_ns=1_500_000_000)),
    ("put a", "Mode: 0640", Options(mode=0o640)),
    ("ls", "Format: json", Options(format="json")),
    ("ls a", "Depth: all", Options(depth="all")),
]
NOT_OF_THIS_VERB = [
    ("ls", "Start offset: 0 bytes"),
    ("ls", "Byte count: 0 bytes"),
    ("put a", "Byte count: 0 bytes"),
    ("ls", "Checksum: xxh128"),
    ("get a", "Modified: 1970-01-01T00:00:01Z"),
    ("ls", "Modified: 1970-01-01T00:00:01Z"),
    ("get a", "Mode: 0644"),
    ("ls", "Mode: 0644"),
    ("get a", "Format: json"),
    ("put a", "Format: json"),
    ("get a", "Depth: all"),
    ("put a", "Depth: all"),
    ("get a", "File size: 3 bytes"),
    ("ls", "File size: 3 bytes"),
    ("get a", "Partial size: 3 bytes"),
    ("put a", "Partial checksum: xxh128 00"),
    ("get a", "Type: file"),
    ("ls", "Feature: json"),
]
MALFORMED = [
    ("get a", "Start offset: 5"),
    ("get a", "Start offset:5 bytes"),
    ("get a", "Start offset: -5 bytes"),
    ("get a", "Start offset: 05 bytes"),
    ("get a", "Byte count: 5 byte"),
    ("get a", "Checksum:"),
    ("get a", "Checksum: "),
    ("get a", "Checksum:xxh128"),
    ("get a", "Checksum:  xxh128"),
    ("get a", f"Checksum: xxh128 {HEX}"),
    ("put a", f"Checksum: xxh128 {HEX}"),
    ("get a", "Checksum: é"),
    ("put a", "Modified: yesterday"),
    ("put a", "Modified: 2023-02-29T00:00:00Z"),
    ("put a", "Mode: 644"),
    ("put a", "Mode: 1755"),
    ("ls", "Format:json"),
    ("ls", "Format: json "),
    ("ls", "Depth:"),
]
WITHOUT_MEANING = [
    ("get a", "Checksum: blake3"),
    ("put a", "Checksum: XXH128"),
    ("get a", "Checksum: none"),
    ("get a", "Checksum: sha-256"),
    ("ls", "Format: xml"),
    ("ls", "Format: JSON"),
    ("ls", "Depth: 2"),
    ("ls", "Depth: All"),
]


class TableTests(SynchronousTestCase):
    def test_every_option_has_its_row(self) -> None:
        assert sorted(row.attribute for row in TABLE.values()) == sorted(
            each.name for each in fields(Options)
        )

    def test_rows_are_of_verbs_with_a_transfer(self) -> None:
        assert {verb for row in TABLE.values() for verb in row.verbs} == {"ls", "get", "put"}
        assert all(verb in VERBS for row in TABLE.values() for verb in row.verbs)

    def field(self, line: str | bytes) -> Field:
        message = decode(line.encode() if isinstance(line, str) else line)
        assert isinstance(message, Field)
        return message

    def test_notes(self) -> None:
        for command, line, expected in OPTIONS:
            options = Options()
            note(options, self.field(line), command.split(" ")[0], FEATURES, ALGORITHMS)
            assert options == expected, line

    def test_refusals(self) -> None:
        for vectors, expected in (
            (NOT_OF_THIS_VERB, UnexpectedMessage),
            (MALFORMED, BadSyntax),
            (WITHOUT_MEANING, NotSupported),
        ):
            for command, line in vectors:
                options = Options()
                with pytest.raises(expected):
                    note(options, self.field(line), command.split(" ")[0], FEATURES, ALGORITHMS)
                assert options == Options(), line

    def test_no_algorithms_unless_they_are_told(self) -> None:
        with pytest.raises(NotSupported):
            note(Options(), self.field("Checksum: xxh128"), "get", FEATURES)

    def test_there_and_back(self) -> None:
        for command, line, options in OPTIONS:
            (told,) = encode_options(options)
            noted = Options()
            note(noted, self.field(told[:-1]), command.split(" ")[0], FEATURES, ALGORITHMS)
            assert noted == options, line

    def test_lines(self) -> None:
        assert encode_options(Options()) == []
        assert encode_options(
            Options(
                offset=0,
                byte_count=5,
                checksum="xxh128",
                mtime_ns=1_500_000_999,
                mode=0o644,
                format="json",
                depth="all",
            )
        ) == [
            b"Start offset: 0 bytes\n",
            b"Byte count: 5 bytes\n",
            b"Checksum: xxh128\n",
            b"Modified: 1970-01-01T00:00:01.500000Z\n",
            b"Mode: 0644\n",
            b"Format: json\n",
            b"Depth: all\n",
        ]


class AtStep3Tests(SynchronousTestCase):
    def test_an_option_is_noted(self) -> None:
        for command, line, options in OPTIONS:
            assert both_ways(command, line, PORT) == ([MOVING], options), line

    def test_with_bytes_around_it(self) -> None:
        for command, line, options in OPTIONS:
            assert both_ways(command, "Working: 1 bytes", line + "\r", PORT, PORT) == ([MOVING], options), (
                line
            )
            assert both_ways(command, " " + line, PORT)[0] == ["ERROR: Unknown command."], line

    def test_many_together(self) -> None:
        assert both_ways(
            "put a",
            "Mode: 0600",
            "Checksum: xxh128",
            "File size: 3 bytes",
            "Start offset: 1 bytes",
            "Modified: 1970-01-01T00:00:00Z",
            PORT,
        ) == ([SizeTold(3), MOVING], Options(offset=1, checksum="xxh128", mtime_ns=0, mode=0o600))

    def test_twice(self) -> None:
        for command, line, options in OPTIONS:
            assert both_ways(
                command, line, line.upper().partition(":")[0] + ":" + line.partition(":")[2]
            ) == (
                [],
                options,
            ), line

    def test_twice_with_another_value(self) -> None:
        for command, one, other in [
            ("get a", "Start offset: 0 bytes", "Start offset: 1 bytes"),
            ("get a", "Byte count: 0 bytes", "Byte count: 1 bytes"),
            ("get a", "Checksum: xxh128", "Checksum: sha256"),
            ("put a", "Modified: 1970-01-01T00:00:00Z", "Modified: 1970-01-01T00:00:00.000001Z"),
            ("put a", "Mode: 0000", "Mode: 0001"),
        ]:
            assert both_ways(command, one, other, PORT) == ([BAD_SYNTAX], None), other

    def test_of_another_verb(self) -> None:
        for command, line in NOT_OF_THIS_VERB:
            assert both_ways(command, line, PORT) == ([UNEXPECTED], None), (command, line)

    def test_malformed(self) -> None:
        for command, line in MALFORMED:
            assert both_ways(command, line, PORT) == ([BAD_SYNTAX], None), (command, line)

    def test_words_that_mean_nothing_here(self) -> None:
        for command, line in WITHOUT_MEANING:
            assert both_ways(command, line, PORT) == ([NOT_SUPPORTED], None), (command, line)

    def test_of_a_feature_that_is_not_offered(self) -> None:
        for command, line, _ in OPTIONS:
            row = TABLE[FieldName(line.partition(":")[0].capitalize())]
            others = tuple(each for each in FEATURES if each != row.feature)
            assert both_ways(command, line, PORT, features=others) == ([UNEXPECTED], None), line
            assert both_ways(command, line, PORT, features=()) == ([UNEXPECTED], None), line
        for command, line in [*MALFORMED, *WITHOUT_MEANING]:
            assert both_ways(command, line, PORT, features=()) == ([UNEXPECTED], None), line

    def test_what_belongs_nowhere_is_a_bad_line(self) -> None:
        for features in (FEATURES, ()):
            host = OfferingHost(features)
            assert run(host, "put a", ["Format: json"], ahead=False) == [PORT_DUE]
            assert host.receive(*["frob"] * 9)[-1] == "[close]"

    def test_what_is_refused_is_none(self) -> None:
        for line, status in {"Checksum: blake3": NOT_SUPPORTED, "Checksum: a b": BAD_SYNTAX}.items():
            host = OfferingHost()
            host.receive(*["frob"] * 9)
            assert phrases(run(host, "get a", [line], ahead=False)) == [status]
            host.receive(*["frob"] * 9)
            assert host.idle

    def test_behind_a_refused_command_it_falls_on_the_floor(self) -> None:
        host = OfferingHost()
        for _, line, _ in OPTIONS:
            assert host.receive("get x", line, PORT) == ["[get x]"]
            assert host.finish(FileNotFound()) == ["FAILURE: File not found."]
            assert host.receive(line) == []

    def test_it_waits_with_its_command(self) -> None:
        host = OfferingHost()
        host.receive("get a", "Checksum: xxh128", PORT, "put b", "Mode: 0644", "Data channel port: 2000")
        assert host.answer() == [READY_TO_SEND, MOVING]
        assert host.session.transfer is not None
        assert host.session.transfer.options == Options(checksum="xxh128")
        assert host.finish(Success.FILE_TRANSFERRED)[1:] == ["[put b]"]
        assert host.answer(Success.READY_TO_RECEIVE) == [READY_TO_RECEIVE, Announced(2000)]
        assert host.session.transfer.options == Options(mode=0o644)

    def test_what_follows_a_refusal_sent_ahead_is_dropped(self) -> None:
        host = OfferingHost()
        host.receive("get a", "Checksum: blake3", "Checksum: xxh128", PORT, "noop")
        assert phrases(host.answer()) == [READY_TO_SEND, NOT_SUPPORTED, "[noop None]"]

    def test_once_the_port_is_told_it_is_too_late(self) -> None:
        for command, line, _ in OPTIONS:
            assert both_ways(command, PORT, line) == ([MOVING], Options()), line
        for command, line in [*NOT_OF_THIS_VERB, *MALFORMED, *WITHOUT_MEANING]:
            if "size" not in line:
                assert both_ways(command, PORT, line) == ([MOVING], Options()), line


TOLD = f"Checksum: xxh128 {HEX}"
SIZE = "File size: 3 bytes"
COMPLETE = "Transfer complete: a"


class ChecksumTests(SynchronousTestCase):
    """What the sender of a put says before its completion."""

    def told(self, *lines: str, ask: str = "Checksum: xxh128") -> tuple[list[object], Checksum | None]:
        """What is told behind the port."""
        before = [line for line in (ask, PORT) if line]
        outcomes = []
        for ahead in (False, True):
            host = OfferingHost(clings=True)
            told = run(host, "put a", [*before, *lines], ahead=ahead)
            assert told[0] == MOVING
            said = [
                each if isinstance(each, SizeTold | Completed) else self.status(each) for each in told[1:]
            ]
            assert host.session.transfer is not None
            outcomes.append((said, host.session.transfer.checksum))
        assert outcomes[0] == outcomes[1]
        return outcomes[0]

    @staticmethod
    def status(ended: object) -> str:
        error = ended.error  # type: ignore[attr-defined]
        return f"{error.kind}: {error.phrase}"

    def test_told(self) -> None:
        expected = [SizeTold(3), Completed()], Checksum("xxh128", HEX)
        assert self.told(SIZE, TOLD, COMPLETE) == expected
        assert self.told(TOLD, SIZE, COMPLETE) == expected
        assert self.told(SIZE, TOLD.upper().replace("XXH", "xxh"), COMPLETE) == expected

    def test_twice(self) -> None:
        assert self.told(SIZE, TOLD, TOLD, COMPLETE, TOLD, COMPLETE)[0] == [SizeTold(3), Completed()]

    def test_another_one_behind_it(self) -> None:
        other = f"Checksum: xxh128 {OTHER_HEX}"
        assert self.told(SIZE, TOLD, other, COMPLETE)[0] == [SizeTold(3), BAD_SYNTAX]
        assert self.told(SIZE, TOLD, COMPLETE, other)[0] == [SizeTold(3), Completed(), BAD_SYNTAX]

    def test_missing(self) -> None:
        assert self.told(SIZE, COMPLETE) == ([SizeTold(3), BAD_SYNTAX], None)
        assert self.told(SIZE, COMPLETE, TOLD) == ([SizeTold(3), BAD_SYNTAX], None)

    def test_by_another_algorithm(self) -> None:
        for word in ("sha256", "XXH128", "blake3"):
            assert self.told(f"Checksum: {word} {HEX}") == ([BAD_SYNTAX], None)

    def test_malformed(self) -> None:
        for value in ("", " ", " xxh128", " xxh128 ", f"xxh128 {HEX}", " xxh128 0g", f" xxh128 {HEX} "):
            assert self.told(f"Checksum:{value}") == ([BAD_SYNTAX], None), value

    def test_nobody_asked(self) -> None:
        for value in ("", " xxh128", f" xxh128 {HEX}", " xxh128 0g", " frob 00"):
            assert self.told(f"Checksum:{value}", SIZE, COMPLETE, ask="") == (
                [SizeTold(3), Completed()],
                None,
            ), value

    def test_in_a_get_it_is_ignored(self) -> None:
        for line in (TOLD, f"Checksum: sha256 {HEX}", "Checksum: xxh128", "Checksum:", "Checksum: x 0g"):
            told, options = both_ways("get a", "Checksum: xxh128", PORT, line, COMPLETE)
            assert told == [MOVING, Completed()], line
            assert options == Options(checksum="xxh128")

    def test_with_the_name_of_another_file(self) -> None:
        assert self.told(SIZE, TOLD, "Transfer complete: b")[0] == [SizeTold(3), UNEXPECTED]

    def test_from_end_to_end(self) -> None:
        host = OfferingHost()
        host.receive("put a", "Checksum: xxh128", SIZE, PORT, TOLD, COMPLETE, "noop")
        assert host.answer(Success.READY_TO_RECEIVE) == [READY_TO_RECEIVE, SizeTold(3), MOVING, Completed()]
        told = host.finish(Success.FILE_TRANSFERRED)
        assert told == ["SUCCESS: File transferred successfully.", "[noop None]"]

    def test_abort_and_failure_are_as_ever(self) -> None:
        for line, status in {"abort": CANCELLED, "FAILURE: Disk full.": "FAILURE: Disk full."}.items():
            for steps in range(4):
                if steps < 2 and line != "abort":
                    continue
                host = OfferingHost()
                run(host, "put a", ["Checksum: xxh128", PORT, TOLD][:steps], ahead=False)
                assert host.receive(line) == [status]
                assert host.idle


class KnowsModifiedTests(SynchronousTestCase):
    """`Modified` and `Mode` of a get are told only to who has asked what there is, or has used them."""

    def after(self, *lines: str) -> bool:
        host = OfferingHost()
        for line in lines:
            host.receive(line)
            if host.running is None or host.session.state is not State.RUNNING:
                continue
            if host.running.verb.name in ("ls", "get"):
                host.answer()
            elif host.running.verb.name == "put":
                host.answer(Success.READY_TO_RECEIVE)
            else:
                host.finish()
        return host.session.knows_modified

    def test_the_plain_protocol(self) -> None:
        assert not OfferingHost().session.knows_modified
        for lines in (
            ("ls", PORT, "Transfer complete: ."),
            ("get a", PORT, TOLD, COMPLETE),
            ("put a", SIZE, "Working: 3 bytes", PORT, COMPLETE),
            ("get a", "abort"),
            ("frob", "", "get", 'mv"a"'),
            ("get a", "Mode: 0644"),
            ("put a", "Mode: 644"),
            ("put a", PORT, "Mode: 0644", "Modified: 1970-01-01T00:00:00Z"),
            ("quit",),
        ):
            assert not self.after(*lines), lines

    def test_verbs(self) -> None:
        for verb in VERBS.values():
            expected = verb.name == "features"
            assert self.after(verb.name) == expected, verb.name
            assert self.after(verb.name.upper(), "get a") == expected, verb.name

    def test_options(self) -> None:
        for command, line, options in OPTIONS:
            expected = options.mtime_ns is not None or options.mode is not None
            assert self.after(command, line) == expected, line
            host = OfferingHost()
            run(host, command, [line, PORT], ahead=True)
            assert host.session.knows_modified == expected

    def test_it_is_for_good(self) -> None:
        assert self.after("put a", "Mode: 0644", "abort", "get a", PORT)

    def test_not_by_what_has_not_begun(self) -> None:
        host = OfferingHost()
        host.receive("get a", "features")
        assert not host.session.knows_modified
        host.finish(FileNotFound())
        assert host.session.knows_modified


class DirectoryTests(SynchronousTestCase):
    def test_completions_are_taken_from_the_working_directory(self) -> None:
        for name, told in {
            "a": [Completed()],
            "/d/e/a": [Completed()],
            "../e/a": [Completed()],
            "/a": [UNEXPECTED],
            "d/e/a": [UNEXPECTED],
        }.items():
            host = OfferingHost()
            host.session.directory = ("d", "e")
            run(host, "get a", [PORT], ahead=False)
            assert phrases(host.receive(f"Transfer complete: {name}")) == told, name

    def test_a_listing_of_it(self) -> None:
        for name in (".", "/d", "../d", "x/.."):
            host = OfferingHost()
            host.session.directory = ("d",)
            run(host, "ls", [PORT], ahead=False)
            assert host.receive(f"Transfer complete: {name}") == [Completed()], name


MOVING_LINES = st.sampled_from(
    [
        SIZE,
        "File size: 4 bytes",
        COMPLETE,
        "Transfer complete: b",
        TOLD,
        f"Checksum: xxh128 {OTHER_HEX}",
        f"Checksum: sha256 {HEX}",
        "Checksum: xxh128",
        "Checksum: sha256",
        "Working: 1 bytes",
        PORT,
        "abort",
        "frob",
        "noop",
        "Format: json",
        "FAILURE: Disk full.",
        *(line for _, line, _ in OPTIONS),
        *(line for _, line in MALFORMED),
        *(line for _, line in WITHOUT_MEANING),
    ]
)


class Properties(SynchronousTestCase):
    @QUICK
    @given(st.sampled_from(["get a", "put a", "ls"]), st.lists(MOVING_LINES, max_size=12))
    def test_ahead_or_one_by_one_is_the_same(self, command: str, lines: list[str]) -> None:
        """But for lines that belong to another command, which is never begun here, and an abort."""
        lines = [line for line in lines if line not in ("noop", "abort")]
        outcomes = []
        for ahead in (False, True):
            host = OfferingHost(clings=True)
            told = run(host, command, lines, ahead=ahead)
            transfer = host.session.transfer
            outcomes.append((list(map(str, told)), transfer, host.session.state, host.session.knows_modified))
        assert outcomes[0] == outcomes[1]

    @QUICK
    @given(st.lists(MOVING_LINES, max_size=12))
    def test_a_completion_stands_behind_all_that_was_due(self, lines: list[str]) -> None:
        host = OfferingHost(clings=True)
        for line in lines:
            if host.running is None:
                host.receive("put a")
                host.answer(Success.READY_TO_RECEIVE)
            told = host.receive(line)
            transfer = host.session.transfer
            if Completed() in told:
                assert transfer is not None
                assert transfer.size is not None
                assert (transfer.checksum is None) == (transfer.options.checksum is None)
                if transfer.checksum is not None:
                    assert transfer.checksum.algorithm == transfer.options.checksum

    @QUICK
    @given(
        st.builds(
            Options,
            offset=st.none() | st.integers(0, 10**19 - 1),
            byte_count=st.none() | st.integers(0, 10**19 - 1),
            checksum=st.sampled_from([None, *ALGORITHMS]),
            mtime_ns=st.none() | st.integers(0, 2**62).map(lambda each: each // 1000 * 1000),
            mode=st.none() | st.integers(0, 0o777),
        )
    )
    def test_any_options_can_be_told(self, options: Options) -> None:
        for command, told in {
            "get a": replace(options, mtime_ns=None, mode=None),
            "put a": replace(options, byte_count=None),
        }.items():
            lines = [each[:-1].decode() for each in encode_options(told)]
            assert both_ways(command, *lines, PORT) == ([MOVING], told)
