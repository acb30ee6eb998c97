"""Metrics as Prometheus reads them, made from a `Watch` when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from .. import __version__
from ..server.history import Distribution
from ..server.watch import Watch

_WAYS: Final = ("sent", "received")
_SPENT: Final = ("socket", "cpu", "disk", "checksum", "limit", "peer")
"""The words for what `flow.observing` counts by number, in its order."""


class Metrics:
    """All metrics of one server, and of its process."""

    def __init__(self, watch: Watch) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(ServerCollector(watch))
        ProcessCollector(registry=self._registry)

    def render(self, accept: str) -> tuple[bytes, str]:
        """The text and its type, in the format that was asked for if there is that."""
        try:
            encoder, kind = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is none
            encoder, kind = choose_encoder("")
        return encoder(self._registry), kind


class ServerCollector(Collector):
    """What a `Watch` knows, by names and units of Prometheus' conventions."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def describe(self) -> Iterable[Metric]:
        """Nothing is known of them beforehand."""
        return ()

    def collect(self) -> Iterator[Metric]:
        yield from self._state()
        yield from self._commands()
        yield from self._transfers()
        yield from self._insides()

    def _state(self) -> Iterator[Metric]:
        watch = self._watch
        build = GaugeMetricFamily("ftplite_build_info", "The version that runs.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        yield GaugeMetricFamily("ftplite_ready", "Whether new clients are served.", value=int(watch.ready))
        yield GaugeMetricFamily("ftplite_sessions", "Sessions now.", value=len(watch.guests()))
        yield CounterMetricFamily(
            "ftplite_connections", "Connections that came in, passive data channels too.", watch.connections
        )
        yield CounterMetricFamily(
            "ftplite_connections_refused", "Those that were one too many, or banned.", watch.refused
        )

    def _commands(self) -> Iterator[Metric]:
        commands = CounterMetricFamily(
            "ftplite_commands", "Commands that are over.", labels=["verb", "outcome"]
        )
        for labels, count in sorted(self._watch.commands.items()):
            commands.add_metric(labels, count)
        yield commands

    def _transfers(self) -> Iterator[Metric]:
        watch = self._watch
        running = GaugeMetricFamily("ftplite_transfers_running", "Transfers now.", labels=["verb"])
        counts = dict.fromkeys(("get", "ls", "put"), 0)
        for call in watch.running():
            counts[call.command.verb.name] = counts.get(call.command.verb.name, 0) + 1
        for verb, count in counts.items():
            running.add_metric([verb], count)
        yield running
        moved = CounterMetricFamily(
            "ftplite_transferred_bytes", "Bytes of data that have moved.", labels=["direction"]
        )
        for way, count in zip(_WAYS, watch.moved(), strict=True):
            moved.add_metric([way], count)
        yield moved
        by_user = CounterMetricFamily(
            "ftplite_user_transferred_bytes",
            "The same by user, of transfers that are over; of many users, only the first by name.",
            labels=["user", "direction"],
        )
        for user, counted in sorted(watch.users.items()):
            for way, count in zip(_WAYS, counted, strict=True):
                by_user.add_metric([_utf8(user), way], count)
        yield by_user
        durations = HistogramMetricFamily(
            "ftplite_transfer_duration_seconds",
            "Transfers that went well, from the command to the last answer.",
            labels=["verb"],
        )
        for verb, distribution in sorted(watch.durations.items()):
            _add(durations, [verb], distribution)
        yield durations
        speeds = HistogramMetricFamily(
            "ftplite_transfer_rate_bytes_per_second",
            "Transfers of a MiB or more that went well: bytes over seconds.",
            labels=["direction"],
        )
        for way, distribution in zip(_WAYS, watch.speeds, strict=True):
            _add(speeds, [way], distribution)
        yield speeds

    def _insides(self) -> Iterator[Metric]:
        watch = self._watch
        spent = CounterMetricFamily(
            "ftplite_transfer_spent_seconds",
            "What the time of transfers was spent on; limit is the wait for a limit of their rate.",
            labels=["on"],
        )
        for word, seconds in zip(_SPENT, watch.spent(), strict=True):
            spent.add_metric([word], seconds)
        yield spent
        waiting = GaugeMetricFamily(
            "ftplite_thread_pool_jobs", "Calls that threads have not answered yet.", labels=["pool"]
        )
        for name, pool in sorted(watch.pools.items()):
            waiting.add_metric([name], pool.waiting)
        yield waiting
        lags = HistogramMetricFamily("ftplite_reactor_lag_seconds", "How late the reactor's timers were.")
        _add(lags, [], watch.lags)
        yield lags
        round_trips = HistogramMetricFamily(
            "ftplite_tcp_round_trip_seconds", "Round trips of data channels, at their ends."
        )
        _add(round_trips, [], watch.round_trips)
        yield round_trips
        yield CounterMetricFamily(
            "ftplite_tcp_retransmitted_segments", "Segments of data channels sent again.", watch.resent
        )


def _add(family: HistogramMetricFamily, labels: list[str], distribution: Distribution) -> None:
    buckets = [
        (str(bound) if bound < inf else "+Inf", float(count)) for bound, count in distribution.cumulative()
    ]
    family.add_metric(labels, buckets, distribution.sum)


def _utf8(text: str) -> str:
    """What can be encoded of a name, whatever it holds."""
    return text.encode("utf-8", "replace").decode()
