"""What is near, as the kernel's routes tell it."""

from __future__ import annotations

import ipaddress

from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite.client.routes import is_direct, is_loopback, is_near

HEADING = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT"


def route_4(destination: str, gateway: str, flags: int, metric: int = 0, mask: str = "255.255.255.0") -> str:
    def written(address: str) -> str:
        return ipaddress.ip_address(address).packed[::-1].hex().upper()

    ends = f"{written(destination)}\t{written(gateway)}"
    return f"eth0\t{ends}\t{flags:04X}\t0\t0\t{metric}\t{written(mask)}\t0\t0\t0"


def route_6(destination: str, gateway: str, flags: int, metric: int = 256) -> str:
    net = ipaddress.ip_network(destination)
    ends = f"{net.network_address.packed.hex()} {net.prefixlen:02x} {'0' * 32} 00"
    return (
        f"{ends} {ipaddress.ip_address(gateway).packed.hex()} {metric:08x} 00000001 00000000 {flags:08x} eth0"
    )


ROUTES_4 = [
    HEADING,
    route_4("0.0.0.0", "192.0.2.1", 3, mask="0.0.0.0"),
    route_4("192.0.2.0", "0.0.0.0", 1),
    route_4("192.0.2.128", "192.0.2.9", 3, mask="255.255.255.128"),
    route_4("198.51.100.0", "0.0.0.0", 1, metric=100),
    route_4("198.51.100.0", "192.0.2.1", 3, metric=10),
    route_4("203.0.113.0", "0.0.0.0", 0x201),
]
ROUTES_6 = [
    route_6("2001:db8:1::/64", "::", 1),
    route_6("2001:db8:1:0:ff::/80", "2001:db8:1::9", 3),
    route_6("::/0", "2001:db8:1::1", 3),
    route_6("fe80::/64", "::", 1),
    route_6("::/0", "::", 0x200200),
]


class RouteTests(SynchronousTestCase):
    def test_version_4(self) -> None:
        for address, direct in {
            "192.0.2.7": True,
            "192.0.2.129": False,  # a longer prefix goes through a gateway
            "198.51.100.7": False,  # and so does a better metric
            "203.0.113.7": False,  # rejected
            "8.8.8.8": False,
        }.items():
            assert is_direct(ipaddress.ip_address(address), ROUTES_4) is direct, address

    def test_version_6(self) -> None:
        for address, direct in {
            "2001:db8:1::7": True,
            "2001:db8:1:0:ff::7": False,
            "2001:db8:2::7": False,
            "fe80::7": True,
        }.items():
            assert is_direct(ipaddress.ip_address(address), ROUTES_6) is direct, address

    def test_a_route_to_everywhere_says_nothing(self) -> None:
        tunnel = [route_4("0.0.0.0", "0.0.0.0", 1, mask="128.0.0.0")]
        assert not is_direct(ipaddress.ip_address("8.8.8.8"), tunnel)
        assert not is_direct(ipaddress.ip_address("2001:db8::1"), [route_6("::/0", "::", 1)])

    def test_no_route(self) -> None:
        assert not is_direct(ipaddress.ip_address("192.0.2.7"), [HEADING])
        assert not is_direct(ipaddress.ip_address("2001:db8::1"), [])


class NearTests(SynchronousTestCase):
    def test_loopback(self) -> None:
        for host in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"):
            assert is_loopback((host, 1)), host
            assert is_near((host, 2), (host, 1)), host
        assert not is_loopback(("192.0.2.7", 1))

    def test_the_host_itself(self) -> None:
        assert is_near(("192.0.2.7", 2), ("192.0.2.7", 1))
        assert is_near(("fe80::1%eth0", 2, 0, 2), ("fe80::1%eth0", 1, 0, 2))

    def test_what_is_reserved_for_documents_is_nowhere_near(self) -> None:
        assert not is_near(("192.0.2.7", 2), ("203.0.113.7", 1))
        assert not is_near(("2001:db8::1", 2, 0, 0), ("2001:db8:9::1", 1, 0, 0))
