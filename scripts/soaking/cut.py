"""A link that is cut in the middle of a get and a put, and mended: both go on without a person.

The link is emulated by `wanlink`, which lies outside the project: FTPLITE_WANLINK says where.  This module is
also what it runs inside, on the client's side: `python -m soaking.cut JSON`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from .files import own_files, random_file, same
from .programs import CHECKOUT, Client, Server, environment, eventually
from .report import CannotRun, Soak

PLACE = "FTPLITE_WANLINK"
BESIDE = CHECKOUT.parent / "shared" / "tools" / "wanlink"
NAMESPACES = ("wan-a", "wan-b")
"""Those that wanlink makes."""


@dataclass(frozen=True)
class Case:
    """How long the link is cut, and how long both sides bear it."""

    name: str
    seconds: float
    stall: float | None
    """Both sides' stall time; None: as it is by default, far longer than the cut."""


PATIENT = Case("cut for 5 s, stall time 60 s", 5.0, None)
STALLED = Case("cut for 9 s, stall time 3 s", 9.0, 3.0)


def wanlink() -> str:
    """Where it is; raises `CannotRun`."""
    found = Path(os.environ.get(PLACE, BESIDE))
    if os.geteuid() != 0:
        raise CannotRun("needs root, for network namespaces")
    if not found.is_file():
        raise CannotRun(f"there is no wanlink: {PLACE} says where it is")
    taken = [each for each in NAMESPACES if Path("/run/netns", each).exists()]
    if taken or not Path("/dev/net/tun").exists():
        raise CannotRun(f"wanlink is in use: {taken}" if taken else "there is no /dev/net/tun")
    return str(found)


def run(soak: Soak, cases: tuple[Case, ...] = (PATIENT, STALLED), megabits: int = 100) -> None:
    """Each case so many times."""
    rows = []
    for case in cases:
        for number in range(soak.rounds):
            soak.say(f"  {case.name}, round {number + 1} of {soak.rounds}")
            instant = soak.chance("cut", case, number).uniform(0.2, 0.8)
            for verb, told in once(soak, case, instant, megabits).items():
                what = f"{verb}, {case.name}, {instant:.2f} of it moved"
                soak.must(told["status"] == 0, f"{what}: it left with {told['status']}: {told['said']}")
                soak.must(bool(told["same"]), f"{what}: the file is another")
                soak.must(not told["left"], f"{what}: left behind: {told['left']}")
                soak.must(not told["troubles"], f"{what}: the server's log: {told['troubles']}")
                rows.append(
                    [
                        verb,
                        case.name,
                        f"{instant:.0%}",
                        "whole" if told["same"] and told["status"] == 0 else "NOT WHOLE",
                        f"{told['after']:.1f}",
                        "; ".join(str(told["said"]).splitlines()[-1:]),
                    ]
                )
    columns = ["transfer", "link", "cut at", "file", "s from mending to its end", "the client's last line"]
    soak.table(f"A link of {megabits} Mbit/s that is cut", columns, rows)


def once(soak: Soak, case: Case, instant: float, megabits: int) -> dict[str, dict[str, object]]:
    """One get and one put at a time, the link cut when so much of both has moved."""
    job = {"case": asdict(case), "instant": instant, "folder": str(soak.folder), "size": soak.size}
    inside = [sys.executable, "-m", "soaking.cut", json.dumps(job)]
    link = [wanlink(), "--rtt-ms", "20", "--rate-mbit", str(megabits), "--", *inside]
    done = subprocess.run(link, stdout=subprocess.PIPE, env=environment(), check=False, timeout=300)
    if done.returncode:
        raise RuntimeError(f"what ran inside wanlink left with {done.returncode}")
    told: dict[str, dict[str, object]] = json.loads(done.stdout)
    return told


def inside(job: dict[str, object]) -> dict[str, dict[str, object]]:
    """On the client's side of the link: start all, cut, mend, wait, look."""
    case, size = Case(**job["case"]), int(str(job["size"]))  # type: ignore[arg-type]
    folder = Path(str(job["folder"]), f"cut-{time.monotonic_ns()}")
    root, local = folder / "root", folder / "local"
    for each in (folder, root, local):
        each.mkdir()
    down, up = random_file(root / "down", size), random_file(local / "up", size)
    stall = [] if case.stall is None else ["--stall-timeout", f"{case.stall:g}"]
    options = [] if case.stall is None else ["--timeout", f"{case.stall:g}"]
    before = ["ip", "netns", "exec", NAMESPACES[0]]
    with Server(root, *stall, port=2121, host=os.environ["WAN_SERVER"], before=before) as server:
        clients = {
            "get": Client(server, "get", "down", "down", options=options, cwd=local),
            "put": Client(server, "put", "up", "up", options=options, cwd=local),
        }
        wanted = int(float(str(job["instant"])) * size)

        def far_enough() -> bool:
            """Both move, and one is so far."""
            moved = [sum(own_files(each).values()) for each in (local, root)]
            return min(moved) > 0 and max(moved) >= wanted

        begun = eventually(far_enough)
        link = int(os.environ["WANLINK_PID"])
        os.kill(link, signal.SIGUSR1)
        try:
            time.sleep(case.seconds)
        finally:
            os.kill(link, signal.SIGUSR2)
        mended = time.monotonic()
        told: dict[str, dict[str, object]] = {}
        for verb, client in clients.items():
            status = client.end(120)
            told[verb] = {"status": status, "said": client.said, "after": time.monotonic() - mended}
        for verb, (one, other) in {"get": (down, local / "down"), "put": (up, root / "up")}.items():
            told[verb]["same"] = same(one, other)
            eventually(lambda: not own_files(folder), 3)
            told[verb]["left"] = [str(each) for each in own_files(folder)]
            told[verb]["troubles"] = server.troubles()[:3]
            if not begun:
                told[verb]["left"] = "nothing told that bytes move before the link was cut"
    subprocess.run(["rm", "-r", str(folder)], check=True)
    return told


if __name__ == "__main__":
    print(json.dumps(inside(json.loads(sys.argv[1]))))
