"""One event a command in the log: peer, verb, name, outcome, bytes and seconds; no raw control character."""

from __future__ import annotations

import re

import pytest
from harness import Server, blocking
from raw import CANCELLED, TO_SEND, Session, read_all


def peer_of(session: Session) -> str:
    return "{}:{}".format(*session.socket.getsockname())


def events(server: Server, peer: str) -> list[str]:
    """What the log has of this peer, without time and seconds."""
    server.logged(rf"{peer} quit \. SUCCESS")
    lines = [line.partition(peer + " ")[2] for line in server.log if peer + " " in line]
    return [re.sub(r" \d+\.\d{3} s", "", line) for line in lines]


@blocking
def test_one_event_a_command(server: Server) -> None:
    (server.root / "f").write_bytes(b"abc")
    with server.session() as session:
        peer = peer_of(session)
        session.get("f")
        session.put("g", b"defgh")
        session.ls()
        session.send("get none", "junk", "get", "Mode: 1", "quit")
        while not session.line().startswith("SUCCESS: Goodbye"):
            pass
    assert events(server, peer) == [
        "get f SUCCESS 3 bytes",
        "put g SUCCESS 5 bytes",
        "ls . SUCCESS 4 bytes",
        "get none FAILURE 0 bytes File not found.",
        "get . ERROR 0 bytes Bad syntax.",
        "quit . SUCCESS 0 bytes",
    ]


@blocking
def test_commands_that_are_cancelled_while_they_wait(server: Server) -> None:
    (server.root / "f").write_bytes(b"abc")
    with server.session() as session:
        peer = peer_of(session)
        read_all(session.begin("get f", TO_SEND))
        session.expect("File size: 3 bytes", "Transfer complete: f")
        session.send("noop", 'put "a\\nb"', "abort", "quit")
        session.expect(CANCELLED, CANCELLED, CANCELLED, "SUCCESS: Goodbye.")
    assert events(server, peer) == [
        "get f FAILURE 3 bytes Transfer cancelled.",
        "noop . FAILURE 0 bytes Transfer cancelled.",
        'put "a\\nb" FAILURE 0 bytes Transfer cancelled.',
        "quit . SUCCESS 0 bytes",
    ]


@pytest.mark.parametrize(
    "argument",
    [
        r'"a\nb"',
        r'"\u001b[31mred"',
        r'"\r\n2026-01-01 forged"',
        r'"\u009b1m"',
        r'"\u007f"',
        r'"\udcff"',
        "a\rb",
        "a\x1b[0m",
        "a\x9b",
        "{peer} {0} %s %(x)s",
        "{",
    ],
)
@blocking
def test_names_are_escaped(server: Server, argument: str) -> None:
    with server.session() as session:
        peer = peer_of(session)
        session.send(f"get {argument}", "quit")
        assert session.line().split(":")[0] in ("FAILURE", "ERROR")
        session.expect("SUCCESS: Goodbye.")
    server.logged(rf"{peer} quit \. SUCCESS")
    (line,) = [line for line in server.log if f"{peer} get " in line]
    assert re.search(r"[\x00-\x1f\x7f-\x9f\ufffd]", line) is None
    shown = line.partition(" get ")[2]
    assert shown.startswith((argument + " ", "- "))


@blocking
def test_what_nobody_understood_is_not_logged(server: Server) -> None:
    with server.session() as session:
        peer = peer_of(session)
        session.send(
            "hunter2",
            "passwort hunter2",
            "Password: hunter2",
            "password hunter2",
            'password "hunter2',
            "quit",
        )
        while not session.line().startswith("SUCCESS: Goodbye"):
            pass
    server.logged(rf"{peer} quit \. SUCCESS")
    assert not [line for line in server.log if "hunter2" in line]


@blocking
def test_a_failed_transfer_says_how_far_it_came(server: Server) -> None:
    with open(server.root / "f", "wb") as file:
        file.truncate(64 << 20)
    with server.session() as session:
        peer = peer_of(session)
        with session.begin_get("f", 64 << 20) as data:
            received = len(data.recv(65536))
            session.send("abort", "quit")
            session.expect(CANCELLED, "SUCCESS: Goodbye.")
        (first, _) = events(server, peer)
        found = re.fullmatch(r"get f FAILURE (\d+) bytes Transfer cancelled\.", first)
        assert found is not None
        assert received <= int(found[1]) < 64 << 20
