"""Checksums of whole files: made once, and known again for as long as the file stays what it was."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from ..protocol.values import Checksum
from ..storage.interface import ReadHandle


class Checksums:
    """The last ones made, by what tells a file's bytes from all others (`ReadHandle.version`).

    A file that was changed within ``settling`` seconds before it was read is not remembered: kernels
    before 6.13 move a file's times by the tick, so that two changes within one look like one.
    """

    def __init__(
        self, most: int = 10_000, settling: float = 0.1, clock: Callable[[], float] = time.time
    ) -> None:
        """``most`` are kept, about 500 bytes each; ``clock`` are seconds since the epoch."""
        self._most = most
        self._settling = settling
        self._clock = clock
        self._known: OrderedDict[tuple[str, Hashable], Checksum] = OrderedDict()

    def find(self, algorithm: str, handle: ReadHandle) -> Checksum | None:
        """The checksum of all bytes of an open file; None where it must be made."""
        if handle.version is None:
            return None
        known = self._known.get((algorithm, handle.version))
        if known is not None:
            self._known.move_to_end((algorithm, handle.version))
        return known

    def remember(self, handle: ReadHandle, checksum: Checksum) -> None:
        """It was made of all bytes of the file, which has not changed since it was opened."""
        settled = handle.mtime_ns < (self._clock() - self._settling) * 1e9
        if handle.version is None or not settled:
            return
        self._known[checksum.algorithm, handle.version] = checksum
        while len(self._known) > self._most:
            self._known.popitem(last=False)
