"""The client's side on raw blocking sockets, with what can be asked for: offsets, checksums, attributes.

Knows nothing of the package: what both sides of that have wrong together would be seen here.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

PATIENCE = 20.0
"""Seconds until an answer that does not come is given up."""

TRANSFERRED = "SUCCESS: File transferred successfully."
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def spell(name: str) -> str:
    """A name as an argument: in quotes always, which is always allowed."""
    return json.dumps(name)


def read_name(text: str) -> str:
    """An argument that names one thing, read."""
    name: str = json.loads(text) if text.startswith('"') else text
    return name


def reset(one: socket.socket) -> None:
    """Close with a RST."""
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    one.close()


class Refused(Exception):
    """The server said something else than what should come; its text is what it said."""


@dataclass
class Answer:
    """What came for one command: its fields by name, the final status, the bytes of a data channel."""

    status: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    content: bytes = b""

    @property
    def phrase(self) -> str:
        """Kind and phrase, without the detail."""
        kind, _, rest = self.status.partition(": ")
        return f"{kind}: {rest[: rest.find('.') + 1]}"

    @property
    def good(self) -> bool:
        """Whether it is a success."""
        return self.status.startswith("SUCCESS: ")

    def number(self, name: str) -> int | None:
        """A field that counts bytes; None where it was not told."""
        told = self.fields.get(name)
        return None if told is None else int(told.removesuffix(" bytes"))


class Wire:
    """One session.  Ends with its block."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.control = socket.create_connection((host, port), PATIENCE)
        self.control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""
        self.expect("SUCCESS: FTPLite/1 ready.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.control.close()

    def send(self, *lines: str) -> None:
        """Lines, in one call."""
        self.control.sendall("".join(f"{line}\n" for line in lines).encode())

    def line(self) -> str:
        """The next line; raises `Refused` where the server ended the session."""
        while b"\n" not in self._unread:
            piece = self.control.recv(65536)
            if not piece:
                raise Refused("the server ended the session")
            self._unread += piece
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    def expect(self, wanted: str) -> None:
        """The next line, which begins so."""
        line = self.line()
        if not line.startswith(wanted):
            raise Refused(line)

    def rest(self) -> Answer:
        """Fields, up to the final status of what was asked."""
        answer = Answer()
        while True:
            line = self.line()
            if line.startswith(("SUCCESS: Ready ", "Working: ")):
                continue
            if line.startswith(("SUCCESS: ", "FAILURE: ", "ERROR: ")):
                answer.status = line
                return answer
            name, _, value = line.partition(": ")
            answer.fields[name] = value

    def ask(self, command: str, *names: str) -> Answer:
        """A command without a data channel."""
        self.send(" ".join([command, *map(spell, names)]))
        return self.rest()

    def stat(self, name: str, algorithm: str | None = None) -> Answer:
        """What is known of a name; with an ``algorithm``, the checksum of its partial too."""
        return self.ask("stat", name, *([] if algorithm is None else [algorithm]))

    def begin(self, command: str, *fields: str) -> socket.socket | Answer:
        """Steps 1 to 4: the data channel, or the answer of a server that will not."""
        with socket.create_server((self.control.getsockname()[0], 0)) as listener:
            self.send(command, *fields, f"Data channel port: {listener.getsockname()[1]}")
            step_2 = self.line()
            if not step_2.startswith("SUCCESS: Ready "):
                return Answer(step_2)
            # A refusal of step 3 comes in place of the connection, which loopback makes at once.
            listener.settimeout(0.05)
            for _ in range(int(PATIENCE / 0.05)):
                with contextlib.suppress(TimeoutError):
                    data = listener.accept()[0]
                    data.settimeout(PATIENCE)
                    return data
                if self._heard():
                    return self.rest()
        raise Refused("no data channel and no word")

    def _heard(self) -> bool:
        """Whether something has come on the control channel."""
        self.control.settimeout(0.001)
        try:
            self._unread += self.control.recv(65536)
        except TimeoutError:
            pass
        finally:
            self.control.settimeout(PATIENCE)
        return b"\n" in self._unread

    def begin_put(
        self,
        name: str,
        size: int | None,
        *more: str,
        offset: int | None = None,
        checksum: str | None = None,
    ) -> socket.socket | Answer:
        """Steps 1 to 4 of a put of ``size`` bytes in all, going on at ``offset``; ``more`` are fields."""
        fields = [*more, *([] if size is None else [f"File size: {size} bytes"])]
        if offset is not None:
            fields.append(f"Start offset: {offset} bytes")
        if checksum is not None:
            fields.append(f"Checksum: {checksum}")
        return self.begin(f"put {spell(name)}", *fields)

    def put(
        self,
        name: str,
        content: bytes,
        *more: str,
        size: int | None = None,
        announced: bool = True,
        offset: int | None = None,
        checksum: tuple[str, str] | None = None,
    ) -> Answer:
        """A whole put of ``content``; with an ``offset`` only what follows it is sent.

        ``size`` is told where it shall be another than that of the content, and right before the completion
        unless it is ``announced``.  ``checksum`` is told as it is, true or not.  ``more`` are other fields.
        """
        size = len(content) if size is None else size
        algorithm = None if checksum is None else checksum[0]
        data = self.begin_put(name, size if announced else None, *more, offset=offset, checksum=algorithm)
        if isinstance(data, Answer):
            return data
        with data, contextlib.suppress(ConnectionError):  # a refusal in the middle resets it
            data.sendall(content[offset or 0 :])
        told = [] if announced else [f"File size: {size} bytes"]
        told += [] if checksum is None else [f"Checksum: {checksum[0]} {checksum[1]}"]
        self.send(*told, f"Transfer complete: {spell(name)}")
        return self.rest()

    def get(
        self, name: str, *, offset: int | None = None, count: int | None = None, checksum: str | None = None
    ) -> Answer:
        """A whole get; its content, and what else was told."""
        fields = [] if offset is None else [f"Start offset: {offset} bytes"]
        fields += [] if count is None else [f"Byte count: {count} bytes"]
        fields += [] if checksum is None else [f"Checksum: {checksum}"]
        return self._receive(f"get {spell(name)}", name, *fields)

    def list(self, path: str | None = None, *, whole_tree: bool = False) -> list[dict[str, object]]:
        """The rows of a directory; raises `Refused`."""
        command = "ls" if path is None else f"ls {spell(path)}"
        more = ["Depth: all"] if whole_tree else []
        answer = self._receive(command, "." if path is None else path, "Format: json", *more)
        if not answer.good:
            raise Refused(answer.status)
        return [json.loads(line) for line in answer.content.splitlines()]

    def _receive(self, command: str, name: str, *fields: str) -> Answer:
        data = self.begin(command, *fields)
        if isinstance(data, Answer):
            return data
        pieces = []
        with data:
            while piece := data.recv(1 << 20):
                pieces.append(piece)
        told: dict[str, str] = {}
        while True:
            line = self.line()
            if line.startswith(("FAILURE: ", "ERROR: ")):
                return Answer(line, told, b"".join(pieces))
            key, _, value = line.partition(": ")
            told[key] = value
            if key == "Transfer complete":
                break
        self.send(f"Transfer complete: {spell(name)}")
        return Answer(self.rest().status, told, b"".join(pieces))
