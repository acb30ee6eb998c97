"""What every rule of the model needs: names, contents, a session, and the look at the tree behind it."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import xxhash
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from . import expected
from .programs import Server
from .wire import Answer, Wire

NAMES = ("a", "b b", "ü", '"q', "\udcff", "d")
FOLDERS = ("d", "e")
ALGORITHM = "xxh128"

paths = st.one_of(
    st.sampled_from(NAMES[:3]).map(lambda name: (name,)),
    st.builds(
        lambda folders, name: (*folders, name),
        st.lists(st.sampled_from(FOLDERS), max_size=2),
        st.sampled_from(NAMES),
    ),
)
"""Often one of few, so that what one step leaves meets the next."""

folders = st.one_of(
    st.sampled_from(FOLDERS).map(lambda name: (name,)),
    st.lists(st.sampled_from(FOLDERS), min_size=1, max_size=3).map(tuple),
)
sizes = st.one_of(
    st.sampled_from([0, 1, 999, 1000, 1001, 4096, 5000, 5001, 8192]), st.integers(0, 20_000), st.just(300_000)
)


def bytes_of(size: int, flavour: int) -> bytes:
    """Bytes that no other flavour shares a prefix with, made quickly."""
    return (bytes([flavour]) + size.to_bytes(4, "big") + bytes(range(256)) * (size // 256 + 1))[:size]


contents = st.builds(bytes_of, sizes, st.integers(0, 255))


def digest(content: bytes) -> str:
    """The default checksum."""
    return xxhash.xxh3_128_hexdigest(content)


def joined(path: expected.Path) -> str:
    """As an argument."""
    return "/".join(path)


class Beside(RuleBasedStateMachine):
    """One example, in a folder of its own of one server that all examples share."""

    server: ClassVar[Server]
    kind: ClassVar[str]
    examples: ClassVar[int] = 0
    steps: ClassVar[Counter[str]] = Counter()
    failures: ClassVar[list[str]] = []
    """All of this run; what depends on the time hypothesis would only call flaky."""

    @initialize()
    def begin(self) -> None:
        """A folder, and a session in it."""
        type(self).examples += 1
        self.folder = f"/example {self.examples}"
        self.tree = expected.Tree()
        self.touched: set[expected.Path] = set()
        self.history: list[str] = []
        """What has been done, and what the server said."""
        self.session: Wire | None = None
        with Wire(self.server.port) as session:
            made = session.ask("mkdir", self.folder)
        assert made.good, made.status

    @property
    def wire(self) -> Wire:
        """The session; a new one where the last is gone."""
        if self.session is None:
            self.session = Wire(self.server.port)
            assert self.session.ask("cd", self.folder).phrase == "SUCCESS: Directory changed."
        return self.session

    def say(self, command: str, *names: str) -> Answer:
        """A command without a data channel."""
        return self.wire.ask(command, *names)

    def check(self, what: str, answer: Answer, wrong: str | None, right: str = "SUCCESS: ") -> bool:
        """Whether it worked; it must have unless something is ``wrong``, and that must be told."""
        self.steps[what.split()[0] if what.startswith("mv") else what] += 1
        self.history.append(f"{what}: {answer.status}")
        if wrong is not None:
            self.must(answer.phrase == wrong, f"{wrong!r} was expected")
            return False
        self.must(answer.status.startswith(right), f"{right!r} was expected")
        return True

    def must(self, so: bool, otherwise: str) -> None:
        """Raises with the last steps: what depends on the time may go well when it is tried again."""
        if not so:
            self.failures.append("\n".join([otherwise, "after", *self.history[-8:]]))
            raise AssertionError(self.failures[-1])

    # What must be so after each step.

    @invariant()
    def the_tree_is_the_model(self) -> None:
        """Names, kinds and sizes of all; bytes and partials of what was touched."""
        found = {str(each["name"]): (each["type"], each["size"]) for each in self.wire.list(whole_tree=True)}
        wanted = {joined(path): content for path, content in self.tree.nodes.items()}
        self.must(found.keys() == wanted.keys(), f"{sorted(found)} instead of {sorted(wanted)}")
        for name, content in wanted.items():
            kind = "directory" if content is None else "file"
            self.must(found[name][0] == kind, f"{name}: {found[name]} and no {kind}")
            self.must(content is None or found[name][1] == len(content), f"{name}: {found[name]} bytes")
        for path in self.touched:
            self._look_at(path)
        self.touched.clear()

    def _look_at(self, path: expected.Path) -> None:
        known = self.wire.stat(joined(path), ALGORITHM)
        partial, content = self.tree.partials.get(path), self.tree.nodes.get(path)
        what = f"{joined(path)}: {known.status} {known.fields}"
        if path not in self.tree.nodes and partial is None:
            self.must(known.phrase in (expected.MISSING, expected.NOT_DIRECTORY), what)
            return
        self.must(known.phrase == "SUCCESS: Described.", what)
        kind = "none" if path not in self.tree.nodes else "directory" if content is None else "file"
        self.must(known.fields["Type"] == kind, what)
        size = None if partial is None else len(partial)
        self.must(known.number("Partial size") == size, f"{what}, the partial has {size}")
        if partial is not None:
            self.must(known.fields["Partial checksum"] == f"{ALGORITHM} {digest(partial)}", what)
        if content is not None:
            told = self.say("checksum", joined(path)).fields.get("Checksum")
            self.must(told == f"{ALGORITHM} {digest(content)}", f"{what}, checksum {told}")
            self.must(self.wire.get(joined(path)).content == content, f"{what}, other bytes")

    def teardown(self) -> None:
        """The end of an example."""
        if getattr(self, "session", None) is not None:
            self.wire.control.close()
