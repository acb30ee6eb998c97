"""Whether a server that speaks TLS is the one that was meant: by authority, by fingerprint, or as told.

A `Trust` is for one server.  Every connection to it is checked by what `Trust.side` gives, the control
channel and the data channels alike; where that refused, `Trust.reconsider` says whether to connect again.
Nothing here waits for the network; what reads files is for a worker thread.
"""

from __future__ import annotations

import hmac
import ssl
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final, NamedTuple

from ..errors import CertificateRefused, LocalFileTrouble
from ..flow.handshake import TLSSide
from .fingerprints import fingerprint
from .known import BY_AUTHORITY, Known, KnownServers

_UNKNOWN_AUTHORITY: Final = frozenset({18, 19, 20, 21})
"""X509_V_ERR numbers: self-signed, a chain to an unknown root, no issuer to be found, a leaf alone."""


class TLS(NamedTuple):
    """What the user wants of TLS.  By default it is used where the server offers it."""

    authorities: str | None = None
    """A PEM file of the authorities to trust, in place of the system's."""

    pins: tuple[str, ...] = ()
    """Fingerprints (``sha256:<hex>``) of which the server's certificate must have one."""

    certificate: str | None = None
    """A PEM file: what this client shows of itself."""

    key: str | None = None
    """Its key, where that is not in the same file."""

    at_once: bool = False
    """From the first byte (``ftplites://``), not by ``starttls``."""

    known_servers: str | None = None
    """The file of servers that were met with TLS; None remembers nothing."""

    ask: Callable[[str], Awaitable[bool]] | None = None
    """Puts a question to a person, who is there to say yes or no; None where nobody is."""

    warn: Callable[[str], None] | None = None
    """Told for people, in a line, where the server cannot be remembered."""

    @property
    def demanded(self) -> bool:
        """Whether something was said that makes no sense without TLS."""
        return bool(self.at_once or self.authorities or self.pins or self.certificate)


class Basis(Enum):
    """Why a certificate is trusted, for people."""

    AUTHORITY = "an authority vouches for it"
    PIN = "its fingerprint was given"
    REMEMBERED = "its fingerprint is remembered"
    AGREED = "you said so"
    NOTHING = "it is only looked at"


class Trust:
    """What is believed of one server."""

    def __init__(self, tls: TLS, host: str, port: int) -> None:
        self._tls = tls
        self._host = host
        self._port = port
        self._servers = None if tls.known_servers is None else KnownServers(tls.known_servers)
        self._known: Known | None = None
        self._fingerprints = tls.pins
        self._side: TLSSide | None = None
        self._refused: CertificateRefused | None = None
        self.basis = Basis.PIN if tls.pins else Basis.AUTHORITY

    def look_up(self) -> None:
        """Read what is remembered of the server.  Raises `LocalFileTrouble`."""
        if self._servers is None:
            return
        self._known = self._servers.find(self._host, self._port)
        told = self._tls.pins or self._tls.authorities
        if self._known is not None and self._known.trust != BY_AUTHORITY and not told:
            self.basis, self._fingerprints = Basis.REMEMBERED, (self._known.trust,)

    @property
    def demand(self) -> str:
        """What to say where there is no TLS; empty where there need not be any."""
        if self._known is not None:
            return (
                f"What answers there offers no TLS, and {self._where} says that the server has it: somebody"
                " may be in between. If the server's people say that it is right, remove that line."
            )
        return "TLS was asked for, and the server offers none." if self._tls.demanded else ""

    @property
    def shows(self) -> bool:
        """Whether this side has a certificate of its own."""
        return self._tls.certificate is not None

    def side(self) -> TLSSide:
        """How to check what answers, made once.  Raises `LocalFileTrouble`."""
        if self._side is None:
            both = self.basis is Basis.PIN and self._tls.authorities is not None
            by_name = both or self.basis is Basis.AUTHORITY
            context = _checking(self._tls.authorities) if by_name else _bare()
            if self._tls.certificate is not None:
                _show(context, self._tls.certificate, self._tls.key)
            self._side = TLSSide(context, False, self._host.partition("%")[0], self._check)
        return self._side

    def accept(self, certificate: bytes) -> None:
        """The server has shown this (DER) and passed: remember it.  Raises `LocalFileTrouble`."""
        if self._servers is not None and self._known is None:
            by_authority = self.basis is Basis.AUTHORITY
            trust = BY_AUTHORITY if by_authority else fingerprint(certificate)
            self._servers.remember(self._host, self._port, trust)
            self._known = self._servers.find(self._host, self._port)

    def warn(self, text: str) -> None:
        """See `TLS.warn`."""
        if self._tls.warn is not None:
            self._tls.warn(text)

    async def reconsider(self, refused: CertificateRefused) -> None:
        """Returns where it is worth to connect again; raises `CertificateRefused` where that is the end."""
        certificate = refused.certificate
        if self.basis is Basis.AUTHORITY and refused.code is not None:
            self._refused = refused
            if certificate is None:
                self._believe(Basis.NOTHING)
                return
        elif self.basis is not Basis.NOTHING or certificate is None:
            raise refused
        refused, shown = self._refused or refused, fingerprint(certificate)
        known = self._known is not None or self._tls.authorities is not None
        if self._tls.ask is None or known or refused.code not in _UNKNOWN_AUTHORITY:
            raise CertificateRefused(self._explain(refused.detail, shown), refused.code, certificate)
        question = (
            f"No known authority vouches for {self._host} port {self._port}. The fingerprint of its"
            f" certificate is\n{shown}\nIs that so, and is it to be trusted from now on? [y/N]"
        )
        if not await self._tls.ask(question):
            raise CertificateRefused("You did not agree to it.", refused.code, certificate)
        self._believe(Basis.AGREED, shown)

    def _believe(self, basis: Basis, *fingerprints: str) -> None:
        self.basis, self._fingerprints, self._side = basis, fingerprints, None

    @property
    def _where(self) -> str:
        """The line about the server."""
        assert self._servers is not None
        assert self._known is not None
        return f"{self._servers.path}, line {self._known.line},"

    def _explain(self, why: str, shown: str) -> str:
        if self._known is not None:
            return (
                f"{why} {self._where} says that an authority vouched for it before: if that was one of yours,"
                " name it with --ca; else somebody may be in between. If the server's people say that it is"
                f" right, remove that line, and trust the certificate with --pin {shown}"
            )
        return f"{why} If it is known to be right, trust it with --pin {shown}"

    def _check(self, sock: ssl.SSLSocket) -> None:
        """What OpenSSL does not check."""
        certificate = sock.getpeercert(binary_form=True) or b""
        if self.basis is Basis.AUTHORITY:
            return
        shown = fingerprint(certificate)
        same = [hmac.compare_digest(shown.encode(), each.encode()) for each in self._fingerprints]
        if any(same):
            return
        detail = f"It has the fingerprint {shown}."
        if self.basis is Basis.REMEMBERED:
            detail = (
                f"THE CERTIFICATE HAS CHANGED. {self._where} remembers {self._fingerprints[0]}, and this is"
                f" {shown}: somebody may be in between. If the server's people say that it is right,"
                " remove that line and connect again"
            )
        elif self.basis is Basis.PIN:
            detail = f"Its fingerprint is {shown}, which is none that was given with --pin"
        raise CertificateRefused(detail, None, certificate)


def _checking(authorities: str | None) -> ssl.SSLContext:
    """A context that checks chain and name by the authorities of a file, or the system's."""
    try:
        context = ssl.create_default_context(cafile=authorities)
    except (OSError, ssl.SSLError) as error:
        raise _trouble(authorities or "the system's authorities", error) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _bare() -> ssl.SSLContext:
    """A context that checks nothing: the fingerprint is compared afterwards."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _show(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    def no_password() -> str:
        raise LocalFileTrouble(f"{key or certificate}: the key is encrypted; give one that is not")

    try:
        context.load_cert_chain(certificate, key, no_password)
    except (OSError, ssl.SSLError) as error:
        alone = "no certificate with its key in it; --client-key names a key of its own"
        missing = "no certificate, or no key in it" if key else alone
        raise _trouble(f"{certificate} and {key}" if key else certificate, error, missing) from error


def _trouble(name: str, error: OSError, missing: str = "no certificate in it") -> LocalFileTrouble:
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or missing).replace("_", " ").lower()
        return LocalFileTrouble(f"{name}: no PEM file that will do ({reason})")
    return LocalFileTrouble(f"{name}: {error.strerror}")
