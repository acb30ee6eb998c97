"""The power goes right after the client has heard `SUCCESS`: what was acknowledged is there, and whole."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

from .disk import Disk, cut
from .files import OWN, walk
from .programs import Server, run_client
from .report import MIB, Soak
from .wire import Answer, Refused, Wire

SIZES = (0, 1, 1000, 65_536, 65_537, 1_000_001, 3_000_000)
RESUMABLE = 2 * MIB
"""Bytes of an upload that its server keeps through a kill -9 as well."""

BEFORE = 5
"""Acts of a round before the last one, the power going right behind that."""


class Trial:
    """A tree on a disk of its own, and what must be in it: bytes by path, None for a directory."""

    def __init__(self, soak: Soak, disk: Disk) -> None:
        self.soak, self.disk = soak, disk
        self.tree: dict[str, bytes | None] = {}
        self.acts: Counter[str] = Counter()
        self.last: Counter[str] = Counter()
        self.lost = 0

    def round(self, number: int, server: Server) -> None:
        """Some acts, the power goes, and all of them must have been."""
        chance = self.soak.chance("power", number)
        server.start()
        handle = self.disk.handle()
        half = chance.randbytes(RESUMABLE)
        try:
            with Wire(server.port) as session, Wire(server.port) as other:
                for _ in range(BEFORE):
                    self.act(session, chance, chance.choice(ACTS))
                begun = other.begin_put("half", len(half))
                if not isinstance(begun, Answer):
                    begun.sendall(half[: RESUMABLE // 2])
                last = ACTS[number % len(ACTS)]
                name = self.act(session, chance, last)
                cut(handle)
                self.last[name] += 1
                if not isinstance(begun, Answer):
                    begun.close()
        finally:
            os.close(handle)
            server.kill()
        self.disk.unmount()
        self.disk.mount()
        self.look(f"round {number}, the last act being {name}")
        self.go_on(half, server, f"round {number}")

    def look(self, when: str) -> None:
        """The tree must be what was acknowledged, no more and no less."""
        root = self.disk.root
        found: dict[str, bytes | None] = {
            str(each.relative_to(root)): each.read_bytes() for each in walk(root) if OWN not in each.name
        }
        for folder, names, _ in os.walk(root):
            found |= {str(Path(folder, name).relative_to(root)): None for name in names}
        for name in sorted(found.keys() | self.tree.keys()):
            if name not in found:
                wrong = "is gone"
            elif name not in self.tree:
                wrong = "is there, and should not be"
            elif found[name] != self.tree[name]:
                wrong = "has other bytes"
            else:
                continue
            self.lost += 1
            self.soak.must(False, f"{when}: {name} {wrong}")

    def go_on(self, half: bytes, server: Server, when: str) -> None:
        """What was under way when the power went: a client goes on with it, or starts over."""
        source = self.soak.folder / "half"
        source.write_bytes(half)
        server.start()
        client = run_client(server, "put", "-c", "half", cwd=self.soak.folder)
        good = client.process.returncode == 0 and (self.disk.root / "half").read_bytes() == half
        self.soak.must(good, f"{when}: put -c after it: {client.process.returncode}, {client.said}")
        server.kill()
        (self.disk.root / "half").unlink(missing_ok=True)
        self.acts["put -c of what was under way"] += 1

    def act(self, session: Wire, chance: random.Random, kind: str) -> str:
        """Do one; returns what it was."""
        files = [name for name, content in self.tree.items() if content is not None]
        folders = [name for name, content in self.tree.items() if content is None]
        if not files or (kind == "rmdir" and not folders):
            kind = "put" if not files else "mkdir"
        match kind:
            case "put":
                self._put(session, f"{self._folder(chance)}file {sum(self.acts.values())}", chance)
            case "overwrite":
                self._put(session, chance.choice(files), chance)
            case "resumed put":
                self._resumed(session, chance.choice(files), chance)
            case "mv":
                self._move(session, chance.choice(files), f"{self._folder(chance)}moved {self.acts[kind]}")
            case "mv over":
                self._move(session, chance.choice(files), chance.choice(files))
            case "rm":
                name = chance.choice(files)
                self._good(session.ask("rm", name))
                del self.tree[name]
            case "mkdir":
                name = f"folder {self.acts[kind]}"
                self._good(session.ask("mkdir", name))
                self.tree[name] = None
            case "rmdir":
                name = chance.choice(folders)
                for each in [each for each in files if each.startswith(f"{name}/")]:
                    self._good(session.ask("rm", each))
                    del self.tree[each]
                self._good(session.ask("rmdir", name))
                del self.tree[name]
        self.acts[kind] += 1
        return kind

    def _folder(self, chance: random.Random) -> str:
        folders = [name for name, content in self.tree.items() if content is None]
        return chance.choice(["", *(f"{name}/" for name in folders)])

    def _put(self, session: Wire, name: str, chance: random.Random) -> None:
        content = chance.randbytes(chance.choice(SIZES))
        self._good(session.put(name, content))
        self.tree[name] = content

    def _resumed(self, session: Wire, name: str, chance: random.Random) -> None:
        content = chance.randbytes(RESUMABLE)
        begun = session.begin_put(name, len(content))
        if isinstance(begun, Answer):
            raise Refused(begun.status)
        with begun:
            begun.sendall(content[: chance.randrange(1, len(content))])
        session.send("abort")
        session.rest()
        reached = session.stat(name).number("Partial size")
        self._good(session.put(name, content, offset=reached))
        self.tree[name] = content

    def _move(self, session: Wire, old: str, new: str) -> None:
        self._good(session.ask("mv", old, new))
        self.tree[new] = self.tree.pop(old)

    def _good(self, answer: Answer) -> None:
        if not answer.good:
            raise Refused(answer.status)


ACTS = ("put", "overwrite", "mv", "mv over", "resumed put", "rm", "mkdir", "rmdir")


def run(soak: Soak) -> Trial:
    """So many power cuts."""
    with Disk(soak.room("power")) as disk:
        trial = Trial(soak, disk)
        server = Server(disk.root)
        for number in range(soak.rounds):
            soak.say(f"  power cut {number + 1} of {soak.rounds}")
            trial.round(number, server)
        disk.unmount()
        wrong = disk.check()
        soak.must(not wrong, f"fsck: {wrong}")
        disk.mount()
    rows = [[kind, trial.acts[kind], trial.last[kind]] for kind in trial.acts]
    title = f"{soak.rounds} power cuts right after SUCCESS: {trial.lost} names not as acknowledged"
    soak.table(title, ["acknowledged", "times", "of these, the last before a cut"], rows)
    return trial
