"""What is said on a data connection before its first byte, by both ends and by strangers."""

from __future__ import annotations

import socket

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.fakes import HandReactor
from tests.unit.flow_cases import pair
from twisted_ftplite.errors import ConnectionLost, ConnectionRefused, ConnectionTimedOut
from twisted_ftplite.flow.channel import DataChannel
from twisted_ftplite.flow.opening import ConnectBack, ConnectPassive, Listen
from twisted_ftplite.flow.talk import (
    Introduce,
    Talk,
    begin,
    join_passive,
    prove_connecting,
    prove_listening,
)

TOKEN = "a" * 16 + "b" * 16
FIRST, LAST = b"Data channel token: aaaaaaaaaaaaaaaa\n", b"Data channel token: bbbbbbbbbbbbbbbb\n"
GREETING, READY = b"SUCCESS: FTPLite/1 ready.\n", b"SUCCESS: Data channel ready. Go on.\n"
LOOPBACK = ("127.0.0.1", 0)


class TalkTests(SynchronousTestCase):
    def begin(self, introduce: Introduce) -> Deferred[DataChannel]:
        self.reactor = HandReactor()
        own, self.peer = pair()
        self.addCleanup(self.peer.close)
        return Deferred.fromCoroutine(begin(Talk(self.reactor, own), introduce))

    def told(self, count: int) -> bytes:
        return self.peer.recv(count, socket.MSG_WAITALL)

    def channel(self, begun: Deferred[DataChannel]) -> DataChannel:
        self.reactor.turn_until(lambda: bool(begun.called))
        channel = self.successResultOf(begun)
        self.addCleanup(channel.close)
        return channel

    def refused(self, begun: Deferred[DataChannel], *errors: type[Exception]) -> None:
        self.reactor.turn_until(lambda: bool(begun.called))
        self.failureResultOf(begun, *errors)
        self.peer.settimeout(5)
        try:
            while self.peer.recv(100):
                pass
        except ConnectionResetError:
            pass
        assert not self.reactor.readers

    def test_the_listener_speaks_first(self) -> None:
        begun = self.begin(prove_listening(TOKEN, None))
        assert self.told(len(FIRST)) == FIRST
        self.peer.sendall(LAST)
        self.channel(begun)

    def test_who_connects_waits_for_that(self) -> None:
        begun = self.begin(prove_connecting(TOKEN, None))
        self.assertNoResult(begun)
        self.peer.sendall(FIRST[:5])
        self.reactor.turn(0.1)
        self.assertNoResult(begun)
        self.peer.sendall(FIRST[5:-1] + b"\r\n")
        self.channel(begun)
        assert self.told(len(LAST)) == LAST

    def test_what_comes_behind_is_data(self) -> None:
        begun = self.begin(prove_listening(TOKEN, None))
        self.peer.sendall(LAST + b"data\nmore")
        channel = self.channel(begun)
        buffer = bytearray(100)
        count = channel.recv_into(memoryview(buffer))
        assert count is not None
        assert buffer[:count] == b"data\nmore"

    def test_strangers_are_told_nothing(self) -> None:
        for said in (LAST, b"hello\n", b"\xff\xfe\n", b"x" * 5000, FIRST[:-2] + b"\n"):
            begun = self.begin(prove_connecting(TOKEN, None))
            self.peer.sendall(said)
            self.refused(begun, ConnectionRefused, ConnectionLost)

    def test_a_stranger_that_leaves(self) -> None:
        begun = self.begin(prove_connecting(TOKEN, None))
        self.peer.shutdown(socket.SHUT_WR)
        self.refused(begun, ConnectionLost)

    def test_joining_passively(self) -> None:
        begun = self.begin(join_passive(TOKEN, None, starttls=False))
        self.peer.sendall(GREETING)
        self.reactor.turn(0.1)
        line = b"Data channel token: " + TOKEN.encode() + b"\n"
        assert self.told(len(line)) == line
        self.peer.sendall(READY + b"data")
        assert self.channel(begun) is not None

    def test_a_server_that_does_not_take_it(self) -> None:
        for said in (b"ERROR: Too many connections.\n", b"HTTP/1.0 400 Bad\n", GREETING + b"FAILURE: No.\n"):
            begun = self.begin(join_passive(TOKEN, None, starttls=False))
            self.peer.sendall(said)
            self.refused(begun, ConnectionRefused)

    def test_giving_up(self) -> None:
        begun = self.begin(prove_connecting(TOKEN, None))
        begun.cancel()
        self.refused(begun, CancelledError)


class OpeningTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = HandReactor()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.server.close)
        self.address = self.server.getsockname()

    def test_a_stranger_at_the_port_is_refused(self) -> None:
        opened = ConnectBack(
            self.reactor, LOOPBACK, self.address, self.address[1], 10.0, prove_connecting(TOKEN, None)
        ).open()
        stranger, _ = self.server.accept()
        self.addCleanup(stranger.close)
        stranger.sendall(LAST)
        self.reactor.turn_until(lambda: bool(opened.called))
        self.failureResultOf(opened, ConnectionRefused)
        assert not self.reactor.getDelayedCalls()

    def test_one_that_says_nothing_is_waited_for_so_long(self) -> None:
        opened = ConnectPassive(
            self.reactor, LOOPBACK, self.address, 10.0, join_passive(TOKEN, None, starttls=False)
        ).open()
        stranger, _ = self.server.accept()
        self.addCleanup(stranger.close)
        self.reactor.turn(0.1)
        self.reactor.advance(9.9)
        self.assertNoResult(opened)
        self.reactor.advance(0.2)
        self.failureResultOf(opened, ConnectionTimedOut)
        assert not self.reactor.readers
        assert not self.reactor.getDelayedCalls()

    def test_the_real_peer_comes_behind_strangers(self) -> None:
        listen = Listen(self.reactor, LOOPBACK, ("127.0.0.1", 9), 10.0)
        self.addCleanup(listen.close)
        opened = listen.open(prove_listening(TOKEN, None))
        where = ("127.0.0.1", listen.port)
        strangers = []
        for number in range(12):
            stranger = socket.create_connection(where)
            self.addCleanup(stranger.close)
            strangers.append(stranger)
            self.reactor.turn(0.1)
            if number % 2:
                stranger.sendall(FIRST)
                self.reactor.turn(0.1)
        self.assertNoResult(opened)
        real = socket.create_connection(where)
        self.addCleanup(real.close)
        real.sendall(LAST)
        self.reactor.turn_until(lambda: bool(opened.called))
        channel = self.successResultOf(opened)
        self.addCleanup(channel.close)
        for stranger in strangers:
            stranger.settimeout(5)
            try:
                assert len(stranger.recv(1000)) in (0, len(FIRST))
                assert stranger.recv(1000) == b""
            except ConnectionResetError:
                pass
        assert not self.reactor.getDelayedCalls()
