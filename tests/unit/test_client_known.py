"""The file of servers that were met with TLS."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite.client.known import Known, KnownServers
from twisted_ftplite.errors import LocalFileTrouble

PRINT = "sha256:" + "0f" * 32
OTHER = "sha256:" + "a1" * 32


class KnownServersTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name, "state", "known_servers")
        self.known = KnownServers(str(self.path))

    def hold(self, text: str) -> None:
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text(text)

    def test_nothing_is_known_at_first(self) -> None:
        assert self.known.find("h", 2121) is None
        assert not self.path.parent.exists()

    def test_what_was_remembered_is_found(self) -> None:
        self.known.remember("Files.Example.org.", 2121, "ca")
        self.known.remember("192.0.2.7", 99, PRINT)
        assert self.path.read_text() == f"files.example.org 2121 ca\n192.0.2.7 99 {PRINT}\n"
        assert self.known.find("files.example.org", 2121) == Known("ca", 1)
        assert self.known.find("192.0.2.7", 99) == Known(PRINT, 2)
        assert self.known.find("192.0.2.7", 2121) is None
        assert os.stat(self.path).st_mode & 0o777 == 0o600
        assert os.listdir(self.path.parent) == ["known_servers"]

    def test_one_host_has_many_spellings(self) -> None:
        self.known.remember("2001:DB8:0::1", 2121, "ca")
        assert self.known.find("2001:db8::1", 2121) == Known("ca", 1)

    def test_the_first_word_stands(self) -> None:
        self.known.remember("h", 2121, PRINT)
        self.known.remember("h", 2121, OTHER)
        assert self.path.read_text() == f"h 2121 {PRINT}\n"

    def test_other_lines_are_left_alone(self) -> None:
        self.hold(f"# mine\n\nh 2121\nh x ca y\nH 2121 {PRINT.upper()}\nlast \u2028 line")
        assert self.known.find("h", 2121) == Known(PRINT, 5)
        before = self.path.read_text()
        self.known.remember("i", 2121, "ca")
        assert self.path.read_text() == before + "\ni 2121 ca\n"

    def test_a_line_that_says_nothing_is_no_ignorance(self) -> None:
        self.hold("h 2121 sha256:00\n")
        with pytest.raises(LocalFileTrouble, match="line 1 says neither"):
            self.known.find("h", 2121)
        assert self.known.find("i", 2121) is None

    def test_a_file_that_cannot_be_read_is_no_ignorance(self) -> None:
        self.path.mkdir(parents=True)
        with pytest.raises(LocalFileTrouble, match="known_servers: Is a directory"):
            self.known.find("h", 2121)

    def test_a_folder_that_cannot_be_made(self) -> None:
        Path(self.path.parent).write_text("")
        with pytest.raises(LocalFileTrouble):
            self.known.remember("h", 2121, "ca")
