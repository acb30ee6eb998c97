"""What is refused at the start (server/policy.py, privileges.py), and what the options may say."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite.limits import Limits
from twisted_ftplite.server import policy
from twisted_ftplite.server.config import CannotStart, Config
from twisted_ftplite.server.options import Options, limits_of
from twisted_ftplite.server.privileges import dropped_to, stays_root

SOMEBODY = 12345
PLAIN = Config(root="/srv", uid=SOMEBODY)
SECURE = replace(PLAIN, certificate="/etc/cert", key="/etc/key")


class WordsTests(SynchronousTestCase):
    """Options that go together, or do not."""

    def refused(self, config: Config) -> str:
        with pytest.raises(CannotStart) as refusal:
            policy.check_words(config)
        return str(refusal.value)

    def test_nothing_is_well(self) -> None:
        policy.check_words(PLAIN)
        policy.check_words(SECURE)

    def test_half_a_pair(self) -> None:
        assert "--tls-cert" in self.refused(replace(PLAIN, key="/etc/key"))
        assert "--tls-key" in self.refused(replace(PLAIN, certificate="/etc/cert"))

    def test_what_needs_a_certificate(self) -> None:
        for word, change in (
            ("--client-ca", {"client_ca": "/etc/ca"}),
            ("--require-tls", {"require_tls": True}),
            ("--listen ssl:2121", {"endpoints": ("tcp:2121", "ssl:2121")}),
            ("--listen tls:2121", {"endpoints": ("tls:2121",)}),
        ):
            refusal = self.refused(replace(PLAIN, **change))
            assert refusal.startswith(f"{word} needs a certificate"), refusal
            assert "--tls self" in refusal
            policy.check_words(replace(SECURE, **change))
        policy.check_words(replace(PLAIN, require_tls=False))


class PortsTests(SynchronousTestCase):
    """Secure, or loopback."""

    def refused(self, config: Config) -> str:
        with pytest.raises(CannotStart) as refusal:
            policy.check_ports(config, beyond=True)
        return str(refusal.value)

    def test_what_is_beyond_loopback(self) -> None:
        def beyond(host: str, description: str = "tcp:0") -> bool:
            kind = IPv6Address if ":" in host else IPv4Address
            return policy.is_beyond_loopback(description, kind("TCP", host, 2121))

        for host in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"):
            assert not beyond(host), host
            assert beyond(host, "haproxy:tcp:0"), host
        for host in ("0.0.0.0", "::", "192.0.2.1", "fe80::1%2", "::ffff:192.0.2.1"):
            assert beyond(host), host
        assert not policy.is_beyond_loopback("unix:/run/ftplite", UNIXAddress("/run/ftplite"))

    def test_on_loopback_anybody_may_come(self) -> None:
        for config in (PLAIN, replace(PLAIN, users="/u"), replace(PLAIN, anonymous="write")):
            assert policy.check_ports(config, beyond=False) == ""

    def test_an_open_server_is_refused(self) -> None:
        for way in ("--users", "--client-ca", "--anonymous"):
            for config in (PLAIN, SECURE):
                assert way in self.refused(config)

    def test_each_of_the_three_ways(self) -> None:
        for config in (
            replace(PLAIN, anonymous="drop"),
            replace(SECURE, users="/u"),
            replace(SECURE, client_ca="/ca"),
        ):
            assert policy.check_ports(config, beyond=True) == ""

    def test_passwords_in_the_clear(self) -> None:
        config = replace(PLAIN, users="/u", anonymous="read")
        assert "--allow-plain-passwords" in self.refused(config)
        assert policy.check_ports(replace(config, plain_passwords=True), beyond=True) == ""

    def test_tls_is_demanded_beyond_loopback(self) -> None:
        assert policy.requires_tls(SECURE, beyond=True)
        assert not policy.requires_tls(SECURE, beyond=False)
        assert not policy.requires_tls(PLAIN, beyond=True)
        assert policy.requires_tls(replace(SECURE, require_tls=True), beyond=False)
        assert not policy.requires_tls(replace(SECURE, require_tls=False), beyond=True)

    def test_root(self) -> None:
        for config in (Config("/srv"), Config("/srv", uid=SOMEBODY, keeps_root=True), Config("/srv", gid=1)):
            config = replace(config, anonymous="read")
            assert stays_root(config) == (os.geteuid() == 0)
            if stays_root(config):
                assert "runs as root" in policy.check_ports(config, beyond=False)
                assert "--allow-root" in self.refused(config)
            assert policy.check_ports(replace(config, allow_root=True), beyond=True) == ""

    def test_twistd_need_not_drop_anything(self) -> None:
        assert dropped_to({}) == (None, None)
        assert dropped_to({"uid": None, "gid": 7}) == (None, 7)
        assert dropped_to({"uid": os.geteuid(), "gid": 7}) == (os.geteuid(), 7)


class SummaryTests(SynchronousTestCase):
    """To whom the tree is served."""

    def test_each(self) -> None:
        for change, beyond, said in (
            ({}, False, "to anyone on this machine, to read and write"),
            ({"anonymous": "read"}, True, "to anyone who can reach it, to read"),
            ({"anonymous": "drop"}, True, "to anyone who can reach it, to store only"),
            ({"users": "/u"}, True, "to users of /u"),
            ({"client_ca": "/ca"}, True, "to those with a certificate of /ca"),
            (
                {"users": "/u", "anonymous": "read"},
                False,
                "to users of /u; to anyone on this machine, to read",
            ),
        ):
            assert policy.whom(replace(PLAIN, **change), beyond=beyond) == said  # type: ignore[arg-type]

    def test_who_may_do_what_without_a_login(self) -> None:
        assert PLAIN.access == "write"
        assert replace(PLAIN, anonymous="drop").access == "drop"
        for told in ({"users": "/u"}, {"client_ca": "/ca"}):
            config = replace(PLAIN, **told)
            assert config.access is None
            assert replace(config, anonymous="read").access == "read"


class FilesTests(SynchronousTestCase):
    """The server's own files lie where no client reaches them."""

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.outside = os.path.realpath(temporary.name)
        self.tree = os.path.join(self.outside, "tree")
        os.makedirs(os.path.join(self.tree, "d"))

    def refused(self, path: str) -> bool:
        try:
            policy.check_place("users", path, [self.tree])
        except CannotStart:
            return True
        return False

    def test_each_of_them(self) -> None:
        inside = os.path.join(self.tree, "d", "file")
        for name in ("users", "client_ca", "certificate", "key", "log_file", "pid_file"):
            config = replace(PLAIN, **{name: inside})
            with pytest.raises(CannotStart, match=f"^{inside} would lie inside the served tree; "):
                policy.check_files(config, ["/none", self.tree])
            policy.check_files(replace(config, **{name: f"{self.outside}/file"}), ["/none", self.tree])

    def test_beside_the_tree(self) -> None:
        for path in ("file", "tree2", "tree2/file"):
            assert not self.refused(os.path.join(self.outside, path)), path

    def test_by_way_of_links(self) -> None:
        os.symlink(self.tree, os.path.join(self.outside, "in"))
        os.symlink(self.outside, os.path.join(self.tree, "out"))
        os.symlink(os.path.join(self.outside, "file"), os.path.join(self.tree, "d", "link"))
        os.symlink(os.path.join(self.tree, "file"), os.path.join(self.outside, "key"))
        for path in ("in/file", "tree/out/file", "tree/d/link", "key", "in/out/file"):
            assert self.refused(os.path.join(self.outside, path)), path


class BoundsTests(SynchronousTestCase):
    """Trees that come to be served later."""

    def test_inside_and_outside(self) -> None:
        policy.check_bounds(["/srv/a"], None)
        policy.check_bounds(["/srv/a/b", "/home", "/srv/a"], ["/srv/a", "/home"])
        for root in ("/srv", "/srv/ab", "/", "/homes"):
            with pytest.raises(CannotStart, match=f"^{root} lies outside the sandbox"):
                policy.check_bounds(["/home", root], ["/srv/a", "/home"])


class OptionsTests(SynchronousTestCase):
    """What is checked of each word alone."""

    def test_told_nothing(self) -> None:
        options = Options()
        options.parseOptions([])
        assert limits_of(options) == Limits()
        assert options["sandbox"] == "auto"
        assert options["anonymous"] is None

    def test_limits(self) -> None:
        options = Options()
        options.parseOptions(
            ["--max-sessions-per-user", "3", "--max-transfers-per-user", "2", "--max-depth", "9"]
        )
        limits = limits_of(options)
        assert (limits.max_sessions_per_user, limits.max_transfers_per_user, limits.max_depth) == (3, 2, 9)

    def test_words(self) -> None:
        for words in (
            ["--anonymous", "all"],
            ["--sandbox", "maybe"],
            ["--tls", "peter"],
            ["--max-depth", "0"],
            ["--max-sessions-per-user", "-1"],
            ["--max-transfers-per-user", "many"],
        ):
            with pytest.raises(SystemExit) as refusal:
                Options().parseOptions(words)
            assert words[1] in str(refusal.value.code)
            assert "\n" not in str(refusal.value.code)
