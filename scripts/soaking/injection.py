"""Lines put into the clear where TLS begins, in either direction: nothing of them is done, or believed.

By hand at the server, by the hundred; and by somebody in between a real client and a real server, on the
control channel and on a data channel where the client connects.
"""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

from harness import Server
from pki import authority_file, server_files, trusting
from raw import BEGIN_TLS, GREETING, Session

from .programs import beside_python, die_with_parent, environment, eventually
from .report import Counts, Soak

TRIES = 40
"""By hand in a round."""

TO_SERVER = (
    b"mkdir evil\n",
    b"mkdir evil",
    b"m",
    b"\n",
    b"noop\nmkdir evil\n",
    b"starttls\nmkdir evil\n",
    b"rm f\n",
    b"put evil\nFile size: 0 bytes\nData channel port: passive\n",
    b"Data channel token: 0123456789abcdef0123456789abcdef\nx",
    b"\x16\x03\x01\x00\x0bmkdir evil\n",
    b"\x17\x03\x03\x00\x0bmkdir evil\n",
)
TO_CLIENT = (
    b"SUCCESS: FTPLite/1 ready.\n",
    b"Feature: evil\nSUCCESS: Features listed.\n",
    b"SUCCESS: Data channel ready.\nevil",
    b"S",
    b"\n",
    b"\x16\x03\x01\x00\x05evil\n",
    b"\x17\x03\x03\x00\x05evil\n",
)


class Between:
    """Somebody on the way to a server, who puts in something where TLS begins.  Ends with its block."""

    def __init__(
        self, server: tuple[str, int], connection: int, behind: bytes, injected: bytes, delay: float
    ) -> None:
        """On the ``connection`` of this number, behind this line, so many seconds later."""
        self.done = 0
        self._server, self._connection = server, connection
        self._behind, self._injected, self._delay = behind, injected, delay
        self._listener = socket.create_server((server[0], 0))
        self.port = int(self._listener.getsockname()[1])
        self._open = [self._listener]
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Between:
        self._in_thread(self._serve)
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for each in self._threads:
            each.join()
        for each in self._open:
            each.close()

    def _serve(self) -> None:
        number = 0
        while True:
            client = self._listener.accept()[0]
            server = socket.create_connection(self._server)
            self._open += [client, server]
            number += 1
            for one, other in ((client, server), (server, client)):
                self._in_thread(self._relay, one, other, number == self._connection)

    def _relay(self, source: socket.socket, target: socket.socket, is_chosen: bool) -> None:
        while piece := source.recv(65536):
            at = piece.find(self._behind) if is_chosen else -1
            if at < 0:
                target.sendall(piece)
                continue
            is_chosen = False
            self.done += 1
            at += len(self._behind)
            if self._delay:
                target.sendall(piece[:at])
                time.sleep(self._delay)
                target.sendall(self._injected + piece[at:])
            else:
                target.sendall(piece[:at] + self._injected + piece[at:])
        target.shutdown(socket.SHUT_WR)

    def _in_thread(self, job: object, *arguments: object) -> None:
        def work() -> None:
            with contextlib.suppress(OSError):  # either side may hang up at any time
                job(*arguments)  # type: ignore[operator]

        self._threads.append(threading.Thread(target=work))
        self._threads[-1].start()


class Trial:
    """A server with a certificate, and what was tried."""

    def __init__(self, soak: Soak, server: Server, base: Path) -> None:
        self.soak, self.server, self.base = soak, server, base
        self.trust = authority_file(base)
        (server.root / "f").write_bytes(b"of the server")
        self.tried = Counts()
        self.ended = Counts()

    def round(self, number: int) -> None:
        """Some of each."""
        chance = self.soak.chance("injection", number)
        for _ in range(TRIES):
            self.by_hand(chance)
        for connection, who in ((1, "control channel"), (2, "data channel")):
            self.in_between(chance, connection, f"to the server, {who}", b"starttls\n", TO_SERVER)
            self.in_between(chance, connection, f"to the client, {who}", b"Begin TLS.\n", TO_CLIENT)
        self.in_between(chance, 1, "nothing", b"starttls\n", (b"",))

    def by_hand(self, chance: random.Random) -> None:
        """Before the answer, behind it, or in the handshake; or nothing, and then all must be well."""
        when = chance.choice(["with it", "behind it", "behind the answer", "in the handshake", "never"])
        injected = chance.choice(TO_SERVER)
        before = chance.choice([b"", b"noop\n", b"cd d\n"])
        self.tried.add(f"by hand, {when}")
        context, ours, its = trusting(), ssl.MemoryBIO(), ssl.MemoryBIO()
        side = context.wrap_bio(its, ours, server_hostname="127.0.0.1")
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
        hello = ours.read()
        first = before + b"starttls\n" + (injected if when == "with it" else b"")
        with self.server.session(first=first) as session:
            is_inside = False
            with contextlib.suppress(OSError, EOFError, AssertionError):
                if when == "behind it":
                    time.sleep(chance.uniform(0, 0.002))
                    session.socket.sendall(injected)
                self._turn(session, before, injected, when, hello, side, ours, its)
                is_inside = True
        what = f"{injected!r} {when}, {before!r} before"
        if self.soak.must(is_inside == (when == "never"), f"{what}: {'inside' if is_inside else 'lost'}"):
            self.ended.add(f"by hand, {when}")

    def _turn(
        self,
        session: Session,
        before: bytes,
        injected: bytes,
        when: str,
        hello: bytes,
        side: ssl.SSLObject,
        ours: ssl.MemoryBIO,
        its: ssl.MemoryBIO,
    ) -> None:
        """Up to an answer inside TLS; raises where there is none."""
        if before:
            session.line()
        session.expect(BEGIN_TLS)
        cut = len(hello) // 2
        session.socket.sendall(
            {
                "behind the answer": injected + hello,
                "in the handshake": hello[:cut] + injected + hello[cut:],
            }.get(when, hello)
        )

        def more() -> None:
            session.socket.sendall(ours.read())
            piece = session.socket.recv(65536)
            if not piece:
                raise EOFError
            its.write(piece)

        while True:
            try:
                side.do_handshake()
                break
            except ssl.SSLWantReadError:
                more()
        side.write(b"pwd\n")
        said = b""
        while b"Described." not in said:
            try:
                said += side.read(1000)
            except ssl.SSLWantReadError:
                more()
        self.soak.must(said.startswith(b"Directory: /\n"), f"inside TLS it went on with {said!r}")

    def in_between(
        self, chance: random.Random, connection: int, what: str, behind: bytes, choices: tuple[bytes, ...]
    ) -> None:
        """A real client fetches a file; it must not have anything of the one in between."""
        injected, delay = chance.choice(choices), chance.choice([0, 0, 0.001, 0.01])
        got = self.base / "got"
        got.unlink(missing_ok=True)
        with Between(self.server.address, connection, behind, injected, delay) as between:
            words = ["--ca", self.trust, "--retries", "0", "--timeout", "5", "--data", "passive"]
            client = subprocess.run(
                [beside_python("ftplite-client"), *words, "127.0.0.1", str(between.port), "get", "f", "got"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                cwd=self.base,
                env={**environment(), "HOME": str(self.base), "XDG_CONFIG_HOME": str(self.base)},
                preexec_fn=die_with_parent,
                check=False,
                timeout=60,
            )
        kind = f"a client, {what}"
        self.tried.add(kind)
        said = f"{kind}: {injected!r}, {delay} s later: it left with {client.returncode}: {client.stderr!r}"
        if injected:
            good = client.returncode == 3 and not got.exists()
        else:
            good = client.returncode == 0 and got.read_bytes() == b"of the server"
        if self.soak.must(good and between.done == 1, said):
            self.ended.add(kind)

    def look(self) -> None:
        """Nothing of all that was done."""
        names = sorted(each.name for each in self.server.root.iterdir())
        self.soak.must(names == ["d", "f"], f"in the tree are {names}")
        with self.server.session() as session:
            self.soak.must(session.is_answered(), f"no answer behind {GREETING}")
        self.soak.must_be_calm(self.server.log)


def run(soak: Soak) -> Trial:
    """So many rounds."""
    base = soak.room("injection")
    (base / "tree" / "d").mkdir(parents=True)
    server = Server(base / "tree", *server_files(base), preexec_fn=die_with_parent)
    try:
        rest = server.descriptors_at_rest()
        trial = Trial(soak, server, base)
        for number in range(soak.rounds):
            soak.say(f"  round {number + 1} of {soak.rounds}")
            trial.round(number)
        trial.look()
        gone = eventually(lambda: server.descriptors() <= rest, 15)
        soak.must(gone, f"the server has {server.descriptors()} descriptors open, {rest} before")
    finally:
        server.stop()
    rows = [[kind, trial.tried[kind], trial.ended[kind]] for kind in sorted(trial.tried)]
    columns = ["where, and when", "tried", "ended as it must"]
    soak.table("Lines put in where TLS begins", columns, rows)
    return trial
