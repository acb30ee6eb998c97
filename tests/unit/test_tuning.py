"""How TCP is used: what may be told, and that sockets then have it."""

from __future__ import annotations

import socket
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.tcp import Port
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.fakes import HandReactor
from tests.unit.flow_cases import pair
from twisted_ftplite.errors import ConnectionLost
from twisted_ftplite.flow import tcp
from twisted_ftplite.flow.channel import DataChannel
from twisted_ftplite.flow.feasible import congestions, trouble_with
from twisted_ftplite.flow.opening import ConnectBack, ConnectPassive, Listen
from twisted_ftplite.flow.talk import Talk
from twisted_ftplite.flow.tuning import (
    DSCP,
    PLAIN,
    PROFILES,
    SETTINGS,
    Tuning,
    read_buffer,
    read_congestion,
    read_dscp,
    read_mss,
    read_profile,
    tuned,
)
from twisted_ftplite.limits import Limits
from twisted_ftplite.server.options import Options, tuning_of

LIMITS = Limits(stall_timeout=20.0)
ALL = Tuning(
    send_buffer=100_000,
    receive_buffer=50_000,
    congestion="reno",
    unsent=300_000,
    dscp_data=10,
    dscp_control=18,
    mss=1000,
    user_timeout=40.0,
)
ANY_PORT = {"127.0.0.1": ("127.0.0.1", 0), "::1": ("::1", 0, 0, 0)}


class SpellingTests(SynchronousTestCase):
    def refused(self, text: str) -> None:
        for each in SETTINGS:
            with pytest.raises(ValueError, match="is no"):
                each.read(text)

    def test_buffers(self) -> None:
        for text, size in (("4096", 4096), ("100k", 100_000), ("256Ki", 262_144), ("4M", 4_000_000)):
            assert read_buffer(text) == size
        for text in ("4095", "3Ki", "1Gi", "99999999999999", "1.5M", "4 M", "4m", "4KB", "+5000"):
            with pytest.raises(ValueError, match="number of bytes"):
                read_buffer(text)

    def test_segments(self) -> None:
        assert [read_mss(text) for text in ("88", "1400", "32767")] == [88, 1400, 32767]
        for text in ("87", "32768", "1k", "9" * 5000):
            with pytest.raises(ValueError, match="88 to 32767"):
                read_mss(text)

    def test_classes_of_service(self) -> None:
        """RFC 2474, 2597, 3246, 8622; in any case, or as a number."""
        for text, value in (
            ("CS0", 0),
            ("CS1", 8),
            ("cs7", 56),
            ("AF11", 10),
            ("AF21", 18),
            ("Af43", 38),
            ("EF", 46),
            ("le", 1),
            ("0", 0),
            ("63", 63),
        ):
            assert read_dscp(text) == value
        assert len(DSCP) == 8 + 12 + 2
        for text in ("64", "CS8", "AF10", "AF44", "AF51", "VA", "0x2e", "1e1", "9" * 5000):
            with pytest.raises(ValueError, match="CS0 to CS7"):
                read_dscp(text)

    def test_congestion_controls(self) -> None:
        assert read_congestion("bbr") == "bbr"
        for text in ("BBR", "bbr cubic", "cubic\0", "a" * 16):
            with pytest.raises(ValueError, match="name of a congestion control"):
                read_congestion(text)

    def test_profiles(self) -> None:
        assert read_profile("bulk") == "bulk"
        with pytest.raises(ValueError, match="interactive or bulk or background"):
            read_profile("fast")

    def test_no_setting_takes_nothing_or_less(self) -> None:
        for text in ("", " ", "-1"):
            self.refused(text)

    def test_every_option_has_its_attribute(self) -> None:
        attributes = {each.option.replace("-", "_") for each in SETTINGS}
        assert attributes | {"unsent", "user_timeout"} == {each.name for each in fields(Tuning)}


class ChoiceTests(SynchronousTestCase):
    """From options to a tuning."""

    def test_nothing_told(self) -> None:
        """The kernel's own, but for what it must not hoard, and for whom it must not wait."""
        assert tuned({}, LIMITS, ()) == replace(PLAIN, user_timeout=40.0)

    def test_the_user_timeout_never_ends_what_the_others_would_let_live(self) -> None:
        assert tuned({}, Limits(stall_timeout=1, connect_timeout=5), ()).user_timeout == 5
        assert tuned({}, Limits(stall_timeout=3, connect_timeout=5), ()).user_timeout == 6

    def test_a_profile_sets_several(self) -> None:
        tuning = tuned({"profile": "background"}, LIMITS, ())
        assert tuning.dscp_data == DSCP["LE"]
        assert tuning.congestion is None

    def test_a_single_option_overrides_it(self) -> None:
        told = {"profile": "background", "dscp-data": 0, "congestion": "cubic"}
        tuning = tuned(told, LIMITS, ("lp", "reno"))
        assert (tuning.dscp_data, tuning.congestion) == (0, "cubic")

    def test_a_profile_takes_what_there_is(self) -> None:
        for name, profile in PROFILES.items():
            assert tuned({"profile": name}, LIMITS, ("reno",)).congestion is None
            for wish in profile.congestions:
                assert tuned({"profile": name}, LIMITS, (wish,)).congestion == wish

    def test_the_server_s_options(self) -> None:
        options = Options()
        options.parseOptions(
            ["--send-buffer", "1M", "--dscp-control", "cs4", "--mss", "1200", "--stall-timeout", "30"]
        )
        expected = replace(PLAIN, send_buffer=10**6, dscp_control=32, mss=1200, user_timeout=60)
        assert tuning_of(options) == expected

    def test_a_bad_option_is_told_in_one_line(self) -> None:
        for option, value in (("dscp-data", "AF99"), ("mss", "9"), ("profile", "fast"), ("send-buffer", "x")):
            with pytest.raises(SystemExit, match=f"'{value}' is .*--help"):
                Options().parseOptions([f"--{option}", value])


class FeasibilityTests(SynchronousTestCase):
    def test_what_the_kernel_does(self) -> None:
        assert trouble_with(PLAIN, as_root=False) is None
        for name in congestions():
            assert trouble_with(replace(ALL, congestion=name), as_root=False) is None

    def test_a_congestion_control_it_lacks(self) -> None:
        trouble = trouble_with(Tuning(congestion="nonesuch"), as_root=True)
        assert trouble is not None
        found = Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()
        assert f"--congestion nonesuch is not in this kernel, which has {', '.join(found)};" in trouble

    def test_one_that_root_alone_may_choose(self) -> None:
        tuning = Tuning(congestion=congestions()[0])
        assert trouble_with(tuning, as_root=True, allowed=()) is None
        assert trouble_with(tuning, as_root=False, allowed=congestions()) is None
        trouble = trouble_with(tuning, as_root=False, allowed=())
        assert trouble is not None
        assert "may be chosen by root alone" in trouble

    def test_a_buffer_it_would_cut(self) -> None:
        for kind, letter in (("send", "w"), ("receive", "r")):
            most = int(Path(f"/proc/sys/net/core/{letter}mem_max").read_text())
            attribute = f"{kind}_buffer"
            assert trouble_with(replace(PLAIN, **{attribute: most}), as_root=True) is None
            trouble = trouble_with(replace(PLAIN, **{attribute: most + 1}), as_root=True)
            assert trouble is not None
            assert f"--{kind}-buffer {most + 1}" in trouble
            assert f"{most} of net.core.{letter}mem_max" in trouble


def options_of(sock: socket.socket) -> Tuning:
    """What a socket has."""
    v6 = sock.family == socket.AF_INET6
    level, name = (socket.IPPROTO_IPV6, socket.IPV6_TCLASS) if v6 else (socket.IPPROTO_IP, socket.IP_TOS)
    return Tuning(
        send_buffer=sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2,
        receive_buffer=sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2,
        congestion=sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode(),
        unsent=sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT),
        dscp_data=sock.getsockopt(level, name) >> 2,
        user_timeout=ALL.user_timeout,
        dscp_control=ALL.dscp_control,
        mss=ALL.mss,
    )


def window_scale(sock: socket.socket) -> int:
    """By how many bits the windows it announces are shifted: tcp_info's eighth byte, its upper half."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[6] >> 4


def segment(sock: socket.socket) -> int:
    """What its peer announced, less the room for time stamps."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)


class SocketTests(SynchronousTestCase):
    """What sockets are given.  That some of it came early enough, the peers' windows and segments tell."""

    def setUp(self) -> None:
        self.reactor = HandReactor()

    def check(self, channel: DataChannel, peer: socket.socket) -> None:
        sock: socket.socket = vars(channel)["_socket"]
        self.addCleanup(channel.close)
        self.addCleanup(peer.close)
        assert options_of(sock) == ALL
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert window_scale(sock) == 0, "50,000 bytes need no scale, and one settled before would have had it"
        assert window_scale(peer) > 0
        assert segment(peer) == 1000 - 12

    def opened(self, opened: Deferred[DataChannel]) -> DataChannel:
        self.reactor.turn_until(lambda: bool(opened.called))
        return self.successResultOf(opened)

    def listening(self, host: str) -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        server = socket.create_server((host, 0), family=family)
        self.addCleanup(server.close)
        server.settimeout(5)
        return server

    def test_the_server_connects(self) -> None:
        for host, local in ANY_PORT.items():
            server = self.listening(host)
            address = server.getsockname()
            opening = ConnectBack(self.reactor, local, address, address[1], 10.0, None, ALL).open()
            self.check(self.opened(opening), server.accept()[0])

    def test_the_client_connects(self) -> None:
        async def introduce(_: Talk) -> None:
            """Nothing is said."""

        for host, local in ANY_PORT.items():
            server = self.listening(host)
            opening = ConnectPassive(self.reactor, local, server.getsockname(), 10.0, introduce, ALL).open()
            self.check(self.opened(opening), server.accept()[0])

    def test_the_client_listens(self) -> None:
        for host, local in ANY_PORT.items():
            listen = Listen(self.reactor, local, (host, 9), 10.0, (0, 0), ALL)
            self.addCleanup(listen.close)
            peer = socket.create_connection((host, listen.port), 5)
            self.check(self.opened(listen.open()), peer)

    def test_nothing_told_leaves_it_to_the_kernel(self) -> None:
        server = self.listening("127.0.0.1")
        address = server.getsockname()
        opening = ConnectBack(self.reactor, ANY_PORT["127.0.0.1"], address, address[1], 10.0).open()
        channel = self.opened(opening)
        self.addCleanup(channel.close)
        peer, _ = server.accept()
        self.addCleanup(peer.close)
        ours = vars(channel)["_socket"]
        assert options_of(ours) == replace(options_of(peer), unsent=4 << 20)
        assert window_scale(ours) == window_scale(peer)

    def test_what_was_a_control_channel(self) -> None:
        ours, peer = pair()
        self.addCleanup(peer.close)
        self.addCleanup(ours.close)
        ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 5000)
        tcp.convert_to_data(ours, ALL)
        assert options_of(ours) == ALL
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0, (
            "slow readers are waited for"
        )

    def test_it_loses_the_control_channel_s_class(self) -> None:
        ours, peer = pair()
        self.addCleanup(peer.close)
        self.addCleanup(ours.close)
        ours.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 18 << 2)
        tcp.convert_to_data(ours, Tuning(dscp_control=18))
        assert ours.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 0

    def test_one_that_cannot_be_converted_is_closed(self) -> None:
        ours, peer = pair()
        self.addCleanup(peer.close)
        with pytest.raises(ConnectionLost):
            tcp.convert_to_data(ours, Tuning(congestion="nonesuch"))
        assert ours.fileno() == -1

    def test_sockets_of_the_file_system_have_none_of_it(self) -> None:
        ours, peer = socket.socketpair()
        tcp.convert_to_data(ours, ALL)
        ours.close()
        peer.close()

    def test_an_option_that_cannot_be_had_lets_nobody_listen(self) -> None:
        with pytest.raises(OSError, match="No such file"):
            tcp.listen_on(ANY_PORT["127.0.0.1"], 0, Tuning(congestion="nonesuch"))

    def test_a_port_for_control_channels(self) -> None:
        """What has to be settled before a connection that may turn into a data channel, for both families."""
        port = Port(0, Factory(), interface="::1", reactor=installed)
        port.startListening()
        self.addCleanup(port.connectionLost, None)
        tcp.tune_port(port, ALL, deepen=True)
        peer = socket.create_connection(("::1", port.getHost().port), 5)
        self.addCleanup(peer.close)
        accepted, _ = port.socket.accept()
        self.addCleanup(accepted.close)
        assert accepted.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS) == 18 << 2
        assert accepted.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 18 << 2
        assert window_scale(accepted) == 0
        assert segment(peer) == 1000 - 12
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)[:4] != b"reno"


class OwnTransport(tcp.OwnConnection):
    """A transport that is nothing but its socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock


class ControlTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.sock, peer = pair()
        self.addCleanup(self.sock.close)
        self.addCleanup(peer.close)

    def tcp(self, option: int) -> int:
        return self.sock.getsockopt(socket.IPPROTO_TCP, option)

    def tune(self, tuning: Tuning) -> None:
        transport: Any = OwnTransport(self.sock)
        tcp.tune_control(transport, 4096, tuning)

    def test_it_sends_at_once_and_looks_for_a_silent_peer(self) -> None:
        self.tune(replace(ALL, user_timeout=40.0))
        assert self.tcp(socket.TCP_NODELAY)
        assert self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert (self.tcp(socket.TCP_KEEPIDLE), self.tcp(socket.TCP_KEEPINTVL)) == (20, 5)
        assert self.tcp(socket.TCP_USER_TIMEOUT) == 40_000
        assert self.sock.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 18 << 2

    def test_times_that_the_kernel_cannot_count(self) -> None:
        for seconds, idle, milliseconds in ((0.01, 1, 10), (1e9, 32767, 2**31 - 1)):
            self.tune(Tuning(user_timeout=seconds))
            assert (self.tcp(socket.TCP_KEEPIDLE), self.tcp(socket.TCP_USER_TIMEOUT)) == (idle, milliseconds)
