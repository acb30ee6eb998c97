"""What data channels need of the reactor."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorFDSet, IReactorTime


class Reactor(IReactorFDSet, IReactorTime):
    """To watch descriptors, and a clock."""
