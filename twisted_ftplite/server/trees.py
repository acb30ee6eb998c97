"""What is served at the roots of users: the whole tree, or a folder of its own each."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ..errors import FTPLiteError, StorageFailed
from ..limits import Limits
from ..storage.local import LocalStorage
from .config import CannotStart
from .users import User


class Trees:
    """The folders that are served, each opened once."""

    def __init__(self, root: str, umask: int, limits: Limits) -> None:
        """``root`` is the whole tree, where relative roots of users begin."""
        self._root = root
        self._umask = umask
        self._limits = limits
        self.whole = LocalStorage(root, umask=umask, limits=limits)
        self._open: dict[str, LocalStorage] = {os.path.realpath(root): self.whole}
        self._by_root: dict[str, LocalStorage] = {"": self.whole}

    def of(self, root: str) -> LocalStorage:
        """The tree at a user's root, which need not wait for a disk once that was checked.

        Raises `StorageFailed` where it cannot be served.
        """
        found = self._by_root.get(root)
        if found is None:
            found = self._by_root[root] = self._opened(self._folder(root))
        return found

    def check(self, users: Iterable[User]) -> list[str]:
        """The folders of these users, which are open then.

        Raises `CannotStart` where one cannot be served.
        """
        folders = []
        for user in users:
            folder = self._folder(user.root)
            if not os.path.isdir(folder) or not os.access(folder, os.R_OK | os.X_OK):
                raise CannotStart(
                    f"the root of user {user.name}, {folder}, is no folder that can be read; make it"
                )
            self.of(user.root)
            folders.append(folder)
        return folders

    def sweep(self) -> int:
        """See `Storage.sweep`: of all that are open."""
        return sum(each.sweep() for each in tuple(self._open.values()))

    def close(self) -> None:
        """Serve nothing any more."""
        for each in self._open.values():
            each.close()

    def _opened(self, folder: str) -> LocalStorage:
        found = self._open.get(folder)
        if found is None:
            try:
                found = LocalStorage(folder, umask=self._umask, limits=self._limits)
            except (OSError, FTPLiteError) as error:
                raise StorageFailed from error
            self._open[folder] = found
        return found

    def _folder(self, root: str) -> str:
        return os.path.realpath(os.path.join(self._root, root))
