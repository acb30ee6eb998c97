"""The users file: users, or one line that tells what is wrong and nothing of what stands in the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from twisted_ftplite.flow.workers import InlineWorkers
from twisted_ftplite.server.login import Accounts
from twisted_ftplite.server.users import PERMISSIONS, UsersError, decoded, parse_users

from ..script import must
from ..secret import HASHES, SECRET

PATH = "/etc/users"


def run(data: bytes) -> None:
    """Read it as a users file."""
    try:
        users = parse_users(decoded(data, PATH), PATH)
    except UsersError as error:
        told = str(error)
        must(told.startswith(f"{PATH}, line ") and told.isprintable(), "an error is not one line")
        _hides(told)
        must(error.__context__ is None, "an error keeps another one, and what that holds")
        return
    for name, user in users.items():
        must(name == user.name and user.permissions <= set(PERMISSIONS), "a user is not as he may be")
        must(".." not in user.root.split("/"), "a root leads upwards")
        if user.secret is not None:
            bare = replace(user, name="", root="", certificates=frozenset())  # where it may stand too
            must(user.secret == "pam" or user.secret not in repr(bare), "a secret is told")
    accounts = Accounts(users, InlineWorkers(), lambda name, password: False)
    _hides(accounts.notice)


def seeds() -> Iterator[bytes]:
    """What is well-formed, and nearly."""
    yield (
        f"# users\nalice {HASHES[0]} root=alice permissions=list,get,put quota=10G files=1000 sessions=4\n"
        'bob - certificate="Bob B" permissions=read\ncarol pam transfers=2 file-size=1Gi\n'
    ).encode()
    yield f"alice {SECRET}\n".encode()
    yield f"alice '{SECRET}\n".encode()


def _hides(told: str) -> None:
    must(SECRET not in told and "$argon2id$v=" not in told, "what stands in the file is told")
