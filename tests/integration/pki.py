"""Certificates for tests: of an authority that is trusted, and of one that is not."""

from __future__ import annotations

import hashlib
import ssl
from functools import cache
from pathlib import Path

import trustme


@cache
def authority() -> trustme.CA:
    """The one that servers and clients of the tests trust."""
    return trustme.CA()


@cache
def stranger() -> trustme.CA:
    """One that nobody trusts."""
    return trustme.CA()


def server_files(folder: Path) -> tuple[str, ...]:
    """Make a certificate for this machine; the options that name it.  Made again it is another."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    made = authority().issue_cert("127.0.0.1", "::1", "localhost")
    made.private_key_pem.write_to_path(key)
    for position, each in enumerate(made.cert_chain_pems):
        each.write_to_path(certificate, append=position > 0)
    return "--tls-cert", str(certificate), "--tls-key", str(key)


def authority_file(folder: Path) -> str:
    """Write down whom to trust; its path."""
    authority().cert_pem.write_to_path(folder / "ca.pem")
    return str(folder / "ca.pem")


def trusting(shown: trustme.LeafCert | None = None) -> ssl.SSLContext:
    """A client that trusts the authority, and may show a certificate of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    if shown is not None:
        shown.configure_cert(context)
    return context


def fingerprint(sock: ssl.SSLSocket) -> str:
    """Of the certificate that a server has shown, as its log tells it."""
    shown = sock.getpeercert(binary_form=True)
    assert shown is not None
    return f"sha256:{hashlib.sha256(shown).hexdigest()}"
