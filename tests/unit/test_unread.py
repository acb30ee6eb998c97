"""Bytes that came behind the introduction of a data channel, and belong to the data."""

from __future__ import annotations

import socket

from tests.unit.flow_cases import Handle, ReceivingCase, pair
from tests.unit.tls_cases import TurningReactor
from twisted_ftplite.errors import FTPLiteError, UnexpectedMessage
from twisted_ftplite.flow.channel import DataChannel

EARLY = b"0123456789" * 400


class UnreadTests(ReceivingCase):
    def setUp(self) -> None:
        self.reactor = TurningReactor()
        ours, self.peer = pair()
        self.addCleanup(self.peer.close)
        self.channel = DataChannel(self.reactor, ours, EARLY)
        self.addCleanup(self.channel.close)
        self.lost: list[FTPLiteError] = []
        self.channel.on_lost = self.lost.append

    def test_it_is_spliced(self) -> None:
        handle = Handle(self.file(b""))
        consumer = self.consume(handle)
        consumer.start()
        self.send_all(b"and more")
        assert self.successResultOf(consumer.done) == len(EARLY) + 8
        assert handle.holds == EARLY + b"and more"

    def test_it_is_spliced_in_pieces(self) -> None:
        handle = Handle(self.file(b""))
        consumer = self.consume(handle, pipe_size=4096, pieces_a_turn=1)
        consumer.start()
        self.send_all(b"and more")
        assert self.successResultOf(consumer.done) == len(EARLY) + 8
        assert handle.holds == EARLY + b"and more"

    def test_it_is_copied(self) -> None:
        handle = Handle()
        consumer = self.consume(handle, receive_buffer=1000)
        consumer.start()
        self.send_all(b"and more")
        assert self.successResultOf(consumer.done) == len(EARLY) + 8
        assert handle.holds == EARLY + b"and more"

    def test_it_is_gathered(self) -> None:
        consumer = self.consume(Handle())
        consumer.expect(len(EARLY))
        consumer.start()
        self.send_all(b"")
        assert self.successResultOf(consumer.done) == len(EARLY)

    def test_it_is_told_of_while_nothing_comes(self) -> None:
        """The kernel knows nothing of it."""
        told: list[bytes] = []

        class Sipping:
            def readable(self) -> None:
                room = memoryview(bytearray(1500))
                count = channel.recv_into(room)
                if count:
                    told.append(bytes(room[:count]))

        channel = self.channel
        self.channel.deliver_to(Sipping())
        assert len(told) == 1
        while self.reactor.turn():
            pass
        assert b"".join(told) == EARLY
        assert len(told) == 3

    def test_not_to_a_sender(self) -> None:
        self.channel.watch_peer()
        assert self.lost == []
        self.reactor.turn()
        assert [type(each) for each in self.lost] == [UnexpectedMessage]

    def test_not_after_the_close(self) -> None:
        self.channel.watch_peer()
        self.channel.close()
        assert self.reactor.getDelayedCalls() == []
        self.reactor.turn()
        assert self.lost == []
        assert self.peer.recv(1) == b""

    def test_the_peer_of_a_sender_may_end(self) -> None:
        ours, peer = pair()
        self.addCleanup(peer.close)
        channel = DataChannel(self.reactor, ours)
        self.addCleanup(channel.close)
        channel.on_lost = self.lost.append
        channel.watch_peer()
        peer.shutdown(socket.SHUT_WR)
        self.reactor.turn_until(lambda: not self.reactor.readers)
        assert self.lost == []
