"""The verb `status`: what one's own sessions do, and nobody else's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accounts import LOGIN_REQUIRED, answer_to, line_of, session_of, write_users
from harness import BIG, Server, blocking, eventually
from raw import SYNTAX, TO_RECEIVE, TO_SEND, UNEXPECTED, Session

OWN = {"own", "peer", "user", "secure", "seconds", "directory", "transfer"}
TRANSFER = {"verb", "name", "size", "moved", "seconds", "rate", "limited_by", "rtt", "retransmitted"}


def status(session: Session) -> list[dict[str, Any]]:
    """What it tells, the oldest session first."""
    session.send("status")
    told = []
    while (line := session.line()).startswith("Session: "):
        told.append(json.loads(line.partition(" ")[2]))
    assert line == "SUCCESS: Described."
    return told


@blocking
def test_a_session_alone(server: Server) -> None:
    with server.session() as session:
        (alone,) = status(session)
        assert set(alone) == OWN
        assert 0 <= alone.pop("seconds") < 5
        assert alone == {
            "own": True,
            "peer": "{}:{}".format(*session.socket.getsockname()),
            "user": None,
            "secure": False,
            "directory": "/",
            "transfer": None,
        }


@blocking
def test_what_another_of_ones_sessions_does(tree: Server) -> None:
    name = 'a "b" ü'
    (tree.root / name).symlink_to("big")
    with tree.session() as session, tree.session() as asking:
        with session.begin_get(name, BIG) as data:
            assert data.recv(1000)
            other, own = status(asking)
            assert (other["own"], own["own"], own["transfer"]) == (False, True, None)
            moves = other["transfer"]
            assert set(moves) == TRANSFER
            assert (moves["verb"], moves["name"], moves["size"]) == ("get", name, BIG)
            assert 0 < moves["moved"] < BIG
            assert moves["limited_by"] in ("network", "receiver", "cpu", "disk")
        assert session.line().startswith("ERROR: Connection lost.")
        assert [each["transfer"] for each in status(asking)] == [None, None]


@blocking
def test_names_that_no_line_could_hold(server: Server) -> None:
    shown = {"/".join(["\u0001" * 200] * 6): 1000, "\udcff" * 100: 100, "ü" * 100: 100}
    for name, length in shown.items():
        (server.root / name).parent.mkdir(parents=True, exist_ok=True)
        put = f"put {json.dumps(name)}"
        with server.session() as one, server.session() as asking, one.begin(put, TO_RECEIVE) as data:
            data.sendall(b"x")
            (moves,) = eventually(lambda asking=asking: _moving(asking))
            assert moves["name"] == name[:length] + ("…" if len(name) > length else "")
            assert (moves["verb"], moves["size"]) == ("put", None)


def _moving(session: Session) -> list[dict[str, Any]]:
    return [each["transfer"] for each in status(session) if each["transfer"] is not None]


@blocking
def test_nobody_elses(serve: Callable[..., Server], tmp_path: Path) -> None:
    users = write_users(tmp_path / "users", line_of("alice"), line_of("bob"))
    server = serve("--users", users)
    with session_of(server, "alice") as one, session_of(server, "alice"), session_of(server, "bob") as bob:
        assert [each["user"] for each in status(one)] == ["alice", "alice"]
        assert [(each["user"], each["own"]) for each in status(bob)] == [("bob", True)]
        with server.session() as stranger:
            assert answer_to(stranger, "status").startswith(LOGIN_REQUIRED)


@blocking
def test_nor_another_hosts(server: Server) -> None:
    with server.session() as one, server.session(source="127.0.0.2") as other:
        assert len(status(one)) == len(status(other)) == 1


@blocking
def test_a_line_at_step_3_and_one_that_cannot_be_read(tree: Server) -> None:
    with tree.session() as session:
        session.send("get f")
        session.expect(TO_SEND)
        session.send("Limited by: disk")
        session.expect(UNEXPECTED)
        data = session.begin_get("f", 5)
        session.send("Limited by: one and two")
        session.expect("Transfer complete: f", SYNTAX)
        data.close()
        session.send("status please")
        session.expect(SYNTAX)
