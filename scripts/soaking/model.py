"""A server beside a model, anything in any order: put, get, resume, rename, remove, broken off anywhere.

After each step the tree must equal the model: every name with its size in a listing of the whole tree, and of
each name that was touched the bytes, the partial's size and the partial's checksum.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from . import expected
from .beside import ALGORITHM, contents, digest, folders, joined, paths
from .broken import Broken
from .programs import Server, free_port
from .report import Soak
from .wire import TRANSFERRED


class Machine(Broken):
    """All rules."""

    # Whole transfers.

    @rule(path=paths, content=contents, sure=st.booleans(), announced=st.booleans())
    def put(self, path: expected.Path, content: bytes, sure: bool, announced: bool) -> None:
        """With a checksum or without, its size told before or behind."""
        self.touched.add(path)
        checksum = (ALGORITHM, digest(content)) if sure else None
        answer = self.wire.put(joined(path), content, checksum=checksum, announced=announced)
        if self.check("put", answer, self.tree.against_writing(path), TRANSFERRED):
            self.tree.put(path, content)

    @rule(path=paths, content=contents, second=st.integers(0, 59), mode=st.integers(0, 0o777))
    def put_with_attributes(self, path: expected.Path, content: bytes, second: int, mode: int) -> None:
        """Its time and mode are what they were told to be."""
        self.touched.add(path)
        attributes = {"Modified": f"2001-02-03T04:05:{second:02d}.678901Z", "Mode": f"{mode | 0o400:04o}"}
        fields = [f"{name}: {value}" for name, value in attributes.items()]
        answer = self.wire.put(joined(path), content, *fields)
        if self.check("put with attributes", answer, self.tree.against_writing(path), TRANSFERRED):
            self.tree.put(path, content)
            told = self.wire.stat(joined(path)).fields
            self.must(attributes.items() <= told.items(), f"{attributes}, but {told}")

    @rule(path=paths, content=contents, lie=st.sampled_from(["checksum", "size"]))
    def put_what_is_not_so(self, path: expected.Path, content: bytes, lie: str) -> None:
        """Nothing is kept of it, and it has replaced what was there of an earlier one."""
        self.touched.add(path)
        if lie == "size":
            answer = self.wire.put(joined(path), content, size=len(content) + 1)
        else:
            answer = self.wire.put(joined(path), content, checksum=(ALGORITHM, digest(content + b"x")))
        wrong = self.tree.against_writing(path)
        if wrong is None:
            self.tree.partials.pop(path, None)
        self.check("put of a lie", answer, wrong or f"FAILURE: {lie.capitalize()} mismatch.")

    @rule(path=paths, offset=st.none() | st.integers(0, 30_000), count=st.none() | st.integers(0, 30_000))
    def get(self, path: expected.Path, offset: int | None, count: int | None) -> None:
        """The whole or a part, with its checksum."""
        wrong = self.tree.against_reading(path)
        answer = self.wire.get(joined(path), offset=offset, count=count, checksum=ALGORITHM)
        content = self.tree.nodes.get(path) or b""
        if wrong is None and (offset or 0) > len(content):
            wrong = expected.OFFSET
        if self.check("get", answer, wrong, TRANSFERRED):
            start = offset or 0
            part = content[start:] if count is None else content[start : start + count]
            covered = content if count is None else part
            self.must(answer.content == part, f"{joined(path)}, {offset} {count}: other bytes")
            self.must(answer.number("File size") == len(content), f"{joined(path)}: {answer.fields}")
            self.must(answer.fields["Checksum"] == f"{ALGORITHM} {digest(covered)}", "another checksum")

    # The tree.

    @rule(old=paths | folders, new=paths | folders)
    def mv(self, old: expected.Path, new: expected.Path) -> None:
        """Files and directories, onto each other too."""
        self.touched |= {old, new}
        wrong = self.tree.against_moving(old, new)
        answer = self.say("mv", joined(old), joined(new))
        told = answer.phrase if answer.phrase in wrong else next(iter(sorted(wrong)), None)
        if self.check(f"mv {joined(old)} {joined(new)}", answer, told, "SUCCESS: Renamed."):
            self.tree.move(old, new)

    @rule(path=paths)
    def rm(self, path: expected.Path) -> None:
        """A partial of that name stays."""
        self.touched.add(path)
        wrong = self.tree.against_reading(path)
        if self.check("rm", self.say("rm", joined(path)), wrong, "SUCCESS: File removed."):
            del self.tree.nodes[path]

    @rule(path=folders)
    def mkdir(self, path: expected.Path) -> None:
        """Only where its parent is."""
        wrong = self.tree.against_making(path)
        if self.check("mkdir", self.say("mkdir", joined(path)), wrong, "SUCCESS: Directory made."):
            self.tree.nodes[path] = None

    @rule(path=folders)
    def rmdir(self, path: expected.Path) -> None:
        """Only an empty one; partials count for nothing and go with it."""
        self.touched |= {each for each in self.tree.partials if each[: len(path)] == path}
        wrong = self.tree.against_removing_directory(path)
        if self.check("rmdir", self.say("rmdir", joined(path)), wrong, "SUCCESS: Directory removed."):
            self.tree.remove_directory(path)

    @precondition(lambda self: self.kind == "local")
    @rule(luck=st.integers(0, 9))
    def restart(self, luck: int) -> None:
        """kill -9 now and then: it takes long."""
        if luck == 0:
            if self.session is not None:
                self.session.control.close()
                self.session = None
            self.server.kill()
            self.server.start()
            self.steps["kill -9"] += 1


def serve(kind: str, root: Path) -> Server:
    """A server over ``memory`` or ``local`` storage."""
    port = free_port()
    words = [sys.executable, "-m", "soaking.model_server", kind, str(root), str(port)]
    return Server(root, port=port, program=words)


def hold(
    kind: str, root: Path, examples: int, steps: int, chosen: int | None, *, shrink: bool = True
) -> Counter[str]:
    """Hold a server of that kind against the model; how often each step was taken.  Raises what is wrong.

    The examples are chosen by ``chosen``; None: the same each time.
    """
    with serve(kind, root) as server:

        class Held(Machine):
            """This run's."""

        Held.server, Held.kind, Held.steps, Held.failures = server, kind, Counter(), []
        phases = [Phase.generate, *([Phase.shrink] if shrink else [])]
        chosen_settings = settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=chosen is None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        )
        try:
            run_state_machine_as_test(
                Held if chosen is None else seed(chosen)(Held), settings=chosen_settings
            )
        except Exception as failure:
            raise AssertionError("\n\n".join([*Held.failures[:1], str(failure)])) from failure
        if server.troubles():
            raise AssertionError(f"the server's log: {server.troubles()[:3]}")
        return Held.steps


def run(soak: Soak) -> dict[str, Counter[str]]:
    """As many examples as rounds, over each kind of storage."""
    taken: dict[str, Counter[str]] = {}
    for kind in ("memory", "local"):
        soak.say(f"  {kind} storage")
        try:
            taken[kind] = hold(kind, soak.room(f"model-{kind}"), soak.rounds, 40, soak.seed)
        except AssertionError as failure:
            notes = getattr(failure.__cause__, "__notes__", [])
            soak.must(False, "\n".join([f"{kind} storage: {failure}", *notes]))
    names = sorted({name for each in taken.values() for name in each})
    rows = [
        [name, *(taken[kind][name] if kind in taken else "-" for kind in ("memory", "local"))]
        for name in names
    ]
    soak.table(f"{soak.rounds} examples of 40 steps beside a model", ["step", "memory", "local"], rows)
    return taken
