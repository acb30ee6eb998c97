"""What the tests of the client's commands share: a session in memory, a person who types, and a shell
whose standard streams are files.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite.cli import status_of
from twisted_ftplite.client.description import Description
from twisted_ftplite.client.services import BrokeOff, Secured
from twisted_ftplite.client.shell import Mode, Preferences, Shell
from twisted_ftplite.client.standard import Console, ScriptLines
from twisted_ftplite.client.wishes import DEFAULT, Transfer
from twisted_ftplite.errors import (
    ConnectionLost,
    DirectoryNotEmpty,
    FileExists,
    FileNotFound,
    FTPLiteError,
    IsADirectory,
    LocalFileTrouble,
    NotADirectory,
    NotSupported,
)
from twisted_ftplite.flow.workers import InlineWorkers
from twisted_ftplite.protocol.listing import Row
from twisted_ftplite.protocol.paths import resolve
from twisted_ftplite.storage.interface import Entry


def broken(verb: str, position: int | None = 1, kind: type[FTPLiteError] = ConnectionLost) -> FTPLiteError:
    """What the library raises where a command broke off."""
    error = kind()
    error.__cause__ = BrokeOff(verb, position, answered=False)
    return error


class Node(NamedTuple):
    """What the tests need to say of a name."""

    mtime_ns: int = 1_763_816_400_123_456_000
    mode: int = 0o644
    link: bool = False


class MemoryTree:
    """What a server has, for all sessions."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.directories: set[str] = set()
        self.nodes: dict[str, Node] = {}
        self.partials: dict[str, int] = {}
        self.features: dict[str, tuple[str, ...]] = {
            "files": (), "json": (), "offset": (), "checksum": ("xxh128", "sha256")
        }  # fmt: skip
        self.ways: dict[str, FTPLiteError] = {}
        """Ways of data that fail."""

    def kind(self, at: str) -> str | None:
        if at in self.files:
            return "file"
        if at == "" or at in self.directories or any(each.startswith(at + "/") for each in self.all()):
            return "directory"
        return None

    def all(self) -> set[str]:
        return {*self.files, *self.directories}

    def row(self, at: str, name: str) -> Row:
        node = self.nodes.get(at, Node())
        return Row(name, self.kind(at) or "", len(self.files.get(at, b"")), *node)


def _given(checksum: str | None, resume: bool, preserve: bool) -> list[str]:
    told = "" if checksum == DEFAULT else str(checksum)
    return [word for word in (told, "resume" * resume, "preserve" * preserve) if word]


def _read(path: str) -> bytes:
    return Path(path).read_bytes()


def _write(path: str, content: bytes) -> None:
    Path(path).write_bytes(content)


class MemorySession:
    """The client's session as the shell sees it."""

    def __init__(self, tree: MemoryTree, breaks: list[Exception] | None = None) -> None:
        self.tree = tree
        self.breaks: list[Exception] = [] if breaks is None else breaks
        """What the next transfers raise, having called their progress; `ConnectionLost` is also true."""
        self.listing_breaks: list[Exception] = []
        self.connected = True
        self.said_goodbye = False
        self.calls: list[tuple[str, ...]] = []
        self.waits: Deferred[None] | None = None
        """Where it is set, a command goes no further until it fires."""
        self.fails: FTPLiteError | Exception | None = None
        self.directory = "/"
        self.ends = ("192.0.2.1", "192.0.2.2")
        self.data_ports = (0, 0)
        self.auto_ways = ["active", "passive"]
        self.secured: Secured | None = None
        self.user: str | None = None
        self.may_log_in = False

    async def try_way(self, way: str) -> None:
        self.calls.append(("try_way", way))
        error = self.tree.ways.get(way)
        if error is not None:
            raise error

    async def _begin(self, *call: str) -> None:
        self.calls.append(call)
        if self.waits is not None:
            await self.waits
        if self.fails is not None:
            raise self.fails
        if call[0] in ("ls", "list"):
            self._break(None, self.listing_breaks)

    def _at(self, path: str) -> str:
        return "/".join(resolve(resolve((), self.directory), path))

    def _kind(self, path: str) -> str:
        at = self._at(path)
        kind = self.tree.kind(at)
        if kind is None:
            raise FileNotFound
        return kind

    def _need(self, feature: str) -> None:
        if feature not in self.tree.features:
            raise NotSupported

    async def offered(self) -> dict[str, tuple[str, ...]]:
        return self.tree.features

    async def ls(self, path: str | None = None) -> list[Entry]:
        await self._begin("ls", *([] if path is None else [path]))
        at = self._at(path or "")
        if self._kind(path or "") == "file":
            return [Entry(at.rpartition("/")[2], False)]
        return [Entry(row.name, row.kind == "directory") for row in self._rows(at, False)]

    async def list_to(
        self, take: Callable[[list[Row]], None], path: str | None = None, *, depth_all: bool = False
    ) -> None:
        await self._begin("list", *([] if path is None else [path]))
        self._need("json")
        at = self._at(path or "")
        if self._kind(path or "") == "file":
            take([self.tree.row(at, at.rpartition("/")[2])])
        else:
            take(self._rows(at, depth_all))

    async def list(self, path: str | None = None, *, depth_all: bool = False) -> list[Row]:
        rows: list[Row] = []
        await self.list_to(rows.extend, path, depth_all=depth_all)
        return rows

    def _rows(self, at: str, depth_all: bool) -> list[Row]:
        under = at + "/" if at else ""
        paths = {each[len(under) :] for each in self.tree.all() if each.startswith(under)}
        names = {"/".join(path.split("/")[:count]) for path in paths for count in range(1, 9)}
        shown = sorted(each for each in names if depth_all or "/" not in each)
        return [self.tree.row(under + name, name) for name in shown]

    async def get(
        self,
        name: str,
        target: Any,
        *,
        progress: Any = None,
        checksum: str | None,
        resume: bool = False,
        preserve: bool = False,
    ) -> Transfer:
        given = _given(checksum, resume, preserve)
        await self._begin("get", name, target if isinstance(target, str) else "-", *given)
        self._break(progress, self.breaks)
        if self._kind(name) != "file":
            raise IsADirectory
        content = self.tree.files[self._at(name)]
        if isinstance(target, str):
            _write(target, content)
        else:
            target.write(content)
            target.publish()
        return Transfer(name, len(content), 0.5, len(content) // 2 if resume else 0)

    async def put(
        self,
        source: Any,
        name: str,
        *,
        progress: Any = None,
        checksum: str | None,
        resume: bool = False,
        preserve: bool = False,
    ) -> Transfer:
        given = _given(checksum, resume, preserve)
        await self._begin("put", source if isinstance(source, str) else "-", name, *given)
        self._break(progress, self.breaks)
        if self.tree.kind(self._at(name)) == "directory":
            raise IsADirectory
        if isinstance(source, str):
            try:
                self.tree.files[self._at(name)] = _read(source)
            except OSError as error:
                raise LocalFileTrouble(f"{source}: {error.strerror}") from error
        size = len(self.tree.files[self._at(name)])
        return Transfer(name, size, 0.5, size if resume else 0)

    def _break(self, progress: Any, breaks: list[Exception]) -> None:
        if breaks:
            if progress is not None:
                progress(1, 2)
            error = breaks.pop(0)
            self.connected = not isinstance(error, ConnectionLost)
            raise error

    async def pwd(self) -> str:
        await self._begin("pwd")
        return self.directory

    async def cd(self, path: str) -> None:
        await self._begin("cd", path)
        self._need("files")
        if self._kind(path) != "directory":
            raise NotADirectory
        self.directory = "/" + self._at(path)

    async def mkdir(self, path: str) -> None:
        await self._begin("mkdir", path)
        at = self._at(path)
        if self.tree.kind(at) is not None:
            raise FileExists
        if self.tree.kind(at.rpartition("/")[0]) != "directory":
            raise FileNotFound
        self.tree.directories.add(at)

    async def rmdir(self, path: str) -> None:
        await self._begin("rmdir", path)
        at = self._at(path)
        if self._kind(path) == "file":
            raise NotADirectory
        if any(each.startswith(at + "/") for each in self.tree.all()):
            raise DirectoryNotEmpty
        self.tree.directories.discard(at)

    async def rm(self, path: str) -> None:
        await self._begin("rm", path)
        at = self._at(path)
        if self._kind(path) == "directory" and not self.tree.nodes.get(at, Node()).link:
            raise IsADirectory
        self.tree.files.pop(at, None)
        self.tree.directories.discard(at)

    async def mv(self, old: str, new: str) -> None:
        await self._begin("mv", old, new)
        self._kind(old)
        self.tree.files[self._at(new)] = self.tree.files.pop(self._at(old))

    async def stat(self, path: str, checksum: str | None = None) -> Description:
        await self._begin("stat", path)
        self._need("files")
        at = self._at(path)
        partial = self.tree.partials.get(at)
        if partial is not None and self.tree.kind(at) is None:
            return Description("none", None, None, None, False, partial, None)
        self._kind(path)
        row = self.tree.row(at, "")
        return Description(row.kind, row.size, row.mtime_ns, row.mode, row.link, partial, None)

    async def checksum(self, name: str, algorithm: str = "xxh128") -> str:
        await self._begin("checksum", name, algorithm)
        return hashlib.sha256(self.tree.files[self._at(name)]).hexdigest()

    async def features(self) -> list[str]:
        return ["noop", "evil \x1b[2J"]

    async def help(self) -> list[str]:
        return ["ls [path]"]

    async def noop(self) -> None:
        await self._begin("noop")

    async def quit(self) -> None:
        await self._begin("quit")
        self.said_goodbye = True
        self.connected = False

    async def close(self) -> None:
        self.connected = False

    def drop(self) -> None:
        self.connected = False


class Lines:
    """A person who types: stands in for the prompt."""

    def __init__(self, *lines: str | Callable[[], Any]) -> None:
        self.lines = list(lines)
        self.closed = False

    async def line(self) -> str | None:
        line = self.lines.pop(0) if self.lines else None
        said = line() if callable(line) else line
        return await said if isinstance(said, Deferred) else said

    def interrupt(self) -> None:
        pass

    async def close(self) -> None:
        self.closed = True


class ShellCase(SynchronousTestCase):
    """A shell whose standard streams are files, in a folder of its own."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        before = os.getcwd()
        self.addCleanup(os.chdir, before)
        os.chdir(folder.name)
        self.folder = folder.name
        Path("streams").mkdir()
        self.output = os.open("streams/output", os.O_RDWR | os.O_CREAT)
        self.errors = os.open("streams/errors", os.O_RDWR | os.O_CREAT)
        self.addCleanup(os.close, self.output)
        self.addCleanup(os.close, self.errors)
        self.tree = MemoryTree({"a.txt": b"12345", "my file": b"", "dir/b.txt": b"b"})
        self.sessions: list[MemorySession] = []
        self.session_state: dict[str, Any] = {}
        """What sessions have that is not as by default."""
        self.unreachable: FTPLiteError | None = None
        self.breaks: list[Exception] = []
        self.source = os.open(os.devnull, os.O_RDONLY)
        self.addCleanup(os.close, self.source)
        self.preferences = Preferences()
        self.clock = Clock()

    async def connect(self) -> Any:
        if self.unreachable is not None:
            raise self.unreachable
        session = MemorySession(self.tree, self.breaks)
        for name, value in self.session_state.items():
            setattr(session, name, value)
        self.sessions.append(session)
        return session

    def shell(self, mode: Mode) -> Shell:
        console = Console(InlineWorkers(), source=self.source, output=self.output, errors=self.errors)
        return Shell(
            self.connect, "host port 2121", console, mode, self.clock, InlineWorkers(), self.preferences
        )

    def one(self, *arguments: str) -> int:
        return status_of(
            self.successResultOf(Deferred.fromCoroutine(self.shell(Mode.ONE_SHOT).one(arguments)))
        )

    def script(self, text: bytes) -> int:
        return status_of(self.successResultOf(self.begin_script(self.shell(Mode.SCRIPT), text)))

    def begin_script(self, shell: Shell, text: bytes) -> Deferred[Exception | None]:
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        os.write(writing, text)
        os.close(writing)
        return Deferred.fromCoroutine(shell.script(ScriptLines(InlineWorkers(), reading)))

    def interact(self, *lines: str | Callable[[], Any]) -> int:
        prompt: Any = Lines(*lines)
        result = Deferred.fromCoroutine(self.shell(Mode.INTERACTIVE).interact(prompt))
        status = status_of(self.successResultOf(result))
        assert prompt.closed
        return status

    def said(self) -> str:
        return Path(self.folder, "streams/output").read_text()

    def complained(self) -> list[str]:
        return Path(self.folder, "streams/errors").read_text().splitlines()
