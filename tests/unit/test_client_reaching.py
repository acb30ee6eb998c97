"""Which ways of data are tried, and in which order."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite.client.reaching import ACTIVE, AUTO, PASSIVE, ways
from twisted_ftplite.client.services import Services
from twisted_ftplite.errors import NotSupported
from twisted_ftplite.flow.pipes import Pipes
from twisted_ftplite.flow.workers import InlineWorkers
from twisted_ftplite.limits import Limits


class WaysTests(SynchronousTestCase):
    def services(self, *features: str, **more: Any) -> Services:
        reactor: Any = Clock()
        offered: dict[str, tuple[str, ...]] = dict.fromkeys(features, ())
        services = Services(reactor, InlineWorkers(), Pipes(Limits()), Limits(), (0, 0), offered=offered)
        for name, value in more.items():
            setattr(services, name, value)
        return services

    def test_both(self) -> None:
        assert ways(self.services("passive"), AUTO) == (ACTIVE, PASSIVE)
        assert ways(self.services("passive", near=False), AUTO) == (PASSIVE, ACTIVE)

    def test_what_has_worked(self) -> None:
        assert ways(self.services("passive", way=PASSIVE), AUTO) == (PASSIVE,)
        assert ways(self.services("passive", way=PASSIVE), ACTIVE) == (ACTIVE,)

    def test_a_server_without(self) -> None:
        assert ways(self.services(near=False), AUTO) == (ACTIVE,)
        assert ways(self.services(), ACTIVE) == (ACTIVE,)
        with pytest.raises(NotSupported):
            ways(self.services(), PASSIVE)
