"""What holds for any input: of the parser, of the session's order and of the control channel."""

from __future__ import annotations

import os
import socket
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.fakes import Host, Line
from twisted_ftplite.errors import (
    ERRORS,
    FAILURES,
    BadSyntax,
    Broken,
    FileNotFound,
    FTPLiteError,
    NameNotAllowed,
)
from twisted_ftplite.limits import Limits
from twisted_ftplite.protocol import listing
from twisted_ftplite.protocol.events import Announced, Completed, InputOver, SizeTold
from twisted_ftplite.protocol.lines import (
    VERBS,
    Command,
    Field,
    FieldName,
    Status,
    Success,
    decode,
    encode_command,
    encode_field,
    parse_argument,
    spell_argument,
)
from twisted_ftplite.protocol.order import State
from twisted_ftplite.protocol.paths import RESERVED, resolve, spell
from twisted_ftplite.server.services import Ends
from twisted_ftplite.storage.memory import MemoryStorage

QUICK = settings(
    max_examples=300,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)
"""The same examples in every run: a failure is a failure of what was changed."""

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
NAME_BYTES = st.binary(max_size=20)
STRINGS = st.text(max_size=20)  # lone surrogates included

KNOWN_LINES = st.sampled_from(
    [
        b"ls",
        b"get a",
        b"get missing",
        b'get "a"',
        b"put b",
        b'put "c d"',
        b"noop",
        b"help",
        b"features",
        b"abort",
        b"ABORT\r",
        b"abort x",
        b"pwd",
        b'mv "a" "b"',
        b"get",
        b'get "a',
        b"Data channel port: 80",
        b"Data channel port: 051234",
        b"Data channel port: passive",
        b"File size: 3 bytes",
        b"File size: 4 bytes",
        b"File size: x",
        b"Transfer complete: a",
        b'Transfer complete: "a"',
        b"Transfer complete: b",
        b"Transfer complete: .",
        b"Transfer complete: .ftplite-x",
        b"Working: 5 bytes",
        b"Format: json",
        b"Format: xml",
        b"Depth: all",
        b"Start offset: 1 bytes",
        b"Byte count: 1 bytes",
        b"Checksum: xxh128",
        b"Checksum: frob",
        b"Checksum: xxh128 99aa06d3014798d86001c324468d497f",
        b"Modified: 2026-11-22T13:00:00.123456Z",
        b"Mode: 0640",
        b"FAILURE: Disk full.",
        b"FAILURE: Moon full.",
        b"SUCCESS: Goodbye.",
        b"ERROR: Bad syntax.",
        b"",
        b"frob",
        b"\xff",
        b"quit",
        b"GET / HTTP/1.1\r",
        b"\x16",
    ]
)
ANY_LINE = st.one_of(
    KNOWN_LINES,
    st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")),
    st.builds(
        lambda verb, rest: verb.encode() + b" " + rest.replace(b"\n", b""),
        st.sampled_from(sorted(VERBS)),
        st.binary(max_size=20),
    ),
    st.builds(
        lambda name, rest: name.encode() + b": " + rest.replace(b"\n", b""),
        st.sampled_from(sorted(FieldName)),
        st.binary(max_size=20),
    ),
)


def is_a_phrase(line: str) -> bool:
    kind, _, text = line.partition(": ")
    phrases: dict[str, list[str]] = {"SUCCESS": [*Success], "FAILURE": [*FAILURES], "ERROR": [*ERRORS]}
    return any(text == each or text.startswith(each + " ") for each in phrases[kind])


class LineProperties(SynchronousTestCase):
    @QUICK
    @given(ANY_LINE)
    def test_any_line_is_a_message_or_an_error_of_ours(self, line: bytes) -> None:
        try:
            message = decode(line)
        except Broken:
            return
        try:
            match message:
                case Command():
                    message.arguments()
                case Field():
                    for read in (message.number, message.size, message.argument, message.text):
                        try:
                            read()
                        except BadSyntax:
                            continue
                case Status():
                    message.error()
        except BadSyntax:
            return

    @QUICK
    @given(st.lists(NAME_BYTES, min_size=1, max_size=3))
    def test_any_names_can_be_said_and_are_understood(self, names: list[bytes]) -> None:
        arguments = tuple(map(os.fsdecode, names))
        line = encode_command("mv", *arguments)
        assert line.count(b"\n") == 1
        command = decode(line[:-1])
        assert isinstance(command, Command)
        assert command.argument is not None
        assert parse_argument(command.argument) == arguments
        assert [os.fsencode(each) for each in parse_argument(command.argument)] == names

    @QUICK
    @given(NAME_BYTES)
    def test_fields_too(self, name: bytes) -> None:
        line = encode_field(FieldName.TRANSFER_COMPLETE, spell_argument(os.fsdecode(name)))
        field = decode(line.replace(b"\n", b"\r"))
        assert isinstance(field, Field)
        assert os.fsencode(field.argument()) == name

    @QUICK
    @given(STRINGS)
    def test_any_string_is_spelled_or_refused(self, text: str) -> None:
        try:
            spelled = spell_argument(text)
        except BadSyntax:
            return
        spelled.encode("utf-8")
        (meant,) = parse_argument(spelled)
        assert os.fsencode(meant) == os.fsencode(text)

    @QUICK
    @given(STRINGS)
    def test_what_is_parsed_is_spelled_so_that_it_means_the_same(self, text: str) -> None:
        try:
            meant = parse_argument(text)
        except BadSyntax:
            return
        assert parse_argument(spell_argument(*meant)) == meant

    @QUICK
    @given(st.lists(TEXT, max_size=4), st.one_of(STRINGS, st.from_regex(r"[./a]{0,12}")))
    def test_no_argument_leads_out(self, directory: list[str], argument: str) -> None:
        try:
            start = resolve((), "/".join(directory))
            path = resolve(start, argument)
        except NameNotAllowed:
            return
        except UnicodeEncodeError:
            assert any("\ud800" <= each < "\udc80" or "\udcff" < each < "\ue000" for each in argument)
            return
        for segment in path:
            assert segment not in ("", ".", "..")
            assert "/" not in segment
            assert not segment.startswith(RESERVED)
        assert resolve((), spell(path)) == path

    @QUICK
    @given(st.lists(st.tuples(st.binary(min_size=1, max_size=10), st.booleans()), max_size=5))
    def test_listings(self, entries: list[tuple[bytes, bool]]) -> None:
        named = [
            (os.fsdecode(name), is_directory)
            for name, is_directory in entries
            if name not in (b".", b"..") and not {0, ord("/")} & set(name)
        ]
        assert list(listing.parse_plain(b"".join(listing.plain(named)))) == named

    @QUICK
    @given(st.binary(max_size=60))
    def test_any_listing_is_read_or_refused(self, data: bytes) -> None:
        try:
            entries = list(listing.parse_plain(data))
        except BadSyntax:
            return
        assert all(name not in ("", ".", "..") and "/" not in name for name, _ in entries)


MOVES = st.sampled_from(["answer", "answer to put", "finish", "refuse", "internal"])


class SessionProperties(SynchronousTestCase):
    @QUICK
    @given(st.lists(st.one_of(ANY_LINE, MOVES), max_size=25), st.booleans(), st.booleans())
    def test_only_our_events_and_no_exception(
        self, script: list[bytes | str], clings: bool, offers: bool
    ) -> None:
        host = Host(Limits(queue_size=200), clings=clings)
        if offers:
            host.session.features = ("json", "offset", "checksum", "modified")
            host.session.algorithms = ("xxh128",)
        told: list[object] = []
        for step in script:
            if isinstance(step, bytes):
                told += host.receive(step)
            elif host.running is None:
                continue
            elif step.startswith("answer"):
                if host.session.state is State.RUNNING:
                    phrase = Success.READY_TO_RECEIVE if "put" in step else Success.READY_TO_SEND
                    try:
                        host.running.arguments()
                    except BadSyntax:
                        continue  # the host checks before
                    told += host.answer(phrase)
            else:
                told += host.finish(Success.NOTHING_DONE if step == "finish" else FileNotFound())
        for each in told:
            if isinstance(each, str):
                assert each.startswith("[") or is_a_phrase(each), each
            else:
                assert isinstance(each, Announced | SizeTold | Completed | InputOver) or isinstance(
                    each.error,
                    FTPLiteError,  # type: ignore[attr-defined]
                )

    @QUICK
    @given(st.lists(ANY_LINE, max_size=30))
    def test_the_books_are_kept(self, lines: list[bytes]) -> None:
        host = Host(clings=True)
        host.receive("put b", "ls")
        for line in lines:
            host.receive(line)
            waiting = host.session._waiting
            assert waiting.size == sum(len(each) + 1 for each, _ in waiting)
            assert 0 <= waiting._settled <= len(waiting)
        while host.running is not None:
            host.finish()
        waiting = host.session._waiting
        assert (waiting.size, waiting.commands, waiting._settled) == (0, 0, 0)

    @QUICK
    @given(st.lists(st.lists(ANY_LINE, max_size=6), max_size=4))
    def test_fields_of_a_refused_command_change_nothing(self, groups: list[list[bytes]]) -> None:
        """A command, and any fields behind it: refused, they are one status."""
        host = Host()
        for group in groups:
            fields = [each for each in group if self.is_field(each)]
            host.receive(b"get x", *fields)
            assert host.finish(FileNotFound()) == ["FAILURE: File not found."]
            assert host.receive(*fields) == []

    @staticmethod
    def is_field(line: bytes) -> bool:
        try:
            message = decode(line)
        except Broken:
            return False
        return isinstance(message, Field) or (isinstance(message, Status) and message.kind == "FAILURE")


class ControlProperties(SynchronousTestCase):
    """Whole control channels, whose data channels are announced to a port that answers nothing."""

    def setUp(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.listening.close)
        self.port = f"Data channel port: {self.listening.getsockname()[1]}".encode()

    def line(self, *, connects: bool = True) -> Line:
        line = Line(
            storage=MemoryStorage({"a": b"abc", "d/e": b""}),
            ends=Ends(("127.0.0.1", 0), ("127.0.0.1", 9)) if connects else None,
        )
        line.said()
        return line

    def outcome(self, pieces: list[bytes], *, connects: bool, end: bool) -> tuple[list[str], bool, bool]:
        line = self.line(connects=connects)
        for piece in pieces:
            if line.transport.disconnecting:
                break
            line.control.dataReceived(piece)
        if end and not line.transport.disconnecting:
            line.end()
        said = [self.without_time(each) for each in line.said()]
        outcome = said, line.transport.write_closed, line.transport.disconnecting
        line.lose()
        for each in self.accept():
            each.close()
        assert line.reactor.getDelayedCalls() == []
        assert line.reactor.removeAll() == []
        return outcome

    def accept(self) -> list[socket.socket]:
        """Whoever connected since the last time."""
        accepted: list[socket.socket] = []
        self.listening.setblocking(False)
        while True:
            try:
                accepted.append(self.listening.accept()[0])
            except BlockingIOError:
                return accepted

    @staticmethod
    def without_time(line: str) -> str:
        return line.partition(" bytes in ")[0]

    @settings(QUICK, max_examples=200)
    @given(
        st.lists(st.one_of(ANY_LINE, st.just(b"port")), max_size=15),
        st.lists(st.integers(0, 400), max_size=8),
        st.booleans(),
        st.booleans(),
        st.binary(max_size=5),
    )
    def test_pieces_are_nothing(
        self, lines: list[bytes], cuts: list[int], connects: bool, end: bool, tail: bytes
    ) -> None:
        data = b"".join((self.port if each == b"port" else each) + b"\n" for each in lines) + tail
        at = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
        pieces = [data[one:other] for one, other in pairwise(at)]
        whole = self.outcome([data], connects=connects, end=end)
        assert self.outcome(pieces, connects=connects, end=end) == whole
        single = [data[index : index + 1] for index in range(len(data))]
        assert self.outcome(single, connects=connects, end=end) == whole

    @settings(QUICK, max_examples=200)
    @given(
        st.lists(
            st.sampled_from(
                [
                    b"ls",
                    b"get a",
                    b"get missing",
                    b"put b",
                    b"noop",
                    b"mkdir x",
                    b"get",
                    b"port",
                    b"Data channel port: 80",
                    b"Data channel port: x",
                    b"File size: 3 bytes",
                    b"Transfer complete: a",
                    b"Transfer complete: b",
                    b"FAILURE: Disk full.",
                    b"Format: json",
                    b"abort",
                ]
            ),
            max_size=20,
        )
    )
    def test_every_command_gets_one_final_status(self, lines: list[bytes]) -> None:
        line = self.line()
        commands = 1
        for each in [b"noop", *lines]:
            text = self.port if each == b"port" else each
            commands += text != b"abort" and not SessionProperties.is_field(text)
            line.send(text + b"\n")
        line.send(b"quit\n")
        accepted = []
        for _ in range(200):  # whatever still waits for the client is given up in time
            accepted += self.accept()
            line.reactor.turn()
            line.reactor.advance(15)
            if line.transport.write_closed:
                break
        said = line.said()
        final = [each for each in said if self.is_final(each)]
        assert len(final) == commands, said
        assert final[-1] == "SUCCESS: Goodbye."
        line.lose()
        for each in accepted:
            each.close()

    @staticmethod
    def is_final(line: str) -> bool:
        kind, _, text = line.partition(": ")
        return kind in ("SUCCESS", "FAILURE", "ERROR") and text not in (
            Success.READY_TO_SEND,
            Success.READY_TO_RECEIVE,
        )

    @settings(QUICK, max_examples=100)
    @given(st.binary(max_size=300), st.integers(1, 50))
    def test_any_bytes(self, data: bytes, size: int) -> None:
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        said, _, _ = self.outcome(pieces, connects=True, end=True)
        assert all(
            is_a_phrase(each) for each in said if each.partition(": ")[0] in ("SUCCESS", "FAILURE", "ERROR")
        )
