"""The server's certificate, and the names of its clients'."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import stat
import tempfile
import threading
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.flow_cases import pair
from tests.unit.tls_cases import NAME, authority, client_context, step, stranger, wrap
from twisted_ftplite.server.certificates import (
    Certificates,
    CertificateTrouble,
    certificate_names,
    make_self_signed,
)


class CertificateCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def put(self, name: str, content: bytes) -> str:
        path = self.folder / name
        path.write_bytes(content)
        return str(path)

    def pair(self, issued: trustme.LeafCert | None = None) -> tuple[str, str]:
        """The files of a certificate and its key."""
        issued = issued or authority().issue_cert(NAME)
        chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
        return self.put("cert.pem", chain), self.put("key.pem", issued.private_key_pem.bytes())

    def meet(
        self, server: ssl.SSLContext, client: ssl.SSLContext, name: str = NAME
    ) -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
        """Both ends of a connection after the handshake: the server's and the client's."""
        ours, peer = pair()
        self.addCleanup(ours.close)
        self.addCleanup(peer.close)
        one = wrap(ours, server, server_side=True)
        other = wrap(peer, client, server_side=False, name=name)
        self.addCleanup(one.close)
        self.addCleanup(other.close)
        done = [False, False]
        while not all(done):
            done = [done[0] or step(one), done[1] or step(other)]
        return one, other


class CertificatesTests(CertificateCase):
    def test_a_handshake(self) -> None:
        certificates = Certificates(*self.pair())
        side = certificates.side()
        assert side.server_side
        _, client = self.meet(side.context, client_context())
        shown = client.getpeercert(binary_form=True)
        assert shown is not None
        fingerprint = x509.load_der_x509_certificate(shown).fingerprint
        assert certificates.fingerprint == f"sha256:{fingerprint(hashes.SHA256()).hex()}"

    def test_nothing_old_and_nothing_that_resumes(self) -> None:
        context = Certificates(*self.pair()).context
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        old = client_context()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        server, client = self.meet(context, old)
        assert client.version() == "TLSv1.2"
        assert not client.session.has_ticket
        server, client = self.meet(context, client_context())
        assert client.version() == "TLSv1.3"
        server.send(b"x")
        assert client.pending() == 0
        with pytest.raises(ssl.SSLWantReadError):
            server.recv(1)
        assert client.session is None or not client.session.has_ticket

    def test_reading_again(self) -> None:
        certificates = Certificates(*self.pair())
        before = certificates.context, certificates.fingerprint
        self.pair()
        certificates.reload()
        assert certificates.context is not before[0]
        assert certificates.side().context is certificates.context
        assert certificates.fingerprint != before[1]

    def test_a_mistake_leaves_the_old_state(self) -> None:
        certificates = Certificates(*self.pair())
        before = certificates.context, certificates.fingerprint
        self.put("key.pem", b"oops")
        with pytest.raises(CertificateTrouble):
            certificates.reload()
        assert (certificates.context, certificates.fingerprint) == before

    def trouble(self, certificate: str, key: str, client_ca: str | None = None) -> str:
        with pytest.raises(CertificateTrouble) as caught:
            Certificates(certificate, key, client_ca)
        text = str(caught.value)
        assert "\n" not in text
        return text

    def test_troubles(self) -> None:
        certificate, key = self.pair()
        missing, junk = str(self.folder / "missing.pem"), self.put("junk.pem", b"\x00\xff not PEM")
        assert self.trouble(missing, key) == f"{missing} cannot be read: No such file or directory"
        assert self.trouble(certificate, missing) == f"{missing} cannot be read: No such file or directory"
        assert self.trouble(str(self.folder), key) == f"{self.folder} cannot be read: Is a directory"
        assert self.trouble(junk, key).startswith(f"{junk} holds no certificate in PEM")
        assert self.trouble(key, key).startswith(f"{key} holds no certificate in PEM")
        assert self.trouble(certificate, junk).startswith(f"{junk} holds no private key in PEM")
        broken = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
        assert "holds no certificate in PEM" in self.trouble(self.put("broken.pem", broken), key)
        assert self.trouble(certificate, key, missing).startswith(f"{missing} cannot be read")
        assert self.trouble(certificate, key, junk).startswith(f"{junk} holds no certificates of authorities")

    def test_a_key_of_another(self) -> None:
        certificate, _ = self.pair()
        other = self.put("other.pem", authority().issue_cert(NAME).private_key_pem.bytes())
        assert self.trouble(certificate, other) == (
            f"{other} is not the key of {certificate}; name the two that belong together"
        )

    def test_a_key_with_a_passphrase(self) -> None:
        """Nobody is asked for it."""
        certificate, key = self.pair()
        loaded = serialization.load_pem_private_key(Path(key).read_bytes(), None)
        locked = loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
        path = self.put("locked.pem", locked)
        assert self.trouble(certificate, path).startswith(f"{path} is protected by a passphrase")


class ClientNameTests(CertificateCase):
    def names(self, issued: trustme.LeafCert | None) -> tuple[str, ...]:
        certificates = Certificates(*self.pair(), self.put("ca.pem", authority().cert_pem.bytes()))
        client = client_context()
        if issued is not None:
            issued.configure_cert(client)
        server, _ = self.meet(certificates.context, client)
        return certificate_names(server)

    def test_alternative_names_then_the_common_one(self) -> None:
        issued = authority().issue_cert("host.example", "alice@example.org", common_name="Alice")
        assert self.names(issued) == ("alice@example.org", "host.example", "Alice")

    def test_what_is_no_name(self) -> None:
        issued = authority().issue_cert("192.0.2.1", common_name="Eve\nalice")
        assert self.names(issued) == ()

    def test_none_is_needed(self) -> None:
        assert self.names(None) == ()

    def test_one_that_nobody_asked_for(self) -> None:
        client = client_context()
        authority().issue_cert("alice@example.org").configure_cert(client)
        server, _ = self.meet(Certificates(*self.pair()).context, client)
        assert certificate_names(server) == ()

    def test_one_of_a_stranger(self) -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            self.names(stranger().issue_cert("alice@example.org"))


class SelfSignedTests(CertificateCase):
    def make(self) -> tuple[str, str]:
        return make_self_signed(
            str(self.folder / "state"),
            [NAME, "127.0.0.1", "::1", "fe80::1%eth0", "b\xfccher.example", "x" * 70],
        )

    def test_it_serves(self) -> None:
        certificate, key = self.make()
        certificates = Certificates(certificate, key)
        for name in (NAME, "127.0.0.1", "::1", "xn--bcher-kva.example"):
            trusting = ssl.create_default_context(cafile=certificate)
            trusting.verify_flags |= ssl.VERIFY_X509_STRICT
            self.meet(certificates.context, trusting, name)

    def test_what_is_in_it(self) -> None:
        certificate, _ = self.make()
        made = x509.load_pem_x509_certificate(Path(certificate).read_bytes())
        lifetime = made.not_valid_after_utc - made.not_valid_before_utc
        assert 3650 < lifetime.days < 3660
        names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == [NAME, "xn--bcher-kva.example"]
        assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == [
            "127.0.0.1",
            "::1",
            "fe80::1",
        ]

    def test_the_key_is_for_its_owner_alone(self) -> None:
        certificate, key = self.make()
        assert stat.S_IMODE(os.stat(key).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(certificate).st_mode) == 0o644
        assert stat.S_IMODE(os.stat(self.folder / "state").st_mode) == 0o700
        assert sorted(os.listdir(self.folder / "state")) == ["ftplite-cert.pem", "ftplite-key.pem"]

    def test_it_is_made_once(self) -> None:
        first = [Path(each).read_bytes() for each in self.make()]
        assert [Path(each).read_bytes() for each in self.make()] == first

    def test_two_servers_at_once(self) -> None:
        made: list[str] = []

        def start() -> None:
            made.append(Certificates(*self.make()).fingerprint)

        threads = [threading.Thread(target=start) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert len(made) == 4
        assert len(set(made)) == 1

    def test_a_certificate_without_its_key(self) -> None:
        certificate, key = self.make()
        os.unlink(key)
        with pytest.raises(CertificateTrouble, match=re.escape(f"{certificate} is there")):
            self.make()

    def test_a_key_without_its_certificate(self) -> None:
        """Somebody was interrupted; nobody has seen that certificate."""
        certificate, _ = self.make()
        os.unlink(certificate)
        Certificates(*self.make())

    def test_nothing_is_left_of_a_failure(self) -> None:
        state = self.folder / "state"
        (state / "ftplite-key.pem").mkdir(parents=True)
        with pytest.raises(OSError, match="directory"):
            self.make()
        assert os.listdir(state) == ["ftplite-key.pem"]
