"""kill -9 of either side in the middle of a transfer; `-c` goes on, and the file is the same to the byte.

How much was sent again is not asked of the programs: loopback, in a namespace of its own and with a rate, has
counted what it carried, and an unbroken transfer tells what it would have been.
"""

from __future__ import annotations

import random
import shutil
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from .files import own_files, random_file, same
from .network import Network
from .programs import Client, Server, eventually
from .report import MIB, Soak

NAME, TARGET = "big", "copy"
MOST = 5.0
"""MiB sent again, in the median."""

BEGUN = 256 * 1024
"""Bytes carried when a transfer has begun for sure."""


class Way(NamedTuple):
    """One kind of break."""

    verb: str
    victim: str
    by_itself: bool
    """The client is left to go on by itself; else it is told not to, and a second one goes on with `-c`."""

    def __str__(self) -> str:
        how = "the client goes on by itself" if self.by_itself else "`-c`"
        return f"{self.verb}, {self.victim} killed, {how}"


WAYS = (
    Way("put", "server", False),
    Way("put", "server", True),
    Way("put", "client", False),
    Way("get", "server", False),
    Way("get", "server", True),
    Way("get", "client", False),
)


@dataclass
class Tally:
    """All rounds of one way."""

    again: list[float] = field(default_factory=list)
    """MiB sent again."""
    reached: list[float] = field(default_factory=list)
    """Where it was broken off, as a part of the whole."""
    whole: int = 0
    late: int = 0
    """The command had ended when the kill came."""


class Trial:
    """A namespace, a source, and one round after another."""

    def __init__(self, soak: Soak, network: Network) -> None:
        self.soak, self.network = soak, network
        self.folder = soak.room("kill")
        self.source = random_file(self.folder / "source", soak.size)
        self.seconds, self.carried = {}, {}
        for verb in ("put", "get"):
            runs = [self.unbroken(verb) for _ in range(min(3, soak.rounds))]
            self.seconds[verb] = statistics.median(each[0] for each in runs)
            self.carried[verb] = statistics.median(each[1] for each in runs)

    def server(self, verb: str) -> Server:
        """On an empty tree, or on one that holds the source where that shall be got."""
        root, local = self.folder / "root", self.folder / "local"
        for each in (root, local):
            shutil.rmtree(each, ignore_errors=True)
            each.mkdir()
        if verb == "get":
            (root / NAME).hardlink_to(self.source)
        return Server(root, before=self.network.inside)

    def words(self, verb: str, more: bool) -> tuple[list[str], Path]:
        """The command, to go on where ``more``, and the file that it makes."""
        option = ["-c"] if more else []
        if verb == "put":
            return ["put", *option, str(self.source), NAME], self.folder / "root" / NAME
        return ["get", *option, NAME, TARGET], self.folder / "local" / TARGET

    def client(self, server: Server, verb: str, more: bool, *options: str) -> Client:
        """Started, not awaited."""
        return Client(
            server,
            *self.words(verb, more)[0],
            options=options,
            before=self.network.inside,
            cwd=self.folder / "local",
        )

    def unbroken(self, verb: str) -> tuple[float, int]:
        """How long it takes from its beginning on, and what it carries."""
        with self.server(verb) as server:
            before = self.network.carried()
            client = self.client(server, verb, False)
            eventually(lambda: self.network.carried() > before + BEGUN)
            began = time.monotonic()
            status = client.end()
            seconds, carried = time.monotonic() - began, self.network.carried() - before
            if status or not same(self.source, self.words(verb, False)[1]):
                raise RuntimeError(f"even an unbroken {verb} fails: {client.said}")
            return seconds, carried

    def round(self, way: Way, number: int, tally: Tally) -> None:
        """Break one off, go on, and look."""
        chance = self.soak.chance(way, number)
        instant = chance.uniform(0, self.seconds[way.verb])
        what = f"{way}, round {number}, {instant:.3f} s in"
        with self.server(way.verb) as server:
            before = self.network.carried()
            client = self.client(server, way.verb, False, *([] if way.by_itself else ["--retries", "0"]))
            eventually(lambda: self.network.carried() > before + BEGUN)
            time.sleep(instant)
            status, left = self.strike(way, server, client)
            if status == 0 and not left:
                tally.late += 1
            else:
                tally.reached.append(left / self.soak.size)
                wanted = (0,) if way.by_itself else (3, -9)
                gone = f"{what}: with the {way.victim} gone it left with {status}: {client.said}"
                self.soak.must(status in wanted, gone)
            if status != 0 or not way.by_itself:
                status = self.go_on(way, server, client, chance)
            again = self.network.carried() - before - self.carried[way.verb]
            tally.again.append(max(again, 0) / MIB)
            self.look(way, server, client, status, what)
            tally.whole += 1
            self.soak.say(f"  {what}: {tally.again[-1]:.2f} MiB again; {client.said.splitlines()[-1:]}")

    def strike(self, way: Way, server: Server, client: Client) -> tuple[int, int]:
        """Kill: the exit status of the client, whatever it did then, and the bytes of the partial."""
        folder = self.folder / ("root" if way.verb == "put" else "local")
        if way.victim == "client":
            status = client.kill()
            return status, sum(own_files(folder).values())
        server.kill()
        left = sum(own_files(folder).values())
        if way.by_itself:
            server.start()
            return client.end(), left
        status = client.end()
        left = sum(own_files(folder).values())
        server.start()
        return status, left

    def go_on(self, way: Way, server: Server, broken: Client, chance: random.Random) -> int:
        """A second command with `-c`, at once: what the first one left may still seem to be written.

        Every third is killed as well, so that what goes on is a thing that had gone on before.
        """
        if chance.random() < 1 / 3:
            middle = self.client(server, way.verb, True)
            time.sleep(chance.uniform(0.2, 0.5))
            middle.kill()
        second = self.client(server, way.verb, True)
        status = second.end()
        broken.said = second.said
        return status

    def look(self, way: Way, server: Server, client: Client, status: int, what: str) -> None:
        """All must be there, whole, and nothing beside it."""
        target = self.words(way.verb, True)[1]
        self.soak.must(status == 0, f"{what}: it left with {status}: {client.said}")
        self.soak.must(same(self.source, target), f"{what}: the file is another")
        for folder in ("root", "local"):
            gone = eventually(lambda: not own_files(self.folder / folder), 3)  # noqa: B023 - called at once
            self.soak.must(gone, f"{what}: left in {folder}: {own_files(self.folder / folder)}")
        self.soak.must(not server.troubles(), f"{what}: the server's log: {server.troubles()[:3]}")


def run(soak: Soak, megabits: int = 1600, ways: tuple[Way, ...] = WAYS) -> dict[Way, Tally]:
    """All ways, so many rounds each."""
    with Network(megabits) as network:
        trial = Trial(soak, network)
        tallies = {way: Tally() for way in ways}
        for number in range(soak.rounds):
            for way, tally in tallies.items():
                trial.round(way, number, tally)
    rows = []
    for way, tally in tallies.items():
        median = statistics.median(tally.again)
        rows.append(
            [
                way,
                f"{tally.whole} of {soak.rounds}",
                f"{min(tally.reached):.0%} to {max(tally.reached):.0%}" if tally.reached else "-",
                tally.late,
                f"{median:.2f}",
                f"{max(tally.again):.2f}",
            ]
        )
        soak.must(median < MOST, f"{way}: {median:.1f} MiB sent again in the median, {MOST:g} at most")
    columns = ["break", "whole", "broken off at", "ended before", "MiB again, median", "most"]
    soak.table(f"kill -9 in the middle of {soak.size >> 20} MiB", columns, rows)
    return tallies
