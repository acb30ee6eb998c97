"""Users of a server by hand: the lines of their file, and logging in on the raw wire."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import argon2
from harness import Server
from raw import Session

PASSWORD_REQUIRED = "SUCCESS: Password required."
LOGGED_IN = "SUCCESS: Logged in."
LOGIN_FAILED = "FAILURE: Login failed."
LOGIN_REQUIRED = "FAILURE: Login required."
TOO_MANY_FAILURES = "ERROR: Too many failures."
DENIED = "FAILURE: Permission denied."
LIMIT_REACHED = "FAILURE: Limit reached."
QUOTA_EXCEEDED = "FAILURE: Quota exceeded."

CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""Hashes that cost nothing, so that tests wait for other things."""


@cache
def cheap_hash(password: str) -> str:
    """A hash of a password."""
    return CHEAP.hash(password)


def password_of(name: str) -> str:
    """What a user of these tests logs in with."""
    return f"the secret of {name}"


def line_of(name: str, *settings: str) -> str:
    """A user's line."""
    return " ".join((name, cheap_hash(password_of(name)), *settings))


def write_users(file: Path, *lines: str) -> str:
    """Make a users file; its path."""
    file.write_text("".join(f"{line}\n" for line in lines))
    file.chmod(0o600)
    return str(file)


def log_in(session: Session, name: str, password: str | None = None) -> None:
    """Log in, which succeeds."""
    session.send(f"login {name}", f"password {password_of(name) if password is None else password}")
    session.expect(PASSWORD_REQUIRED, LOGGED_IN)


def fail_to_log_in(session: Session, name: str = "alice", times: int = 1) -> None:
    """Log in with a wrong password."""
    for _ in range(times):
        session.send(f"login {name}", "password wrong")
        session.expect(PASSWORD_REQUIRED, LOGIN_FAILED)


@contextlib.contextmanager
def session_of(server: Server, name: str, source: str | None = None) -> Iterator[Session]:
    """A session of a user who has logged in."""
    with server.session(source=source) as session:
        log_in(session, name)
        yield session


def answer_to(session: Session, command: str) -> str:
    """The status of a command; a transfer that could begin is aborted."""
    session.send(command)
    while not (line := session.line()).startswith(("SUCCESS: ", "FAILURE: ", "ERROR: ")):
        pass
    if line.startswith("SUCCESS: Ready to "):
        session.send("abort")
        session.expect("FAILURE: Transfer cancelled.")
    return line
