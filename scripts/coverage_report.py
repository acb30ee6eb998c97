"""A pytest plugin: measures coverage from the first import on, and reports it before pytest's last lines.

What is measured, and how much it has to be, says pyproject.toml, ``[tool.coverage]``.
"""

from __future__ import annotations

import io

import coverage
import pytest
from coverage.exceptions import CoverageException, CoverageWarning

_coverage = coverage.Coverage()
_coverage.start()


class CoverageReport:
    """What has been run, once all of it has."""

    def __init__(self, gate: bool) -> None:
        self._gate = gate
        self._table = io.StringIO()
        self._verdict = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Measure no more; too little is a failure where that was asked for."""
        _coverage.stop()
        try:
            _coverage.save()
            total = _coverage.report(file=self._table, show_missing=True, skip_covered=True)
        except (CoverageException, CoverageWarning) as nothing:  # warnings are errors here as everywhere
            self._table.write(f"{nothing}\n")
            total = 0.0
        least = float(str(_coverage.get_option("report:fail_under") or 0))
        if self._gate and total < least and session.exitstatus == pytest.ExitCode.OK:
            self._verdict = f"coverage is {total:.1f} %, and {least:.1f} % is the least"
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The table."""
        terminalreporter.section("coverage")
        terminalreporter.write(self._table.getvalue())
        if self._verdict:
            terminalreporter.write_line(f"FAILED: {self._verdict}", red=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--coverage-gate``."""
    parser.addoption("--coverage-gate", action="store_true", help="fail where too little was run")


def pytest_configure(config: pytest.Config) -> None:
    """Report at the end."""
    config.pluginmanager.register(CoverageReport(config.getoption("--coverage-gate")))
