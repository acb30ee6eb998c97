"""What logins cost: the same time whatever was wrong, and a bounded share of the server."""

from __future__ import annotations

import contextlib
import random
import statistics
from collections.abc import Callable
from pathlib import Path

import argon2
import pytest
from accounts import (
    LOGIN_FAILED,
    PASSWORD_REQUIRED,
    TOO_MANY_FAILURES,
    cheap_hash,
    log_in,
    write_users,
)
from harness import Server, blocking
from raw import CANCELLED, reset
from soaks import guessing

MIB = 1 << 20


def test_what_the_comparison_finds() -> None:
    """A server that answers an unknown name at once, or a tenth sooner; and not one that is only slow."""
    noise = random.Random(4)

    def sample(least: float) -> list[float]:
        return [least + noise.expovariate(1 / 0.001) for _ in range(100)]

    for seconds in (0.001, 0.01, 0.1):
        assert all(guessing.are_alike(sample(seconds), sample(seconds)) for _ in range(100))
    assert not any(guessing.are_alike(sample(0.0003), sample(0.01)) for _ in range(100))
    assert not any(guessing.are_alike(sample(0.009), sample(0.01)) for _ in range(100))


@blocking
def test_a_wrong_name_takes_as_long_as_a_wrong_password(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve("--users", guessing.users_file(tmp_path))
    assert not [line for line in server.log if "differ in cost" in line]
    unknown, known, without = guessing.failed_logins(server, "nobody", "alice", "bob", count=100)
    assert len(unknown) == len(known) == 100
    assert guessing.are_alike(unknown, known)
    assert guessing.are_alike(unknown, without)


@blocking
def test_a_difference_that_there_is_would_be_found(serve: Callable[..., Server], tmp_path: Path) -> None:
    """Hashes that differ in cost tell names, of which the log warns."""
    users = write_users(
        tmp_path / "users", f"alice {guessing.dear_hash(16384)}", f"carol {cheap_hash('right')}"
    )
    server = serve("--users", users)
    server.logged("#warn.* differ in cost")
    assert not guessing.are_alike(*guessing.failed_logins(server, "nobody", "carol", count=50))


# Floods.

COSTLY = argon2.PasswordHasher(time_cost=1, memory_cost=64 * 1024, parallelism=1)


def _most_memory(server: Server) -> int:
    """Bytes that were ever resident at once."""
    for line in Path(f"/proc/{server.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


@pytest.fixture
def costly(serve: Callable[..., Server], tmp_path: Path) -> Server:
    """A server whose user's password takes 64 MiB to check."""
    return serve(
        "--users", write_users(tmp_path / "users", f"alice {COSTLY.hash('right')}"), "--anonymous", "write"
    )


@blocking
def test_many_who_log_in_at_once(costly: Server) -> None:
    """Two at a time are looked at, everybody else is served, and those who leave keep nobody waiting."""
    with contextlib.ExitStack() as clients:
        other = clients.enter_context(costly.session())
        assert other.is_answered()
        rest = costly.memory()
        flood = [clients.enter_context(costly.session()) for _ in range(50)]
        for session in flood:
            session.send("login alice", "password wrong")
            session.expect(PASSWORD_REQUIRED)
        took = []
        for _ in range(20):
            began = costly.clock()
            assert other.is_answered()
            took.append(costly.clock() - began)
        other.put("f", b"abc")
        assert other.get("f") == b"abc"
        waiting = [session for session in flood if session.waits(0.001)]
        assert waiting
        assert statistics.median(took) < 0.05
        for session in flood[:6]:
            session.expect(LOGIN_FAILED)
        assert _most_memory(costly) < rest + 2 * 64 * MIB + 32 * MIB
        for session in flood:
            reset(session.socket)
    _lets_in_at_once(costly)


@blocking
def test_logins_that_are_broken_off(costly: Server) -> None:
    """They count as failed, and keep nobody waiting."""
    with costly.session() as session:
        session.send(*["login alice", "password wrong", "abort"] * 50)
        session.expect(*[PASSWORD_REQUIRED, CANCELLED] * (guessing.FAILURES - 1), PASSWORD_REQUIRED)
        session.expect(CANCELLED, TOO_MANY_FAILURES)
        assert session.ended()
    for _ in range(40):
        with costly.session() as session:
            session.send("login alice", "password wrong")
            session.expect(PASSWORD_REQUIRED)
            reset(session.socket)
    _lets_in_at_once(costly)


def _lets_in_at_once(server: Server) -> None:
    """Log in, behind many who are not there any more: what they asked is not looked at."""
    before = server.cpu()
    with server.session() as alice:
        log_in(alice, "alice", "right")
        behind = server.cpu()
        log_in(alice, "alice", "right")
        alone = server.cpu() - behind
    assert behind - before < 12 * alone
