"""The sandbox (server/sandbox.py), entered by a process of its own: it is never left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from typing import Any

import pytest
from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite.server import sandbox
from twisted_ftplite.server.config import CannotStart, Config

_INSIDE = """
import json, os, sys, threading
from twisted_ftplite.limits import Limits
from twisted_ftplite.server import sandbox
from twisted_ftplite.server.config import Config

told = json.loads(os.read(0, 65536))
config = Config(**told["config"], limits=Limits())
threads = [threading.Thread(target=input) for _ in range(told["threads"])]
for each in threads:
    each.daemon = True
    each.start()
said = [sandbox.enter(config, told["roots"])]
print(json.dumps(said), flush=True)
os.read(0, 1)
for line in told["lines"]:
    try:
        said.append(str(eval(line)))
    except OSError as error:
        said.append(type(error).__name__)
print(json.dumps(said), flush=True)
"""

DENIED = "PermissionError"


class SandboxTests(SynchronousTestCase):
    if sandbox.version() < sandbox.OLDEST:
        skip = "this kernel has no Landlock"

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = os.path.realpath(temporary.name)
        for each in ("tree/a", "tree/b", "etc", "archive", "log", "home", "else"):
            os.makedirs(os.path.join(self.folder, each))
        for each in ("tree/f", "etc/users", "archive/key1", "home/secret", "else/f", "log/log"):
            self.write(each, each)
        self.config: dict[str, Any] = {"root": self.path("tree"), "sandbox": "on"}

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def write(self, name: str, content: str) -> None:
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(content)

    def inside(
        self,
        *lines: str,
        threads: int = 0,
        roots: tuple[str, ...] = (),
        meanwhile: Any = lambda: None,
    ) -> list[str]:
        """What `enter` says, and what each line then comes to: a value, or the name of an `OSError`."""
        told = {
            "config": self.config,
            "threads": threads,
            "roots": roots,
            "lines": [each.replace("~", self.folder) for each in lines],
        }
        with subprocess.Popen(
            [sys.executable, "-c", _INSIDE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(told).encode())
            process.stdin.flush()
            process.stdout.readline()  # it has entered
            meanwhile()
            process.stdin.close()
            said: list[str] = json.loads(process.stdout.read())
        return said

    def test_the_tree_and_nothing_else(self) -> None:
        said = self.inside(
            "open('~/tree/f').read()",
            "sorted(os.listdir('~/tree'))",
            "open('~/tree/a/new', 'w').write('12')",
            "os.truncate('~/tree/a/new', 1)",
            "open('~/home/secret').read()",
            "open('~/home/new', 'w')",
            "os.listdir('~')",
            "os.listdir('/')",
            "os.unlink('~/home/secret')",
            "os.truncate('~/home/secret', 0)",
            "os.rename('~/tree/f', '~/home/f')",
            "os.link('~/home/secret', '~/tree/link')",
            "os.mkdir('~/new')",
            "os.execv('/bin/true', ['true'])",
            "open('/proc/1/status').read()",
        )
        assert said[:5] == ["", "tree/f", "['a', 'b', 'f']", "2", "None"]
        assert said[5:] == [*[DENIED] * 7, "OSError", *[DENIED] * 3]  # a link elsewhere is EXDEV
        assert sorted(os.listdir(self.path("home"))) == ["secret"]

    def test_what_a_server_does_in_the_tree(self) -> None:
        os.mkfifo(self.path("tree/fifo"))
        os.symlink("f", self.path("tree/link"))
        assert self.inside(
            "os.open('~/tree/a', os.O_TMPFILE | os.O_RDWR, 0o600) > 2",
            "globals().update(made=os.open('~/tree/a', os.O_TMPFILE | os.O_RDWR, 0o600))",
            "os.link(f'/proc/self/fd/{made}', 'g', dst_dir_fd=os.open('~/tree/a', os.O_PATH))",
            "os.rename('~/tree/a/g', '~/tree/b/h')",
            "os.mkdir('~/tree/b/d')",
            "os.rename('~/tree/b/d', '~/tree/a/d')",
            "os.rename('~/tree/fifo', '~/tree/a/fifo')",
            "os.rename('~/tree/link', '~/tree/a/link')",
            "os.rmdir('~/tree/a/d')",
            "os.unlink('~/tree/b/h')",
            "os.mknod('~/tree/device', 0o60600, 0)",
        ) == ["", "True", *["None"] * 9, DENIED]  # fmt: skip

    def test_other_trees(self) -> None:
        assert self.inside(
            "open('~/home/secret').read()",
            "os.rename('~/home/secret', '~/tree/secret')",
            "open('~/else/f').read()",
            roots=(self.path("home"),),
        ) == ["", "home/secret", "None", DENIED]

    def test_files_that_are_replaced_are_read_again(self) -> None:
        os.symlink("../archive/key1", self.path("etc/key"))
        self.config |= {
            "users": self.path("etc/users"),
            "key": self.path("etc/key"),
            "certificate": self.path("etc/key"),
        }

        def replace() -> None:
            self.write("etc/new", "new users")
            os.rename(self.path("etc/new"), self.path("etc/users"))
            self.write("archive/key2", "new key")
            os.unlink(self.path("etc/key"))
            os.symlink("../archive/key2", self.path("etc/key"))

        assert self.inside(
            "open('~/etc/users').read()",
            "open('~/etc/key').read()",
            "open('~/etc/users', 'w')",
            "os.unlink('~/etc/key')",
            meanwhile=replace,
        ) == ["", "new users", "new key", DENIED, DENIED]

    def test_the_log_is_written_and_put_away(self) -> None:
        self.config |= {"log_file": self.path("log/log"), "pid_file": self.path("else/f")}
        assert self.inside(
            "os.rename('~/log/log', '~/log/log.1')",
            "open('~/log/log', 'w').write('1')",
            "os.unlink('~/log/log.1')",
            "open('~/else/f').read()",
            "os.unlink('~/else/f')",
            "open('~/else/f', 'w')",
        ) == ["", "None", "1", "None", DENIED, "None", DENIED]

    def test_what_python_and_the_system_need(self) -> None:
        assert self.inside(
            "__import__('sqlite3') and None",
            "__import__('encodings.idna') and None",
            "__import__('pwd').getpwuid(0).pw_uid",
            "__import__('linecache').getline(os.__file__, 1)[:4]",
            "len(open('/dev/urandom', 'rb').read(3))",
            "open('/dev/null', 'w').write('1')",
        ) == ["", "None", "None", "0", 'r"""', "3", "1"]

    def test_threads_that_come_later(self) -> None:
        assert self.inside(
            "__import__('concurrent.futures').futures.ThreadPoolExecutor(1)"
            ".submit(open, '~/home/secret').result()"
        ) == ["", DENIED]

    def test_threads_that_were_there_before(self) -> None:
        self.config["sandbox"] = "auto"
        notice, found = self.inside("open('~/home/secret').read()", threads=1)
        assert "there are threads already" in notice
        assert found == "home/secret"

    def test_off(self) -> None:
        self.config["sandbox"] = "off"
        assert self.inside("open('~/home/secret').read()") == ["", "home/secret"]


class RefusalTests(SynchronousTestCase):
    """Files from whose folder nothing can be told apart."""

    if sandbox.version() < sandbox.OLDEST:
        skip = "this kernel has no Landlock"

    def test_files_of_the_root_folder(self) -> None:
        sandbox.check(Config("/srv", sandbox="on", users="/etc/users", pid_file="/pid"))
        for name in ("log_file", "users", "key"):
            config = Config(**{**asdict(Config("/srv")), "sandbox": "on", name: "/file"})
            with pytest.raises(CannotStart, match="/file has no folder of its own"):
                sandbox.check(config)

    def test_pam(self) -> None:
        with pytest.raises(CannotStart, match="PAM"):
            sandbox.check(Config("/srv", sandbox="on"), asks_pam=True)
        assert "PAM" in sandbox.enter(Config("/srv", sandbox="auto"), asks_pam=True)
        sandbox.check(Config("/srv", sandbox="auto"), asks_pam=True)
