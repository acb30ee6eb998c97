"""The command line of `scripts/fuzz`."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import NamedTuple

from soaking.report import markdown

from .targets import TARGETS, Target
from .words import spelled

WORK = Path(__file__).resolve().parents[2] / "build" / "fuzz"
LONGEST = 4096
"""Bytes of one run."""

MEMORY = 1024
"""MiB of the process above which its memory is not bounded."""

TIMEOUT = 10
"""Seconds that no run takes."""

_COVERED = re.compile(rb"#(\d+)\t.*? cov: (\d+)(?:.*? rss: (\d+)Mb)?")


class Row(NamedTuple):
    """What came of one target."""

    target: str
    seconds: float
    runs: int
    edges: int
    mib: int
    findings: int


def parser() -> argparse.ArgumentParser:
    """All options."""
    targets = "\n".join(f"  {name:8} {each.text}" for name, each in TARGETS.items())
    made = argparse.ArgumentParser(
        prog="scripts/fuzz",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Feed nonsense to whatever reads from the wire.  What is not one of the package's own\n"
        "errors is a finding, and so are two final statuses, a secret in the log, and memory without bound.\n"
        "Leaves with 1 where there are findings, and with 0 where there are none.",
        epilog=f"targets:\n{targets}\n\n`scripts/fuzz TARGET FILE` runs one file, as findings are kept.",
    )
    made.add_argument("targets", nargs="*", metavar="target", help="which to run (default: all)")
    made.add_argument("--seconds", type=float, default=600.0, metavar="N", help="in all (default: 600)")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is random (default: any)")
    made.add_argument(
        "--folder", type=Path, default=WORK, help="for corpora and findings (default: build/fuzz)"
    )
    return made


def run(arguments: list[str]) -> int:
    """The whole command; returns its exit status."""
    options = parser().parse_args(arguments)
    if len(options.targets) == 2 and options.targets[0] in TARGETS and Path(options.targets[1]).is_file():
        return again(TARGETS[options.targets[0]], Path(options.targets[1]))
    unknown = [each for each in options.targets if each not in TARGETS]
    if unknown or options.seconds < 1:
        print(f"fuzz: no target {', '.join(unknown)}; there are: {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    chosen = [TARGETS[name] for name in options.targets or TARGETS]
    parts = sum(each.share for each in chosen)
    rows = []
    known = set((options.folder / "findings").glob("*"))
    try:
        for target in chosen:
            rows.append(fuzz(target, options.seconds * target.share / parts, options.seed, options.folder))
    except KeyboardInterrupt:
        print("fuzz: interrupted", file=sys.stderr)
        return 130
    print(markdown("Fuzzing", ["target", "seconds", "runs", "edges", "MiB", "findings"], rows), flush=True)
    for file in sorted(set((options.folder / "findings").glob("*.txt")) - known):
        print(f"- {file.with_suffix('')}: {file.read_text(encoding='utf-8').splitlines()[0]}")
    return 1 if any(row.findings for row in rows) else 0


def again(target: Target, file: Path) -> int:
    """One run of what a file holds."""
    try:
        target.run()(file.read_bytes())
    except Exception:  # noqa: BLE001 - it is what was asked for
        traceback.print_exc()
        return 1
    print(f"fuzz: {target.name} takes {file} as it must", file=sys.stderr)
    return 0


def fuzz(target: Target, seconds: float, seed: int, folder: Path) -> Row:
    """A target for so long; begun anew where a run took its process down."""
    print(f"{target.name}: {target.text}, {seconds:.0f} s", file=sys.stderr, flush=True)
    findings = folder / "findings"
    findings.mkdir(parents=True, exist_ok=True)
    before = set(findings.iterdir())
    began = time.monotonic()
    runs = edges = mib = downs = 0
    while downs < 5 and (left := seconds - (time.monotonic() - began)) >= 1:
        status, output = _guided(target, left, seed, folder)
        seen = _COVERED.findall(output)
        runs += int(seen[-1][0]) if seen else 0
        edges = max([edges, *(int(each[1]) for each in seen)])
        mib = max([mib, *(int(each[2] or 0) for each in seen)])
        if status == 0:
            break
        downs += 1
        sys.stderr.buffer.write(output[-2000:])
        _name_artifact(findings, before, output)
    found = [each for each in set(findings.iterdir()) - before if each.suffix != ".txt"]
    return Row(target.name, time.monotonic() - began, runs, edges, mib, max(len(found), downs))


def _name_artifact(findings: Path, before: set[Path], output: bytes) -> None:
    """Say beside what libFuzzer itself has kept what it was."""
    for file in set(findings.iterdir()) - before:
        if file.suffix != ".txt" and not file.with_suffix(".txt").exists():
            summary = re.search(rb"SUMMARY: .*", output)
            told = summary[0].decode(errors="replace") if summary else "the process went down"
            file.with_suffix(".txt").write_text(f"{told}\n\n{output[-4000:].decode(errors='replace')}")


def _guided(target: Target, seconds: float, seed: int, folder: Path) -> tuple[int, bytes]:
    """Exit status and output of the process."""
    corpus = folder / "corpus" / target.name
    corpus.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ftplite-fuzz-") as temporary:
        seeds = Path(temporary) / "seeds"
        seeds.mkdir()
        for number, each in enumerate(target.seeds()):
            (seeds / str(number)).write_bytes(each)
        dictionary = Path(temporary) / "words"
        dictionary.write_text(
            "".join(f"{spelled(each)}\n" for each in target.words() if each), encoding="ascii"
        )
        findings = folder / "findings"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "fuzzing.guided", target.name, str(findings)),
                *(f"-max_total_time={max(1, round(seconds))}", f"-dict={dictionary}", f"-seed={seed}"),
                *(f"-max_len={LONGEST}", f"-timeout={TIMEOUT}", f"-rss_limit_mb={MEMORY}"),
                *(f"-artifact_prefix={findings}/{target.name}-", str(corpus), str(seeds)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    return done.returncode, done.stdout


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
