"""The machine a bench runs on: a network namespace of its own, tmpfs, warm pages, open files."""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .frame import MIB

INSIDE = "FTPLITE_BENCH_INSIDE"
CONTROL = Path("/proc/sys/net/ipv4/tcp_congestion_control")
ALLOWED = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control")
WANTED = "cubic"

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
PR_SET_PDEATHSIG = 1


def can_have_a_namespace() -> bool:
    """Whether this process may make a network namespace and set its congestion control."""
    return os.geteuid() == 0 and shutil.which("unshare") is not None and os.access(ALLOWED, os.W_OK)


def run_inside(arguments: list[str]) -> int:
    """Run this command again in a network namespace of its own; returns its exit status.

    The namespace has no name: it goes with the last process in it, however that ends.  Only algorithms the
    machine's own list allows can be chosen in there, so cubic is on that list while the command runs.
    """
    before = ALLOWED.read_text()
    if WANTED not in before.split():
        with suppress(OSError):  # a kernel without cubic: the header will say what was used
            ALLOWED.write_text(f"{before.strip()} {WANTED}")
    command = ["unshare", "--net", "--", sys.executable, *sys.argv[:1], *arguments]
    child = subprocess.Popen(command, env={**os.environ, INSIDE: "1"})

    def pass_on(number: int, _frame: object) -> None:
        child.send_signal(number)

    signal.signal(signal.SIGTERM, pass_on)
    try:
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:  # the terminal has told the child as well
                continue
    finally:
        if ALLOWED.read_text() != before:
            ALLOWED.write_text(before)


def set_up_namespace() -> None:
    """Inside: bring loopback up and choose cubic."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        request = struct.pack("16sH14s", b"lo", 0, b"")
        flags = struct.unpack("16sH14s", fcntl.ioctl(handle, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(handle, SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", flags | IFF_UP, b""))
    with suppress(OSError):
        CONTROL.write_text(WANTED)


def describe() -> str:
    """The first lines of the report: where the figures come from, and what may bend them."""
    import twisted

    control = CONTROL.read_text().strip()
    where = "a network namespace of its own" if os.environ.get(INSIDE) else "this machine's own loopback"
    lines = [
        f"{os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()}, "
        f"Twisted {twisted.__version__}; {where}, congestion control {control}; "
        f"load average at the start {os.getloadavg()[0]:.2f}.",
    ]
    if not os.environ.get(INSIDE):
        lines.append("Not run as root, so without a network namespace: the kernel's own settings apply.")
    if control == "bbr":
        lines.append("**bbr paces loopback**: all figures, the bare loops' too, are lower than with cubic.")
    return "\n".join(lines)


def raise_open_files() -> None:
    """As many descriptors as the hard limit gives: idle sessions need one each, here as in the server."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def die_with_parent() -> None:
    """In a child before its exec: end when the bench ends, even where that was killed."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@contextmanager
def working_folder() -> Iterator[Path]:
    """A folder on tmpfs that is gone at the end; where there is no /dev/shm, an ordinary temporary one."""
    memory = Path("/dev/shm")
    base = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
    folder = Path(tempfile.mkdtemp(prefix="ftplite-bench-", dir=base))
    try:
        folder.chmod(0o755)
        for name in ("served", "served/up", "served/small", "local", "run"):
            (folder / name).mkdir()
        (folder / "served" / "up").chmod(0o1777)  # some peers write as nobody
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def warm_pages(folder: Path, size: int) -> None:
    """Have the host back as much free memory as a timed write will take.

    A guest that reports its free pages to the host pays 1 µs to 10 µs for the first touch of each one that
    went back; without this the case that happens to come first pays for all.  The pages are written, since
    posix_fallocate takes them without a touch, and hands the timed write just those that nobody backs.
    """
    path, piece = folder / "warm", bytes(MIB)
    try:
        with path.open("wb", buffering=0) as file:
            for _ in range(size // MIB + 64):
                file.write(piece)
    finally:
        path.unlink()


def make_file(path: Path, size: int) -> Path:
    """A file of random bytes, made once."""
    if not path.exists() or path.stat().st_size != size:
        with path.open("wb") as file:
            for start in range(0, size, MIB):
                file.write(os.urandom(min(MIB, size - start)))
    return path


def make_small_files(folder: Path, count: int) -> list[str]:
    """``count`` files of 1 KiB; returns their names."""
    names = [f"f{each:05d}.dat" for each in range(count)]
    for name in names:
        make_file(folder / name, 1024)
    return names


def same_contents(one: Path, other: Path) -> bool:
    """Compare two files byte by byte, faster than `filecmp` does."""
    left, right = bytearray(MIB), bytearray(MIB)
    with one.open("rb", buffering=0) as first, other.open("rb", buffering=0) as second:
        while True:
            count = first.readinto(left)
            if count != second.readinto(right) or left != right:
                return False
            if not count:
                return True


def check_file(path: Path, original: Path, *, remove: bool = True) -> None:
    """Raise unless ``path`` holds what ``original`` does; then remove it."""
    if path.stat().st_size != original.stat().st_size:
        raise AssertionError(f"{path.name} has {path.stat().st_size} of {original.stat().st_size} bytes")
    if not same_contents(path, original):
        raise AssertionError(f"{path.name} has other contents than it should")
    if remove:
        path.unlink()
