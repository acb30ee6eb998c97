"""The verbs that describe the tree and change it: one coroutine each (docs/protocol.md, section 6).

What they change is durable when they say so.  A change cannot be taken back, so that being told to end
comes too late once it has begun.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from ..errors import FileChanged, FileNotFound, FTPLiteError, NotADirectory
from ..protocol.lines import FieldName, Success, encode_field, encode_size, spell_argument
from ..protocol.paths import Path, spell
from ..protocol.values import DEFAULT_ALGORITHM, spell_mode, spell_time
from ..storage.interface import Attributes, ReadHandle, Storage, Usage
from .call import Call
from .transfers import open_read
from .uploads import Place


async def pwd(call: Call) -> Success:
    """Tell the working directory."""
    call.say(encode_field(FieldName.DIRECTORY, spell_argument(spell(call.session.directory))))
    return Success.DESCRIBED


async def cd(call: Call) -> Success:
    """Change the working directory to one that is there."""
    path = call.path()
    found = await call.work(call.storage.stat, path)
    if found.kind == "link":  # it dangles, or leads out of the tree
        raise FileNotFound
    if found.kind != "directory":
        raise NotADirectory
    call.session.directory = path
    return Success.DIRECTORY_CHANGED


async def mkdir(call: Call) -> Success:
    """Make a directory."""
    await _change(call, call.storage.make_directory, call.path())
    return Success.DIRECTORY_MADE


async def rmdir(call: Call) -> Success:
    """Remove a directory that is empty but for partials, and these with it."""
    await _change(call, call.storage.remove_directory, call.path())
    return Success.DIRECTORY_REMOVED


async def rm(call: Call) -> Success:
    """Remove what is no directory."""
    await _change(call, call.storage.remove, call.path())
    return Success.FILE_REMOVED


async def mv(call: Call) -> Success:
    """Rename in one step, replacing what is no directory, or an empty one."""
    await _change(call, call.storage.rename, call.path(), call.path(1), moves=True)
    return Success.RENAMED


async def stat(call: Call) -> Success:
    """Describe a name, and what has arrived of an upload to it."""
    path, storage = call.path(), call.storage
    algorithm = call.second_argument()
    digest = None if algorithm is None else call.digest(algorithm)
    attributes, size = await _look(call, path)
    partial: ReadHandle | None = None
    if digest is not None and size is not None:
        size = None
        with suppress(FileNotFound):  # it was published or removed just now
            partial = await call.open(lambda each: each.close(), storage.open_partial, path, call.owner)
            size = partial.size
    if attributes is None and size is None:
        raise FileNotFound
    _describe(call, attributes)
    if size is not None:
        call.say(encode_size(FieldName.PARTIAL_SIZE, size))
    if digest is not None and partial is not None:
        checksum = await call.checksum(digest, partial, partial.size)
        call.say(encode_field(FieldName.PARTIAL_CHECKSUM, str(checksum)))
    return Success.DESCRIBED


async def checksum(call: Call) -> Success:
    """Tell a file's checksum."""
    services, algorithm = call.services, call.second_argument() or DEFAULT_ALGORITHM
    digest = call.digest(algorithm)
    handle = await open_read(call, call.path())
    known = services.checksums.find(algorithm, handle)
    if known is None:
        known = await call.checksum(digest, handle, handle.size)
        if handle.changed():
            raise FileChanged
        services.checksums.remember(handle, known)
    call.say(encode_field(FieldName.CHECKSUM, str(known)))
    return Success.DESCRIBED


async def _look(call: Call, path: Path) -> tuple[Attributes | None, int | None]:
    """What there is of a name, and how many bytes have arrived of an upload to it."""
    uploads, storage = call.services.uploads, call.storage

    def find_place() -> Place | None:
        with suppress(FTPLiteError):  # no file could be put there, so there is no partial
            return Place(call.owner, storage.check_write(path))
        return None

    place = await call.work(find_place)
    while True:
        running = [] if place is None else await uploads.settle(place)
        attributes, size = await call.work(_describe_stored, storage, path, call.owner)
        changed = place is not None and running != uploads.there(place)
        if not changed and not any(each.is_over() for each in running):
            return attributes, max((each.size() for each in running), default=0) or size


def _describe_stored(storage: Storage, path: Path, owner: str) -> tuple[Attributes | None, int | None]:
    """In a thread.  Raises what `Storage.stat` does, but for a name that is not there."""
    attributes = None
    with suppress(FileNotFound):
        attributes = storage.stat(path)
    return attributes, storage.partial_size(path, owner)


def _describe(call: Call, attributes: Attributes | None) -> None:
    if attributes is None:
        call.say(encode_field(FieldName.TYPE, "none"))
        return
    call.say(encode_field(FieldName.TYPE, attributes.kind))
    if attributes.link:
        call.say(encode_field(FieldName.LINK, "yes"))
    call.say(encode_size(FieldName.FILE_SIZE, attributes.size))
    call.say(encode_field(FieldName.MODIFIED, spell_time(attributes.mtime_ns)))
    call.say(encode_field(FieldName.MODE, spell_mode(attributes.mode)))


async def _change(call: Call, change: Callable[..., Usage | None], *paths: Path, moves: bool = False) -> None:
    quota = call.quota

    def change_it() -> None:
        removed = change(*paths)
        if quota is not None and removed is not None:
            quota.removed(removed, moves=moves)

    await call.commit(change_it, None if quota is None else quota.turns)
