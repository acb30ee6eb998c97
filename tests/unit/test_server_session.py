"""The order of a session, as sequences of lines and events (docs/protocol.md, sections 2 to 5)."""

from __future__ import annotations

import time
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.fakes import Host
from twisted_ftplite.errors import (
    ConnectionLost,
    ConnectionRefused,
    ConnectionTimedOut,
    FileNotFound,
    LineTooLong,
    PermissionDenied,
    ServerShuttingDown,
    TooManyConnections,
    TransferCancelled,
)
from twisted_ftplite.limits import Limits
from twisted_ftplite.protocol.events import Announced, Completed, Ended, InputOver, SizeTold
from twisted_ftplite.protocol.lines import Success
from twisted_ftplite.protocol.order import ORDER, Kind, Move, State

READY_TO_SEND = "SUCCESS: Ready to send."
READY_TO_RECEIVE = "SUCCESS: Ready to receive."
CANCELLED = "FAILURE: Transfer cancelled."
DONE = "SUCCESS: Nothing done."
PORT = "Data channel port: 51234"
UNEXPECTED = "ERROR: Unexpected message."
UNKNOWN = "ERROR: Unknown command. Say help to see the commands."
NO_COMMAND_YET = "ERROR: Unexpected message. No command came before it."
PORT_DUE = "ERROR: Unexpected message. The data channel port was due."


def phrases(told: list[object]) -> list[object]:
    """What was told, statuses without their detail."""
    return [
        each.split(". ")[0].rstrip(".") + "." if isinstance(each, str) and ": " in each else each
        for each in told
    ]


class OrderTests(SynchronousTestCase):
    def test_every_state_has_a_move_for_every_kind(self) -> None:
        assert set(ORDER) == set(State) - {State.CLOSED}
        for moves in ORDER.values():
            assert set(moves) == set(Kind)

    def test_every_move_is_made_somewhere(self) -> None:
        assert {move for moves in ORDER.values() for move in moves.values()} == set(Move)

    def test_abort_never_waits(self) -> None:
        assert all(moves[Kind.ABORT] in (Move.CANCEL, Move.DROP) for moves in ORDER.values())


class PlainTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.host = Host()

    def test_greeting(self) -> None:
        assert self.host.session.greeting() == b"SUCCESS: FTPLite/1 ready.\n"

    def test_a_get_from_end_to_end(self) -> None:
        host = self.host
        assert host.receive("get sample.txt") == ["[get sample.txt]"]
        assert host.answer() == [READY_TO_SEND]
        assert host.receive(PORT) == [Announced(51234)]
        assert host.session.complete() == b"Transfer complete: sample.txt\n"
        assert host.receive("Transfer complete: sample.txt") == [Completed()]
        assert host.finish(Success.FILE_TRANSFERRED) == ["SUCCESS: File transferred successfully."]
        assert host.idle

    def test_a_put_from_end_to_end(self) -> None:
        host = self.host
        host.receive('put "sample.txt"')
        assert host.answer(Success.READY_TO_RECEIVE) == [READY_TO_RECEIVE]
        assert host.receive("File size: 1024 bytes", PORT) == [SizeTold(1024), Announced(51234)]
        assert host.session.transfer is not None
        assert host.session.transfer.size == 1024
        assert host.receive("Transfer complete: sample.txt") == [Completed()]
        assert host.session.complete() == b'Transfer complete: "sample.txt"\n', "spelled as the client did"
        assert host.finish(Success.FILE_TRANSFERRED) == ["SUCCESS: File transferred successfully."]

    def test_a_put_that_streams(self) -> None:
        host = self.host
        host.receive("put a")
        host.answer(Success.READY_TO_RECEIVE)
        assert host.receive(PORT) == [Announced(51234)]
        assert host.receive("File size: 3 bytes", "Transfer complete: a") == [SizeTold(3), Completed()]

    def test_a_listing_is_completed_with_a_dot(self) -> None:
        host = self.host
        host.receive("ls")
        host.answer()
        host.receive(PORT)
        assert host.session.complete() == b"Transfer complete: .\n"
        assert host.receive("Transfer complete: .") == [Completed()]

    def test_quit(self) -> None:
        host = self.host
        host.receive("quit")
        assert host.finish(Success.GOODBYE) == ["SUCCESS: Goodbye.", "[close]"]
        assert host.receive("noop") == []

    def test_commands_are_answered_in_order(self) -> None:
        host = self.host
        assert host.receive("noop", "help", "frob", "features") == ["[noop None]"]
        assert host.finish() == [DONE, "[help None]"]
        assert host.finish() == [DONE, UNKNOWN, "[features None]"]
        assert host.finish() == [DONE]

    def test_cr_lf_and_case(self) -> None:
        assert self.host.receive(b"GET Sample.TXT\r") == ["[get Sample.TXT]"]
        self.host.answer()
        assert self.host.receive(b"data CHANNEL port: 51234\r") == [Announced(51234)]
        assert self.host.receive(b"TRANSFER complete: Sample.TXT\r") == [Completed()]

    def test_a_refusal_is_the_final_status(self) -> None:
        self.host.receive("get a")
        assert self.host.finish(FileNotFound()) == ["FAILURE: File not found."]
        assert self.host.idle

    def test_nonsense_is_answered(self) -> None:
        for line, answer in {
            b"": UNEXPECTED,
            b"\r": UNEXPECTED,
            b"frob": UNKNOWN,
            b"\xff": "ERROR: Not UTF-8.",
            b"SUCCESS: Goodbye.": UNEXPECTED,
            b"ERROR: Bad syntax.": UNEXPECTED,
        }.items():
            assert phrases(Host().receive(line)) == phrases([answer]), line

    def test_what_comes_before_any_command_belongs_to_nothing(self) -> None:
        assert self.host.receive(PORT, "FAILURE: Disk full.") == [NO_COMMAND_YET] * 2
        assert self.host.receive("abort") == []


class CompletionTests(SynchronousTestCase):
    def moving(self, line: str, *, receives: bool = False) -> Host:
        host = Host()
        host.receive(line)
        host.answer(Success.READY_TO_RECEIVE if receives else Success.READY_TO_SEND)
        host.receive(PORT)
        return host

    def test_compared_by_meaning(self) -> None:
        for command, completion in [
            ("get a", '"a"'),
            ('get "a"', "a"),
            ("get a", "/a"),
            ("get a", "./x/../a"),
            ('get "\\u00e9"', "é"),
            ('get "\\udcc3\\udca9"', "é"),
            ('get "\\udcff"', '"\\uDCFF"'),
            ("ls", "."),
            ("ls", "/"),
            ("ls .", '"."'),
            ("ls a/", "a"),
        ]:
            host = self.moving(command)
            assert host.receive(f"Transfer complete: {completion}") == [Completed()], (command, completion)

    def test_of_another_file(self) -> None:
        for completion in ("b", "A", "a b", "..", '"a "', ".ftplite-x", '"a\\u0000"', "x" * 256):
            host = self.moving("get a")
            told = host.receive(f"Transfer complete: {completion}")
            assert phrases(told) == [UNEXPECTED], completion
            assert host.idle

    def test_of_another_file_sent_ahead(self) -> None:
        for completion in ("b", ".ftplite-x", '"a\\u0000"', "x" * 256):
            host = Host()
            host.receive("get a", PORT, f"Transfer complete: {completion}")
            assert phrases(host.answer()) == [READY_TO_SEND, Announced(51234), UNEXPECTED], completion

    def test_malformed(self) -> None:
        for value in ("", " ", "a", ' "a', ' "a" "b"', "  a", ' "\\ud800"'):
            host = self.moving("get a")
            assert phrases(host.receive(f"Transfer complete:{value}")) == ["ERROR: Bad syntax."], value

    def test_a_second_one_is_nothing_new(self) -> None:
        host = self.moving("get a")
        assert host.receive("Transfer complete: a", "Transfer complete: a") == [Completed()]

    def test_the_senders_comes_after_the_size(self) -> None:
        host = self.moving("put a", receives=True)
        assert phrases(host.receive("Transfer complete: a")) == ["ERROR: Bad syntax."]

    def test_at_step_3_it_does_not_belong(self) -> None:
        host = Host()
        host.receive("get a")
        host.answer()
        assert host.receive("Transfer complete: a") == [PORT_DUE]


class SizeTests(SynchronousTestCase):
    def test_told_twice(self) -> None:
        host = Host()
        host.receive("put a")
        host.answer(Success.READY_TO_RECEIVE)
        assert host.receive("File size: 5 bytes", "File size: 5 bytes", PORT) == [
            SizeTold(5),
            Announced(51234),
        ]
        assert host.receive("File size: 5 bytes") == []
        assert phrases(host.receive("File size: 6 bytes")) == ["ERROR: Bad syntax."]

    def test_malformed(self) -> None:
        for value in ("5", "05 bytes", "-1 bytes", "5 bytes ", "99999999999999999999 bytes"):
            host = Host()
            host.receive("put a")
            host.answer(Success.READY_TO_RECEIVE)
            assert phrases(host.receive(f"File size: {value}")) == ["ERROR: Bad syntax."], value
            assert host.idle

    def test_of_a_get_it_is_no_field(self) -> None:
        host = Host()
        host.receive("get a")
        host.answer()
        assert host.receive("File size: 5 bytes") == [PORT_DUE]

    def test_ports(self) -> None:
        for value, told in {
            " 0": [Announced(0)],
            " 70000": [Announced(70000)],
            " 9999999999999999999": [Announced(9999999999999999999)],
            " 051234": ["ERROR: Bad syntax."],
            " +51234": ["ERROR: Bad syntax."],
            "51234": ["ERROR: Bad syntax."],
            " passive": ["ERROR: Bad syntax."],
        }.items():
            host = Host()
            host.receive("get a")
            host.answer()
            assert phrases(host.receive(f"Data channel port:{value}")) == told, value


class OutOfTurnTests(SynchronousTestCase):
    """Section 2, 'Out of turn', point by point."""

    def test_fields_behind_a_refused_command_fall_on_the_floor(self) -> None:
        host = Host()
        host.receive("get a")
        assert host.finish(FileNotFound()) == ["FAILURE: File not found."]
        assert host.receive(PORT, "Transfer complete: a", "FAILURE: Disk full.", "File size: x") == []
        assert host.receive("noop") == ["[noop None]"]

    def test_fields_sent_ahead_of_the_refusal(self) -> None:
        host = Host()
        assert host.receive("get a", PORT, "Transfer complete: a", "FAILURE: Disk full.", "noop") == [
            "[get a]"
        ]
        assert host.finish(FileNotFound()) == ["FAILURE: File not found.", "[noop None]"]
        assert host.finish() == [DONE]

    def test_fields_wait_with_their_command(self) -> None:
        host = Host()
        host.receive(
            "get a", PORT, "Transfer complete: a", "put b", "File size: 3 bytes", "Data channel port: 2000"
        )
        assert host.answer() == [READY_TO_SEND, Announced(51234), Completed()]
        assert host.finish(Success.FILE_TRANSFERRED) == ["SUCCESS: File transferred successfully.", "[put b]"]
        assert host.answer(Success.READY_TO_RECEIVE) == [READY_TO_RECEIVE, SizeTold(3), Announced(2000)]

    def test_a_failure_waits_with_its_command(self) -> None:
        host = Host()
        host.receive("get a", PORT, "get b", "Data channel port: 2000", "FAILURE: Disk full.")
        assert host.answer() == [READY_TO_SEND, Announced(51234)]
        assert host.finish(Success.FILE_TRANSFERRED)[1:] == ["[get b]"]
        assert host.answer() == [READY_TO_SEND, Announced(2000), "FAILURE: Disk full."]

    def test_fields_behind_a_finished_command_are_ignored(self) -> None:
        host = Host()
        host.receive("get a", PORT, "Transfer complete: a", "Transfer complete: a", "File size: 1 bytes")
        host.answer()
        assert host.finish(Success.FILE_TRANSFERRED) == ["SUCCESS: File transferred successfully."]
        assert host.receive("Transfer complete: a", PORT) == []

    def test_a_verb_at_step_3_ends_the_command_and_runs(self) -> None:
        host = Host()
        host.receive("get a")
        host.answer()
        assert host.receive("noop") == [PORT_DUE, "[noop None]"]
        assert host.finish() == [DONE]

    def test_a_verb_at_step_3_sent_ahead(self) -> None:
        host = Host()
        host.receive("get a", "get b", PORT)
        assert host.answer() == [READY_TO_SEND, PORT_DUE, "[get b]"]
        assert host.answer() == [READY_TO_SEND, Announced(51234)], "the port was of the second one"

    def test_nonsense_at_step_3_ends_the_command_once(self) -> None:
        for line, status in {
            b"": UNEXPECTED,
            b"frob": UNKNOWN,
            b"\xff": "ERROR: Not UTF-8.",
            b"SUCCESS: Goodbye.": UNEXPECTED,
            b"FAILURE: Disk full.": UNEXPECTED,
            b"Format: json": UNEXPECTED,
            b"Transfer complete: a": UNEXPECTED,
        }.items():
            for ahead in (False, True):
                host = Host()
                if ahead:
                    host.receive("get a", line, PORT)
                    told = host.answer()[1:]
                else:
                    host.receive("get a")
                    host.answer()
                    told = host.receive(line, PORT)
                assert phrases(told) == phrases([status]), line
                assert host.idle

    def test_nonsense_during_a_transfer_keeps_its_place(self) -> None:
        host = Host()
        host.receive("get a")
        host.answer()
        host.receive(PORT)
        assert host.receive("frob", "", b"\xff") == []
        assert host.receive("Transfer complete: a") == [Completed()], "still of the get"
        told = host.finish(Success.FILE_TRANSFERRED)
        assert phrases(told) == phrases(
            ["SUCCESS: File transferred successfully.", UNKNOWN, UNEXPECTED, "ERROR: Not UTF-8."]
        )

    def test_a_completion_ahead_of_its_bytes(self) -> None:
        host = Host()
        host.receive("put a", "File size: 3 bytes", PORT, "Transfer complete: a")
        assert host.answer(Success.READY_TO_RECEIVE) == [
            READY_TO_RECEIVE,
            SizeTold(3),
            Announced(51234),
            Completed(),
        ]

    def test_abort_at_every_step(self) -> None:
        for steps in range(4):
            host = Host()
            host.receive("get a")
            if steps > 0:
                host.answer()
            if steps > 1:
                host.receive(PORT)
            if steps > 2:
                host.receive("Transfer complete: a")
            assert host.receive("abort") == [CANCELLED], steps
            assert host.receive("abort") == [], steps
            assert host.idle

    def test_abort_with_a_queue(self) -> None:
        host = Host(clings=True)
        host.receive("get a", PORT, "frob", "noop", "put b", "File size: 1 bytes", PORT, "ls")
        told = host.receive("abort")
        assert [type(each) for each in told] == [Ended]
        assert isinstance(told[0], Ended)
        assert isinstance(told[0].error, TransferCancelled)
        host.receive("help")
        assert host.finish(TransferCancelled()) == [
            CANCELLED,
            UNKNOWN,
            CANCELLED,
            CANCELLED,
            CANCELLED,
            "[help None]",
        ]
        assert host.finish() == [DONE]

    def test_abort_does_not_reach_forward(self) -> None:
        host = Host(clings=True)
        host.receive("get a", "abort", "get b", PORT)
        assert host.finish(TransferCancelled()) == [CANCELLED, "[get b]"]
        assert host.answer() == [READY_TO_SEND, Announced(51234)]

    def test_abort_twice_cancels_nothing_twice(self) -> None:
        host = Host(clings=True)
        host.receive("get a", "ls", "abort", "abort", "noop", "abort")
        assert host.finish(TransferCancelled()) == [CANCELLED] * 3
        assert host.idle

    def test_abort_too_late(self) -> None:
        """What cannot be taken back is done, and has its one status."""
        host = Host(clings=True)
        host.receive("put a", PORT, "ls", "abort")
        assert host.finish(Success.FILE_TRANSFERRED) == ["SUCCESS: File transferred successfully.", CANCELLED]

    def test_abort_in_any_spelling(self) -> None:
        for spelled in (b"ABORT", b"Abort\r"):
            host = Host()
            host.receive("get a")
            assert host.receive(spelled) == [CANCELLED]

    def test_abort_with_an_argument_waits_like_any_command(self) -> None:
        host = Host()
        assert host.receive("get a", "abort a") == ["[get a]"]
        assert host.finish() == [DONE, "[abort a]"]

    def test_many_aborts_behind_many_lines_take_no_long(self) -> None:
        """The queue is bounded, and so must be what one more line costs."""
        host = Host(clings=True)
        host.receive("put a", PORT)
        host.answer(Success.READY_TO_RECEIVE)
        host.receive(*["ls"] * 20000)
        began = time.process_time()
        host.receive(*["abort", "ls"] * 300)
        assert time.process_time() - began < 1.0
        assert host.finish(TransferCancelled()).count(CANCELLED) == 20300

    def test_the_receivers_failure(self) -> None:
        for said, repeated in {
            "FAILURE: Disk full.": "FAILURE: Disk full.",
            "FAILURE: Disk full. 3 bytes left": "FAILURE: Disk full.",
            "FAILURE: Checksum mismatch.": "FAILURE: Checksum mismatch.",
            "FAILURE: Moon full.": CANCELLED,
            "FAILURE: Storage failed.": CANCELLED,
            "FAILURE:": CANCELLED,
        }.items():
            for completed in (False, True):
                host = Host()
                host.receive("get a")
                host.answer()
                host.receive(PORT, *(["Transfer complete: a"] if completed else []))
                assert host.receive(said) == [repeated], said
                assert host.receive(said) == []

    def test_fields_nobody_asked_for_are_ignored_while_bytes_move(self) -> None:
        host = Host()
        host.receive("get a")
        host.answer()
        host.receive(PORT)
        assert (
            host.receive("Working: 5 bytes", "File size: 3 bytes", "Data channel port: 1", "Format: x") == []
        )

    def test_what_a_command_is_told_after_its_end_is_dropped(self) -> None:
        host = Host(clings=True)
        host.receive("get a")
        host.answer()
        host.receive(PORT, "FAILURE: Disk full.")
        assert host.receive("Transfer complete: a", "FAILURE: Quota exceeded.") == []
        assert host.finish(TransferCancelled()) == [CANCELLED]


class QueueTests(SynchronousTestCase):
    def test_full(self) -> None:
        host = Host(Limits(queue_size=100))
        host.receive("get a")
        for _ in range(20):
            host.receive("noop")
            assert not host.session.full
        host.receive("noop")
        assert host.session.full
        assert len(host.finish()) == 2
        assert not host.session.full

    def test_what_was_used_no_longer_counts(self) -> None:
        host = Host(Limits(queue_size=100))
        host.receive("get a", PORT, *["Transfer complete: a"] * 5)
        assert host.session.full
        host.answer()
        assert not host.session.full

    def test_abort_makes_room(self) -> None:
        host = Host(Limits(queue_size=100), clings=True)
        host.receive("get a", PORT, *["Transfer complete: a"] * 5)
        host.receive("abort")
        assert not host.session.full

    def test_a_queue_of_empty_lines_is_full_too(self) -> None:
        host = Host(Limits(queue_size=100))
        host.receive("get a", *[""] * 101)
        assert host.session.full


class BadLineTests(SynchronousTestCase):
    def test_the_tenth_in_a_row_ends_the_session(self) -> None:
        host = Host()
        told = host.receive(*["frob", ""] * 5)
        assert phrases(told) == phrases([UNKNOWN, UNEXPECTED] * 5 + ["ERROR: Too many failures.", "[close]"])
        assert host.receive("noop") == []

    def test_nine_do_not(self) -> None:
        host = Host()
        for _ in range(3):
            host.receive(*["frob"] * 9)
            assert host.receive("noop") == ["[noop None]"]
            assert host.finish() == [DONE]

    def test_another_answer_ends_the_row(self) -> None:
        host = Host()
        host.receive(*["frob"] * 9, b"\xff", *["frob"] * 9)
        assert host.idle
        assert host.receive("frob")[-1] == "[close]"

    def test_a_row_that_waited(self) -> None:
        host = Host()
        host.receive("noop", *["frob"] * 12)
        told = host.finish()
        assert told.count(UNKNOWN) == 10
        assert told[-1] == "[close]"

    def test_lines_that_belong_to_nothing_count(self) -> None:
        assert Host().receive(*[PORT] * 11) == [NO_COMMAND_YET] * 10 + [
            "ERROR: Too many failures.",
            "[close]",
        ]


class WrongDoorTests(SynchronousTestCase):
    def test_http(self) -> None:
        for line in (
            b"GET / HTTP/1.1\r",
            b"GET / HTTP/1.0",
            b"frob HTTP/1.1",
            b"get a HTTP/1.1",
            b" HTTP/1.0",
        ):
            host = Host()
            assert host.receive(line) == ["[close]"], line
            assert host.receive("noop") == []

    def test_only_as_the_first_line(self) -> None:
        host = Host()
        host.receive("")
        assert host.receive("get a HTTP/1.1") == ["[get a HTTP/1.1]"]

    def test_only_at_its_end(self) -> None:
        assert Host().receive("get a HTTP/1.1 ") == ["[get a HTTP/1.1 ]"]
        assert Host().receive("get aHTTP/1.1") == ["[get aHTTP/1.1]"]

    def test_tls(self) -> None:
        assert Host().session.is_foreign(b"\x16\x03\x01")
        assert Host().session.is_foreign(b"\x16")

    def test_not_tls(self) -> None:
        assert not Host().session.is_foreign(b"ls \x16")

    def test_only_the_first_byte_tells(self) -> None:
        session = Host().session
        assert not session.is_foreign(b"ls ")
        assert not session.is_foreign(b"\x16"), "a later piece of the first line"
        host = Host()
        host.receive("noop")
        assert not host.session.is_foreign(b"\x16")


class TooLongTests(SynchronousTestCase):
    def test_while_idle(self) -> None:
        host = Host()
        host.session.receive_too_long()
        host.obey()
        assert host.told() == ["ERROR: Line too long.", "[close]"]

    def too_long(self, host: Host) -> list[object]:
        host.session.receive_too_long()
        host.obey()
        return host.told()

    def test_before_step_2(self) -> None:
        host = Host()
        host.receive("get a")
        assert self.too_long(host) == [InputOver()]
        assert host.answer() == [READY_TO_SEND, "ERROR: Line too long.", "[close]"]

    def test_at_step_3(self) -> None:
        host = Host()
        host.receive("get a")
        host.answer()
        assert self.too_long(host) == ["ERROR: Line too long.", InputOver(), "[close]"]

    def test_while_bytes_move(self) -> None:
        host = Host()
        host.receive("get a", PORT)
        host.answer()
        assert self.too_long(host) == [InputOver()]
        done = f"SUCCESS: {Success.FILE_TRANSFERRED}"
        assert host.finish(Success.FILE_TRANSFERRED) == [done, "ERROR: Line too long.", "[close]"]

    def test_it_keeps_its_place_in_line(self) -> None:
        host = Host()
        host.receive("help", "noop")
        assert self.too_long(host) == [InputOver()]
        assert host.finish() == [DONE, "[noop None]"]
        assert host.finish() == [DONE, "ERROR: Line too long.", "[close]"]

    def test_behind_a_command_that_was_told_to_end(self) -> None:
        host = Host(clings=True)
        host.receive("get a", "abort")
        assert self.too_long(host) == [InputOver()]
        assert host.finish(TransferCancelled()) == [CANCELLED, "ERROR: Line too long.", "[close]"]

    def test_nothing_behind_it_is_taken(self) -> None:
        host = Host(clings=True)
        host.receive("get a")
        host.session.receive_too_long()
        host.receive("noop", "abort")
        told = host.finish(LineTooLong())
        assert told == ["ERROR: Line too long.", "[close]"]


class EndTests(SynchronousTestCase):
    """A client that closes its side gets the answers to what it sent ahead, then the end."""

    def end(self, host: Host) -> list[object]:
        host.session.receive_end()
        host.obey()
        return host.told()

    def test_while_idle(self) -> None:
        assert self.end(Host()) == [InputOver(), "[close]"]

    def test_with_a_queue(self) -> None:
        host = Host()
        host.receive("noop", "help", "frob")
        assert self.end(host) == [InputOver()]
        assert host.finish() == [DONE, "[help None]"]
        assert host.finish() == [DONE, UNKNOWN, "[close]"]

    def test_with_all_of_a_transfer_sent_ahead(self) -> None:
        host = Host()
        host.receive("get a", PORT, "Transfer complete: a")
        self.end(host)
        assert host.answer() == [READY_TO_SEND, Announced(51234), Completed()]
        assert host.finish(Success.FILE_TRANSFERRED)[-1] == "[close]"

    def test_at_step_3(self) -> None:
        host = Host()
        host.receive("get a")
        host.answer()
        assert self.end(host)[-2:] == ["ERROR: Connection lost.", "[close]"]

    def test_before_step_2(self) -> None:
        host = Host()
        host.receive("get a")
        self.end(host)
        assert host.answer() == [READY_TO_SEND, "ERROR: Connection lost.", "[close]"]

    def test_while_bytes_move(self) -> None:
        host = Host()
        host.receive("get a")
        host.answer()
        host.receive(PORT)
        assert self.end(host) == [InputOver()], "the host decides by whether a completion is due"
        assert host.finish(ConnectionLost()) == ["ERROR: Connection lost.", "[close]"]

    def test_twice(self) -> None:
        host = Host()
        host.receive("noop")
        self.end(host)
        assert self.end(host) == []

    def test_after_the_end(self) -> None:
        host = Host()
        self.end(host)
        assert self.end(host) == []


class DrainTests(SynchronousTestCase):
    def drain(self, host: Host) -> list[object]:
        host.session.drain()
        host.obey()
        return host.told()

    def test_while_idle(self) -> None:
        host = Host()
        assert self.drain(host) == ["ERROR: Server shutting down.", "[close]"]
        assert self.drain(host) == []
        assert host.receive("noop") == []

    def test_at_step_3(self) -> None:
        host = Host()
        host.receive("get a")
        host.answer()
        assert self.drain(host) == ["ERROR: Server shutting down.", "[close]"]

    def test_before_step_2(self) -> None:
        host = Host()
        host.receive("get a", PORT)
        assert self.drain(host) == []
        assert host.answer()[0] == READY_TO_SEND

    def test_before_step_2_without_a_port(self) -> None:
        host = Host()
        host.receive("get a")
        assert self.drain(host) == []
        assert host.answer() == [READY_TO_SEND, "ERROR: Server shutting down.", "[close]"]

    def test_what_moves_may_finish(self) -> None:
        host = Host()
        host.receive("get a")
        host.answer()
        host.receive(PORT)
        assert self.drain(host) == []
        assert host.receive("Transfer complete: a") == [Completed()]
        assert host.finish(Success.FILE_TRANSFERRED) == [
            "SUCCESS: File transferred successfully.",
            "ERROR: Server shutting down.",
            "[close]",
        ]

    def test_nothing_begins_any_more(self) -> None:
        host = Host()
        host.receive("noop", "help", "features")
        self.drain(host)
        assert host.finish() == [DONE, "ERROR: Server shutting down.", "[close]"]


class RefuseTests(SynchronousTestCase):
    def refuse(
        self, host: Host, error: ConnectionTimedOut | TooManyConnections | ServerShuttingDown
    ) -> list[object]:
        host.session.refuse(error)
        host.obey()
        return host.told()

    def test_while_idle(self) -> None:
        for error in (ConnectionTimedOut("x"), TooManyConnections()):
            assert self.refuse(Host(), error) == [f"ERROR: {error}", "[close]"]

    def test_a_running_command_ends_first(self) -> None:
        for step in range(3):
            host = Host()
            host.receive("get a")
            if step > 0:
                host.answer()
            if step > 1:
                host.receive(PORT)
            assert self.refuse(host, ServerShuttingDown()) == ["ERROR: Server shutting down.", "[close]"]

    def test_after_the_end(self) -> None:
        host = Host()
        host.receive("quit")
        host.finish(Success.GOODBYE)
        assert self.refuse(host, ServerShuttingDown()) == []

    def test_of_a_data_channel_it_does_not_close(self) -> None:
        host = Host()
        for error in (ConnectionTimedOut(), ConnectionRefused(), PermissionDenied()):
            host.receive("get a")
            assert host.finish(error) == [f"{error.kind}: {error.phrase}"]
            assert host.idle


class WholeTests(SynchronousTestCase):
    """The same lines, all at once and one by one, tell the same."""

    def test_one_by_one(self) -> None:
        lines = ["get a", PORT, "noop", "frob", PORT, "put b", "abort", "help"]
        whole, single = Host(clings=True), Host(clings=True)
        told = whole.receive(*lines)
        one_by_one = [each for line in lines for each in single.receive(line)]
        assert list(map(str, told)) == list(map(str, one_by_one))
        assert whole.finish() == single.finish()

    def test_limits_are_the_sessions(self) -> None:
        host = Host(replace(Limits(), bad_lines=2))
        assert len(host.receive("frob", "frob", "frob")) == 4
