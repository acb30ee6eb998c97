"""How TCP is to be used, as one frozen value: what may be set, and how people spell it.

docs/flow.md, section "TCP", says what each does and why its default is what it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from ..limits import KIB, MIB, Limits
from .rates import UNITS


@dataclass(frozen=True, slots=True)
class Tuning:
    """What one side sets on its sockets.  Immutable: a change makes a new one."""

    send_buffer: int | None = None
    """Bytes that the kernel may hold of what a data channel sends; None: what it finds fit by itself."""

    receive_buffer: int | None = None
    """The same of what has come: the largest window that is announced."""

    congestion: str | None = None
    """What decides how fast a data channel sends; None: the system's default."""

    unsent: int | None = 4 * MIB
    """Bytes behind what the network takes just now, above which a data channel takes no more of us."""

    dscp_data: int | None = None
    """The class of service of data channels; None: the system's default."""

    dscp_control: int | None = None
    """The same of control channels."""

    mss: int | None = None
    """Bytes of a segment at most; None: what the path's interfaces take."""

    user_timeout: float | None = None
    """Seconds for which the kernel at the other end of a control channel may be silent; None: any time.

    Half of them pass before it is asked whether it is still there.
    """


PLAIN: Final = Tuning()
"""What nobody set."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Several of them under one name."""

    tuning: Tuning
    weight: int
    """Of its share, where several are limited together."""

    congestions: tuple[str, ...] = ()
    """The first of them that can be had is taken; where none can, the system's default is."""


PROFILES: Final[Mapping[str, Profile]] = {
    "interactive": Profile(Tuning(dscp_control=18, dscp_data=18, unsent=512 * KIB), 8),
    "bulk": Profile(Tuning(dscp_data=10), 4, ("bbr",)),
    "background": Profile(Tuning(dscp_data=1), 1, ("lp",)),
}
"""By name: AF21 for both channels; AF11 for the data; LE for the data."""

DSCP: Final[Mapping[str, int]] = {
    **{f"CS{number}": 8 * number for number in range(8)},
    **{f"AF{high}{low}": 8 * high + 2 * low for high in range(1, 5) for low in range(1, 4)},
    "EF": 46,
    "LE": 1,
}
"""The classes of service that have a name (RFC 2474, 2597, 3246 and 8622)."""

LEAST_MSS: Final = 88
MOST_MSS: Final = 32767
"""What Linux takes: TCP_MIN_MSS and MAX_TCP_WINDOW of its source."""

LEAST_BUFFER: Final = 4 * KIB
MOST_BUFFER: Final = 2**30 - 1
"""Linux doubles what is asked for, in an int."""

_SIZE: Final = re.compile(r"([0-9]{1,12})(k|M|G|Ki|Mi|Gi)?")
_CONGESTION: Final = re.compile(r"[a-z][a-z0-9_-]{0,14}")


def read_buffer(text: str) -> int:
    """Bytes of a buffer.  Raises ``ValueError``, as all of these do, with what would be right."""
    found = _SIZE.fullmatch(text)
    size = int(found[1]) * UNITS[found[2] or ""] if found else 0
    if not LEAST_BUFFER <= size <= MOST_BUFFER:
        raise ValueError(f"{text!r} is no number of bytes from 4Ki to below 1Gi, such as 262144, 256Ki or 4M")
    return size


def read_mss(text: str) -> int:
    """Bytes of a segment."""
    if not (text.isascii() and text.isdigit() and LEAST_MSS <= int(text[:9]) <= MOST_MSS):
        raise ValueError(f"{text!r} is no number of bytes from {LEAST_MSS} to {MOST_MSS}")
    return int(text)


def read_dscp(text: str) -> int:
    """A class of service, by name or number."""
    named = DSCP.get(text.upper())
    if named is not None:
        return named
    if not (text.isascii() and text.isdigit() and int(text[:9]) <= 63):
        raise ValueError(
            f"{text!r} is no class of service: CS0 to CS7, AF11 to AF43, EF, LE, or a number from 0 to 63"
        )
    return int(text)


def read_congestion(text: str) -> str:
    """The name of a congestion control; whether the kernel has it is `tcp.congestions`' to say."""
    if not _CONGESTION.fullmatch(text):
        raise ValueError(f"{text!r} is no name of a congestion control, such as cubic or bbr")
    return text


def read_profile(text: str) -> str:
    """The name of a profile."""
    if text not in PROFILES:
        raise ValueError(f"{text!r} is not {' or '.join(PROFILES)}")
    return text


@dataclass(frozen=True, slots=True)
class Setting:
    """One that can be set by an option."""

    option: str
    """Without its dashes; with underscores it is the attribute of `Tuning`."""

    read: Callable[[str], Any]
    metavar: str
    help: str


SETTINGS: Final = (
    Setting("send-buffer", read_buffer, "BYTES", "Send buffer of data channels, such as 4M."),
    Setting("receive-buffer", read_buffer, "BYTES", "Receive buffer of data channels, such as 4M."),
    Setting("congestion", read_congestion, "NAME", "Congestion control of data channels, such as bbr."),
    Setting("dscp-control", read_dscp, "CLASS", "Class of service of control channels: AF21, or a number."),
    Setting("dscp-data", read_dscp, "CLASS", "The same of data channels: AF11, LE, or a number."),
    Setting("mss", read_mss, "BYTES", "Bytes of a segment at most."),
)
"""The options of both sides."""

PROFILE_HELP: Final = "Several of these at once: interactive, bulk or background; each can still be told."


def tuned(told: Mapping[str, Any], limits: Limits, congestions: Container[str]) -> Tuning:
    """From options, by their names: those that were told (not None), and else the profile's.

    ``congestions`` are those that a profile may choose from.
    """
    tuning = PLAIN
    if told.get("profile") is not None:
        profile = PROFILES[told["profile"]]
        found = next((each for each in profile.congestions if each in congestions), None)
        tuning = replace(profile.tuning, congestion=found)
    singly = {each.option.replace("-", "_"): told.get(each.option) for each in SETTINGS}
    return replace(
        tuning,
        user_timeout=patience(limits),
        **{name: value for name, value in singly.items() if value is not None},
    )


def patience(limits: Limits) -> float:
    """The user timeout: above the stall timeout, which knows what a transfer waits for."""
    return max(2 * limits.stall_timeout, limits.connect_timeout)
