"""The service: from a frozen configuration to sessions, and from SIGTERM to an empty server."""

from __future__ import annotations

import resource
from dataclasses import replace
from typing import Any

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..flow.digest import available
from ..flow.opening import Reactor
from ..flow.pipes import Pipes
from ..flow.tcp import tune_port
from ..flow.workers import ThreadWorkers
from ..limits import Limits
from . import policy, sandbox
from .admission import Admission
from .checksums import Checksums
from .config import CannotStart, Config
from .options import quit_with
from .ports import bind, spell
from .quota import Quotas
from .services import Services
from .sessions import ControlFactory, Sessions
from .speeds import Speeds
from .trees import Trees
from .watch import Watch

log = Logger()

SWEEP_INTERVAL = 3600.0
"""Seconds between two sweeps for partials that have grown too old; less where they are kept for less."""


def offered() -> tuple[str, ...]:
    """The features of docs/protocol.md, section 6, as this server lists them."""
    checksums = " ".join(("checksum", *available()))
    plain = ("files", "json", "offset", checksums, "modified", "partial-checksum")
    return (*plain, "passive", "token", "status", "noop", "help")


class ServerReactor(Reactor, IReactorFromThreads):
    """What a server needs of the reactor."""


class FTPLiteService(Service):
    """Serves one tree at any number of endpoints.

    `listen` binds the ports and comes first, before anything forks or drops privileges; sessions are
    served from `startService` on, and `stopService` waits for what moves.
    """

    name = "ftplite"

    def __init__(self, reactor: ServerReactor, config: Config) -> None:
        self.config = config
        self.ports: list[IListeningPort] = []
        self._reactor = reactor
        self._next_sweep: IDelayedCall | None = None
        self._notices: list[str] = []
        self._beyond = False
        self.watch = None if config.metrics is None else Watch(reactor)
        limits = self._fit_descriptors(config.limits)
        self._workers = ThreadWorkers(reactor, limits.threads)
        self._hashing = ThreadWorkers(reactor, limits.hashing_threads)
        self._trees = Trees(config.root, config.umask, limits)
        self._admission = Admission(config, reactor, limits, self._trees, self._hashing)
        self._quotas = Quotas(self._workers, self._trees.of, limits)
        may_limit = config.speeds.limits or config.users is not None
        speeds = Speeds(reactor, config.speeds) if may_limit else None
        self._services = Services(
            reactor=reactor,
            storage=self._trees.whole,
            workers=self._workers,
            pipes=Pipes(limits),
            limits=limits,
            tuning=config.tuning,
            speeds=speeds,
            entry=self._admission.entry,
            features=offered(),
            tree_of=self._trees.of,
            quotas=self._quotas,
            checksums=Checksums(limits.checksums),
            watch=self.watch,
        )
        self.sessions = Sessions(self._services)

    @property
    def roots(self) -> list[str]:
        """The folders that are served."""
        return [self.config.root, *self._admission.roots]

    @property
    def asks_pam(self) -> bool:
        """Whether passwords may be asked of PAM."""
        accounts = self._admission.entry.accounts
        return accounts is not None and accounts.asks_pam

    def listen(self) -> None:
        """Bind every endpoint.  Raises `CannotStart` and then listens nowhere."""
        try:
            for description in self.config.endpoints:
                self.ports.append(self._listen(description))
                self._beyond |= policy.is_beyond_loopback(description, self.ports[-1].getHost())
            self._notices.append(policy.check_ports(self.config, beyond=self._beyond))
        except CannotStart:
            for port in self.ports:
                port.stopListening()
            raise
        self._admission.bound(beyond=self._beyond)
        addresses = [port.getHost() for port in self.ports]
        self._services.own_ports = frozenset(
            each.port for each in addresses if isinstance(each, IPv4Address | IPv6Address)
        )

    def startService(self) -> None:
        """Say what is served, where and to whom, and sweep up what a crash left behind."""
        try:
            unkept = sandbox.enter(self.config, self._admission.roots, asks_pam=self.asks_pam)
        except CannotStart as error:
            raise quit_with(str(error)) from None
        if self.config.sandbox != "off" and not unkept:
            self._admission.bounds = self.roots
        Service.startService(self)
        for notice in [unkept, *self._notices, *self._admission.notices, self._trees.whole.notice]:
            if notice:
                log.warn("{notice}", notice=notice)
        log.info("{summary}", summary=self.summary())
        certificates = self._services.entry.certificates
        if certificates is not None:
            log.info("Its certificate is {fingerprint}", fingerprint=certificates.fingerprint)
        if self.watch is not None:
            self.watch.begin(self.sessions.all, {"files": self._workers, "logins": self._hashing})
        self._sweep()

    def reload(self) -> None:
        """Read users and certificates again; sessions that there are go on, with what their users may now."""
        users = self._admission.reload()
        if users is not None:
            self.sessions.renew(users)
            if self._services.speeds is not None:
                self._services.speeds.renew(users)

    def summary(self) -> str:
        """One line: what, where, to whom."""
        where = ", ".join(spell(port.getHost()) for port in self.ports)
        return (
            f"FTPLite serves {self.config.root} at {where} {policy.whom(self.config, beyond=self._beyond)}."
        )

    def stopService(self) -> Deferred[None]:
        """Listen no more, drain the sessions, let the threads go."""
        Service.stopService(self)
        if self.watch is not None:
            self.watch.state = "draining"
        closing: list[Deferred[Any]] = [maybeDeferred(port.stopListening) for port in self.ports]
        self.ports = []
        if self._next_sweep is not None and self._next_sweep.active():
            self._next_sweep.cancel()
        closing.append(self.sessions.drain())
        return gatherResults(closing).addCallback(self._let_go)

    def _sweep(self) -> None:
        """Remove what crashes left behind and partials that are too old, and count quotas, now and then."""

        def again(_: object) -> None:
            if self.running:
                self._next_sweep = self._reactor.callLater(interval, self._sweep)

        interval = min(SWEEP_INTERVAL, max(self._services.limits.keep_partials / 2, 1.0))
        swept = self._workers.run(self._trees.sweep)
        swept.addCallbacks(_tell_swept, _tell_unswept)
        swept.addCallback(lambda _: Deferred.fromCoroutine(self._quotas.recount())).addCallback(again)

    def _let_go(self, _: object) -> None:
        if self.watch is not None:
            self.watch.end()
        self._workers.stop()
        self._hashing.stop()
        self._services.pipes.close()
        self._trees.close()

    def _listen(self, description: str) -> IListeningPort:
        factory = ControlFactory(
            self.sessions,
            behind_proxy=policy.is_proxied(description),
            turns_first=policy.is_secure(description),
        )
        plain = policy.plain_endpoint(description)
        port = bind(self._reactor, "listen", description, factory, plain=plain)
        tune_port(port, self.config.tuning, deepen="backlog=" not in description)
        return port

    def _fit_descriptors(self, limits: Limits) -> Limits:
        """Take as many descriptors as the system gives, and no more sessions than they are enough for."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        fit = (hard - limits.descriptors_reserved) // limits.descriptors_per_session
        if hard == resource.RLIM_INFINITY or limits.max_sessions <= fit:
            return limits
        self._notices.append(
            f"--max-sessions is lowered from {limits.max_sessions} to {max(fit, 1)}: "
            f"the limit of {hard} open files allows no more (raise it with ulimit -n)."
        )
        return replace(limits, max_sessions=max(fit, 1))


def _tell_swept(count: int) -> None:
    if count:
        log.info("Swept up {count} unfinished or forgotten files.", count=count)


def _tell_unswept(failure: Failure) -> None:
    log.failure("The tree could not be swept of unfinished files", failure)
