"""The handshake of TLS on a connected socket, before a protocol or a data channel takes it over.

Our TLS is the standard library's: a socket that the reactor watches as it does any other.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import CertificateRefused, ConnectionLost, UnexpectedMessage
from .reactor import Reactor

_DRAINED = 64 * 1024
"""Bytes of an unfinished handshake that are thrown away, so that the alert is not lost in a reset."""

_EXPIRED, _NOT_YET_VALID, _SELF_SIGNED, _HOST_NAME, _ADDRESS = 10, 9, 18, 62, 64
_UNKNOWN_AUTHORITY = frozenset({2, 19, 20, 21})

_REFUSALS = {
    _EXPIRED: "It has expired.",
    _NOT_YET_VALID: "It is not valid yet.",
    _SELF_SIGNED: "It is self-signed.",
    _HOST_NAME: "It is for another host name.",
    _ADDRESS: "It is for another address.",
    **dict.fromkeys(_UNKNOWN_AUTHORITY, "It was not issued by an authority that is trusted here."),
}
"""OpenSSL's X509_V_ERR numbers, in words."""

_REASONS = (
    ("CERTIFICATE", "The other side does not accept our certificate."),
    ("UNKNOWN_CA", "The other side does not accept our certificate."),
    ("WRONG_VERSION_NUMBER", "The other side does not speak TLS."),
    ("HTTP_REQUEST", "The other side does not speak TLS."),
    ("RECORD_LAYER", "The other side does not speak TLS."),
    ("VERSION", "The two sides have no version of TLS in common."),
    ("PROTOCOL", "The two sides have no version of TLS in common."),
    ("CIPHER", "The two sides have no cipher in common."),
    ("HANDSHAKE_FAILURE", "The two sides have no cipher in common."),
)
"""Pieces of OpenSSL's reasons and alerts, in words; the first that fits."""


class TLSSide(NamedTuple):
    """Which part we play in a handshake, and with what."""

    context: ssl.SSLContext
    server_side: bool
    hostname: str | None = None
    """The name or address that the other side's certificate is to be for, and that it is told."""

    check: Callable[[ssl.SSLSocket], None] | None = None
    """Called behind the handshake, before a byte moves; raises `CertificateRefused`."""


def handshake(reactor: Reactor, sock: socket.socket, side: TLSSide) -> Deferred[ssl.SSLSocket]:
    """Turn a connected socket that never blocks to TLS; the caller owns the one that this fires with.

    ``sock`` itself is of no use any more.  On a failure, or when this is cancelled, the connection is
    closed.  Fails with `ConnectionLost` and `CertificateRefused`.  It has no deadline of its own.
    """
    return _Handshake(reactor, side).begin(sock)


def words(error: OSError) -> str:
    """What happened to a TLS connection, for people; empty where there is nothing to tell."""
    reason = getattr(error, "reason", None) or ""
    return next((text for piece, text in _REASONS if piece in reason), "")


def say_end(sock: ssl.SSLSocket) -> bool:
    """Send the close of TLS, then end TCP's stream.

    False, and nothing is done, while the kernel takes nothing.  Raises `UnexpectedMessage`, and it is done,
    where data of the peer's had come meanwhile.
    """
    surprised = False
    try:
        sock.unwrap()
    except ssl.SSLWantWriteError:
        return False
    except (ssl.SSLWantReadError, ssl.SSLZeroReturnError, ssl.SSLEOFError):
        pass  # ours is sent; the peer's need not come
    except ssl.SSLError as error:
        surprised = "APPLICATION_DATA" in (error.reason or "")
        if not surprised:
            raise
    socket.socket.shutdown(sock, socket.SHUT_WR)  # SSLSocket's own would read no TLS any more
    if surprised:
        raise UnexpectedMessage
    return True


@implementer(IReadWriteDescriptor)
class _Handshake:
    def __init__(self, reactor: Reactor, side: TLSSide) -> None:
        self._reactor = reactor
        self._side = side
        self._socket: ssl.SSLSocket | None = None
        self._done: Deferred[ssl.SSLSocket] = Deferred(lambda _: self._close())

    def begin(self, sock: socket.socket) -> Deferred[ssl.SSLSocket]:
        try:
            self._socket = self._side.context.wrap_socket(
                sock,
                server_side=self._side.server_side,
                do_handshake_on_connect=False,
                suppress_ragged_eofs=False,
                server_hostname=self._side.hostname,
            )
        except OSError:
            sock.close()
            self._done.errback(ConnectionLost())
        except ValueError as error:  # a host name that is none
            sock.close()
            self._done.errback(error)
        else:
            self._step()
        return self._done

    def doRead(self) -> None:
        self._step()

    def doWrite(self) -> None:
        self._step()

    def fileno(self) -> int:
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        return "TLS handshake"

    def connectionLost(self, reason: Failure) -> None:
        self._step()  # which tells what is the matter

    def _step(self) -> None:
        sock = self._socket
        if sock is None:
            return
        try:
            sock.do_handshake()
            if self._side.check is not None:
                self._side.check(sock)
        except ssl.SSLWantReadError:
            self._reactor.removeWriter(self)
            self._reactor.addReader(self)
        except ssl.SSLWantWriteError:
            self._reactor.removeReader(self)
            self._reactor.addWriter(self)
        except ssl.SSLCertVerificationError as error:
            detail = _REFUSALS.get(error.verify_code, "Its chain cannot be checked.")
            self._fail(CertificateRefused(detail, error.verify_code))
        except OSError as error:
            self._fail(ConnectionLost(words(error)))
        except Exception as error:  # noqa: BLE001 - the check's answer
            self._fail(error)
        else:
            self._let_go()
            self._done.callback(sock)

    def _fail(self, error: Exception) -> None:
        self._close()
        self._done.errback(error)

    def _close(self) -> None:
        sock = self._let_go()
        if sock is not None:
            _close_behind_alert(sock)

    def _let_go(self) -> ssl.SSLSocket | None:
        if self._socket is not None:
            self._reactor.removeReader(self)
            self._reactor.removeWriter(self)
        sock, self._socket = self._socket, None
        return sock


def _close_behind_alert(sock: ssl.SSLSocket) -> None:
    """Close; what lies unread would turn that into a reset, in which the alert that says why is lost."""
    with suppress(OSError):
        socket.socket.recv(sock, _DRAINED)
    sock.close()
