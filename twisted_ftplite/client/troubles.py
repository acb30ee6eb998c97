"""How a command can end badly without the protocol's doing; the rest is in `twisted_ftplite.errors`."""

from __future__ import annotations


class BadUsage(Exception):
    """What was asked for makes no sense; the text says why, for people."""


class Interrupted(Exception):
    """The user said so."""

    def __str__(self) -> str:
        return "interrupted"


class Unreachable(Exception):
    """There is no session to be had; the text says where and why, for people."""


class Reported(Exception):
    """Some of what was asked for went wrong, and each of it was told already; ``error`` came first."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error
