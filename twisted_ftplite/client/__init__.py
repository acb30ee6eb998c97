"""The client's library: `connect`, and a `Session` to list, fetch and store with.

Every phrase of the protocol raises its own exception, from :mod:`twisted_ftplite.errors`.  What is named
here is imported when it is first used, since the command must start quickly.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..storage.interface import Entry
    from .session import Session, connect
    from .transfers import Transfer

__all__ = ["Entry", "Session", "Transfer", "connect"]

_HOMES = {
    "Entry": "twisted_ftplite.storage.interface",
    "Session": "twisted_ftplite.client.session",
    "Transfer": "twisted_ftplite.client.transfers",
    "connect": "twisted_ftplite.client.session",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
