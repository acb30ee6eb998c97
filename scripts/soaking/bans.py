"""Hosts that fail to log in, each as often as it likes: who failed too often is refused, and nobody else.

In a network of its own, where every address is one of ours.  A host may hang up before it is told, log in
well in between, and come from many addresses of its /64; thousands of others fail once meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from accounts import (
    LOGIN_FAILED,
    PASSWORD_REQUIRED,
    TOO_MANY_FAILURES,
    line_of,
    log_in,
    write_users,
)
from harness import OPENLY, Server, own_network, within
from raw import CANCELLED, Session, reset

from .programs import die_with_parent, eventually
from .report import CannotRun, Counts, Soak

MOST = 15
"""Failures of a host, from which on it is refused."""

A_SESSION = 5
HOSTS = 8
"""In a round."""

OTHERS = 200
"""That fail once in a round."""


class Host:
    """One that is counted: an IPv4 address, a /64, or the loopback."""

    def __init__(self, number: int, chance: random.Random) -> None:
        self.is_loopback = number % HOSTS == 0
        self._six = bool(number % 2)
        self._number = number
        self.chance = chance
        self.failures = 0
        """That are over, or will be."""

    def source(self) -> str:
        """An address of it."""
        if self.is_loopback:
            return f"127.0.0.{self.chance.randrange(2, 250)}"
        if self._six:
            return f"fd00:9:1:{self._number:x}::{self.chance.randrange(1, 0xFFFF):x}"
        return f"10.9.{1 + self._number // 250}.{1 + self._number % 250}"

    def is_over(self) -> bool:
        """Whether it must be refused."""
        return self.failures >= MOST and not self.is_loopback


class Trial:
    """A server, and how it is reached."""

    def __init__(self, soak: Soak, server: Server, network: Sequence[str]) -> None:
        self.soak, self.server, self.network = soak, server, network
        line = server.logged("FTPLite serves").string
        self._ports = {":" in host: int(port) for host, port in re.findall(r" (\S+?):(\d+)[, ]", line)}
        self.hosts: list[Host] = []
        self.counted = Counts()

    def session(self, source: str, *, greeted: bool = True) -> Session:
        """From an address."""
        near = "fd00:9::1" if ":" in source else "127.0.0.1" if source.startswith("127") else "10.9.0.1"
        return Session((near, self._ports[":" in source]), source=source, greeted=greeted)

    def is_refused(self, host: Host) -> bool:
        """At the first word."""
        with self.session(host.source(), greeted=False) as session:
            line = session.line()
            if line.startswith("SUCCESS"):
                return False
            self.soak.must(line.startswith(TOO_MANY_FAILURES), f"{host.source()} was told {line}")
            return True

    def round(self, number: int) -> None:
        """Some hosts, and many that nobody has met before."""
        made = [Host(number * HOSTS + each, self.soak.chance("bans", number, each)) for each in range(HOSTS)]
        self.hosts += made
        with ThreadPoolExecutor(HOSTS + 1) as pool:
            running = [pool.submit(self._use, each) for each in made]
            running.append(pool.submit(self._others, number))
        for one in running:
            one.result()

    def _use(self, host: Host) -> None:
        with within(self.network):
            wanted = host.chance.choice([0, 1, 4, 5, 9, 13, 14, 14, 15, 15, 16, 20])
            while host.failures < wanted and not host.is_over():
                self._fail(host, min(A_SESSION, wanted - host.failures))
                if not host.is_over() and host.chance.random() < 0.3:
                    with self.session(host.source()) as session:
                        log_in(session, "alice")
                    self.counted.add("logins that succeeded in between")
            self.look(host)

    def _fail(self, host: Host, times: int) -> None:
        """In one session; the last may hang up."""
        with self.session(host.source()) as session:
            for each in range(times):
                aborts = ["abort"] if host.chance.random() < 0.3 else []
                session.send("login alice", "password wrong", *aborts)
                session.expect(PASSWORD_REQUIRED)
                host.failures += 1
                if each == times - 1 and host.chance.random() < 0.3:
                    reset(session.socket)
                    self.counted.add("failures that hung up")
                    time.sleep(0.05)
                    return
                session.expect(CANCELLED if aborts else LOGIN_FAILED)
                self.counted.add(f"failures that {'were aborted' if aborts else 'waited for the answer'}")
                if host.is_over():
                    return

    def look(self, host: Host) -> None:
        """Whether it is refused must be as it was counted."""
        is_refused = eventually(lambda: self.is_refused(host), 2) if host.is_over() else self.is_refused(host)
        kind = "loopback" if host.is_loopback else "host"
        right = is_refused == host.is_over()
        said = f"{host.source()}, {host.failures} failures: " + ("refused" if is_refused else "let in")
        self.soak.must(right, said)
        self.counted.add(f"looks at a {kind} that " + ("is refused" if is_refused else "is let in"))
        if not is_refused:
            with self.session(host.source()) as session:
                log_in(session, "alice")

    def look_at_all(self) -> None:
        """Whoever is refused still is, whoever came meanwhile."""
        with within(self.network):
            for each in self.hosts:
                self.look(each)

    def _others(self, number: int) -> None:
        with within(self.network):
            for each in range(OTHERS):
                source = f"fd00:9:2:{number * OTHERS + each:x}::1"
                with self.session(source) as session:
                    session.send("login alice", "password wrong")
                    session.expect(PASSWORD_REQUIRED, LOGIN_FAILED)
                self.counted.add("hosts that failed once")


@contextlib.contextmanager
def everywhere() -> Iterator[list[str]]:
    """A network in which all addresses that begin so are this machine's."""
    if os.geteuid() != 0:
        raise CannotRun("needs root, for a network namespace")
    with own_network() as inside:
        for words in (
            ("ip", "address", "add", "10.9.0.1/16", "dev", "lo"),
            ("ip", "-6", "address", "add", "fd00:9::1", "dev", "lo", "nodad"),
            ("ip", "-6", "route", "add", "local", "fd00:9::/32", "dev", "lo"),
            ("sh", "-c", "echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind"),
        ):
            subprocess.run([*inside, *words], check=True)
        yield inside


def run(soak: Soak) -> Trial:
    """So many rounds."""
    base = soak.room("bans")
    (base / "tree").mkdir()
    users = write_users(base / "users", line_of("alice"))
    options = (*OPENLY, "--allow-plain-passwords", "--users", users, "--listen", r"tcp6:0:interface=\:\:")
    with everywhere() as network, contextlib.ExitStack() as stack:
        server = Server(base / "tree", *options, listen="tcp:0", before=network, preexec_fn=die_with_parent)
        stack.callback(server.stop)
        trial = Trial(soak, server, network)
        trial.round(0)
        before = server.memory()
        for number in range(1, soak.rounds):
            soak.say(f"  round {number + 1} of {soak.rounds}")
            trial.round(number)
        trial.look_at_all()
        grown = server.memory() - before
        soak.must_be_calm(server.log)
    soak.must(grown < 32 << 20, f"the server has grown by {grown >> 20} MiB")
    rows = [[what, count] for what, count in sorted(trial.counted.items())]
    rows.append(["MiB that the server has grown by", f"{grown / (1 << 20):.1f}"])
    soak.table(f"{len(trial.hosts)} hosts that fail to log in", ["what", "times"], rows)
    return trial
