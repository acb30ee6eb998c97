"""starttls by hand: what begins anew, what must not have come before, and handshakes that fail."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from accounts import LOGIN_REQUIRED, line_of, log_in, write_users
from harness import BIG, OPENLY, Server, blocking, eventually
from pki import fingerprint, server_files, trusting
from raw import (
    BEGIN_TLS,
    CROWDED,
    MISSING,
    NOTHING,
    SHUTTING_DOWN,
    SYNTAX,
    TIMED_OUT,
    TO_SEND,
    TRANSFERRED,
    UNENCRYPTED,
    UNKNOWN,
    UNSUPPORTED,
    Session,
    cut,
    is_dropped,
    reset,
)

LISTED_FEATURES = "SUCCESS: Features listed."
GOODBYE = "SUCCESS: Goodbye."


def features(session: Session) -> list[str]:
    """What is offered."""
    session.send("features")
    return list(iter(session.line, LISTED_FEATURES))


# What begins anew.


@blocking
def test_the_session_begins_anew(secure: Server) -> None:
    (secure.root / "d").mkdir()
    with secure.session() as session:
        assert "Feature: tls" in features(session)
        session.send("cd d", "starttls")
        session.expect("SUCCESS: Directory changed.", BEGIN_TLS)
        session.turn(trusting())
        # No greeting comes, and the folder is forgotten.
        session.send("pwd")
        session.expect("Directory: /", "SUCCESS: Described.")
        offered = features(session)
        assert "Feature: tls" not in offered
        assert {"Feature: passive", "Feature: token"} <= set(offered)
        session.send("quit")
        session.expect(GOODBYE)
        assert session.ended()


@blocking
def test_a_login_is_forgotten(serve: Callable[..., Server], tmp_path: Path) -> None:
    users = write_users(tmp_path / "users", line_of("alice"))
    server = serve("--users", users, *server_files(tmp_path))
    with server.session() as session:
        log_in(session, "alice")
        session.send("stat .")
        session.expect("Type: directory")
        while session.line() != "SUCCESS: Described.":
            pass
        session.send("login alice")
        session.expect("SUCCESS: Password required.")
        session.starttls(trusting())
        session.send("password the secret of alice", "stat .")
        session.expect("FAILURE: Login failed.", LOGIN_REQUIRED)
        log_in(session, "alice")
        session.send("pwd")
        session.expect("Directory: /", "SUCCESS: Described.")


@blocking
def test_inside_there_is_no_second_time(secure: Server) -> None:
    with secure.session() as session:
        session.starttls(trusting())
        session.send("starttls", "noop", "starttls", "noop")
        session.expect(*[UNSUPPORTED, NOTHING] * 2)


@blocking
def test_without_a_certificate(server: Server) -> None:
    with server.session() as session:
        assert "Feature: tls" not in features(session)
        session.send("starttls", "noop")
        session.expect(UNSUPPORTED, NOTHING)


@blocking
def test_an_argument(secure: Server) -> None:
    with secure.session() as session:
        session.send("starttls now")
        session.expect(SYNTAX)
        assert session.is_answered()


@blocking
def test_commands_before_it_are_answered(secure: Server) -> None:
    """They may wait in line before it; nothing may behind it."""
    with secure.session() as session:
        session.send("what", "noop", "mkdir d", "get none", "starttls")
        session.expect(UNKNOWN, NOTHING, "SUCCESS: Directory made.", MISSING, BEGIN_TLS)
        session.turn(trusting())
        assert session.is_answered()


@blocking
def test_at_step_3_it_is_run_itself(secure: Server) -> None:
    with secure.session() as session:
        session.send("get f", "starttls")
        session.expect(TO_SEND, "ERROR: Unexpected message.", BEGIN_TLS)
        session.turn(trusting())
        assert session.is_answered()


@blocking
def test_during_a_transfer_it_waits(secure: Server) -> None:
    with secure.session() as session:
        data = session.begin_get("f", 5)
        session.send("starttls")
        assert data.recv(100) == b"small"
        session.expect("Transfer complete: f")
        session.send("abort")  # it waits before this, and ends with the transfer
        session.expect(*["FAILURE: Transfer cancelled."] * 2)
        assert session.is_answered()


# What must not have come.


@pytest.mark.parametrize(
    "behind",
    [
        "mkdir evil\n",
        "mkdir evil",
        "m",
        "\n",
        "noop\nmkdir evil\n",
        "starttls\nmkdir evil\n",
        "quit\n",
        "Data channel token: 0123456789abcdef0123456789abcdef\n",
        "put evil\nFile size: 0 bytes\nData channel port: passive\n",
    ],
)
@pytest.mark.parametrize("before", ["", "noop\n", "noop\nmkdir d\n"])
@blocking
def test_what_comes_behind_it_in_the_clear(secure: Server, before: str, behind: str) -> None:
    """Nothing of it is run, in the clear or inside, and there is no word but for what was asked before."""
    with secure.session(first=f"{before}starttls\n{behind}".encode()) as session:
        said = []
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                said.append(session.line())
        answers = {"noop": NOTHING, "mkdir d": "SUCCESS: Directory made."}
        due = [answers[line] for line in before.splitlines()]
        assert said == due[: len(said)]  # what was not read yet is lost with the connection
    assert not (secure.root / "evil").exists()


@blocking
def test_an_abort_behind_it(secure: Server) -> None:
    """While it waits in line it ends as every command does; a client that is told so does not turn."""
    with secure.session() as session:
        data = session.begin_get("big", BIG)
        session.send("starttls", "abort")
        session.expect(*["FAILURE: Transfer cancelled."] * 2)
        data.close()
        assert session.is_answered()


@pytest.mark.parametrize(
    "behind", [b"mkdir evil\n", b"\n", b"x" * 9000, b"\x16", b"\x16\x03\x01\xff\xff" * 5000]
)
@blocking
def test_what_comes_instead_of_a_handshake(secure: Server, behind: bytes) -> None:
    with secure.session() as session:
        session.send("starttls")
        session.expect(BEGIN_TLS)
        with contextlib.suppress(ConnectionError):
            session.socket.sendall(behind)
        with contextlib.suppress(ConnectionError):
            said = session.rest()
            assert said[:1] in (b"", b"\x15"), said  # an alert of TLS at most
    assert not (secure.root / "evil").exists()


@pytest.mark.parametrize("how", ["close", "half", "reset"])
@blocking
def test_a_client_that_goes_instead(secure: Server, how: str) -> None:
    rest = secure.descriptors_at_rest()
    with secure.session() as session:
        session.send("starttls")
        if how == "half":
            session.half_close()
            with contextlib.suppress(ConnectionError):
                told, _, alert = session.rest().partition(b"\n")
                assert told.decode() in ("", BEGIN_TLS)
                assert alert[:1] in (b"", b"\x15")
        elif how == "close":
            session.socket.close()
        else:
            reset(session.socket)
    eventually(lambda: secure.descriptors() <= rest)
    secure.logged("did not turn to TLS")


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01"])
@blocking
def test_a_handshake_that_never_comes(secure: Server, said: bytes) -> None:
    rest = secure.descriptors_at_rest()
    with secure.session() as session:
        session.send("starttls")
        session.expect(BEGIN_TLS)
        session.socket.sendall(said)
        began = time.monotonic()
        assert is_dropped(session.socket)
        assert 0.4 < time.monotonic() - began < 1.5
    secure.logged("did not turn to TLS: .*too long")
    eventually(lambda: secure.descriptors() <= rest)


@blocking
def test_a_server_that_stops_waits_for_no_handshake(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(*server_files(tmp_path))
    with server.session() as session:
        session.send("starttls")
        session.expect(BEGIN_TLS)
        began = time.monotonic()
        server.terminate()
        assert is_dropped(session.socket)
        server.wait_for_end()
        assert time.monotonic() - began < 2


# Which TLS.


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@blocking
def test_versions(secure: Server, version: ssl.TLSVersion) -> None:
    context = trusting()
    context.minimum_version = context.maximum_version = version
    with secure.session() as session:
        session.starttls(context)
        assert isinstance(session.socket, ssl.SSLSocket)
        assert session.socket.version() == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]
        assert session.is_answered()


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
@blocking
def test_old_versions(secure: Server, version: str) -> None:
    context = trusting()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    with secure.session() as session:
        session.send("starttls")
        session.expect(BEGIN_TLS)
        with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
            session.turn(context)


# Inside.


@blocking
def test_a_line_in_many_records_and_many_in_one(secure: Server) -> None:
    with secure.session() as session:
        session.starttls(trusting())
        for each in b"noop\n":
            session.socket.sendall(bytes([each]))
        session.expect(NOTHING)
        session.socket.sendall(b"noop\n" * 500)
        session.expect(*[NOTHING] * 500)


@blocking
def test_a_megabyte_sent_ahead(secure: Server) -> None:
    """More than waits in line: the server reads on when it has answered."""
    with secure.session() as session:
        session.starttls(trusting())
        line = b"stat " + b"/".join([b"none"] * 1000) + b"\n"
        session.socket.sendall(line * 200)
        session.expect(*["FAILURE: Name not allowed."] * 200)
        assert session.is_answered()


@blocking
def test_a_line_that_is_too_long(secure: Server) -> None:
    with secure.session() as session:
        session.starttls(trusting())
        session.socket.sendall(b"x" * 20_000)
        session.expect("ERROR: Line too long.")
        assert session.ended()


@blocking
def test_a_silent_session_and_a_server_that_stops(serve: Callable[..., Server], tmp_path: Path) -> None:
    """The last words come inside TLS, and behind them its close."""
    server = serve("--idle-timeout", "1", *server_files(tmp_path))
    with server.session() as session:
        session.starttls(trusting())
        assert session.is_answered()
        session.expect(TIMED_OUT)
        assert session.ended()
    with server.session() as session:
        session.starttls(trusting())
        assert session.is_answered()
        server.terminate()
        session.expect(SHUTTING_DOWN)
        assert session.ended()
    server.wait_for_end()


@pytest.mark.parametrize("how", ["close", "cut", "reset"])
@blocking
def test_a_client_that_goes(secure: Server, how: str) -> None:
    """TLS has no half: what it said before is answered, but it hears nothing more."""
    rest = secure.descriptors_at_rest()
    with secure.session() as session:
        session.starttls(trusting())
        session.send("mkdir d")
        assert isinstance(session.socket, ssl.SSLSocket)
        if how == "reset":
            session.expect("SUCCESS: Directory made.")
            reset(session.socket)
        elif how == "cut":
            session.expect("SUCCESS: Directory made.")
            cut(session.socket)
            assert is_dropped(session.socket)
        else:
            session.expect("SUCCESS: Directory made.")
            session.socket.unwrap()
    eventually(lambda: secure.descriptors() <= rest)
    assert (secure.root / "d").is_dir()


@blocking
def test_a_running_transfer_ends_with_its_session(secure: Server) -> None:
    rest = secure.descriptors_at_rest()
    with secure.session() as session:
        session.starttls(trusting())
        data = session.join(session.offer("get big", TO_SEND))
        assert data.socket.recv(1000)
        cut(session.socket)
        with pytest.raises(OSError, match=r"EOF|reset"):
            data.rest()
    secure.logged(" get big ERROR .* Connection lost")
    eventually(lambda: secure.descriptors() <= rest)


# TLS from the first byte.


@pytest.fixture
def direct(serve: Callable[..., Server], tmp_path: Path) -> Iterator[Server]:
    """A server that speaks nothing else, to one session at a time."""
    options = ("--connect-timeout", "0.5", "--max-sessions", "1", *server_files(tmp_path))
    server = serve(*options, listen="ssl:0:interface=127.0.0.1")
    (server.root / "f").write_bytes(b"abc")
    yield server
    assert server.process.poll() is None


@contextlib.contextmanager
def session_inside(server: Server) -> Iterator[Session]:
    """A session at an endpoint that speaks TLS alone."""
    with server.session(greeted=False) as session:
        session.turn(trusting(), first=True)
        yield session


@blocking
def test_from_the_first_byte(direct: Server) -> None:
    with session_inside(direct) as session:
        session.send("starttls")
        session.expect(UNSUPPORTED)
        token = session.offer("get f", TO_SEND)
        with session.join(token) as data:
            assert data.rest() == b"abc"
        session.expect("File size: 3 bytes", "Transfer complete: f")
        session.send("Transfer complete: f")
        session.expect(TRANSFERRED)
        # One more than there may be does not get as far as a handshake.
        with direct.session(greeted=False) as more, pytest.raises(OSError, match=r"EOF|reset"):
            more.turn(trusting(), first=True)
        # Who might be a data channel does, and is told when it turns out that it is none.
        token = session.offer("get f", TO_SEND)
        with session.beside() as more:
            more.send("noop")
            more.expect(CROWDED)
            assert more.ended()
        with session.join(token) as data:
            assert data.rest() == b"abc"
        session.expect("File size: 3 bytes", "Transfer complete: f")
        session.send("Transfer complete: f")
        session.expect(TRANSFERRED)
        assert "Feature: tls" not in features(session)


@blocking
def test_plain_text_there(direct: Server) -> None:
    with session_inside(direct) as session:
        assert session.is_answered()
        rest = direct.descriptors()
    eventually(lambda: direct.descriptors() < rest)
    for said in (b"noop\n", b"starttls\n", b"GET / HTTP/1.1\r\n\r\n", b""):
        with direct.session(greeted=False, first=said) as stranger, contextlib.suppress(ConnectionError):
            answer = stranger.rest()
            assert answer[:1] in (b"", b"\x15"), answer
        eventually(lambda: direct.descriptors() < rest)
    with session_inside(direct) as session:
        assert session.is_answered()


@blocking
def test_tls_at_the_wrong_door(secure: Server) -> None:
    with secure.session() as session, pytest.raises(OSError, match=r"EOF|reset"):
        session.turn(trusting())


# Where TLS is demanded.

ALL = (
    *("ls", "ls d", "get f", "put g", "pwd", "cd d", "mkdir e", "rmdir d", "rm f", 'mv "f" "g"', "stat f"),
    *("checksum f", "login alice", "password x"),
)


@blocking
def test_where_it_is_demanded(serve: Callable[..., Server], tmp_path: Path) -> None:
    users = write_users(tmp_path / "users", line_of("alice"))
    accounts = ("--users", users, "--anonymous", "write")
    server = serve("--require-tls", *accounts, *server_files(tmp_path))
    (server.root / "f").write_bytes(b"abc")
    (server.root / "d").mkdir()
    with server.session() as session:
        assert "Feature: tls" in features(session)
        session.send("noop", "help")
        session.expect(NOTHING)
        while session.line() != "SUCCESS: Help listed.":
            pass
        for command in ALL:
            session.send(command)
            session.expect(UNENCRYPTED)
        session.starttls(trusting())
        for command in ("get none", "stat none", "rm none", "ls none"):
            session.send(command)
            session.expect(MISSING)
        log_in(session, "alice")
    with server.session() as session:
        session.send("quit")
        session.expect(GOODBYE)
    assert (server.root / "f").read_bytes() == b"abc"


@pytest.mark.parametrize("option", [(), ("--no-require-tls",)])
@blocking
def test_beyond_loopback(serve: Callable[..., Server], tmp_path: Path, option: tuple[str, ...]) -> None:
    """There it is demanded where there is a certificate, unless the operator says otherwise."""
    server = serve(*OPENLY, *option, *server_files(tmp_path), listen="tcp:0:interface=0.0.0.0")
    server.address = ("127.0.0.1", server.address[1])
    with server.session() as session:
        session.send("get none")
        session.expect(MISSING if option else UNENCRYPTED)
        session.starttls(trusting())
        session.send("get none")
        session.expect(MISSING)


@blocking
def test_behind_a_proxy(serve: Callable[..., Server], tmp_path: Path) -> None:
    """What it says of the client outlives the turn to TLS."""
    header = b"PROXY TCP4 203.0.113.7 203.0.113.1 50000 2121\r\n"
    options = (*OPENLY, "--max-sessions-per-host", "1", *server_files(tmp_path))
    server = serve(*options, listen="haproxy:tcp:0:interface=127.0.0.1")
    (server.root / "f").write_bytes(b"abc")
    with server.session(header=header) as session:
        session.send("ls")
        session.expect(UNENCRYPTED)
        session.starttls(trusting())
        session.send("get f", "Data channel token: " + "0" * 32, "Data channel port: 5000")
        session.expect(TO_SEND, UNSUPPORTED)
        server.logged(r" 203\.0\.113\.7:50000 get f FAILURE")
        with session.join(session.offer("get f", TO_SEND)) as data:
            assert data.rest() == b"abc"
        session.expect("File size: 3 bytes", "Transfer complete: f")
        session.send("Transfer complete: f")
        session.expect(TRANSFERRED)
        with server.session(header=header) as more:
            more.send("starttls")
            assert more.line().startswith((CROWDED, BEGIN_TLS))
        with server.session(header=header.replace(b"113.7", b"113.8")) as other:
            other.starttls(trusting())
            assert other.is_answered()


@blocking
def test_a_self_signed_certificate(serve: Callable[..., Server], tmp_path: Path) -> None:
    """Made once, kept, and told in the log as clients tell it."""
    options = ("--tls", "self", "--tls-folder", str(tmp_path / "made"))
    told = []
    for _ in range(2):
        server = serve(*options)
        told.append(server.logged(r"certificate is (sha256:\w+)")[1])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(tmp_path / "made" / "ftplite-cert.pem")
        with server.session() as session:
            session.starttls(context)
            assert isinstance(session.socket, ssl.SSLSocket)
            assert fingerprint(session.socket) == told[0]
            assert session.is_answered()
    assert told[0] == told[1]


@blocking
def test_strangers_do_not_keep_others_from_their_handshakes(secure: Server) -> None:
    with contextlib.ExitStack() as strangers:
        for _ in range(20):
            stranger = strangers.enter_context(socket.create_connection(secure.address))
            stranger.sendall(b"starttls\n")
        with secure.session() as session:
            session.starttls(trusting())
            assert session.is_answered()
