"""The command line of `scripts/bench`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from . import big, checksum, curves, fair, idle, listing, machine, memory, ports, small, start, tls, wan
from .frame import MIB, Bench, Settings, say, verdict_list

THEMES: dict[str, tuple[Callable[[Bench], None], str]] = {
    "start": (start.run, "how long the command takes to start"),
    "big": (big.run, "one big file, beside bare loops and the peers"),
    "checksum": (checksum.run, "one big file with checksums, beside the same without"),
    "tls": (tls.run, "one big file inside TLS, beside bare ssl sockets and the peers"),
    "small": (small.run, "many files of 1 KiB"),
    "ports": (ports.run, "tens of thousands of transfers from one host"),
    "fair": (fair.run, "others' listings while a transfer runs flat out"),
    "listing": (listing.run, "a directory of very many names"),
    "idle": (idle.run, "thousands of idle sessions"),
    "memory": (memory.run, "memory while a reader or a disk is slow"),
    "curves": (curves.run, "limited transfers over time, and memory by the speed of a slow side"),
    "wan": (wan.run, "a wide-area link that loses packets; needs root and /dev/net/tun"),
}


def parser() -> argparse.ArgumentParser:
    """All options, each with its unit and default."""
    themes = "\n".join(f"  {name:8} {text}" for name, (_, text) in THEMES.items())
    made = argparse.ArgumentParser(
        prog="scripts/bench",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measure FTPLite beside its peers and beside bare sockets; prints Markdown.",
        epilog=f"themes:\n{themes}\n\nBENCH_PEERS names a folder with unpacked packages of peers, "
        "BENCH_DISK one on a real disk.\nAs root everything runs in its own network namespace, with cubic.",
    )
    made.add_argument("themes", nargs="*", metavar="theme", help="which to run (default: all)")
    made.add_argument(
        "-n", "--runs", type=positive, default=5, help="runs of every case, in turns (default: 5)"
    )
    made.add_argument(
        "--size", type=positive, default=1024, metavar="MIB", help="the big file (default: 1024)"
    )
    made.add_argument("--files", type=positive, default=2000, help="how many small files (default: 2000)")
    made.add_argument(
        "--sessions", type=positive, default=5000, help="how many idle sessions (default: 5000)"
    )
    made.add_argument(
        "--transfers", type=positive, default=50_000, help="transfers from one host (default: 50000)"
    )
    made.add_argument(
        "--names", type=positive, default=200_000, help="names of the big directory (default: 200000)"
    )
    made.add_argument(
        "--slow-seconds",
        type=positive,
        default=75,
        metavar="S",
        help="how long the slow reader reads (default: 75)",
    )
    made.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="keep figures here, for scripts/pictures (default: nowhere)",
    )
    return made


def positive(text: str) -> int:
    """A whole number from 1 on."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def run(arguments: list[str]) -> int:
    """The whole command; returns its exit status: 0 unless something could not be run."""
    options = parser().parse_args(arguments)
    unknown = [each for each in options.themes if each not in THEMES]
    if unknown:
        say(f"bench: no theme {', '.join(unknown)}; there are: {', '.join(THEMES)}")
        return 2
    if machine.INSIDE in os.environ:
        machine.set_up_namespace()
    elif machine.can_have_a_namespace():
        return machine.run_inside(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    settings = Settings(
        runs=options.runs,
        size=options.size * MIB,
        files=options.files,
        sessions=options.sessions,
        transfers=options.transfers,
        slow_seconds=options.slow_seconds,
        names=options.names,
        data=options.data,
    )
    try:
        return measure(settings, options.themes or list(THEMES))
    except KeyboardInterrupt:
        say("bench: interrupted")
        return 130


def measure(settings: Settings, themes: list[str]) -> int:
    """Each theme in a scope of its own, so that its servers are gone when the next one starts."""
    machine.raise_open_files()
    print(machine.describe(), flush=True)
    status = 0
    with machine.working_folder() as folder, ExitStack() as stack:
        bench = Bench(settings, folder, stack)
        for name in themes:
            say(f"{name}: {THEMES[name][1]}")
            try:
                with bench.scope() as inner:
                    THEMES[name][0](inner)
            except Exception as failure:  # noqa: BLE001 - the other themes shall still run
                say("".join(traceback.format_exception(failure)))
                print(f"\n**{name}** could not be measured: {type(failure).__name__}: {failure}", flush=True)
                status = 1
        if bench.verdicts:
            print(verdict_list(bench.verdicts), flush=True)
    return status
