"""Secure, or loopback: what `twistd ftplite` refuses to serve, and what it says of what it serves."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import OPENLY, Server, blocking, needs_root, outcome

from twisted_ftplite.server.certificates import make_self_signed

ANYWHERE = ("--listen", "tcp:0")
LOOPBACK = ("--listen", "tcp:0:interface=127.0.0.1")
USERS = "alice - permissions=read\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a tree, a users file, and two files that somebody might take for a key."""
    (tmp_path / "tree").mkdir()
    for each in ("users", "tree/users"):
        (tmp_path / each).write_text(USERS)
    for each in ("cert", "key", "ca"):
        (tmp_path / each).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("options", "words"),
    [
        # Open to others.
        ((*ANYWHERE,), "--users FILE, --client-ca FILE or --anonymous"),
        ((*LOOPBACK, *ANYWHERE), "--users FILE"),
        (("--listen", r"tcp6:0:interface=\:\:"), "--users FILE"),
        (("--listen", "haproxy:tcp:0:interface=127.0.0.1"), "--users FILE"),
        ((*ANYWHERE, "--tls", "self", "--tls-folder", "{0}/made", "--allow-root"), "--users FILE"),
        ((*ANYWHERE, "--users", "{0}/users", "--allow-root"), "--allow-plain-passwords"),
        # Without what it takes.
        ((*LOOPBACK, "--client-ca", "{0}/ca"), "--client-ca needs a certificate"),
        ((*LOOPBACK, "--require-tls"), "--require-tls needs a certificate"),
        (("--listen", "ssl:0:interface=127.0.0.1"), "needs a certificate"),
        (("--listen", "tls:0:interface=127.0.0.1"), "needs a certificate"),
        ((*LOOPBACK, "--tls-cert", "{0}/cert"), "--tls-key"),
        ((*LOOPBACK, "--tls-key", "{0}/key"), "--tls-cert"),
        ((*LOOPBACK, "--tls-folder", "{0}/made"), "--tls self"),
        # Both of two.
        ((*LOOPBACK, "--tls", "self", "--tls-cert", "{0}/cert", "--tls-key", "{0}/key"), "contradict"),
        ((*LOOPBACK, "--require-tls", "--no-require-tls"), "contradict"),
        ((*LOOPBACK, "--read-only", "--anonymous", "drop"), "contradict"),
        # What is there, and where.
        ((*LOOPBACK, "--users", "{0}/none"), "none does not exist"),
        ((*LOOPBACK, "--users", "{0}"), "is no file"),
        ((*LOOPBACK, "--users", "{0}/tree/users"), "inside the served tree"),
        ((*LOOPBACK, "--tls-cert", "{0}/tree/users", "--tls-key", "{0}/key"), "inside the served tree"),
        ((*LOOPBACK, "--tls", "self", "--tls-folder", "{0}/tree/d"), "inside the served tree"),
        ((*LOOPBACK, "--tls", "self", "--tls-folder", "{0}/users/d"), "--tls-folder"),
        # Words and numbers.
        ((*LOOPBACK, "--anonymous", "all"), "all"),
        ((*LOOPBACK, "--sandbox", "maybe"), "maybe"),
        ((*LOOPBACK, "--tls", "peter"), "peter"),
        ((*LOOPBACK, "--max-depth", "0"), "above 0"),
        ((*LOOPBACK, "--max-sessions-per-user", "x"), "above 0"),
        ((*LOOPBACK, "--max-transfers-per-user", "1.5"), "above 0"),
    ],
)
@blocking
def test_refused_in_one_line(files: Path, options: tuple[str, ...], words: str) -> None:
    told = [each.replace("{0}", str(files)) for each in options]
    status, said = outcome("--root", str(files / "tree"), *told)
    assert (status, len(said)) == (1, 1), said
    assert words in said[0]
    assert os.listdir(files / "tree") == ["users"]


@pytest.mark.parametrize(
    ("options", "listen", "said"),
    [
        ((), "tcp:0:interface=127.0.0.1", "to anyone on this machine, to read and write"),
        (("--anonymous", "drop"), "tcp:0:interface=127.0.0.1", "to anyone on this machine, to store only"),
        (("--users", "{0}/users"), "tcp:0:interface=127.0.0.1", "to users of {0}/users"),
        (
            ("--users", "{0}/users", "--anonymous", "read"),
            "tcp:0:interface=127.0.0.1",
            "to users of {0}/users; to anyone on this machine, to read",
        ),
        (
            ("--users", "{0}/users", "--allow-plain-passwords", "--allow-root"),
            "tcp:0",
            "to users of {0}/users",
        ),
        (OPENLY, "tcp:0", "to anyone who can reach it, to read and write"),
    ],
)
@blocking
def test_whom_it_serves(
    serve: Callable[..., Server], files: Path, options: tuple[str, ...], listen: str, said: str
) -> None:
    told = [each.replace("{0}", str(files)) for each in options]
    server = serve(*told, listen=listen, root=files / "tree")
    line = server.logged("FTPLite serves")
    assert line.string.endswith(f" {said.replace('{0}', str(files))}."), line.string


@blocking
def test_a_certificate_of_its_own(serve: Callable[..., Server], tmp_path: Path) -> None:
    """It is made once, and kept."""
    folder = tmp_path / "made"
    kept = []
    for _ in range(2):
        server = serve("--tls", "self", "--tls-folder", str(folder))
        kept.append({each.name: each.read_bytes() for each in folder.iterdir()})
        server.stop()
    assert kept[0] == kept[1]
    keys = [name for name, content in kept[0].items() if b"PRIVATE KEY" in content]
    assert keys
    for name in keys:
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


# Root.


@needs_root
@pytest.mark.parametrize(
    "program", [("twistd", "-n", "--pidfile="), ("twistd", "-n", "--pidfile=", "--euid", "--uid=1")]
)
@blocking
def test_root_serves_nobody_else(tmp_path: Path, program: tuple[str, ...]) -> None:
    os.chmod(tmp_path, 0o755)
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        status, said = outcome("--root", folder, *ANYWHERE, "--anonymous", "read", program=program)
    assert (status, len(said)) == (1, 1), said
    assert "--allow-root" in said[0]


@needs_root
@blocking
def test_root_is_warned_on_loopback(serve: Callable[..., Server]) -> None:
    server = serve()
    server.logged("FTPLite serves")
    assert len([line for line in server.log if re.search(r"#warn\] .*runs as root.* -u USER", line)]) == 1
    assert not [line for line in serve(*OPENLY, listen="tcp:0").log if "runs as root" in line]


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that anybody can reach, with a tree."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        (Path(folder) / "tree").mkdir()
        (Path(folder) / "tree").chmod(0o755)
        yield Path(folder)


AS_NOBODY = ("twistd", "-n", "--pidfile=", "--uid=65534", "--gid=65534")


@needs_root
@pytest.mark.parametrize("what", ["users", "key", "folder", "tree", "tree mode"])
@blocking
def test_what_could_not_be_read_again(reachable: Path, what: str) -> None:
    (reachable / "users").write_text(USERS)
    certificate, key = make_self_signed(str(reachable / "pair"), ["localhost"])
    (reachable / "pair").chmod(0o755)
    (reachable / "etc").mkdir()
    (reachable / "etc" / "users").write_text(USERS)
    options = ["--root", str(reachable / "tree"), *LOOPBACK]
    named = reachable / what
    match what:
        case "users":
            options += ["--users", str(named)]
            named.chmod(0o600)
        case "key":
            named = Path(key)
            options += ["--tls-cert", certificate, "--tls-key", key]
            named.chmod(0o640)
        case "folder":
            named = reachable / "etc" / "users"
            options += ["--users", str(named)]
            named.parent.chmod(0o700)
        case "tree":
            named.chmod(0o750)
        case "tree mode":
            named = reachable / "tree"
            named.chmod(0o754)  # it could be listed, and nothing in it opened
    status, said = outcome(*options, program=AS_NOBODY)
    assert (status, len(said)) == (1, 1), said
    assert said[0].startswith(f"ftplite: {named} cannot be read by user nobody")


@needs_root
@blocking
def test_nobody_of_this_machine(tmp_path: Path) -> None:
    status, said = outcome("--root", str(tmp_path), *LOOPBACK, program=(*AS_NOBODY[:3], "--uid=3999999"))
    assert (status, len(said)) == (1, 1), said
    assert "no user of this machine" in said[0]


@needs_root
@blocking
def test_a_certificate_for_whom_it_becomes(serve: Callable[..., Server], reachable: Path) -> None:
    folder = reachable / "made"
    serve("--tls", "self", "--tls-folder", str(folder), root=reachable / "tree", program=AS_NOBODY).logged(
        "FTPLite serves"
    )
    for each in (folder, *folder.iterdir()):
        assert each.stat().st_uid == 65534, each
