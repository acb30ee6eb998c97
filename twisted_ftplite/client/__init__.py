"""The client's library: `connect`, and a `Session` to list, fetch and store with.

Every phrase of the protocol raises its own exception, from :mod:`twisted_ftplite.errors`.  What is named
here is imported when it is first used, since the command must start quickly.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..protocol.listing import Row
    from ..storage.interface import Entry
    from .credentials import Login
    from .description import Description
    from .retrying import Retrying
    from .session import Session, connect
    from .speed import Speed
    from .trust import TLS
    from .wishes import DEFAULT, Transfer

__all__ = [
    "DEFAULT",
    "TLS",
    "Description",
    "Entry",
    "Login",
    "Retrying",
    "Row",
    "Session",
    "Speed",
    "Transfer",
    "connect",
]

_HOMES = {
    "DEFAULT": "twisted_ftplite.client.wishes",
    "TLS": "twisted_ftplite.client.trust",
    "Description": "twisted_ftplite.client.description",
    "Entry": "twisted_ftplite.storage.interface",
    "Login": "twisted_ftplite.client.credentials",
    "Retrying": "twisted_ftplite.client.retrying",
    "Row": "twisted_ftplite.protocol.listing",
    "Session": "twisted_ftplite.client.session",
    "Speed": "twisted_ftplite.client.speed",
    "Transfer": "twisted_ftplite.client.wishes",
    "connect": "twisted_ftplite.client.session",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
