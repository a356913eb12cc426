"""What the board's histories hold, and who watches as they grow. Records nothing itself."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class EdgeRecord(NamedTuple):
    t_ms: float
    pin: int
    level: int


class PwmRecord(NamedTuple):
    """`duty` is 0-255, scaled from the LEDC's 13 bits."""

    t_ms: float
    pin: int
    duty: int
    frequency_hz: int


class LogRecord(NamedTuple):
    t_ms: float
    app: str | None
    text: str


class Observer(Protocol):
    """Who watches the board as it happens; `number` is the record's place in its history."""

    def on_edge(self, number: int, record: EdgeRecord) -> None: ...
    def on_log(self, number: int, record: LogRecord) -> None: ...
