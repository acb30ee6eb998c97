"""The control channel over a transport of the test's own (docs/protocol.md, sections 2, 4 and 5)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.fakes import Door, HandWorkers, Line
from twisted_ftplite.errors import (
    ConnectionTimedOut,
    DiskFull,
    FTPLiteError,
    ServerShuttingDown,
    TooManyConnections,
)
from twisted_ftplite.limits import Limits
from twisted_ftplite.protocol.lines import Success
from twisted_ftplite.server.call import Call
from twisted_ftplite.server.commands import HANDLERS, Handler
from twisted_ftplite.server.services import Ends
from twisted_ftplite.server.sessions import Sessions
from twisted_ftplite.storage.memory import MemoryStorage

GREETING = "SUCCESS: FTPLite/1 ready."
DONE = "SUCCESS: Nothing done."
LIMITS = Limits()


@contextmanager
def handling(verb: str, handler: Handler) -> Iterator[None]:
    """Have a verb do something else."""
    before = HANDLERS[verb]
    HANDLERS[verb] = handler
    try:
        yield
    finally:
        HANDLERS[verb] = before


async def for_ever(call: Call) -> Success:
    await Deferred()
    return Success.NOTHING_DONE


def read_all(sock: socket.socket) -> int:
    """How many bytes come before the end of the stream."""
    total = 0
    while count := len(sock.recv(1 << 20)):
        total += count
    return total


class GreetingTests(SynchronousTestCase):
    def test_the_server_speaks_first(self) -> None:
        assert Line().said() == [GREETING]

    def test_no_room(self) -> None:
        door = Door()
        door.opening = TooManyConnections("Full.")
        line = Line(door=door)
        assert line.said() == ["ERROR: Too many connections. Full."]
        assert line.transport.write_closed
        line.send(b"noop\n")
        assert line.said() == []

    def test_no_room_for_that_host(self) -> None:
        door = Door()
        door.introducing = TooManyConnections("Full.")
        line = Line(door=door)
        assert line.said() == [GREETING]
        line.send(b"noop\nnoop\n")
        assert line.said() == ["ERROR: Too many connections. Full."]
        assert line.transport.write_closed

    def test_the_door_hears_of_the_end(self) -> None:
        line = Line()
        line.lose()
        assert line.door.left == [line.control]


class CommandTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.line = Line(storage=MemoryStorage({"a": b"content"}))
        self.line.said()

    def test_in_order(self) -> None:
        self.line.send(b"noop\r\nfrob\nnoop\nfeatures\n")
        assert self.line.said() == [
            DONE,
            "ERROR: Unknown command. Say help to see the commands.",
            DONE,
            "Feature: files",
            "Feature: noop",
            "Feature: help",
            "SUCCESS: Features listed.",
        ]

    def test_arguments_are_checked_before_anything_is_done(self) -> None:
        for text in (b"get", b"get ", b"get  a", b'get "a" "b"', b"noop a", b"ls a\x7f", b'put "\\ud800"'):
            self.line.send(text + b"\n")
            (status,) = self.line.said()
            assert status.startswith("ERROR: Bad syntax."), text

    def test_verbs_of_others_are_not_supported(self) -> None:
        for text in (b"mget .", b"starttls", b"login me", b"status"):
            self.line.send(text + b"\n")
            assert self.line.said() == ["FAILURE: Not supported."], text

    def test_nowhere_to_connect_back(self) -> None:
        for text in (b"get a", b"put b", b"ls"):
            self.line.send(text + b"\nData channel port: 2000\nTransfer complete: a\n")
            _, status = self.line.said()
            assert status.startswith("FAILURE: Not supported."), text

    def test_refusals(self) -> None:
        for text, status in {
            b"get b": "FAILURE: File not found.",
            b"get a/b": "FAILURE: Not a directory.",
            b"get /": "FAILURE: Is a directory.",
            b"put .": "FAILURE: Is a directory.",
            b"ls b": "FAILURE: File not found.",
        }.items():
            self.line.send(text + b"\n")
            assert self.line.said() == [status], text
        self.line.send(b"get .ftplite-x\nput x/.ftplite-x\n")
        assert all(each.startswith("FAILURE: Name not allowed.") for each in self.line.said())

    def test_read_only(self) -> None:
        line = Line(read_only=True)
        line.said()
        line.send(b"put a\n")
        assert line.said() == ["FAILURE: Permission denied. You may not put."]

    def test_quit(self) -> None:
        self.line.send(b"noop\nquit\nnoop\n")
        assert self.line.said() == [DONE, "SUCCESS: Goodbye."]
        assert self.line.transport.write_closed

    def test_help_tells_what_is_served(self) -> None:
        line = Line(features=("noop", "help"))
        line.said()
        line.send(b"features\nhelp\n")
        said = line.said()
        assert said[:3] == ["Feature: noop", "Feature: help", "SUCCESS: Features listed."]
        told = [each.split()[1] for each in said[3:-1]]
        assert told == ["ls", "get", "put", "abort", "quit", "features", "noop", "help"]

    def test_a_line_too_long(self) -> None:
        self.line.send(b"x" * (LIMITS.line_length - 1) + b"\n")
        assert self.line.said()[0].startswith("ERROR: Unknown command.")
        self.line.send(b"x" * LIMITS.line_length + b"\nnoop\n")
        assert self.line.said() == ["ERROR: Line too long."]
        assert self.line.transport.write_closed

    def test_a_line_too_long_without_an_end(self) -> None:
        self.line.send(b"x" * (LIMITS.line_length - 1))
        assert self.line.said() == []
        self.line.send(b"x")
        assert self.line.said() == ["ERROR: Line too long."]

    def test_tls_at_the_wrong_door(self) -> None:
        self.line.send(b"\x16\x03\x01")
        assert self.line.said() == []
        assert self.line.transport.disconnecting

    def test_a_tls_byte_later_is_only_a_byte(self) -> None:
        self.line.send(b"get a")
        self.line.send(b"\x16")
        self.line.send(b"\n")
        assert self.line.said()[0].startswith("ERROR: Bad syntax.")

    def test_http_at_the_wrong_door(self) -> None:
        self.line.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert self.line.said() == []
        assert self.line.transport.write_closed


class RaisingTests(SynchronousTestCase):
    """Every command gets exactly one final status, also when its handler raises."""

    def status_of(self, error: BaseException) -> list[str]:
        async def raising(call: Call) -> Success:
            raise error

        line = Line()
        line.said()
        with handling("help", raising):
            line.send(b"help\nnoop\n")
        return line.said()

    def test_a_fault_of_ours(self) -> None:
        assert self.status_of(ZeroDivisionError("secret")) == ["ERROR: Internal error.", DONE]
        (logged,) = self.flushLoggedErrors(ZeroDivisionError)
        assert str(logged.value) == "secret"

    def test_an_error_of_the_system(self) -> None:
        assert self.status_of(OSError(28, "secret", "/secret")) == ["FAILURE: Disk full.", DONE]
        assert self.status_of(OSError(5, "secret", "/secret")) == ["ERROR: Storage failed.", DONE]
        assert len(self.flushLoggedErrors(OSError)) == 2

    def test_a_refusal(self) -> None:
        assert self.status_of(DiskFull("Detail.")) == ["FAILURE: Disk full. Detail.", DONE]

    def test_a_fault_after_a_wait(self) -> None:
        wait: Deferred[None] = Deferred()

        async def raising(call: Call) -> Success:
            await wait
            raise ZeroDivisionError

        line = Line()
        line.said()
        with handling("help", raising):
            line.send(b"help\nnoop\n")
            assert line.said() == []
            wait.callback(None)
        assert line.said() == ["ERROR: Internal error.", DONE]
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1

    def test_a_closing_refusal_closes(self) -> None:
        assert self.status_of(ServerShuttingDown()) == ["ERROR: Server shutting down."]

    def test_what_was_kept_is_released_in_reverse(self) -> None:
        released: list[str] = []

        async def raising(call: Call) -> Success:
            call.keep("a", released.append)
            call.keep("b", released.append)
            raise DiskFull

        line = Line()
        with handling("help", raising):
            line.send(b"help\n")
        assert released == ["b", "a"]


class BackpressureTests(SynchronousTestCase):
    def test_who_does_not_read_is_not_read(self) -> None:
        line = Line()
        line.said()
        line.control.pauseProducing()  # what the transport says when its buffer is full
        assert line.transport.producerState == "paused"
        line.control.dataReceived(b"noop\n" * 3)  # what was read already
        assert line.said() == []
        line.control.resumeProducing()
        assert line.transport.producerState == "producing"
        assert line.said() == [DONE] * 3

    def test_replies_that_nobody_reads_stop_the_taking_of_lines(self) -> None:
        line = Line()
        line.said()
        written = 0

        def write(data: bytes) -> None:
            nonlocal written
            written += len(data)
            if written == 3 * len(data):
                line.control.pauseProducing()

        line.transport.write = write  # type: ignore[method-assign]
        line.send(b"noop\n" * 1000)
        assert written == 3 * len(DONE + "\n")
        line.control.resumeProducing()
        assert written == 1000 * len(DONE + "\n")

    def test_a_full_queue_stops_the_reading(self) -> None:
        line = Line(limits=replace(LIMITS, queue_size=1000))
        line.said()
        wait: Deferred[Success] = Deferred()
        begun = []

        async def waiting(call: Call) -> Success:
            begun.append(call)
            return await wait if len(begun) == 1 else Success.NOTHING_DONE

        with handling("noop", waiting):
            line.send(b"noop\n" * 200)
            assert line.transport.producerState == "producing"
            line.send(b"noop\n" * 200)
            assert line.transport.producerState == "paused"
            assert line.said() == []
            wait.callback(Success.NOTHING_DONE)
        assert line.transport.producerState == "producing"
        assert line.said() == [DONE] * 400

    def test_the_queue_is_bounded(self) -> None:
        line = Line(limits=replace(LIMITS, queue_size=1000))
        with handling("noop", for_ever):
            line.send(b"noop\n" + b"help\n" * 10000)
            assert sum(len(each) + 1 for each, _ in line.control.session._waiting) <= 1005
        line.lose()

    def test_it_leaves_also_while_nobody_reads(self) -> None:
        line = Line()
        line.said()
        line.control.pauseProducing()
        line.control.refuse(ConnectionTimedOut("Silent."))
        assert line.said() == ["ERROR: Connection timed out. Silent."]
        line.reactor.advance(LIMITS.close_timeout)
        assert line.transport.disconnected


class LeaveTests(SynchronousTestCase):
    def left(self) -> Line:
        line = Line()
        line.send(b"quit\n")
        assert line.transport.write_closed
        assert not line.transport.disconnecting
        return line

    def test_a_client_that_leaves_too(self) -> None:
        line = self.left()
        line.end()
        assert line.transport.disconnecting
        assert not line.transport.disconnected
        line.lose(cleanly=True)
        assert line.reactor.getDelayedCalls() == []

    def test_a_client_that_does_not(self) -> None:
        line = self.left()
        line.reactor.advance(LIMITS.close_timeout - 0.1)
        assert not line.transport.disconnected
        line.reactor.advance(0.1)
        assert line.transport.disconnected
        line.lose()
        assert line.reactor.getDelayedCalls() == []

    def test_what_it_still_sends_is_read_and_forgotten(self) -> None:
        line = self.left()
        line.said()
        for _ in range(100):
            line.send(b"noop\n" * 1000)
        assert line.said() == []
        assert line.transport.producerState == "producing"
        assert line.control._buffer == b""

    def test_a_client_that_ends_its_side(self) -> None:
        line = Line()
        line.send(b"noop\nnoop\n")
        line.end()
        assert line.said() == [GREETING, DONE, DONE]
        assert line.transport.write_closed or line.transport.disconnecting

    def test_a_client_that_ends_its_side_while_a_command_runs(self) -> None:
        wait: Deferred[Success] = Deferred()

        async def waiting(call: Call) -> Success:
            return await wait

        line = Line()
        with handling("help", waiting):
            line.send(b"help\nnoop\n")
            line.end()
        assert line.said() == [GREETING]
        assert not line.transport.write_closed
        wait.callback(Success.HELP_LISTED)
        assert line.said() == ["SUCCESS: Help listed.", DONE]
        assert line.transport.write_closed or line.transport.disconnecting

    def test_drain(self) -> None:
        line = Line()
        line.said()
        line.control.drain()
        assert line.said() == ["ERROR: Server shutting down."]
        assert line.transport.write_closed


class ResetTests(SynchronousTestCase):
    def test_the_running_command_ends(self) -> None:
        cancelled: list[bool] = []
        line = Line()

        async def waiting(call: Call) -> Success:
            await Deferred(lambda _: cancelled.append(True))
            return Success.HELP_LISTED

        with handling("help", waiting):
            line.send(b"help\n")
            line.lose()
        assert cancelled == [True]

    def test_nothing_that_waited_begins(self) -> None:
        """A reset ends everything at once (section 2)."""
        line = Line()
        begun: list[str] = []

        async def noted(call: Call) -> Success:
            begun.append(call.command.verb.name)
            return Success.NOTHING_DONE

        with handling("help", for_ever), handling("noop", noted):
            line.send(b"help\nnoop\nnoop\n")
            line.lose()
        assert begun == []

    def test_what_a_thread_works_on_is_kept_until_it_is_done(self) -> None:
        workers = HandWorkers()
        storage = MemoryStorage()
        line = Line(workers=workers, storage=storage)
        released: list[int] = []

        async def working(call: Call) -> Success:
            call.keep(1, released.append)
            await call.work(int, "5")
            return Success.HELP_LISTED

        with handling("help", working):
            line.send(b"help\n")
            line.lose()
        assert released == []
        workers.do_all()
        assert released == [1]

    def test_what_opens_too_late_is_released_too(self) -> None:
        workers = HandWorkers()
        line = Line(workers=workers)
        released: list[int] = []

        async def opening(call: Call) -> Success:
            await call.open(released.append, int, "5")
            return Success.HELP_LISTED

        with handling("help", opening):
            line.send(b"help\n")
            line.lose()
        assert released == []
        workers.do_all()
        assert released == [5]


class AbortTests(SynchronousTestCase):
    def test_abort(self) -> None:
        line = Line()
        line.said()
        with handling("help", for_ever):
            line.send(b"help\nnoop\nabort\nnoop\n")
        assert line.said() == ["FAILURE: Transfer cancelled."] * 2 + [DONE]

    def test_too_late(self) -> None:
        workers = HandWorkers()
        line = Line(workers=workers)
        line.said()

        async def committing(call: Call) -> Success:
            await call.commit(lambda: None)
            return Success.HELP_LISTED

        with handling("help", committing):
            line.send(b"help\nnoop\nabort\n")
            assert line.said() == []
            workers.do_all()
        assert line.said() == ["SUCCESS: Help listed.", "FAILURE: Transfer cancelled."]

    def test_a_fault_of_ours_after_abort_was_too_late(self) -> None:
        workers = HandWorkers()
        line = Line(workers=workers)
        line.said()

        async def committing(call: Call) -> Success:
            await call.commit(lambda: 1 // 0)  # type: ignore[arg-type, return-value]
            return Success.HELP_LISTED

        with handling("help", committing):
            line.send(b"help\nabort\n")
            workers.do_all()
        assert line.said() == ["ERROR: Internal error."]
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1


class IdleTests(SynchronousTestCase):
    """Silence, as the sessions of a server look for it."""

    def setUp(self) -> None:
        self.line = Line(limits=replace(LIMITS, idle_timeout=160.0))
        self.sessions = Sessions(self.line.services)
        assert self.sessions.enter(self.line.control) is None
        self.line.said()

    def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.line.reactor.advance(1)

    def test_a_silent_session_ends(self) -> None:
        self.pass_time(159)
        assert self.line.said() == []
        self.pass_time(11)
        assert self.line.said() == ["ERROR: Connection timed out. The session was silent."]
        assert self.line.transport.write_closed

    def test_whoever_says_something_stays(self) -> None:
        for _ in range(10):
            self.pass_time(100)
            self.line.send(b"noop\n")
            assert self.line.said() == [DONE]

    def test_bytes_that_make_no_line_are_silence(self) -> None:
        for _ in range(17):
            self.line.send(b"x")
            self.pass_time(10)
        assert self.line.said() == ["ERROR: Connection timed out. The session was silent."]

    def test_a_command_that_runs_is_no_silence(self) -> None:
        wait: Deferred[Success] = Deferred()

        async def waiting(call: Call) -> Success:
            return await wait

        with handling("help", waiting):
            self.line.send(b"help\n")
            self.pass_time(1000)
        assert self.line.said() == []
        wait.callback(Success.HELP_LISTED)
        self.pass_time(159)
        assert self.line.said() == ["SUCCESS: Help listed."], "the time begins with its end"
        self.pass_time(11)
        assert self.line.said() == ["ERROR: Connection timed out. The session was silent."]

    def test_the_looking_ends_with_the_last_session(self) -> None:
        self.sessions.leave(self.line.control)
        assert self.line.reactor.getDelayedCalls() == []

    def test_how_many(self) -> None:
        self.sessions.services.limits = replace(LIMITS, max_sessions=1)
        refusal: FTPLiteError | None = self.sessions.enter(Line().control)
        assert isinstance(refusal, TooManyConnections)


class TransferTests(SynchronousTestCase):
    """Whole transfers over loopback, one turn of the reactor at a time."""

    def setUp(self) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        listening.settimeout(5)
        self.addCleanup(listening.close)
        self.listening = listening
        self.port = listening.getsockname()[1]
        self.storage = MemoryStorage({"a": b"content", "large": b"x" * 300_000})
        self.line = Line(storage=self.storage, ends=Ends(("127.0.0.1", 0), ("127.0.0.1", 40000)))
        self.addCleanup(self.line.lose)
        self.line.said()

    def send(self, *lines: str) -> list[str]:
        self.line.send("".join(each + "\n" for each in lines).encode())
        return self.line.said()

    def said(self, count: int) -> list[str]:
        said: list[str] = []

        def enough() -> bool:
            said.extend(self.line.said())
            return len(said) >= count

        self.line.reactor.turn_until(enough)
        assert len(said) == count
        return said

    def connect(self, *lines: str) -> socket.socket:
        """Say these lines; the data channel that follows, as the client has it."""
        self.line.send("".join(each + "\n" for each in lines).encode())
        sock, _ = self.listening.accept()
        self.line.reactor.turn()
        sock.settimeout(5)
        self.addCleanup(sock.close)
        return sock

    def test_get(self) -> None:
        sock = self.connect("get a", f"Data channel port: {self.port}")
        assert self.said(3) == ["SUCCESS: Ready to send.", "File size: 7 bytes", "Transfer complete: a"]
        assert sock.recv(100) == b"content"
        assert sock.recv(100) == b""
        (status,) = self.send("Transfer complete: a")
        assert status.startswith("SUCCESS: File transferred successfully. 7 bytes in ")
        assert not self.line.reactor.readers
        assert not self.line.reactor.writers

    def test_put(self) -> None:
        sock = self.connect("put b", "File size: 3 bytes", f"Data channel port: {self.port}")
        assert self.said(1) == ["SUCCESS: Ready to receive."]
        sock.sendall(b"abc")
        sock.shutdown(socket.SHUT_WR)
        while self.line.reactor.turn(0.1):
            pass
        assert "b" not in self.storage.files()
        completion, status = self.send("Transfer complete: b")
        assert completion == "Transfer complete: b"
        assert status.startswith("SUCCESS: File transferred successfully.")
        assert self.storage.files()["b"] == b"abc"

    def test_put_that_is_cut(self) -> None:
        """A sender that was killed looks like a clean end of stream."""
        for size in (3, 4):
            sock = self.connect(f"put b{size}", f"File size: {size} bytes", f"Data channel port: {self.port}")
            sock.sendall(b"abc")
            sock.close()
            while self.line.reactor.turn(0.1):
                pass
            assert self.said(1) == ["SUCCESS: Ready to receive."]
            self.line.reactor.pump([15.0] * 5)
            assert self.line.said()[0].startswith("ERROR: Connection lost.")
        shown = [name for name in self.storage.files() if not name.startswith(".ftplite-part-")]
        assert sorted(shown) == ["a", "large"]

    def test_put_of_another_size(self) -> None:
        sock = self.connect(
            "put b", "File size: 4 bytes", f"Data channel port: {self.port}", "Transfer complete: b"
        )
        sock.sendall(b"abc")
        sock.close()
        _, status = self.said(2)
        assert status.startswith("FAILURE: Size mismatch.")
        sock = self.connect("put b", "File size: 2 bytes", f"Data channel port: {self.port}")
        sock.sendall(b"abc")
        _, status = self.said(2)
        assert status.startswith("FAILURE: Size mismatch.")
        assert "b" not in self.storage.files()

    def test_ls(self) -> None:
        sock = self.connect("ls", f"Data channel port: {self.port}")
        assert self.said(2) == ["SUCCESS: Ready to send.", "Transfer complete: ."]
        assert sock.recv(100) == b"a\nlarge\n"
        (status,) = self.send("Transfer complete: .")
        assert status.startswith("SUCCESS: Listing complete.")

    def test_a_file_that_changes(self) -> None:
        self.send("get large")
        self.storage.overwrite("large", b"y" * 300_000)
        sock = self.connect(f"Data channel port: {self.port}")
        while self.line.reactor.turn(0.1):
            pass
        said = self.line.said()
        with pytest.raises(ConnectionResetError):
            read_all(sock)
        assert said[0] == "File size: 300000 bytes"
        assert said[1].startswith("FAILURE: File changed.")
        assert len(said) == 2

    def test_ports(self) -> None:
        self.line.services.own_ports = frozenset({2121})
        for port in (0, 1, 80, 1023, 65536, 10**19 - 1, 2121):
            said = self.send("get a", f"Data channel port: {port}")
            assert said[0] == "SUCCESS: Ready to send."
            assert said[1].startswith("ERROR: Port not allowed."), port
            assert len(said) == 2

    def test_a_port_that_nobody_listens_on(self) -> None:
        self.listening.close()
        self.line.send(f"get a\nData channel port: {self.port}\n".encode())
        _, status = self.said(2)
        assert status.startswith("ERROR: Connection refused.")

    def test_a_port_that_never_comes(self) -> None:
        assert self.send("get a") == ["SUCCESS: Ready to send."]
        self.line.reactor.pump([15.0] * 5)
        (status,) = self.line.said()
        assert status.startswith("ERROR: Connection timed out.")
        assert self.send("noop") == [DONE]

    def test_the_receivers_failure(self) -> None:
        sock = self.connect("get large", f"Data channel port: {self.port}")
        self.said(2)
        (status,) = self.send("FAILURE: Disk full.")
        assert status.startswith("FAILURE: Disk full.")
        assert not self.line.reactor.writers
        sock.recv(1)

    def test_abort(self) -> None:
        sock = self.connect("put b", f"Data channel port: {self.port}")
        self.said(1)
        sock.sendall(b"abc")
        (status,) = self.send("abort")
        assert status.startswith("FAILURE: Transfer cancelled.")
        assert "b" not in self.storage.files()

    def test_a_file_too_large(self) -> None:
        self.line.services.limits = replace(LIMITS, max_file_size=10)
        said = self.send("put b", "File size: 11 bytes", f"Data channel port: {self.port}")
        assert said[1].startswith("FAILURE: File too large.")

    def test_a_file_too_large_that_says_so_late(self) -> None:
        self.line.services.limits = replace(LIMITS, max_file_size=10)
        sock = self.connect("put b", f"Data channel port: {self.port}")
        self.said(1)
        said = self.send("File size: 20 bytes")
        sock.sendall(b"x" * 20)
        sock.shutdown(socket.SHUT_WR)
        while self.line.reactor.turn(0.1):
            pass
        said += self.send("Transfer complete: b")
        assert said[0].startswith("FAILURE: File too large.")
        assert "b" not in self.storage.files()

    def test_a_peer_that_resets(self) -> None:
        for command in ("get a", "get large", "ls", "put b"):
            sock = self.connect(command, f"Data channel port: {self.port}")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()
            while self.line.reactor.turn(0.1):
                pass
            self.line.reactor.pump([15.0] * 5)
            said = self.line.said()
            assert said[-1].startswith(("ERROR: Connection lost.", "ERROR: Connection timed out.")), (
                command,
                said,
            )
            assert not self.line.reactor.readers
            assert not self.line.reactor.writers

    def test_working_is_told_while_the_disk_is_slow(self) -> None:
        workers = HandWorkers()
        self.line.services.workers = workers
        self.send("put b", "File size: 3 bytes")
        workers.do_all()
        self.send(f"Data channel port: {self.port}", "Transfer complete: b")
        workers.do_all()
        sock = self.connect()
        sock.sendall(b"abc")
        sock.close()
        while "b" not in self.storage.files():
            self.line.reactor.turn(0.1)
            self.line.reactor.advance(LIMITS.working_interval)
            if workers.jobs:
                workers.do()
        said = self.line.said()
        assert "Working: 3 bytes" in said
        assert said[-1].startswith("SUCCESS: File transferred successfully.")
