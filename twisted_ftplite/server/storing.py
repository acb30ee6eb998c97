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
        self, storage: Storage, path: Path, handle: UploadHandle, reservation: Reservation | None
    ) -> None:
        self.handle = handle
        self.reservation = reservation
        self._storage = storage
        self._path = path

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
        size = self.handle.size
        kept = self.handle.keep()
        if self.reservation is not None:
            if kept:
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
        return StoredUpload(storage, path, storage.open_write(path, upload), None)
    held = None
    if upload.resume:
        held = storage.partial_size(path, upload.owner)
    else:
        with suppress(FTPLiteError):  # it is being written: this one lives without its place
            quota.removed(storage.discard_partial(path, upload.owner))
    reservation = quota.reserve(upload.size, held)
    try:
        handle = storage.open_write(path, upload)
    except BaseException:
        reservation.withdrawn()
        raise
    return StoredUpload(storage, path, handle, reservation)
