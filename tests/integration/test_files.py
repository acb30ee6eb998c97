"""What is in the tree: what may be sent, what may be replaced, and what changes meanwhile."""

from __future__ import annotations

import os
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Server, blocking, needs_root
from raw import MISSING, TO_SEND, TRANSFERRED, Session, read_all

MIB = 1 << 20
NOT_A_FILE = "FAILURE: Not a regular file."
CHANGED = "FAILURE: File changed."


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


def make_device(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # /dev/zero


@pytest.mark.parametrize("make", [make_fifo, make_socket, pytest.param(make_device, marks=needs_root)])
@blocking
def test_what_is_no_file(server: Server, make: Callable[[Path], None]) -> None:
    make(server.root / "thing")
    before = os.stat(server.root / "thing")
    with server.session() as session:
        began = time.monotonic()
        for command in ("get thing", "put thing", "get ./thing"):
            session.send(command)
            session.expect(NOT_A_FILE)
        assert session.ls() == [b"thing"]
        assert session.ls("thing") == [b"thing"]
        assert time.monotonic() - began < 1
    assert os.stat(server.root / "thing").st_ino == before.st_ino


@blocking
def test_a_fifo_is_never_opened(server: Server) -> None:
    make_fifo(server.root / "fifo")
    with server.session() as session:
        session.send("get fifo", "put fifo", "noop")
        session.expect(NOT_A_FILE, NOT_A_FILE, "SUCCESS: Nothing done.")
        with pytest.raises(OSError, match="No such device"):  # nobody reads it
            os.open(server.root / "fifo", os.O_WRONLY | os.O_NONBLOCK)


@blocking
def test_a_fifo_that_comes_during_a_put(server: Server) -> None:
    with server.session() as session:
        with session.begin_put("f", 3) as data:
            make_fifo(server.root / "f")
            data.sendall(b"abc")
        session.send("Transfer complete: f")
        session.expect(NOT_A_FILE)
        assert stat.S_ISFIFO(os.stat(server.root / "f").st_mode)
        assert session.is_answered()


@pytest.fixture
def links(server: Server) -> Server:
    """A tree full of links."""
    root = server.root
    (root / "d").mkdir()
    (root / "d" / "f").write_bytes(b"inside")
    (root / "g").write_bytes(b"beside")
    outside = root.parent / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "secret").write_bytes(b"secret")
    for name, target in {
        "to-file": "d/f",
        "to-folder": "d",
        "d/up": "../g",
        "dangling": "nothing",
        "loop": "loop",
        "out": "../outside/secret",
        "out-folder": "../outside",
        "out-and-in": f"../{root.name}/g",
        "absolute": str(root / "g"),
        "absolute-folder": str(outside),
        "root": "/",
        "proc": "/proc/self/root",
    }.items():
        (root / name).symlink_to(target)
    return server


@blocking
def test_links_that_stay_inside_are_followed(links: Server) -> None:
    with links.session() as session:
        assert session.get("to-file") == b"inside"
        assert session.get("to-folder/f") == b"inside"
        assert session.get("to-folder/up") == b"beside"
        assert session.ls("to-folder") == [b"f", b"up"]


@blocking
def test_links_that_lead_out_open_nothing_and_tell_nothing(links: Server) -> None:
    with links.session() as session:
        for name in (
            "out",
            "out-folder/secret",
            "out-and-in",
            "absolute",
            "absolute-folder/secret",
            "root/etc/passwd",
        ):
            session.send(f"get {name}")
            session.expect(MISSING)
        for name in (
            "out-folder",
            "absolute-folder",
            "root",
            "root/etc",
            "proc",
            "out-folder/none",
            "dangling",
            "loop",
        ):
            session.send(f"ls {name}")
            session.expect(MISSING)
        for name in ("out-folder/new", "absolute-folder/new", "root/tmp/new"):
            session.send(f"put {name}")
            session.expect(MISSING)


@blocking
def test_links_are_listed_as_what_they_lead_to(links: Server) -> None:
    with links.session() as session:
        assert session.ls() == [
            b"absolute",
            b"absolute-folder",
            b"d/",
            b"dangling",
            b"g",
            b"loop",
            b"out",
            b"out-and-in",
            b"out-folder",
            b"proc",
            b"root",
            b"to-file",
            b"to-folder/",
        ]


@pytest.mark.parametrize("name", ["to-file", "to-folder", "out", "absolute", "dangling", "loop"])
@blocking
def test_a_put_onto_a_link_replaces_it(links: Server, name: str) -> None:
    with links.session() as session:
        session.put(name, b"new")
        assert session.get(name) == b"new"
    assert not (links.root / name).is_symlink()
    assert (links.root / "d" / "f").read_bytes() == b"inside"
    assert (links.root / "g").read_bytes() == b"beside"
    assert (links.root.parent / "outside" / "secret").read_bytes() == b"secret"


@blocking
def test_the_servers_own_names_are_hidden(server: Server) -> None:
    (server.root / ".ftplite-tmp-1").write_bytes(b"x")
    (server.root / ".ftplite").write_bytes(b"x")
    (server.root / "a").symlink_to(".ftplite-tmp-1")
    with server.session() as session:
        assert session.ls() == [b".ftplite", b"a"]
        session.send("get .ftplite-tmp-1", "ls .ftplite-none", "put .ftplite-", "get d/.ftplite-x/y")
        session.expect(*["FAILURE: Name not allowed."] * 4)
        assert session.get(".ftplite") == b"x"


# A file that changes while it is sent.

LARGE = os.urandom(MIB) * 32


def receive_while(session: Session, change: Callable[[], None]) -> bytes | None:
    """Receive the file "f", the change made when some of it has come; None if the data channel was reset."""
    with session.begin_get("f", len(LARGE)) as data:
        first = data.recv(1000)
        change()
        try:
            return first + read_all(data)
        except ConnectionResetError:
            return None


@pytest.fixture
def large(server: Server) -> Server:
    """A server with a large file."""
    (server.root / "f").write_bytes(LARGE)
    return server


@pytest.mark.parametrize("how", ["replaced", "unlinked", "renamed", "replaced by a put", "mode"])
@blocking
def test_a_file_that_loses_its_name_is_sent_whole(large: Server, how: str) -> None:
    path = large.root / "f"

    def change() -> None:
        if how == "replaced":
            (large.root / "new").write_bytes(b"new")
            os.replace(large.root / "new", path)
        elif how == "unlinked":
            path.unlink()
        elif how == "renamed":
            path.rename(large.root / "g")
        elif how == "mode":
            path.chmod(0)
        else:
            with large.session() as other:
                other.put("f", b"new")

    with large.session() as session:
        assert receive_while(session, change) == LARGE
        session.expect("Transfer complete: f")
        session.send("Transfer complete: f")
        session.expect(TRANSFERRED)


@pytest.mark.parametrize("how", ["begin", "end", "cut", "emptied", "appended"])
@blocking
def test_a_file_written_in_place_is_told(large: Server, how: str) -> None:
    path = large.root / "f"

    def change() -> None:
        if how == "cut":
            os.truncate(path, len(LARGE) - 1)
        elif how == "emptied":
            os.truncate(path, 0)
        else:
            with open(path, "ab" if how == "appended" else "r+b") as file:
                if how == "end":
                    file.seek(-1, os.SEEK_END)
                file.write(b"!")

    with large.session() as session:
        receive_while(session, change)
        session.expect(CHANGED)
        session.send("Transfer complete: f")
        assert session.is_answered()


@blocking
def test_a_file_changed_between_the_answer_and_the_port(large: Server) -> None:
    """As it was at step 2, or not at all."""
    with large.session() as session, session.listen() as listener:
        session.send("get f")
        session.expect(TO_SEND)
        with open(large.root / "f", "r+b") as file:
            file.write(b"!")
        session.send(listener.announcement, "Transfer complete: f")
        with listener.accept() as data, pytest.raises(ConnectionResetError):
            read_all(data)
        session.expect(f"File size: {len(LARGE)} bytes", CHANGED)


@blocking
def test_a_small_file_changed_between_the_answer_and_the_port(server: Server) -> None:
    (server.root / "f").write_bytes(b"before")
    with server.session() as session, session.listen() as listener:
        session.send("get f")
        session.expect(TO_SEND)
        (server.root / "f").write_bytes(b"behind")
        session.send(listener.announcement, "Transfer complete: f")
        with listener.accept() as data:
            content = read_all(data)
        session.expect("File size: 6 bytes")
        line = session.line()
        assert (line, content) == ("Transfer complete: f", b"before") or line.startswith(CHANGED)


@blocking
def test_modes(serve: Callable[..., Server]) -> None:
    server = serve("--umask", "027", umask=0o077)
    (server.root / "old").write_bytes(b"old")
    (server.root / "old").chmod(0o604)
    with server.session() as session:
        session.put("old", b"new")
        session.put("new", b"new")
        session.put("large", b"x" * 200_000)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in server.root.iterdir()}
    assert modes == {"old": 0o604, "new": 0o640, "large": 0o640}


@blocking
def test_the_umask_is_the_shells_unless_told(serve: Callable[..., Server]) -> None:
    server = serve(umask=0o007)
    with server.session() as session:
        session.put("new", b"new")
    assert stat.S_IMODE((server.root / "new").stat().st_mode) == 0o660


@blocking
def test_read_only(serve: Callable[..., Server]) -> None:
    server = serve("--read-only")
    server.logged(r"to anyone on this machine, to read\.$")
    (server.root / "f").write_bytes(b"old")
    with server.session() as session:
        session.send(
            "put f", "File size: 3 bytes", "Data channel port: 5000", "Transfer complete: f", "put new"
        )
        session.expect("FAILURE: Permission denied.", "FAILURE: Permission denied.")
        assert session.get("f") == b"old"
        assert session.ls() == [b"f"]
