"""The status page's port: what may be asked of it, and what it bounds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite.flow.observing import DISK, HASH, LIMIT, PEER, WAIT, WORK
from twisted_ftplite.ops.events import MOST_STREAMS
from twisted_ftplite.ops.page import MOST_CONNECTIONS, Bounded, Site
from twisted_ftplite.ops.service import endpoint_of
from twisted_ftplite.protocol.lines import Success
from twisted_ftplite.server.config import CannotStart
from twisted_ftplite.server.watch import Watch

from .test_watch import call_of


class Answer:
    """One answer, taken apart."""

    def __init__(self, said: bytes) -> None:
        head, _, self.body = said.partition(b"\r\n\r\n")
        first, *lines = head.decode("ascii").split("\r\n")
        self.code = int(first.split()[1])
        self.headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines)}


class PageCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.watch = Watch(self.clock)
        self.site = Site(self.clock, self.watch)
        self.factory: Any = Bounded(self.site)  # type: ignore[no-untyped-call]

    def connect(self) -> tuple[Any, StringTransport]:
        transport = StringTransport()
        protocol = self.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        protocol.makeConnection(transport)
        return protocol, transport

    def ask(self, path: str, method: str = "GET", *headers: str, body: bytes = b"") -> Answer:
        protocol, transport = self.connect()
        lines = [f"{method} {path} HTTP/1.1", "Connection: close", *(headers or ["Host: localhost:1"])]
        protocol.dataReceived("\r\n".join([*lines, "", ""]).encode() + body)
        return Answer(transport.value())


class EndpointTests(SynchronousTestCase):
    def test_on_loopback_unless_it_is_told(self) -> None:
        for told, meant in {
            "9121": "tcp:9121:interface=127.0.0.1",
            "tcp:9121": "tcp:9121:interface=127.0.0.1",
            "tcp6:9121": r"tcp6:9121:interface=\:\:1",
            "tcp:9121:interface=192.0.2.1": "tcp:9121:interface=192.0.2.1",
            "systemd:domain=INET:index=1": "systemd:domain=INET:index=1",
        }.items():
            assert endpoint_of(told) == meant

    def test_nothing_else(self) -> None:
        for told in ("", "gopher", "unix:/tmp/x", "ssl:9121", "haproxy:tcp:9121", "-1", "٣"):
            with pytest.raises(CannotStart):
                endpoint_of(told)


class AskingTests(PageCase):
    def test_the_page_and_its_parts(self) -> None:
        for path, kind in (
            ("/", "text/html"),
            ("/page.js", "text/javascript"),
            ("/page.css", "text/css"),
            ("/uPlot.js", "text/javascript"),
            ("/uPlot.css", "text/css"),
            ("/icon.svg", "image/svg+xml"),
        ):
            answer = self.ask(path)
            assert (answer.code, answer.headers["content-type"]) == (200, f"{kind}; charset=utf-8")
            assert len(answer.body) == int(answer.headers["content-length"])
            tag = answer.headers["etag"]
            assert self.ask(path, "GET", f"If-None-Match: {tag}").code == 304

    def test_nothing_comes_from_another_host(self) -> None:
        for path in ("/", "/metrics", "/healthz", "/none"):
            answer = self.ask(path)
            policy = answer.headers["content-security-policy"].split("; ")
            assert "default-src 'none'" in policy
            assert {each.split(" ", 1)[1] for each in policy} == {"'none'", "'self'"}
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "server" not in answer.headers
        assert b"//" not in self.ask("/").body.replace(b"<!doctype", b"")

    def test_only_get_and_head(self) -> None:
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get"):
            for path in ("/", "/metrics", "/events", "/none"):
                answer = self.ask(path, method, "Host: localhost", "Content-Length: 3", body=b"a=b")
                assert (answer.code, answer.headers["allow"]) == (405, "GET, HEAD"), (method, path)
        for path in ("/", "/metrics", "/events", "/healthz"):
            answer = self.ask(path, "HEAD")
            assert (answer.code, answer.body) == (200, b"")
        assert len(self.site.events) == 0

    def test_what_comes_along_is_not_kept(self) -> None:
        protocol, _ = self.connect()
        size = 1 << 30
        protocol.dataReceived(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size)
        (channel,) = self.factory.protocols
        (request,) = channel.wrappedProtocol._channel.requests
        for _ in range(100):
            protocol.dataReceived(bytes(1 << 16))
        assert request.content.getvalue() == b""

    def test_what_is_not_there(self) -> None:
        for path in ("/none", "/uplot/LICENSE", "/../page.py", "/%2e%2e/page.py"):
            assert self.ask(path).code == 404, path

    def test_another_name_for_this_machine_is_refused_on_loopback(self) -> None:
        for host in ("evil.example", "localhost.evil.example:80", "127.0.0.1.evil.example"):
            assert self.ask("/", "GET", f"Host: {host}").code == 403, host
        for host in ("localhost", "localhost:9121", "127.0.0.1:9121", "[::1]:9121", "[::1]"):
            assert self.ask("/", "GET", f"Host: {host}").code == 200, host
        self.site.is_local = False
        assert self.ask("/", "GET", "Host: files.example.org:9121").code == 200

    def test_health(self) -> None:
        assert self.ask("/healthz").code == 200
        assert self.ask("/readyz").code == 503
        self.watch.state = "serving"
        assert (self.ask("/readyz").code, self.ask("/readyz").body) == (200, b"It is serving.\n")
        self.watch.state = "draining"
        assert (self.ask("/readyz").code, self.ask("/healthz").code) == (503, 200)

    def test_metrics_in_the_format_that_is_asked_for(self) -> None:
        assert self.ask("/metrics").headers["content-type"].startswith("text/plain; version=0.0.4")
        for version in ("1.0.0", "0.0.1", "none", "1.x"):
            asked = f"Accept: application/openmetrics-text; version={version}"
            assert self.ask("/metrics", "GET", asked).code == 200

    def test_what_time_is_spent_on_has_its_word(self) -> None:
        words = {WAIT: "socket", WORK: "cpu", DISK: "disk", HASH: "checksum", LIMIT: "limit", PEER: "peer"}
        call = call_of("", 1)
        for state in words:
            call.pumped.channel.account.seconds[state] = 1000.0 + state
        self.watch.ran(call, Success.FILE_TRANSFERRED, 1.0)
        told = self.ask("/metrics").body.decode()
        for state, word in words.items():
            assert f'spent_seconds_total{{on="{word}"}} {1000 + state}.' in told

    def test_so_many_connections_and_no_more(self) -> None:
        for _ in range(MOST_CONNECTIONS):
            protocol, _ = self.connect()
        assert self.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1)) is None
        self.factory.unregisterProtocol(protocol)
        self.connect()


class EventsTests(PageCase):
    def stream(self) -> tuple[Any, StringTransport]:
        protocol, transport = self.connect()
        protocol.dataReceived(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return protocol, transport

    def events(self, transport: StringTransport) -> list[dict[str, Any]]:
        lines = transport.value().decode("ascii").split("\n")
        return [json.loads(each.removeprefix("data: ")) for each in lines if each.startswith("data: ")]

    def test_an_event_a_second(self) -> None:
        _, transport = self.stream()
        assert b"\r\nContent-Type: text/event-stream\r\n" in transport.value()
        assert len(self.events(transport)) == 1
        self.clock.pump([0.5] * 6)
        events = self.events(transport)
        assert len(events) == 4
        assert events[0]["state"] == "starting"
        assert events[0]["history"]["rates"] == [[0, 0]]

    def test_so_many_and_no_more(self) -> None:
        streams = [self.stream() for _ in range(MOST_STREAMS)]
        answer = Answer(self.stream()[1].value())
        assert (answer.code, answer.headers["retry-after"]) == (503, "10")
        protocol, transport = streams[0]
        transport.loseConnection()
        protocol.connectionLost(connectionDone)
        assert len(self.site.events) == MOST_STREAMS - 1
        assert b"200 OK" in self.stream()[1].value()

    def test_who_reads_nothing_is_told_nothing_more_and_then_dropped(self) -> None:
        _, slow = self.stream()
        _, good = self.stream()
        assert slow.producer is not None
        slow.producer.pauseProducing()
        told = len(slow.value())
        self.clock.pump([1.0] * 10)
        assert (len(slow.value()), len(self.events(good))) == (told, 11)
        slow.producer.resumeProducing()
        self.clock.advance(1.0)
        assert len(self.events(slow)) == 2
        slow.producer.pauseProducing()
        self.clock.pump([1.0] * 32)
        assert slow.disconnecting
        assert not good.disconnecting

    def test_nobody_looks_no_timer_runs(self) -> None:
        protocol, transport = self.stream()
        assert self.site.events._next is not None
        transport.loseConnection()
        protocol.connectionLost(connectionDone)
        assert self.site.events._next is None

    def test_they_end_with_the_server(self) -> None:
        _, transport = self.stream()
        self.site.events.end()
        assert transport.value().endswith(b"0\r\n\r\n")
        assert len(self.site.events) == 0
