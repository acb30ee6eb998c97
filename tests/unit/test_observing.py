"""What a transfer waited for: an account of its time, what the kernel says, a word, a phrase of two."""

from __future__ import annotations

import socket
import struct
import time

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.fakes import Host
from tests.unit.flow_cases import pair
from tests.unit.test_client_session import COMPLETE, DONE, SIZE, Peer
from twisted_ftplite.errors import BadSyntax
from twisted_ftplite.flow import tcp
from twisted_ftplite.flow.observing import (
    DISK,
    HASH,
    LIMIT,
    PEER,
    WAIT,
    WORK,
    Account,
    Finding,
    Role,
    explain,
    find,
    likely,
)
from twisted_ftplite.flow.tcp_info import SIZE as LAYOUT
from twisted_ftplite.flow.tcp_info import TCPInfo, parse
from twisted_ftplite.protocol.client import Completed, LimitTold, SizeTold
from twisted_ftplite.protocol.lines import Success
from twisted_ftplite.protocol.values import Bottleneck, parse_bottleneck

MIB = 1 << 20
NOTHING = parse(b"")


def told(**values: int) -> TCPInfo:
    """What a kernel says of a connection that has sent 100 MiB in segments of 1,448 bytes over 50 ms."""
    usual = {"rtt": 50_000, "min_rtt": 50_000, "snd_mss": 1448, "snd_wnd": MIB, "bytes_acked": 100 * MIB}
    segments = {"data_segs_out": 72_000, "data_segs_in": 72_000}
    return NOTHING._replace(**{"bytes_sent": 100 * MIB, **segments, **usual, **values})


def account(info: TCPInfo | None = None, **seconds: float) -> Account:
    """One whose time was spent so."""
    made = Account()
    names = {"wait": WAIT, "work": WORK, "disk": DISK, "hash": HASH, "limit": LIMIT, "peer": PEER}
    for name, each in seconds.items():
        made.seconds[names[name]] = each
    made.see(info)
    return made


def word(role: Role, made: Account, moved: int = 100 * MIB) -> tuple[str, str]:
    found = find(role, made, moved)
    return found.word, found.why


class KernelTests(SynchronousTestCase):
    def test_each_number_from_its_place(self) -> None:
        """The offsets are those of linux/tcp.h."""
        info = bytearray(LAYOUT)
        places = {
            "rtt": (68, "I"),
            "rttvar": (72, "I"),
            "snd_mss": (16, "I"),
            "unacked": (24, "I"),
            "snd_cwnd": (80, "I"),
            "total_retrans": (100, "I"),
            "bytes_acked": (120, "Q"),
            "bytes_received": (128, "Q"),
            "min_rtt": (148, "I"),
            "data_segs_in": (152, "I"),
            "data_segs_out": (156, "I"),
            "delivery_rate": (160, "Q"),
            "busy_time": (168, "Q"),
            "rwnd_limited": (176, "Q"),
            "sndbuf_limited": (184, "Q"),
            "bytes_sent": (200, "Q"),
            "bytes_retrans": (208, "Q"),
            "out_of_order": (224, "I"),
            "snd_wnd": (228, "I"),
        }
        for number, (place, kind) in enumerate(places.values(), 100):
            struct.pack_into(f"={kind}", info, place, number)
        read = parse(bytes(info))
        assert {name: getattr(read, name) for name in places} == {
            name: number for number, name in enumerate(places, 100)
        }

    def test_older_and_newer_kernels(self) -> None:
        assert parse(b"\1").state == 1
        assert parse(b"\1").snd_wnd == 0
        assert parse(b"\1" + bytes(103) + b"\7" * 1000).bytes_acked == 0x0707070707070707
        assert parse(bytes(LAYOUT)) == NOTHING

    def test_what_came_twice_was_not_lost(self) -> None:
        info = bytearray(LAYOUT)
        struct.pack_into("=I", info, 100, 5)
        struct.pack_into("=I", info, 216, 3)
        assert parse(bytes(info)).lost == 2

    def test_a_connection(self) -> None:
        ours, peer = pair()
        with ours, peer:
            ours.sendall(b"x" * 1000)
            assert peer.recv(1000, socket.MSG_WAITALL)
            info = tcp.info(ours)
            assert info is not None
            assert (info.state, info.bytes_sent) == (1, 1000)
            assert info.snd_mss > 500
            assert info.snd_wnd > 1000
        assert tcp.info(ours) is None
        one, other = socket.socketpair()
        with one, other:
            assert tcp.info(one) is None


class AccountTests(SynchronousTestCase):
    def test_time_goes_to_what_it_is_spent_on(self) -> None:
        made = Account()
        made.begin()
        for state in (DISK, LIMIT, WAIT):
            made.turn(state)
            time.sleep(0.02)
        made.moved()
        spent = made.spent()
        assert all(0.01 < spent[state] < 1 for state in (DISK, LIMIT, WAIT))
        assert spent[HASH] == 0

    def test_work_interrupts_nothing_but_waiting(self) -> None:
        made = Account()
        made.work()
        made.turn(DISK)
        made.rest()
        made.work()
        time.sleep(0.02)
        made.rest()
        assert made.spent()[DISK] > 0.01

    def test_a_thread_that_computes_waits_for_no_disk(self) -> None:
        def compute(seconds: float) -> str:
            end = time.thread_time() + seconds
            while time.thread_time() < end:
                pass
            return "done"

        made = Account()
        made.turn(DISK)
        assert made.timed(compute, 0.05) == "done"
        made.turn(WAIT)
        spent = made.spent()
        assert spent[WORK] >= 0.05
        with pytest.raises(ZeroDivisionError):
            made.timed(lambda: 1 // 0)


class FindingTests(SynchronousTestCase):
    def test_what_a_side_knows_of_itself(self) -> None:
        for role in Role:
            assert word(role, account(told(), disk=5, wait=1)) == ("disk", "")
            assert word(role, account(told(), limit=5, wait=1)) == ("limit", "")
            assert word(role, account(told(), work=5, wait=1)) == ("cpu", "")
            assert word(role, account(told(), work=1, hash=5)) == ("cpu", "checksum")
        secure = account(told(), work=5, wait=1)
        secure.secure = True
        assert word(Role.SENDER, secure) == ("cpu", "TLS")

    def test_without_a_word_of_the_kernel(self) -> None:
        for role in Role:
            assert word(role, account(wait=5, work=1)) == ("network", "")
            assert find(role, account(), 0).seconds < 0.1

    def test_a_sender_that_waits(self) -> None:
        busy = 10_000_000
        assert word(Role.SENDER, account(told(busy_time=busy), wait=10)) == ("network", "")
        small = told(busy_time=busy, sndbuf_limited=busy * 6 // 10)
        assert word(Role.SENDER, account(small, wait=10)) == ("network", "buffer")
        lossy = told(busy_time=busy, lost=100)
        assert word(Role.SENDER, account(lossy, wait=10)) == ("network", "loss")
        overflown = lossy._replace(rtt=200_000)
        assert word(Role.SENDER, account(overflown, wait=10)) == ("network", "")
        assert word(Role.SENDER, account(overflown._replace(lost=1000), wait=10)) == ("network", "loss")
        window = told(busy_time=busy, rwnd_limited=busy * 9 // 10)
        assert word(Role.SENDER, account(window, wait=10)) == ("receiver", "window")
        pressed = told(busy_time=busy, unacked=MIB // 1448)
        assert word(Role.SENDER, account(pressed, wait=10)) == ("receiver", "window")
        slow = window._replace(snd_wnd=100)
        assert word(Role.SENDER, account(slow, wait=10)) == ("receiver", "")
        queued = window._replace(rtt=200_000)
        assert word(Role.SENDER, account(queued, wait=10)) == ("receiver", "")

    def test_a_sender_whose_reactor_has_no_time(self) -> None:
        assert word(Role.SENDER, account(told(busy_time=1_000_000), wait=10)) == ("cpu", "")

    def test_a_sender_that_has_only_filled_the_kernel(self) -> None:
        full = told(bytes_acked=MIB, busy_time=1000)
        assert word(Role.SENDER, account(full, work=0.01)) == ("network", "")
        assert word(Role.SENDER, account(full._replace(rwnd_limited=900), work=0.01)) == (
            "receiver",
            "window",
        )

    def test_a_sender_whose_peer_is_not_ready_at_the_end(self) -> None:
        info = told(busy_time=1_000_000)
        made = account(info, wait=1, peer=9)
        made.at_end = info
        assert find(Role.SENDER, made, 100 * MIB).word == "receiver"

    def test_a_receiver_that_waits(self) -> None:
        assert word(Role.RECEIVER, account(told(), wait=9, disk=1)) == ("network", "")
        assert word(Role.RECEIVER, account(told(out_of_order=400), wait=9)) == ("network", "")
        assert word(Role.RECEIVER, account(told(out_of_order=4000), wait=9)) == ("network", "loss")

    def test_what_the_kernel_is_kept_to(self) -> None:
        for role in Role:
            made = account(told(busy_time=10_000_000), wait=10)
            made.ceiling = 10 * MIB
            assert word(role, made) == ("limit", "")
            made.ceiling = 100 * MIB
            assert word(role, made) == ("network", "")


SERVER_SENDS = (Role.RECEIVER, "the client", "the server")
SERVER_RECEIVES = (Role.SENDER, "the client", "the server")


class PhraseTests(SynchronousTestCase):
    def phrase(
        self, side: tuple[Role, str, str], own: str, other: str | None, why: str = "", share: float = 0.9
    ) -> str:
        role, us, them = side
        finding = Finding(Bottleneck(own), share, 1.0, why)
        return explain(role, finding, None if other is None else Bottleneck(other), us, them)

    def test_as_the_receiver_sees_it(self) -> None:
        for own, other, why, meant in (
            ("network", "network", "", "the network"),
            ("network", "network", "loss", "network loss"),
            ("network", "receiver", "", "the receiver's window (the client)"),
            ("network", "disk", "", "the server's disk"),
            ("network", "limit", "", "the server's limit"),
            ("network", "cpu", "", "the server's CPU"),
            ("disk", "receiver", "", "the client's disk"),
            ("disk", "network", "", "the client's disk"),
            ("limit", "receiver", "", "the client's limit"),
            ("cpu", "receiver", "TLS", "the client's CPU (TLS)"),
            ("cpu", None, "checksum", "the client's CPU (checksum)"),
            ("network", None, "", "the other side"),
            ("network", None, "loss", "network loss"),
        ):
            assert self.phrase(SERVER_SENDS, own, other, why) == meant, (own, other, why)

    def test_as_the_sender_sees_it(self) -> None:
        for own, other, why, meant in (
            ("network", "network", "", "the network"),
            ("network", "network", "loss", "network loss"),
            ("receiver", "network", "", "the receiver's window (the server)"),
            ("receiver", "disk", "", "the server's disk"),
            ("network", "disk", "", "the server's disk"),
            ("receiver", "limit", "", "the server's limit"),
            ("disk", "network", "", "the client's disk"),
            ("receiver", None, "", "the other side"),
            ("receiver", None, "window", "the receiver's window (the server)"),
            ("network", None, "", "the network"),
            ("network", "network", "buffer", "the sender's buffer (the client)"),
        ):
            assert self.phrase(SERVER_RECEIVES, own, other, why) == meant, (own, other, why)

    def test_both_say_that_it_is_they(self) -> None:
        assert self.phrase(SERVER_SENDS, "disk", "disk") == "the client's disk"
        assert self.phrase(SERVER_SENDS, "disk", "cpu", share=0.5) == "the server's CPU"

    def test_what_the_other_side_computes(self) -> None:
        assert likely("sha256", secure=True) == "checksum"
        assert likely("xxh128", secure=True) == "TLS"
        assert likely("xxh128", secure=False) == likely(None, secure=False) == ""
        waits = Finding(Bottleneck.NETWORK, 0.9, 1.0)
        said = explain(Role.RECEIVER, waits, Bottleneck.CPU, "the client", "the server", cpu="TLS")
        assert said == "the server's CPU (TLS)"


class WireTests(SynchronousTestCase):
    def test_words(self) -> None:
        for each in Bottleneck:
            assert parse_bottleneck(each) is each
        assert parse_bottleneck("moonlight") is None
        for wrong in ("", "two words", "ü"):
            with pytest.raises(BadSyntax):
                parse_bottleneck(wrong)

    def transfer(self, *features: str, asks: bool = True) -> Host:
        host = Host()
        host.session.features = features
        if asks:
            host.receive("features")
            host.finish(Success.FEATURES_LISTED)
        host.receive("get f")
        host.answer()
        host.receive("Data channel port: 50000")
        return host

    def test_a_server_says_it_to_those_who_asked_for_features(self) -> None:
        completion = b"Transfer complete: f\n"
        word = Bottleneck.DISK
        assert self.transfer("status").session.complete(word) == b"Limited by: disk\n" + completion
        assert self.transfer("status", asks=False).session.complete(word) == completion
        assert self.transfer().session.complete(word) == completion
        assert self.transfer("status").session.complete() == completion

    def test_a_server_hears_it(self) -> None:
        host = self.transfer("status")
        assert host.receive("Limited by: cpu", "Limited by: moonlight", "Limited by: disk") == []
        assert host.session.transfer is not None
        assert host.session.transfer.limited_by is Bottleneck.DISK
        assert host.receive("Limited by: this and that") == ["ERROR: Bad syntax. One word was expected."]

    def test_without_the_feature_it_is_ignored(self) -> None:
        assert self.transfer().receive("Limited by: this and that") == []

    def test_a_client_hears_it(self) -> None:
        peer = Peer()
        exchange = peer.moving("get", "a")
        events = peer.receive(SIZE, "Limited by: disk", COMPLETE)
        assert events == [SizeTold(3), LimitTold(Bottleneck.DISK), Completed()]
        said = peer.session.complete(exchange, limited_by=Bottleneck.NETWORK)
        assert said == b"Limited by: network\nTransfer complete: a\n"
        peer.receive(DONE)
        peer.moving("put", "a")
        assert peer.receive("Limited by: moonlight") == [LimitTold(None)]
        assert "out of turn" in peer.violates("Limited by: disk")
