"""A wide-area link on one machine: two hosts, each a network namespace, and what lies between them.

A host has one TUN device.  What it sends waits in a queue for its turn on the wire and is dropped where that
is full; some of it is lost; the rest arrives after half of the round-trip time.  The namespaces have no
names: they go when nothing holds them any more.  Needs root, iproute2 and /dev/net/tun, no module netem.

This module is also what carries the packets: `python -m benchmarks.link TUN TUN PATH`, until its input ends.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import random
import select
import shutil
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from .frame import Bench, NotInstalled
from .machine import WANTED, die_with_parent
from .processes import environment, module

SERVER, CLIENT = "192.0.2.1", "192.0.2.2"
"""Addresses that are set aside for documentation (RFC 5737)."""

TUN = "/dev/net/tun"
NAMESPACE = "/proc/thread-self/ns/net"
SETTINGS = {"tcp_congestion_control": WANTED, "tcp_no_metrics_save": "1"}
"""Of each host.  What the kernel learns of a path in one run must not help the next one."""

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
CLONE_NEWNET = 0x40000000
MTU = 1500
WAITING = 5000
"""Packets that a device holds until they are taken."""

TURN = 64
"""Packets that are taken at a time."""

PATIENCE = 0.0003
"""Seconds that a packet may be late, so that not each of them needs a wake-up of its own."""


@dataclass(frozen=True)
class Course:
    """What a link does to packets, the same both ways."""

    round_trip: float
    """Seconds."""
    rate: float
    """Bits a second."""
    loss: float = 0.0
    """The chance of each packet to be lost."""
    queue: float = 0.05
    """Seconds of the rate that may wait."""
    seed: int = 1
    """Of what is lost."""


class Host:
    """One end: a namespace in which processes can be started."""

    def __init__(self, address: str) -> None:
        """Make it; `close` forgets it."""
        self.address = address
        home = os.open(NAMESPACE, os.O_RDONLY)
        try:
            _check(_libc.unshare(CLONE_NEWNET), "unshare")
            try:
                self._namespace = os.open(NAMESPACE, os.O_RDONLY)
                self.device = _open_tun()
                _ip("link", "set", "lo", "up")
                _ip("addr", "add", f"{address}/24", "dev", "wan0")
                _ip("link", "set", "wan0", "mtu", str(MTU), "txqueuelen", str(WAITING), "up")
                for name, value in SETTINGS.items():
                    with suppress(OSError):  # a kernel without cubic keeps what it has
                        Path("/proc/sys/net/ipv4", name).write_text(value)
            finally:
                _check(_libc.setns(home, CLONE_NEWNET), "setns")
        finally:
            os.close(home)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """What this thread opens and starts in the block is this host's."""
        home = os.open(NAMESPACE, os.O_RDONLY)
        try:
            _check(_libc.setns(self._namespace, CLONE_NEWNET), "setns")
            try:
                yield
            finally:
                _check(_libc.setns(home, CLONE_NEWNET), "setns")
        finally:
            os.close(home)

    @contextmanager
    def setting(self, name: str, value: str) -> Iterator[None]:
        """One of ``net.ipv4`` is so in the block, for connections that begin in it."""
        place = Path("/proc/sys/net/ipv4", name)
        with self.entered():
            before = place.read_text()
            place.write_text(value)
        try:
            yield
        finally:
            with self.entered():
                place.write_text(before)

    def close(self) -> None:
        """Forget it: it goes with the last process in it."""
        os.close(self._namespace)
        os.close(self.device)


class Link:
    """Two hosts, between which packets go while a block of `carried` runs."""

    def __init__(self, bench: Bench) -> None:
        """They end with the bench's scope.  Raises `NotInstalled`."""
        if os.geteuid() != 0:
            raise NotInstalled("needs root")
        if shutil.which("ip") is None or not os.access(TUN, os.R_OK | os.W_OK):
            raise NotInstalled(f"needs iproute2 and {TUN}")
        self._bench = bench
        try:
            self.server = Host(SERVER)
            bench.stack.callback(self.server.close)
            self.client = Host(CLIENT)
            bench.stack.callback(self.client.close)
        except OSError as error:
            raise NotInstalled(f"no network namespaces with {TUN} here: {error}") from error

    @contextmanager
    def carried(self, path: Course) -> Iterator[None]:
        """A link of this kind is between them."""
        devices = (self.server.device, self.client.device)
        child = subprocess.Popen(
            module("link", *devices, json.dumps(asdict(path))),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=devices,
            preexec_fn=die_with_parent,
            env=environment(self._bench),
        )
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            if not child.stdout.readline():
                raise RuntimeError("the link did not come up")
            yield
        finally:
            child.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                child.wait(5)
            child.kill()
            child.wait()
            child.stdout.close()


_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result:
        problem = ctypes.get_errno()
        raise OSError(problem, f"{what}: {os.strerror(problem)}")


def _open_tun() -> int:
    """A device of the namespace that this thread is in."""
    made = os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(made, TUNSETIFF, struct.pack("16sH22x", b"wan0", IFF_TUN | IFF_NO_PI))
    return made


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


class Way:
    """One direction: what is on it, in the order in which it arrives."""

    def __init__(self, source: int, target: int, path: Course) -> None:
        self.source, self.target = source, target
        self._delay, self._queue, self._loss = path.round_trip / 2, path.queue, path.loss
        self._seconds = 8 / path.rate
        self._chance = random.Random(path.seed).random
        self._free = 0.0
        """When the wire has sent all that waits for it."""
        self.under_way: deque[tuple[float, bytes]] = deque()

    def drain(self) -> None:
        """Forget what was sent while there was no link."""
        with suppress(BlockingIOError):
            while True:
                os.read(self.source, MTU)

    def take(self) -> None:
        """What the host has sent."""
        with suppress(BlockingIOError):
            for _ in range(TURN):
                packet = os.read(self.source, MTU)
                now = time.monotonic()
                begin = max(now, self._free)
                if begin - now > self._queue:
                    continue  # the queue is full
                self._free = begin + len(packet) * self._seconds
                if self._chance() >= self._loss:
                    self.under_way.append((self._free + self._delay, packet))

    def deliver(self, until: float) -> None:
        """What has arrived by then."""
        under_way = self.under_way
        while under_way and under_way[0][0] <= until:
            with suppress(OSError):  # a host whose device is down, or full
                os.write(self.target, under_way.popleft()[1])


def carry(one: int, other: int, path: Course) -> None:
    """Until the input ends."""
    ways = Way(one, other, path), Way(other, one, path)
    for way in ways:
        way.drain()
    print("ready", flush=True)
    told, by_device = sys.stdin.fileno(), {way.source: way for way in ways}
    sources = [told, *by_device]
    while True:
        due = [way.under_way[0][0] for way in ways if way.under_way]
        wait = max(PATIENCE, min(due) - time.monotonic()) if due else None
        ready, _, _ = select.select(sources, [], [], wait)
        if told in ready:
            return
        for each in ready:
            by_device[each].take()
        now = time.monotonic()
        for way in ways:
            way.deliver(now)


if __name__ == "__main__":
    carry(int(sys.argv[1]), int(sys.argv[2]), Course(**json.loads(sys.argv[3])))
