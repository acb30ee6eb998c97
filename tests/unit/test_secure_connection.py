"""A control channel's transport inside TLS; how a socket leaves one of Twisted's."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl

import pytest
from twisted.internet.address import UNIXAddress
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.error import ConnectionLost as Lost
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.tcp import Server
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.unit.fakes import HandTransport
from tests.unit.flow_cases import pair, read_all, reset
from tests.unit.tls_cases import TurningReactor, end, give, refuse, secure, secure_pair, take, take_all
from twisted_ftplite.errors import ConnectionLost
from twisted_ftplite.flow import tcp
from twisted_ftplite.flow.secure import SecureConnection
from twisted_ftplite.flow.taking import take_socket

MUCH = b"0123456789abcdef" * 100_000


@implementer(IPushProducer)
class Hearer(Protocol):
    """Writes down what it hears; is a push producer too."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.ends: list[Exception] = []
        self.states: list[str] = []

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ends.append(reason.value)

    def pauseProducing(self) -> None:
        self.states.append("paused")

    def resumeProducing(self) -> None:
        self.states.append("resumed")

    def stopProducing(self) -> None:
        self.states.append("stopped")


class SecureConnectionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = TurningReactor()
        ours, self.peer = secure_pair()
        self.addCleanup(ours.close)
        self.addCleanup(self.peer.close)
        self.connection = SecureConnection(self.reactor, ours, 4096)
        self.hearer = Hearer()
        self.connection.attach(self.hearer)

    def ended(self) -> Exception:
        """How the connection ends, which the protocol is told once."""
        self.reactor.turn_until(lambda: bool(self.hearer.ends))
        while self.reactor.turn():
            pass
        assert not self.reactor.readers | self.reactor.writers
        assert self.reactor.getDelayedCalls() == []
        assert self.connection.fileno() == -1
        (reason,) = self.hearer.ends
        return reason

    def test_both_ways(self) -> None:
        assert self.hearer.transport is self.connection
        self.peer.send(b"a question\n")
        self.reactor.turn_until(lambda: self.hearer.heard == b"a question\n")
        self.connection.write(b"an ")
        self.connection.writeSequence([b"ans", b"wer\n"])
        assert take(self.peer, 5) == b"an "  # at once, and so in records of their own
        assert take(self.peer, 5) == b"answer\n"

    def test_much_comes_in_pieces_of_which_the_kernel_does_not_tell(self) -> None:
        self.peer.send(MUCH[:16384])
        self.reactor.turn_until(lambda: len(self.hearer.heard) == 4096)
        assert not self.connection.socket.pending() or self.reactor.getDelayedCalls()
        self.reactor.turn_until(lambda: self.hearer.heard == MUCH[:16384])

    def test_pausing(self) -> None:
        self.peer.send(MUCH[:16384])
        self.reactor.turn_until(lambda: bool(self.hearer.heard))
        self.connection.pauseProducing()
        while self.reactor.turn():
            pass
        assert self.hearer.heard == MUCH[:4096]
        self.connection.resumeProducing()
        self.reactor.turn_until(lambda: self.hearer.heard == MUCH[:16384])

    def test_a_producer_is_paused_while_much_is_unsent(self) -> None:
        self.connection.registerProducer(self.hearer, True)
        self.connection.write(MUCH)
        self.connection.write(MUCH)
        assert self.hearer.states == ["paused"]
        self.connection.loseConnection()
        assert take_all(self.peer, self.reactor) == MUCH + MUCH
        assert isinstance(self.ended(), ConnectionDone)
        assert self.hearer.states == ["paused", "resumed", "stopped"]

    def test_it_resumes_when_all_is_sent(self) -> None:
        self.connection.registerProducer(self.hearer, True)
        self.connection.write(MUCH)
        got = bytearray()
        while len(got) < len(MUCH):
            self.reactor.turn()
            got += take(self.peer) or b""
        self.reactor.turn_until(lambda: self.hearer.states == ["paused", "resumed"])
        self.connection.unregisterProducer()
        self.connection.write(MUCH)
        assert self.hearer.states == ["paused", "resumed"]

    def test_a_producer_that_pulls(self) -> None:
        with pytest.raises(ValueError, match="pull"):
            self.connection.registerProducer(self.hearer, False)

    def test_a_producer_of_a_connection_that_is_over(self) -> None:
        self.connection.abortConnection()
        self.connection.registerProducer(self.hearer, True)
        assert self.hearer.states == ["stopped"]

    def test_closing_behind_what_is_unsent(self) -> None:
        self.connection.write(MUCH)
        self.connection.loseConnection()
        self.connection.write(b"too late")
        assert self.hearer.ends == []
        assert take_all(self.peer, self.reactor) == MUCH
        assert isinstance(self.ended(), ConnectionDone)

    def test_closing_is_told_in_a_later_turn(self) -> None:
        self.connection.stopProducing()
        assert self.hearer.ends == []
        assert isinstance(self.ended(), ConnectionDone)
        assert take(self.peer, 5) == b""
        self.connection.loseConnection()
        self.connection.abortConnection()
        self.connection.resumeProducing()
        assert not self.reactor.readers | self.reactor.writers

    def test_the_peer_closes(self) -> None:
        self.peer.send(b"last words")
        end(self.peer)
        assert isinstance(self.ended(), ConnectionDone)
        assert self.hearer.heard == b"last words"
        refuse(self.peer, ssl.SSLZeroReturnError)  # it is answered

    def test_the_peer_is_cut_off(self) -> None:
        socket.socket.shutdown(self.peer, socket.SHUT_WR)
        assert isinstance(self.ended(), Lost)

    def test_the_peer_resets(self) -> None:
        reset(self.peer)
        assert isinstance(self.ended(), Lost)

    def test_the_peer_is_gone_when_we_write(self) -> None:
        reset(self.peer)
        select.select([self.connection], [], [], 5)
        self.connection.write(b"hello?")
        assert self.hearer.ends == []
        assert isinstance(self.ended(), Lost)

    def test_what_comes_is_no_tls(self) -> None:
        socket.socket.send(self.peer, b"GET / HTTP/1.0\r\n\r\n")
        assert isinstance(self.ended(), Lost)

    def test_a_protocol_that_fails(self) -> None:
        def fail(data: bytes) -> None:
            raise RuntimeError

        self.hearer.dataReceived = fail  # type: ignore[method-assign]
        self.peer.send(b"boo")
        assert isinstance(self.ended(), ConnectionAborted)
        assert len(self.flushLoggedErrors(RuntimeError)) == 1

    def test_a_reset(self) -> None:
        self.connection.abortConnection()
        assert isinstance(self.ended(), ConnectionAborted)
        select.select([self.peer], [], [], 5)
        with pytest.raises(ConnectionResetError):
            socket.socket.recv(self.peer, 1)

    def test_the_reactor_gives_up(self) -> None:
        self.connection.connectionLost(Failure(ConnectionDone()))
        assert isinstance(self.ended(), Lost)

    def test_last_words_to_a_peer_that_goes_on_sending(self) -> None:
        """They are not lost in a reset; what comes is thrown away."""
        self.peer.send(b"before")
        self.connection.write(b"last words")
        self.connection.loseWriteConnection()
        give(self.peer, MUCH, self.reactor)
        assert take_all(self.peer, self.reactor) == b"last words"
        assert self.hearer.ends == []
        assert self.hearer.heard in (b"", b"before")
        self.peer.close()
        assert isinstance(self.ended(), ConnectionDone)

    def test_last_words_that_are_many(self) -> None:
        self.connection.pauseProducing()
        self.connection.write(MUCH)
        self.connection.loseWriteConnection()
        assert take_all(self.peer, self.reactor) == MUCH
        end(self.peer)
        assert isinstance(self.ended(), ConnectionDone)

    def test_giving_the_socket_away(self) -> None:
        self.peer.send(MUCH[:8192])
        self.reactor.turn_until(lambda: bool(self.hearer.heard))
        sock = self.connection.detach()
        assert not self.reactor.readers | self.reactor.writers
        assert self.reactor.getDelayedCalls() == []
        assert self.hearer.heard + (take(sock, 5) or b"") == MUCH[:8192]
        self.connection.write(b"nothing")
        self.connection.loseConnection()
        sock.send(b"ours")
        assert take(self.peer, 5) == b"ours"
        assert self.hearer.ends == []

    def test_giving_the_socket_away_with_bytes_unsent(self) -> None:
        self.connection.write(MUCH)
        with pytest.raises(ConnectionLost):
            self.connection.detach()
        assert isinstance(self.ended(), ConnectionAborted)

    def test_what_is_known_of_it(self) -> None:
        here, there = self.peer.getpeername(), self.peer.getsockname()
        assert (self.connection.getHost().host, self.connection.getHost().port) == here
        assert (self.connection.getPeer().host, self.connection.getPeer().port) == there
        assert tcp.ends_of(self.connection) == (here, there)
        assert not tcp.is_gone(self.connection)
        tcp.tune_control(self.connection, 1)
        assert self.connection.getTcpNoDelay()
        self.connection.setTcpKeepAlive(True)
        assert self.connection.getTcpKeepAlive()
        reset(self.peer)
        self.reactor.turn_until(lambda: tcp.is_gone(self.connection) or bool(self.hearer.ends))
        assert isinstance(self.ended(), Lost)
        assert not tcp.is_gone(self.connection)

    def test_over_a_socket_of_the_file_system(self) -> None:
        ours, peer = secure(*socket.socketpair())
        self.addCleanup(peer.close)
        connection = SecureConnection(self.reactor, ours, 4096)
        tcp.tune_control(connection, 4096)
        assert connection.getTcpNoDelay()
        assert tcp.ends_of(connection) is None
        assert not tcp.is_gone(connection)
        assert connection.getPeer() == UNIXAddress(None)
        connection.loseConnection()
        assert take(peer, 5) == b""
        self.reactor.turn_until(lambda: connection.fileno() == -1)

    def test_one_that_was_reset_before(self) -> None:
        ours, peer = secure_pair()
        reset(peer)
        with contextlib.suppress(OSError):
            while take(ours, 5) != b"":
                pass
        with pytest.raises(ConnectionLost):
            SecureConnection(self.reactor, ours, 4096)
        assert ours.fileno() == -1


class ChangeOfKeys(ssl.SSLSocket):
    """An SSL socket in the middle of one, during which a direction waits for the other."""

    waits: Exception | None = None

    def send(self, data: bytes, flags: int = 0) -> int:  # type: ignore[override]
        if self.waits is not None:
            raise self.waits
        return super().send(data, flags)

    def recv(self, most: int = 1024, flags: int = 0) -> bytes:
        if self.waits is not None:
            raise self.waits
        return super().recv(most, flags)


class ChangeOfKeysTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = TurningReactor()
        ours, self.peer = secure_pair()
        ours.__class__ = ChangeOfKeys
        assert isinstance(ours, ChangeOfKeys)
        self.ours = ours
        self.addCleanup(ours.close)
        self.addCleanup(self.peer.close)
        self.connection = SecureConnection(self.reactor, ours, 4096)
        self.hearer = Hearer()
        self.connection.attach(self.hearer)

    def test_sending_waits_for_what_comes(self) -> None:
        self.ours.waits = ssl.SSLWantReadError()
        self.connection.write(b"abc")
        self.connection.pauseProducing()
        assert self.connection in self.reactor.readers
        self.ours.waits = None
        self.peer.send(b"the peer's part")
        self.reactor.turn(5)
        assert take(self.peer, 5) == b"abc"
        assert self.connection not in self.reactor.readers | self.reactor.writers

    def test_taking_waits_for_what_goes(self) -> None:
        self.ours.waits = ssl.SSLWantWriteError()
        self.peer.send(b"abc")
        self.reactor.turn_until(lambda: self.connection in self.reactor.writers)
        assert self.connection not in self.reactor.readers
        self.ours.waits = None
        self.reactor.turn_until(lambda: self.hearer.heard == b"abc")
        assert self.connection not in self.reactor.writers
        assert self.connection in self.reactor.readers


class TakeSocketTests(SynchronousTestCase):
    """Out of a transport of Twisted's."""

    def setUp(self) -> None:
        self.reactor = TurningReactor()
        self.ours, self.peer = pair()
        self.addCleanup(self.peer.close)
        self.addCleanup(self.ours.close)
        self.hearer = Hearer()

    def transport(self, protocol: Protocol) -> Server:
        made = Server(self.ours, protocol, self.ours.getpeername(), None, 0, self.reactor)
        protocol.makeConnection(made)
        return made

    def check(self, taken: socket.socket) -> None:
        assert taken is self.ours
        assert not self.reactor.readers | self.reactor.writers
        while self.reactor.turn():
            pass
        assert (self.hearer.heard, self.hearer.ends, self.hearer.states) == (b"", [], [])
        taken.send(b"still there")
        assert self.peer.recv(100) == b"still there"
        taken.close()
        assert self.peer.recv(100) == b""

    def test_it_goes_on_elsewhere(self) -> None:
        transport = self.transport(self.hearer)
        transport.registerProducer(self.hearer, True)
        self.check(take_socket(transport))
        assert transport.fileno() == -1

    def test_behind_what_was_written(self) -> None:
        transport = self.transport(self.hearer)
        transport.write(b"Begin TLS.\n")
        taken = take_socket(transport)
        assert self.peer.recv(100) == b"Begin TLS.\n"
        self.check(taken)

    def test_out_of_a_wrapped_one(self) -> None:
        """Whoever wraps, as a proxy's protocol, forgets it."""
        factory = WrappingFactory(Factory())
        wrapper = ProtocolWrapper(factory, self.hearer)
        self.transport(wrapper)
        assert list(factory.protocols) == [wrapper]
        self.check(take_socket(wrapper))
        assert not factory.protocols

    def test_not_with_bytes_unsent(self) -> None:
        transport = self.transport(self.hearer)
        transport.write(MUCH * 10)
        with pytest.raises(ConnectionLost):
            take_socket(transport)
        self.reactor.turn()
        assert [type(each) for each in self.hearer.ends] == [ConnectionAborted]
        with pytest.raises(ConnectionResetError):
            read_all(self.peer)

    def test_not_of_one_that_is_closing(self) -> None:
        transport = self.transport(self.hearer)
        transport.loseConnection()
        with pytest.raises(ConnectionLost):
            take_socket(transport)
        self.reactor.turn()
        assert len(self.hearer.ends) == 1

    def test_not_of_what_is_no_tcp_connection(self) -> None:
        transport = HandTransport()
        with pytest.raises(ConnectionLost):
            take_socket(transport)
        assert transport.disconnecting or transport.disconnected
