"""What `doctor` says of each thing that works or doesn't."""

from __future__ import annotations

import ssl

from tests.unit.shell_case import ShellCase
from twisted_ftplite.client.services import Secured
from twisted_ftplite.errors import (
    CertificateRefused,
    ConnectionLost,
    ConnectionRefused,
    ConnectionTimedOut,
    FTPLiteError,
    LoginRequired,
    PermissionDenied,
    PortNotAllowed,
    StorageFailed,
)
from twisted_ftplite.flow.handshake import TLSSide

PRINT = "sha256:" + "0f" * 32


class DoctorTests(ShellCase):
    def setUp(self) -> None:
        super().setUp()
        self.tree.features |= {"passive": (), "token": ()}

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
        self.session_state = {"secured": secured, "user": "alice"}
        told = self.doctor()
        assert told["TLS"] == (
            f"TLSv1.3, TLS_AES_128_GCM_SHA256, certificate {PRINT}: its fingerprint was given"
        )
        assert told["login"] == "as alice"

    def test_logins_are_there(self) -> None:
        self.tree.features["login"] = ()
        self.session_state = {"may_log_in": True}
        assert "--user" in self.doctor()["login"]

    def test_the_firewall_rule_that_is_missing(self) -> None:
        for error in (ConnectionTimedOut(), ConnectionRefused(), ConnectionLost()):
            self.fail(active=error)
            told = self.doctor()
            assert "let 192.0.2.2 in to all TCP ports from 1024 of 192.0.2.1" in told["active"]
            assert "--data-ports" in told["active"]
            assert (
                told["auto"]
                == "takes passive when active has failed, at most 3 s later; --data passive takes it at once"
            )
        self.session_state = {"data_ports": (5000, 5010)}
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
        self.fail(active=StorageFailed(), passive=StorageFailed())
        told = self.doctor(3)
        assert told["active"] == told["passive"] == "cannot be tried: Storage failed"

    def test_whoever_may_not_list_cannot_try(self) -> None:
        self.fail(active=PermissionDenied(), passive=PermissionDenied())
        told = self.doctor()
        assert told["active"] == "cannot be tried without the permission to list"
        assert told["passive"] == "cannot be tried without the permission to list"
        assert told["auto"] == "tries active first"
        del self.tree.features["passive"]
        told = self.doctor()
        assert told["passive"] == "does not work: Not supported. The server does not offer it"
        assert told["auto"] == "takes active: there is no other"

    def test_who_has_to_log_in_cannot_try(self) -> None:
        self.tree.features["login"] = ()
        self.session_state = {"may_log_in": True}
        self.fail(active=LoginRequired(), passive=LoginRequired())
        told = self.doctor(1)
        assert told["active"] == "cannot be tried without a login; --user NAME logs in"
        assert told["auto"] == "tries active first"

    def test_who_shows_a_certificate(self) -> None:
        self.tree.features["login"] = ()
        self.session_state = {"may_log_in": False}
        assert self.doctor()["login"] == "by the certificate of this side, if it names a user of the server"
