"""What ``ls`` sends: a name a line (docs/protocol.md, sections 1 and 4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..errors import BadSyntax
from .lines import parse_argument, spell_argument


def plain(entries: Iterable[tuple[str, bool]]) -> Iterator[bytes]:
    """A line a name; of each pair, the second says whether it is a directory."""
    for name, is_directory in entries:
        yield f"{spell_argument(name + '/' if is_directory else name)}\n".encode()


def parse_plain(listing: bytes) -> Iterator[tuple[str, bool]]:
    """Names, and whether each is a directory.  Raises `BadSyntax` for what `plain` would not write."""
    if listing and not listing.endswith(b"\n"):
        raise BadSyntax("The listing's last line has no end.")
    for line in listing.split(b"\n")[:-1]:
        try:
            meant = parse_argument(line.decode("utf-8"))
        except UnicodeDecodeError:
            raise BadSyntax("The listing is not UTF-8.") from None
        name = meant[0].removesuffix("/")
        if len(meant) != 1 or name in ("", ".", "..") or "/" in name or "\0" in name:
            raise BadSyntax("A line of the listing is not a name.")
        yield name, name != meant[0]
