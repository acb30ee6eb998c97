"""One bit turned: on its way, at any place, in both directions; in what waits to be gone on with; on disk."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from pathlib import Path

from .files import flip, own_files, random_file, same
from .programs import Client, Server, eventually, free_port, run_client
from .proxy import CuttingProxy, FlippingProxy
from .report import Soak

SIZES = (1, 100, 65_536, 65_537, 1_000_000, 10_000_000)
"""Small enough to be gathered, the edge of that, resumable, large."""

BROKEN_OFF = ((6_000_000, 3_000_000), (6_000_000, 5_999_000), (500_000, 200_000), (30_000, 10_000))
"""Sizes, and where a transfer is broken off: in the middle, with little missing, and small ones."""

PLACES = ("first", "last", "anywhere")
WAYS = ("active", "passive")
"""Who connects for data: the server or the client."""

MISMATCH = "Checksum mismatch"


@dataclass
class Tally:
    """All rounds of one kind."""

    turned: int = 0
    caught: int = 0


class Trial:
    """One server, and one round after another."""

    def __init__(self, soak: Soak, server: Server) -> None:
        self.soak, self.server = soak, server
        self.local = soak.room("rot-local")
        self.port = free_port()
        """Of every proxy: a client goes on only with what it had from the same place."""
        self.way = WAYS[0]
        """Of the round."""
        self.tallies: dict[str, Tally] = {}

    def sound(self) -> None:
        """Nothing is turned: the proxy itself must not be what is caught."""
        source, target = self._ends("put", 300_000)
        with self._proxy() as proxy:
            for verb in ("put", "get"):
                client = self._transfer(verb)
                if client.process.returncode:
                    raise RuntimeError(f"{verb} fails though no bit was turned: {client.said}")
        if not same(source, target) or proxy.moved != 600_000:
            raise RuntimeError(f"the proxy is none: it moved {proxy.moved} bytes of 600000")
        source.unlink()
        target.unlink()

    def on_the_way(self, verb: str, size: int, place: str, chance: random.Random, *options: str) -> None:
        """One bit of one transfer; the old file must stay."""
        position = {"first": 0, "last": size - 1, "anywhere": chance.randrange(size)}[place]
        target = self._ends(verb, size)[1]
        target.write_bytes(b"old")
        with self._proxy(position, chance.randrange(8)) as proxy:
            client = self._transfer(verb, *options)
        self._caught(f"{verb}, on the way", f"byte {position} of {size} {' '.join(options)}", client, proxy)
        self.soak.must(target.read_bytes() == b"old", f"{verb} of {size}: what was turned was kept")
        self._clean(f"{verb} of {size}")
        target.unlink()

    def gone_on(self, verb: str, chance: random.Random) -> None:
        """A transfer that was broken off goes on, and a bit of what is missing is turned.

        A get cannot tell whether that was on its way or had been there: it starts over, and meets it again.
        """
        size, most = chance.choice(BROKEN_OFF)
        target = self._ends(verb, size)[1]
        reached = self._broken_off(verb, most, target.parent)
        if reached is None:
            return
        position = chance.randrange(size - reached)
        with self._proxy(position, chance.randrange(8)) as proxy:
            client = self._transfer(verb, "-c")
        allowed = size - reached if verb == "put" else size - reached + size
        self.soak.must(proxy.moved <= allowed, f"{verb} -c moved {proxy.moved} bytes of {size - reached}")
        what = f"byte {reached + position} of {size}, {reached} there before"
        self._caught(f"{verb} -c, on the way", what, client, proxy)
        self.soak.must(not target.exists(), f"{verb} -c: what was turned was kept")
        self._clean(f"{verb} -c")

    def while_it_waits(self, verb: str, chance: random.Random) -> None:
        """A bit of a partial turns on the disk: a put finds out before bytes are added, a get at the end."""
        size, most = chance.choice(BROKEN_OFF)
        source, target = self._ends(verb, size)
        reached = self._broken_off(verb, most, target.parent)
        if reached is None:
            return
        (partial,) = own_files(target.parent)
        flip(partial, chance.randrange(reached), chance.randrange(8))
        with self._proxy() as proxy:
            client = self._transfer(verb, "-c")
        whole = client.process.returncode == 0 and same(source, target)
        wanted = size if verb == "put" else size - reached + size
        tally = self.tallies.setdefault(f"{verb} -c, in the partial", Tally())
        tally.turned += 1
        tally.caught += whole
        self.soak.must(whole, f"{verb} -c of a rotten partial: {client.process.returncode}, {client.said}")
        self.soak.must(
            proxy.moved == wanted, f"{verb} -c of a rotten partial moved {proxy.moved} of {wanted}"
        )
        self._clean(f"{verb} -c")
        target.unlink(missing_ok=True)

    def _proxy(self, position: int | None = None, bit: int = 0) -> FlippingProxy:
        return FlippingProxy((self.server.host, self.server.port), position, bit, port=self.port)

    def _ends(self, verb: str, size: int) -> tuple[Path, Path]:
        """A new source, and a target that is not there."""
        ends = self.local / "local", self.server.root / "remote"
        source, target = ends if verb == "put" else (ends[1], ends[0])
        target.unlink(missing_ok=True)
        return random_file(source, size), target

    def _transfer(self, verb: str, *options: str, retries: int = 5) -> Client:
        names = ["local", "remote"] if verb == "put" else ["remote", "local"]
        words = [verb, *options, *names]
        more = ["--retries", str(retries), "--data", self.way]
        return run_client(self.server, *words, options=more, port=self.port, cwd=self.local)

    def _broken_off(self, verb: str, most: int, folder: Path) -> int | None:
        """Cut one when ``most`` bytes have passed; bytes of its partial, which is in ``folder``."""
        with CuttingProxy((self.server.host, self.server.port), most, self.port):
            client = self._transfer(verb, retries=0)
        self.soak.must(client.process.returncode == 3, f"{verb} cut in the middle: {client.said}")
        # The server may not have noticed yet: what it has is still on its way to the disk.
        eventually(lambda: [*own_files(folder).values()] == [most], 2)
        found = own_files(folder)
        if not self.soak.must(len(found) == 1, f"{verb} cut in the middle left {found}"):
            return None
        return sum(found.values())

    def _caught(self, kind: str, what: str, client: Client, proxy: FlippingProxy) -> None:
        tally = self.tallies.setdefault(kind, Tally())
        tally.turned += 1
        caught = client.process.returncode == 1 and MISMATCH in client.said
        tally.caught += caught
        self.soak.must(proxy.flipped > 0, f"{kind}: {what}: no bit was turned")
        self.soak.must(caught, f"{kind}: {what}: left with {client.process.returncode}: {client.said}")

    def _clean(self, what: str) -> None:
        for folder in (self.local, self.server.root):
            gone = eventually(lambda: not own_files(folder), 3)  # noqa: B023 - called at once
            self.soak.must(gone, f"{what}: left behind: {own_files(folder)}")


def run(soak: Soak, sizes: tuple[int, ...] = SIZES) -> dict[str, Tally]:
    """So many rounds: each size, both directions, a place in turns."""
    with Server(soak.room("rot-root")) as server:
        trial = Trial(soak, server)
        for trial.way in WAYS:
            trial.sound()
        for number in range(soak.rounds):
            chance = soak.chance("rot", number)
            soak.say(f"  round {number + 1} of {soak.rounds}")
            for index, (size, verb) in enumerate(itertools.product(sizes, ("put", "get"))):
                trial.way = WAYS[(number + index // 2 + index) % len(WAYS)]
                trial.on_the_way(verb, size, PLACES[(number + index // 2) % len(PLACES)], chance)
            for index, verb in enumerate(("put", "get")):
                trial.way = WAYS[(number + index) % len(WAYS)]
                trial.gone_on(verb, chance)
                trial.while_it_waits(verb, chance)
        soak.must(not server.troubles(), f"the server's log: {server.troubles()[:3]}")
    rows = [[kind, tally.turned, tally.caught] for kind, tally in trial.tallies.items()]
    soak.table("One bit turned", ["where", "times", "caught"], rows)
    return trial.tallies
