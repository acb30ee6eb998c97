"""Whether a read would wait for a disk, and how to have a thread wait instead."""

from __future__ import annotations

import ctypes
import os
import sys

_CACHESTAT = 451
"""The system call's number on every architecture that has it (Linux 6.5)."""

_PAGE = os.sysconf("SC_PAGESIZE") if hasattr(os, "sysconf") else 4096


class _Range(ctypes.Structure):
    _fields_ = [("offset", ctypes.c_uint64), ("length", ctypes.c_uint64)]


class _Counts(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint64) for name in ("cache", "dirty", "writeback", "evicted", "recently_evicted")
    ]


_syscall = ctypes.CDLL(None, use_errno=True).syscall if sys.platform == "linux" else None


def is_resident(descriptor: int, offset: int, count: int) -> bool:
    """Whether every page of this stretch is in memory; False also where the kernel does not tell.

    Never waits.  cachestat(2).
    """
    if _syscall is None or count <= 0:
        return False
    stretch = _Range(offset, count)
    counts = _Counts()
    if _syscall(_CACHESTAT, descriptor, ctypes.byref(stretch), ctypes.byref(counts), 0) != 0:
        return False
    pages = (offset + count - 1) // _PAGE - offset // _PAGE + 1
    return bool(counts.cache >= pages)


def read_in(descriptor: int, offset: int, count: int) -> None:
    """Bring a stretch into memory, waiting for the disk: for a worker thread.  Raises ``OSError``."""
    buffer = bytearray(min(count, 256 * 1024))
    end = offset + count
    while offset < end:
        taken = os.preadv(descriptor, [buffer], offset)
        if not taken:
            return
        offset += taken
