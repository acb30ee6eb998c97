"""What the verb status does: one's own sessions, a line each, and a line for what they move."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .display import rate
from .flags import Call, Flag
from .words import spell

if TYPE_CHECKING:
    from .shell import Shell
    from .standing import Moving, Standing

FLAGS = (Flag("json", "the server's own lines: an object a session"),)

_WAITS = {
    "network": "the network",
    "receiver": "the receiver",
    "disk": "the server's disk",
    "cpu": "the server's CPU",
    "limit": "the server's limit",
}


async def status(shell: Shell, call: Call) -> None:
    """Tell what one's own sessions do."""
    session = await shell.session()
    told = await session.status()
    if "json" in call.flags:
        lines: Iterator[str] = (json.dumps(each.told) for each in told)
    else:
        lines = (line for each in told for line in _lines(each))
    await shell.console.say("".join(f"{line}\n" for line in lines))


def _lines(told: Standing) -> Iterator[str]:
    who = f"{spell(told.user)} at {told.peer}" if told.user is not None else told.peer
    ways = "TLS" if told.secure else "in the clear"
    here = ", this session" if told.own else ""
    yield f"{who}: {ways}, for {told.seconds:.0f} s, in {spell(told.directory)}{here}"
    if told.transfer is not None:
        yield f"    {_moving(told.transfer)}"


def _moving(told: Moving) -> str:
    size = f" of {told.size} bytes, {100 * told.moved // max(told.size, 1)} %" if told.size else " bytes"
    speed = rate(told.moved, told.seconds)
    waits = f", limited by {_WAITS[told.limited_by]}" if told.limited_by in _WAITS else ""
    return (
        f"{spell(told.verb)} {spell(told.name)}: {told.moved}{size} in {told.seconds:.1f} s, {speed}{waits}"
    )
