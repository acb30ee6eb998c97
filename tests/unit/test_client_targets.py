"""Files that a get writes, and the partials they leave."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from twisted_ftplite.client.targets import Identity, LocalTarget
from twisted_ftplite.errors import LocalFileTrouble

WHO = Identity("localhost 2121", "/a b", 10, 1_000_000)


def begin(
    folder: Path, data: bytes = b"begun", who: Identity | None = WHO, *, named: bool = False
) -> LocalTarget:
    target = LocalTarget(str(folder / "f"), set())
    target.identity = who
    if named:
        target.open_named()
    target.write(data)
    return target


def resumed(folder: Path, most: int = 10, who: Identity = WHO) -> tuple[int | None, LocalTarget]:
    target = LocalTarget(str(folder / "f"), set())
    target.identity = who
    return target.resume(most), target


@pytest.mark.parametrize("named", [False, True])
def test_what_was_kept_is_gone_on_with(tmp_path: Path, named: bool) -> None:
    target = begin(tmp_path, named=named)
    assert len(os.listdir(tmp_path)) == named
    target.keep()
    (partial,) = os.listdir(tmp_path)
    assert partial.startswith(".ftplite-part-")
    assert (tmp_path / partial).stat().st_mode & 0o777 == 0o600
    held, target = resumed(tmp_path)
    assert held == 5
    assert target.read(0, 10) == b"begun"
    target.write(b" done")
    target.publish()
    assert os.listdir(tmp_path) == ["f"]
    assert (tmp_path / "f").read_bytes() == b"begun done"
    assert resumed(tmp_path)[0] is None


def test_it_survives_its_process(tmp_path: Path) -> None:
    target = begin(tmp_path, named=True)
    descriptor = target.fileno()
    assert descriptor is not None
    os.close(descriptor)  # as a kill would
    held, again = resumed(tmp_path)
    assert held == 5
    again.discard()
    assert os.listdir(tmp_path) == []


def test_another_file_has_another_partial(tmp_path: Path) -> None:
    begin(tmp_path).keep()
    for other in (
        Identity("localhost 2122", "/a b", 10, 1_000_000),
        Identity("localhost 2121", "/a", 10, 1_000_000),
        Identity("localhost 2121", "/a b", 11, 1_000_000),
        Identity("localhost 2121", "/a b", 10, 2_000_000),
    ):
        assert resumed(tmp_path, who=other)[0] is None
    target = LocalTarget(str(tmp_path / "g"), set())
    target.identity = WHO
    assert target.resume(10) is None


def test_older_ones_are_removed(tmp_path: Path) -> None:
    older = Identity("localhost 2121", "/a b", 12, 900_000)
    other = Identity("localhost 2121", "/other", 12, 900_000)
    for who in (older, other, WHO):
        begin(tmp_path, who=who).keep()
    held = begin(tmp_path, who=older._replace(size=13), named=True)
    target = LocalTarget(str(tmp_path / "f"), set())
    target.remove_older()
    assert len(os.listdir(tmp_path)) == 4
    target.identity = WHO
    target.remove_older()
    assert len(os.listdir(tmp_path)) == 3
    assert [resumed(tmp_path, 20, who)[0] for who in (older, other, WHO)] == [None, 5, 5]
    held.discard()
    for gone in ("/none/f", "/dev/null"):
        target = LocalTarget(gone, set())
        target.identity = WHO
        target.remove_older()


def test_one_that_is_too_long_is_removed(tmp_path: Path) -> None:
    begin(tmp_path).keep()
    assert resumed(tmp_path, most=4)[0] is None
    assert os.listdir(tmp_path) == []


def test_starting_over_replaces_it(tmp_path: Path) -> None:
    begin(tmp_path, b"old").keep()
    target = begin(tmp_path, b"new", named=True)
    assert len(os.listdir(tmp_path)) == 1
    target.keep()
    assert resumed(tmp_path)[1].read(0, 10) == b"new"


def test_two_at_once(tmp_path: Path) -> None:
    first = begin(tmp_path, b"first", named=True)
    assert resumed(tmp_path)[0] is None
    second = begin(tmp_path, b"second", named=True)
    assert len(os.listdir(tmp_path)) == 1
    second.keep()  # the name is the first one's
    first.publish()
    assert os.listdir(tmp_path) == ["f"]
    assert (tmp_path / "f").read_bytes() == b"first"


def test_nothing_to_keep(tmp_path: Path) -> None:
    for target in (
        begin(tmp_path, b"", named=True),
        begin(tmp_path, who=None),
        LocalTarget("/none/f", set()),
    ):
        target.keep()
        assert os.listdir(tmp_path) == []


def test_what_is_no_partial_of_ours_is_not_touched(tmp_path: Path) -> None:
    begin(tmp_path).keep()
    partial = tmp_path / os.listdir(tmp_path)[0]
    (tmp_path / "other").write_bytes(b"precious")
    partial.unlink()
    partial.symlink_to("other")
    held, target = resumed(tmp_path)
    assert held is None
    target = begin(tmp_path, named=True)
    target.publish()
    assert (tmp_path / "other").read_bytes() == b"precious"
    partial.unlink()
    os.link(tmp_path / "other", partial)
    assert resumed(tmp_path)[0] is None
    assert (tmp_path / "other").read_bytes() == b"precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to give a file away")
def test_a_strangers_partial_is_not_gone_on_with(tmp_path: Path) -> None:
    begin(tmp_path).keep()
    os.chown(tmp_path / os.listdir(tmp_path)[0], 65534, 65534)
    assert resumed(tmp_path)[0] is None


def test_the_partial_of_a_link_lies_beside_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "real").write_bytes(b"old")
    (tmp_path / "f").symlink_to("there/real")
    begin(tmp_path, named=True).keep()
    assert len(os.listdir(tmp_path / "there")) == 2
    held, target = resumed(tmp_path)
    assert held == 5
    target.publish()
    assert (tmp_path / "f").is_symlink()
    assert (tmp_path / "there" / "real").read_bytes() == b"begun"


def test_attributes(tmp_path: Path) -> None:
    for named in (False, True):
        target = begin(tmp_path, named=named)
        target.set_attributes(1_500_000_000_123_456_000, 0o640)
        target.publish()
        found = (tmp_path / "f").stat()
        assert (found.st_mtime_ns, found.st_mode & 0o777) == (1_500_000_000_123_456_000, 0o640)
    there = LocalTarget(str(tmp_path / "f"), set())
    assert there.size_there() == 5
    there.set_attributes(1_400_000_000_000_000_000, 0o600)
    there.adopt()
    found = (tmp_path / "f").stat()
    assert (found.st_mtime_ns, found.st_mode & 0o777) == (1_400_000_000_000_000_000, 0o600)
    assert (tmp_path / "f").read_bytes() == b"begun"


def test_what_is_no_file(tmp_path: Path) -> None:
    null = LocalTarget("/dev/null", set())
    null.identity = WHO
    assert null.resume(10) is None
    assert null.size_there() is None
    null.open_named()
    assert null.in_place
    assert not null.waits
    null.write(b"gone")
    assert null.read(0, 4) == b""
    null.keep()
    directory = LocalTarget(str(tmp_path), set())
    directory.identity = WHO
    for call in (directory.open, directory.open_named, lambda: directory.resume(1)):
        with pytest.raises(LocalFileTrouble):
            call()
    missing = LocalTarget(str(tmp_path / "no" / "f"), set())
    missing.identity = WHO
    assert missing.resume(10) is None
    assert missing.size_there() is None
    with pytest.raises(LocalFileTrouble):
        missing.open_named()
