"""Many files of 1 KiB: one session, several, commands sent ahead; beside lftp."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from . import ours
from .frame import Bench, Case, Table
from .machine import make_small_files
from .peers import Peer
from .processes import Server
from .secure import Secured
from .steps import Steps, finish, together
from .wire import Session, connect

SESSIONS = 8
ONE, EIGHT = "ftplite library, 1 session", f"ftplite library, {SESSIONS} sessions"
QUEUED = "ftplite library, 1 session, all asked for at once"
NONE, DEFAULT = ", no checksum", ", xxh128 as by default"
NO_TOKENS, INSIDE = ", no tokens", ", inside TLS"
RAW_ONE, RAW_EIGHT = "bare client, 1 session", f"bare client, {SESSIONS} sessions"
RAW_PROVED = RAW_ONE + ", with tokens"
AHEAD, BLIND = "bare client, 1 session, next sent with completion", "bare client, 1 session, 16 sent ahead"
BLIND_EIGHT = f"bare client, {SESSIONS} sessions, 16 sent ahead each"


class Small:
    """The files, and one way after another of fetching them all."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.source, self.target = bench.served / "small", bench.local / "small"
        self.files = make_small_files(self.source, bench.settings.files)
        self.names = [f"small/{each}" for each in self.files]
        self.contents = [(self.source / each).read_bytes() for each in self.files]
        self._server: Server | None = None
        self._secured: tuple[Server, str] | None = None

    @property
    def port(self) -> int:
        """Where our server serves."""
        if self._server is None:
            self._server = ours.server(self.bench)
        return self._server.port

    def fresh(self) -> None:
        """An empty folder for them."""
        shutil.rmtree(self.target, ignore_errors=True)
        (self.target / "small").mkdir(parents=True)

    def check(self, folder: Path) -> None:
        """All are there, each with its contents."""
        for name, contents in zip(self.files, self.contents, strict=True):
            if (folder / name).read_bytes() != contents:
                raise AssertionError(f"{name} came with other contents")
        shutil.rmtree(self.target)

    def raw(self, count: int, way: Callable[[Session, list[str], Path], Steps[None]]) -> float:
        """Raw sockets, ``count`` sessions that were greeted before the clock starts; files a second."""
        self.fresh()
        sessions = [connect(self.port) for _ in range(count)]
        shares = [self.names[index::count] for index in range(count)]
        start = time.perf_counter()
        steps = [way(each, names, self.target) for each, names in zip(sessions, shares, strict=True)]
        if count == 1:
            finish(steps[0])
        else:
            together(steps)
        seconds = time.perf_counter() - start
        for each in sessions:
            each.close()
        self.check(self.target / "small")
        return len(self.names) / seconds

    def library(self, count: int, job: str = "many", **wishes: str) -> float:
        """The library, ``count`` sessions that were greeted before the clock starts; files a second.

        With tokens, as by default, unless the wish ``token`` is ``no``.
        """
        self.fresh()
        with ours.Library(self.bench, self.port, count) as library:
            return self._fetch(library, job, wishes)

    def inside_tls(self, **wishes: str) -> float:
        """The same in one session inside TLS, with a handshake for each file."""
        self.fresh()
        if self._secured is None:
            self._secured = Secured(self.bench).server()
        server, pin = self._secured
        with ours.Library(self.bench, server.port, pin=pin) as library:
            return self._fetch(library, "many", wishes)

    def _fetch(self, library: ours.Library, job: str, wishes: dict[str, str]) -> float:
        done = library.do(do=job, names=self.names, into=str(self.target), **wishes)
        self.check(self.target / "small")
        return len(self.names) / float(done["seconds"])

    def lftp(self, peer: Peer, parallel: int) -> float:
        """lftp's mirror; files a second, its start-up and login included."""
        self.fresh()
        _ = peer.server
        seconds = peer.lftp(f"mirror --no-perms -P{parallel} small {self.target}/small")
        self.check(self.target / "small")
        return len(self.names) / seconds


def run(bench: Bench) -> None:
    """The table of this theme."""
    small = Small(bench)
    vsftpd, pyftpdlib = Peer(bench, "vsftpd"), Peer(bench, "pyftpdlib")
    cases: dict[str, Case] = {
        "lftp, 1 session, vsftpd": lambda: small.lftp(vsftpd, 1),
        "lftp, 4 sessions, vsftpd": lambda: small.lftp(vsftpd, 4),
        "lftp, 1 session, pyftpdlib": lambda: small.lftp(pyftpdlib, 1),
        "lftp, 4 sessions, pyftpdlib": lambda: small.lftp(pyftpdlib, 4),
        RAW_ONE: lambda: small.raw(1, Session.get_each),
        RAW_PROVED: lambda: small.raw(1, Session.get_each_proved),
        RAW_EIGHT: lambda: small.raw(SESSIONS, Session.get_each),
        AHEAD: lambda: small.raw(1, Session.get_ahead),
        BLIND: lambda: small.raw(1, Session.get_blindly),
        BLIND_EIGHT: lambda: small.raw(SESSIONS, Session.get_blindly),
    }
    for ending, wishes in ((NONE, {"checksum": "none"}), (DEFAULT, {})):
        cases[ONE + ending] = partial(small.library, 1, **wishes)
        cases[EIGHT + ending] = partial(small.library, SESSIONS, **wishes)
        cases[QUEUED + ending] = partial(small.library, 1, "queued", **wishes)
    for label, count in ((ONE, 1), (EIGHT, SESSIONS)):
        cases[label + NONE + NO_TOKENS] = partial(small.library, count, checksum="none", token="no")
    cases[ONE + NONE + INSIDE] = partial(small.inside_tls, checksum="none")
    title = f"{len(small.names):,} files of 1 KiB, down to files on tmpfs"
    table = Table(title, "files/s", "lftp, 1 session, vsftpd").run(cases, bench.settings.runs)
    for label in (ONE + NONE, ONE + DEFAULT, RAW_ONE, AHEAD):
        bench.judge(f"small files: {label}, files/s", table.median(label), 1500, failed=table.broke(label))
    for label in (EIGHT + NONE, EIGHT + DEFAULT, RAW_EIGHT):
        bench.judge(f"small files: {label}, files/s", table.median(label), 4000, failed=table.broke(label))
