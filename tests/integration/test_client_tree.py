"""`ftplite-client` and trees: listings, patterns, directories, removal, with a real server and terminal."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Server, blocking
from raw import GREETING
from terminal import Terminal, client
from test_client_command import at, talker, until_connected

TIME_NS = 1_763_816_400_123_456_000
TIME = "2025-11-22T13:00:00.123456Z"


@pytest.fixture
def home(server: Server, tmp_path: Path) -> Path:
    """A server with a tree, and a folder of the client's own."""
    (server.root / "photos" / "2025").mkdir(parents=True)
    (server.root / "photos" / ".cache").mkdir()
    for number, name in enumerate(
        ("a.txt", ".rc", "my file", "photos/sky.jpg", "photos/2025/sea.jpg", "photos/.cache/x")
    ):
        path = server.root / name
        path.write_bytes(b"x" * number)
        os.utime(path, ns=(0, TIME_NS + number * 1000))
    (server.root / "outside").symlink_to("/etc")
    (server.root / "to-photos").symlink_to("photos")
    here = tmp_path / "here"
    here.mkdir()
    return here


def run(server: Server, home: Path, *words: str, script: str | None = None) -> list[str]:
    """The lines that it says when it works."""
    done = client(at(server), *words, cwd=home, stdin=script.encode() if script is not None else None)
    assert (done.returncode, done.stderr) == (0, b""), done
    return done.stdout.decode().splitlines()


@blocking
def test_listings(server: Server, home: Path) -> None:
    names = ["a.txt", "my file", "outside", "photos/", "to-photos/"]
    assert run(server, home, "ls") == names
    assert run(server, home, "ls", "-a") == [".rc", *names]
    assert run(server, home, "ls", "-r1") == names[::-1]
    lines = run(server, home, "ls", "-l", "*.txt")
    assert lines == [f"-rw-r--r-- 0 {TIME} a.txt"]
    lines = run(server, home, "ls", "-l")
    assert lines[1].endswith(" my file")
    assert (lines[2][0], lines[2].rpartition(" ")[2]) == ("l", "outside@")
    assert (lines[4][0], lines[4].rpartition(" ")[2]) == ("d", "to-photos/@")
    assert run(server, home, "ls", "-R") == [
        "a.txt", "my file", "outside", "photos/", "photos/2025/", "photos/2025/sea.jpg", "photos/sky.jpg",
        "to-photos/",
    ]  # fmt: skip
    assert run(server, home, "ls", "-Ra", "photos")[0] == ".cache/"
    assert run(
        server,
        home,
        "ls",
        "-t",
        "p*/*/*.jpg",
    ) == ["photos/2025/sea.jpg"]
    rows = [json.loads(line) for line in run(server, home, "ls", "--json", "-R")]
    assert rows[0] == {"name": ".rc", "type": "file", "size": 1, "mtime": 1763816400.123457, "mode": 0o644}
    assert {row["name"] for row in rows if row.get("link")} == {"outside", "to-photos"}


@blocking
def test_a_tree_from_a_script(server: Server, home: Path) -> None:
    (home / "new.jpg").write_bytes(b"new")
    (home / "new.txt").write_bytes(b"")
    lines = run(
        server,
        home,
        script="mkdir -p x/y/z\nmkdir -p x/y\ncd x/y\npwd\nput new.*\nput *.jpg z\nmv z/new.jpg ../old.jpg\n"
        "mv new.txt z\nls -R\ncd\npwd\nmv x/y/z .\nls z\nrm -r x z to-photos\nls\nlls\nlcd ..\nlls -a here",
    )
    assert [line.partition(":")[0] for line in lines] == [
        "/x/y", "new.jpg", "new.txt", "z/new.jpg", "new.jpg", "z/", "z/new.txt", "/", "new.txt",
        "a.txt", "my file", "outside", "photos/", "new.jpg", "new.txt", "new.jpg", "new.txt",
    ]  # fmt: skip
    assert (server.root / "photos" / "sky.jpg").exists()


@blocking
def test_patterns(server: Server, home: Path) -> None:
    run(server, home, "get", "photos/*.jpg")
    assert os.listdir(home) == ["sky.jpg"]
    (server.root / "photos" / os.fsdecode(b"b\xff[1].jpg")).write_bytes(b"bytes")
    (home / "into").mkdir()
    run(server, home, "get", "ph*/?*.jpg", "into")
    assert sorted(os.listdir(os.fsencode(home / "into"))) == [b"b\xff[1].jpg", b"sky.jpg"]
    run(server, home, "put", "into/*", "photos/2025")
    assert len(os.listdir(server.root / "photos" / "2025")) == 3
    run(server, home, "rm", "photos/2025/*")
    assert os.listdir(server.root / "photos" / "2025") == []
    for words, status, told in (
        (("get", "*.png"), 1, "No name matches."),
        (("put", "*.png"), 4, "no name matches"),
        (("rm", "*.png"), 1, "No name matches."),
        (("get", "photos/*", "none"), 4, "2 names match"),
    ):
        done = client(at(server), *words, cwd=home)
        assert (done.returncode, done.stdout) == (status, b"")
        assert told in done.stderr.decode().splitlines()[-1]
    done = client(at(server), "get", "*", cwd=home)
    assert (done.returncode, done.stdout.count(b"\n")) == (1, 2)
    left_out, outside = done.stderr.decode().splitlines()[:2], done.stderr.decode().splitlines()[-1]
    assert all(line.endswith("is a directory, left out") for line in left_out)
    assert outside.startswith("ftplite-client: outside: File not found.")


@blocking
def test_names(server: Server, home: Path) -> None:
    assert run(server, home, "stat", "photos/sky.jpg") == [
        "Type: file",
        "Size: 3 bytes",
        "Modified: 2025-11-22T13:00:00.123459Z",
        "Mode: 0644 -rw-r--r--",
    ]
    assert run(server, home, "stat", "to-photos")[:2] == ["Type: directory", "Link: yes"]
    assert run(server, home, "stat", "outside")[:2] == ["Type: link", "Link: yes"]
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert run(server, home, "checksum", "a.txt", "sha256") == [f"{empty}  a.txt"]
    assert run(server, home, "pwd") == ["/"]


@blocking
def test_what_the_server_refuses(server: Server, home: Path) -> None:
    (server.root / "full" / "sub").mkdir(parents=True)
    for words, told in (
        (("rm", "photos"), "rm photos: Is a directory. rm -r removes it"),
        (("rmdir", "photos"), "rmdir photos: Directory not empty. rm -r removes it"),
        (("rmdir", "a.txt"), "rmdir a.txt: Not a directory. rm removes a file."),
        (("mkdir", "photos"), "mkdir photos: File exists. Choose another name; mkdir -p"),
        (("mkdir", "-p", "a.txt"), "mkdir -p a.txt: File exists. It is no directory."),
        (("mkdir", "-p", "a.txt/b"), "mkdir -p a.txt/b: Not a directory."),
        (("mkdir", "x/y"), "mkdir x/y: File not found. The directory above is missing; mkdir -p"),
        (("mv", "none", "x"), "mv none x: File not found."),
        (("mv", "photos", "photos/2025"), "mv photos photos/2025: "),
        (("mv", "/", "x"), "mv / x: Permission denied."),
        (("stat", "none"), "stat none: File not found."),
        (("checksum", "photos"), "checksum photos: Is a directory. "),
        (("checksum", "a.txt", "md5"), "checksum a.txt md5: Not supported."),
        (("get", "outside"), "get outside: File not found."),
        (("rm", ".ftplite-x"), "rm .ftplite-x: Name not allowed."),
    ):
        done = client(at(server), *words, cwd=home)
        assert (done.returncode, done.stdout) == (1, b""), words
        (line,) = done.stderr.decode().splitlines()
        assert line.startswith("ftplite-client: " + told), line


@blocking
def test_removal(server: Server, home: Path) -> None:
    many = server.root / "many"
    for number in range(300):
        (many / str(number % 7) / str(number % 3)).mkdir(parents=True, exist_ok=True)
        (many / str(number % 7) / str(number % 3) / str(number)).touch()
    (many / "link").symlink_to("../photos")
    run(server, home, "rm", "-r", "many", "outside")
    assert not many.exists()
    assert (server.root / "photos" / "sky.jpg").exists()
    assert not (server.root / "outside").is_symlink()
    run(server, home, "rm", "-rf", "none", "none/*")
    for name in ("/", ".", "photos/.."):
        assert client(at(server), "rm", "-r", name, cwd=home).returncode == 2
    assert (server.root / "photos" / "sky.jpg").exists()


@blocking
def test_removal_asks_at_a_terminal(server: Server, home: Path) -> None:
    question = r"rm -r photos: remove it and the 5 names in it\? \[y/N\] "
    with Terminal(at(server), "rm", "-r", "photos", cwd=home) as terminal:
        terminal.expect(question)
        terminal.type("n\r")
        assert terminal.end() == 0
    assert (server.root / "photos").exists()
    with Terminal(at(server), cwd=home) as terminal:
        terminal.prompt()
        terminal.type("rm -r photos\r")
        terminal.expect(question)
        terminal.type("\x03")
        terminal.expect("ftplite-client: rm -r photos: interrupted")
        terminal.prompt()
        assert (server.root / "photos").exists()
        terminal.type("rm -r photos\r")
        terminal.expect(question)
        terminal.type("y\r")
        terminal.prompt()
        terminal.type("ls pho\t\r")
        terminal.expect("File not found")
        terminal.prompt()
        terminal.type("rm -rf to-photos my\\ file\r")
        terminal.prompt()
        terminal.type("\x04")
        assert terminal.end() == 0
    assert sorted(os.listdir(server.root)) == [".rc", "a.txt", "outside"]


@blocking
def test_directories_at_a_terminal(server: Server, home: Path) -> None:
    with Terminal(at(server), cwd=home) as terminal:
        terminal.prompt()
        terminal.type("cd ph\t\r")
        terminal.prompt()
        terminal.type("pwd\r")
        terminal.expect("/photos\r\n")
        terminal.prompt()
        terminal.type("get 20\t\t\r")
        terminal.expect(r"2025/sea.jpg: 4 bytes")
        terminal.prompt()
        terminal.type("ls --js\t\r")
        terminal.expect(r'\{"name": "\.cache"')
        terminal.prompt()
        terminal.type("lcd /\r")
        terminal.prompt()
        terminal.type("lpwd\r")
        terminal.expect(r"\x1b\[\?2004l/\r\n")
        terminal.prompt()
        terminal.type("help rm\r")
        terminal.expect(r"-r, --recursive")
        terminal.prompt()
        terminal.type("\x04")
        assert terminal.end() == 0
    assert (home / "sea.jpg").exists()


@blocking
def test_the_shell_goes_back_to_its_directory(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve("--idle-timeout", "0.5")
    (server.root / "deep" / "er").mkdir(parents=True)
    with Terminal(at(server), cwd=tmp_path) as terminal:
        terminal.prompt()
        terminal.type("cd deep/er\r")
        terminal.prompt()
        until_connected(terminal.process, 0)
        terminal.type("pwd\r")
        terminal.expect("was lost; connecting again")
        terminal.expect("/deep/er\r\n")
        terminal.prompt()
        until_connected(terminal.process, 0)
        (server.root / "deep" / "er").rmdir()
        terminal.type("ls\r")
        terminal.expect("File not found. /deep/er cannot be entered any more; from here on this is /.")
        terminal.prompt()
        terminal.type("ls\r")
        terminal.expect("deep/\r\n")


@blocking
def test_a_plain_server(tmp_path: Path) -> None:
    """One that knows section 3 of the protocol alone says no to the rest in words that help."""
    for line in ("ls -l", "cd x", "stat x", "rm x", "mkdir -p x", "checksum x"):
        words = line.split()
        with talker(GREETING, "ERROR: Unknown command.", "SUCCESS: Goodbye.") as address:
            if words[0] == "cd":
                done = client(address, cwd=tmp_path, stdin=line.encode())
            else:
                done = client(address, *words, cwd=tmp_path)
        assert done.returncode == 1, done
        (told,) = done.stderr.decode().splitlines()
        assert "Not supported." in told
        assert "See with features" in told
