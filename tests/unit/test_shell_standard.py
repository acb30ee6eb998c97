"""Standard streams that make one wait, that close early, and that were closed from the start."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import threading

import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite.client.standard import Console, ScriptLines, StandardInput, StandardOutput
from twisted_ftplite.errors import LocalFileTrouble
from twisted_ftplite.flow.workers import InlineWorkers


class PipeCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reading, self.writing = os.pipe()
        self.addCleanup(self.close, self.reading)
        self.addCleanup(self.close, self.writing)

    def close(self, descriptor: int) -> None:
        with contextlib.suppress(OSError):
            os.close(descriptor)


class InputTests(PipeCase):
    def test_to_the_end(self) -> None:
        source = StandardInput(self.reading)
        os.write(self.writing, b"abc")
        assert source.read(2) == b"ab"
        os.close(self.writing)
        assert source.read(2) == b"c"
        assert source.read(2) == b""

    def test_waiting_ends_when_it_is_closed(self) -> None:
        source = StandardInput(self.reading)
        threading.Timer(0.05, source.close).start()
        with pytest.raises(LocalFileTrouble, match="interrupted"):
            source.read(1)

    def test_what_cannot_be_read(self) -> None:
        closed = os.open(os.devnull, os.O_WRONLY)
        self.addCleanup(os.close, closed)
        with pytest.raises(LocalFileTrouble, match="standard input: Bad file descriptor"):
            StandardInput(closed).read(1)


class OutputTests(PipeCase):
    def test_all_arrives(self) -> None:
        data = bytes(range(256)) * 4000
        got: list[bytes] = []

        def read() -> None:
            with open(self.reading, "rb", closefd=False) as stream:
                got.append(stream.read())

        reader = threading.Thread(target=read)
        reader.start()
        StandardOutput(self.writing).write(memoryview(data))
        os.close(self.writing)
        reader.join()
        assert got == [data]

    def test_waiting_for_a_reader_ends_when_it_is_stopped(self) -> None:
        target = StandardOutput(self.writing)
        threading.Timer(0.05, target.discard).start()
        with pytest.raises(LocalFileTrouble, match="interrupted"):
            target.write(bytes(1024 * 1024))

    def test_nobody_reads(self) -> None:
        os.close(self.reading)
        with pytest.raises(LocalFileTrouble, match="standard output: Broken pipe"):
            StandardOutput(self.writing).write(b"x")

    def test_what_can_be_written_at_once(self) -> None:
        target = StandardOutput(self.writing)
        assert target.takes(10)
        assert not target.takes(select.PIPE_BUF + 1)
        os.set_blocking(self.writing, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.writing, bytes(4096))
        assert not target.takes(10)

    def test_a_console_can_be_stopped_and_used_again(self) -> None:
        console = Console(InlineWorkers(), output=self.writing, errors=self.writing)
        threading.Timer(0.05, console.stop).start()
        self.failureResultOf(Deferred.fromCoroutine(console.say("x" * 1024 * 1024)), LocalFileTrouble)
        while select.select([self.reading], [], [], 0)[0]:
            os.read(self.reading, 65536)
        self.successResultOf(Deferred.fromCoroutine(console.say("again")))
        assert os.read(self.reading, 100) == b"again"

    def test_complaints_are_one_line(self) -> None:
        console = Console(InlineWorkers(), output=self.writing, errors=self.writing)
        console.complain("a\nb\x1b[2J \udc80")
        assert os.read(self.reading, 100) == b"ftplite-client: a\\x0ab\\x1b[2J \\x80\n"
        os.close(self.reading)
        console.complain("nobody hears it")


class LinesTests(PipeCase):
    def lines(self, text: bytes) -> list[str | None]:
        os.write(self.writing, text)
        os.close(self.writing)
        source = ScriptLines(InlineWorkers(), self.reading)
        got: list[str | None] = []
        while not got or got[-1] is not None:
            got.append(self.successResultOf(Deferred.fromCoroutine(source.line())))
        return got

    def test_ends_of_lines(self) -> None:
        assert self.lines(b"a\nb\r\n\nc \xff") == ["a", "b", "", "c \udcff", None]

    def test_nothing(self) -> None:
        assert self.lines(b"") == [None]

    def test_the_rest_is_what_is_there_already(self) -> None:
        source = ScriptLines(InlineWorkers(), self.reading)
        os.write(self.writing, b"a\nb\nc\nd")
        assert self.successResultOf(Deferred.fromCoroutine(source.line())) == "a"
        assert source.rest() == ["b", "c"]


class ClosedTests(SynchronousTestCase):
    """Descriptors that the caller closed are no room for sockets."""

    def test_they_are_filled(self) -> None:
        program = (
            "import os; from twisted_ftplite.cli import main\n"
            "for each in (0, 1): os.close(each)\n"
            "try: main(['h', 'frob'])\n"
            "finally: os.write(2, str([os.readlink(f'/proc/self/fd/{each}') for each in (0, 1)]).encode())"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert done.stderr.endswith("['/dev/null', '/dev/null']")
