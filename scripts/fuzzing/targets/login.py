"""A whole control channel on a line in memory: logins, TLS, tokens and passive transfers."""

from __future__ import annotations

import gc
from collections.abc import Iterator

from twisted_ftplite.errors import ServerShuttingDown, TooManyConnections
from twisted_ftplite.protocol.lines import Command, Status, Success, decode
from twisted_ftplite.protocol.order import Kind, State, classify
from twisted_ftplite.server.entry import Entry
from twisted_ftplite.server.services import Services
from twisted_ftplite.server.users import anonymous

from ..logs import Watch
from ..memory_line import Joiner, Visit, new_services
from ..script import bits, head, must, split
from ..secret import SECRET

READY = (Success.READY_TO_SEND, Success.READY_TO_RECEIVE)
FEATURES = ("files", "json", "offset", "checksum xxh128 sha256", "modified", "passive", "token", "noop help")
WAITS = (0.0, 0.5, 5.0, 11.0, 61.0)
NAMES = ("alice", "dora")


def run(data: bytes) -> None:
    """One connection, and the data channels that join it."""
    (offered, entry, way, manner), body = head(data, 4)
    features = tuple(word for each in FEATURES if each in bits(offered, FEATURES) for word in _words(each))
    with Watch() as watch:
        services = new_services(features, lambda made: demand(made, entry, way))
        visit = Visit(services, far=bool(manner & 1), names=NAMES[: manner >> 2 & 3], secure=bool(manner & 2))
        joiners: list[Joiner] = []
        try:
            for each in split(body):
                if isinstance(each, int):
                    _step(visit, joiners, each)
                else:
                    visit.send(each)
            _settle(visit, watch)
        finally:
            for joiner in joiners:
                joiner.close()
        visit.lose()
        look_behind(services)
        must(visit.door.left, "the door was not told that it left")
        said = b"\n".join(visit.said).decode()
        del visit, joiners, services
        gc.collect()  # what nobody waits for is told of when it goes
    watch.raise_failures()
    hides(body, watch.text() + said)


def seeds() -> Iterator[bytes]:
    """Logins that work and that don't, a change to TLS, and transfers by passive data channels."""
    login = f"features\nlogin alice\npassword {SECRET}\npwd\nlogin alice\npassword wrong\nls\n".encode()
    for manner in (b"\x00", b"\x01", b"\x06", b"\x03"):
        yield b"\xff\x03\x00" + manner + login + b"\x00\x05" + b"quit\n"
        yield b"\xff\x10\x03" + manner + b"login x\npassword y\n" * 6
    yield b"\xff\x00\x01\x00noop\nstarttls\n\x00\x05"
    yield b"\xff\x00\x01\x00starttls\nnoop\n\x00\x05"
    get = b"get f\nChecksum: xxh128\nData channel port: passive\n"
    yield b"\xff\x00\x00\x00" + get + b"\x00\x02\x00\x01\x00\x01\x00\x01Transfer complete: f\n\x00\x01noop\n"
    put = b"put g\nData channel port: passive\n\x00\x03\x00\x01\x00\x01File size: 7 bytes\n"
    yield b"\xff\x00\x00\x00" + put + b"Transfer complete: g\n\x00\x01\x00\x01"
    ls = b"ls\nFormat: json\nDepth: all\nData channel port: passive\n"
    yield b"\xff\x00\x00\x00" + ls + b"\x00\x02\x00\x01abort\n\x00\x0c"
    yield (
        b"\xff\x00\x00\x00mkdir x\n"
        + b'mv "f" "x/f"'
        + b"\nstat x/f\nchecksum x/f\nrm x/f\nrmdir x\ncd d\npwd\nhelp\n"
    )
    yield b"\xff\x00\x00\x00Data channel token: 0123456789abcdef0123456789abcdef\ndata\x00\x05"


def _words(feature: str) -> tuple[str, ...]:
    return ("noop", "help") if feature == "noop help" else (feature,)


def demand(entry: Entry, choice: int, way: int) -> None:
    """What the server demands."""
    access = ("write", "read", "drop", None)[choice & 3]
    entry.anonymous = None if access is None else anonymous(access)
    entry.demands_tls = bool(choice & 4)
    entry.demands_token = bool(choice & 8)
    entry.plain_passwords = bool(choice & 16)
    if choice & 64:
        entry.accounts = None
    if not way & 1:
        entry.certificates = None


def _step(visit: Visit, joiners: list[Joiner], number: int) -> None:
    """Anything that happens around a control channel."""
    match number % 16:
        case 1:
            visit.turn()
        case 2 | 3 | 4 if len(joiners) < 8:
            content = b"" if number & 1 == 0 else b"content"
            joiners.append(Joiner(visit.services, visit.token, content, ends=number % 16 == 3))
            visit.turn()
        case 5 | 6 | 7 | 8 | 9:
            visit.wait(WAITS[number % 16 - 5])
        case 10 if not visit.over:
            visit.control.pauseProducing()
        case 11 if not visit.over:
            visit.control.resumeProducing()
            visit.deliver()
        case 12:
            for joiner in joiners:
                joiner.reset()
            visit.turn()
        case 13 if not visit.over:
            visit.control.drain()
            visit.look()
        case 14 if not visit.over:
            error = TooManyConnections() if number & 16 else ServerShuttingDown()
            visit.control.refuse(error)
            visit.look()
        case 15 if not visit.over and not visit.heard_out:
            visit.end()
        case 0:
            visit.lose()


def _settle(visit: Visit, watch: Watch) -> None:
    """Wait until nothing runs: then every command had its status, or the session is over."""
    if not visit.over:
        visit.control.resumeProducing()
        visit.deliver()
    for _ in range(200):
        if visit.over or (visit.control.session.state is State.IDLE and not visit.unread):
            break
        visit.wait(WAITS[-1])
    asked = sum(classify(line)[0] is Kind.COMMAND for line in visit.taken)
    recorded = len(watch.commands())
    must(recorded <= asked, "more commands ended than came")
    if visit.over or visit.control._left:
        return
    must(visit.control.session.state is State.IDLE, "a command never ends")
    must(recorded == asked, "a command did not end")
    finals = sum(map(_is_final, visit.said)) - visit.greetings
    must(asked <= finals <= len(visit.taken), "a command had no status, or there are too many")


def _is_final(line: bytes) -> bool:
    message = decode(line)
    return isinstance(message, Status) and not any(map(message.says, READY))


def look_behind(services: Services) -> None:
    """When all is over, nothing is left of it."""
    for _ in range(6):
        services.reactor.advance(WAITS[-1])  # type: ignore[attr-defined]
        services.reactor.turn(0)  # type: ignore[attr-defined]
    must(not any(vars(services.transfers).values()), "a transfer is counted that is over")
    must(not len(services.entry.passive), "a token is good for a transfer that is over")
    must(not services.reactor.readers and not services.reactor.writers, "a descriptor is watched for nobody")
    must(not services.reactor.getDelayedCalls(), "a timer runs for nobody")


def hides(body: bytes, told: str) -> None:
    """A password is told nowhere, unless the client told it elsewhere too."""
    wire = b"".join(each for each in split(body) if isinstance(each, bytes))
    elsewhere = [line for line in wire.split(b"\n") if not _is_password(line)]
    if not any(SECRET.encode() in line for line in elsewhere):
        must(SECRET not in told, "a password was told")
    must("argon2id$" not in told or b"argon2id$" in wire, "a hash was told")


def _is_password(line: bytes) -> bool:
    message = classify(line)[1]
    return isinstance(message, Command) and message.verb.name == "password"
