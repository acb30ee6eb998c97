"""Transfers while strangers race for their data channels: all are whole, and no stranger gets a byte.

Real clients, and the wire by hand; the server connects, and the client does; in the clear, and inside TLS.
"""

from __future__ import annotations

import contextlib
import random
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from channels import active, complete, halves
from harness import Server
from pki import authority_file, server_files, trusting
from raw import TO_RECEIVE, TO_SEND, TRANSFERRED, Session, finish, read_all

from .files import random_file, same
from .intruders import FIELD, POISON, Intruders, Rumours
from .programs import beside_python, descriptors, die_with_parent, environment, eventually, free_range
from .report import Counts, Soak

SIZES = (0, 1, 100, 65_536, 65_537, 1_000_000, 3_000_000)
FILES = 5
"""That each moves up and down again in a round."""


class Shell:
    """A client that reads its commands from us, and does not try again.  Ends with its block."""

    def __init__(self, server: Server, folder: Path, way: str, ports: range, *options: str) -> None:
        self.way, self.ports, self.folder, self.root = way, ports, folder, server.root
        folder.mkdir()
        self._errors = folder.with_suffix(".errors")
        words = ["--retries", "0", "--data", way, "--data-ports", f"{ports[0]}-{ports[-1]}", *options]
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [beside_python("ftplite-client"), *words, *map(str, server.address)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                env={**environment(), "HOME": str(folder), "XDG_CONFIG_HOME": str(folder)},
                preexec_fn=die_with_parent,
            )

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def said(self) -> str:
        """Its last errors."""
        return " / ".join(self._errors.read_text().splitlines()[-3:])

    def do(self, *commands: str) -> None:
        """Have these done."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("".join(f"{each}\n" for each in (*commands, "pwd")).encode())
            self._process.stdin.flush()
        while (line := self._process.stdout.readline()) != b"/\n":
            if not line:
                raise RuntimeError(f"a client left with {self._process.wait()}: {self.said}")

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def move(self, chance: random.Random, name: str) -> bool:
        """A file up and down again, whether it is still the same."""
        up, down = random_file(self.folder / "up", chance.choice(SIZES)), self.folder / "down"
        down.unlink(missing_ok=True)
        self.do(f"put up {name}", f"get {name} down")
        return same(up, self.root / name) and same(up, down)


class Trial:
    """One server, those who use it and those who disturb."""

    def __init__(self, soak: Soak, server: Server, rumours: Rumours, tls: bool) -> None:
        self.soak, self.server, self.rumours, self.tls = soak, server, rumours, tls
        self.moved = Counts()
        self.same = Counts()
        self.stolen = Counts()
        """Data channels that were given to strangers, who got nothing, by their command."""

    def note(self, kind: str, is_same: bool, otherwise: str) -> None:
        """How one went."""
        where = "inside TLS" if self.tls else "in the clear"
        self.moved.add(f"{kind}, {where}")
        self.same.add(f"{kind}, {where}", is_same)
        self.soak.must(is_same, f"{kind}, {where}: {otherwise}")

    def with_client(self, shell: Shell, number: int) -> None:
        """Some files of a real client."""
        chance = self.soak.chance("strangers", shell.way, self.tls, number)
        for _ in range(FILES):
            good = shell.move(chance, shell.way)
            self.note(f"client, {shell.way}", good, f"round {number}: not the same file: {shell.said}")

    def by_hand(self, way: str, number: int) -> None:
        """Some files of a session that tells strangers all but what keeps them out."""
        chance = self.soak.chance("by hand", way, self.tls, number)
        try:
            with self.server.session() as session:
                if self.tls:
                    session.starttls(trusting())
                for _ in range(FILES):
                    content = chance.randbytes(chance.choice(SIZES))
                    name = f"by-hand-{way}"
                    with self._channel(session, way, f"put {name}", TO_RECEIVE, len(content)) as (data, _):
                        data.sendall(content)
                        finish(data)
                        session.send(f"Transfer complete: {name}")
                        session.expect(f"Transfer complete: {name}", TRANSFERRED)
                    with self._channel(session, way, f"get {name}", TO_SEND) as (_, read):
                        received = read()
                        complete(session, name, len(content))
                    stored = (self.server.root / name).read_bytes()
                    self.note(f"by hand, {way}", content == received == stored, "not the same bytes")
                self.stolen_from(session, chance)
        except (AssertionError, OSError, EOFError) as error:
            self.note(f"by hand, {way}", False, f"round {number}: {error!r}")

    @contextlib.contextmanager
    def _channel(
        self, session: Session, way: str, command: str, answer: str, size: int | None = None
    ) -> Iterator[tuple[socket.socket, Callable[[], bytes]]]:
        """Steps 1 to 4: where to send, and what reads all that comes."""
        fields = [] if size is None else [f"File size: {size} bytes"]
        with contextlib.ExitStack() as stack:
            if way == "active":
                token = f"Data channel token: {secrets.token_hex(16)}"
                stack.enter_context(self.rumours.due(token, inside=self.tls))
                data = stack.enter_context(active(session, command, answer, *fields, token=token))
                yield data, lambda: read_all(data)
            else:
                token = session.offer(command, answer, *fields)
                stack.enter_context(self.rumours.due(token, inside=self.tls))
                time.sleep(0.02)  # strangers shall have their chance
                other = stack.enter_context(session.join(token))
                yield other.socket, other.rest

    def look(self) -> None:
        """Nothing is in the tree that nobody put there, and nothing in the log that nobody expected."""
        names = sorted(each.name for each in self.server.root.iterdir())
        expected = sorted(f"{who}{way}" for who in ("", "by-hand-") for way in ("active", "passive"))
        self.soak.must(names == expected, f"in the tree are {names}")
        self.soak.must_be_calm(self.server.log)

    def stolen_from(self, session: Session, chance: random.Random) -> None:
        """A stranger has the port that the server connects to: it gets nothing, and leaves nothing."""
        token = f"Data channel token: {secrets.token_hex(16)}"
        ours, its = halves(token)
        wrong = FIELD + secrets.token_hex(8).encode() + b"\n"
        words = [b"", its, wrong, FIELD + self.rumours.used(chance)[:16].encode() + b"\n", ours[:-1]]
        for command, answer, fields in (
            ("get by-hand-passive", TO_SEND, []),
            ("put stolen", TO_RECEIVE, [f"File size: {len(POISON)} bytes"]),
        ):
            if not (self.server.root / "by-hand-passive").exists():
                return
            received = b""
            data = session.begin(command, answer, token, *fields)
            with data if session.context is None else session.wrap(data) as stranger:
                stranger.settimeout(1)
                said = chance.choice(words)
                with contextlib.suppress(OSError):
                    stranger.sendall(said + (POISON if said else b"x" * 20_000))
                    received = read_all(stranger)
            line = session.line()
            while line.startswith("File size"):
                line = session.line()
            self.soak.must(received == b"", f"a stranger who was connected to got {received[:100]!r}")
            self.soak.must(line.startswith("ERROR: "), f"a stolen data channel ended with {line}")
            self.stolen.add(command)


def run(soak: Soak, count: int = 10) -> list[Trial]:
    """So many rounds, with so many strangers at each place."""
    rumours = Rumours()
    base = soak.room("strangers")
    trials: list[Trial] = []
    with contextlib.ExitStack() as stack:
        shells: list[tuple[Trial, Shell]] = []
        for name, options in (("clear", ()), ("tls", server_files(base))):
            (base / name).mkdir()
            server = Server(base / name, *options, preexec_fn=die_with_parent)
            stack.callback(server.stop)
            trials.append(Trial(soak, server, rumours, tls=options != ()))
            trust = ("--ca", authority_file(base)) if options else ()
            for way in ("active", "passive"):
                folder = base / f"{name}-{way}"
                shell = stack.enter_context(Shell(server, folder, way, free_range(3), *trust))
                shells.append((trials[-1], shell))
        for _, shell in shells:
            shell.move(soak.chance("first"), shell.way)
        processes = {f"the client in {shell.folder.name}": shell.pid for _, shell in shells}
        processes |= {f"the server of {each.server.root.name}": each.server.pid for each in trials}
        held = {pid: descriptors(pid) for pid in processes.values()}
        with Intruders(rumours, soak.chance("intruders")) as intruders:
            for trial, shell in shells:
                if shell.way == "active":
                    intruders.at_client(shell.ports, tls=trial.tls, count=count)
            for trial in trials:
                intruders.at_server(trial.server.address, tls=trial.tls, count=count)
            for number in range(soak.rounds):
                soak.say(f"  round {number + 1} of {soak.rounds}")
                _round(trials, shells, number)
        for who, pid in processes.items():
            gone = eventually(lambda: descriptors(pid) <= held[pid], 15)  # noqa: B023 - called at once
            soak.must(gone, f"{who} has {descriptors(pid)} descriptors open, {held[pid]} before")
        for trial in trials:
            trial.look()
    for each in intruders.wrong:
        soak.must(False, each)
    _tell(soak, trials, intruders)
    return trials


def _round(trials: list[Trial], shells: list[tuple[Trial, Shell]], number: int) -> None:
    """Everybody at once."""
    with ThreadPoolExecutor(2 * len(shells)) as pool:
        running = [pool.submit(trial.with_client, shell, number) for trial, shell in shells]
        for trial in trials:
            running += [pool.submit(trial.by_hand, way, number) for way in ("active", "passive")]
    for each in running:
        each.result()


def _tell(soak: Soak, trials: list[Trial], intruders: Intruders) -> None:
    rows = [[kind, trial.moved[kind], trial.same[kind]] for trial in trials for kind in sorted(trial.moved)]
    title = f"Files moved up and down again while {sum(intruders.reached.values())} strangers came"
    soak.table(title, ["who", "files", "the same to the byte"], rows)
    kinds = sorted(intruders.tries)
    rows = [[kind, intruders.tries[kind], intruders.reached[kind]] for kind in kinds]
    rows.append(["where the server connected", *[sum(each.stolen.total() for each in trials)] * 2])
    title = f"Strangers: {len(intruders.wrong)} got or left anything"
    soak.table(title, ["who, and what it said", "tried", "was listened to"], rows)
