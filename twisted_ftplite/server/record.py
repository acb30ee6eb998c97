"""The one event in the log that each command gets."""

from __future__ import annotations

from twisted.logger import Logger

from ..errors import FTPLiteError
from ..protocol.lines import Command, Success, spell_argument

log = Logger()

Status = Success | FTPLiteError
"""How a command ended."""


def record(
    peer: str,
    command: Command,
    status: Status,
    count: int = 0,
    seconds: float = 0.0,
    limited_by: str = "",
) -> None:
    """Log a command: ``count`` bytes moved in ``seconds``, and what they waited for most."""
    verb, name = command.verb.name, _loggable(command)
    outcome = "SUCCESS" if isinstance(status, Success) else status.kind
    cause = "" if isinstance(status, Success) else f" {status.phrase}"
    limit = f", limited by {limited_by}" if limited_by and not cause else ""
    # Twisted's formatting of eight fields took a seventh of the time of a small get.
    log.info(
        "{summary}",
        summary=f"{peer} {verb} {name} {outcome} {count} bytes {seconds:.3f} s{limit}{cause}",
        peer=peer,
        verb=verb,
        name=name,
        outcome=outcome,
        bytes=count,
        seconds=seconds,
        limited_by=limited_by,
    )


def _loggable(command: Command) -> str:
    """The argument without control characters; a secret, and what nobody understood, is not told."""
    if command.verb.name == "password":
        return "-"
    try:
        name = spell_argument(*command.arguments()) if command.argument is not None else "."
    except FTPLiteError:
        return "-"
    # A person may have typed his password behind his name.
    return "-" if command.verb.name == "login" and " " in name else name
