"""Which certificates a client believes, and what is said of those it doesn't."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite.client.fingerprints import fingerprint, read_fingerprint
from twisted_ftplite.client.trust import TLS, Basis, Trust
from twisted_ftplite.errors import BadSyntax, CertificateRefused, LocalFileTrouble

SELF_SIGNED = 18
NO_ISSUER = 20
WRONG_NAME = 62


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def shake_hands(trust: Trust, context: ssl.SSLContext) -> None:
    """A handshake in memory, and the check behind it; raises `CertificateRefused` as flow does."""
    side = trust.side()
    ends = [ssl.MemoryBIO() for _ in range(2)]
    client = side.context.wrap_bio(ends[0], ends[1], server_hostname=side.hostname)
    server = context.wrap_bio(ends[1], ends[0], server_side=True)
    done: set[ssl.SSLObject] = set()
    while len(done) < 2:
        for each in (client, server):
            try:
                each.do_handshake()
                done.add(each)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLCertVerificationError as error:
                raise CertificateRefused("Why.", error.verify_code) from error
    assert side.check is not None
    sock: Any = client
    side.check(sock)


class TrustCase(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.known = self.folder / "known_servers"
        self.ca = trustme.CA()
        self.ca_file = self.write("ca.pem", self.ca.cert_pem.bytes())
        self.leaf = self.ca.issue_cert("h.example")
        self.questions: list[str] = []

    def write(self, name: str, content: bytes) -> str:
        path = self.folder / name
        path.write_bytes(content)
        return str(path)

    def der(self, leaf: trustme.LeafCert) -> bytes:
        return ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())

    def print_of(self, leaf: trustme.LeafCert) -> str:
        return fingerprint(self.der(leaf))

    def trust(self, tls: TLS | None = None, *, answer: bool | None = None, host: str = "h.example") -> Trust:
        async def ask(question: str) -> bool:
            self.questions.append(question)
            assert answer is not None
            return answer

        given = (tls or TLS())._replace(known_servers=str(self.known))
        made = Trust(given._replace(ask=None if answer is None else ask), host, 2121)
        made.look_up()
        return made

    def refused(self, trust: Trust, leaf: trustme.LeafCert | None = None) -> CertificateRefused:
        with pytest.raises(CertificateRefused) as caught:
            shake_hands(trust, server_context(leaf or self.leaf))
        return caught.value

    def reconsider(self, trust: Trust, refused: CertificateRefused) -> CertificateRefused | None:
        """What it says in the end; None where it is to be tried again."""
        result = Deferred.fromCoroutine(trust.reconsider(refused))
        result.addErrback(lambda failure: failure.value)
        return self.successResultOf(result)

    def meet(self, trust: Trust, leaf: trustme.LeafCert | None = None) -> CertificateRefused | None:
        """Connect as often as it takes."""
        for _ in range(4):
            try:
                shake_hands(trust, server_context(leaf or self.leaf))
            except CertificateRefused as refused:
                error = self.reconsider(trust, refused)
                if error is not None:
                    return error
                continue
            trust.accept(self.der(leaf or self.leaf))
            return None
        raise AssertionError("It never ends.")


class AuthorityTests(TrustCase):
    def test_vouched_for(self) -> None:
        trust = self.trust(TLS(self.ca_file))
        assert trust.demand
        assert self.meet(trust) is None
        assert self.known.read_text() == "h.example 2121 ca\n"

    def test_nothing_is_demanded_of_a_stranger(self) -> None:
        assert self.trust().demand == ""

    def test_another_name(self) -> None:
        error = self.meet(self.trust(TLS(self.ca_file), host="i.example"))
        assert error is not None
        assert error.code == WRONG_NAME
        assert f"--pin {self.print_of(self.leaf)}" in str(error)

    def test_another_authority(self) -> None:
        error = self.meet(self.trust(TLS(self.ca_file), answer=True), trustme.CA().issue_cert("h.example"))
        assert error is not None
        assert self.questions == []
        assert not self.known.exists()

    def test_old_versions_are_not_spoken(self) -> None:
        for tls in (TLS(self.ca_file), TLS(pins=(self.print_of(self.leaf),))):
            context = self.trust(tls).side().context
            assert context.minimum_version == ssl.TLSVersion.TLSv1_2

    def test_one_side_for_all_connections(self) -> None:
        trust = self.trust(TLS(self.ca_file))
        assert trust.side() is trust.side()
        assert trust.side().hostname == "h.example"


class PinTests(TrustCase):
    def test_the_right_one(self) -> None:
        pins = ("sha256:" + "00" * 32, self.print_of(self.leaf))
        assert self.meet(self.trust(TLS(pins=pins))) is None
        assert self.known.read_text() == f"h.example 2121 {pins[1]}\n"

    def test_another(self) -> None:
        error = self.meet(self.trust(TLS(pins=("sha256:" + "00" * 32,)), answer=True))
        assert error is not None
        assert self.print_of(self.leaf) in str(error)
        assert error.certificate == self.der(self.leaf)
        assert self.questions == []

    def test_beside_an_authority_both_must_hold(self) -> None:
        pins = (self.print_of(self.leaf),)
        assert self.meet(self.trust(TLS(self.ca_file, pins))) is None
        other = trustme.CA().issue_cert("h.example")
        assert self.meet(self.trust(TLS(self.ca_file, (self.print_of(other),))), other) is not None

    def test_spellings(self) -> None:
        digits = "0f" * 32
        colons = ":".join(["0F"] * 32)
        for text in (f"sha256:{digits}", f"SHA256:{digits.upper()}", f"sha256:{colons}"):
            assert read_fingerprint(text) == f"sha256:{digits}"
        for text in (digits, f"sha1:{digits}", f"sha256:{digits}0", f"sha256:{digits[1:]}", "sha256:"):
            with pytest.raises(BadSyntax):
                read_fingerprint(text)


class FirstContactTests(TrustCase):
    def test_nobody_to_ask(self) -> None:
        error = self.meet(self.trust())
        assert error is not None
        assert error.code in (SELF_SIGNED, 19, NO_ISSUER)
        assert str(error).endswith(f"--pin {self.print_of(self.leaf)}")
        assert not self.known.exists()

    def test_agreed_and_remembered(self) -> None:
        trust = self.trust(answer=True)
        assert self.meet(trust) is None
        assert trust.basis is Basis.AGREED
        assert self.print_of(self.leaf) in self.questions[0]
        assert self.known.read_text() == f"h.example 2121 {self.print_of(self.leaf)}\n"
        again = self.trust()
        assert again.basis is Basis.REMEMBERED
        assert "line 1" in again.demand
        assert self.meet(again) is None

    def test_not_agreed(self) -> None:
        assert self.meet(self.trust(answer=False)) is not None
        assert not self.known.exists()

    def test_another_certificate_behind_the_question(self) -> None:
        trust = self.trust(answer=True)
        assert self.reconsider(trust, self.refused(trust)) is None
        looked = self.refused(trust)
        assert self.reconsider(trust, looked) is None
        assert self.reconsider(trust, self.refused(trust, self.ca.issue_cert("h.example"))) is not None

    def test_a_wrong_name_is_nothing_to_agree_to(self) -> None:
        trust = self.trust(answer=True)
        assert self.reconsider(trust, CertificateRefused("Why.", WRONG_NAME, self.der(self.leaf))) is not None
        assert self.questions == []

    def test_what_is_no_matter_of_trust(self) -> None:
        trust = self.trust(answer=True)
        refused = CertificateRefused("Something else.")
        assert self.reconsider(trust, refused) is refused


class ChangeTests(TrustCase):
    def check_changed(self, line: str, *said: Callable[[], str] | str) -> None:
        self.known.write_text(line)
        error = self.meet(self.trust(answer=True))
        assert error is not None
        assert self.questions == []
        for each in ("known_servers, line 1", "remove that line", self.print_of(self.leaf)):
            assert each in str(error)
        assert self.known.read_text() == line

    def test_another_fingerprint(self) -> None:
        self.check_changed(f"h.example 2121 sha256:{'00' * 32}\n")

    def test_an_authority_that_vouches_no_more(self) -> None:
        self.check_changed("h.example 2121 ca\n")

    def test_an_argument_goes_before_memory(self) -> None:
        self.known.write_text(f"h.example 2121 sha256:{'00' * 32}\n")
        assert self.meet(self.trust(TLS(pins=(self.print_of(self.leaf),)))) is None
        assert self.meet(self.trust(TLS(self.ca_file))) is None
        assert "00" * 32 in self.known.read_text()


class FileTests(TrustCase):
    def test_files_that_will_not_do(self) -> None:
        missing, nonsense = str(self.folder / "missing"), self.write("nonsense", b"x")
        certificate = self.write("cert.pem", self.leaf.cert_chain_pems[0].bytes())
        for tls in (
            TLS(missing),
            TLS(nonsense),
            TLS(certificate=missing),
            TLS(certificate=nonsense),
            TLS(certificate=certificate),
            TLS(certificate=certificate, key=missing),
            TLS(certificate=certificate, key=nonsense),
        ):
            with pytest.raises(LocalFileTrouble, match=r"missing|nonsense|cert\.pem"):
                self.trust(tls).side()

    def test_a_certificate_to_show(self) -> None:
        certificate = self.write("cert.pem", self.leaf.cert_chain_pems[0].bytes())
        key = self.write("key.pem", self.leaf.private_key_pem.bytes())
        both = self.write("both.pem", self.leaf.private_key_and_cert_chain_pem.bytes())
        for tls in (TLS(self.ca_file, (), certificate, key), TLS(self.ca_file, certificate=both)):
            trust = self.trust(tls)
            assert trust.demand
            context = server_context(self.leaf)
            context.verify_mode = ssl.CERT_REQUIRED
            self.ca.configure_trust(context)
            shake_hands(trust, context)
