"""TLS: handshakes, data channels inside it, and what becomes a control channel's transport."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.flow_cases import Handle, ReceivingCase, pair, reset
from tests.unit.tls_cases import (
    NAME,
    TurningReactor,
    authority,
    client_context,
    end,
    give,
    refuse,
    secure_pair,
    server_context,
    step,
    stranger,
    take,
    take_all,
    wrap,
)
from twisted_ftplite.errors import CertificateRefused, ConnectionLost, FTPLiteError, UnexpectedMessage
from twisted_ftplite.flow.secure import SecureDataChannel, TLSSide, handshake
from twisted_ftplite.flow.sending import ContentProducer, FileProducer, PieceProducer
from twisted_ftplite.flow.workers import InlineWorkers

LONG = os.urandom(3_000_000)


class HandshakeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = TurningReactor()
        self.ours, self.peer = pair()
        self.addCleanup(self.peer.close)
        self.addCleanup(self.ours.close)

    def begin(self, context: ssl.SSLContext, hostname: str | None = NAME) -> Deferred[ssl.SSLSocket]:
        """As the client."""
        return handshake(self.reactor, self.ours, TLSSide(context, False, hostname))

    def answer(self, answered: Deferred[ssl.SSLSocket], other: ssl.SSLSocket) -> ssl.SSLSocket:
        """Have the other side take part until ours is decided."""
        done = False
        for _ in range(1000):
            if answered.called and done:
                break
            self.reactor.turn(0.01)
            try:
                done = done or step(other)
            except OSError:
                done = True
        made = self.successResultOf(answered)
        self.addCleanup(made.close)
        assert not self.reactor.readers | self.reactor.writers
        return made

    def refusal(
        self,
        context: ssl.SSLContext,
        hostname: str | None = NAME,
        certificate: trustme.LeafCert | None = None,
    ) -> CertificateRefused:
        server = wrap(self.peer, server_context(certificate), server_side=True)
        self.addCleanup(server.close)
        answered = self.begin(context, hostname)
        for _ in range(100):
            if answered.called:
                break
            try:
                step(server)
            except OSError as error:
                self.alert = error
            self.reactor.turn(0.01)
        error = self.failureResultOf(answered, CertificateRefused).value
        assert isinstance(error, CertificateRefused)
        assert not self.reactor.readers | self.reactor.writers
        self.alert = refuse(server, ssl.SSLError)
        return error

    def test_as_the_client(self) -> None:
        checked: list[ssl.SSLSocket] = []
        server = wrap(self.peer, server_context(), server_side=True)
        side = TLSSide(client_context(), False, NAME, checked.append)
        made = self.answer(handshake(self.reactor, self.ours, side), server)
        assert checked == [made]
        assert made.version() == "TLSv1.3"
        made.send(b"hello")
        assert take(server, 5) == b"hello"
        server.close()

    def test_as_the_server(self) -> None:
        client = wrap(self.peer, client_context(), server_side=False)
        side = TLSSide(server_context(), True)
        made = self.answer(handshake(self.reactor, self.ours, side), client)
        made.send(b"hello")
        assert take(client, 5) == b"hello"
        client.close()

    def test_another_host_name(self) -> None:
        error = self.refusal(client_context(), "other.example.org")
        assert (error.code, error.detail) == (62, "It is for another host name.")
        assert "ALERT" in str(self.alert)  # and no reset, in which it would be lost

    def test_another_address(self) -> None:
        assert self.refusal(client_context(), "192.0.2.1").detail == "It is for another address."

    def test_an_unknown_authority(self) -> None:
        error = self.refusal(client_context(), certificate=stranger().issue_cert(NAME))
        assert error.code == 20
        assert error.detail == "It was not issued by an authority that is trusted here."

    def test_expired(self) -> None:
        now = datetime.now(UTC)
        old = authority().issue_cert(
            NAME, not_before=now - timedelta(days=9), not_after=now - timedelta(days=1)
        )
        assert self.refusal(client_context(), certificate=old).detail == "It has expired."

    def test_the_check_refuses(self) -> None:
        def check(sock: ssl.SSLSocket) -> None:
            raise CertificateRefused("Not this one.", None, sock.getpeercert(binary_form=True))

        server = wrap(self.peer, server_context(), server_side=True)
        self.addCleanup(server.close)
        answered = handshake(self.reactor, self.ours, TLSSide(client_context(), False, NAME, check))
        for _ in range(100):
            if not step(server) or not answered.called:
                self.reactor.turn(0.01)
        error = self.failureResultOf(answered, CertificateRefused).value
        assert error.certificate
        assert not self.reactor.readers | self.reactor.writers
        refuse(server, ssl.SSLEOFError)

    def test_a_peer_without_tls(self) -> None:
        answered = self.begin(client_context())
        self.peer.sendall(b"SUCCESS: FTPLite/1 ready.\n")
        self.reactor.turn(1)
        error = self.failureResultOf(answered, ConnectionLost).value
        assert error.detail == "The other side does not speak TLS."

    def test_a_peer_that_does_not_like_our_certificate(self) -> None:
        """As the server it is told by an alert, as a client in TLS 1.3 only when it reads."""
        client = wrap(self.peer, client_context(), server_side=False)
        self.addCleanup(client.close)
        side = TLSSide(server_context(stranger().issue_cert(NAME)), True)
        answered = handshake(self.reactor, self.ours, side)
        with contextlib.suppress(ssl.SSLCertVerificationError):
            while not step(client):
                self.reactor.turn(0.01)
        self.reactor.turn(5)
        error = self.failureResultOf(answered, ConnectionLost).value
        assert error.detail == "The other side does not accept our certificate."

    def test_a_cut(self) -> None:
        for way in (socket.socket.close, reset):
            ours, peer = pair()
            answered = handshake(self.reactor, ours, TLSSide(client_context(), False, NAME))
            way(peer)
            self.reactor.turn_until(lambda: answered.called)  # noqa: B023
            self.failureResultOf(answered, ConnectionLost)
            assert not self.reactor.readers | self.reactor.writers

    def test_a_connection_that_is_none(self) -> None:
        with socket.socket() as unconnected:
            unconnected.setblocking(False)
            self.failureResultOf(
                handshake(self.reactor, unconnected, TLSSide(server_context(), True)), ConnectionLost
            )

    def test_a_host_name_that_is_none(self) -> None:
        self.failureResultOf(self.begin(client_context(), ""), ValueError)
        assert self.peer.recv(1) == b""

    def test_giving_up(self) -> None:
        answered = self.begin(client_context())
        answered.cancel()
        self.failureResultOf(answered, CancelledError)
        assert not self.reactor.readers | self.reactor.writers
        while self.peer.recv(4096):  # the greeting of TLS, then the end
            pass

    def test_the_end_of_a_handshake_that_is_over(self) -> None:
        answered = self.begin(client_context())
        watcher = next(iter(self.reactor.readers))
        answered.cancel()
        self.failureResultOf(answered, CancelledError)
        watcher.connectionLost(Failure(ConnectionDone()))
        assert watcher.fileno() == -1


class SecureChannelCase(ReceivingCase):
    reactor: TurningReactor

    def setUp(self) -> None:
        self.reactor = TurningReactor()
        ours, self.other = secure_pair()
        self.peer = self.other
        self.addCleanup(self.other.close)
        self.open(ours)

    def open(self, sock: ssl.SSLSocket, unread: bytes = b"") -> None:
        self.channel = SecureDataChannel(self.reactor, sock, unread)
        self.addCleanup(self.channel.close)
        self.lost: list[FTPLiteError] = []
        self.channel.on_lost = self.lost.append

    def come(self) -> bytes:
        """What the peer gets up to the TLS close."""
        return take_all(self.other, self.reactor)


class SecureSendingTests(SecureChannelCase):
    def send_file(self, content: bytes) -> FileProducer:
        producer = FileProducer(
            self.channel, self.file(content), 0, len(content), InlineWorkers(), self.limits
        )
        producer.start().addCallback(lambda _: self.channel.finish_sending())
        return producer

    def test_a_file(self) -> None:
        producer = self.send_file(LONG)
        assert self.come() == LONG
        self.successResultOf(producer.done)
        assert self.channel.sent == len(LONG) == producer.moved()
        assert self.channel.flushed
        assert producer.movement() > len(LONG)  # records have heads
        assert self.lost == []

    def test_done_is_when_the_kernel_has_all(self) -> None:
        producer = self.send_file(LONG)
        self.reactor.turn()
        while self.reactor.turn():
            pass
        assert not producer.done.called
        assert not self.channel.flushed
        assert self.channel.sent < len(LONG)
        assert self.come() == LONG
        assert self.channel.flushed

    def test_from_memory_and_in_pieces(self) -> None:
        content = ContentProducer(self.channel, LONG, InlineWorkers())
        content.start()
        assert not self.channel.flushed
        pieces = [b"a" * 300_000, b"b" * 300_000, b""]
        follower = PieceProducer(self.channel, lambda: pieces.pop(0), InlineWorkers())
        content.done.addCallback(lambda _: follower.start())
        content.done.addCallback(lambda _: self.channel.finish_sending())
        assert self.come() == LONG + b"a" * 300_000 + b"b" * 300_000

    def test_the_end_behind_what_is_unsent(self) -> None:
        self.channel.write(LONG)
        self.channel.finish_sending()
        assert not self.channel.flushed
        assert self.come() == LONG
        assert self.channel.flushed
        assert socket.socket.recv(self.other, 1) == b""

    def test_the_end_of_what_was_never_begun(self) -> None:
        self.channel.finish_sending()
        assert self.come() == b""

    def test_a_file_that_is_shorter(self) -> None:
        assert self.channel.send_file(self.file(b"abc"), 3, 10) == 0

    def test_a_peer_that_ends_its_direction(self) -> None:
        """Before, with a TLS close or a bare end, and the file comes all the same."""
        for way in (end, lambda sock: socket.socket.shutdown(sock, socket.SHUT_WR)):
            ours, self.other = secure_pair(server_side=False)
            self.addCleanup(self.other.close)
            self.open(ours)
            self.channel.watch_peer()
            way(self.other)
            self.turn()
            self.send_file(LONG)
            got = bytearray()
            while (piece := self.some()) is not None:
                got += piece
            assert got == LONG
            assert self.lost == []

    def some(self) -> bytes | None:
        """A record; None at the end, which an end that has said its own is told of as an error."""
        for _ in range(100_000):
            try:
                piece = take(self.other)
            except ssl.SSLZeroReturnError:
                return None
            if piece is not None:
                return piece or None
            self.reactor.turn()
        raise AssertionError("the stream has no end")

    def test_a_peer_that_ends_its_direction_afterwards(self) -> None:
        self.channel.watch_peer()
        self.channel.write(b"all")
        self.channel.finish_sending()
        assert self.come() == b"all"
        end(self.other)
        self.turn()
        assert self.lost == []
        assert not self.reactor.readers

    def test_a_peer_that_sends(self) -> None:
        self.channel.watch_peer()
        self.other.send(b"what?")
        self.reactor.turn_until(lambda: bool(self.lost))
        assert [type(each) for each in self.lost] == [UnexpectedMessage]

    def test_a_peer_that_sends_while_the_stream_ends(self) -> None:
        self.other.send(b"what?")
        select.select([self.channel], [], [], 5)
        self.channel.finish_sending()
        assert [type(each) for each in self.lost] == [UnexpectedMessage]

    def test_a_peer_that_has_sent_before(self) -> None:
        ours, self.other = secure_pair()
        self.addCleanup(self.other.close)
        self.open(ours, b"what?")
        self.channel.watch_peer()
        self.reactor.turn()
        assert [type(each) for each in self.lost] == [UnexpectedMessage]

    def test_a_peer_that_is_gone(self) -> None:
        self.channel.watch_peer()
        reset(self.other)
        self.turn()
        assert [type(each) for each in self.lost] == [ConnectionLost]
        self.channel.finish_sending()

    def test_the_end_to_a_peer_that_is_gone(self) -> None:
        reset(self.other)
        self.channel.finish_sending()
        assert [type(each) for each in self.lost] == [ConnectionLost]

    def test_a_reset(self) -> None:
        self.channel.write(b"some")
        self.channel.reset()
        assert take(self.other, 5) in (b"some", None)
        select.select([self.other], [], [], 5)
        with pytest.raises(OSError, match=r"EOF|reset"):  # Python 3.11 tells of a reset as of a cut
            self.other.recv(1)


class SecureReceivingTests(SecureChannelCase):
    def arrive(self, count: int) -> None:
        """Wait until so many bytes have come, and the heads of their records."""
        sock = self.channel._secure
        for _ in range(500):
            with contextlib.suppress(BlockingIOError):
                if len(socket.socket.recv(sock, 1 << 20, socket.MSG_PEEK)) > count:
                    return
            select.select([], [], [], 0.01)

    def ended(self) -> None:
        """Wait until the end has come."""
        poll = select.poll()
        poll.register(self.channel, select.POLLRDHUP)
        assert poll.poll(5000)

    def send_all(self, content: bytes) -> None:
        give(self.other, content, self.reactor)
        end(self.other)
        self.turn()

    def test_a_large_file_is_copied_into_its_descriptor(self) -> None:
        handle = Handle(self.file(b""))
        consumer = self.consume(handle)
        consumer.start()
        self.send_all(LONG)
        assert self.successResultOf(consumer.done) == len(LONG)
        assert handle.holds == LONG
        assert handle.spliced_in == 0

    def test_a_small_file(self) -> None:
        handle = Handle(self.file(b""))
        consumer = self.consume(handle)
        consumer.expect(40_000)
        consumer.start()
        self.send_all(LONG[:40_000])
        assert self.successResultOf(consumer.done) == 40_000
        assert handle.holds == LONG[:40_000]

    def test_what_came_before_the_start(self) -> None:
        self.other.send(LONG[:40_000])
        end(self.other)
        self.ended()
        handle = Handle()
        consumer = self.consume(handle)
        consumer.expect(40_000)
        assert self.successResultOf(consumer.start()) == 40_000  # without a turn

    def test_a_cut(self) -> None:
        consumer = self.consume(Handle(self.file(b"")))
        consumer.start()
        give(self.other, LONG[:40_000], self.reactor)
        socket.socket.shutdown(self.other, socket.SHUT_WR)
        self.turn()
        assert not consumer.done.called or self.failureResultOf(consumer.done, ConnectionLost)
        assert consumer.received == 40_000
        assert self.lost == [] or isinstance(self.lost[0], ConnectionLost)

    def test_a_cut_where_nothing_has_come(self) -> None:
        consumer = self.consume(Handle())
        consumer.start()
        socket.socket.shutdown(self.other, socket.SHUT_WR)
        self.turn()
        assert [type(each) for each in self.lost] == [ConnectionLost]
        assert not consumer.done.called

    def test_the_end_is_answered(self) -> None:
        consumer = self.consume(Handle())
        consumer.start().addCallback(lambda _: self.channel.close())
        self.send_all(b"all")
        refuse(self.other, ssl.SSLZeroReturnError)

    def test_bytes_before_an_end_or_a_cut(self) -> None:
        room = memoryview(bytearray(100))
        self.other.send(b"abc")
        end(self.other)
        self.ended()
        assert [self.channel.recv_into(room) for _ in range(3)] == [3, 0, 0]
        ours, other = secure_pair()
        self.open(ours)
        other.send(b"abc")
        other.send(b"de")
        other.close()
        self.ended()
        assert self.channel.recv_into(room) == 5
        with pytest.raises(ssl.SSLEOFError):
            self.channel.recv_into(room)

    def test_it_fills_a_buffer_from_many_records(self) -> None:
        for _ in range(5):
            self.other.send(b"x" * 1000)
        self.arrive(5000)
        assert self.channel.recv_into(memoryview(bytearray(4500))) == 4500
        assert self.channel.recv_into(memoryview(bytearray(4500))) == 500
        assert self.channel.recv_into(memoryview(bytearray(4500))) is None

    def test_there_is_nothing_to_splice(self) -> None:
        assert not self.channel.splices
        with pytest.raises(NotImplementedError):
            self.channel.splice(0, 1)


class Slow:
    """Takes a little whenever it is told of something."""

    def __init__(self, channel: SecureDataChannel) -> None:
        self.channel = channel
        self.got = b""
        self.ended = False
        self.told = 0

    def readable(self) -> None:
        self.told += 1
        room = memoryview(bytearray(3))
        count = self.channel.recv_into(room)
        if count:
            self.got += room[:count]
        elif count == 0:
            self.ended = True
            self.channel.pauseProducing()


class UntoldTests(SecureChannelCase):
    """What the kernel has given already, and so does not tell of."""

    def test_it_is_told_all_the_same(self) -> None:
        slow = Slow(self.channel)
        self.channel.deliver_to(slow)
        self.other.send(b"0123456789")
        self.reactor.turn_until(lambda: slow.got == b"0123456789")
        end(self.other)
        self.reactor.turn_until(lambda: slow.ended)

    def test_not_while_paused(self) -> None:
        slow = Slow(self.channel)
        self.channel.deliver_to(slow)
        self.other.send(b"0123456789")
        self.reactor.turn(5)
        assert slow.got == b"012"
        self.channel.pauseProducing()
        self.turn()
        assert slow.got == b"012"
        self.channel.resumeProducing()
        self.reactor.turn_until(lambda: slow.got == b"0123456789")

    def test_not_after_the_close(self) -> None:
        slow = Slow(self.channel)
        self.channel.deliver_to(slow)
        self.other.send(b"0123456789")
        self.reactor.turn(5)
        self.channel.close()
        self.turn()
        assert slow.got == b"012"
        assert self.reactor.getDelayedCalls() == []

    def test_what_came_behind_the_introduction(self) -> None:
        ours, self.other = secure_pair()
        self.addCleanup(self.other.close)
        self.open(ours, b"abcdefg")
        slow = Slow(self.channel)
        self.channel.deliver_to(slow)
        self.other.send(b"hij")
        end(self.other)
        self.reactor.turn_until(lambda: slow.ended)
        assert slow.got == b"abcdefghij"


class ChangeOfKeys:
    """An SSL socket in the middle of one, during which a direction waits for the other."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self._sock = sock
        self.waits: Exception | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self._sock, name)

    def send(self, data: bytes) -> int:
        if self.waits is not None:
            raise self.waits
        return self._sock.send(data)

    def recv_into(self, buffer: memoryview) -> int:
        if self.waits is not None:
            raise self.waits
        return self._sock.recv_into(buffer)


class ChangeOfKeysTests(SecureChannelCase):
    def open(self, sock: ssl.SSLSocket, unread: bytes = b"") -> None:
        super().open(sock, unread)
        self.keys = ChangeOfKeys(sock)
        self.channel._secure = self.keys  # type: ignore[assignment]

    def test_sending_waits_for_what_comes(self) -> None:
        self.keys.waits = ssl.SSLWantReadError()
        self.channel.write(b"abc")
        assert self.channel in self.reactor.readers
        self.keys.waits = None
        self.other.send(b"the peer's part")
        self.reactor.turn(5)
        self.turn()
        assert take(self.other, 5) == b"abc"
        assert self.channel not in self.reactor.readers | self.reactor.writers

    def test_taking_waits_for_what_goes(self) -> None:
        self.keys.waits = ssl.SSLWantWriteError()
        slow = Slow(self.channel)
        self.other.send(b"abc")
        self.channel.deliver_to(slow)
        assert self.channel in self.reactor.writers
        self.keys.waits = None
        self.reactor.turn_until(lambda: slow.got == b"abc")
        assert self.channel not in self.reactor.writers
        assert self.channel in self.reactor.readers
