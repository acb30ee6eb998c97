"""`ftplite-client`: arguments to a configuration, the reactor around it, an error to an exit status.

What a command doesn't need is not imported.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from .client.arguments import Config, parse
from .client.display import PROGRAM, escape
from .client.troubles import BadUsage, Interrupted, Unreachable
from .errors import Broken, EncryptionRequired, Failure, LocalFileTrouble, ProtocolViolation

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from .client.asking import Questions
    from .client.prompt import Prompt
    from .client.session import TLS, Session
    from .client.shell import Shell
    from .client.speed import Speed
    from .client.standard import Console
    from .flow.tuning import Tuning
    from .flow.workers import Workers
    from .limits import Limits

Ask = Callable[[str], Awaitable[bool]]
Connect = Callable[[], Coroutine["Deferred[Any]", Any, "Session"]]

EXIT_STATUS: Final[dict[type[BaseException], int]] = {
    Failure: 1,
    BadUsage: 2,
    click.ClickException: 2,
    Unreachable: 3,
    Broken: 3,
    ProtocolViolation: 3,
    LocalFileTrouble: 4,
    OSError: 4,
    Interrupted: 130,
    KeyboardInterrupt: 130,
    BaseException: 3,
}
"""The one table from what went wrong to the exit status; the most special class counts."""

TERMINATED: Final = 128 + signal.SIGTERM
"""The exit status after SIGTERM, as a shell would tell it."""

TRIES: Final = 3
"""Times that a person is asked for a password, before the connection is given up."""

THREADS: Final = 4
"""Completion of local names, standard input and output, and one to spare."""


def status_of(error: BaseException | None) -> int:
    """The exit status for what went wrong; 0 where nothing did."""
    if error is None:
        return 0
    cause = error.__cause__ if isinstance(error, Unreachable) else None
    if isinstance(cause, Failure | LocalFileTrouble) and not isinstance(cause, EncryptionRequired):
        error = cause  # the server is there and says no, or it was not its fault
    return next(EXIT_STATUS[each] for each in type(error).__mro__ if each in EXIT_STATUS)


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script; returns the exit status."""
    _fill_closed_descriptors()
    try:
        config = parse(sys.argv[1:] if arguments is None else arguments)
    except OSError as error:
        # What is still buffered would fail again, loudly, when Python leaves.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return _give_up(error, f"standard output: {error.strerror}")
    except (click.ClickException, BadUsage) as error:
        said = error.format_message() if isinstance(error, click.ClickException) else str(error)
        dash = " A NAME that begins with a dash stands behind --." * isinstance(error, click.NoSuchOption)
        end = "" if said.endswith(("?", ".")) else "."
        return _give_up(error, f"{said}{end}{dash} {PROGRAM} --help tells more.")
    try:
        return run(config) if config is not None else 0
    except BadUsage as error:
        return _give_up(error, f"{error}.")
    except KeyboardInterrupt as error:
        return _give_up(error, str(Interrupted()))


def _fill_closed_descriptors() -> None:
    """See that no socket gets the number of a standard descriptor that the caller closed.

    What takes its place refuses to be read (0) or written (1 and 2): closed stays an error.
    """
    for descriptor, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, flags)  # takes the lowest free number, which is this one


def _give_up(error: BaseException, text: str) -> int:
    """Say why there is no shell that could; the exit status."""
    print(f"{PROGRAM}: {escape(text)}", file=sys.stderr)
    return status_of(error)


def run(config: Config) -> int:
    """Do what was asked for; the exit status.  Once in a process: a reactor runs once."""
    from twisted.internet import reactor as installed
    from twisted.internet.task import react

    reactor: Any = installed
    reactor.seconds = time.monotonic  # no step of the system's clock fires or freezes a timer
    running = _Run(reactor, config)
    try:
        react(running.begin)
    except SystemExit:
        # react always leaves so.  It never sees an error, of which it would print a traceback.
        return TERMINATED if running.terminated else status_of(running.error)


class _Run:
    """The shell inside the reactor, and what signals do to it."""

    def __init__(self, reactor: Any, config: Config) -> None:
        from .client.asking import Questions
        from .client.standard import Console
        from .flow.workers import ThreadWorkers

        self.error: BaseException | None = None
        self.terminated = False
        self._reactor = reactor
        self._config = config
        self._workers = ThreadWorkers(reactor, THREADS)
        self._console = Console(self._workers)
        self._questions = Questions(self._workers)
        connect = _make_connect(reactor, config, self._console, self._questions, self._workers)
        self._shell = _make_shell(reactor, config, connect, self._console, self._workers)
        self._ended: Deferred[None] | None = None

    def begin(self, _: object) -> Deferred[None]:
        from twisted.internet.defer import Deferred

        _log_to(self._console)
        # The reactor leaves a handler that it finds for SIGINT alone.
        signal.signal(signal.SIGINT, self._interrupt)
        self._reactor.addSystemEventTrigger("before", "shutdown", self._before_shutdown)
        self._ended = Deferred()
        commands = Deferred.fromCoroutine(self._commands())
        return commands.addErrback(lambda failure: failure.value).addCallback(self._end)

    async def _commands(self) -> Exception | None:
        from .client.shell import Mode
        from .client.standard import ScriptLines

        if self._shell.mode is Mode.ONE_SHOT:
            return await self._shell.one(self._config.command)
        if self._shell.mode is Mode.SCRIPT:
            return await self._shell.script(ScriptLines(self._workers))
        return await self._shell.interact(_make_prompt(self._reactor, self._shell, self._workers))

    def _end(self, error: BaseException | None) -> None:
        self.error = error
        ended, self._ended = self._ended, None
        if ended is not None:
            ended.callback(None)

    def _interrupt(self, number: int, frame: object) -> None:
        """Ctrl-C: let go of what runs; a second one, when that takes too long, kills."""
        if self._shell.interrupted:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        self._shell.interrupted = True
        self._reactor.callFromThread(self._stop)

    def _stop(self) -> None:
        self._questions.stop()
        self._shell.interrupt()

    def _before_shutdown(self) -> Deferred[None] | None:
        """SIGTERM stops the reactor: it waits until nothing is left behind.  So does the ordinary end."""
        if self._ended is not None:
            self.terminated = True
            self._shell.leaving = True
            self._stop()
        return self._ended


def _make_connect(
    reactor: Any, config: Config, console: Console, questions: Questions, workers: Workers
) -> Connect:
    """What makes a session with the server, as often as there has to be one."""
    from dataclasses import replace

    from .client.credentials import Credentials
    from .client.session import connect
    from .errors import LoginFailed
    from .limits import Limits

    limits = Limits()
    if config.timeout is not None:
        limits = replace(limits, connect_timeout=config.timeout, stall_timeout=config.timeout)
    tuning, speed = _tuning(config, limits), _speed(reactor, config)
    access = config.access
    asks = questions.available()
    credentials = Credentials(
        config.host,
        access.user,
        access.password_file,
        workers,
        questions.secret if asks else None,
        console.complain,
        insecure=access.insecure,
    )
    tls = _tls(config, questions.agrees if asks else None, console)

    async def make(tries: int = TRIES) -> Session:
        try:
            return await connect(
                reactor,
                config.host,
                config.port,
                limits=limits,
                data_ports=config.data_ports,
                tuning=tuning,
                speed=speed,
                tls=tls,
                login=await credentials.login(),
                data=access.data,
            )
        except LoginFailed:
            if not credentials.forget() or tries == 1:
                raise
        console.complain("Login failed; try again")
        return await make(tries - 1)

    return make


def _tls(config: Config, agrees: Ask | None, console: Console) -> TLS:
    """Whom to trust, and what to show of oneself."""
    from platformdirs import user_state_path

    from .client.session import TLS

    access = config.access
    return TLS(
        access.ca,
        access.pins,
        access.certificate,
        access.key,
        access.at_once,
        str(user_state_path("ftplite") / "known_servers"),
        agrees,
        console.complain,
    )


def _tuning(config: Config, limits: Limits) -> Tuning:
    """How TCP is to be used.  Raises `BadUsage` for what the kernel does not do."""
    from .flow.feasible import congestions, trouble_with
    from .flow.tuning import tuned

    tuning = tuned(dict(config.tcp), limits, congestions())
    trouble = trouble_with(tuning, as_root=os.geteuid() == 0)
    if trouble is not None:
        raise BadUsage(trouble)
    return tuning


def _speed(reactor: Any, config: Config) -> Speed | None:
    """The limit of all its sessions; None: none."""
    from .client.speed import Speed
    from .client.tcp_arguments import rates_told

    rates = rates_told(config.tcp)
    return Speed(reactor, *rates) if rates.limits else None


def _make_shell(reactor: Any, config: Config, connect: Connect, console: Console, workers: Workers) -> Shell:
    from .client.shell import Mode, Preferences, Shell

    preferences = Preferences()
    if config.checksum is not None:
        preferences = preferences._replace(checksum=None if config.checksum == "none" else config.checksum)
    if config.retries is not None:
        preferences = preferences._replace(retries=config.retries)
    if config.progress is not None:
        preferences = preferences._replace(progress=config.progress)
    mode = Mode.INTERACTIVE if os.isatty(0) else Mode.SCRIPT
    return Shell(
        connect,
        f"{config.host} port {config.port}",
        console,
        Mode.ONE_SHOT if config.command else mode,
        reactor,
        workers,
        preferences,
    )


def _make_prompt(reactor: Any, shell: Shell, workers: Workers) -> Prompt:
    from platformdirs import user_state_path
    from twisted.internet.defer import Deferred

    from .client.completion import Choices
    from .client.prompt import Prompt
    from .flow.workers import ThreadWorkers

    choices = Choices(shell, workers)
    return Prompt(
        ThreadWorkers(reactor, 1),
        reactor.callFromThread,
        lambda before, typed: Deferred.fromCoroutine(choices.find(before, typed)),
        str(user_state_path("ftplite") / "history"),
    )


def _log_to(console: Console) -> None:
    """Make of what Twisted would print with a traceback one line."""
    from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogBeginner
    from zope.interface import provider

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        if event.get("log_level") is LogLevel.critical:
            failure = event.get("log_failure")
            what = f"{failure.type.__name__}: {failure.value}" if failure is not None else "unknown"
            console.complain(f"a fault of this program, please report it: {what}")

    globalLogBeginner.beginLoggingTo([observe], redirectStandardIO=False, discardBuffer=True)
