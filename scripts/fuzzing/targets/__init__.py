"""What is fuzzed: a module each, with `run` for the bytes of one run and `seeds` to begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import NamedTuple

from .. import words


class Target(NamedTuple):
    """One of them; its module is imported late, since atheris has to see that of the package."""

    name: str
    text: str
    share: int
    """Of the time, in parts."""
    words: Callable[[], list[bytes]]

    def run(self) -> Callable[[bytes], None]:
        """What takes the bytes of one run."""
        found: Callable[[bytes], None] = import_module(f"{__name__}.{self.name}").run
        return found

    def seeds(self) -> Iterator[bytes]:
        """What the mutations begin with."""
        yield from import_module(f"{__name__}.{self.name}").seeds()


TARGETS = {
    each.name: each
    for each in (
        Target("lines", "lines, arguments, values and listings", 2, words.listing_words),
        Target("session", "the server's session core, under a host that does anything", 3, words.words),
        Target("login", "a control channel: logins, TLS, tokens, passive transfers", 4, words.words),
        Target("tls", "the change to TLS over loopback, and what comes inside it", 3, words.words),
        Target("client", "the client's session core, under a server that says anything", 2, words.words),
        Target("users", "the users file", 1, words.users_words),
    )
}
