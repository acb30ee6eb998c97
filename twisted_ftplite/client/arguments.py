"""The arguments of `ftplite-client`, and its help.  ``--version`` and ``--help`` never see Twisted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from itertools import groupby
from typing import Any, Final, NamedTuple

import click

from .. import __version__
from ..errors import BadSyntax
from .address import Address, number_in, read_address
from .display import PROGRAM, escape
from .fingerprints import read_fingerprint
from .flags import END
from .tcp_arguments import OPTIONS, Told, told_of_tcp
from .troubles import BadUsage
from .verbs import ROWS, find, overview

WAYS: Final = ("auto", "active", "passive")


class Access(NamedTuple):
    """What the arguments say of who this is, of what the server must show, and of data channels."""

    user: str | None = None
    password_file: str | None = None
    insecure: bool = False
    """Whether a password may go out in the clear."""

    at_once: bool = False
    """Whether TLS begins with the first byte."""

    ca: str | None = None
    pins: tuple[str, ...] = ()
    """Fingerprints, ``sha256:<hex>``."""

    certificate: str | None = None
    key: str | None = None
    """Those of this client: names of files."""

    data: str = "auto"
    """One of `WAYS`."""


class Config(NamedTuple):
    """What the arguments say."""

    host: str
    port: int
    command: tuple[str, ...]
    """The verb, its flags and arguments, those that are no flags behind a ``--``."""

    data_ports: tuple[int, int] | None
    timeout: float | None
    """Seconds for connecting, and for a transfer in which nothing moves."""

    checksum: str | None
    """The algorithm to compare transfers by, or ``none``."""

    retries: int | None
    """How often to go on after a break."""

    access: Access = Access()
    tcp: Told = ()
    """How TCP is to be used."""

    progress: str | None = None
    """How it is shown."""


class Pin(click.ParamType[str]):
    """A certificate's fingerprint."""

    name = "fingerprint"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return read_fingerprint(str(value))
        except BadSyntax as error:
            self.fail(f"{value!r}: {error.detail}", param, ctx)


class Count(click.ParamType[int]):
    """A number of times."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        count = number_in(str(value))
        if count < 0:
            self.fail(f"{value!r} is no number of times.", param, ctx)
        return count


class PortRange(click.ParamType[tuple[int, int]]):
    """``A-B``, or one port."""

    name = "ports"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        first, dash, last = str(value).partition("-")
        ports = number_in(first), number_in(last if dash else first)
        if not 1024 <= ports[0] <= ports[1] <= 65535:
            self.fail(f"{value!r} is no range of ports A-B from 1024 to 65535.", param, ctx)
        return ports


class Seconds(click.ParamType[float]):
    """A positive time, fractions allowed."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = float(value)
        except ValueError:
            seconds = math.nan
        if not 0 < seconds < math.inf:
            self.fail(f"{value!r} is no number of seconds above 0.", param, ctx)
        return seconds


ALGORITHMS: Final = ("xxh128", "blake3", "sha256", "none")

_COMMANDS = "\b\nCommands:\n" + "".join(
    f"  {line}\n" for line in overview(row for row in ROWS if row.one_shot).splitlines()
)
_FLAGS = "".join(
    f"\n\b\nOptions of {' and '.join(row.name for row in rows)}:\n{rows[0].details()}"
    for flags, group in groupby((row for row in ROWS if row.one_shot), lambda row: row.flags)
    if flags and (rows := list(group))
)
_EPILOG = (
    _COMMANDS
    + _FLAGS
    + "\nWithout a command it is a shell, or reads commands from standard input, one a line, where that is"
    " no terminal; there, help lists more of them. HOST may be ftplite://USER@HOST:PORT, with an IPv6"
    " address in [brackets], and ftplites:// for TLS from the first byte. The password is taken from"
    " --password-file, the variable FTPLITE_PASSWORD, ~/.netrc, the keyring, or is asked for. A NAME"
    " that begins with a dash stands behind --. Patterns (* ? [...]) in the NAME of get, rm and ls and the"
    " LOCAL of put are expanded here: quote them.\n"
    "\n\b\nExit status:\n"
    "  0  all worked              1  the server refused (FAILURE)\n"
    "  2  wrong usage             3  no connection, or it or the protocol broke (ERROR)\n"
    "  4  local file trouble      130  interrupted\n"
    "  A script of commands leaves with the status of its first failure."
)


_FILE = click.Path(dir_okay=False)

_OPTIONS = (
    click.option(
        "--ca",
        type=_FILE,
        metavar="FILE",
        help="Trust the authorities in this PEM file, not the system's. Demands TLS.",
    ),
    click.option(
        "--checksum",
        type=click.Choice(ALGORITHMS, case_sensitive=False),
        help="What get and put compare by. Default: xxh128 where the server has it.",
    ),
    click.option(
        "--client-cert", type=_FILE, metavar="FILE", help="A certificate to show, PEM. Demands TLS."
    ),
    click.option("--client-key", type=_FILE, metavar="FILE", help="Its key, where not in the same file."),
    click.option(
        "--data",
        type=click.Choice(WAYS, case_sensitive=False),
        help="Who connects for data, the server (active) or this client (passive). Default: auto.",
    ),
    click.option(
        "--data-ports",
        type=PortRange(),
        metavar="A-B",
        help="Ports to listen on for data, for firewalls. Default: any that is free.",
    ),
    click.option("--insecure", is_flag=True, help="Let a password go over the network in the clear."),
    click.option(
        "--password-file", type=_FILE, metavar="FILE", help="Take the password from its first line."
    ),
    click.option(
        "--pin",
        type=Pin(),
        multiple=True,
        metavar="sha256:HEX",
        help="Trust the certificate with this fingerprint only; may be repeated. Demands TLS.",
    ),
    click.option(
        "--progress",
        type=click.Choice(("bar", "json")),
        help="How get and put show it: a bar, at a terminal (default), or a line of JSON a second on"
        " standard error, and one at the end, for programs.",
    ),
    click.option(
        "--retries",
        type=Count(),
        metavar="N",
        help="How often to go on after the connection broke in the middle. Default: 5.",
    ),
    click.option(
        "--timeout",
        type=Seconds(),
        metavar="SECONDS",
        help="For connecting, and for a transfer in which nothing moves. Default: 10 and 60.",
    ),
    click.option("--user", metavar="NAME", help="Log in. The same as NAME@ before HOST."),
    *OPTIONS,
)


def _with_options(function: Callable[..., Config]) -> Callable[..., Config]:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.command(
    PROGRAM,
    # Those that are not known may belong to the verb, which is told below.
    context_settings={"help_option_names": ["-h", "--help"], "ignore_unknown_options": True},
    options_metavar="[OPTIONS]",
    epilog=_EPILOG,
)
@click.argument("host")
@click.argument("rest", nargs=-1, metavar="[PORT] [COMMAND [OPTION|ARGUMENT]...]")
@_with_options
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
@click.pass_context
def _arguments(context: click.Context, /, host: str, rest: tuple[str, ...], **given: Any) -> Config:
    """List, fetch, store and manage files on an FTPLite server."""
    literal: int = context.obj
    _no_option(context, [host, *rest][: max(0, len(rest) + 1 - literal)])
    port = rest[0] if rest and rest[0].isdigit() else None
    command = rest if port is None else rest[1:]
    address = read_address(host, port)
    if command:
        # Behind the end of options, where that came, the verb's own parser finds none either.
        flagged = max(1, len(command) - literal)
        if literal:
            command = (*command[:flagged], END, *command[flagged:])
        _check(context, command)
    return Config(
        address.host,
        address.port,
        command,
        given["data_ports"],
        given["timeout"],
        given["checksum"],
        given["retries"],
        _access(address, given),
        told_of_tcp(given),
        given["progress"],
    )


def _access(address: Address, given: Mapping[str, Any]) -> Access:
    """Raises `BadUsage` for what contradicts itself."""
    user = given["user"]
    if user is not None and address.user is not None and user != address.user:
        raise BadUsage(f"the user is given twice: {escape(address.user)} and {escape(user)}")
    user = address.user if user is None else user
    if user == "":
        raise BadUsage("the user has no name")
    if given["password_file"] is not None and user is None:
        raise BadUsage("--password-file needs a --user")
    if given["client_key"] is not None and given["client_cert"] is None:
        raise BadUsage("--client-key needs a --client-cert")
    return Access(
        user,
        given["password_file"],
        given["insecure"],
        address.at_once,
        given["ca"],
        given["pin"],
        given["client_cert"],
        given["client_key"],
        given["data"] or "auto",
    )


def _no_option(context: click.Context, words: Sequence[str]) -> None:
    """Raises `click.NoSuchOption` for one that stands before the verb, and so is none of its own."""
    for position, word in enumerate(words):
        if word.startswith("-") and len(word) > 1:
            spelled = word.partition("=")[0]
            close = get_close_matches(spelled, _own_options(context))
            raise click.NoSuchOption(spelled, possibilities=close, ctx=context)
        if position > 0 and not word.isdigit():
            return


def _own_options(context: click.Context) -> list[str]:
    spellings = [each for option in context.command.get_params(context) for each in option.opts]
    return [each for each in spellings if each.startswith("--")]


def _check(context: click.Context, command: Sequence[str]) -> None:
    """Raises `BadUsage` for what could not be run."""
    try:
        verb, _ = find(command, _own_options(context))
    except BadUsage as error:
        raise BadUsage(f"{escape(command[0])}: {error}") from error
    if not verb.one_shot:
        raise BadUsage(f"{verb.name} is for the shell only")


def parse(arguments: Sequence[str]) -> Config | None:
    """What to do; None where that was to show help or version.  Raises `click.UsageError`, `BadUsage`."""
    words = list(arguments)
    literal = len(words) - words.index(END) - 1 if END in words else 0
    # click's own main() makes of a closed standard output an exit status of 1, and of errors several lines.
    try:
        with _arguments.make_context(PROGRAM, words, obj=literal) as context:
            config: Config = _arguments.invoke(context)
            return config
    except click.exceptions.Exit:
        return None
