"""Certificates by hand: a client's, which logs it in, and the server's, which changes while it runs."""

from __future__ import annotations

import contextlib
import os
import signal
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from accounts import DENIED, LOGIN_REQUIRED, answer_to, line_of, log_in, write_users
from harness import BIG, Server, blocking, empty, make_big
from pki import authority, authority_file, fingerprint, server_files, stranger, trusting
from raw import BEGIN_TLS, MISSING, NOTHING, TO_RECEIVE, TO_SEND, TRANSFERRED, Session, finish


def shown_by(session: Session) -> str:
    """The fingerprint of the server's certificate."""
    assert isinstance(session.socket, ssl.SSLSocket)
    return fingerprint(session.socket)


# A client's.


@pytest.fixture(scope="module")
def server_of_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for those who log in, by certificate or password."""
    folder = tmp_path_factory.mktemp("users")
    (folder / "tree").mkdir()
    users = write_users(
        folder / "users",
        line_of("alice"),
        "bob - permissions=read certificate=bob@example.org",
        "carol@example.org - permissions=read",
    )
    options = ("--users", users, "--client-ca", authority_file(folder), *server_files(folder))
    server = Server(folder / "tree", *options)
    yield server
    server.stop()


@pytest.fixture
def closed(server_of_users: Server) -> Iterator[Server]:
    """The same with one file, and an empty log."""
    empty(server_of_users.root)
    server_of_users.log.clear()
    (server_of_users.root / "f").write_bytes(b"abc")
    yield server_of_users
    server_of_users.check()


def named(common_name: str, *others: str) -> trustme.LeafCert:
    """A certificate for somebody."""
    return authority().issue_cert(*others, common_name=common_name)


@contextlib.contextmanager
def shows(server: Server, certificate: trustme.LeafCert | None) -> Iterator[Session]:
    """A session of a client that shows this."""
    with server.session() as session:
        session.starttls(trusting(certificate))
        yield session


def is_refused(server: Server, certificate: trustme.LeafCert, how: str) -> None:
    """With this nobody gets in; TLS 1.3 tells it behind the client's part of the handshake."""
    with server.session() as session:
        session.send("starttls")
        session.expect(BEGIN_TLS)

        def ask() -> str:
            session.turn(trusting(certificate))
            session.send("get f")
            return session.line()

        with pytest.raises(OSError, match=how):
            ask()


@blocking
def test_who_shows_a_certificate_is_logged_in(closed: Server) -> None:
    with shows(closed, named("alice")) as session:
        assert answer_to(session, "mkdir d") == "SUCCESS: Directory made."
        with session.join(session.offer("get f", TO_SEND)) as data:
            assert data.rest() == b"abc"
        session.expect("File size: 3 bytes", "Transfer complete: f")
        session.send("Transfer complete: f")
        session.expect(TRANSFERRED)
    closed.logged(r"alice@127\.0\.0\.1:\d+ get f SUCCESS")
    for others in (("bob@example.org",), ("files.example.org", "bob@example.org")):
        with shows(closed, named("Robert", *others)) as session:
            assert answer_to(session, "get none") == MISSING
            assert answer_to(session, "mkdir e").startswith(DENIED)
    with shows(closed, named("whoever", "carol@example.org")) as session:
        assert answer_to(session, "get none") == MISSING
    closed.logged(r"carol@example\.org@127\.0\.0\.1:\d+ get none FAILURE")


@blocking
def test_who_does_not(closed: Server) -> None:
    """A certificate of nobody known, or of two, is as good as none: the session goes on."""
    two = named("alice", "bob@example.org")
    for certificate in (None, named("mallory"), named("ALICE"), named("alice "), named("alice\0"), two):
        with shows(closed, certificate) as session:
            assert answer_to(session, "get f").startswith(LOGIN_REQUIRED), certificate
            log_in(session, "alice")
            assert answer_to(session, "get none") == MISSING


@blocking
def test_who_logs_in_beside_it(closed: Server) -> None:
    with shows(closed, named("Robert", "bob@example.org")) as session:
        assert answer_to(session, "mkdir d").startswith(DENIED)
        log_in(session, "alice")
        assert answer_to(session, "mkdir d") == "SUCCESS: Directory made."


@blocking
def test_one_of_another_authority(closed: Server) -> None:
    """It is no handshake, whatever name stands in it."""
    is_refused(closed, stranger().issue_cert(common_name="alice"), r"UNKNOWN_CA|EOF|reset")
    closed.logged("did not turn to TLS")
    with shows(closed, named("alice")) as session:
        assert session.is_answered()


@blocking
def test_one_that_has_expired(closed: Server) -> None:
    began = datetime(2020, 1, 1, tzinfo=UTC)
    old = authority().issue_cert(common_name="alice", not_before=began, not_after=began + timedelta(days=1))
    is_refused(closed, old, r"EXPIRED|EOF|reset")


@blocking
def test_data_channels_ask_for_none(closed: Server) -> None:
    """The token says whose they are: one that shows another certificate, or none, does no harm."""
    with shows(closed, named("alice")) as session:
        session.context = trusting()
        with session.join(session.offer("get f", TO_SEND)) as data:
            assert data.rest() == b"abc"
        session.expect("File size: 3 bytes", "Transfer complete: f")


@blocking
def test_any_of_the_authority(serve: Callable[..., Server], tmp_path: Path) -> None:
    """Without a users file, whoever has one is a user; others are not."""
    server = serve("--client-ca", authority_file(tmp_path), *server_files(tmp_path))
    with shows(server, named("dave")) as session:
        assert answer_to(session, "mkdir d") == "SUCCESS: Directory made."
    server.logged(r"dave@127\.0\.0\.1:\d+ mkdir d SUCCESS")
    with shows(server, None) as session:
        assert answer_to(session, "mkdir e").startswith(LOGIN_REQUIRED)
    with server.session() as session:
        assert answer_to(session, "mkdir e").startswith(LOGIN_REQUIRED)


@blocking
def test_at_an_endpoint_of_tls(serve: Callable[..., Server], tmp_path: Path) -> None:
    options = ("--client-ca", authority_file(tmp_path), *server_files(tmp_path))
    server = serve(*options, listen="ssl:0:interface=127.0.0.1")
    with server.session(greeted=False) as session:
        session.turn(trusting(named("dave")), first=True)
        assert answer_to(session, "mkdir d") == "SUCCESS: Directory made."


# The server's, read again.


@blocking
def test_a_new_certificate(serve: Callable[..., Server], tmp_path: Path) -> None:
    """Sessions and transfers that there are go on; whoever comes then sees the new one."""
    server = serve(*server_files(tmp_path), "--stall-timeout", "5")
    make_big(server.root)
    first = server.logged(r"certificate is (sha256:\w+)")[1]
    with server.session() as session, server.session() as uploading:
        session.starttls(trusting())
        uploading.starttls(trusting())
        assert shown_by(session) == first
        download = session.join(session.offer("get big", TO_SEND))
        session.expect(f"File size: {BIG} bytes")
        received = len(download.socket.recv(1000))
        upload = uploading.join(uploading.offer("put new", TO_RECEIVE, "File size: 6 bytes"))
        upload.socket.sendall(b"abc")
        server_files(tmp_path)
        os.kill(server.pid, signal.SIGHUP)
        second = server.logged(r"certificate was read again: (sha256:\w+)")[1]
        assert second != first
        with server.session() as other:
            other.starttls(trusting())
            assert shown_by(other) == second
            assert other.is_answered()
        assert received + len(download.rest()) == BIG
        session.expect("Transfer complete: big")
        session.send("Transfer complete: big")
        session.expect(TRANSFERRED)
        upload.socket.sendall(b"def")
        finish(upload.socket)
        uploading.send("Transfer complete: new")
        uploading.expect("Transfer complete: new", TRANSFERRED)
        # The old sessions may have data channels as before.
        with session.join(session.offer("get new", TO_SEND)) as data:
            assert data.rest() == b"abcdef"


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("cert.pem", "nonsense"),
        ("cert.pem", ""),
        ("key.pem", "nonsense"),
        ("key.pem", None),
        ("cert.pem", None),
        ("key.pem", "other"),
    ],
)
@blocking
def test_a_broken_certificate(secure_for_reload: Server, file: str, content: str | None) -> None:
    """The old one stays, and the log says which file it was."""
    server, folder = secure_for_reload, secure_for_reload.root.parent
    whole = {name: (folder / name).read_text() for name in ("cert.pem", "key.pem")}
    with server.session() as session:
        session.starttls(trusting())
        first = shown_by(session)
        if content is None:
            (folder / file).unlink()
        elif content == "other":
            trustme.CA().issue_cert("localhost").private_key_pem.write_to_path(folder / file)
        else:
            (folder / file).write_text(content)
        os.kill(server.pid, signal.SIGHUP)
        server.logged(rf"certificate stays as it was: .*{folder}/{file}")
        with server.session() as other:
            other.starttls(trusting())
            assert shown_by(other) == first
            assert other.is_answered()
        assert session.is_answered()
        for name, text in whole.items():
            (folder / name).write_text(text)
        server.log.clear()  # of the error that was wanted
        os.kill(server.pid, signal.SIGHUP)
        assert server.logged(r"certificate was read again: (sha256:\w+)")[1] == first


@pytest.fixture(scope="module")
def reloading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server beside whose tree its certificate lies."""
    folder = tmp_path_factory.mktemp("reloading")
    (folder / "tree").mkdir()
    server = Server(folder / "tree", *server_files(folder))
    yield server
    server.stop()


@pytest.fixture
def secure_for_reload(reloading: Server) -> Iterator[Server]:
    """The same with an empty log."""
    reloading.log.clear()
    yield reloading
    reloading.check()


@blocking
def test_a_signal_while_a_handshake_is_made(reloading: Server) -> None:
    with reloading.session() as session:
        session.send("starttls")
        session.expect(BEGIN_TLS)
        reloading.log.clear()
        os.kill(reloading.pid, signal.SIGHUP)
        reloading.logged("certificate was read again")
        session.turn(trusting())
        session.send("noop")
        session.expect(NOTHING)
