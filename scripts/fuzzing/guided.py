"""One target under atheris, in a process of its own.

``python -m fuzzing.guided TARGET FINDINGS``, and behind that libFuzzer's options.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import atheris

from .findings import Findings
from .logs import keep_quiet


def main() -> None:
    """Does not return."""
    name, folder, *options = sys.argv[1:]
    with atheris.instrument_imports(include=["twisted_ftplite"]):
        from .targets import TARGETS

        run = TARGETS[name].run()
    keep_quiet()
    findings = Findings(run, name, Path(folder))
    gc.freeze()
    atheris.Setup([sys.argv[0], *options], findings.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
