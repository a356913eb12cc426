"""Under which terms a program is tried: board time, inputs, install terms, and how people write them. No IO."""

from __future__ import annotations

import re
from dataclasses import dataclass

from microclaw.errors import ConfigError

MAX_TRIAL_MS = 24 * 3_600_000.0

_UNITS_MS = {"ms": 1.0, "": 1000.0, "s": 1000.0, "min": 60_000.0, "m": 60_000.0, "h": 3_600_000.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*(ms|s|min|m|h|)")
_INPUT = re.compile(r"(\d{1,3})=([01])(?:@(.+))?")


@dataclass(frozen=True, slots=True)
class TrialInput:
    """A level that comes in at a pin from outside, `at_ms` after the program's installation."""

    pin: int
    level: int
    at_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class TrialTerms:
    """How long in board time, with which inputs and under which install terms a program is tried.

    `host_s` bounds the host's own time for it.
    """

    for_ms: float = 10_000
    inputs: tuple[TrialInput, ...] = ()
    seed: int = 0
    realtime: bool = False
    heap_bytes: int = 8192
    timers: int = 20
    watchdog_ms: int = 180_000
    host_s: float = 60.0


def parse_duration_ms(text: str) -> float:
    """Read "10s", "500ms", "2min", "1h" or a plain number of seconds, above 0. Raises ConfigError."""
    ms = _time_ms(text)
    if ms <= 0:
        raise ConfigError(f"{text!r} is no time at all", next_step="write it as 10s, 500ms, 2min or 1h")
    return ms


def parse_input(text: str) -> TrialInput:
    """Read "1=1@2s": pin 1 goes high 2 s after the start; without @ from the start. Raises ConfigError."""
    found = _INPUT.fullmatch(text.strip())
    if found is None:
        raise ConfigError(
            f"{text!r} is not an input", next_step="write PIN=LEVEL@TIME, as 1=1@2s: pin 1 goes high after 2 s"
        )
    return TrialInput(pin=int(found[1]), level=int(found[2]), at_ms=_time_ms(found[3]) if found[3] else 0.0)


def _time_ms(text: str) -> float:
    found = _DURATION.fullmatch(text.strip().lower())
    if found is None:
        raise ConfigError(f"{text!r} is not a duration", next_step="write it as 10s, 500ms, 2min or 1h")
    ms = float(found[1]) * _UNITS_MS[found[2]]
    if ms > MAX_TRIAL_MS:
        raise ConfigError(f"{text!r} is longer than 24 h", next_step="try it for a shorter time")
    return ms
