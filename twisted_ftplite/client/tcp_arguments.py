"""The options of `ftplite-client` that say how TCP is to be used, and how fast."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import click

from ..flow.rates import Rates, parse_rate
from ..flow.tuning import PROFILE_HELP, PROFILES, SETTINGS

Told = tuple[tuple[str, Any], ...]
"""Options that were told, and their values."""


class Read(click.ParamType[Any]):
    """What a function reads, which raises ``ValueError``."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._read(str(value))
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


_RATES: Final = {
    "limit-rate": "Bytes a second each way, as in 500k, 2M, 512Ki or 08:00-18:00=2M,else=0; 0 is no limit.",
    "limit-rate-up": "The same of what is sent.",
    "limit-rate-down": "The same of what comes.",
}

OPTIONS: Final = (
    click.option("--profile", type=click.Choice([*PROFILES]), help=PROFILE_HELP),
    *(
        click.option(
            f"--{each.option}", type=Read(each.option, each.read), metavar=each.metavar, help=each.help
        )
        for each in SETTINGS
    ),
    *(
        click.option(f"--{name}", type=Read("rate", parse_rate), metavar="RATE", help=text)
        for name, text in _RATES.items()
    ),
)


def told_of_tcp(given: Mapping[str, Any]) -> Told:
    """Those of click's values that are about TCP, or speed, and were told."""
    names = (*_RATES, "profile", *(each.option for each in SETTINGS))
    values = ((name, given[name.replace("-", "_")]) for name in names)
    return tuple((name, value) for name, value in values if value is not None)


def rates_told(told: Told) -> Rates:
    """How fast both ways may be."""
    values = dict(told)
    both = values.get("limit-rate")
    return Rates(values.get("limit-rate-up"), values.get("limit-rate-down")).over(Rates(both, both))
