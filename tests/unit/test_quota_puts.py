"""What a client meets of a quota: whole commands, over loopback."""

from __future__ import annotations

import socket
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.fakes import Line
from twisted_ftplite.flow.workers import InlineWorkers
from twisted_ftplite.limits import Limits
from twisted_ftplite.server.quota import Quotas
from twisted_ftplite.server.services import Ends
from twisted_ftplite.server.users import anonymous
from twisted_ftplite.storage.interface import Usage
from twisted_ftplite.storage.memory import MemoryStorage

LIMITS = Limits(quota_step=16, small_file=100, resumable_size=10)
FEATURES = ("files", "offset", "noop", "help")


class QuotaPutsTests(SynchronousTestCase):
    def setUp(self) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        listening.settimeout(5)
        self.addCleanup(listening.close)
        self.listening = listening
        self.port = listening.getsockname()[1]
        self.storage = MemoryStorage({"a": bytes(300), "d/b": bytes(200)}, limits=LIMITS)
        ends = Ends(("127.0.0.1", 0), ("127.0.0.1", 40000))
        self.line = Line(storage=self.storage, ends=ends, limits=LIMITS, features=FEATURES)
        self.addCleanup(self.line.lose)
        self.line.said()
        quotas = Quotas(InlineWorkers(), lambda root: self.storage, LIMITS)
        self.line.services.quotas = quotas
        user = replace(anonymous("write"), quota_bytes=1000, quota_files=4)
        self.line.control.visitor.become(user)
        quota = quotas.of("", user)
        assert quota is not None
        self.tally = quota.tally

    def send(self, *lines: str) -> list[str]:
        self.line.send("".join(each + "\n" for each in lines).encode())
        return self.line.said()

    def connect(self, name: str, size: int | None = None, offset: int | None = None) -> socket.socket:
        """Begin to put; the data channel, as the client has it."""
        fields = [f"put {name}", f"Data channel port: {self.port}"]
        if size is not None:
            fields.insert(1, f"File size: {size} bytes")
        if offset is not None:
            fields.insert(1, f"Start offset: {offset} bytes")
        self.line.send("".join(each + "\n" for each in fields).encode())
        sock, _ = self.listening.accept()
        self.line.reactor.turn()
        sock.settimeout(5)
        self.addCleanup(sock.close)
        return sock

    def put(self, name: str, content: bytes, size: int | None = None, offset: int | None = None) -> str:
        """The status."""
        sock = self.connect(name, size, offset)
        sock.sendall(content)
        sock.shutdown(socket.SHUT_WR)
        while self.line.reactor.turn(0.1):
            pass
        total = len(content) + (offset or 0)
        lines = [] if size is not None else [f"File size: {total} bytes"]
        if self.line.control.session.state.name != "IDLE":
            return self.send(*lines, f"Transfer complete: {name}")[-1]
        return self.line.said()[-1]

    def settle(self) -> None:
        while self.line.reactor.turn(0.1):
            pass
        self.line.reactor.pump([15.0] * 8)
        while self.line.reactor.turn(0.1):
            pass

    def check(self, size: int, files: int) -> None:
        assert self.tally.used == self.storage.usage() == Usage(size, files)
        assert self.tally.reserved == Usage(0, 0)

    def test_announced(self) -> None:
        said = self.send("put n", "File size: 501 bytes", f"Data channel port: {self.port}")
        assert said[-1] == "FAILURE: Quota exceeded. 500 of 1000 bytes are left."
        assert self.put("n", bytes(500), 500).startswith("SUCCESS")
        self.check(1000, 3)
        said = self.send("put m", "File size: 1 bytes", f"Data channel port: {self.port}")
        assert said[-1] == "FAILURE: Quota exceeded. 0 of 1000 bytes are left."
        assert self.send("rm n")[-1].startswith("SUCCESS")
        self.check(500, 2)

    def test_files(self) -> None:
        for name in "no":
            assert self.put(name, b"", 0).startswith("SUCCESS")
        said = self.send("put p", "File size: 0 bytes", f"Data channel port: {self.port}")
        assert said[-1] == "FAILURE: Quota exceeded. 0 of 4 files are left."
        assert self.send('mv "o" "n"')[-1].startswith("SUCCESS")
        self.check(500, 3)

    def test_of_unknown_size(self) -> None:
        assert self.put("n", bytes(500)).startswith("SUCCESS")
        self.check(1000, 3)
        self.send("rm n")
        assert self.put("n", bytes(501)) == "FAILURE: Quota exceeded. 0 of 1000 bytes are left."
        self.check(500, 2)

    def test_what_breaks_off_is_counted_and_gone_on_with(self) -> None:
        sock = self.connect("d/n", 400)
        sock.sendall(bytes(150))
        assert self.tally.reserved == Usage(400, 1)
        sock.close()
        self.settle()
        self.check(650, 3)
        self.line.said()
        said = self.send("put m", "File size: 351 bytes", f"Data channel port: {self.port}")
        assert said[-1] == "FAILURE: Quota exceeded. 350 of 1000 bytes are left."
        assert self.put("d/n", bytes(350), 500, 150).startswith("SUCCESS")
        self.check(1000, 3)

    def test_partials_go_with_their_directory(self) -> None:
        sock = self.connect("d/n", 400)
        sock.sendall(bytes(150))
        sock.close()
        self.settle()
        self.line.said()
        assert self.send('mv "d/b" "b"', "rmdir d")[-1].startswith("SUCCESS")
        self.check(500, 2)

    def test_what_is_replaced_is_given_back(self) -> None:
        assert self.put("a", bytes(500), 500).startswith("SUCCESS")
        self.check(700, 2)
