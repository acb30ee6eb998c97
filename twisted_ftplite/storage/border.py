"""The border at which the system's errors become ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import from_oserror


@contextmanager
def translated() -> Iterator[None]:
    """An `OSError` inside leaves as the exception of its phrase, raised from it."""
    try:
        yield
    except OSError as failure:
        raise from_oserror(failure) from failure
