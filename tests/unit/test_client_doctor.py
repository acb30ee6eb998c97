"""What `doctor` says of each thing that works or doesn't."""

from __future__ import annotations

import ssl
from typing import Any

from tests.unit.shell_case import MemorySession, ShellCase
from twisted_ftplite.client.services import Secured
from twisted_ftplite.errors import (
    CertificateRefused,
    ConnectionLost,
    ConnectionRefused,
    ConnectionTimedOut,
    FTPLiteError,
    PermissionDenied,
    PortNotAllowed,
)
from twisted_ftplite.flow.handshake import TLSSide

PRINT = "sha256:" + "0f" * 32


class DoctorTests(ShellCase):
    def setUp(self) -> None:
        super().setUp()
        self.tree.features |= {"passive": (), "token": ()}
        self.session: dict[str, Any] = {}

    async def connect(self) -> MemorySession:
        session: MemorySession = await super().connect()
        for name, value in self.session.items():
            setattr(session, name, value)
        return session

    def doctor(self, status: int = 0) -> dict[str, str]:
        """What stands behind each word."""
        before = len(self.said())
        assert self.one("doctor") == status
        lines = self.said()[before:].splitlines()
        assert [line[:9].rstrip() for line in lines] == [
            "reached", "TLS", "login", "active", "passive", "auto"
        ]  # fmt: skip
        return {line[:9].rstrip(): line[9:] for line in lines}

    def fail(self, **ways: FTPLiteError) -> None:
        self.tree.ways = ways  # type: ignore[assignment]

    def test_all_works(self) -> None:
        told = self.doctor()
        assert told == {
            "reached": "192.0.2.2 from 192.0.2.1",
            "TLS": "none: what is sent can be read and changed on the way",
            "login": "none: the server knows no logins",
            "active": "works: the server connects for data",
            "passive": "works: this client connects for data",
            "auto": "takes active",
        }

    def test_tls_and_a_login(self) -> None:
        side = TLSSide(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), False)
        secured = Secured(side, True, "TLSv1.3", "TLS_AES_128_GCM_SHA256", PRINT, "its fingerprint was given")
        self.session = {"secured": secured, "user": "alice"}
        told = self.doctor()
        assert told["TLS"] == (
            f"TLSv1.3, TLS_AES_128_GCM_SHA256, certificate {PRINT}: its fingerprint was given"
        )
        assert told["login"] == "as alice"

    def test_logins_are_there(self) -> None:
        self.tree.features["login"] = ()
        assert "--user" in self.doctor()["login"]

    def test_the_firewall_rule_that_is_missing(self) -> None:
        for error in (ConnectionTimedOut(), ConnectionRefused(), ConnectionLost()):
            self.fail(active=error)
            told = self.doctor()
            assert "let 192.0.2.2 in to all TCP ports from 1024 of 192.0.2.1" in told["active"]
            assert "--data-ports" in told["active"]
            assert told["auto"] == "takes passive after 3 s; --data passive does so at once"
        self.session = {"data_ports": (5000, 5010)}
        assert "in to TCP ports 5000-5010 of 192.0.2.1" in self.doctor()["active"]

    def test_ports_that_the_server_refuses(self) -> None:
        self.fail(active=PortNotAllowed())
        assert self.doctor()["active"].endswith("Name other ports with --data-ports")

    def test_passive_fails(self) -> None:
        self.fail(passive=ConnectionRefused("The server did not take the data channel."))
        told = self.doctor()
        assert "to the same port of 192.0.2.2" in told["passive"]
        assert told["auto"] == "takes active"

    def test_passive_is_not_offered(self) -> None:
        del self.tree.features["passive"]
        told = self.doctor()
        assert told["passive"] == "does not work: Not supported. The server does not offer it"
        assert told["auto"] == "takes active"

    def test_nothing_works(self) -> None:
        self.fail(active=ConnectionTimedOut(), passive=CertificateRefused("It has expired."))
        told = self.doctor(3)
        assert told["auto"] == "has nothing to choose: no way works"
        assert "It has expired" in told["passive"]
        assert self.complained() == []

    def test_what_cannot_be_tried(self) -> None:
        self.fail(active=PermissionDenied(), passive=PermissionDenied())
        assert self.doctor(1)["active"] == "cannot be tried: Permission denied"
