"""Nothing outside the served tree can be opened, listed or written, through symbolic links either."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path as LocalPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from twisted_ftplite.errors import (
    FileNotFound,
    FTPLiteError,
    NameNotAllowed,
    NotADirectory,
    NotARegularFile,
    from_oserror,
)
from twisted_ftplite.storage.interface import Entry
from twisted_ftplite.storage.jail import Jail
from twisted_ftplite.storage.local import LocalStorage

REPOSITORY = LocalPath(__file__).parents[2]


class JailTests(SynchronousTestCase):
    """With openat2 where the system has it."""

    walk = False

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.outside = LocalPath(temporary.name) / "outside"
        self.root = LocalPath(temporary.name) / "tree"
        for directory in (self.outside, self.root / "d" / "e"):
            directory.mkdir(parents=True)
        (self.outside / "secret").write_bytes(b"secret")
        (self.root / "file").write_bytes(b"file")
        (self.root / "d" / "inner").write_bytes(b"inner")
        self.storage = LocalStorage(str(self.root), umask=0o022, walk=self.walk)
        self.addCleanup(self.storage.close)

    def link(self, name: str, target: str) -> None:
        (self.root / name).symlink_to(target)

    def read(self, name: str) -> bytes | None:
        handle = self.storage.open_read(tuple(name.split("/")))
        handle.close()
        return handle.content

    def put(self, name: str, content: bytes) -> None:
        handle = self.storage.open_write(tuple(name.split("/")))
        handle.write(content)
        handle.publish()

    def assert_leads_out(self, *path: str) -> None:
        with pytest.raises(FileNotFound):
            self.storage.open_read(path)
        with pytest.raises(FileNotFound):
            self.storage.list(path)
        with contextlib.suppress(FileNotFound):
            assert self.storage.open_read_now(path) is None

    def test_links_that_stay_inside_are_followed(self) -> None:
        self.link("to_file", "file")
        self.link("to_directory", "d")
        self.link("d/up", "../file")
        self.link("d/e/top", "../..")
        self.link("round", "d/../d/./e//../inner")
        self.link("to_link", "to_directory")
        assert self.read("to_file") == b"file"
        assert self.read("to_directory/inner") == b"inner"
        assert self.read("d/up") == b"file"
        assert self.read("d/e/top/d/inner") == b"inner"
        assert self.read("round") == b"inner"
        assert self.read("to_link/up") == b"file"
        assert [entry.name for entry in self.storage.list(("to_link",))] == ["e", "inner", "up"]
        assert list(self.storage.list(("to_file",))) == [Entry("to_file", False)]

    def test_links_that_lead_out(self) -> None:
        self.link("absolute", str(self.root / "file"))
        self.link("absolute_directory", str(self.root))
        self.link("out", "../outside")
        self.link("out_to_file", "../outside/secret")
        self.link("out_and_back", "../tree/file")
        self.link("far_out", "../../../../../../etc/passwd")
        self.link("d/out", "e/../../../outside/secret")
        self.link("dangling", "nowhere")
        self.link("loop", "pool")
        self.link("pool", "loop")
        for name in ("absolute", "out_to_file", "out_and_back", "far_out", "dangling", "loop", "out"):
            self.assert_leads_out(name)
        for path in (("absolute_directory", "file"), ("out", "secret"), ("d", "out"), ("loop", "x")):
            self.assert_leads_out(*path)

    def test_listing_shows_links_as_what_they_lead_to(self) -> None:
        self.link("1_directory", "d")
        self.link("2_file", "file")
        self.link("3_outside", "../outside")
        self.link("4_absolute", str(self.root / "d"))
        self.link("5_dangling", "nowhere")
        self.link("6_loop", "6_loop")
        self.link("7_top", ".")
        self.link("8_below_a_file", "file/x")
        shown = {entry.name: entry.is_directory for entry in self.storage.list(())}
        links = {name: shown[name] for name in shown if name[0].isdigit()}
        assert [name for name in links if links[name]] == ["1_directory", "7_top"]
        assert len(links) == 8

    def test_as_many_links_as_the_kernel_follows(self) -> None:
        self.link("0", "file")
        for number in range(1, 41):
            self.link(str(number), str(number - 1))
        assert self.read("39") == b"file"
        self.assert_leads_out("40")

    def test_put_onto_a_link_replaces_the_link(self) -> None:
        self.link("inside", "file")
        self.link("outside", "../outside/secret")
        self.link("directory", "d")
        self.link("dangling", "../outside/new")
        for name in ("inside", "outside", "directory", "dangling"):
            self.put(name, b"new")
            assert not (self.root / name).is_symlink()
            assert (self.root / name).read_bytes() == b"new"
        assert (self.root / "file").read_bytes() == b"file"
        assert [each.name for each in self.outside.iterdir()] == ["secret"]
        assert (self.outside / "secret").read_bytes() == b"secret"

    def test_put_through_a_link(self) -> None:
        self.link("inside", "d")
        self.link("outside", "../outside")
        self.put("inside/new", b"new")
        assert (self.root / "d" / "new").read_bytes() == b"new"
        with pytest.raises(FileNotFound):
            self.storage.open_write(("outside", "new"))

    def test_directory_becomes_a_link_before_publish(self) -> None:
        handle = self.storage.open_write(("d", "new"))
        handle.write(b"new")
        (self.root / "d").rename(self.root / "moved")
        self.link("d", "../outside")
        with pytest.raises(FileNotFound):
            handle.publish()
        assert [each.name for each in self.outside.iterdir()] == ["secret"]
        assert {each.name for each in (self.root / "moved").iterdir()} == {"e", "inner"}

    def test_never_a_byte_from_outside_while_a_link_flips(self) -> None:
        (self.root / "d" / "secret").write_bytes(b"public")
        targets = ["d", "../outside", "d/../../outside", str(self.outside)]
        done = threading.Event()

        def flip() -> None:
            while not done.is_set():
                for target in targets:
                    self.link("next", target)
                    (self.root / "next").rename(self.root / "flip")

        self.link("flip", "d")
        flipping = threading.Thread(target=flip)
        flipping.start()
        seen = []
        try:
            for _ in range(3000):
                try:
                    seen.append(self.read("flip/secret"))
                except FileNotFound:
                    seen.append(None)
        finally:
            done.set()
            flipping.join()
        assert set(seen) <= {b"public", None}

    def test_what_is_no_file_is_refused_unopened(self) -> None:
        os.mkfifo(self.root / "fifo")
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(self.root / "socket"))
        names = ["fifo", "socket"]
        if os.geteuid() == 0:
            os.mknod(self.root / "device", 0o020666, os.makedev(1, 3))
            names.append("device")
        self.link("to_fifo", "fifo")
        for name in names:
            with pytest.raises(NotARegularFile):
                self.storage.open_read((name,))
            with pytest.raises(NotARegularFile):
                self.storage.open_write((name,))
            assert list(self.storage.list((name,))) == [Entry(name, False)]
        with pytest.raises(NotARegularFile):
            self.storage.open_read(("to_fifo",))

    def test_names_no_file_can_have(self) -> None:
        for name in ("x" * 256, "\0", "file\0more", "\ud800"):
            with pytest.raises(NameNotAllowed):
                self.storage.open_read((name,))
            with pytest.raises(NameNotAllowed):
                self.storage.open_write((name,))
        for name in ("..", "../outside/x", "."):
            with pytest.raises(NameNotAllowed):
                self.storage.open_write((name,))

    def test_path_longer_than_the_kernel_takes(self) -> None:
        path = ("x" * 250,) * 20
        here = os.open(self.root, os.O_RDONLY)
        for name in path:
            os.mkdir(name, dir_fd=here)
            below = os.open(name, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)
        self.addCleanup(shutil.rmtree, self.root / path[0])
        handle = self.storage.open_write((*path, "deep"))
        handle.write(b"deep")
        handle.publish()
        assert self.storage.open_read((*path, "deep")).content == b"deep"

    def test_no_descriptor_is_left_open(self) -> None:
        self.link("out", "../outside")
        self.link("to_file", "file")
        before = len(os.listdir("/proc/self/fd"))
        for path in (("file",), ("d",), ("out",), ("out", "secret"), ("missing",), ("to_file", "x")):
            for attempt in (self.storage.open_read, self.storage.open_read_now, self.storage.list):
                with contextlib.suppress(FTPLiteError):
                    attempt(path)
            with contextlib.suppress(FTPLiteError):
                self.storage.open_write(path).discard()
        assert len(os.listdir("/proc/self/fd")) == before


class WalkedJailTests(JailTests):
    """As on a system without openat2."""

    walk = True


SEGMENTS = st.sampled_from(["a", "b", "c", "..", ".", ""])
TARGETS = st.builds("/".join, st.lists(SEGMENTS, min_size=1, max_size=4)).filter(bool)
TREES = st.lists(st.tuples(TARGETS, TARGETS | st.none() | st.just(b"")), max_size=8)


class BothWaysTests(SynchronousTestCase):
    """The walk is what openat2 is, name by name."""

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.base = LocalPath(temporary.name)

    def grow(self, tree: list[tuple[str, str | bytes | None]]) -> LocalPath:
        """Directories (None), files (bytes) and links (text), made where they can be."""
        root = self.base / "outer" / "root"
        root.mkdir(parents=True)
        for name, what in tree:
            if name.startswith("/") or ".." in name:
                continue
            try:
                if what is None:
                    (root / name).mkdir(parents=True)
                elif isinstance(what, bytes):
                    (root / name).write_bytes(what)
                else:
                    (root / name).symlink_to(what)
            except OSError:
                continue
        return root

    @settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(TREES, st.lists(TARGETS, min_size=1, max_size=8))
    def test_both_find_the_same(self, tree: list[tuple[str, str | bytes | None]], paths: list[str]) -> None:
        root = self.grow(tree)
        jails = [Jail(str(root), walk=walk) for walk in (False, True)]
        try:
            for path in paths:
                first, second = (self.find(jail, path) for jail in jails)
                assert first == second, path
        finally:
            for jail in jails:
                jail.close()
            shutil.rmtree(self.base / "outer")

    def find(self, jail: Jail, path: str) -> int | type[FTPLiteError]:
        """The number of the file found, or what is said to the peer."""
        try:
            found = jail.find(os.fsencode(path))
        except OSError as failure:
            error = type(from_oserror(failure))
            return FileNotFound if error is NotADirectory else error
        try:
            return os.fstat(found).st_ino
        finally:
            os.close(found)


class StartTests(SynchronousTestCase):
    def test_root_must_be_a_directory(self) -> None:
        with pytest.raises(NotADirectoryError):
            LocalStorage(__file__, umask=0)
        with pytest.raises(FileNotFoundError):
            LocalStorage("/nowhere", umask=0)

    def test_closing_twice(self) -> None:
        storage = LocalStorage(os.path.dirname(__file__), umask=0)
        assert storage.notice == ""
        storage.close()
        storage.close()

    def test_without_openat2_a_line_says_so(self) -> None:
        if ctypes.sizeof(ctypes.c_void_p) != 8:
            raise SkipTest("the filter is written for 64 bits")
        program = SECCOMP + (
            "from twisted_ftplite.storage.local import LocalStorage\n"
            "storage = LocalStorage('tests', umask=0)\n"
            "print(storage.notice)\n"
            "print([entry.name for entry in storage.list(('unit',)) if 'jail' in entry.name][0])\n"
            "print(storage.open_read_now(('unit',)))\n"
        )
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.stderr == ""
        notice, *rest = run.stdout.splitlines()
        assert notice.startswith("openat2(2) is not to be had here (Operation not permitted)")
        assert rest == ["test_storage_jail.py", "None"]


SECCOMP = """
import ctypes, struct
# Load the number of the call; is it 437 (openat2)?  Then EPERM; else let it pass.
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, 437), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
code = b"".join(struct.pack("HBBI", *step) for step in steps)
filter = ctypes.create_string_buffer(code, len(code))
program = ctypes.create_string_buffer(struct.pack("HP", len(steps), ctypes.addressof(filter)))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, program) == 0
"""
