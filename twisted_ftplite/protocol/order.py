"""The order of a server's session: one table (docs/protocol.md, section 2).

What is done with a line depends on where the session stands with the command that runs, and on what the
line is to that command.  Nothing else decides when a line has its turn.
"""

from __future__ import annotations

from enum import Enum, auto

from ..errors import Broken, LineTooLong, UnexpectedMessage
from .lines import Command, Field, Message, Status, decode

TOO_LONG = b"\n"
"""Stands for a line that was longer than the protocol has them; no line is this one."""


class State(Enum):
    """Where the session stands with the command that runs."""

    IDLE = auto()
    """None runs; the next line is taken."""

    RUNNING = auto()
    """It has not been answered yet: steps 1 and 2, or a command without a transfer."""

    OFFERED = auto()
    """Step 3: ``Ready to …`` was said, the client's fields and its port are due."""

    MOVING = auto()
    """Steps 4 to 9: bytes move, completions come and go."""

    ENDING = auto()
    """It was told to end, and has not yet."""

    CLOSED = auto()
    """Nothing is taken any more."""


class Kind(Enum):
    """What a line is to the command that runs."""

    ABORT = auto()
    COMMAND = auto()
    FIELD = auto()
    FAILURE = auto()
    OTHER = auto()
    """Nobody could make sense of it, or it does not belong."""


class Move(Enum):
    """What is done with a line."""

    BEGIN = auto()
    WAIT = auto()
    DROP = auto()
    REPLY = auto()
    NOTE = auto()
    BREAK = auto()
    CANCEL = auto()


ORDER: dict[State, dict[Kind, Move]] = {
    State.IDLE: {
        Kind.ABORT: Move.DROP,
        Kind.COMMAND: Move.BEGIN,
        Kind.FIELD: Move.DROP,
        Kind.FAILURE: Move.DROP,
        Kind.OTHER: Move.REPLY,
    },
    State.RUNNING: {
        Kind.ABORT: Move.CANCEL,
        Kind.COMMAND: Move.WAIT,
        Kind.FIELD: Move.WAIT,
        Kind.FAILURE: Move.WAIT,
        Kind.OTHER: Move.WAIT,
    },
    State.OFFERED: {
        Kind.ABORT: Move.CANCEL,
        Kind.COMMAND: Move.BREAK,
        Kind.FIELD: Move.NOTE,
        Kind.FAILURE: Move.BREAK,
        Kind.OTHER: Move.BREAK,
    },
    State.MOVING: {
        Kind.ABORT: Move.CANCEL,
        Kind.COMMAND: Move.WAIT,
        Kind.FIELD: Move.NOTE,
        Kind.FAILURE: Move.CANCEL,
        Kind.OTHER: Move.WAIT,
    },
    State.ENDING: {
        Kind.ABORT: Move.CANCEL,
        Kind.COMMAND: Move.WAIT,
        Kind.FIELD: Move.DROP,
        Kind.FAILURE: Move.DROP,
        Kind.OTHER: Move.WAIT,
    },
}
"""The order of a session.  A field or a failure behind a command that waits, waits with it."""


def classify(line: bytes) -> tuple[Kind, Message | Broken]:
    """What a line is, and what it says or why nobody can make sense of it."""
    if line == TOO_LONG:
        return Kind.OTHER, LineTooLong()
    try:
        message = decode(line)
    except Broken as problem:
        return Kind.OTHER, problem
    match message:
        case Command(verb, None) if verb.name == "abort":
            return Kind.ABORT, message
        case Command():
            return Kind.COMMAND, message
        case Field():
            return Kind.FIELD, message
        case Status("FAILURE"):
            return Kind.FAILURE, message
    return Kind.OTHER, UnexpectedMessage("Only the server says that.")
