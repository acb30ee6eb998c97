"""Pipes that splices go through, and who has which."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress

from ..limits import Limits

_F_SETPIPE_SZ = getattr(fcntl, "F_SETPIPE_SZ", 1031)
_F_GETPIPE_SZ = getattr(fcntl, "F_GETPIPE_SZ", 1032)


class Pipe:
    """A pipe that splices go through: the write end never blocks, the read end belongs to a thread."""

    def __init__(self, size: int) -> None:
        self.read_end, self.write_end = os.pipe()
        with suppress(PermissionError):  # this user's pipes hold too much already: what there is will do
            fcntl.fcntl(self.write_end, _F_SETPIPE_SZ, size)
        self.size: int = fcntl.fcntl(self.write_end, _F_GETPIPE_SZ)

    def close(self) -> None:
        """Close both ends; what is inside is gone."""
        os.close(self.read_end)
        os.close(self.write_end)


class Pipes:
    """The pipes that transfers share: making one costs more than many a transfer."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._free: list[Pipe] = []
        self._lent = 0

    def lend(self) -> Pipe | None:
        """An empty pipe, or None where all are lent or there is none to be had."""
        if self._free:
            self._lent += 1
            return self._free.pop()
        if self._lent >= self._limits.pipes or not hasattr(os, "splice"):
            return None
        try:
            made = Pipe(self._limits.pipe_size)
        except OSError:  # no descriptors left: the transfer copies instead
            return None
        self._lent += 1
        return made

    def give_back(self, pipe: Pipe, *, empty: bool) -> None:
        """Return a pipe; one that is not empty is of no more use."""
        self._lent -= 1
        if empty and len(self._free) < self._limits.pipes:
            self._free.append(pipe)
        else:
            pipe.close()

    def close(self) -> None:
        """Close those that nobody holds."""
        while self._free:
            self._free.pop().close()
