"""Logging in by hand: section 6, ``login``; who may do what then, and what nobody is told."""

from __future__ import annotations

import contextlib
import re
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from accounts import (
    DENIED,
    LOGGED_IN,
    LOGIN_FAILED,
    LOGIN_REQUIRED,
    PASSWORD_REQUIRED,
    TOO_MANY_FAILURES,
    answer_to,
    cheap_hash,
    fail_to_log_in,
    line_of,
    log_in,
    password_of,
    session_of,
    write_users,
)
from harness import Server, blocking, eventually
from raw import MISSING, NOTHING, SYNTAX, TO_RECEIVE, TO_SEND, UNEXPECTED, Session

VERBS = {
    "ls": "list",
    "stat f": "list",
    "get f": "get",
    "checksum f": "get",
    "put new": "put",
    "mkdir d": "mkdir",
    "rmdir none": "delete",
    "rm none": "delete",
    'mv "none" "new"': "rename",
    "pwd": None,
    "cd d": None,
}
"""What each verb needs; none of these changes anything."""

MAY = {
    "list": {"list"},
    "get": {"get"},
    "put": {"put"},
    "delete": {"delete"},
    "rename": {"rename"},
    "mkdir": {"mkdir"},
    "read": {"list", "get"},
    "drop": {"put"},
    "write": {"list", "get", "put", "delete", "rename", "mkdir"},
}
PASSWORDS = {
    "odd": " two  words and a blank at the end ",
    "ümlaut ☃": "pässwörd ☃",
    "quotes": '"\\"',
    "long": "x" * 8000,
}
SPELLED = {
    "odd": '" two  words and a blank at the end "',
    '"ümlaut ☃"': "pässwörd ☃",
    "ümlaut ☃": '"p\\u00e4ssw\\u00f6rd \\u2603"',
    "quotes": '"\\"\\\\\\""',
    "long": "x" * 8000,
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that only users may come to, most of them with the whole tree."""
    folder = tmp_path_factory.mktemp("login")
    tree = folder / "tree"
    for each in ("alice", "bob", "d"):
        (tree / each).mkdir(parents=True)
        (tree / each / "own").write_text(f"of {each}")
    (tree / "f").write_bytes(b"abc")
    users = write_users(
        folder / "users",
        line_of("alice", "root=alice"),
        line_of("bob", "root=bob"),
        line_of("carol"),
        line_of("dave"),
        "erin - permissions=read",
        *(f'"{name}" {cheap_hash(password)}' for name, password in PASSWORDS.items()),
        *(line_of(f"may-{name}", f"permissions={name}") for name in MAY),
    )
    server = Server(tree, "--users", users, "--tls", "self", "--tls-folder", str(folder / "tls"))
    with contextlib.ExitStack() as stopping:
        stopping.callback(server.stop)
        yield server
        server.check()


# Who one is.


@blocking
def test_before_a_login(served: Server) -> None:
    with served.session() as session:
        session.send("features")
        listed = []
        while (line := session.line()).startswith("Feature: "):
            listed.append(line.removeprefix("Feature: "))
        assert line == "SUCCESS: Features listed."
        assert {"login", "tls"} <= set(listed)
    with served.session() as session:
        assert answer_to(session, "help") == "SUCCESS: Help listed."
        assert answer_to(session, "noop") == NOTHING
        for command in VERBS:
            assert answer_to(session, command).startswith(LOGIN_REQUIRED), command
        # Of what there is nothing is told.
        for verb in ("ls", "get", "put", "stat", "cd", "rm", "checksum"):
            (answer,) = {answer_to(session, f"{verb} {name}") for name in ("f", "none", "d", "f/x", "../x")}
            assert answer.startswith(LOGIN_REQUIRED)
        log_in(session, "carol")
        assert session.get("f") == b"abc"
        session.send("quit")
        session.expect("SUCCESS: Goodbye.")
        assert session.ended()


@pytest.mark.parametrize("command", ["quit", "starttls"])
@blocking
def test_what_ends_a_session_needs_no_login(served: Server, command: str) -> None:
    with served.session() as session:
        assert answer_to(session, command).startswith("SUCCESS")


@blocking
def test_a_login(served: Server) -> None:
    with served.session() as session:
        session.send("login carol")
        session.expect(PASSWORD_REQUIRED)
        assert answer_to(session, "get f").startswith(LOGIN_REQUIRED)
        session.send(f"password {password_of('carol')}")
        session.expect(LOGGED_IN)
        assert session.get("f") == b"abc"
        served.logged(r"carol@127\.0\.0\.1:\d+ get f SUCCESS 3 bytes")


@blocking
def test_whatever_is_wrong_looks_alike(served: Server) -> None:
    answers = set()
    for name, password in (
        ("nobody", "wrong"),
        ("carol", "wrong"),
        ("erin", "-"),  # she has no password
        ("Carol", password_of("carol")),
        ('"carol "', password_of("carol")),
        ("carol", f'"{password_of("carol")} "'),
        ("carol", '"\\u0000"'),
        ("carol", f'"{password_of("carol")}\\u0000"'),
        ('"\\udcff"', '"\\udcff"'),
    ):
        with served.session() as session:
            session.send(f"login {name}", f"password {password}")
            session.expect(PASSWORD_REQUIRED)
            answers.add(session.line())
            assert answer_to(session, "pwd").startswith(LOGIN_REQUIRED)
    assert answers == {LOGIN_FAILED}


@blocking
def test_out_of_turn(served: Server) -> None:
    with served.session() as session:
        session.send(f"password {password_of('carol')}", "login", "password", "login a  b", 'login "a" "b"')
        session.expect(LOGIN_FAILED, SYNTAX, SYNTAX, PASSWORD_REQUIRED, SYNTAX)
        # The last name counts, and once.
        session.send("login alice", "login carol", f"password {password_of('carol')}")
        session.expect(PASSWORD_REQUIRED, PASSWORD_REQUIRED, LOGGED_IN)
        session.send(f"password {password_of('carol')}")
        session.expect(LOGIN_FAILED)
        assert session.get("f") == b"abc"
        # None of this has counted as a wrong password.
        fail_to_log_in(session, times=4)
        assert session.is_answered()


@blocking
def test_a_second_login_makes_one_somebody_else(served: Server) -> None:
    with session_of(served, "carol") as session:
        assert answer_to(session, "cd d") == "SUCCESS: Directory changed."
        fail_to_log_in(session, "alice")
        assert session.get("own") == b"of d"  # carol still
        log_in(session, "alice")
        assert session.ls() == [b"own"]
        assert session.get("own") == b"of alice"
        log_in(session, "may-drop")
        assert answer_to(session, "get f").startswith(DENIED)


@pytest.mark.parametrize("name", SPELLED)
@blocking
def test_secrets_of_every_kind(served: Server, name: str) -> None:
    with served.session() as session:
        log_in(session, name, SPELLED[name])
        assert session.get("f") == b"abc"


@blocking
def test_the_fifth_failure_is_the_last(served: Server) -> None:
    with served.session() as session:
        fail_to_log_in(session, "carol", 2)
        fail_to_log_in(session, "nobody", 2)
        session.send("login carol", "password wrong", "login carol", f"password {password_of('carol')}")
        session.expect(PASSWORD_REQUIRED, LOGIN_FAILED, TOO_MANY_FAILURES)
        assert session.ended()


@blocking
def test_failures_are_not_forgotten(served: Server) -> None:
    """Not by a login between them, nor by turning to TLS."""
    with served.session() as session:
        fail_to_log_in(session, times=2)
        log_in(session, "carol")
        fail_to_log_in(session, times=1)
        session.send("starttls")
        session.expect("SUCCESS: Begin TLS.")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        session.socket = context.wrap_socket(session.socket)
        assert answer_to(session, "get f").startswith(LOGIN_REQUIRED)  # carol is forgotten
        fail_to_log_in(session, times=2)
        session.expect(TOO_MANY_FAILURES)
        session.socket.close()


# What one may do.


@pytest.mark.parametrize("name", MAY)
@blocking
def test_permissions(served: Server, name: str) -> None:
    with session_of(served, f"may-{name}") as session:
        for command, needed in VERBS.items():
            answer = answer_to(session, command)
            assert answer.startswith(DENIED) == (needed is not None and needed not in MAY[name]), command
        # Who is refused is told nothing of what there is.
        for verb, needed in (("ls", "list"), ("stat", "list"), ("get", "get"), ("rm", "delete")):
            if needed not in MAY[name]:
                assert len({answer_to(session, f"{verb} {each}") for each in ("f", "none", "d", "f/x")}) == 1
    assert sorted(each.name for each in served.root.iterdir()) == ["alice", "bob", "d", "f"]


# What one sees.


@blocking
def test_a_root_of_ones_own(served: Server) -> None:
    with session_of(served, "alice") as alice, session_of(served, "bob") as bob:
        for spelling in ("own", "/own", "../own", "../../alice/../own", "/../own"):
            assert alice.get(spelling) == b"of alice"
            assert bob.get(spelling) == b"of bob"
        for command in ("get bob/own", "get ../bob/own", "get /bob/own", "cd ../bob", "stat ../f", "ls ../d"):
            assert answer_to(alice, command).startswith(MISSING), command
        assert answer_to(alice, "cd ..") == "SUCCESS: Directory changed."
        alice.put("../../new", b"of alice, too")
        assert (served.root / "alice" / "new").read_bytes() == b"of alice, too"
        assert answer_to(alice, 'mv "new" "../bob/new"').startswith(MISSING)
        assert answer_to(bob, "get new").startswith(MISSING)
        assert alice.ls("..") == [b"new", b"own"]
        assert bob.ls() == [b"own"]
        assert answer_to(alice, "rmdir /").startswith(DENIED)
        assert answer_to(alice, "rm new") == "SUCCESS: File removed."


def _leave_a_partial(session: Session, name: str) -> None:
    session.begin_put(name, 10).sendall(b"12345")
    session.send("FAILURE: Transfer cancelled.")
    session.expect("FAILURE: Transfer cancelled.")


def _partial_size(session: Session, name: str) -> str:
    session.send(f"stat {name}")
    line = session.line()
    if line == "Type: none":
        line = session.line()
        session.expect("SUCCESS: Described.")
    return line


@blocking
def test_what_arrived_is_its_users_from_any_host(served: Server) -> None:
    with session_of(served, "carol") as carol:
        _leave_a_partial(carol, "part")
        assert _partial_size(carol, "part") == "Partial size: 5 bytes"
        with session_of(served, "dave") as dave:
            assert _partial_size(dave, "part").startswith(MISSING)
            dave.send("put part")
            dave.expect(TO_RECEIVE)
            with dave.listen() as listener:
                dave.send("File size: 10 bytes", "Start offset: 5 bytes", listener.announcement)
                dave.expect("FAILURE: Offset not valid.")
            assert not [each for each in dave.ls() if b"part" in each]
        assert _partial_size(carol, "part") == "Partial size: 5 bytes"
    with session_of(served, "carol", source="127.0.0.9") as carol:
        assert _partial_size(carol, "part") == "Partial size: 5 bytes"
        with carol.begin("put part", TO_RECEIVE, "File size: 10 bytes", "Start offset: 5 bytes") as data:
            data.sendall(b"67890")
        carol.send("Transfer complete: part")
        carol.expect("Transfer complete: part", "SUCCESS: File transferred successfully.")
        assert carol.get("part") == b"1234567890"
        assert answer_to(carol, "rm part") == "SUCCESS: File removed."


@blocking
def test_anybody_may_store(serve: Callable[..., Server], tmp_path: Path) -> None:
    """Nothing else, unless he is somebody."""
    users = write_users(tmp_path / "users", line_of("carol"))
    server = serve("--users", users, "--anonymous", "drop")
    (server.root / "d").mkdir()
    (server.root / "f").write_bytes(b"abc")
    with server.session() as session:
        for command, needed in VERBS.items():
            assert answer_to(session, command).startswith(DENIED) == (needed not in ("put", None)), command
        session.put("/g", b"def")
        session.put("/d/g", b"def")
        assert answer_to(session, "get g").startswith(DENIED)
        assert answer_to(session, "rm g").startswith(DENIED)
        with session.begin("put /h", TO_RECEIVE, "File size: 5 bytes") as data:
            data.sendall(b"12345")
        session.send("Transfer complete: /h")
        session.expect("Transfer complete: /h", "SUCCESS: File transferred successfully.")
        # It replaces nothing, not what it has stored itself either.
        for name in ("/f", "/g", "/d/g"):
            assert answer_to(session, f"put {name}").startswith("FAILURE: File exists.")
        with server.session() as other:
            one, two = session.begin_put("/i", 3), other.begin_put("i", 3)
            one.sendall(b"one")
            two.sendall(b"two")
            one.close()
            two.close()
            session.send("Transfer complete: /i")
            session.expect("Transfer complete: /i", "SUCCESS: File transferred successfully.")
            other.send("Transfer complete: i")
            other.expect("FAILURE: File exists.")
        assert (server.root / "i").read_bytes() == b"one"
        (server.root / "i").unlink()
        log_in(session, "carol")
        assert session.get("/d/g") == b"def"
        assert session.ls("/") == [b"d/", b"f", b"g", b"h"]


# What is never told.

_TALKATIVE = """
import sys
import argon2
from twisted.cred.portal import Portal
from twisted.internet import defer
from twisted.logger import globalLogPublisher
from twisted.scripts.twistd import run

said = sys.stdout  # twistd has its own later, which logs

def show(event):
    told = {key: value for key, value in event.items() if key != "log_failure"}
    print("event", told, file=said, flush=True)
    if "log_failure" in event:
        print(event["log_failure"].getTraceback(detail="verbose"), file=said, flush=True)

def verify(hasher, hash, password):
    if b"breaks" in password:
        raise RuntimeError(password)
    return compare(hasher, hash, password)

def log_in(portal, credentials, *more):
    if credentials.username == b"breaks":
        raise RuntimeError("the portal")
    return enter(portal, credentials, *more)

compare, argon2.PasswordHasher.verify = argon2.PasswordHasher.verify, verify
enter, Portal.login = Portal.login, log_in
defer.setDebugging(True)
globalLogPublisher.addObserver(show)
sys.argv = sys.argv[1:]
run()
"""
"""twistd that tells all it can of everything, and in which argon2 or the portal may break."""


@blocking
def test_no_secret_is_ever_logged(serve: Callable[..., Server], tmp_path: Path) -> None:
    users = write_users(tmp_path / "users", f"carol {cheap_hash('hunter2-right')}")
    server = serve("--users", users, before=[sys.executable, "-c", _TALKATIVE])
    (server.root / "f").write_bytes(b"abc")
    with server.session() as session:
        session.send("password hunter2", "PASSWORD hunter2", "Password hunter2 ", "password  hunter2")
        session.expect(LOGIN_FAILED, LOGIN_FAILED, SYNTAX, SYNTAX)
        session.send('password "hunter2', 'password "hunter2" "hunter2"', b"password hunter2\xff")
        session.expect(SYNTAX, SYNTAX, "ERROR: Not UTF-8.")
        session.send("password: hunter2", "passwort hunter2", "Password: hunter2", "SUCCESS: hunter2")
        session.expect(*["ERROR: Unknown command."] * 3, UNEXPECTED)
        session.send("login carol", "PassWord hunter2-right")
        session.expect(PASSWORD_REQUIRED, LOGGED_IN)
        session.send("get f", "password hunter2")  # where a port was due
        session.expect(TO_SEND, UNEXPECTED, LOGIN_FAILED)
        session.begin("get f", TO_SEND)
        session.expect("File size: 3 bytes", "Transfer complete: f")
        session.send("password hunter2", "abort")  # behind a transfer, and cancelled with it
        session.expect("FAILURE: Transfer cancelled.", "FAILURE: Transfer cancelled.")
    with server.session() as session:
        session.send("login carol", "password hunter2-breaks")
        session.expect(PASSWORD_REQUIRED, LOGIN_FAILED)
        session.send("login breaks", "password hunter2")
        session.expect(PASSWORD_REQUIRED, "ERROR: Internal error.")
        session.send("login carol", "password hunter2-late")
        session.expect(PASSWORD_REQUIRED)
    with server.session() as session:
        session.send("login carol", "password hunter2" + "x" * 9000)
        session.expect(PASSWORD_REQUIRED, "ERROR: Line too long.")
    server.logged("RuntimeError of argon2")
    server.logged("the portal")
    server.logged("event .*verb.*password")
    eventually(lambda: len([line for line in server.log if re.search(r"^event .*'password'", line)]) >= 12)
    server.terminate()
    server.wait_for_end()
    assert not [line for line in server.log if "hunter2" in line or "$argon2" in line]
    server.log.clear()
