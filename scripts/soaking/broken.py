"""The rules of the model that break transfers off, and go on with them."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from . import expected
from .beside import ALGORITHM, NAMES, Beside, bytes_of, contents, digest, joined, paths
from .wire import TRANSFERRED, Answer, Wire, reset, spell

picks = st.integers(0, 99)
"""Which of the partials.  Nothing is drawn from these themselves: how much is kept depends on the time, and
hypothesis wants to draw the same again."""


class Broken(Beside):
    """Uploads and downloads that end somewhere; partials that are gone on with."""

    def _partial(self, pick: int) -> expected.Path | None:
        """One of them; where there is none, an upload of a name like others is broken off first."""
        if not self.tree.partials:
            content = bytes_of(6000 * (1 + pick % 2), pick)
            self._broken_off("put broken off", (NAMES[pick % 3],), content, 0, None, 0.8, "abort")
        if not self.tree.partials:
            return None
        path = sorted(self.tree.partials)[pick % len(self.tree.partials)]
        self.touched.add(path)
        return path

    @rule(
        path=paths, content=contents, part=st.floats(0, 1), how=st.sampled_from(["abort", "reset", "failure"])
    )
    def put_broken_off(self, path: expected.Path, content: bytes, part: float, how: str) -> None:
        """What has arrived is kept; that need not be all that was sent."""
        self._broken_off("put broken off", path, content, 0, None, part, how)

    @rule(pick=picks, rest=contents, part=st.floats(0, 1), how=st.sampled_from(["abort", "failure"]))
    def resume_broken_off(self, pick: int, rest: bytes, part: float, how: str) -> None:
        """It grows."""
        path = self._partial(pick)
        if path is None:
            return
        before = self.tree.partials[path]
        self._broken_off("resume broken off", path, before + rest, len(before), len(before), part, how)

    def _broken_off(
        self,
        what: str,
        path: expected.Path,
        content: bytes,
        start: int,
        offset: int | None,
        part: float,
        how: str,
    ) -> None:
        self.touched.add(path)
        wrong = self.tree.against_writing(path)
        begun = self.wire.begin_put(joined(path), len(content) + 1, offset=offset)
        if isinstance(begun, Answer):
            self.check(what, begun, wrong or "a data channel")
            return
        sent = content[start : start + int(part * (len(content) - start))]
        begun.sendall(sent)
        if how == "reset":
            reset(begun)
        else:
            self.wire.send("abort" if how == "abort" else "FAILURE: File changed.")
        answer = self.wire.rest()
        begun.close()
        ends = {"abort": "Transfer cancelled.", "reset": "Connection lost.", "failure": "File changed."}
        kind = "ERROR" if how == "reset" else "FAILURE"
        self.check(what, answer, f"{kind}: {ends[how]}")
        self._adopt(path, content[:start] + sent, start)

    def _adopt(self, path: expected.Path, sent: bytes, least: int) -> None:
        """The server has kept some of what was sent, from its beginning on."""
        kept = self.wire.stat(joined(path)).number("Partial size") or 0
        self.must(least <= kept <= len(sent), f"{kept} bytes kept of {len(sent)}, {least} were there")
        self.tree.partials.pop(path, None)
        if kept:
            self.tree.partials[path] = sent[:kept]

    @rule(path=paths, content=contents, part=st.floats(0, 1), least=st.integers(0, 2))
    def cut_and_gone_on_with(self, path: expected.Path, content: bytes, part: float, least: int) -> None:
        """The control channel is reset; a new session takes over from a ghost that may still be writing."""
        self.touched.add(path)
        wrong = self.tree.against_writing(path)
        ghost = Wire(self.server.port)
        ghost.ask("cd", self.folder)
        begun = ghost.begin_put(joined(path), len(content))
        if isinstance(begun, Answer):
            self.check("put cut", begun, wrong)
            ghost.control.close()
            return
        self.tree.partials.pop(path, None)
        begun.sendall(content[: int(part * len(content))])
        if least:  # else both stay open, as when a link was cut and nobody has been told
            reset(ghost.control)
            begun.close()
        for _ in range(4):
            known = self.wire.stat(joined(path), ALGORITHM)
            offset = known.number("Partial size") or 0
            if offset:
                told = known.fields["Partial checksum"]
                self.must(told == f"{ALGORITHM} {digest(content[:offset])}", "a partial of other bytes")
            answer = self.wire.put(
                joined(path), content, offset=offset, checksum=(ALGORITHM, digest(content))
            )
            if answer.phrase != expected.OFFSET:
                break
        self.check("taken over", answer, None, TRANSFERRED)
        self.tree.put(path, content)
        if not least:
            self.check("ghost", ghost.rest(), "ERROR: Connection lost.")
            begun.close()
            ghost.control.close()

    @rule(pick=picks, rest=contents, sure=st.booleans())
    def resume(self, pick: int, rest: bytes, sure: bool) -> None:
        """To the end."""
        path = self._partial(pick)
        if path is None:
            return
        content = self.tree.partials[path] + rest
        checksum = (ALGORITHM, digest(content)) if sure else None
        offset = len(self.tree.partials[path])
        answer = self.wire.put(joined(path), content, offset=offset, checksum=checksum)
        if self.check("resume", answer, self.tree.against_writing(path), TRANSFERRED):
            self.tree.put(path, content)

    @rule(pick=picks, rest=contents)
    def resume_what_is_not_so(self, pick: int, rest: bytes) -> None:
        """The whole file's checksum is another: nothing is kept."""
        path = self._partial(pick)
        if path is None:
            return
        content = self.tree.partials[path] + rest
        offset, wrong = len(self.tree.partials[path]), self.tree.against_writing(path)
        lie = (ALGORITHM, digest(content + b"x"))
        answer = self.wire.put(joined(path), content, offset=offset, checksum=lie)
        self.check("resume of a lie", answer, wrong or "FAILURE: Checksum mismatch.")
        if wrong is None:
            del self.tree.partials[path]

    @rule(path=paths, offset=st.integers(1, 30_000))
    def resume_elsewhere(self, path: expected.Path, offset: int) -> None:
        """An offset that is not where the partial ends, and nothing changes."""
        self.touched.add(path)
        if offset == len(self.tree.partials.get(path, b"")):
            return
        begun = self.wire.begin_put(joined(path), 40_000, offset=offset)
        self.must(isinstance(begun, Answer), "a wrong offset was taken")
        assert isinstance(begun, Answer)
        self.check("resume elsewhere", begun, self.tree.against_writing(path) or expected.OFFSET)

    @rule(path=paths, part=st.floats(0, 1), how=st.sampled_from(["abort", "reset"]))
    def get_broken_off(self, path: expected.Path, part: float, how: str) -> None:
        """Nothing changes."""
        begun = self.wire.begin(f"get {spell(joined(path))}")
        wrong = self.tree.against_reading(path)
        if isinstance(begun, Answer):
            self.check("get broken off", begun, wrong)
            return
        begun.recv(int(part * 20_000) + 1)
        if how == "reset":
            reset(begun)
            self.wire.control.close()
            self.session = None
            return
        self.wire.send("abort")
        ended = self.wire.rest()
        begun.close()
        self.check("get broken off", ended, "FAILURE: Transfer cancelled.")
