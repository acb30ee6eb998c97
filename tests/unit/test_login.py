"""Who somebody is: names, passwords, certificates, and what is never told of them."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any

import argon2
import pytest
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import CancelledError, Deferred, getDebugging, setDebugging
from twisted.logger import LogEvent, eventAsText, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.unit.fakes import HandWorkers
from twisted_ftplite.errors import LoginFailed
from twisted_ftplite.flow.workers import InlineWorkers
from twisted_ftplite.server.login import (
    Accounts,
    CertificateNames,
    ICertificateNames,
    ILoggedIn,
    Password,
)
from twisted_ftplite.server.users import ACCESS, User, UsersError

QUICK_HASHER = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
RIGHT = "correct horse äöü"
WRONG = "wrong battery"
READ = ACCESS["read"]


def people(*users: User) -> dict[str, User]:
    return {user.name: user for user in users}


ALICE = User("alice", READ, secret=QUICK_HASHER.hash(RIGHT))
BOB = User("bob", READ, certificates=frozenset(("bob@example.org", "Bob B")))
CAROL = User("carol", READ, secret="pam")


class WatchedWorkers(InlineWorkers):
    """Makes calls at once, and remembers the hashes that passwords were compared with."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def run(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        self.calls.append((function, args))
        return super().run(function, *args)


class PAM:
    """A system that knows one password."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes]] = []

    def __call__(self, name: str, password: bytes) -> bool:
        self.asked.append((name, password))
        if password == b"broken":
            raise OSError(f"{password!r} broke it")
        return password == RIGHT.encode()


class LoginCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.workers = WatchedWorkers()
        self.pam = PAM()
        self.accounts = Accounts(people(ALICE, BOB, CAROL), self.workers, self.pam)

    def refuses(self, login: Deferred[User]) -> Failure:
        return self.failureResultOf(login, LoginFailed)


class PasswordTests(LoginCase):
    def test_the_right_one(self) -> None:
        assert self.successResultOf(self.accounts.by_password("alice", RIGHT)) is ALICE

    def test_wrong_ones(self) -> None:
        for name, password in (
            ("alice", WRONG),
            ("alice", ""),
            ("alice", RIGHT + "\0"),
            ("alice", "\udc80"),
            ("Alice", RIGHT),
            ("\udc80", RIGHT),
            ("", RIGHT),
            ("bob", ""),
            ("bob", "-"),
            ("nobody", RIGHT),
        ):
            self.refuses(self.accounts.by_password(name, password))

    def test_the_work_is_the_same_whatever_was_wrong(self) -> None:
        for name in ("alice", "bob", "nobody"):
            self.refuses(self.accounts.by_password(name, WRONG))
        assert len({function for function, _ in self.workers.calls}) == 1
        compared = [args[0].secret for _, args in self.workers.calls]
        assert compared[0] == ALICE.secret
        assert [argon2.extract_parameters(each) for each in compared] == [
            argon2.extract_parameters(compared[0])
        ] * 3

    def test_a_decoy_is_read_by_argon2_and_fits_nothing(self) -> None:
        self.refuses(self.accounts.by_password("nobody", WRONG))
        decoy = self.workers.calls[0][1][0].secret
        with pytest.raises(argon2.exceptions.VerifyMismatchError):
            QUICK_HASHER.verify(decoy, WRONG)

    def test_a_decoy_costs_as_much_as_the_costliest(self) -> None:
        costly = argon2.PasswordHasher(time_cost=2, memory_cost=128, parallelism=2, type=argon2.Type.I)
        self.accounts.replace(people(ALICE, User("dave", READ, secret=costly.hash(RIGHT))))
        self.refuses(self.accounts.by_password("nobody", WRONG))
        found = argon2.extract_parameters(self.workers.calls[0][1][0].secret)
        assert found == argon2.extract_parameters(costly.hash(""))

    def test_where_nobody_has_a_hash_it_costs_what_one_would(self) -> None:
        accounts = Accounts({}, self.workers)
        assert not accounts.has_passwords
        self.refuses(accounts.by_password("nobody", WRONG))
        found = argon2.extract_parameters(self.workers.calls[0][1][0].secret)
        assert found == argon2.extract_parameters(argon2.PasswordHasher().hash(""))

    def test_who_has_passwords(self) -> None:
        assert self.accounts.has_passwords
        assert not Accounts(people(BOB), self.workers).has_passwords
        assert Accounts(people(CAROL), self.workers, self.pam).has_passwords

    def test_a_hash_that_cannot_be_compared_lets_nobody_in(self) -> None:
        assert ALICE.secret is not None
        broken = ALICE.secret.rpartition("$")[0] + "$AAAA"
        self.accounts.replace(people(User("alice", READ, secret=broken)))
        with LogOf() as log:
            self.refuses(self.accounts.by_password("alice", RIGHT))
        assert "A login could not be checked: " in log.text()
        assert RIGHT not in log.text()


class PAMTests(LoginCase):
    def test_right_and_wrong(self) -> None:
        assert self.successResultOf(self.accounts.by_password("carol", RIGHT)) is CAROL
        self.refuses(self.accounts.by_password("carol", WRONG))
        assert self.pam.asked == [("carol", RIGHT.encode()), ("carol", WRONG.encode())]

    def test_it_is_asked_for_its_users_only(self) -> None:
        for name in ("alice", "bob", "root"):
            self.refuses(self.accounts.by_password(name, WRONG))
        assert self.pam.asked == []

    def test_it_is_asked_for_no_part_of_a_password(self) -> None:
        self.refuses(self.accounts.by_password("carol", f"{RIGHT}\0more"))
        assert self.pam.asked == []

    def test_its_troubles_let_nobody_in(self) -> None:
        with LogOf() as log:
            self.refuses(self.accounts.by_password("carol", "broken"))
        assert "A login could not be checked: OSError of PAM" in log.text()

    def test_without_its_module(self) -> None:
        self.patch(sys, "modules", {**sys.modules, "pamela": None})
        with pytest.raises(UsersError, match=r"pip install twisted-ftplite\[pam\]"):
            Accounts(people(CAROL), self.workers)
        accounts = Accounts(people(ALICE), self.workers)
        with pytest.raises(UsersError, match="the secret pam needs the module pamela"):
            accounts.replace(people(CAROL))
        assert list(accounts.users) == ["alice"]

    def test_with_its_module(self) -> None:
        pamela = ModuleType("pamela")
        asked = []

        class PAMError(Exception):
            pass

        def authenticate(name: str, passwords: tuple[bytes, ...], service: str) -> None:
            asked.append((name, passwords, service))
            if passwords != (RIGHT.encode(),):
                raise PAMError

        vars(pamela).update(PAMError=PAMError, authenticate=authenticate)
        self.patch(sys, "modules", {**sys.modules, "pamela": pamela})
        accounts = Accounts(people(CAROL), self.workers)
        assert self.successResultOf(accounts.by_password("carol", RIGHT)) is CAROL
        with LogOf() as log:
            self.refuses(accounts.by_password("carol", WRONG))
        assert log.events == []
        assert asked[0] == ("carol", (RIGHT.encode(),), "ftplite")


class CertificateTests(LoginCase):
    def test_names(self) -> None:
        for names in (["alice"], ["alice@example.org", "alice"], ["alice", "alice"]):
            assert self.successResultOf(self.accounts.by_certificate(names)) is ALICE
        for names in (["bob"], ["Bob B"], ["bob@example.org", "Bob B"]):
            assert self.successResultOf(self.accounts.by_certificate(names)) is BOB
        assert self.workers.calls == []

    def test_no_names_of_ours(self) -> None:
        for names in ([], ["nobody"], [""], ["Alice"]):
            self.refuses(self.accounts.by_certificate(names))

    def test_names_of_two_are_nobodys(self) -> None:
        self.refuses(self.accounts.by_certificate(["alice", "Bob B"]))


class ReloadTests(LoginCase):
    def test_others_from_now_on(self) -> None:
        other = User("alice", ACCESS["write"], secret=QUICK_HASHER.hash(WRONG))
        self.accounts.replace(people(other))
        assert self.successResultOf(self.accounts.by_password("alice", WRONG)) is other
        self.refuses(self.accounts.by_password("alice", RIGHT))
        self.refuses(self.accounts.by_certificate(["bob"]))

    def test_who_is_gone_when_his_password_was_compared_is_not_let_in(self) -> None:
        workers = HandWorkers()
        accounts = Accounts(people(ALICE), workers)
        login = accounts.by_password("alice", RIGHT)
        accounts.replace({})
        workers.do()
        self.refuses(login)

    def test_a_session_may_end_meanwhile(self) -> None:
        workers = HandWorkers()
        accounts = Accounts(people(ALICE), workers)
        login = accounts.by_password("alice", RIGHT)
        login.cancel()
        self.failureResultOf(login, CancelledError)
        workers.do()

    def test_notices(self) -> None:
        costly = User("dave", READ, secret=argon2.PasswordHasher(2, 64, 1).hash(RIGHT))
        workers = InlineWorkers()
        assert Accounts(people(ALICE, BOB), workers).notice == ""
        assert Accounts({}, workers).notice == ""
        assert "differ in cost" in Accounts(people(ALICE, costly), workers).notice
        assert "PAM" in Accounts(people(ALICE, CAROL), workers, self.pam).notice


class CredTests(LoginCase):
    """That it is twisted.cred, as others know it."""

    def test_interfaces(self) -> None:
        assert verifyObject(IUsernamePassword, Password("alice", RIGHT))
        assert verifyObject(ICertificateNames, CertificateNames(["alice"]))
        assert verifyObject(ILoggedIn, ALICE)
        assert set(self.accounts.portal.listCredentialsInterfaces()) == {IUsernamePassword, ICertificateNames}

    def test_the_portal(self) -> None:
        login = self.accounts.portal.login(Password("alice", RIGHT), None, ILoggedIn)
        interface, avatar, logout = self.successResultOf(login)
        assert (interface, avatar) == (ILoggedIn, ALICE)
        logout()
        login = self.accounts.portal.login(Password("alice", WRONG), None, ILoggedIn)
        self.failureResultOf(login, UnauthorizedLogin)
        login = self.accounts.portal.login(Password("alice", RIGHT), None, IUsernamePassword)
        self.failureResultOf(login, NotImplementedError)


class LogOf:
    """What is logged meanwhile."""

    def __init__(self) -> None:
        self.events: list[LogEvent] = []

    def __enter__(self) -> LogOf:
        globalLogPublisher.addObserver(self.events.append)
        return self

    def __exit__(self, *_: object) -> None:
        globalLogPublisher.removeObserver(self.events.append)

    def text(self) -> str:
        return "".join(f"{eventAsText(each)} {each!r}" for each in self.events)


class SecretTests(LoginCase):
    """No password and no hash is in anything that could be shown."""

    def shown(self, failure: Failure) -> str:
        """All that a failure, and the exception in it, can be made to tell."""
        return "".join(
            (
                failure.getTraceback(detail="verbose"),
                failure.getTraceback(elideFrameworkCode=False),
                repr(failure),
                repr(vars(failure.value)),
                "".join(
                    traceback.TracebackException.from_exception(failure.value, capture_locals=True).format()
                ),
            )
        )

    def test_failures(self) -> None:
        """With Deferreds that keep the locals of all frames, too."""
        self.addCleanup(setDebugging, getDebugging())
        assert ALICE.secret is not None
        broken = User("eve", READ, secret="$argon2id$v=19$m=64,t=1,p=1$hunter2$hunter2")
        for debugging in (False, True):
            setDebugging(debugging)
            self.accounts.replace(people(ALICE, BOB, CAROL, broken))
            for name in ("alice", "bob", "carol", "eve", "nobody"):
                for password in (WRONG, "broken"):
                    failure = self.refuses(self.accounts.by_password(name, password))
                    shown = self.shown(failure)
                    for secret in (password, ALICE.secret, "hunter2"):
                        assert secret not in shown
                    assert failure.value.__context__ is None
                    assert failure.value.__cause__ is None

    def test_nothing_on_the_way_shows_them(self) -> None:
        workers = HandWorkers()
        accounts = Accounts(people(ALICE), workers)
        login = accounts.by_password("alice", RIGHT)
        shown = f"{Password('alice', RIGHT)!r} {workers.jobs!r} {login!r} {ALICE!r}"
        assert RIGHT not in shown
        assert str(ALICE.secret) not in shown
        workers.do()
        assert self.successResultOf(login) is ALICE
