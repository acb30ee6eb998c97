"""What is logged while something is fuzzed: it may hold no secret, and no failure."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogLevel, eventAsText, globalLogBeginner, globalLogPublisher


class Watch:
    """Takes what is logged while it is entered."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Watch:
        globalLogPublisher.addObserver(self.events.append)
        return self

    def __exit__(self, *_: object) -> None:
        globalLogPublisher.removeObserver(self.events.append)

    def text(self) -> str:
        """All of it, as it stands in a log and as an observer of its own could tell it."""
        fields = ("log_source", "log_logger", "log_trace")
        return "\n".join(
            eventAsText(event) + repr({key: each for key, each in event.items() if key not in fields})
            for event in self.events
        )

    def commands(self) -> list[dict[str, Any]]:
        """The one event of each command."""
        return [event for event in self.events if "outcome" in event]

    def raise_failures(self) -> None:
        """Raise what was caught and logged only."""
        for event in self.events:
            failure = event.get("log_failure")
            if failure is not None:
                raise failure.value.with_traceback(failure.getTracebackObject())
            if event["log_level"] >= LogLevel.error:
                raise AssertionError(eventAsText(event))


def keep_quiet() -> None:
    """Have nothing printed and nothing kept of what is logged."""
    globalLogBeginner.beginLoggingTo([lambda _: None], discardBuffer=True, redirectStandardIO=False)
