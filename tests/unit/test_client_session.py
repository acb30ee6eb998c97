"""The order of a session as the client keeps it (docs/protocol.md, sections 2, 4 and 6)."""

from __future__ import annotations

import os
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.fakes import HandReactor, HandTransport, Host
from tests.unit.test_properties import ANY_LINE, QUICK
from twisted_ftplite.client.control import ControlChannel
from twisted_ftplite.errors import (
    BadSyntax,
    ConnectionLost,
    ConnectionTimedOut,
    DiskFull,
    FileNotFound,
    FTPLiteError,
    NameNotAllowed,
    ProtocolViolation,
    ServerShuttingDown,
    TooManyConnections,
)
from twisted_ftplite.limits import Limits
from twisted_ftplite.protocol.client import (
    ChecksumTold,
    ClientSession,
    Completed,
    Event,
    Exchange,
    Invited,
    ModeTold,
    ModifiedTold,
    Over,
    Ready,
    SizeTold,
    Told,
)
from twisted_ftplite.protocol.client_order import DONE as OWN
from twisted_ftplite.protocol.client_order import FIELDS, ORDER, READY, Kind, Stage
from twisted_ftplite.protocol.lines import Field, FieldName, Success, encode_field, encode_size
from twisted_ftplite.protocol.options import Options
from twisted_ftplite.protocol.values import Checksum, spell_mode, spell_time

GREETING = "SUCCESS: FTPLite/1 ready."
SENDS = "SUCCESS: Ready to send."
RECEIVES = "SUCCESS: Ready to receive."
DONE = "SUCCESS: File transferred successfully."
LISTED = "SUCCESS: Listing complete."
SIZE = "File size: 3 bytes"
MODIFIED = "Modified: 1970-01-01T00:00:01.5Z"
MODE = "Mode: 0640"
HEX = "99aa06d3014798d86001c324468d497f"
TOLD = f"Checksum: xxh128 {HEX}"
COMPLETE = "Transfer complete: a"
DESCRIBED = "SUCCESS: Described."


class Peer:
    """A greeted session, fed lines of the server."""

    def __init__(self, *, greeted: bool = True) -> None:
        self.session = ClientSession(Limits())
        if greeted:
            assert self.receive(GREETING) == []

    def ask(
        self, verb: str, *arguments: str, options: Options | None = None, passive: bool = False
    ) -> Exchange:
        exchange, line = self.session.ask(verb, *arguments, options=options, passive=passive)
        assert line.startswith(verb.encode())
        return exchange

    def moving(self, verb: str, *arguments: str, options: Options | None = None) -> Exchange:
        """A transfer behind step 2."""
        exchange = self.ask(verb, *arguments, options=options)
        assert self.receive(f"SUCCESS: {READY[verb]}") == [Ready()]
        return exchange

    def receive(self, *lines: str | bytes) -> list[Event]:
        """What follows from the lines; all events are of the oldest command."""
        told = []
        for line in lines:
            oldest = next(iter(self.session._exchanges), None)
            for exchange, event in self.session.receive(line.encode() if isinstance(line, str) else line):
                assert exchange is oldest
                told.append(event)
        return told

    def violates(self, *lines: str | bytes) -> str:
        """The last line breaks the protocol; returns what is said of it."""
        self.receive(*lines[:-1])
        assert self.session.lost is None
        with pytest.raises(ProtocolViolation) as caught:
            self.receive(lines[-1])
        assert self.session.lost is caught.value
        return caught.value.detail


def is_over(events: list[Event], kind: type[FTPLiteError] | None = None) -> bool:
    (event,) = events
    return isinstance(event, Over) and (event.error is None if kind is None else type(event.error) is kind)


class TableTests(SynchronousTestCase):
    def test_every_stage_but_the_last_has_its_row(self) -> None:
        transfers = {stage for is_transfer, stage in ORDER if is_transfer}
        assert transfers == set(Stage) - {Stage.OVER}
        assert (False, Stage.ASKED) in ORDER

    def test_a_refusal_may_always_come(self) -> None:
        assert all(Kind.REFUSAL in may for may in ORDER.values())

    def test_fields_are_of_transfers(self) -> None:
        assert {verb for verbs in FIELDS.values() for verb in verbs} == set(READY)


class PlainTests(SynchronousTestCase):
    def test_a_get_from_end_to_end(self) -> None:
        peer = Peer()
        exchange = peer.ask("get", "a")
        assert peer.session.announce(51234) == b"Data channel port: 51234\n"
        assert peer.receive(SENDS, SIZE, COMPLETE) == [Ready(), SizeTold(3), Completed()]
        assert peer.session.complete(exchange) == b"Transfer complete: a\n"
        assert exchange.stage is Stage.AGREED
        assert is_over(peer.receive(DONE))
        assert exchange.stage is Stage.OVER

    def test_a_put_from_end_to_end(self) -> None:
        peer = Peer()
        exchange = peer.ask("put", "a b")
        assert peer.session.announce(51234, 3) == b"File size: 3 bytes\nData channel port: 51234\n"
        assert peer.receive(RECEIVES) == [Ready()]
        assert peer.session.complete(exchange) == b"Transfer complete: a b\n"
        assert peer.receive("Transfer complete: a b") == [Completed()]
        assert is_over(peer.receive(DONE))

    def test_a_put_that_streams(self) -> None:
        peer = Peer()
        exchange = peer.moving("put", "a")
        assert peer.session.complete(exchange, 3) == b"File size: 3 bytes\nTransfer complete: a\n"

    def test_a_listing(self) -> None:
        peer = Peer()
        exchange = peer.moving("ls")
        assert peer.receive("Transfer complete: .") == [Completed()]
        assert peer.session.complete(exchange) == b"Transfer complete: .\n"
        assert is_over(peer.receive(LISTED))

    def test_fields_of_a_command_without_a_transfer(self) -> None:
        peer = Peer()
        peer.ask("stat", "a", "xxh128")
        lines = [
            "Type: file",
            SIZE,
            MODIFIED,
            MODE,
            "Partial size: 3 bytes",
            f"Partial checksum: xxh128 {HEX}",
        ]
        told = peer.receive(*lines, "Transfer complete: x", "Feature: y")
        assert [each.field.value for each in told if isinstance(each, Told)][:3] == [
            " file",
            " 3 bytes",
            " 1970-01-01T00:00:01.5Z",
        ]
        assert told[-1] == Told(Field(FieldName.FEATURE, " y"))
        assert told[5] == Told(Field(FieldName.PARTIAL_CHECKSUM, f" xxh128 {HEX}"))
        assert len(told) == 8
        assert is_over(peer.receive(DESCRIBED))

    def test_fields_twice_are_told_twice(self) -> None:
        peer = Peer()
        peer.ask("features")
        assert len(peer.receive("Feature: a", "Feature: a")) == 2

    def test_a_field_that_cannot_be_read_at_all(self) -> None:
        for line in ("Feature:", "Feature:a", "File size:3 bytes"):
            peer = Peer()
            peer.ask("features")
            peer.violates(line)

    def test_working_counts_and_tells_nothing(self) -> None:
        peer = Peer()
        for verb in ("noop", "get"):
            peer.ask(verb, *(["a"] if verb == "get" else []))
            before = peer.session.lines
            assert peer.receive("Working: 3 bytes", "working: x") == []
            assert peer.session.lines == before + 2
            peer.receive("ERROR: Storage failed.")

    def test_a_command_that_is_too_long(self) -> None:
        peer = Peer()
        with pytest.raises(NameNotAllowed):
            peer.session.ask("get", "x" * 8180)
        with pytest.raises(BadSyntax):
            peer.session.ask("get", "\ud800")
        assert peer.session.end(ConnectionLost()) == []

    def test_answers_come_in_order(self) -> None:
        peer = Peer()
        first, second = peer.ask("get", "a"), peer.ask("noop")
        assert peer.session.is_oldest(first)
        assert not peer.session.is_oldest(second)
        assert is_over(peer.receive("FAILURE: File not found."), FileNotFound)
        assert peer.session.is_oldest(second)
        assert is_over(peer.receive("SUCCESS: Nothing done."))

    def test_failures_are_written_as_they_are(self) -> None:
        assert ClientSession(Limits()).fail(DiskFull()) == b"FAILURE: Disk full.\n"

    def test_what_will_get_no_status(self) -> None:
        peer = Peer()
        asked = [peer.ask("noop"), peer.ask("help")]
        error = ConnectionLost()
        assert peer.session.end(error) == asked
        assert peer.session.lost is error
        assert peer.session.end(ConnectionLost()) == []
        assert peer.session.lost is error


class GreetingTests(SynchronousTestCase):
    def test_greeted(self) -> None:
        peer = Peer(greeted=False)
        assert peer.receive(GREETING + " Welcome\r") == []
        assert peer.session.greeted

    def test_refused(self) -> None:
        peer = Peer(greeted=False)
        assert peer.receive("ERROR: Too many connections. Later") == []
        assert isinstance(peer.session.lost, TooManyConnections)
        assert not peer.session.greeted

    def test_strangers(self) -> None:
        for line in (
            b"SSH-2.0-OpenSSH",
            b"220 ready",
            b"",
            b"\xff",
            b"SUCCESS: Goodbye.",
            b"SUCCESS: FTPLite/1 ready.x",
            b"Working: 3 bytes",
            b"ls",
        ):
            Peer(greeted=False).violates(line)

    def test_unasked(self) -> None:
        for line in (GREETING, "FAILURE: Disk full.", SIZE, "ls", "frob", ""):
            Peer().violates(line)
        peer = Peer()
        assert peer.receive("ERROR: Connection timed out.") == []
        assert isinstance(peer.session.lost, ConnectionTimedOut)

    def test_an_error_that_closes(self) -> None:
        peer = Peer()
        peer.ask("noop")
        assert is_over(peer.receive("ERROR: Server shutting down."), ServerShuttingDown)
        assert isinstance(peer.session.lost, ServerShuttingDown)


class OutOfTurnTests(SynchronousTestCase):
    def test_before_step_2(self) -> None:
        for line in (SIZE, MODIFIED, MODE, TOLD, COMPLETE, DONE, RECEIVES, "Feature: x", "get a", "frob"):
            peer = Peer()
            peer.ask("get", "a")
            peer.violates(line)

    def test_behind_step_2(self) -> None:
        for line in (SENDS, DONE, "get a", "", b"\xff", "frob"):
            peer = Peer()
            peer.moving("get", "a")
            peer.violates(line)

    def test_a_success_before_both_have_completed(self) -> None:
        peer = Peer()
        peer.moving("get", "a")
        peer.violates(SIZE, COMPLETE, DONE)
        peer = Peer()
        peer.session.complete(peer.moving("get", "a"))
        peer.violates(DONE)

    def test_when_both_have_completed(self) -> None:
        for line in (SIZE, MODE, TOLD, COMPLETE, "Feature: x", SENDS):
            peer = Peer()
            exchange = peer.moving("get", "a")
            peer.receive(SIZE, COMPLETE)
            peer.session.complete(exchange)
            peer.violates(line)

    def test_a_refusal_at_every_step(self) -> None:
        for verb, lines in {
            "get": [SENDS, SIZE, MODIFIED, MODE, TOLD, COMPLETE],
            "put": [RECEIVES, COMPLETE],
            "noop": ["Feature: x"],
        }.items():
            for steps in range(len(lines) + 1):
                peer = Peer()
                peer.ask(verb, *(["a"] if verb != "noop" else []), options=Options(checksum="xxh128"))
                peer.receive(*lines[:steps])
                assert is_over(peer.receive("FAILURE: Disk full."), DiskFull), (verb, steps)

    def test_fields_that_mean_nothing_in_a_transfer_are_ignored(self) -> None:
        for verb in ("ls", "get", "put"):
            peer = Peer()
            peer.moving(verb, "a")
            for name in FieldName:
                if name not in FIELDS:
                    assert peer.receive(f"{name}: x", f"{name}:", f"{name}: x") == [], name


class CompletionTests(SynchronousTestCase):
    def completes(self, name: str, completion: str, directory: tuple[str, ...] = ()) -> bool:
        peer = Peer()
        peer.session.directory = directory
        peer.moving("put", name)
        try:
            return peer.receive(f"Transfer complete: {completion}") == [Completed()]
        except ProtocolViolation:
            return False

    def test_compared_by_meaning(self) -> None:
        for name, completion in [
            ("a", '"a"'),
            ("a", "/a"),
            ("a", "./x/../a"),
            ("é", '"\\u00e9"'),
            ("\udcff", '"\\uDCFF"'),
            ("a/", "a"),
        ]:
            assert self.completes(name, completion), (name, completion)

    def test_of_another_file(self) -> None:
        for completion in ("b", "A", "..", '"a "', ".ftplite-x", '"a\\u0000"', "x" * 256):
            assert not self.completes("a", completion), completion

    def test_of_what_no_file_can_be_named(self) -> None:
        """The server had to refuse it."""
        for name, completion in [(".ftplite-x", ".ftplite-x"), ("a\0", '"a\\u0000"'), ("x" * 256, "x" * 256)]:
            assert not self.completes(name, completion), completion

    def test_malformed(self) -> None:
        for value in ("", " ", "a", ' "a', ' "a" "b"', "  a", ' "\\ud800"'):
            peer = Peer()
            peer.moving("put", "a")
            peer.violates(f"Transfer complete:{value}")

    def test_from_the_working_directory(self) -> None:
        for completion, same in {
            "a": True,
            "/d/e/a": True,
            "../e/a": True,
            "/a": False,
            "d/e/a": False,
        }.items():
            assert self.completes("a", completion, ("d", "e")) == same, completion
        assert self.completes("/a", "../../a", ("d", "e"))

    def test_a_listing_of_the_working_directory(self) -> None:
        for completion, same in {".": True, "/d": True, "/": False, "d": False}.items():
            peer = Peer()
            peer.session.directory = ("d",)
            peer.moving("ls")
            if same:
                assert peer.receive(f"Transfer complete: {completion}") == [Completed()]
            else:
                peer.violates(f"Transfer complete: {completion}")

    def test_twice(self) -> None:
        for verb, lines in {"get": [SIZE], "put": [], "ls": []}.items():
            peer = Peer()
            peer.moving(verb, "a")
            peer.violates(*lines, COMPLETE, COMPLETE)

    def test_of_a_get_without_a_size(self) -> None:
        peer = Peer()
        peer.moving("get", "a")
        peer.violates(COMPLETE)


ATTRIBUTES: dict[str, Event] = {
    SIZE: SizeTold(3),
    "file size: 9999999999999999999 bytes\r": SizeTold(10**19 - 1),
    MODIFIED: ModifiedTold(1_500_000_000),
    "modified: 1969-12-31T23:59:59.999999Z": ModifiedTold(-1000),
    MODE: ModeTold(0o640),
    "MODE: 0000": ModeTold(0),
    TOLD: ChecksumTold(Checksum("xxh128", HEX)),
    f"Checksum: xxh128 {HEX.upper()}": ChecksumTold(Checksum("xxh128", HEX)),
}
MALFORMED = [
    "File size: 3",
    "File size: -3 bytes",
    "Modified: now",
    "Modified: 2023-02-29T00:00:00Z",
    "Modified:",
    "Mode: 644",
    "Mode: 1644",
    "Mode:0644",
    "Checksum: xxh128",
    "Checksum: xxh128 0g",
    f"Checksum: xxh128 {HEX} ",
    f"Checksum:xxh128 {HEX}",
    "Checksum:",
]


class GetTests(SynchronousTestCase):
    """What a server says of the file that it sends."""

    ask = Options(checksum="xxh128")

    def test_all_of_it(self) -> None:
        peer = Peer()
        exchange = peer.moving("get", "a", options=self.ask)
        assert peer.receive(SIZE, MODIFIED, MODE, "Working: 1 bytes", TOLD, COMPLETE) == [
            SizeTold(3),
            ModifiedTold(1_500_000_000),
            ModeTold(0o640),
            ChecksumTold(Checksum("xxh128", HEX)),
            Completed(),
        ]
        peer.session.complete(exchange)
        assert is_over(peer.receive(DONE))

    def test_each_of_it(self) -> None:
        for line, event in ATTRIBUTES.items():
            peer = Peer()
            peer.moving("get", "a", options=self.ask)
            assert peer.receive(line) == [event], line

    def test_malformed(self) -> None:
        for line in MALFORMED:
            for options in (None, self.ask):
                peer = Peer()
                peer.moving("get", "a", options=options)
                peer.violates(line)

    def test_twice(self) -> None:
        for line in ATTRIBUTES:
            peer = Peer()
            peer.moving("get", "a", options=self.ask)
            peer.violates(line, line)

    def test_behind_the_completion(self) -> None:
        for line in ATTRIBUTES:
            peer = Peer()
            peer.moving("get", "a")
            peer.violates(SIZE, COMPLETE, line)

    def test_in_a_put_or_a_listing(self) -> None:
        for verb in ("put", "ls"):
            for line in [*ATTRIBUTES, *MALFORMED]:
                peer = Peer()
                peer.moving(verb, "a", options=self.ask if verb == "put" else None)
                peer.violates(line)

    def test_without_the_checksum_that_was_asked_for(self) -> None:
        peer = Peer()
        peer.moving("get", "a", options=self.ask)
        assert "checksum" in peer.violates(SIZE, COMPLETE)

    def test_by_another_algorithm(self) -> None:
        for word in ("sha256", "XXH128"):
            peer = Peer()
            peer.moving("get", "a", options=self.ask)
            peer.violates(SIZE, f"Checksum: {word} {HEX}")

    def test_that_nobody_asked_for(self) -> None:
        for options in (None, Options(), Options(offset=3)):
            peer = Peer()
            peer.moving("get", "a", options=options)
            assert peer.receive(SIZE, TOLD, COMPLETE) == [SizeTold(3), Completed()]

    def test_a_put_is_completed_without(self) -> None:
        peer = Peer()
        exchange = peer.moving("put", "a", options=self.ask)
        peer.session.complete(exchange, checksum=Checksum("xxh128", HEX))
        assert peer.receive(COMPLETE) == [Completed()]
        assert is_over(peer.receive(DONE))

    def test_what_was_asked_belongs_to_its_command(self) -> None:
        peer = Peer()
        peer.ask("get", "a", options=self.ask)
        peer.ask("get", "a")
        peer.receive(SENDS, "FAILURE: File changed.", SENDS)
        assert peer.receive(SIZE, COMPLETE) == [SizeTold(3), Completed()]


class SuccessTests(SynchronousTestCase):
    """A plain command is done when the server says so in the verb's own words."""

    def test_the_verbs_own(self) -> None:
        for verb, phrase in OWN.items():
            if verb not in READY:
                peer = Peer()
                peer.ask(verb)
                assert is_over(peer.receive(f"SUCCESS: {phrase} With a detail."))

    def test_any_other(self) -> None:
        for verb, own in OWN.items():
            for phrase in (*Success, "Of its own making."):
                if phrase != own and verb not in READY:
                    peer = Peer()
                    peer.ask(verb)
                    assert "out of turn" in peer.violates(f"SUCCESS: {phrase}")

    def test_of_a_transfer(self) -> None:
        for verb, own in (("get", OWN["get"]), ("ls", OWN["ls"])):
            for phrase in Success:
                peer = Peer()
                exchange = peer.moving(verb, "a")
                peer.receive(*([SIZE] if verb == "get" else []), COMPLETE)
                peer.session.complete(exchange)
                if phrase == own:
                    assert is_over(peer.receive(f"SUCCESS: {phrase}"))
                else:
                    peer.violates(f"SUCCESS: {phrase}")


TOKEN = "0123456789abcdef" * 2


class PassiveTests(SynchronousTestCase):
    def moving(self, *, passive: bool = True) -> Peer:
        peer = Peer()
        peer.ask("get", "a", passive=passive)
        assert peer.receive(SENDS) == [Ready()]
        return peer

    def test_announced(self) -> None:
        assert ClientSession(Limits()).announce(None, 3) == (
            b"File size: 3 bytes\nData channel port: passive\n"
        )

    def test_invited(self) -> None:
        peer = self.moving()
        assert peer.receive("Data channel port: 2121", f"Data channel token: {TOKEN.upper()}") == [
            Invited(TOKEN)
        ]
        assert TOKEN not in repr(Invited(TOKEN))

    def test_the_port_is_for_people(self) -> None:
        for port in ("0", "99999", "x", ""):
            assert self.moving().receive(f"Data channel port: {port}") == []

    def test_what_is_no_token(self) -> None:
        for token in ("", TOKEN[1:], TOKEN + "0", TOKEN[1:] + "g", f"{TOKEN} "):
            self.moving().violates(f"Data channel token: {token}")

    def test_twice(self) -> None:
        self.moving().violates(*[f"Data channel token: {TOKEN}"] * 2)

    def test_that_nobody_asked_for(self) -> None:
        assert (
            self.moving(passive=False).receive("Data channel token: x", f"Data channel token: {TOKEN}") == []
        )


class SecretTests(SynchronousTestCase):
    def test_a_password_is_kept_nowhere(self) -> None:
        session = ClientSession(Limits())
        exchange, line = session.ask("password", "correct horse")
        assert line == b"password correct horse\n"
        assert "horse" not in repr(exchange)
        assert exchange.arguments == ()

    def test_a_password_of_any_kind(self) -> None:
        for secret, line in (
            (" x ", b'password " x "\n'),
            ("\n", b'password "\\n"\n'),
            ('"', b'password "\\""\n'),
        ):
            assert ClientSession(Limits()).ask("password", secret)[1] == line

    def test_a_token_is_not_shown(self) -> None:
        assert TOKEN not in repr(Options(token=TOKEN))


class BeginTLSTests(SynchronousTestCase):
    """What comes in the clear behind ``SUCCESS: Begin TLS.`` was put there by somebody else."""

    def turn(self, *pieces: bytes) -> tuple[ControlChannel, HandTransport, list[str]]:
        control = ControlChannel(HandReactor(), Limits())
        transport = HandTransport()
        control.makeConnection(transport)
        control.dataReceived(GREETING.encode() + b"\n")
        control.session.directory = ("d",)
        log: list[str] = []
        control.ask(Recorder(log), "starttls", ())
        for piece in pieces:
            control.dataReceived(piece)
        return control, transport, log

    def test_nothing_is_read_any_more(self) -> None:
        control, transport, log = self.turn(b"SUCCESS: Begin TLS.\r\n")
        assert transport.producerState == "paused"
        assert not control.over.called
        assert control.session.directory == ()
        assert log == ["Over(error=None)"]

    def test_injected(self) -> None:
        for more in (b"x", b"SUCCESS: Logged in.\n", b"\x16\x03\x01", b"\n"):
            control, _, log = self.turn(b"SUCCESS: Begin TLS.\n" + more)
            assert isinstance(control.session.lost, ProtocolViolation), more
            assert "in the clear" in control.session.lost.detail
            assert not any("Over" in line for line in log)

    def test_refused(self) -> None:
        control, transport, _ = self.turn(b"FAILURE: Not supported.\nERROR: Server shutting down.\n")
        assert transport.producerState == "producing"
        assert isinstance(control.session.lost, ServerShuttingDown)


class OptionTests(SynchronousTestCase):
    def test_announced(self) -> None:
        session = ClientSession(Limits())
        assert session.announce(2000, options=Options()) == b"Data channel port: 2000\n"
        assert session.announce(2000, 3, Options(offset=1, checksum="xxh128", mtime_ns=0, mode=0o644)) == (
            b"File size: 3 bytes\n"
            b"Start offset: 1 bytes\n"
            b"Checksum: xxh128\n"
            b"Modified: 1970-01-01T00:00:00.000000Z\n"
            b"Mode: 0644\n"
            b"Data channel port: 2000\n"
        )
        assert session.announce(2000, options=Options(format="json", depth="all")) == (
            b"Format: json\nDepth: all\nData channel port: 2000\n"
        )

    def test_completed(self) -> None:
        session = ClientSession(Limits())
        exchange, _ = session.ask("put", "a", options=Options(checksum="xxh128"))
        assert session.complete(exchange, 3, Checksum("xxh128", HEX)) == (
            f"File size: 3 bytes\nChecksum: xxh128 {HEX}\nTransfer complete: a\n".encode()
        )
        exchange, _ = session.ask("put", "b", options=Options(checksum="xxh128"))
        assert session.complete(exchange, checksum=Checksum("xxh128", HEX)) == (
            f"Checksum: xxh128 {HEX}\nTransfer complete: b\n".encode()
        )


class Recorder:
    """Who asked for a command: writes down what comes."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def heard(self, event: Event) -> None:
        self.log.append(repr(event))

    def lost(self, error: FTPLiteError) -> None:
        self.log.append(f"lost: {error}")


SCRIPT = [
    GREETING,
    *(SENDS, SIZE, MODIFIED, MODE, TOLD, COMPLETE),
    "FAILURE: Offset not valid.",
    *("Type: file", SIZE, f"Partial checksum: xxh128 {HEX}", DESCRIBED),
    *(RECEIVES, "Working: 3 bytes", "FAILURE: Checksum mismatch."),
]
SPOILT = [
    *MALFORMED,
    "Transfer complete: b",
    f"Checksum: sha256 {HEX}",
    DONE,
    "SUCCESS",
    "frob",
    "",
    "x" * 9000,
]


class PieceTests(SynchronousTestCase):
    """The same bytes tell the same, however they come."""

    def told(self, pieces: list[bytes]) -> list[str]:
        """What a whole control channel tells its commands."""
        control = ControlChannel(Clock(), Limits())
        control.greeted.addErrback(lambda _: None)
        control.makeConnection(HandTransport())
        log: list[str] = []
        exchange, _ = control.session.ask("get", "a", options=Options(checksum="xxh128"))
        control._askers[exchange] = Recorder(log)
        for verb, name in (("get", "b"), ("stat", "a"), ("put", "c"), ("noop", None)):
            control.ask(Recorder(log), verb, () if name is None else (name,), b"")
        for piece in pieces:
            control.dataReceived(piece)
        log.append(f"over: {control.over.called}")
        return log

    def all_ways(self, data: bytes) -> list[str]:
        whole = self.told([data])
        assert self.told([data[at : at + 1] for at in range(len(data))]) == whole
        assert self.told([data[at : at + 7] for at in range(0, len(data), 7)]) == whole
        return whole

    def test_each_line_whole_by_bytes_and_with_bytes_behind(self) -> None:
        for end in (b"\n", b"\r\n"):
            for length in range(7):
                data = b"".join(line.encode() + end for line in SCRIPT[:length])
                told = self.all_ways(data)
                assert told[-1] == "over: False"
                assert self.all_ways(data + b"Tra")[:-1] == told[:-1]

    def test_what_is_spoilt(self) -> None:
        for line in SPOILT:
            data = "".join(each + "\n" for each in [*SCRIPT[:3], line]).encode()
            told = self.all_ways(data)
            assert told[-1] == "over: True", line
            assert sum("lost" in each for each in told) == 5, line
            assert self.all_ways(data + b"SUCCESS: Listing complete.\nx") == told, line

    @QUICK
    @given(st.lists(st.integers(0, 600), max_size=8))
    def test_any_pieces(self, cuts: list[int]) -> None:
        lines = [*SCRIPT[:7], "FAILURE: File changed.", *SCRIPT[7:], "SUCCESS: Nothing done."]
        data = "".join(line + "\n" for line in lines).encode()
        at = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
        assert self.told([data[one:other] for one, other in pairwise(at)]) == self.told([data])
        assert sum("Over" in each for each in self.told([data])) == 5


TIME = st.integers(-(2**33) * 10**6, 2**33 * 10**6).map(lambda microseconds: microseconds * 1000)
NAME = st.binary(min_size=1, max_size=12).map(
    lambda name: os.fsdecode(name.replace(b"/", b"_").replace(b"\0", b"_"))
)


class BothSidesTests(SynchronousTestCase):
    """Both cores, joined: each understands what the other says."""

    def joined(self, directory: tuple[str, ...]) -> tuple[Peer, Host]:
        peer, host = Peer(), Host()
        host.session.features = ("json", "offset", "checksum", "modified")
        host.session.algorithms = ("xxh128",)
        host.session.directory = peer.session.directory = directory
        return peer, host

    @QUICK
    @given(
        NAME,
        st.lists(NAME, max_size=2).map(tuple),
        st.builds(
            Options,
            offset=st.none() | st.integers(0, 10**19 - 1),
            byte_count=st.none() | st.integers(0, 10**19 - 1),
            checksum=st.sampled_from([None, "xxh128"]),
        ),
        TIME,
        st.integers(0, 0o777),
        st.booleans(),
    )
    def test_get(
        self, name: str, directory: tuple[str, ...], options: Options, mtime_ns: int, mode: int, ahead: bool
    ) -> None:
        peer, host = self.joined(directory)
        exchange, line = peer.session.ask("get", name, options=options)
        step_3 = peer.session.announce(51234, options=options).splitlines()
        host.receive(line[:-1], *(step_3 if ahead else []))
        ready = host.answer()[0]
        if not ahead:
            host.receive(*step_3)
        assert host.session.transfer is not None
        assert host.session.transfer.options == options
        said = [
            str(ready).encode() + b"\n",
            encode_size(FieldName.FILE_SIZE, 3),
            encode_field(FieldName.MODIFIED, spell_time(mtime_ns)),
            encode_field(FieldName.MODE, spell_mode(mode)),
        ]
        checksum = Checksum("xxh128", HEX)
        expected: list[Event] = [Ready(), SizeTold(3), ModifiedTold(mtime_ns), ModeTold(mode)]
        if options.checksum is not None:
            said.append(encode_field(FieldName.CHECKSUM, str(checksum)))
            expected.append(ChecksumTold(checksum))
        said.append(host.session.complete())
        assert peer.receive(*(each[:-1] for each in said)) == [*expected, Completed()]
        host.receive(peer.session.complete(exchange)[:-1])
        assert host.session.transfer.completed
        (status,) = host.finish(Success.FILE_TRANSFERRED)
        assert is_over(peer.receive(str(status)))

    @QUICK
    @given(
        NAME,
        st.lists(NAME, max_size=2).map(tuple),
        st.builds(
            Options,
            offset=st.none() | st.integers(0, 10**19 - 1),
            checksum=st.sampled_from([None, "xxh128"]),
            mtime_ns=st.none() | TIME,
            mode=st.none() | st.integers(0, 0o777),
        ),
        st.booleans(),
        st.booleans(),
    )
    def test_put(
        self, name: str, directory: tuple[str, ...], options: Options, streams: bool, ahead: bool
    ) -> None:
        peer, host = self.joined(directory)
        exchange, line = peer.session.ask("put", name, options=options)
        checksum = Checksum("xxh128", HEX) if options.checksum is not None else None
        before = peer.session.announce(51234, None if streams else 3, options)
        behind = peer.session.complete(exchange, 3 if streams else None, checksum)
        lines = (before + behind).splitlines()
        host.receive(line[:-1], *(lines if ahead else []))
        ready = host.answer(Success.READY_TO_RECEIVE)[0]
        if not ahead:
            host.receive(*lines)
        transfer = host.session.transfer
        assert transfer is not None
        assert transfer.completed
        assert (transfer.options, transfer.size, transfer.checksum) == (options, 3, checksum)
        assert peer.receive(str(ready), host.session.complete()[:-1]) == [Ready(), Completed()]
        (status,) = host.finish(Success.FILE_TRANSFERRED)
        assert is_over(peer.receive(str(status)))


class AnyLineTests(SynchronousTestCase):
    @QUICK
    @given(
        st.lists(st.sampled_from(["ls", "get", "put", "noop", "stat"]), max_size=3),
        st.lists(
            st.one_of(
                ANY_LINE,
                st.sampled_from([SENDS, RECEIVES, DONE, *ATTRIBUTES, *MALFORMED, COMPLETE]).map(str.encode),
            ),
            max_size=12,
        ),
        st.sampled_from([None, Options(checksum="xxh128")]),
        st.booleans(),
    )
    def test_they_are_understood_or_a_violation(
        self, verbs: list[str], lines: list[bytes], options: Options | None, completes: bool
    ) -> None:
        peer = Peer()
        for verb in verbs:
            exchange = peer.ask(verb, *(["a"] if verb != "noop" else []), options=options)
            if completes and exchange.transfers:
                peer.session.complete(exchange)
        overs = 0
        for line in lines:
            try:
                overs += sum(isinstance(each, Over) for each in peer.receive(line))
            except ProtocolViolation:
                assert isinstance(peer.session.lost, ProtocolViolation)
                break
            if peer.session.lost is not None:
                break
        assert len(peer.session.end(ConnectionLost())) == len(verbs) - overs
