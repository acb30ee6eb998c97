"""Where a login's password comes from, and where it must not be seen."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite.client.credentials import VARIABLE, Credentials, Login, read_password
from twisted_ftplite.client.troubles import BadUsage
from twisted_ftplite.errors import LocalFileTrouble
from twisted_ftplite.flow.workers import InlineWorkers

SECRET = "correct horse"


class CredentialsTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = Path(folder.name)
        self.patch(os, "environ", dict(os.environ) | {"HOME": folder.name})
        os.environ.pop(VARIABLE, None)
        self.patch(sys, "modules", sys.modules | {"keyring": None})
        self.asked: list[str] = []

    def credentials(
        self, user: str | None = "alice", file: str | None = None, typed: str | None = None
    ) -> Credentials:
        async def ask(question: str) -> str:
            self.asked.append(question)
            assert typed is not None
            return typed

        return Credentials("h", user, file, InlineWorkers(), ask if typed is not None else None)

    def login(self, credentials: Credentials) -> Login | None:
        return self.successResultOf(Deferred.fromCoroutine(credentials.login()))

    def secret(self, credentials: Credentials) -> str:
        login = self.login(credentials)
        assert login is not None
        assert login.name == "alice"
        return self.successResultOf(Deferred.fromCoroutine(login.secret()))

    def netrc(self, text: str, mode: int = 0o600) -> None:
        path = self.home / ".netrc"
        path.write_text(text)
        path.chmod(mode)

    def keyring(self, told: str | Exception | None) -> None:
        class KeyringError(Exception):
            pass

        def get_password(service: str, name: str) -> str | None:
            assert (service, name) == ("ftplite://h", "alice")
            if isinstance(told, Exception):
                raise KeyringError from told
            return told

        module, module.errors = ModuleType("keyring"), ModuleType("keyring.errors")  # type: ignore[attr-defined]
        module.errors.KeyringError = KeyringError
        module.get_password = get_password  # type: ignore[attr-defined]
        sys.modules["keyring"] = module

    def test_the_order(self) -> None:
        self.keyring("of the ring")
        self.netrc("machine h login alice password of-netrc")
        os.environ[VARIABLE] = "of the environment"
        path = self.home / "password"
        path.write_text("of the file\nmore\n")
        assert self.secret(self.credentials(file=str(path), typed="typed")) == "of the file"
        assert self.secret(self.credentials(typed="typed")) == "of the environment"
        assert VARIABLE not in os.environ
        assert self.secret(self.credentials(typed="typed")) == "of-netrc"
        (self.home / ".netrc").unlink()
        assert self.secret(self.credentials(typed="typed")) == "of the ring"
        self.keyring(None)
        assert self.secret(self.credentials(typed="typed")) == "typed"
        assert self.asked == ["Password of alice at h: "]

    def test_none_is_to_be_had(self) -> None:
        login = self.login(self.credentials())
        assert login is not None
        error = self.failureResultOf(Deferred.fromCoroutine(login.secret()), BadUsage).value
        assert "--password-file" in str(error)

    def test_asked_once_until_it_was_wrong(self) -> None:
        credentials = self.credentials(typed="typed")
        assert self.secret(credentials) == self.secret(credentials) == "typed"
        assert len(self.asked) == 1
        assert credentials.forget()
        assert self.secret(credentials) == "typed"
        assert len(self.asked) == 2

    def test_nobody_typed_what_was_found(self) -> None:
        os.environ[VARIABLE] = "wrong"
        credentials = self.credentials(typed="typed")
        assert self.secret(credentials) == "wrong"
        assert not credentials.forget()
        assert self.secret(credentials) == "typed"

    def test_nothing_was_typed(self) -> None:
        login = self.login(self.credentials(typed=""))
        assert login is not None
        self.failureResultOf(Deferred.fromCoroutine(login.secret()), BadUsage)

    def test_nobody(self) -> None:
        assert self.login(self.credentials(None)) is None
        os.environ[VARIABLE] = SECRET
        assert self.login(self.credentials(None, typed="typed")) is None

    def test_netrc_names_a_user(self) -> None:
        self.netrc("machine i login bob password x\nmachine h login alice password y\n")
        login = self.login(self.credentials(None))
        assert login == Login("alice", "y", optional=True)

    def test_netrc_for_others(self) -> None:
        self.netrc("default login alice password x\nmachine h login bob password y\n")
        assert self.secret(self.credentials(typed="typed")) == "typed"

    def test_a_netrc_that_others_can_read(self) -> None:
        self.netrc(f'machine h login alice password "{SECRET}"', 0o644)
        assert self.login(self.credentials(None)) is None
        login = self.login(self.credentials())
        assert login is not None
        error = self.failureResultOf(Deferred.fromCoroutine(login.secret()), LocalFileTrouble).value
        assert "only its owner can read" in str(error)

    def test_a_netrc_that_is_wrong_is_not_quoted(self) -> None:
        self.netrc("machine h login alice password correct horse")
        login = self.login(self.credentials())
        assert login is not None
        failure = self.failureResultOf(Deferred.fromCoroutine(login.secret()), LocalFileTrouble)
        assert "line 1 is wrong" in str(failure.value)
        assert "horse" not in failure.getTraceback()

    def test_a_keyring_that_is_locked(self) -> None:
        self.keyring(ValueError())
        assert self.secret(self.credentials(typed="typed")) == "typed"

    def test_what_is_no_password(self) -> None:
        path = self.home / "password"
        for content in (b"", b"\nx", b"\xff\n", b"x" * 5000):
            path.write_bytes(content)
            with pytest.raises(LocalFileTrouble):
                read_password(str(path))
        path.write_bytes(b" x y \r\n")
        assert read_password(str(path)) == " x y "
        with pytest.raises(LocalFileTrouble, match="missing: No such file"):
            read_password(str(self.home / "missing"))

    def test_a_file_that_others_can_read(self) -> None:
        path = self.home / "password"
        path.write_text(SECRET)
        for mode, count in ((0o600, 0), (0o640, 1), (0o604, 1)):
            path.chmod(mode)
            told: list[str] = []
            assert read_password(str(path), told.append) == SECRET
            assert len(told) == count
            assert SECRET not in "".join(told)

    def test_it_is_not_shown(self) -> None:
        assert SECRET not in repr(Login("alice", SECRET))
        assert SECRET not in str(Login("alice", SECRET))
        credentials = self.credentials(typed=SECRET)
        self.secret(credentials)
        assert SECRET not in repr(credentials)
