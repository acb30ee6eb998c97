"""The client against servers that speak TLS, know users, or want to be connected to for data; and liars."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from argon2 import PasswordHasher
from harness import Server, blocking
from library import hear, in_reactor, reactor, say, scripted, session_with
from raw import GREETING, PATIENCE, TO_SEND, TRANSFERRED, read_all
from terminal import Terminal, client

from twisted_ftplite.client import TLS, Login, connect
from twisted_ftplite.errors import (
    CertificateRefused,
    ConnectionLost,
    ConnectionRefused,
    EncryptionRequired,
    LoginFailed,
    LoginRequired,
    NotSupported,
    PermissionDenied,
    ProtocolViolation,
)
from twisted_ftplite.limits import Limits

SECRET = "correct horse"
CONTENT = os.urandom(300_000)


class Papers:
    """An authority and what it has signed, as files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.authority = trustme.CA()
        self.ca = self._write("ca.pem", self.authority.cert_pem.bytes())
        self.users = self._write(
            "users", f"alice {PasswordHasher(1, 8192, 1).hash(SECRET)}\nbob - permissions=read\n".encode()
        )

    def _write(self, name: str, content: bytes) -> str:
        path = self._folder / name
        path.write_bytes(content)
        path.chmod(0o600)
        return str(path)

    def issue(self, *names: str, common_name: str | None = None) -> str:
        """A certificate with its key in one file."""
        leaf = self.authority.issue_cert(*names, common_name=common_name)
        return self._write(f"{names[0]}.pem", leaf.private_key_and_cert_chain_pem.bytes())

    def server(self, *names: str) -> tuple[str, ...]:
        """The options of a server."""
        certificate = self.issue(*(names or ("localhost", "127.0.0.1")))
        return "--tls-cert", certificate, "--tls-key", certificate


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    folder = tmp_path / "papers"
    folder.mkdir()
    return Papers(folder)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the client is."""
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


# TLS.


@pytest.mark.parametrize("data", ["active", "passive", "auto"])
@pytest.mark.parametrize("at_once", [False, True], ids=["starttls", "at once"])
@in_reactor
async def test_all_is_inside_tls(
    serve: Callable[..., Server], papers: Papers, place: Path, data: str, at_once: bool
) -> None:
    listen = "ssl:0:interface=127.0.0.1" if at_once else "tcp:0:interface=127.0.0.1"
    server = serve(*papers.server(), "--require-tls", listen=listen)
    (server.root / "there").write_bytes(CONTENT)
    tls = TLS(papers.ca, at_once=at_once, known_servers=str(place / "known"))
    async with session_with(server.address, tls=tls, data=data) as session:
        secured = session.secured
        assert secured is not None
        assert secured.version == "TLSv1.3"
        assert secured.starttls is not at_once
        for _ in range(2):
            got = await session.get("there", str(place / "got"))
            assert got.checksum is not None
            assert (place / "got").read_bytes() == CONTENT
            await session.put(str(place / "got"), "new")
            assert (server.root / "new").read_bytes() == CONTENT
        await session.cd("/")
        assert [each.name for each in await session.ls()] == ["new", "there"]
        assert len(await session.list()) == 2
        await session.quit()
    assert (place / "known").read_text() == f"127.0.0.1 {server.address[1]} ca\n"


@in_reactor
async def test_who_is_not_trusted(serve: Callable[..., Server], papers: Papers, place: Path) -> None:
    server = serve(*papers.server("elsewhere.example"))
    for tls in (None, TLS(papers.ca), TLS(pins=("sha256:" + "00" * 32,))):
        with pytest.raises(CertificateRefused, match="sha256:"):
            await connect(reactor, *server.address, tls=tls)
    answers: list[str] = []

    async def agree(question: str) -> bool:
        answers.append(question)
        return True

    tls = TLS(known_servers=str(place / "known"), ask=agree)
    for _ in range(2):
        async with session_with(server.address, tls=tls) as session:
            await session.ls()
    assert len(answers) == 1


@in_reactor
async def test_a_server_that_has_lost_its_tls(server: Server, place: Path) -> None:
    known = place / "known"
    known.write_text(f"127.0.0.1 {server.address[1]} ca\n")
    for tls in (
        TLS(known_servers=str(known)),
        TLS(pins=("sha256:" + "00" * 32,)),
    ):
        with pytest.raises(EncryptionRequired):
            await connect(reactor, *server.address, tls=tls)
    with pytest.raises(ConnectionLost):
        await connect(reactor, *server.address, tls=TLS(at_once=True))


def offer(lines: Any, *features: str) -> None:
    hear(lines, "features")
    say(lines, *(f"Feature: {each}" for each in features), "SUCCESS: Features listed.")


@pytest.mark.parametrize("more", [b"SUCCESS: Features listed.\n", b"x", b"\x16\x03\x01\x00\x05hello"])
@in_reactor
async def test_what_is_injected_behind_starttls(more: bytes) -> None:
    def script(lines: Any) -> None:
        say(lines, GREETING)
        offer(lines, "tls")
        hear(lines, "starttls")
        lines.write(b"SUCCESS: Begin TLS.\n" + more)
        assert lines.read() == b""

    with scripted(script) as address, pytest.raises(ProtocolViolation):
        await connect(reactor, *address)


@in_reactor
async def test_what_is_injected_a_little_later() -> None:
    def script(lines: Any) -> None:
        say(lines, GREETING)
        offer(lines, "tls")
        hear(lines, "starttls")
        lines.write(b"SUCCESS: Begin TLS.\n")
        assert lines.read(1) == b"\x16"  # it has turned to TLS
        lines.write(b"SUCCESS: Features listed.\n")
        with contextlib.suppress(ConnectionError):
            lines.read()

    with scripted(script) as address, pytest.raises(ConnectionLost):
        await connect(reactor, *address)


# Logins.


@in_reactor
async def test_logins(serve: Callable[..., Server], papers: Papers, place: Path) -> None:
    server = serve(*papers.server(), "--users", papers.users)
    tls = TLS(papers.ca)
    for data in ("active", "passive"):
        async with session_with(server.address, tls=tls, login=Login("alice", SECRET), data=data) as session:
            assert session.user == "alice"
            await session.ls()
    for name, secret in (("alice", "wrong"), ("carol", SECRET), ("bob", "")):
        with pytest.raises(LoginFailed):
            await connect(reactor, *server.address, tls=tls, login=Login(name, secret or "x"))
    async with session_with(server.address, tls=tls) as session:
        with pytest.raises(LoginRequired):
            await session.ls()
    assert SECRET not in "\n".join(server.log)


@in_reactor
async def test_a_login_in_the_clear_on_loopback(serve: Callable[..., Server], papers: Papers) -> None:
    server = serve("--users", papers.users)
    async with session_with(server.address, login=Login("alice", SECRET)) as session:
        await session.ls()


@in_reactor
async def test_a_certificate_that_logs_in(serve: Callable[..., Server], papers: Papers, place: Path) -> None:
    options = ("--users", papers.users, "--client-ca", papers.ca)
    server = serve(*papers.server(), *options)
    own = papers.issue("bob@example.org", common_name="bob")
    (server.root / "there").write_bytes(CONTENT)
    for data in ("active", "passive"):
        async with session_with(server.address, tls=TLS(papers.ca, certificate=own), data=data) as session:
            await session.get("there", str(place / "got"))
            with pytest.raises(PermissionDenied):
                await session.put(str(place / "got"), "new")


@in_reactor
async def test_a_server_that_knows_no_logins(server: Server) -> None:
    with pytest.raises(NotSupported, match="leave out the user"):
        await connect(reactor, *server.address, login=Login("alice", SECRET))
    async with session_with(server.address, login=Login("alice", SECRET, optional=True)) as session:
        assert session.user is None


@in_reactor
async def test_a_password_is_not_asked_for_where_it_would_not_be_safe() -> None:
    """A server on an address of this host that is no loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this host has no address but loopback")
        own = probe.getsockname()[0]

    async def never() -> str:
        raise AssertionError("It was asked.")

    heard: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        for _ in range(3):
            connection, _ = listener.accept()
            with connection, connection.makefile("rwb", buffering=0) as lines:
                say(lines, GREETING)
                offer(lines, "login")
                heard.append(lines.readline())
                if heard[-1]:
                    say(lines, "SUCCESS: Password required.")
                    heard.append(lines.readline())
                    say(lines, "SUCCESS: Logged in.")
                    lines.read()

    with socket.create_server((own, 0)) as listener:
        listener.settimeout(PATIENCE)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        address = (own, listener.getsockname()[1])
        with pytest.raises(EncryptionRequired, match="--insecure"):
            await connect(reactor, *address, login=Login("alice", never))
        async with session_with(address, login=Login("alice", never, optional=True)) as session:
            assert session.user is None
        async with session_with(address, login=Login("alice", SECRET, insecure=True)) as session:
            assert session.user == "alice"
        thread.join()
    assert heard == [b"", b"", b"login alice\n", f"password {SECRET}\n".encode()]


# Ways of data.


class Liar:
    """A server whose sessions a script plays, each connection given as lines; `port` is where it listens."""

    def __init__(self, script: Callable[[Liar, Any], None]) -> None:
        self._script = script
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE)
        self.address: tuple[str, int] = self.listener.getsockname()[:2]
        self.sock: socket.socket
        """The connection that was accepted last."""

        self.failed: list[BaseException] = []

    @contextlib.contextmanager
    def accept(self) -> Iterator[Any]:
        """The next connection."""
        connection, _ = self.listener.accept()
        connection.settimeout(PATIENCE)
        self.sock = connection
        with connection, connection.makefile("rwb", buffering=0) as lines:
            yield lines

    def run(self) -> None:
        try:
            with self.accept() as lines:
                self._script(self, lines)
        except BaseException as error:  # noqa: BLE001 - told below
            self.failed.append(error)


@contextlib.contextmanager
def lying(script: Callable[[Liar, Any], None]) -> Iterator[Liar]:
    liar = Liar(script)
    thread = threading.Thread(target=liar.run)
    thread.start()
    try:
        yield liar
    finally:
        thread.join()
        liar.listener.close()
        assert liar.failed == []


TOKEN = "0123456789abcdef" * 2
JOINED = "SUCCESS: Data channel ready."


def token_of(lines: Any) -> str:
    name, _, token = lines.readline().decode().rstrip("\n").partition(": ")
    assert name == "Data channel token"
    assert len(token) == 32
    return str(token)


def port_of(lines: Any) -> str:
    name, _, port = lines.readline().decode().rstrip("\n").partition(": ")
    assert name == "Data channel port"
    return str(port)


def send_passively(liar: Liar, lines: Any, content: bytes, behind: bytes = b"") -> None:
    """The server's part of a passive get, from step 3 on."""
    assert port_of(lines) == "passive"
    say(
        lines,
        TO_SEND,
        f"File size: {len(content)} bytes",
        "Data channel port: 1",
        f"Data channel token: {TOKEN}",
    )
    with liar.accept() as data:
        say(data, GREETING)
        hear(data, f"Data channel token: {TOKEN}")
        data.write((JOINED + "\n").encode() + content)
    finish(lines)


def finish(lines: Any) -> None:
    say(lines, "Transfer complete: f")
    hear(lines, "Transfer complete: f")
    say(lines, TRANSFERRED)


@pytest.mark.parametrize("refusal", ["ERROR: Connection refused.", "ERROR: Port not allowed.", ""])
@in_reactor
async def test_falling_back_once_and_for_the_session(refusal: str, place: Path) -> None:
    """Where nothing is said, it takes the three seconds that the client waits."""

    def script(liar: Liar, lines: Any) -> None:
        say(lines, GREETING)
        offer(lines, "passive", "token")
        hear(lines, "get f")
        token_of(lines)
        assert port_of(lines) != "passive"
        say(lines, TO_SEND)
        if not refusal:
            hear(lines, "abort")
        say(lines, refusal or "FAILURE: Transfer cancelled.")
        for _ in range(2):
            hear(lines, "get f")
            send_passively(liar, lines, b"content")
        lines.read()

    with lying(script) as liar:
        async with session_with(liar.address) as session:
            began = reactor.seconds()
            await session.get("f", str(place / "f"))
            assert (reactor.seconds() - began > 2.9) == (refusal == "")
            assert (place / "f").read_bytes() == b"content"
            await session.get("f", str(place / "f"))
            assert session.auto_ways == ["passive"]


@in_reactor
async def test_what_is_no_matter_of_the_way_is_told_at_once(place: Path) -> None:
    def script(liar: Liar, lines: Any) -> None:
        say(lines, GREETING)
        offer(lines, "passive", "token")
        hear(lines, "get f")
        token_of(lines)
        port_of(lines)
        say(lines, "FAILURE: Permission denied.")
        hear(lines, "noop")
        say(lines, "SUCCESS: Nothing done.")
        lines.read()

    with lying(script) as liar:
        async with session_with(liar.address) as session:
            with pytest.raises(PermissionDenied):
                await session.get("f", str(place / "f"))
            await session.noop()


@in_reactor
async def test_no_way_works(place: Path) -> None:
    def script(liar: Liar, lines: Any) -> None:
        say(lines, GREETING)
        offer(lines, "passive", "token")
        hear(lines, "get f")
        token_of(lines)
        port_of(lines)
        say(lines, TO_SEND, "ERROR: Connection refused.")
        hear(lines, "get f")
        assert port_of(lines) == "passive"
        say(lines, TO_SEND, "Data channel port: 1", f"Data channel token: {TOKEN}")
        with liar.accept() as data:
            say(data, "ERROR: Too many connections.")
        hear(lines, "abort")
        say(lines, "FAILURE: Transfer cancelled.")
        hear(lines, "noop")
        say(lines, "SUCCESS: Nothing done.")
        lines.read()

    with lying(script) as liar:
        async with session_with(liar.address) as session:
            with pytest.raises(ConnectionRefused):
                await session.get("f", str(place / "f"))
            await session.noop()
    assert os.listdir(place) == []


@in_reactor
async def test_a_stranger_at_the_data_port(place: Path) -> None:
    def script(liar: Liar, lines: Any) -> None:
        say(lines, GREETING)
        offer(lines, "token")
        hear(lines, "get f")
        token = token_of(lines)
        address = ("127.0.0.1", int(port_of(lines)))
        say(lines, TO_SEND, "File size: 4 bytes")
        strangers = [socket.create_connection(address) for _ in range(3)]
        strangers[0].sendall(f"Data channel token: {token[:16]}\n".encode())  # what they hear themselves
        strangers[1].sendall(b"fake")
        strangers[1].shutdown(socket.SHUT_WR)
        for each in strangers[:2]:
            assert read_all(each).startswith(b"Data channel token: ")
        with socket.create_connection(address) as data, data.makefile("rwb", buffering=0) as said:
            hear(said, f"Data channel token: {token[:16]}")
            data.sendall(f"Data channel token: {token[16:].upper()}\nreal".encode())
        finish(lines)
        for each in strangers:
            each.close()
        lines.read()

    with lying(script) as liar:
        async with session_with(liar.address) as session:
            await session.get("f", str(place / "f"))
    assert (place / "f").read_bytes() == b"real"


@pytest.mark.parametrize("impostor", [False, True], ids=["the server", "an impostor"])
@pytest.mark.parametrize("data", ["active", "passive"])
@in_reactor
async def test_who_is_at_the_data_channel_is_checked_too(
    papers: Papers, place: Path, data: str, impostor: bool
) -> None:
    def context(*names: str) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.num_tickets = 0
        made.load_cert_chain(papers.issue(*names))
        return made

    right = context("127.0.0.1")
    other = context("elsewhere.example") if impostor else right

    def serve_data(sock: socket.socket, token: str) -> None:
        if data == "passive":
            with sock.makefile("rwb", buffering=0) as clear:
                say(clear, GREETING)
                hear(clear, "starttls")
                say(clear, "SUCCESS: Begin TLS.")
        with (
            other.wrap_socket(sock, server_side=True) as inside,
            inside.makefile("rwb", buffering=0) as lines,
        ):
            if data == "passive":
                hear(lines, f"Data channel token: {token}")
                say(lines, JOINED)
            else:
                hear(lines, f"Data channel token: {token[:16]}")
                say(lines, f"Data channel token: {token[16:]}")
            lines.write(b"content")
            inside.settimeout(0)
            with contextlib.suppress(ssl.SSLWantReadError):  # the answer is not waited for
                inside.unwrap()

    def script(liar: Liar, clear: Any) -> None:
        say(clear, GREETING)
        offer(clear, "tls", "passive", "token")
        hear(clear, "starttls")
        say(clear, "SUCCESS: Begin TLS.")
        with (
            right.wrap_socket(liar.sock, server_side=True) as inside,
            inside.makefile("rwb", buffering=0) as lines,
        ):
            offer(lines, "passive", "token")
            hear(lines, "get f")
            token = TOKEN if data == "passive" else token_of(lines)
            port = port_of(lines)
            say(lines, TO_SEND, "File size: 7 bytes")
            if data == "passive":
                say(lines, "Data channel port: 1", f"Data channel token: {token}")
                sock, _ = liar.listener.accept()
            else:
                sock = socket.create_connection(("127.0.0.1", int(port)))
            sock.settimeout(PATIENCE)
            with sock:
                if impostor:
                    with pytest.raises(ssl.SSLError, match=r"(?i)certificate|eof"):
                        serve_data(sock, token)
                    hear(lines, "abort")
                    say(lines, "FAILURE: Transfer cancelled.")
                else:
                    serve_data(sock, token)
                    finish(lines)
            with contextlib.suppress(OSError):
                lines.read()

    limits = Limits(connect_timeout=1)
    with lying(script) as liar:
        async with session_with(liar.address, tls=TLS(papers.ca), data=data, limits=limits) as session:
            if impostor:
                with pytest.raises(CertificateRefused):
                    await session.get("f", str(place / "f"))
            else:
                await session.get("f", str(place / "f"))
    assert os.listdir(place) == ([] if impostor else ["f"])


@in_reactor
async def test_a_way_that_is_not_offered() -> None:
    with lying(lambda liar, lines: (say(lines, GREETING), offer(lines), lines.read())) as liar:  # type: ignore[func-returns-value]
        async with session_with(liar.address, data="passive") as session:
            with pytest.raises(NotSupported):
                await session.ls()


# The command.


def home(place: Path) -> dict[str, str]:
    return {**os.environ, "XDG_STATE_HOME": str(place / "state"), "HOME": str(place)}


@blocking
def test_first_contact(serve: Callable[..., Server], tmp_path: Path, place: Path) -> None:
    server = serve("--tls", "self", "--tls-folder", str(tmp_path / "tls"))
    (server.root / "there").write_bytes(b"x")
    address = f"127.0.0.1:{server.address[1]}"
    shown = server.logged(r"sha256:[0-9a-f]{64}")[0]
    done = client(address, "ls", cwd=place, env=home(place))
    assert done.returncode == 3
    assert f"--pin {shown}" in done.stderr.decode()
    with Terminal(address, "ls", cwd=place) as terminal:
        terminal.expect(shown)
        terminal.expect(r"\[y/N\]")
        terminal.type("no\r")
        assert terminal.process.wait(PATIENCE) == 3
    with Terminal(address, "ls", cwd=place) as terminal:
        terminal.expect(r"\[y/N\]")
        terminal.type("y\r")
        terminal.expect("there")
        assert terminal.process.wait(PATIENCE) == 0
    known = place / "state" / "ftplite" / "known_servers"
    assert known.read_text() == f"{address.replace(':', ' ')} {shown}\n"
    assert client(address, "ls", cwd=place, env=home(place)).stdout == b"there\n"
    known.write_text(known.read_text().replace(shown, "sha256:" + "00" * 32))
    done = client(address, "ls", cwd=place, env=home(place))
    assert done.returncode == 3
    assert f"{known}, line 1," in done.stderr.decode()
    assert "CHANGED" in done.stderr.decode()
    done = client(address, "--pin", shown, "doctor", cwd=place, env=home(place))
    assert done.returncode == 0
    told = [line.split()[0] for line in done.stdout.decode().splitlines()]
    assert told == ["reached", "TLS", "login", "active", "passive", "auto"]
    assert done.stdout.count(b"works") == 2


@blocking
def test_passwords(serve: Callable[..., Server], papers: Papers, place: Path) -> None:
    server = serve("--users", papers.users)
    (server.root / "there").write_bytes(b"x")
    address = f"alice@127.0.0.1:{server.address[1]}"
    environment = home(place)

    def ls(*arguments: str, to: str = address, **variables: str) -> int:
        return client(to, *arguments, "ls", cwd=place, env=environment | variables).returncode

    assert ls() == 2
    assert ls(FTPLITE_PASSWORD=SECRET) == 0
    assert ls(FTPLITE_PASSWORD="wrong") == 1
    (place / "secret").write_text(SECRET + "\n")
    assert ls("--password-file", "secret") == 0
    netrc = place / ".netrc"
    netrc.write_text(f'machine 127.0.0.1 login alice password "{SECRET}"\n')
    netrc.chmod(0o600)
    assert ls() == 0
    assert ls(to=address.removeprefix("alice@")) == 0
    netrc.unlink()
    with Terminal(address, "ls", cwd=place) as terminal:
        for wrong in range(2):
            terminal.expect("Password of alice at 127.0.0.1: ")
            terminal.type(f"wrong {wrong}\r")
            terminal.expect("Login failed; try again")
        terminal.expect("Password of alice at 127.0.0.1: ")
        terminal.type(f"{SECRET}\r")
        terminal.expect("there")
        assert terminal.process.wait(PATIENCE) == 0
        assert SECRET not in terminal.seen
    with Terminal(address, "ls", cwd=place) as terminal:
        for _ in range(3):
            terminal.expect("Password of alice at 127.0.0.1: ")
            terminal.type("wrong\r")
        terminal.expect(r"Login failed\. Check")
        assert terminal.process.wait(PATIENCE) == 1
    assert SECRET not in "\n".join(server.log)


@blocking
def test_a_prompt_that_is_interrupted_leaves_the_terminal_as_it_was(
    serve: Callable[..., Server], papers: Papers, place: Path
) -> None:
    server = serve("--users", papers.users)
    with Terminal(f"alice@127.0.0.1:{server.address[1]}", "ls", cwd=place) as terminal:
        before = terminal.shows_what_is_typed()
        terminal.expect("Password of alice")
        assert not terminal.shows_what_is_typed()
        terminal.type("\x03")
        terminal.expect(r"127\.0\.0\.1: (\^C)?\r\nftplite-client: ls: interrupted\r\n")
        assert terminal.process.wait(PATIENCE) == 130
        assert terminal.shows_what_is_typed() == before
