"""What the model of a served tree is: a dict of paths to bytes, and what the server must say to each command.

Where more than one thing stands against a command, the protocol does not say which of them is told: then all
of them are right.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Path = tuple[str, ...]

MISSING = "FAILURE: File not found."
IS_DIRECTORY = "FAILURE: Is a directory."
NOT_DIRECTORY = "FAILURE: Not a directory."
NOT_EMPTY = "FAILURE: Directory not empty."
EXISTS = "FAILURE: File exists."
NOT_ALLOWED = "FAILURE: Name not allowed."
OFFSET = "FAILURE: Offset not valid."


@dataclass
class Tree:
    """Files, directories (None) and partials of one owner, by path from the root of the example."""

    nodes: dict[Path, bytes | None] = field(default_factory=dict)
    partials: dict[Path, bytes] = field(default_factory=dict)

    def is_directory(self, path: Path) -> bool:
        """The root is one too."""
        return not path or (path in self.nodes and self.nodes[path] is None)

    def is_file(self, path: Path) -> bool:
        """Whether bytes are there."""
        return self.nodes.get(path) is not None

    def below(self, path: Path) -> list[Path]:
        """What is in a directory, at any depth."""
        return [each for each in self.nodes if len(each) > len(path) and each[: len(path)] == path]

    def against_way(self, path: Path) -> str | None:
        """What is wrong with the directories on the way to a name."""
        for depth in range(1, len(path)):
            if self.is_file(path[:depth]):
                return NOT_DIRECTORY
            if path[:depth] not in self.nodes:
                return MISSING
        return None

    def against_finding(self, path: Path) -> str | None:
        """What is wrong with a name that must be there."""
        return self.against_way(path) or (None if self.is_directory(path) or path in self.nodes else MISSING)

    def against_reading(self, path: Path) -> str | None:
        """What stands against a get."""
        return self.against_finding(path) or (IS_DIRECTORY if self.is_directory(path) else None)

    def against_writing(self, path: Path) -> str | None:
        """What stands against a put."""
        return self.against_way(path) or (IS_DIRECTORY if self.is_directory(path) else None)

    def against_making(self, path: Path) -> str | None:
        """What stands against a mkdir."""
        return self.against_way(path) or (EXISTS if path in self.nodes else None)

    def against_removing_directory(self, path: Path) -> str | None:
        """What stands against an rmdir."""
        wrong = self.against_finding(path) or (NOT_DIRECTORY if self.is_file(path) else None)
        return wrong or (NOT_EMPTY if self.below(path) else None)

    def against_moving(self, old: Path, new: Path) -> set[str]:
        """All that stands against an mv."""
        wrong = {self.against_finding(old), self.against_way(new)}
        if not wrong - {None} and old != new:
            if new[: len(old)] == old:
                wrong.add(NOT_ALLOWED if self.is_directory(old) else NOT_DIRECTORY)
            elif new in self.nodes:
                wrong |= self._against_replacing(old, new)
        return {each for each in wrong if each is not None}

    def _against_replacing(self, old: Path, new: Path) -> set[str]:
        if self.is_directory(new):
            if self.is_file(old):
                return {IS_DIRECTORY}
            return {NOT_EMPTY} if self.below(new) else set()
        return {NOT_DIRECTORY} if self.is_directory(old) else set()

    def put(self, path: Path, content: bytes) -> None:
        """A whole file came."""
        self.nodes[path] = content
        self.partials.pop(path, None)

    def remove_directory(self, path: Path) -> None:
        """Its partials go with it."""
        del self.nodes[path]
        self._drop_partials(path)

    def move(self, old: Path, new: Path) -> None:
        """What is below moves along, partials too; a file's own partial stays where it was."""
        if old == new:
            return
        if self.is_file(old):
            self.nodes[new] = self.nodes.pop(old)
            return
        self._drop_partials(new)
        self.nodes = {_moved(each, old, new): content for each, content in self.nodes.items()}
        self.partials = {
            each if each == old else _moved(each, old, new): content
            for each, content in self.partials.items()
        }

    def _drop_partials(self, directory: Path) -> None:
        depth = len(directory)
        self.partials = {
            each: content
            for each, content in self.partials.items()
            if len(each) <= depth or each[:depth] != directory
        }


def _moved(path: Path, old: Path, new: Path) -> Path:
    return new + path[len(old) :] if path[: len(old)] == old else path
