"""The words of the protocol and of the users file, taken from the package's own tables."""

from __future__ import annotations

from twisted_ftplite.errors import ERRORS, FAILURES
from twisted_ftplite.flow.tuning import PROFILES
from twisted_ftplite.protocol.lines import VERBS, FieldName, Success
from twisted_ftplite.protocol.listing import KINDS
from twisted_ftplite.protocol.options import TABLE
from twisted_ftplite.server.users import ACCESS, PERMISSIONS, SETTINGS

from .secret import HASHES, SECRET

TOKEN = "0123456789abcdef" * 2

VALUES = (
    "0", "1", "7 bytes", "0 bytes", "9223372036854775807", "9999999999999999999 bytes",
    "18446744073709551616",
    "1024", "65535", "passive", "xxh128", "blake3", "sha256", "json", "all", "0644", "0777", TOKEN,
    "2026-11-22T13:00:00.123456Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:60Z", "xxh128 0123456789abcdef",
    "f", "d", "d/e", "/", ".", "..", "../..", ".ftplite-x", '"f"', '"f" "g"', '"\\udc80"', '"\\ud800"',
    '"\\u0000"', "alice", "bob", "nobody", SECRET, "\u00e9", "\x85", "\U0001f4be",
)  # fmt: skip

BYTES = (
    b"\n", b"\r\n", b"\n\n", b"\r", b" ", b": ", b'"', b'" "', b"\\u", b"\\ud800", b"\x00", b"\x16\x03\x01",
    b" HTTP/1.1\n", b"\xff", b"\xed\xb3\xa9", b"\xc0\x80", b"#", b"=", b",", b"'", b"\\",
    b"abort\n", b"features\n", b"starttls\n", b"quit\n",
)  # fmt: skip

JSON = (
    b'{"name": "f", "type": "file", "size": 7, "mtime": 1.5, "mode": 420}\n', b'"name"', b'"type"', b'"size"',
    b'"mtime"', b'"mode"', b'"link"', b"true", b"null", b"NaN", b"Infinity", b"-1", b"1e400",
    b"1E-9999999999", b"-0.0000005", b"[[[[[[[[", b"{", b"}", b": ", b", ",
)  # fmt: skip


def words() -> list[bytes]:
    """The dictionary, each word once."""
    texts = [
        *VERBS,
        *(f"{each.name} " for each in VERBS.values() if each.arity[1]),
        *(f"{each}: " for each in FieldName),
        *(f"SUCCESS: {each}" for each in Success),
        *(f"FAILURE: {each}" for each in FAILURES),
        *(f"ERROR: {each}" for each in ERRORS),
        *("SUCCESS: ", "FAILURE: ", "ERROR: "),
        *dict.fromkeys(row.feature for row in TABLE.values()),
        *VALUES,
    ]
    return list(dict.fromkeys([*(each.encode() for each in texts), *BYTES, *steps()]))


def users_words() -> list[bytes]:
    """The dictionary of the users file."""
    settings = [f"{each}=" for each in SETTINGS]
    values = ["10G", "1Ki", "1000", "9223372036854775807", "a/b", "/", "..", "'B b'", '"B b"']
    values += ["1.5M", "08:00-18:00=2M,else=0", *PROFILES]
    texts = [*settings, *PERMISSIONS, *ACCESS, *values, *HASHES, "pam", "-", "alice ", "bob ", SECRET]
    return [*(each.encode() for each in texts), *BYTES]


def listing_words() -> list[bytes]:
    """The dictionary of listings and values."""
    return [*words(), *JSON, *(f'"{kind}"'.encode() for kind in KINDS)]


def steps() -> list[bytes]:
    """Each step of a script, see `fuzzing.script`."""
    return [bytes((0, number)) for number in range(1, 17)]


def spelled(word: bytes) -> str:
    """A word as a line of a dictionary of libFuzzer's."""
    return (
        '"'
        + "".join(chr(each) if 32 <= each < 127 and each not in b'"\\' else f"\\x{each:02x}" for each in word)
        + '"'
    )
