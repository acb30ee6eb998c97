"""A small file that was read whole when it was opened."""

from __future__ import annotations

from collections.abc import Hashable


class Snapshot:
    """A `ReadHandle` of bytes in memory: nothing can change it, and it holds nothing open."""

    def __init__(
        self, content: bytes, mtime_ns: int = 0, mode: int = 0o644, version: Hashable | None = None
    ) -> None:
        self._content = content
        self.mtime_ns = mtime_ns
        self.mode = mode
        self.version = version

    @property
    def size(self) -> int:
        return len(self._content)

    @property
    def content(self) -> bytes:
        return self._content

    def fileno(self) -> None:
        return None

    def read(self, offset: int, count: int) -> bytes:
        return self._content[offset : offset + count]

    def changed(self) -> bool:
        return False

    def close(self) -> None:
        return None
