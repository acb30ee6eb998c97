"""The order of a session as the client keeps it: what may come when, as tables."""

from __future__ import annotations

from enum import Enum, auto

from .lines import FieldName, Success


class Stage(Enum):
    """How far a command has come."""

    ASKED = auto()
    """Nothing has come back but fields."""

    MOVING = auto()
    """The server said ``Ready to …``."""

    AGREED = auto()
    """Both completions have been said; only the final status is missing."""

    OVER = auto()


class Kind(Enum):
    """What a line is to the oldest command."""

    READY = auto()
    FIELD = auto()
    SUCCESS = auto()
    """The verb's own."""

    OTHER_SUCCESS = auto()
    """One that no verb of this kind ends with: never right."""

    REFUSAL = auto()


ORDER: dict[tuple[bool, Stage], frozenset[Kind]] = {
    (False, Stage.ASKED): frozenset({Kind.FIELD, Kind.SUCCESS, Kind.REFUSAL}),
    (True, Stage.ASKED): frozenset({Kind.READY, Kind.REFUSAL}),
    (True, Stage.MOVING): frozenset({Kind.FIELD, Kind.REFUSAL}),
    (True, Stage.AGREED): frozenset({Kind.SUCCESS, Kind.REFUSAL}),
}
"""What may come, by whether the command is a transfer and by its stage; anything else breaks the protocol.

``Working`` may come at any time and is not in the table.
"""

FIELDS: dict[FieldName, tuple[str, ...]] = {
    FieldName.FILE_SIZE: ("get",),
    FieldName.MODIFIED: ("get",),
    FieldName.MODE: ("get",),
    FieldName.CHECKSUM: ("get",),
    FieldName.LIMITED_BY: ("ls", "get", "put"),
    FieldName.DATA_CHANNEL_TOKEN: ("ls", "get", "put"),
    FieldName.TRANSFER_COMPLETE: ("ls", "get", "put"),
}
"""The fields of a transfer that mean something, each with its verbs.

Each comes at most once and before, or as, the completion.  All others are ignored.
"""

READY = {"ls": Success.READY_TO_SEND, "get": Success.READY_TO_SEND, "put": Success.READY_TO_RECEIVE}
"""The verbs with a data channel, each with what opens it."""

DONE = {
    "ls": Success.LISTING_COMPLETE,
    "get": Success.FILE_TRANSFERRED,
    "put": Success.FILE_TRANSFERRED,
    "quit": Success.GOODBYE,
    "features": Success.FEATURES_LISTED,
    "noop": Success.NOTHING_DONE,
    "help": Success.HELP_LISTED,
    "pwd": Success.DESCRIBED,
    "cd": Success.DIRECTORY_CHANGED,
    "mkdir": Success.DIRECTORY_MADE,
    "rmdir": Success.DIRECTORY_REMOVED,
    "rm": Success.FILE_REMOVED,
    "mv": Success.RENAMED,
    "stat": Success.DESCRIBED,
    "checksum": Success.DESCRIBED,
    "status": Success.DESCRIBED,
    "starttls": Success.BEGIN_TLS,
    "login": Success.PASSWORD_REQUIRED,
    "password": Success.LOGGED_IN,
}
"""Every verb that this client asks for, with the success that ends it."""
