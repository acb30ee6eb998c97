"""Failed logins by the thousand: how long they take does not tell whether name or password was wrong."""

from __future__ import annotations

import contextlib
import math
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import argon2
from accounts import LOGIN_FAILED, PASSWORD_REQUIRED, TOO_MANY_FAILURES, write_users
from harness import Server
from pki import server_files, trusting

from .programs import die_with_parent
from .report import Soak

FAILURES = 5
"""Failed logins of one session."""

NAMES = {"nobody": "no such name", "alice": "wrong password", "bob": "a user without a password"}
COUNT = 20
"""Failed logins with each name in a round."""


# How alike two distributions are.


def difference(one: Sequence[float], other: Sequence[float]) -> float:
    """How many standard deviations the ranks of two samples lie apart (Mann and Whitney's test)."""
    ranked = sorted([(value, True) for value in one] + [(value, False) for value in other])
    ranks = sum(rank for rank, (_, is_one) in enumerate(ranked, 1) if is_one)
    m, n = len(one), len(other)
    above = ranks - m * (m + 1) / 2
    return abs(above - m * n / 2) / math.sqrt(m * n * (m + n + 1) / 12)


def are_alike(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether the median of each lies between the other's quartiles, and their ranks do not differ."""

    def holds(sample: Sequence[float], median: float) -> bool:
        first, _, third = statistics.quantiles(sample, n=4)
        return first <= median <= third

    medians = holds(one, statistics.median(other)) and holds(other, statistics.median(one))
    return medians and difference(one, other) < 4


def failed_logins(
    server: Server, *names: str, count: int, tls: bool = False, chance: random.Random | None = None
) -> list[list[float]]:
    """The seconds that failed logins took, with each name in turn, or in any order by ``chance``."""
    took: list[list[float]] = [[] for _ in names]
    turns = [(name, times) for _ in range(count) for name, times in zip(names, took, strict=True)]
    if chance is not None:
        chance.shuffle(turns)
    for first in range(0, len(turns), FAILURES):
        with server.session() as session:
            if tls:
                session.starttls(trusting())
            for name, times in turns[first : first + FAILURES]:
                session.send(f"login {name}")
                session.expect(PASSWORD_REQUIRED)
                began = time.monotonic()
                session.send("password wrong")
                session.expect(LOGIN_FAILED)
                times.append(time.monotonic() - began)
            if len(turns[first : first + FAILURES]) == FAILURES:
                session.expect(TOO_MANY_FAILURES)
    return took


def dear_hash(memory: int = 4096) -> str:
    """One that costs so many KiB, and as much time as that takes."""
    return argon2.PasswordHasher(time_cost=1, memory_cost=memory, parallelism=1).hash("right")


def users_file(folder: Path) -> str:
    """Two users whose hashes cost the same, and one who has none."""
    dear = dear_hash()
    return write_users(folder / "users", f"alice {dear}", "bob -", f"carol {dear}")


def run(soak: Soak) -> dict[str, list[list[float]]]:
    """So many rounds of twenty failed logins with each name, in the clear and inside TLS."""
    base = soak.room("guessing")
    (base / "tree").mkdir()
    took: dict[str, list[list[float]]] = {}
    with contextlib.ExitStack() as stack:
        server = Server(
            base / "tree", "--users", users_file(base), *server_files(base), preexec_fn=die_with_parent
        )
        stack.callback(server.stop)
        failed_logins(server, *NAMES, count=FAILURES)
        for number in range(soak.rounds):
            soak.say(f"  round {number + 1} of {soak.rounds}")
            for where, tls in (("in the clear", False), ("inside TLS", True)):
                chance = soak.chance("guessing", number, where)
                found = failed_logins(server, *NAMES, count=COUNT, tls=tls, chance=chance)
                for all_of, new in zip(took.setdefault(where, [[] for _ in NAMES]), found, strict=True):
                    all_of += new
        soak.must_be_calm(server.log)
    for where, times in took.items():
        _judge(soak, where, times)
    return took


def _judge(soak: Soak, where: str, took: list[list[float]]) -> None:
    """Compare with the first, and with what a difference of a tenth would look like."""
    unknown = took[0]
    slower = difference(unknown, [each * 1.1 for each in unknown])
    rows = []
    for what, times in zip(NAMES.values(), took, strict=True):
        first, median, third = (each * 1000 for each in statistics.quantiles(times, n=4))
        apart = difference(unknown, times)
        soak.must(are_alike(unknown, times), f"{where}, {what}: {median:.3f} ms, {apart:.1f} deviations off")
        rows.append([what, len(times), f"{first:.3f}", f"{median:.3f}", f"{third:.3f}", f"{apart:.1f}"])
    rows.append(["a tenth slower, for comparison", len(unknown), "", "", "", f"{slower:.1f}"])
    columns = ["what is wrong", "times", "first quartile, ms", "median", "third", "deviations from the first"]
    soak.table(f"Failed logins {where}: how long they take", columns, rows)
