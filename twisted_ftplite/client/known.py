"""The servers that were met with TLS, and how each is known again: a file, one line a server.

A host that was met with TLS once is never spoken to without it.  A line is host, port, and ``ca`` where
an authority vouched for the server, or ``sha256:<hex>``, the fingerprint of its certificate:

    files.example.org 2121 ca
    192.0.2.7 2121 sha256:7d5f…

Any other line is left as it is.  Blocking code, for a worker thread.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from ..errors import LocalFileTrouble
from .files import about

BY_AUTHORITY: Final = "ca"

_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


class Known(NamedTuple):
    """What is remembered of a server."""

    trust: str
    """`BY_AUTHORITY`, or the fingerprint of its certificate."""

    line: int
    """Of the file, the first being 1."""


class KnownServers:
    """The file; it need not be there."""

    def __init__(self, path: str) -> None:
        self.path = path

    def find(self, host: str, port: int) -> Known | None:
        """What is remembered of the server; the first line that names it counts.

        Raises `LocalFileTrouble` where the file is there and cannot be read: not to know is not to have met.
        """
        server = _spelled(host), str(port)
        for number, line in enumerate(self._read().split("\n"), 1):
            words = line.split()
            if len(words) != 3 or (words[0].lower(), words[1]) != server:
                continue
            trust = words[2].lower()
            if trust == BY_AUTHORITY or _FINGERPRINT.fullmatch(trust):
                return Known(trust, number)
            raise LocalFileTrouble(
                f"{self.path}: line {number} says neither {BY_AUTHORITY} nor sha256: and 64 digits;"
                " mend it, or remove it"
            )
        return None

    def remember(self, host: str, port: int, trust: str) -> None:
        """Add the server, unless it is there.  Raises `LocalFileTrouble`."""
        with about(self.path):
            folder = os.path.dirname(self.path) or "."
            os.makedirs(folder, 0o700, exist_ok=True)
            with _locked(folder) as directory:
                if self.find(host, port) is not None:
                    return
                text = self._read()
                if text and not text.endswith("\n"):
                    text += "\n"
                self._replace(text + f"{_spelled(host)} {port} {trust}\n", directory)

    def _read(self) -> str:
        with about(self.path):
            try:
                with open(self.path, encoding="utf-8", errors="surrogateescape") as file:
                    return file.read()
            except FileNotFoundError:
                return ""

    def _replace(self, text: str, directory: int) -> None:
        """In one step: a crash leaves the old file or the new one."""
        new = f"{self.path}.{secrets.token_hex(4)}"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            os.replace(new, self.path)
        except BaseException:
            os.unlink(new)
            raise
        os.fsync(directory)


def _spelled(host: str) -> str:
    """One spelling for each host."""
    name = host.lower().rstrip(".")
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


@contextmanager
def _locked(folder: str) -> Iterator[int]:
    """The folder, open, while no other client writes there."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
