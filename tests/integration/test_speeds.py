"""Limits of speed, on the wire: they hold for each way, for all sessions of a user, and while they change."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from accounts import line_of, session_of, write_users
from harness import BIG, Server, blocking, make_big
from library import in_reactor, reactor, session_with
from pki import server_files, trusting
from raw import TO_SEND, TRANSFERRED, Session
from twisted.internet.defer import Deferred, gatherResults

from twisted_ftplite.client import Speed

SECONDS = 2.0


class Arrival(NamedTuple):
    """Some bytes that came."""

    when: float
    count: int


def watch(session: Session, seconds: float = SECONDS) -> list[Arrival]:
    """Get for a while, inside TLS from a data channel of our own."""
    if session.context is None:
        channel = session.begin_get("big", BIG)
    else:
        channel = session.join(session.offer("get big", TO_SEND)).socket
    arrived: list[Arrival] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        arrived.append(Arrival(time.monotonic(), len(channel.recv(32768))))
    channel.close()
    return arrived


def rate(arrived: list[Arrival]) -> float:
    """Bytes a second, but for the first tenth: what buckets and buffers held."""
    arrived = sorted(arrived)
    begin = arrived[0].when + 0.1 * (arrived[-1].when - arrived[0].when)
    counted = [each for each in arrived if each.when >= begin]
    return sum(each.count for each in counted[1:]) / (counted[-1].when - counted[0].when)


def burst(arrived: list[Arrival], seconds: float = 0.2) -> float:
    """The most that came in so short a time, in bytes a second."""
    most = first = within = 0
    for each in arrived:
        within += each.count
        while arrived[first].when < each.when - seconds:
            within -= arrived[first].count
            first += 1
        most = max(most, within)
    return most / seconds


def tried(check: Callable[[], None]) -> None:
    """Three times at most: a machine that is busy with other things makes ticks late, and us."""
    for _ in range(2):
        with contextlib.suppress(AssertionError):
            return check()
    return check()


def together(*jobs: Callable[[], None]) -> None:
    """All at once."""
    threads = [threading.Thread(target=job) for job in jobs]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


@blocking
def test_a_get_is_exact_and_smooth(serve: Callable[..., Server]) -> None:
    server = serve("--limit-rate-down", "4M", "--limit-rate-up=0")
    make_big(server.root)

    def check() -> None:
        with server.session() as session:
            arrived = watch(session)
        assert abs(rate(arrived) / 4e6 - 1) < 0.03
        assert burst(arrived) < 1.2 * 4e6

    tried(check)
    with server.session() as session:
        began = time.monotonic()
        session.put("f", bytes(20 << 20))
        assert time.monotonic() - began < 3  # where 4 MB/s would take five


@blocking
def test_one_inside_tls(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve("--limit-session", "3M", *server_files(tmp_path))
    make_big(server.root)

    def check() -> None:
        arrived: list[list[Arrival]] = []
        with server.session() as one, server.session() as other:
            for session in (one, other):
                session.starttls(trusting())
            together(lambda: arrived.append(watch(one)), lambda: arrived.append(watch(other)))
        for each in arrived:
            assert abs(rate(each) / 3e6 - 1) < 0.04

    tried(check)


@blocking
def test_puts_of_one_user_share_it(serve: Callable[..., Server], tmp_path: Path) -> None:
    users = write_users(tmp_path / "users", line_of("alice", "rate-up=800k"))
    server = serve("--users", users)
    began, ends = time.monotonic(), []
    with session_of(server, "alice") as one, session_of(server, "alice") as other:

        def put(session: Session, name: str) -> None:
            session.put(name, bytes(800_000))
            ends.append(time.monotonic() - began)

        together(lambda: put(one, "f"), lambda: put(other, "g"))
    assert 1.85 < max(ends) < 4
    assert min(ends) > 0.8 * max(ends)


@in_reactor
async def test_the_client_s_own(server: Server, tmp_path: Path) -> None:
    (server.root / "f").write_bytes(bytes(1_000_000))
    (tmp_path / "g").write_bytes(bytes(500_000))
    speed = Speed(reactor, up="500k", down="1M")
    began = time.monotonic()
    async with (
        session_with(server.address, speed=speed) as one,
        session_with(server.address, speed=speed) as other,
        session_with(server.address, speed=speed) as third,
    ):
        gets = [one.get("f", str(tmp_path / "f")), other.get("f", str(tmp_path / "f2"))]
        await gatherResults(map(Deferred.fromCoroutine, [*gets, third.put(str(tmp_path / "g"), "g")]))
        assert 1.9 < time.monotonic() - began < 4
        speed.set()
        began = time.monotonic()
        await one.get("f", str(tmp_path / "f"))
        assert time.monotonic() - began < 0.5
    assert (server.root / "g").stat().st_size == 500_000


@blocking
def test_who_counts_for_more(serve: Callable[..., Server], tmp_path: Path) -> None:
    lines = line_of("alice", "profile=interactive"), line_of("bob", "profile=background")
    server = serve("--users", write_users(tmp_path / "users", *lines), "--limit-rate", "9M")
    make_big(server.root)

    def check() -> None:
        arrived: dict[str, list[Arrival]] = {}
        with session_of(server, "alice") as alice, session_of(server, "bob") as bob:

            def get(name: str, session: Session) -> None:
                arrived[name] = watch(session)

            together(lambda: get("alice", alice), lambda: get("bob", bob))
        assert abs(rate(arrived["alice"]) / 8e6 - 1) < 0.05
        assert abs(rate(arrived["bob"]) / 1e6 - 1) < 0.1

    tried(check)


@blocking
def test_read_again_while_it_moves(serve: Callable[..., Server], tmp_path: Path) -> None:
    file = tmp_path / "users"
    server = serve("--users", write_users(file, line_of("alice", "rate=1M")))
    (server.root / "f").write_bytes(bytes(3_000_000))

    def now(settings: str) -> None:
        server.log.clear()
        write_users(file, line_of("alice", *settings.split()))
        server.process.send_signal(signal.SIGHUP)
        server.logged("The users were read again: 1$")

    def take(count: int) -> float:
        """How long so many bytes take."""
        began = time.monotonic()
        while count:
            count -= len(channel.recv(min(count, 65536)))
        return time.monotonic() - began

    with session_of(server, "alice") as session:
        channel = session.begin_get("f", 3_000_000, receive_buffer=8192)
        take(100_000)
        assert 0.4 < take(500_000) < 2
        now("rate-down=4M")
        take(100_000)
        assert 0.2 < take(1_000_000) < 0.8
        now("rate=0")
        assert take(1_300_000) < 0.3
        channel.close()
        session.expect("Transfer complete: f")
        session.send("Transfer complete: f")
        session.expect(TRANSFERRED)
