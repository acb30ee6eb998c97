"""Tokens, the first line of a connection, and what a session may ask for (docs/protocol.md, section 6)."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite.errors import (
    BadSyntax,
    ConnectionTimedOut,
    EncryptionRequired,
    LoginRequired,
    PermissionDenied,
)
from twisted_ftplite.protocol.first_line import is_http, is_joining, is_undecided, told_token
from twisted_ftplite.protocol.gate import Gate
from twisted_ftplite.protocol.lines import VERBS
from twisted_ftplite.protocol.tokens import encode_token, halves, parse_token, proves
from twisted_ftplite.server.passive import PassiveChannels, settle

TOKEN = "0123456789abcdef" * 2
LINE = b"Data channel token: " + TOKEN.encode()
BEFORE_LOGIN = {"features", "help", "noop", "starttls", "login", "password", "quit"}


class TokenTests(SynchronousTestCase):
    def test_a_token(self) -> None:
        assert parse_token(TOKEN.upper()) == TOKEN
        for text in ("", TOKEN[1:], TOKEN + "0", " " + TOKEN[1:], "g" + TOKEN[1:], "٣" * 32):
            with pytest.raises(BadSyntax):
                parse_token(text)

    def test_the_listener_says_the_first_half(self) -> None:
        assert halves(TOKEN) == ("0123456789abcdef", "0123456789abcdef")
        assert halves("a" * 16 + "b" * 16) == ("a" * 16, "b" * 16)
        assert encode_token("a" * 16) == b"Data channel token: aaaaaaaaaaaaaaaa\n"

    def test_what_proves_a_half(self) -> None:
        half = "a1" * 8
        for line in (b"Data channel token: " + half.encode(), b"data CHANNEL token: A1A1A1A1A1A1A1A1\r"):
            assert proves(line, half), line
        for line in (
            b"",
            b"\xff",
            b"noop",
            half.encode(),
            b"Data channel token:" + half.encode(),
            b"Data channel token: " + half.encode() + b"0",
            b"Data channel token: a1a1a1a1a1a1a1a2",
            b"Data channel port: 5000",
        ):
            assert not proves(line, half), line


class FirstLineTests(SynchronousTestCase):
    def test_a_data_channel(self) -> None:
        assert is_joining(LINE, {"passive"})
        assert not is_joining(LINE, {"token"})
        assert not is_joining(b"ls", {"passive"})
        assert told_token(LINE) == TOKEN
        assert told_token(LINE[:-1]) is None
        assert told_token(b"ls") is None

    def test_what_leaves_it_open(self) -> None:
        assert is_undecided(b"StartTLS\r", {"tls", "passive"})
        assert not is_undecided(b"starttls", {"passive"})
        assert not is_undecided(b"starttls now", {"tls", "passive"})
        assert is_undecided(LINE, {"passive"})

    def test_a_browser(self) -> None:
        assert is_http(b"GET / HTTP/1.1\r")
        assert not is_http(b"GET / HTTP/1.1 ")


class GateTests(SynchronousTestCase):
    def test_as_it_comes_it_lets_everything_through(self) -> None:
        for verb in VERBS.values():
            Gate().check(verb)
        Gate().check_port(None)

    def refused(self, gate: Gate, error: type[Exception]) -> set[str]:
        """The verbs that this gate answers so; no other is refused."""
        names = set()
        for verb in VERBS.values():
            try:
                gate.check(verb)
            except error:
                names.add(verb.name)
        return names

    def test_before_a_login(self) -> None:
        assert self.refused(Gate(permissions=None), LoginRequired) == set(VERBS) - BEFORE_LOGIN

    def test_where_tls_is_demanded(self) -> None:
        allowed = BEFORE_LOGIN - {"login", "password"}
        assert self.refused(Gate(None, demands_tls=True), EncryptionRequired) == set(VERBS) - allowed
        assert not self.refused(Gate(demands_tls=True, secure=True), EncryptionRequired)

    def test_secrets_in_the_clear(self) -> None:
        assert self.refused(Gate(hides_secrets=True), EncryptionRequired) == {"login", "password"}
        assert not self.refused(Gate(hides_secrets=True, secure=True), EncryptionRequired)

    def test_permissions(self) -> None:
        refused = self.refused(Gate(frozenset({"list", "get"})), PermissionDenied)
        assert refused == {"put", "mput", "mkdir", "rmdir", "rm", "mv"}
        assert "ls" in self.refused(Gate(frozenset({"put"})), PermissionDenied)

    def test_a_port_without_a_token(self) -> None:
        for gate in (Gate(secure=True), Gate(demands_token=True)):
            with pytest.raises(EncryptionRequired):
                gate.check_port(None)
            gate.check_port(TOKEN)


class PassiveTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.channels = PassiveChannels(self.clock, 10.0)

    def test_a_token_is_good_once(self) -> None:
        token, joined = self.channels.expect(secure=False)
        assert parse_token(token) == token
        assert self.channels.claim(token, secure=False) is joined
        assert self.channels.claim(token, secure=False) is None
        assert not self.clock.getDelayedCalls()
        assert not self.channels

    def test_tokens_differ(self) -> None:
        tokens = {self.channels.expect(secure=False)[0] for _ in range(100)}
        assert len(tokens) == len(self.channels) == 100

    def test_another_token_leaves_it_waiting(self) -> None:
        token, joined = self.channels.expect(secure=False)
        for other in (TOKEN, token[:16] + TOKEN[16:], TOKEN[:16] + token[16:]):
            assert self.channels.claim(other, secure=False) is None
        assert self.channels.claim(token, secure=False) is joined

    def test_in_the_clear_a_token_of_tls_is_nobodys(self) -> None:
        token, joined = self.channels.expect(secure=True)
        assert self.channels.claim(token, secure=False) is None
        assert self.channels.claim(token, secure=True) is joined

    def test_it_dies(self) -> None:
        token, joined = self.channels.expect(secure=False)
        self.clock.advance(10)
        self.failureResultOf(joined, ConnectionTimedOut)
        assert self.channels.claim(token, secure=False) is None

    def test_who_gives_up_waits_no_more(self) -> None:
        token, joined = self.channels.expect(secure=False)
        joined.addErrback(lambda _: None)
        joined.cancel()
        assert self.channels.claim(token, secure=False) is None
        assert not self.clock.getDelayedCalls()

    def test_a_channel_that_comes_too_late_is_nobodys(self) -> None:
        token, joined = self.channels.expect(secure=False)
        self.channels.claim(token, secure=False)
        joined.addErrback(lambda _: None)
        joined.cancel()
        settle(joined, self.fail_silently())

    def fail_silently(self) -> object:
        from twisted.python.failure import Failure

        return Failure(ConnectionTimedOut())
