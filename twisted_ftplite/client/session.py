"""The client's API: connect, and then list, fetch and store.

    session = await connect(reactor, "localhost")
    await session.get("report.pdf", "report.pdf")
    await session.quit()

Commands may be called at the same time; the server answers them in the order in which they were called,
and each is sent as soon as the one before has nothing left to say, so that no round trip is waited for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..errors import ConnectionLost, NotSupported
from ..flow.tuning import Tuning, tuned
from ..limits import Limits
from ..protocol.lines import Field
from ..protocol.listing import Row
from ..protocol.paths import resolve, spell
from ..storage.interface import Entry, WriteHandle
from .command import Command
from .credentials import Login
from .description import Description, Offered, read_checksum, read_description, read_directory
from .entering import enter
from .files import ReadSource
from .listings import ls, rows
from .reaching import AUTO, open_channel, ways
from .resuming import checksum_command, persist
from .services import Progress, Secured
from .speed import Speed
from .standing import Standing, read_standings
from .transfers import get, put
from .trust import TLS
from .turns import ClientReactor, Turns
from .wishes import DEFAULT, Transfer, Wishes

__all__ = ["DEFAULT", "TLS", "Login", "Session", "connect"]

Names = list[Entry]
Rows = list[Row]
Texts = list[str]
Fields = list[Field]
Standings = list[Standing]
"""In the class below ``list`` is a method."""


async def connect(
    reactor: ClientReactor,
    host: str,
    port: int = 2121,
    *,
    limits: Limits | None = None,
    data_ports: tuple[int, int] | None = None,
    tls: TLS | None = None,
    login: Login | None = None,
    data: str = "auto",
    tuning: Tuning | None = None,
    speed: Speed | None = None,
) -> Session:
    """A session with the server at ``host``: greeted, inside TLS where the server offers it, logged in.

    ``tls`` says whom to trust (without it those for whom an authority of the system's vouches) and whether
    there must be TLS; ``login`` who to be, None being nobody.  ``data`` is the way of data channels:
    ``active`` (the server connects), ``passive`` (this side does), or ``auto``: the first on loopback and
    on networks that this host is directly on, else the second, and where that does not come to be within
    3 s the other one.  ``data_ports`` are the first and last local port to listen on for the first way
    (any, where None).  ``tuning`` is how TCP is to be used; None leaves it to the system.  ``speed`` limits
    how fast bytes move, of all sessions together that are given it.

    Raises `ConnectionRefused`, `ConnectionTimedOut` (after ``limits.connect_timeout`` seconds),
    `ConnectionLost`, what the server says instead of a greeting, `ProtocolViolation`, `CertificateRefused`,
    `EncryptionRequired` where there is no TLS and had to be, for a password too, `LoginFailed`,
    `NotSupported` where the server knows no logins, and `LocalFileTrouble`.
    """
    limits = limits or Limits()
    turns = Turns(reactor, limits, data_ports or (0, 0), data, tuning or tuned({}, limits, ()), speed)
    await enter(turns, host, port, tls or TLS(), login)
    return Session(turns)


class Session:
    """A session; made by `connect`.  Its user ends it with `quit` or `close`."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    @property
    def connected(self) -> bool:
        """Whether commands can still be sent."""
        return self._turns.connected

    @property
    def directory(self) -> str:
        """The working directory, as a path from the root of the tree, as far as `cd` has told."""
        return spell(self._turns.control.session.directory)

    async def offered(self) -> Offered:
        """What the server offers of section 6; nothing where it knows no features."""
        return self._turns.services.offered or {}

    @property
    def secured(self) -> Secured | None:
        """How the session is encrypted; None where it is not."""
        return self._turns.services.secured

    @property
    def user(self) -> str | None:
        """Who has logged in by name; None: nobody."""
        return self._turns.services.user

    @property
    def may_log_in(self) -> bool:
        """Whether nobody has, by name or certificate, and the server knows logins."""
        secured = self.secured
        nobody = self.user is None and not (secured is not None and secured.showed)
        return nobody and "login" in (self._turns.services.offered or {})

    @property
    def auto_ways(self) -> Texts:
        """What a transfer that may choose would try for its data channel, in this order."""
        return [*ways(self._turns.services, AUTO)]

    @property
    def data_ports(self) -> tuple[int, int]:
        """See `connect`; (0, 0) is any."""
        return self._turns.services.data_ports

    @property
    def ends(self) -> tuple[str, str]:
        """Our own address and the server's."""
        local, peer = self._turns.control.ends()
        return local[0], peer[0]

    async def try_way(self, way: str) -> None:
        """Have a data channel in this way, for a listing that is broken off at once.  Raises why not."""

        async def body(command: Command) -> None:
            await open_channel(command, way=way)

        await self._turns.run("ls", (), body)

    async def ls(self, path: str | None = None) -> Names:
        """The names in a directory of the server, or the name of a file, in the order of their bytes."""
        return await self._turns.run("ls", () if path is None else (path,), ls)

    async def list(self, path: str | None = None, *, depth_all: bool = False) -> Rows:
        """The same with attributes; with ``depth_all`` the whole tree, names being paths from the directory.

        Raises `NotSupported` where the server has no ``json``.
        """
        rows: Rows = []
        await self._list(rows.extend, path, depth_all, self._turns.services.limits.listing_size)
        return rows

    async def list_to(
        self, take: Callable[[Rows], None], path: str | None = None, *, depth_all: bool = False
    ) -> None:
        """The same, given to ``take`` as they come, some at a time, for listings of any length.

        What was given is of no account where this raises.
        """
        await self._list(take, path, depth_all, None)

    async def get(
        self,
        name: str,
        target: str | WriteHandle,
        *,
        progress: Progress | None = None,
        checksum: str | None = DEFAULT,
        resume: bool = False,
        preserve: bool = False,
    ) -> Transfer:
        """Fetch ``name`` into a local path, where it appears whole and durable, in one step, or not at all.

        ``checksum`` is the algorithm to compare by: `DEFAULT` is ``xxh128`` where the server offers it,
        None is none.  ``resume`` goes on with what an earlier get of the same file to the same path left
        when it broke off, and does nothing where the very file is there already; a `WriteHandle` cannot
        be resumed (`NotSupported`), and a server that lacks what it takes sends the whole file anew.
        ``preserve`` keeps the file's time and mode.

        Where the connection breaks, or this is cancelled, what has arrived is kept for `resume`, in a
        hidden file beside the path.

        Raises what the server says, `ChecksumMismatch`, `ProtocolViolation` where what came is not what was
        announced, `NotSupported` for what was asked for and the server lacks, and `LocalFileTrouble`.
        """
        if resume and not isinstance(target, str):
            raise NotSupported("Only a get into a file can be gone on with.")
        wishes = Wishes(progress, checksum, preserve)
        return await self._move("get", name, lambda each, go_on: get(each, target, wishes, go_on), resume)

    async def put(
        self,
        source: str | ReadSource,
        name: str,
        *,
        progress: Progress | None = None,
        checksum: str | None = DEFAULT,
        resume: bool = False,
        preserve: bool = False,
    ) -> Transfer:
        """Store a local path or a stream as ``name``; it is in place and durable when this returns.

        The rest as of `get`: ``resume`` sends what the server lacks where the bytes that it has are those
        of the local file, and all of it where they are not; a stream cannot be resumed, and has neither
        time nor mode to preserve.

        Raises what the server says, and `LocalFileTrouble`, also where the local file changed meanwhile.
        """
        if resume and not isinstance(source, str):
            raise NotSupported("Only a put of a file can be gone on with.")
        wishes = Wishes(progress, checksum, preserve)
        return await self._move("put", name, lambda each, go_on: put(each, source, wishes, go_on), resume)

    async def pwd(self) -> str:
        """The working directory, as a path from the root of the tree."""
        return read_directory(await self._ask("files", "pwd"))

    async def cd(self, path: str) -> None:
        """Change the working directory."""
        await self._ask("files", "cd", path)

    async def mkdir(self, path: str) -> None:
        """Make a directory, whose parent must exist."""
        await self._ask("files", "mkdir", path)

    async def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        await self._ask("files", "rmdir", path)

    async def rm(self, path: str) -> None:
        """Remove what is no directory; of a link, the link itself."""
        await self._ask("files", "rm", path)

    async def mv(self, old: str, new: str) -> None:
        """Rename in one step, replacing what is no directory, or an empty directory by a directory."""
        await self._ask("files", "mv", old, new)

    async def stat(self, path: str, checksum: str | None = None) -> Description:
        """What the server tells of a name; ``checksum`` asks for one of what a partial of it holds.

        Raises `FileNotFound` where there is neither file nor partial, and `NotSupported`.
        """
        if checksum is None:
            return read_description(await self._ask("files", "stat", path))
        return read_description(await self._ask("partial-checksum", "stat", path, checksum))

    async def checksum(self, name: str, algorithm: str = "xxh128") -> str:
        """The checksum of a whole file, in hexadecimal digits."""
        verb, *arguments = checksum_command(name, algorithm)
        return read_checksum(await self._ask("checksum", verb, *arguments), algorithm).digest

    async def features(self) -> Texts:
        """What else the server offers, in its own words."""
        return [field.text() for field in await self._tell("features")]

    async def help(self) -> Texts:
        """The server's verbs, a line each."""
        return [field.text() for field in await self._tell("help")]

    async def noop(self) -> None:
        """Be heard, and hear that the server is there."""
        await self._tell("noop")

    async def status(self) -> Standings:
        """What one's own sessions with this server do, the oldest first; raises `NotSupported`."""
        return read_standings(await self._ask("status", "status"))

    async def quit(self) -> None:
        """End the session in good form."""
        await self._tell("quit")
        await self.close()

    async def close(self) -> None:
        """Drop the connection without a word; what runs fails with `ConnectionLost`."""
        await self._turns.close()

    def drop(self) -> None:
        """The same at once: for a connection on which nothing comes through any more."""
        self._turns.control.drop(ConnectionLost("The session was dropped."))

    async def _move(
        self, verb: str, name: str, body: Callable[[Command, bool], Awaitable[Transfer]], resume: bool
    ) -> Transfer:
        def attempt(go_on: bool) -> Awaitable[Transfer]:
            return self._turns.run(verb, (name,), lambda command: body(command, go_on))

        return await (persist(attempt) if resume else attempt(False))

    async def _list(
        self, take: Callable[[Rows], None], path: str | None, depth_all: bool, most: int | None
    ) -> None:
        arguments = () if path is None else (path,)
        await self._turns.run("ls", arguments, lambda each: rows(each, take, depth_all=depth_all, most=most))

    async def _ask(self, feature: str, verb: str, *arguments: str) -> Fields:
        """A command of a feature.  Raises `NotSupported` where the server lacks that."""

        async def tell(command: Command) -> Fields:
            command.demand(feature)
            fields = await command.tell()
            if verb == "cd":
                session = self._turns.control.session
                session.directory = resolve(session.directory, arguments[0])
            return fields

        return await self._turns.run(verb, arguments, tell)

    async def _tell(self, verb: str) -> Fields:
        return await self._turns.run(verb, (), lambda command: command.tell())
