"""Data channels by hand whose ends have proved themselves, in the clear and inside TLS."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator

from raw import TRANSFERRED, Session

OURS, ITS = "0123456789abcdef", "fedcba9876543210"
TOKEN = f"Data channel token: {OURS}{ITS}"
OUR_HALF, ITS_HALF = f"Data channel token: {OURS}\n".encode(), f"Data channel token: {ITS}\n".encode()

Begin = Callable[..., contextlib.AbstractContextManager[socket.socket]]
"""Steps 1 to 4 of a transfer: command, answer and fields to a data channel on which only data comes."""


def halves(token: str) -> tuple[bytes, bytes]:
    """What the listener says of a token's line, and what the other end says."""
    name, digits = token[:-32], token[-32:]
    return f"{name}{digits[:16]}\n".encode(), f"{name}{digits[16:]}\n".encode()


@contextlib.contextmanager
def active(
    session: Session, command: str, answer: str, *fields: str, token: str = TOKEN
) -> Iterator[socket.socket]:
    """The server connects, and is TLS's server all the same."""
    ours, its = halves(token)
    data = session.begin(command, answer, token, *fields)
    with data if session.context is None else session.wrap(data) as data:
        data.sendall(ours)
        told = b""
        while len(told) < len(its) and (piece := data.recv(len(its) - len(told))):
            told += piece
        assert told == its, told
        yield data


@contextlib.contextmanager
def passive(session: Session, command: str, answer: str, *fields: str) -> Iterator[socket.socket]:
    """The client connects."""
    with session.join(session.offer(command, answer, *fields)) as data:
        assert not data._unread  # what comes next is read from the socket
        yield data.socket


def complete(session: Session, name: str, size: int | None, phrase: str = TRANSFERRED) -> None:
    """The end of what the server has sent."""
    session.expect(*([] if size is None else [f"File size: {size} bytes"]), f"Transfer complete: {name}")
    session.send(f"Transfer complete: {name}")
    session.expect(phrase)
