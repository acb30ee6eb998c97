"""The command line of `scripts/soak`."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from . import bans, cut, guessing, injection, kill, links, model, power, quota, rot, strangers
from .report import MIB, CannotRun, Soak, markdown


class Theme(NamedTuple):
    """One of them, with the rounds and MiB it has by itself."""

    run: Callable[[Soak], object]
    rounds: int
    size: int
    text: str


THEMES = {
    "kill": Theme(kill.run, 50, 200, "kill -9 of either side in the middle of a big file, then -c"),
    "cut": Theme(cut.run, 5, 40, "a link that is cut for seconds in the middle of a get and a put"),
    "power": Theme(power.run, 50, 200, "the power goes right after SUCCESS, on an ext4 of its own"),
    "rot": Theme(rot.run, 25, 200, "one bit turned, on its way or in a partial"),
    "model": Theme(model.run, 300, 200, "a server beside a dict of names to bytes, anything in any order"),
    "strangers": Theme(
        strangers.run, 50, 200, "strangers race for data channels, in the clear and inside TLS"
    ),
    "quota": Theme(quota.run, 60, 200, "50 sessions race for one quota, and break off in every way"),
    "links": Theme(links.run, 60, 200, "links that flip between inside and outside while they are used"),
    "guessing": Theme(guessing.run, 50, 200, "how long failed logins take, whatever was wrong"),
    "bans": Theme(bans.run, 50, 200, "hosts that fail to log in too often, and those that do not"),
    "injection": Theme(injection.run, 30, 200, "lines put into the clear where TLS begins, both ways"),
}


def parser() -> argparse.ArgumentParser:
    """All options."""
    themes = "\n".join(f"  {name:9} {each.text} ({each.rounds} rounds)" for name, each in THEMES.items())
    made = argparse.ArgumentParser(
        prog="scripts/soak",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Break transfers in every way there is, and look whether all is as it must be.\n"
        "Prints Markdown; leaves with 1 where something was not, with 0 where all was.",
        epilog=f"themes:\n{themes}\n\nkill, cut, power and bans want root; "
        "what cannot be run here is told so.\n"
        f"{cut.PLACE} says where the wanlink of `cut` is.",
    )
    made.add_argument("themes", nargs="*", metavar="theme", help="which to run (default: all)")
    made.add_argument("--rounds", type=int, metavar="N", help="of every theme, instead of its own number")
    made.add_argument("--seed", type=int, default=1, metavar="N", help="of all that is random (default: 1)")
    made.add_argument("--size", type=int, metavar="MIB", help="the big file of kill and cut")
    made.add_argument("--folder", type=Path, help="where to work (default: the temporary folder)")
    return made


def run(arguments: list[str]) -> int:
    """The whole command; returns its exit status."""
    options = parser().parse_args(arguments)
    unknown = [each for each in options.themes if each not in THEMES]
    if unknown or (options.rounds or 1) < 1 or (options.size or 1) < 1:
        print(f"soak: no theme {', '.join(unknown)}; there are: {', '.join(THEMES)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(
        f"{os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()}; "
        f"seed {options.seed}.",
        flush=True,
    )
    verdicts = []
    for name in options.themes or THEMES:
        theme = THEMES[name]
        folder = Path(tempfile.mkdtemp(prefix=f"ftplite-soak-{name}-", dir=options.folder))
        soak = Soak(folder, options.rounds or theme.rounds, options.seed, (options.size or theme.size) * MIB)
        try:
            verdicts.append([name, *one(theme, soak)])
        except KeyboardInterrupt:
            print("soak: interrupted", file=sys.stderr)
            return 130
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    print(markdown("Verdict", ["theme", "rounds", "minutes", "verdict"], verdicts), flush=True)
    return 1 if any("WRONG" in str(each[-1]) for each in verdicts) else 0


def one(theme: Theme, soak: Soak) -> list[object]:
    """Rounds, minutes and verdict of one theme."""
    soak.say(theme.text)
    began = time.monotonic()
    try:
        theme.run(soak)
    except CannotRun as reason:
        return [0, "-", f"not run: {reason}"]
    except Exception as failure:  # noqa: BLE001 - the other themes shall still run
        soak.say("".join(traceback.format_exception(failure)))
        soak.must(False, f"{type(failure).__name__}: {failure}")
    minutes = f"{(time.monotonic() - began) / 60:.1f}"
    if not soak.wrong:
        return [soak.rounds, minutes, "all as it must be"]
    print("\n" + "\n".join(f"- {each}" for each in soak.wrong[:40]), flush=True)
    return [soak.rounds, minutes, f"{len(soak.wrong)} WRONG"]
