"""What a server says of itself and of names, as the client reads it."""

from __future__ import annotations

import pytest

from twisted_ftplite.client.description import (
    read_checksum,
    read_description,
    read_directory,
    read_offered,
)
from twisted_ftplite.client.wishes import DEFAULT, choose
from twisted_ftplite.errors import NotSupported, ProtocolViolation
from twisted_ftplite.protocol.lines import Field, decode
from twisted_ftplite.protocol.values import Checksum


def fields(*lines: str) -> list[Field]:
    read = [decode(line.encode()) for line in lines]
    assert all(isinstance(each, Field) for each in read)
    return [each for each in read if isinstance(each, Field)]


def test_features() -> None:
    offered = read_offered(["files", "checksum xxh128 sha256", "", "new one"])
    assert offered == {"files": (), "checksum": ("xxh128", "sha256"), "new": ("one",)}
    assert choose(DEFAULT, offered) == "xxh128"
    assert choose("sha256", offered) == "sha256"
    assert choose(None, offered) is None
    assert choose(DEFAULT, {}) is None
    assert choose(DEFAULT, {"checksum": ("sha256",)}) is None
    for algorithm in ("blake3", "default "):
        with pytest.raises(NotSupported):
            choose(algorithm, offered)


def test_descriptions() -> None:
    found = read_description(
        fields(
            "Type: file",
            "Link: yes",
            "File size: 7 bytes",
            "Modified: 1970-01-01T00:00:01.5Z",
            "Mode: 0640",
            "Partial size: 3 bytes",
            "Partial checksum: xxh128 " + "AB" * 16,
            "Session: {}",
        )
    )
    assert found == ("file", 7, 1_500_000_000, 0o640, True, 3, Checksum("xxh128", "ab" * 16))
    assert read_description(fields("Type: none", "Partial size: 0 bytes")) == (
        *("none", None, None, None, False),
        *(0, None),
    )
    # The first counts.
    assert read_description(fields("Type: directory", "Type: file")).kind == "directory"


@pytest.mark.parametrize(
    "line",
    [
        "Type: files",
        "Type:file",
        "File size: 1",
        "Modified: now",
        "Mode: 644",
        "Partial size: -1 bytes",
        "Link:yes",
    ],
)
def test_descriptions_that_make_no_sense(line: str) -> None:
    lines = [line] if line.startswith("Type") else ["Type: file", line]
    with pytest.raises(ProtocolViolation):
        read_description(fields(*lines))
    with pytest.raises(ProtocolViolation):
        read_description([])


def test_checksums() -> None:
    digest = "0f" * 16
    assert read_checksum(fields(f"Checksum: xxh128 {digest}"), "xxh128") == ("xxh128", digest)
    for lines in ([], [f"Checksum: xxh128 {digest}"], ["Checksum: sha256"]):
        with pytest.raises(ProtocolViolation):
            read_checksum(fields(*lines), "sha256")


def test_directories() -> None:
    assert read_directory(fields("Directory: /a b")) == "/a b"
    assert read_directory(fields('Directory: "/\\udcff"')) == "/\udcff"
    for lines in ([], ["Directory:"], ['Directory: "'], ['Directory: "/a" "/b"']):
        with pytest.raises(ProtocolViolation):
            read_directory(fields(*lines))
