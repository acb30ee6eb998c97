"""The house's rules, read from its source (docs/design.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGE = CHECKOUT / "twisted_ftplite"
FILE_LENGTH = 350
FUNCTION_LENGTH = 60

FLOORS = {
    "": 0,
    "errors": 0,
    "limits": 0,
    "protocol": 1,
    "storage": 2,
    "flow": 3,
    "server": 4,
    "client": 4,
    "ops": 5,
    "testing": 5,
    "tap": 6,
    "cli": 6,
    "passwd": 6,
}
"""Each room's floor: an import may only go down, or stay in its room."""

NO_FILES_OR_SOCKETS = {
    "asyncio",
    "ctypes",
    "fcntl",
    "glob",
    "http",
    "io",
    "mmap",
    "os",
    "pathlib",
    "select",
    "selectors",
    "shutil",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib",
}

KNOWN_VIOLATIONS: dict[str, set[str]] = {
    "file length": set(),
    "function length": set(),
    "socket options": set(),
}
"""What breaks a rule today, by rule.  A violation that is mended has to leave this table."""


class Import(NamedTuple):
    """One name that a module imports."""

    by: str
    """The module, as its path inside the package without ``.py``."""

    of: str
    """Dotted; what is inside the package begins with a dot."""

    in_function: bool
    for_types: bool
    """Under ``if TYPE_CHECKING:``."""


@cache
def modules() -> dict[str, ast.Module]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).with_suffix("").as_posix()
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def room(module: str) -> str:
    """Where a module lives: ``protocol/lines`` in ``protocol``, ``__init__`` in the house itself."""
    name = module.partition("/")[0]
    return "" if name == "__init__" else name


def imports(module: str, tree: ast.Module) -> Iterator[Import]:
    def walk(node: ast.AST, in_function: bool, for_types: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            match child:
                case ast.Import(names=names):
                    for alias in names:
                        yield Import(module, _own(alias.name), in_function, for_types)
                case ast.ImportFrom(module=source, names=names, level=level):
                    base = _absolute(module, source, level)
                    for alias in names:
                        yield Import(module, f"{base}.{alias.name}", in_function, for_types)
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                    yield from walk(child, True, for_types)
                case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                    yield from walk(child, in_function, True)
                case _:
                    yield from walk(child, in_function, for_types)

    yield from walk(tree, False, False)


def _own(name: str) -> str:
    head, _, rest = name.partition(".")
    return f".{rest}" if head == "twisted_ftplite" else name


def _absolute(module: str, source: str | None, level: int) -> str:
    """The dotted name behind ``from``."""
    if not level:
        return _own(source or "").rstrip(".")
    parts = module.split("/")[:-level]
    return "." + ".".join([*parts, *(source.split(".") if source else [])])


def _target(name: str) -> str | None:
    """The module inside the package that a dotted name means, or is in; None outside."""
    if not name.startswith("."):
        return None
    parts = [part for part in name.split(".") if part]
    for length in range(len(parts), 0, -1):
        path = "/".join(parts[:length])
        for module in (path, f"{path}/__init__"):
            if module in modules():
                return module
    return "__init__"


@cache
def every_import() -> tuple[Import, ...]:
    return tuple(each for name, tree in modules().items() for each in imports(name, tree))


class ReaderTests(SynchronousTestCase):
    """The reader of imports, so that the rules below can be believed."""

    def test_it_reads_every_kind(self) -> None:
        source = (
            "import os.path\nfrom socket import socket\nfrom ..errors import A\nfrom . import tcp\n"
            "import twisted_ftplite.limits\n"
            "from twisted_ftplite.protocol import lines\n"
            "if TYPE_CHECKING:\n    from ..cli import main\n"
            "def f():\n    from twisted.internet import reactor\n"
        )
        found = list(imports("flow/channel", ast.parse(source)))
        assert [each.of for each in found] == [
            "os.path",
            "socket.socket",
            ".errors.A",
            ".flow.tcp",
            ".limits",
            ".protocol.lines",
            ".cli.main",
            "twisted.internet.reactor",
        ]
        assert [each.of for each in found if each.in_function] == ["twisted.internet.reactor"]
        assert [each.of for each in found if each.for_types] == [".cli.main"]
        assert _target(".errors.A") == "errors"
        assert _target(".flow.tcp") == "flow/tcp"
        assert _target(".protocol.lines") == "protocol/lines"
        assert _target("os.path") is None

    def test_it_finds_the_house(self) -> None:
        assert {"errors", "limits", "protocol/lines", "storage/memory", "flow/tcp", "server/control"} <= set(
            modules()
        )
        assert len(every_import()) > 100


class FloorTests(SynchronousTestCase):
    def test_every_room_has_a_floor(self) -> None:
        assert {room(module) for module in modules()} <= set(FLOORS)

    def test_imports_only_go_down(self) -> None:
        up = []
        for each in every_import():
            target = _target(each.of)
            if target is None:
                continue
            here, there = room(each.by), room(target)
            if here != there and FLOORS[there] >= FLOORS[here] and there not in ("", "errors", "limits"):
                up.append(f"{each.by} imports {target}")
        assert up == []

    def test_the_ground_floor_imports_nothing_of_ours(self) -> None:
        for each in every_import():
            if room(each.by) in ("errors", "limits", ""):
                assert _target(each.of) is None, each

    def test_server_and_client_know_nothing_of_each_other(self) -> None:
        rooms = {"server", "client"}
        for each in every_import():
            target = _target(each.of)
            if target is not None and room(each.by) in rooms:
                assert room(target) not in rooms - {room(each.by)}, each

    def test_no_circles(self) -> None:
        needs: dict[str, set[str]] = {module: set() for module in modules()}
        for each in every_import():
            target = _target(each.of)
            if target is not None and target != each.by and not each.for_types:
                needs[each.by].add(target)
        left = dict(needs)
        while left:
            free = [module for module, needed in left.items() if not needed & left.keys()]
            assert free, f"a circle among {sorted(left)}"
            for module in free:
                del left[module]


class WindowTests(SynchronousTestCase):
    """What a room may see of the world outside."""

    def outside(self, *rooms: str) -> list[Import]:
        return [each for each in every_import() if room(each.by) in rooms and _target(each.of) is None]

    def test_the_protocol_is_pure(self) -> None:
        for each in self.outside("protocol", "limits"):
            head = each.of.partition(".")[0]
            assert head not in NO_FILES_OR_SOCKETS | {"twisted", "zope"}, each
        for module, tree in modules().items():
            if room(module) == "protocol":
                called = {
                    node.func.id
                    for node in ast.walk(tree)
                    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
                }
                assert not called & {"open", "print", "input", "exec", "eval", "__import__"}, module

    def test_storage_knows_no_twisted_and_no_sockets(self) -> None:
        for each in self.outside("storage"):
            assert each.of.partition(".")[0] not in {"twisted", "zope", "socket", "select", "asyncio"}, each

    def test_the_global_reactor(self) -> None:
        """Imported inside functions of tap.py and cli.py alone."""
        for each in every_import():
            if each.of in ("twisted.internet.reactor", "twisted.internet.default.install"):
                assert each.by in ("tap", "cli"), each
                assert each.in_function, each

    def test_socket_options_are_set_in_one_place(self) -> None:
        found = set()
        for module, tree in modules().items():
            for node in ast.walk(tree):
                name = (
                    node.attr
                    if isinstance(node, ast.Attribute)
                    else node.id
                    if isinstance(node, ast.Name)
                    else ""
                )
                if name in ("setsockopt", "getsockopt") or name.startswith(
                    ("TCP_", "SO_", "SOL_", "IP_", "IPPROTO_")
                ):
                    found.add(f"{module}.py")
        assert found - {"flow/tcp.py"} == KNOWN_VIOLATIONS["socket options"]


class SizeTests(SynchronousTestCase):
    def test_files(self) -> None:
        long = set()
        for module in modules():
            path = PACKAGE / f"{module}.py"
            if len(path.read_text(encoding="utf-8").splitlines()) >= FILE_LENGTH:
                long.add(f"{module}.py")
        assert long == KNOWN_VIOLATIONS["file length"]

    def test_functions(self) -> None:
        long = set()
        for module, tree in modules().items():
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    assert node.end_lineno is not None
                    if node.end_lineno - node.lineno + 1 >= FUNCTION_LENGTH:
                        long.add(f"{module}.{node.name}")
        assert long == KNOWN_VIOLATIONS["function length"]

    def test_every_module_says_what_it_is(self) -> None:
        silent = [module for module, tree in modules().items() if not ast.get_docstring(tree)]
        assert silent == []


class PluginTests(SynchronousTestCase):
    def test_the_plugin_folders_are_no_packages(self) -> None:
        """An ``__init__.py`` there would hide Twisted, or its other plugins."""
        folders = CHECKOUT / "twisted"
        assert not (folders / "__init__.py").exists()
        assert not (folders / "plugins" / "__init__.py").exists()
        assert [each.name for each in (folders / "plugins").glob("*.py")] == ["ftplite_plugin.py"]
