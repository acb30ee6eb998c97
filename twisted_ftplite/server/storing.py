"""An upload and the room that a quota reserves for it: opened and ended together."""

from __future__ import annotations

from contextlib import suppress

from ..errors import FTPLiteError
from ..flow.workers import Workers
from ..protocol.paths import Path
from ..storage.interface import NOTHING, Storage, Upload, UploadHandle, Usage
from .quota import Quota, Reservation


class StoredUpload:
    """What `open_upload` gives.  What ends it is called in a thread, of `workers` where there are any."""

    def __init__(
        self,
        storage: Storage,
        path: Path,
        owner: str,
        handle: UploadHandle,
        reservation: Reservation | None = None,
    ) -> None:
        self.handle = handle
        self.reservation = reservation
        self._storage = storage
        self._path = path
        self._owner = owner

    @property
    def workers(self) -> Workers | None:
        """See `Quota.turns`; None: it needs none of its own."""
        return None if self.reservation is None else self.reservation.turns

    def publish(self) -> None:
        """See `WriteHandle.publish`."""
        if self.reservation is None:
            self.handle.publish()
            return
        size, replaced = self.handle.size, self._replaced()
        self.handle.publish()
        self.reservation.published(size, replaced)

    def keep(self) -> None:
        """See `UploadHandle.keep`."""
        if self.reservation is None or self.reservation.is_over:
            self.handle.keep()
            return
        size = self.handle.size
        if size:
            self.reservation.removed(_discard_partial(self._storage, self._path, self._owner))
        if self.handle.keep():
            self.reservation.kept(size)
        else:
            self.reservation.discarded()

    def discard(self) -> None:
        """See `WriteHandle.discard`."""
        self.handle.discard()
        if self.reservation is not None:
            self.reservation.discarded()

    def _replaced(self) -> Usage:
        """What goes when this is published."""
        try:
            there = self._storage.stat(self._path)
        except FTPLiteError:
            return NOTHING
        return Usage(there.size, 1) if there.kind == "file" and not there.link else NOTHING


def open_upload(storage: Storage, path: Path, upload: Upload, quota: Quota | None) -> StoredUpload:
    """`Storage.open_write` with room reserved, in a turn of the ``quota``; raises `QuotaExceeded` as well."""
    if quota is None:
        return StoredUpload(storage, path, upload.owner, storage.open_write(path, upload))
    held = None
    if upload.resume:
        held = storage.partial_size(path, upload.owner)
    else:
        quota.removed(_discard_partial(storage, path, upload.owner))
    reservation = quota.reserve(upload.size, held)
    try:
        handle = storage.open_write(path, upload)
    except BaseException:
        reservation.withdrawn()
        raise
    return StoredUpload(storage, path, upload.owner, handle, reservation)


def _discard_partial(storage: Storage, path: Path, owner: str) -> Usage:
    """What goes of an older upload, unless that is being written."""
    with suppress(FTPLiteError):
        return storage.discard_partial(path, owner)
    return NOTHING
