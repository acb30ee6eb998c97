"""Whether the kernel does what a tuning asks for: found out at the start, and told in one line."""

from __future__ import annotations

from collections.abc import Container

from . import tcp
from .tuning import Tuning

_AVAILABLE = "/proc/sys/net/ipv4/tcp_available_congestion_control"
_ALLOWED = "/proc/sys/net/ipv4/tcp_allowed_congestion_control"


def congestions() -> tuple[str, ...]:
    """The congestion controls that anybody may choose; none where the system does not let one choose."""
    return _words(_ALLOWED)


def trouble_with(tuning: Tuning, *, as_root: bool, allowed: Container[str] | None = None) -> str | None:
    """Why the kernel would not do it, and what to do about that; None: it does.

    ``as_root``: it is root who will, and may choose congestion controls that are not ``allowed`` to all.
    """
    if tuning.congestion is not None:
        trouble = _trouble_with_congestion(
            tuning.congestion, as_root=as_root, allowed=congestions() if allowed is None else allowed
        )
        if trouble is not None:
            return trouble
    send, receive = tcp.granted_buffers(tuning)
    for option, setting, wanted, got in (
        ("send-buffer", "wmem_max", tuning.send_buffer, send),
        ("receive-buffer", "rmem_max", tuning.receive_buffer, receive),
    ):
        if wanted is not None and got < wanted:
            return f"--{option} {wanted} is more than the {got} of net.core.{setting}; raise it, or ask less"
    return None


def _trouble_with_congestion(name: str, *, as_root: bool, allowed: Container[str]) -> str | None:
    try:
        tcp.try_congestion(name)
    except PermissionError:
        as_root = False
    except OSError:
        found = ", ".join(_words(_AVAILABLE)) or "none that can be chosen"
        return f"--congestion {name} is not in this kernel, which has {found}; name one of these"
    if as_root or name in allowed:
        return None
    return (
        f"--congestion {name} may be chosen by root alone; add it to net.ipv4.tcp_allowed_congestion_control"
    )


def _words(file: str) -> tuple[str, ...]:
    try:
        with open(file, encoding="ascii") as opened:
            return tuple(opened.read().split())
    except OSError:
        return ()
