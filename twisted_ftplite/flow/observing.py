"""What a transfer waited for: its time by what it was spent on, and what the kernel says of its connection.

Each side sees its own part.  A sender knows why it could not send on, a receiver only that nothing came:
so each tells the other one word, and `explain` makes one phrase of both.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from time import monotonic, thread_time
from typing import Final, NamedTuple, TypeVar, TypeVarTuple

from ..protocol.values import Bottleneck
from .tcp_info import TCPInfo

A = TypeVarTuple("A")
T = TypeVar("T")

WAIT: Final = 0
"""For the socket: a sender until the kernel takes more, a receiver until there is something."""

WORK: Final = 1
"""In the reactor's thread: copying, TLS."""

DISK: Final = 2
"""For a thread that reads, writes or syncs, or for whoever makes what is sent."""

HASH: Final = 3
"""For the rest of a checksum, when all has moved."""

LIMIT: Final = 4
"""For a limit of our own."""

PEER: Final = 5
"""For the other side's last words, when all has moved."""

_LOSS, _OVERFLOW = 0.0005, 0.01
"""The part of what was sent that was lost, from which on that is worth telling: on a way without a queue, and
on one with a queue, which now and then loses what does not fit in."""

_OUT_OF_ORDER = 0.05
"""The same for a receiver, which sees all that comes before what was lost is sent again."""

_PACED = 0.75
"""Who has this part of the rate to which a limit of ours keeps the kernel is held by that."""

_SURE = 0.7
"""The part of its own time from which on a side believes itself rather than the other."""

_NARROW = 2
"""A window that has fallen to less than one in so many of what it was is one whose reader is slow."""


_PRESSED = 0.6
"""A window of which this part is under way is nearly full: one that only the network holds back is kept at
twice of that by the receiver's kernel."""

_QUEUED = 2
_TICK = 1000
"""A round trip that takes so many times the shortest and so many microseconds more waits in a queue: where
it is the window that holds, there is none."""

_FULL = 2
"""The kernel counts a window as full only from time to time where its reader keeps just ahead, so the time
that it tells counts so many times."""


class Account:
    """Where the time of one transfer goes; a clock is looked at only where that changes."""

    __slots__ = (
        "_since",
        "_state",
        "_threads",
        "at_end",
        "ceiling",
        "info",
        "looks",
        "narrow",
        "pressed",
        "seconds",
        "secure",
        "wide",
    )

    def __init__(self, *, secure: bool = False) -> None:
        self.secure = secure
        """Whether it is inside TLS."""

        self.ceiling: float | None = None
        """Bytes a second to which the kernel keeps it for a limit of ours."""

        self.seconds = [0.0] * 6
        self.info: TCPInfo | None = None
        """As the kernel told it last."""

        self.at_end: TCPInfo | None = None
        """When the last byte had moved."""

        self.wide = self.looks = self.narrow = self.pressed = 0
        """The widest window of the other side; how often it was looked at, and how often it was narrow, and
        nearly full."""

        self._state = WAIT
        self._since = monotonic()
        self._threads = 0.0

    def begin(self) -> None:
        """The first byte may move now."""
        self.seconds = [0.0] * 6
        self._threads = 0.0
        self._state, self._since = WAIT, monotonic()

    def turn(self, state: int) -> None:
        """From now on the time is spent on this."""
        now = monotonic()
        self.seconds[self._state] += now - self._since
        self._state, self._since = state, now

    def work(self) -> None:
        """The reactor's thread has begun to do something for it."""
        if self._state == WAIT:
            self.turn(WORK)

    def rest(self) -> None:
        """It has done so."""
        if self._state == WORK:
            self.turn(WAIT)

    def timed(self, function: Callable[[*A], T], *args: *A) -> T:
        """In a thread that is waited for: call it.  What it computes is no waiting for a disk."""
        began = thread_time()
        try:
            return function(*args)
        finally:
            self._threads += thread_time() - began

    def moved(self) -> None:
        """All has moved; what is still to come is said, not sent."""
        if self._state != PEER:
            self.turn(PEER)
            self.at_end = self.info

    def see(self, info: TCPInfo | None) -> None:
        """What the kernel tells now."""
        if info is None:
            return
        self.info = info
        self.looks += 1
        self.wide = max(self.wide, info.snd_wnd)
        self.narrow += info.snd_wnd * _NARROW < self.wide or info.snd_wnd < info.snd_mss
        self.pressed += info.unacked * info.snd_mss > _PRESSED * info.snd_wnd

    def spent(self) -> list[float]:
        """Seconds by what they were spent on, up to now."""
        self.turn(self._state)
        spent = list(self.seconds)
        computed = min(self._threads, spent[DISK])
        spent[DISK] -= computed
        spent[WORK] += computed
        return spent


class Role(Enum):
    """Which side of a transfer this is."""

    SENDER = "sender"
    RECEIVER = "receiver"


class Finding(NamedTuple):
    """What one side has found out."""

    word: Bottleneck
    share: float
    """The part of its time that it spent on that."""

    seconds: float
    """All of its time."""

    why: str = ""
    """For people: ``loss``, ``buffer``, ``window``, ``TLS`` or ``checksum``."""


def find(role: Role, account: Account, moved: int) -> Finding:
    """What most of the time was spent on, ``moved`` bytes having been sent or received."""
    spent = account.spent()
    total = sum(spent)
    of = {
        Bottleneck.DISK: spent[DISK],
        Bottleneck.LIMIT: spent[LIMIT],
        Bottleneck.CPU: spent[WORK] + spent[HASH],
        Bottleneck.NETWORK: spent[WAIT] + spent[PEER],
        Bottleneck.RECEIVER: 0.0,
    }
    info = account.info
    if role is Role.SENDER and info is not None:
        _divide(of, account, info, spent)
    word = max(of, key=lambda each: of[each])
    if role is Role.SENDER and info is not None and 2 * info.bytes_acked < moved and word is Bottleneck.CPU:
        # It only filled the kernel's buffers: what these wait for will take longer.
        word = Bottleneck.RECEIVER if _is_full(info) else Bottleneck.NETWORK
    share = of[word] / total if total else 0.0
    if word in (Bottleneck.NETWORK, Bottleneck.RECEIVER) and _is_held(account, moved, total):
        word = Bottleneck.LIMIT
    return Finding(word, share, total, _why(word, account, spent))


def _divide(of: dict[Bottleneck, float], account: Account, info: TCPInfo, spent: list[float]) -> None:
    """Divide what a sender waited for the socket by what the kernel says that it did meanwhile."""
    waited, busy = spent[WAIT] + spent[PEER], info.busy_time / 1e6
    if not waited or not info.bytes_acked:
        return
    until = busy if account.at_end is None else account.at_end.busy_time / 1e6
    unasked = max(0.0, spent[WAIT] - until)
    """The kernel had nothing to send, and the reactor no time to give it more."""

    unsaid = max(0.0, spent[PEER] - (busy - until))
    """All had arrived, and the other side was not ready with it."""

    left = max(0.0, waited - unasked - unsaid)
    full = 2 * account.pressed > account.looks
    window = left if full else left * min(1.0, _FULL * info.rwnd_limited / max(info.busy_time, 1))
    of[Bottleneck.CPU] += unasked
    of[Bottleneck.RECEIVER] = window + unsaid
    of[Bottleneck.NETWORK] = left - window


def _is_full(info: TCPInfo) -> bool:
    """Whether it is the receiver's window that most of the sending waited for."""
    return 2 * _FULL * info.rwnd_limited > info.busy_time


def _is_queued(info: TCPInfo) -> bool:
    """Whether what is under way waits somewhere."""
    return info.rtt > _QUEUED * info.min_rtt + _TICK


def _is_held(account: Account, moved: int, seconds: float) -> bool:
    return account.ceiling is not None and moved > _PACED * account.ceiling * seconds


def _why(word: Bottleneck, account: Account, spent: list[float]) -> str:
    info = account.info
    match word:
        case Bottleneck.CPU if spent[HASH] > spent[WORK]:
            return "checksum"
        case Bottleneck.CPU if account.secure:
            return "TLS"
        case Bottleneck.NETWORK if info is not None and 2 * info.sndbuf_limited > info.busy_time:
            return "buffer"
        case Bottleneck.NETWORK if info is not None:
            part = _OVERFLOW if _is_queued(info) else _LOSS
            lost = info.lost > part * info.data_segs_out
            return "loss" if lost or info.out_of_order > _OUT_OF_ORDER * info.data_segs_in else ""
        case Bottleneck.RECEIVER if info is not None:
            return "" if _is_queued(info) or 2 * account.narrow > account.looks else "window"
    return ""


_BUSY = (Bottleneck.DISK, Bottleneck.CPU, Bottleneck.LIMIT)
"""What a side can say of itself."""

WORTH_TELLING: Final = 0.5
"""Seconds: of a transfer that was shorter nobody is told what limited it."""

_SLOW = ("sha256",)
"""Checksums that take longer than TLS."""

_NAMES = {Bottleneck.DISK: "disk", Bottleneck.CPU: "CPU", Bottleneck.LIMIT: "limit"}


def likely(algorithm: str | None, *, secure: bool) -> str:
    """What the other side computes where it says that this takes long; empty where nobody can tell."""
    if algorithm in _SLOW:
        return "checksum"
    return "TLS" if secure else ""


def explain(role: Role, own: Finding, told: Bottleneck | None, us: str, them: str, *, cpu: str = "") -> str:
    """What limited a transfer, for people: ``the server's disk``, ``network loss``, ``the other side``.

    ``us`` and ``them`` are what this and the other side are called, and ``cpu`` is what the other one
    likely computes where it says that.
    """
    if own.word in _BUSY and (told not in _BUSY or own.share >= _SURE):
        return _of(us, own.word, own.why)
    if told in _BUSY:
        return _of(them, told, cpu if told is Bottleneck.CPU else "")
    if own.why == "loss":
        return "network loss"
    if own.why == "buffer":
        return f"the sender's buffer ({us})"
    if role is Role.SENDER and own.word is Bottleneck.RECEIVER:
        return f"the receiver's window ({them})" if told is not None or own.why else "the other side"
    if role is Role.RECEIVER and told is None:
        return "the other side"
    if role is Role.RECEIVER and told is Bottleneck.RECEIVER:
        return f"the receiver's window ({us})"
    return "the network"


def _of(side: str, word: Bottleneck, why: str) -> str:
    return f"{side}'s {_NAMES[word]}" + (f" ({why})" if why else "")
