"""What the page shows, as JSON has it: one look at a server."""

from __future__ import annotations

import time
from typing import Any, Final

from ..server.door import Guest
from ..server.history import BUCKET, KEPT
from ..server.status import describe
from ..server.watch import Watch

SHOWN: Final = 100
"""Sessions and transfers that are told one by one; of more than these only how many."""

_RECENT: Final = 8
"""Buckets of each event: whoever misses a few has no gap."""

_LONGEST: Final = 300
"""Characters of a name that are told."""


def look(watch: Watch, *, whole: bool) -> dict[str, Any]:
    """The server now; with ``whole`` all of the last hour, else the end of it alone."""
    now = watch.clock.seconds()
    guests = watch.guests()
    moving = [each for each in guests if each.performer.call and each.performer.call.pumped]
    sent, received = watch.moved()
    return {
        "now": time.time(),
        "started": watch.started,
        "state": watch.state,
        "sessions": len(guests),
        "shown": [_session(each, now) for each in guests[:SHOWN]],
        "transfers": len(moving),
        "moving": [_transfer(each, now, watch) for each in moving[:SHOWN]],
        "moved": [sent, received],
        "done": _done(watch),
        "lag": round(watch.lag, 4),
        "waiting": {name: pool.waiting for name, pool in watch.pools.items()},
        "history": {
            "bucket": BUCKET,
            "kept": KEPT,
            "number": watch.history.number,
            "began": time.time() - watch.history.age(now),
            "rates": watch.history.rates(KEPT if whole else _RECENT),
        },
    }


def _session(guest: Guest, now: float) -> dict[str, Any]:
    described = describe(guest, now)
    call = guest.performer.call
    return {
        "peer": described["peer"],
        "user": _short(described["user"] or ""),
        "secure": described["secure"],
        "seconds": round(described["seconds"]),
        "does": "" if call is None else call.command.verb.name,
    }


def _transfer(guest: Guest, now: float, watch: Watch) -> dict[str, Any]:
    described = describe(guest, now)
    transfer, call = described["transfer"], guest.performer.call
    assert call is not None
    return {
        "peer": described["peer"],
        "user": _short(described["user"] or ""),
        "verb": transfer["verb"],
        "name": _short(transfer["name"]),
        "size": transfer["size"],
        "moved": transfer["moved"],
        "seconds": transfer["seconds"],
        "rate": watch.rate(call),
        "limited": call.limited_by(),
    }


def _done(watch: Watch) -> dict[str, int]:
    """Commands that are over, by outcome."""
    done = {"success": 0, "failure": 0, "error": 0}
    for (_, outcome), count in watch.commands.items():
        done[outcome] += count
    return done


def _short(name: str) -> str:
    """Its two ends, where it is long."""
    half = _LONGEST // 2
    return name if len(name) <= _LONGEST else f"{name[:half]}…{name[-half:]}"
