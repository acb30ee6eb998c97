"""One big file inside TLS 1.3 with AES-128-GCM: beside plain, bare `ssl` sockets, and the peers with curl."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from . import ours
from .big import DEFAULT, NONE, Ours
from .frame import Bench, Case, Table
from .machine import make_file
from .processes import Server
from .secure import SUITE, Secured, SecureLibrary
from .secure_pair import SecurePair

PAIR = "bare ssl socket pair"
PLAIN = "ftplite, plain"
ACTIVE, PASSIVE = "ftplite, TLS, active", "ftplite, TLS, passive"
COMMAND = "ftplite-client, TLS, active, start-up included"
LEAST = 0.8
"""Of the bare pair's rate, in the same run."""


class Inside(Ours):
    """Our server inside TLS, with data channels made in one of the ways."""

    def __init__(self, bench: Bench, source: Path, started: tuple[Server, str], data: str) -> None:
        super().__init__(bench, source)
        self._server, self._pin = started
        self._data = data

    def library(self) -> ours.Library:
        """A client that trusts the fingerprint alone."""
        return SecureLibrary(self.bench, self.port, data=self._data, pin=self._pin)

    def command(self, *options: str) -> list[str]:
        """The command, likewise."""
        return super().command("--pin", self._pin, "--data", self._data, *options)


def run(bench: Bench) -> None:
    """A table each for the null device, a file, and the way up."""
    source = make_file(bench.served / "big", bench.settings.size)
    secured = Secured(bench)
    pair = SecurePair(bench, source, secured.certificate, secured.key)
    started = secured.server()
    plain, peers = Ours(bench, source), secured.peers()
    active, passive = (Inside(bench, source, started, each) for each in ("active", "passive"))
    target = bench.local / "curl"
    get: dict[str, Case] = {
        COMMAND + NONE: partial(active.command_get, "--checksum", "none"),
        COMMAND + DEFAULT: active.command_get,
    }
    put: dict[str, Case] = {
        COMMAND + NONE: partial(active.command_put, "--checksum", "none"),
        COMMAND + DEFAULT: active.command_put,
    }
    for what, reference, measured, besides in (
        (
            "get to the null device",
            pair.to_nowhere,
            [each.get_to_nowhere for each in (plain, active, passive)],
            {f"{each.name}, TLS → curl": partial(each.curl_down, source, None) for each in peers},
        ),
        (
            "get to a file",
            pair.to_file,
            [each.get_to_file for each in (plain, active, passive)],
            get | {f"{each.name}, TLS → curl": partial(each.curl_down, source, target) for each in peers},
        ),
        (
            "put from a file",
            pair.to_file,
            [each.put_from_file for each in (plain, active, passive)],
            put | {f"curl → {each.name}, TLS": partial(each.curl_up, source) for each in peers},
        ),
    ):
        compare(bench, what, reference, measured, besides)


def compare(
    bench: Bench, what: str, reference: Case, measured: list[Callable[..., float]], besides: dict[str, Case]
) -> None:
    """One table, and its verdicts: of active and passive the slower one counts."""
    cases: dict[str, Case] = {PAIR: reference}
    for label, way in zip((PLAIN, ACTIVE, PASSIVE), measured, strict=True):
        cases[label + NONE] = partial(way, checksum="none")
        cases[label + DEFAULT] = way
    size = bench.settings.size >> 20
    table = Table(f"{size} MiB on tmpfs, {what}, {SUITE}", "GB/s", PAIR)
    table.run(cases | besides, bench.settings.runs)
    peers = [each for each in besides if "curl" in each]
    best = max(filter(None, map(table.median, peers)), default=None)
    for ending in (NONE, DEFAULT):
        labels = (ACTIVE + ending, PASSIVE + ending)
        failed = any(map(table.broke, labels))
        figures = [each for each in map(table.median, labels) if each is not None]
        slower = None if failed else min(figures, default=None)
        bare = table.median(PAIR)
        target = f"TLS, {what}{ending}, ratio to the {PAIR}"
        bench.judge(target, slower / bare if slower and bare else None, LEAST, failed=failed)
        target = f"TLS, {what}{ending}, ratio to the best peer with curl"
        bench.judge(target, slower / best if slower and best else None, 1.0, failed=failed)
