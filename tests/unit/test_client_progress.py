"""What programs are told of a transfer, and what the server tells of one's own sessions, read."""

from __future__ import annotations

import json

import pytest
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite.client.display import summary
from twisted_ftplite.client.progress import ProgressLines
from twisted_ftplite.client.standing import Moving, read_standings
from twisted_ftplite.errors import ProtocolViolation
from twisted_ftplite.protocol.lines import Field, FieldName

MOVES = {"verb": "get", "name": "a", "size": 10, "moved": 5, "seconds": 1.5, "rate": 3}
TOLD = {
    "own": True,
    "peer": "127.0.0.1:5",
    "user": None,
    "secure": False,
    "seconds": 3,
    "directory": "/d",
    "transfer": MOVES,
}


def read(**changes: object) -> object:
    (standing,) = read_standings([Field(FieldName.SESSION, " " + json.dumps(TOLD | changes))])
    return standing


class LinesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[str] = []

    def test_a_line_a_second_and_one_at_the_end(self) -> None:
        with ProgressLines('a "b"\n', self.clock.seconds, self.told.append) as lines:
            for tenth in range(25):
                lines(1000 + tenth * 100, 4000)
                self.clock.advance(0.1)
            lines.finish(4000, "the server's disk")
        first, second, last = map(json.loads, self.told)
        assert first == {"name": 'a "b"\n', "moved": 2000, "size": 4000, "seconds": 1.0, "rate": 1000}
        assert second["moved"] == 3000
        assert second["rate"] == 1000
        assert (last["done"], last["moved"], last["limited_by"]) == (True, 4000, "the server's disk")
        assert all("\n" not in line for line in self.told)

    def test_a_short_one(self) -> None:
        with ProgressLines("a", self.clock.seconds, self.told.append) as lines:
            lines.finish(5)
        (last,) = map(json.loads, self.told)
        assert last == {
            "name": "a",
            "moved": 5,
            "size": 5,
            "seconds": 0.0,
            "rate": None,
            "done": True,
            "limited_by": None,
        }

    def test_one_that_fails_has_no_last_line(self) -> None:
        lines = ProgressLines("a", self.clock.seconds, self.told.append)
        lines(1, None)
        lines.__exit__(None, None, None)
        assert self.told == []

    def test_the_last_line_for_people(self) -> None:
        assert summary("a", 10, 2.0).endswith("2.000 s, 5 B/s\n")
        assert summary("a", 10, 2.0, 0, "network loss").endswith("5 B/s, limited by network loss\n")


class StandingTests(SynchronousTestCase):
    def test_what_is_told(self) -> None:
        (standing,) = read_standings([Field(FieldName.SESSION, " " + json.dumps(TOLD | {"new": [1]}))])
        assert (standing.own, standing.directory, standing.user) == (True, "/d", None)
        assert standing.transfer == Moving("get", "a", 10, 5, 1.5, 3.0, None, None, None)
        assert standing.told["new"] == [1]
        assert read_standings([]) == read_standings([Field(FieldName.TYPE, " file")]) == []

    def test_names_are_spelled_in_one_way(self) -> None:
        (standing,) = read_standings(
            [Field(FieldName.SESSION, " " + json.dumps(TOLD | {"directory": "/\udcc3\udcbc"}))]
        )
        assert standing.directory == "/ü"

    def test_what_means_nothing(self) -> None:
        for value in ("", " ", " {", " []", " {}", "{}", " " + "[" * 100_000):
            with pytest.raises(ProtocolViolation):
                read_standings([Field(FieldName.SESSION, value)])
        for changes in (
            {"own": 1},
            {"peer": None},
            {"seconds": "1"},
            {"user": 5},
            {"directory": "\ud800"},
            {"transfer": []},
            {"transfer": MOVES | {"moved": "5"}},
            {"transfer": MOVES | {"rtt": "5"}},
        ):
            with pytest.raises(ProtocolViolation):
                read(**changes)
