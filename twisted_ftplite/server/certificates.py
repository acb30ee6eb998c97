"""The server's certificate and key, read from files and read again; a self-signed pair; names of clients."""

from __future__ import annotations

import fcntl
import hashlib
import ipaddress
import os
import re
import ssl
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from ..flow.handshake import TLSSide

CERTIFICATE_FILE = "ftplite-cert.pem"
KEY_FILE = "ftplite-key.pem"

_LIFETIME = timedelta(days=3652)
"""Of a self-signed certificate, which is known by its fingerprint: a new one breaks everybody's."""

_CLOCKS_DIFFER = timedelta(days=1)
"""By so much a client's clock may be behind when the pair is fresh."""

_COMMON_NAME = 64
"""Characters that X.520 allows."""

_KINDS = ("email", "DNS", "URI")
"""Alternative names by which a user may be known, in the order in which they are tried."""

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class CertificateTrouble(Exception):
    """One line: which file, what is wrong with it, how to mend it."""


class Certificates:
    """What the server shows, and whose certificates it takes from clients."""

    def __init__(self, certificate: str, key: str, client_ca: str | None = None) -> None:
        """The certificate's file may hold its chain too.  Raises `CertificateTrouble`."""
        self._files = certificate, key, client_ca
        self.context, self.fingerprint = _load(*self._files)

    def reload(self) -> None:
        """Read the files again, for handshakes from now on.

        Raises `CertificateTrouble`, and all stays as it was.
        """
        self.context, self.fingerprint = _load(*self._files)

    def side(self) -> TLSSide:
        """The part that the server plays in a handshake."""
        return TLSSide(self.context, server_side=True)


def certificate_names(sock: ssl.SSLSocket) -> tuple[str, ...]:
    """What the peer's certificate calls it: mail, host and URI; then its common name.

    Empty where it showed none, or one that was not checked.
    """
    shown: dict[str, Any] = sock.getpeercert() or {}
    others = shown.get("subjectAltName", ())
    names = [name for kind in _KINDS for each, name in others if each == kind]
    names += [name for part in shown.get("subject", ()) for each, name in part if each == "commonName"]
    return tuple(dict.fromkeys(name for name in names if name and name.isprintable()))


def make_self_signed(folder: str, names: Sequence[str]) -> tuple[str, str]:
    """The files of a certificate for these names and addresses, one at least, and of its key.

    They are made once, then kept.  Raises ``OSError``, and `CertificateTrouble` where there is a
    certificate, but not its key.
    """
    certificate, key = os.path.join(folder, CERTIFICATE_FILE), os.path.join(folder, KEY_FILE)
    os.makedirs(folder, 0o700, exist_ok=True)
    with _locked(folder):
        if not os.path.exists(certificate):
            made, its_key = _self_signed(names)
            _put(key, its_key, 0o600)  # first: a certificate that is there has its key
            _put(certificate, made, 0o644)
        elif not os.path.exists(key):
            raise CertificateTrouble(
                f"{certificate} is there, but not its key {key}; bring the key back, or remove the "
                "certificate so that a new pair is made, which clients have to be told of"
            )
    return certificate, key


def _load(certificate: str, key: str, client_ca: str | None) -> tuple[ssl.SSLContext, str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.num_tickets = 0  # nothing resumes, and a ticket that nobody reads would reset a connection
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET
    der = _first_certificate(certificate)
    _read(key)
    try:
        context.load_cert_chain(certificate, key, lambda: _refuse_passphrase(key))
    except ssl.SSLError as error:
        raise CertificateTrouble(_explain(error, certificate, key)) from error
    except OSError as error:
        raise CertificateTrouble(f"{certificate} or {key} cannot be read: {error.strerror}") from error
    if client_ca is not None:
        _read(client_ca)
        try:
            context.load_verify_locations(client_ca)
        except ssl.SSLError as error:
            raise CertificateTrouble(
                f"{client_ca} holds no certificates of authorities in PEM{_reason(error)}"
            ) from error
        context.verify_mode = ssl.CERT_OPTIONAL
    return context, f"sha256:{hashlib.sha256(der).hexdigest()}"


def _first_certificate(path: str) -> bytes:
    """The server's own, in DER; the others of its file are its chain."""
    found = _PEM.search(_read(path))
    trouble = f"{path} holds no certificate in PEM; it begins with -----BEGIN CERTIFICATE-----"
    if found is None:
        raise CertificateTrouble(trouble)
    try:
        der = ssl.PEM_cert_to_DER_cert(found[0])
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=der)
    except (ValueError, ssl.SSLError) as error:
        raise CertificateTrouble(trouble) from error
    return der


def _read(path: str) -> str:
    try:
        with open(path, encoding="latin-1") as file:
            return file.read()
    except OSError as error:
        raise CertificateTrouble(f"{path} cannot be read: {error.strerror}") from error


def _refuse_passphrase(key: str) -> NoReturn:
    raise CertificateTrouble(
        f"{key} is protected by a passphrase, which nobody is there to type; write it without one: "
        "openssl pkey -in OLD -out NEW"
    )


def _explain(error: ssl.SSLError, certificate: str, key: str) -> str:
    reason = error.reason or ""
    if "MISMATCH" in reason:
        return f"{key} is not the key of {certificate}; name the two that belong together"
    if "TOO_SMALL" in reason or "TOO_WEAK" in reason:
        return (
            f"{certificate} is too weak for this machine's OpenSSL{_reason(error)}; have a stronger one made"
        )
    return f"{key} holds no private key in PEM, or {certificate} no whole chain{_reason(error)}"


def _reason(error: ssl.SSLError) -> str:
    return f" ({error.reason.replace('_', ' ').lower()})" if error.reason else ""


def _self_signed(names: Sequence[str]) -> tuple[bytes, bytes]:
    """A certificate and its key, in PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:_COMMON_NAME])])
    others: list[x509.GeneralName] = []
    for name in names:
        try:
            others.append(x509.IPAddress(ipaddress.ip_address(name.partition("%")[0])))
        except ValueError:
            with suppress(UnicodeError):  # a host name that cannot be one
                others.append(x509.DNSName(name.encode("idna").decode("ascii")))
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName(others), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, **usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@contextmanager
def _locked(folder: str) -> Iterator[None]:
    """Of two servers that start at once the second finds what the first has made."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put(path: str, content: bytes, mode: int) -> None:
    """Write a file that is whole or not there; nobody else reads it before it has its mode."""
    descriptor, name = tempfile.mkstemp(prefix=".ftplite-", dir=os.path.dirname(path))
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(name, path)
    except OSError:
        os.unlink(name)
        raise
