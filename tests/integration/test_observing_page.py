"""What whoever runs a server sees of it: the page, in a browser too, metrics, health; and silent probes."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from accounts import cheap_hash, log_in, password_of, write_users
from browser import Browser, needs_chromium
from harness import BIG, OPENLY, Server, blocking, eventually, make_big, outcome
from pki import server_files, trusting
from raw import PATIENCE, SHUTTING_DOWN, TRANSFERRED, Session, read_all, reset

NASTY = "al'ice"
SCRIPT = "<script>alert(1)<"
"""A name that would be no text, if anybody took it for HTML."""


def page_of(server: Server) -> str:
    """The address of a server's page."""
    return server.logged(r"shown at (http://\S+/)")[1]


def fetch(server: Server, path: str) -> tuple[int, str]:
    """What a path answers."""
    try:
        with urllib.request.urlopen(page_of(server) + path, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def metric(server: Server, name: str) -> float:
    """One value; 0 where there is none yet."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", fetch(server, "metrics")[1], re.MULTILINE)
    return float(found[1]) if found else 0.0


@contextlib.contextmanager
def events(server: Server) -> Iterator[Iterator[dict[str, Any]]]:
    """The events of the page."""
    with urllib.request.urlopen(page_of(server) + "events", timeout=PATIENCE) as stream:
        lines = (line.decode("ascii") for line in stream)
        yield (json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: "))


@blocking
def test_metrics_count_what_was_done(serve: Callable[..., Server], tmp_path: Path) -> None:
    line = f"al\\'ice {cheap_hash(password_of(NASTY))}"
    users = write_users(tmp_path / "users", line)
    server = serve("--metrics", "0", "--users", users, "--anonymous", "write")
    (server.root / "f").write_bytes(bytes(2_000_000))
    with server.session() as session:
        session.get("f")
        session.put("g", bytes(3_000))
        session.send("get none")
        session.expect("FAILURE: File not found.")
        log_in(session, NASTY)
        session.put("h", bytes(500))
        assert metric(server, "ftplite_sessions") == 1
    for name, value in {
        'commands_total{outcome="success",verb="get"}': 1,
        'commands_total{outcome="failure",verb="get"}': 1,
        'commands_total{outcome="success",verb="put"}': 2,
        'transferred_bytes_total{direction="sent"}': 2_000_000,
        'transferred_bytes_total{direction="received"}': 3_500,
        'user_transferred_bytes_total{direction="received",user="(no login)"}': 3_000,
        f'user_transferred_bytes_total{{direction="received",user="{NASTY}"}}': 500,
        'transfer_duration_seconds_count{verb="put"}': 2,
        'transfer_rate_bytes_per_second_bucket{direction="sent",le="+Inf"}': 1,
        "connections_total": 1,
        "ready": 1,
    }.items():
        assert metric(server, _sorted_labels(server, f"ftplite_{name}")) == value, name
    eventually(lambda: metric(server, "ftplite_sessions") == 0)
    assert metric(server, "process_open_fds") > 0
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    text = fetch(server, "metrics")[1]
    subprocess.run(["promtool", "check", "metrics"], input=text, text=True, check=True, timeout=30)


def _sorted_labels(server: Server, name: str) -> str:
    """A sample's name with its labels in the order in which they are told."""
    base, _, labels = name.partition("{")
    if not labels:
        return name
    wanted = set(re.findall(r'\w+="(?:\\.|[^"\\])*"', labels))
    for line in fetch(server, "metrics")[1].splitlines():
        if line.startswith(base + "{") and set(re.findall(r'\w+="(?:\\.|[^"\\])*"', line)) == wanted:
            return line.rpartition(" ")[0]
    return name


@blocking
def test_the_page_tells_what_runs(serve: Callable[..., Server]) -> None:
    server = serve("--metrics", "0")
    make_big(server.root)
    (server.root / "big").rename(server.root / SCRIPT)
    with server.session() as session, events(server) as told:
        assert next(told)["sessions"] == 1
        data = session.begin_get(f'"{SCRIPT}"', BIG)
        while not (event := next(told))["moving"]:
            pass
        (moving,) = event["moving"]
        assert (moving["verb"], moving["name"], moving["size"]) == ("get", SCRIPT, BIG)
        assert len(read_all(data)) == BIG
        session.expect(f'Transfer complete: "{SCRIPT}"')
        session.send(f'Transfer complete: "{SCRIPT}"')
        session.expect(TRANSFERRED)
        while (event := next(told))["moving"]:
            pass
        assert event["moved"] == [BIG, 0]
        while sum(each[0] for each in event["history"]["rates"]) * event["history"]["bucket"] < BIG / 5:
            event = next(told)


@blocking
def test_not_ready_while_it_drains(serve: Callable[..., Server]) -> None:
    server = serve("--metrics", "0")
    make_big(server.root)
    with server.session() as session:
        data = session.begin_get("big", BIG)
        assert fetch(server, "readyz") == (200, "It is serving.\n")
        server.terminate()
        eventually(lambda: fetch(server, "readyz") == (503, "It is draining.\n"))
        assert fetch(server, "healthz")[0] == 200
        assert metric(server, "ftplite_ready") == 0
        with events(server) as told:
            assert next(told)["state"] == "draining"
            assert len(read_all(data)) == BIG
            session.send("Transfer complete: big")
            session.expect("Transfer complete: big", TRANSFERRED, SHUTTING_DOWN)
            session.socket.close()
            for _ in told:
                pass  # until it ends
    server.wait_for_end()


@pytest.mark.parametrize(
    ("endpoint", "word"),
    [
        ("unix:/tmp/x", "no port and no tcp"),
        ("tcp:{taken}:interface=127.0.0.1", "stop what has the port"),
    ],
)
@blocking
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, endpoint: str, word: str) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        endpoint = endpoint.format(taken=held.getsockname()[1])
        options = ("--root", str(tmp_path), "--listen", "tcp:0:interface=127.0.0.1")
        status, said = outcome(*options, "--metrics", endpoint)
    assert (status, len(said)) == (1, 1), said
    assert "--metrics" in said[0]
    assert word in said[0]


@blocking
def test_beyond_loopback_it_warns(serve: Callable[..., Server]) -> None:
    server = serve("--metrics", "tcp:0:interface=0.0.0.0")
    assert page_of(server).startswith("http://0.0.0.0:")
    server.logged("tells names to whoever can reach it")


@pytest.mark.parametrize("kind", ["tcp", "tls", "haproxy:tcp"])
@blocking
def test_who_says_nothing_is_worth_no_line_and_no_ban(
    serve: Callable[..., Server], tmp_path: Path, kind: str
) -> None:
    options = server_files(tmp_path)
    if "haproxy" in kind:
        options = (*options, *OPENLY, "--no-require-tls")
    server = serve("--metrics", "0", *options, listen=f"{kind}:0:interface=127.0.0.1")
    page_of(server)
    before = len(server.log)
    for number in range(40):
        probe = socket.create_connection(server.address)
        if number % 2:
            reset(probe)
        else:
            probe.close()
    if "haproxy" not in kind:
        eventually(lambda: metric(server, "ftplite_connections_total") == 40)
        eventually(lambda: metric(server, "ftplite_sessions") == 0)
    header = b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n" if "haproxy" in kind else b""
    with Session(server.address, header=header, greeted=kind != "tls") as session:
        if kind == "tls":
            session.turn(trusting(), first=True)
        session.send("ls none")
        session.expect("FAILURE: File not found.")
    server.logged("ls none FAILURE")
    (line,) = server.log[before:]
    assert "ls none" in line
    assert metric(server, "ftplite_connections_refused_total") == 0


SHOWN = """
const row = document.querySelector("#moving > li");
return row && {
  text: row.querySelector(".name").textContent, part: row.querySelector("progress").value,
  rate: row.querySelector(".rate").textContent,
};
"""
PAINTED = 'return document.querySelector("#chart canvas").toDataURL()'
GROUND = "return getComputedStyle(document.body).backgroundColor"
FITS = "return document.documentElement.scrollWidth <= innerWidth"


@needs_chromium
@blocking
def test_in_a_browser(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve("--metrics", "0")
    make_big(server.root)
    (server.root / "big").rename(server.root / SCRIPT)
    with Browser(tmp_path / "profile") as browser, server.session() as session:
        browser.open(page_of(server))
        eventually(lambda: browser.run("return document.querySelector('#chart canvas') !== null"))
        assert browser.run("return document.getElementById('state').textContent") == "serving"
        before = browser.run(PAINTED)
        data = session.begin_get(f'"{SCRIPT}"', BIG)
        first = eventually(lambda: browser.run(SHOWN))
        assert first["text"] == f"get{SCRIPT}"
        left = BIG // 2
        while left:
            left -= len(data.recv(min(left, 1 << 20)))
        eventually(lambda: browser.run(SHOWN)["part"] >= BIG // 2)
        eventually(lambda: not browser.run(SHOWN)["rate"].startswith("0 "))
        assert browser.run(PAINTED) != before
        assert browser.run("return document.getElementById('sent').textContent") != "0 B/s"
        assert browser.run("return document.scripts.length") == 2
        light = browser.run(GROUND)
        browser.tell(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}]
        )
        assert browser.run(GROUND) != light
        browser.tell(
            "Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True
        )
        assert browser.run("return innerWidth") == 360
        eventually(lambda: browser.run(FITS))
        assert browser.complaints() == []
