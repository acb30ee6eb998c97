"""The package as it is installed: a wheel with the plugin, and Twisted's commands that find it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
SOURCES = ("twisted_ftplite", "twisted", "pyproject.toml", "README.md", "LICENSE", ".gitignore")
PLUGIN = "twisted/plugins/ftplite_plugin.py"
COMMANDS = {
    "twistd": "from twisted.scripts.twistd import run; run()",
    "twist": "from twisted.application.twist._twist import Twist; Twist.main()",
}


def run(*command: str | Path, cwd: Path) -> str:
    """The output of a command that must succeed, and which no folder of ours leads to the package."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))
    }
    done = subprocess.run(
        [str(each) for each in command],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is packaged, with what Twisted leaves behind in a checkout that was run."""
    copy = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        if (CHECKOUT / name).is_dir():
            shutil.copytree(CHECKOUT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(CHECKOUT / name, copy / name)
    (copy / "twisted" / "plugins" / "dropin.cache").write_bytes(b"stale")
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel, made without the network by the build tool of the running environment."""
    pytest.importorskip("hatchling", reason="the build backend is not installed")
    target = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", target, source, cwd=target)
    (built,) = target.glob("*.whl")
    return built


class Environment:
    """A fresh virtual environment that sees the libraries of the running one, but no package of ours."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        self.folder = folder
        self.python = folder / "bin" / "python"
        (self.packages,) = folder.glob("lib/python*/site-packages")
        libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        (self.packages / "libraries.pth").write_text("".join(f"{each}\n" for each in sorted(libraries)))

    def install(self, *what: str | Path) -> None:
        """With the running environment's pip, and without any network."""
        pip = (sys.executable, "-m", "pip", "--python", self.python, "--disable-pip-version-check")
        run(*pip, "install", "--quiet", "--no-deps", "--no-index", *what, cwd=self.folder)

    def where(self, module: str, cwd: Path) -> Path:
        """The file that a module is imported from."""
        code = f"import {module} as module; print(module.__file__)"
        return Path(run(self.python, "-c", code, cwd=cwd).strip())


@pytest.fixture(scope="module", params=["wheel", "editable"])
def installed(
    request: pytest.FixtureRequest, source: Path, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    """An environment with the package, installed in either way."""
    environment = Environment(tmp_path_factory.mktemp(request.param) / "venv")
    if request.param == "wheel":
        environment.install(wheel)
    else:
        environment.install("--no-build-isolation", "--editable", source)
    return environment


def test_the_wheel_holds_the_plugin_and_nothing_stale(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert PLUGIN in names
    assert "twisted_ftplite/__init__.py" in names
    assert [name for name in names if name.endswith("dropin.cache")] == []
    assert [name for name in names if name.endswith(("twisted/__init__.py", "plugins/__init__.py"))] == []
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {
        "twisted",
        "twisted_ftplite",
    }
    modules = {each.relative_to(CHECKOUT).as_posix() for each in (CHECKOUT / "twisted_ftplite").rglob("*.py")}
    assert modules <= set(names)
    static = CHECKOUT / "twisted_ftplite" / "ops" / "static"
    shown = {each.relative_to(CHECKOUT).as_posix() for each in static.rglob("*") if each.is_file()}
    assert len(shown) == 7
    assert shown <= set(names)
    assert [each for each in names if each.endswith("licenses/twisted_ftplite/ops/static/uplot/LICENSE")]


def test_it_is_imported_from_where_it_was_installed(
    installed: Environment, source: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    found = installed.where("twisted_ftplite", tmp_path)
    root = source if "editable" in request.node.name else installed.packages
    assert found == root / "twisted_ftplite" / "__init__.py"


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_twisted_lists_it(installed: Environment, command: str, tmp_path: Path) -> None:
    listed = run(installed.python, "-c", COMMANDS[command], "--help", cwd=tmp_path)
    (line,) = [each for each in listed.splitlines() if each.split()[:1] == ["ftplite"]]
    assert "Serve a folder over FTPLite" in line


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_its_options_are_told(installed: Environment, command: str, tmp_path: Path) -> None:
    told = run(installed.python, "-c", COMMANDS[command], "ftplite", "--help", cwd=tmp_path)
    assert "--root=" in told
    assert "--read-only" in told


def test_the_client_is_a_command(installed: Environment, tmp_path: Path) -> None:
    told = run(installed.folder / "bin" / "ftplite-client", "--help", cwd=tmp_path)
    assert "Usage" in told


def test_nothing_is_listed_where_it_is_not_installed(tmp_path: Path) -> None:
    """So that the tests above can fail."""
    environment = Environment(tmp_path / "venv")
    listed = run(environment.python, "-c", COMMANDS["twistd"], "--help", cwd=tmp_path)
    assert "ftplite" not in listed
