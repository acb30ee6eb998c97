"""Hosts whose logins fail too often, and passwords in the clear: who is near and who is not."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from accounts import (
    PASSWORD_REQUIRED,
    TOO_MANY_FAILURES,
    answer_to,
    fail_to_log_in,
    line_of,
    log_in,
    password_of,
    write_users,
)
from harness import OPENLY, Server, blocking, needs_root, own_network, within
from raw import GREETING, Session

NEAR = ("10.9.0.1", "fd00:9:0:1::1")
"""Where the server is reached from beyond loopback."""

HOSTS = ("10.9.0.2", "10.9.0.3", "fd00:9:0:2::2", "fd00:9:0:2:ffff::3", "fd00:9:0:3::2")
ENCRYPTION_REQUIRED = "FAILURE: Encryption required."


@pytest.fixture
def network() -> Iterator[Sequence[str]]:
    """A network of its own with more hosts than the loopback's."""
    with own_network() as inside:
        for each in (*NEAR, *HOSTS):
            words = [*inside, "ip", "addr", "add", each, "dev", "lo"]
            subprocess.run([*words, "nodad"] if ":" in each else words, check=True)
        yield inside


class Reached:
    """A server in a network, and how it is reached there from each host."""

    def __init__(self, server: Server) -> None:
        self.server = server
        # Both ports are in the line that says what is served.
        line = server.logged("FTPLite serves").string
        ports = re.findall(r" (\S+?):(\d+)[, ]", line)
        self._ports = {":" in host: int(port) for host, port in ports}

    def session(self, source: str, *, greeted: bool = True) -> Session:
        """A session of a host."""
        near = {"127.0.0.2": "127.0.0.1", "::1": "::1"}.get(source, NEAR[":" in source])
        return Session((near, self._ports[":" in source]), source=source, greeted=greeted)

    def mapped(self, source: str) -> Session:
        """A session of an IPv4 host by the IPv6 port."""
        near = (f"::ffff:{NEAR[0]}", self._ports[True])
        return Session(near, source=f"::ffff:{source}", greeted=False)

    def is_refused(self, source: str) -> bool:
        """Whether a host is refused at its first word."""
        with self.session(source, greeted=False) as session:
            line = session.line()
            if line.startswith("SUCCESS"):
                return False
            assert line.startswith(TOO_MANY_FAILURES), line
            assert session.ended()
            return True


@pytest.fixture
def reach(serve: Callable[..., Server], network: Sequence[str], tmp_path: Path) -> Callable[..., Reached]:
    """Starts a server in that network."""
    users = write_users(tmp_path / "users", line_of("alice"))

    def start(*options: str) -> Reached:
        both = ("--listen", r"tcp6:0:interface=\:\:", "--users", users)
        return Reached(serve(*OPENLY, *both, *options, listen="tcp:0", before=network))

    return start


@needs_root
@blocking
def test_a_host_that_fails_too_often(reach: Callable[..., Reached], network: Sequence[str]) -> None:
    """The loopback never is one."""
    reached = reach("--allow-plain-passwords")
    with within(network):
        for host, neighbour, other in (
            ("10.9.0.2", "10.9.0.2", "10.9.0.3"),
            ("fd00:9:0:2::2", "fd00:9:0:2:ffff::3", "fd00:9:0:3::2"),
        ):
            _fail(reached, host, 10)
            with reached.session(neighbour) as before:
                assert not reached.is_refused(host)
                with reached.session(neighbour) as session:
                    fail_to_log_in(session, times=5)
                    session.expect(TOO_MANY_FAILURES)
                assert reached.is_refused(host)
                assert reached.is_refused(neighbour)
                # Its other sessions go on, but no password is looked at there.
                before.put("f", b"abc")
                before.send("login alice", f"password {password_of('alice')}")
                before.expect(PASSWORD_REQUIRED, TOO_MANY_FAILURES)
                assert before.ended()
            with reached.session(other) as session:
                log_in(session, "alice")
        # Which port it comes by makes no difference.
        with reached.mapped("10.9.0.2") as session:
            session.expect(TOO_MANY_FAILURES)
        with reached.mapped("10.9.0.3") as session:
            session.expect(GREETING)
        for loopback in ("127.0.0.2", "::1"):
            _fail(reached, loopback, 30)
            assert not reached.is_refused(loopback)


def _fail(reached: Reached, host: str, times: int) -> None:
    for _ in range(times // 5):
        with reached.session(host) as session:
            fail_to_log_in(session, times=5)
            session.expect(TOO_MANY_FAILURES)


@needs_root
@blocking
def test_passwords_in_the_clear(
    reach: Callable[..., Reached], network: Sequence[str], tmp_path: Path
) -> None:
    reached = reach("--tls", "self", "--tls-folder", str(tmp_path / "tls"), "--no-require-tls")
    with within(network):
        for host in ("10.9.0.2", "fd00:9:0:2::2"):
            with reached.session(host) as session:
                for _ in range(20):
                    assert answer_to(session, "login alice").startswith(ENCRYPTION_REQUIRED)
                    assert answer_to(session, "password wrong").startswith(ENCRYPTION_REQUIRED)
                session.put("f", b"abc")
            assert not reached.is_refused(host)
        for loopback in ("127.0.0.2", "::1"):
            with reached.session(loopback) as session:
                log_in(session, "alice")
