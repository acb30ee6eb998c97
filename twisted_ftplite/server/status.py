"""The verb ``status``: what one's own sessions do, and what slows them."""

from __future__ import annotations

import json
from typing import Any

from ..protocol.lines import FieldName, Success, encode_field, quote
from ..protocol.paths import spell
from .call import Call
from .door import Guest

_LONGEST = 1000
"""Characters of a name or directory that are told: all of it may not fit on a line."""


async def status(call: Call) -> Success:
    """Describe the sessions of whoever asks: of the same user, and without a login of the same host."""
    now = call.services.reactor.seconds()
    for guest in call.services.guests_of(call.owner):
        described = describe(guest, now, own=guest.performer.runs(call))
        # Names may hold bytes that are not UTF-8; `quote` spells these as the wire has them.
        text = ", ".join(f"{quote(name)}: {_spell(value)}" for name, value in described.items())
        call.say(encode_field(FieldName.SESSION, f"{{{text}}}"))
    return Success.DESCRIBED


def describe(guest: Guest, now: float, *, own: bool = False) -> dict[str, Any]:
    """One session, as JSON has it; ``now`` in the reactor's seconds."""
    visitor = guest.visitor
    return {
        "own": own,
        "peer": f"{getattr(visitor.address, 'host', '-')}:{getattr(visitor.address, 'port', '-')}",
        "user": None if visitor.user is None else visitor.user.name or None,
        "secure": visitor.side is not None,
        "seconds": round(now - guest.began, 3),
        "directory": spell(guest.session.directory),
        "transfer": _transfer(guest.performer.call),
    }


def _transfer(call: Call | None) -> dict[str, Any] | None:
    """What moves; None where nothing does."""
    if call is None or call.pumped is None:
        return None
    found, account = call.finding(), call.pumped.channel.account
    seconds = found.seconds if found is not None else 0.0
    info = account.info
    arguments = call.command.arguments()
    due = call.due
    if call.announced_size is not None:
        due = call.announced_size - (call.options.offset or 0)
    return {
        "verb": call.command.verb.name,
        "name": arguments[0] if arguments else ".",
        "size": due,
        "moved": call.moved,
        "seconds": round(seconds, 3),
        "rate": round(call.moved / seconds) if seconds > 0 else 0,
        "limited_by": None if found is None else str(found.word),
        "rtt": None if info is None else round(info.rtt / 1e6, 6),
        "retransmitted": None if info is None else info.total_retrans,
    }


def _spell(value: Any) -> str:
    """JSON on one line."""
    if isinstance(value, str):
        return quote(value if len(value) <= _LONGEST else f"{value[:_LONGEST]}…")
    if isinstance(value, dict):
        inner = ", ".join(f"{quote(name)}: {_spell(each)}" for name, each in value.items())
        return f"{{{inner}}}"
    return json.dumps(value)
