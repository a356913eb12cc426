"""The times of a program: every so often, and stopped after a time. Values and their words; starts and stops nothing.

A board with our MicroPython firmware begins and stops the runs by itself (firmware/fw/intervals.py).
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from microclaw.errors import ConfigError, DeployRejected
from microclaw.events import ProgramKind
from microclaw.text import format_duration, read_duration_ms, time_text

LEAST_MS: Final = 1_000
MOST_MS: Final = 49 * 86_400_000
"""As firmware/fw/intervals.py has it."""
LONGEST_TRIAL_MS: Final = 7_200_000.0
LONGEST_RUN_MS: Final = 600_000
_UNITS_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_ENDS: Final = {"stopped": ("stopped", "after"), "trapped": ("failed", "after")}
_LONGEST_MS: Final = 365 * 86_400_000.0


class RunTimes(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`every_ms`: begun again so often. `stop_after_ms`: each run is stopped after it. At least one of the two."""

    every_ms: int | None = None
    stop_after_ms: int | None = None

    def text(self) -> str:
        """Return "every 10 min, stopped after 30 s"."""
        parts = []
        if self.every_ms is not None:
            parts.append(f"every {time_text(self.every_ms)}")
        if self.stop_after_ms is not None:
            parts.append(f"stopped after {time_text(self.stop_after_ms)}")
        return ", ".join(parts)


def run_times(every_ms: int | None, stop_after_ms: int | None) -> RunTimes | None:
    """Return the times; None if neither is given. Raises ConfigError for times that cannot be."""
    if every_ms is None and stop_after_ms is None:
        return None
    for what, value, example in (("the interval", every_ms, "10m"), ("the length of a run", stop_after_ms, "30s")):
        if value is None:
            continue
        if value < LEAST_MS:
            raise ConfigError(
                f"{what}: {time_text(value)} is too short: the least is 1 s", next_step=f"a longer time, as {example}"
            )
        if value > MOST_MS:
            raise ConfigError(f"{what}: longer than 49 days", next_step="give a shorter time, as 1d")
    if every_ms is not None and stop_after_ms is not None and stop_after_ms > every_ms:
        raise ConfigError(
            f"a run cannot last {time_text(stop_after_ms)} when the next one begins after {time_text(every_ms)}",
            next_step="a shorter run or a longer interval; without an interval (off) it runs once",
        )
    return RunTimes(every_ms, stop_after_ms)


def check_times(times: RunTimes | None, kind: ProgramKind) -> None:
    """Raise DeployRejected for times where the firmware begins and stops no runs."""
    if times is not None and kind != "py":
        raise DeployRejected(
            f"{times.text()}: the firmware has this for Python programs alone",
            next_step=f"leave the times out, and let the program wait: every({times.every_ms or 600_000}, task)",
        )


def parse_time_ms(text: str, most_ms: float = _LONGEST_MS) -> float:
    """Read "500ms", "30s", "10m" or "10min", "1h", "1d", or a plain number of seconds. Raises ConfigError."""
    ms = read_duration_ms(text)
    if ms is None:
        raise ConfigError(f"{text!r:.40} is not a time", next_step="write it as 500ms, 30s, 10m, 1h or 1d")
    if ms > most_ms:
        raise ConfigError(f"{text!r:.40} is too long: at most {time_text(most_ms)}", next_step="give a shorter time")
    return ms


def time_or_off(text: str) -> int | None:
    """Return the time; None for "off"."""
    if text.strip().lower() == "off":
        return None
    return round(parse_time_ms(text))


def times_body(every: str | None, stop_after: str | None) -> dict[str, int | None]:
    """Return the times of a program, as the host takes them; nothing if neither is given. Raises ConfigError."""
    times = run_times(_whole_ms(every), _whole_ms(stop_after))
    if times is None:
        return {}
    return {"every_ms": times.every_ms, "stop_after_ms": times.stop_after_ms}


def _whole_ms(text: str | None) -> int | None:
    if text is None:
        return None
    return round(parse_time_ms(text))


def time_word(ms: int) -> str:
    """Write a time as a user does: 10m, 90s, 1500ms."""
    return next(f"{ms // size_ms}{unit}" for unit, size_ms in reversed(_UNITS_MS.items()) if ms % size_ms == 0)


def how_text(how: str, took_ms: int | None) -> str:
    """Return "ended by itself in 2 s", "stopped after 30 s", "failed after 3 s"."""
    end, link = _ENDS.get(how, ("ended by itself", "in"))
    if took_ms is None:
        return end
    return f"{end} {link} {format_duration(took_ms, decimals=1)}"


def kept_text(times: RunTimes) -> str:
    """Return the times, in the words that every answer has."""
    again = ""
    if times.every_ms is None:
        again = ", at each start of the board again"
    return f"{times.text()}{again}: the board keeps it, also when this host is off"


def first_run_ms(times: RunTimes, asked_ms: float) -> float:
    """Return for how long to try it: until just before the run is stopped, or the next one begins.

    Of a run that is longer than LONGEST_RUN_MS only the beginning is tried, for `asked_ms`.
    """
    if times.stop_after_ms is None:
        return min(float(times.every_ms or asked_ms), LONGEST_TRIAL_MS) - 1.0
    if times.stop_after_ms <= LONGEST_RUN_MS:
        return times.stop_after_ms - 1.0
    return asked_ms


def times_differ_text(before: RunTimes | None, after: RunTimes | None) -> str:
    return f"{_text_or_none(before)} -> {_text_or_none(after)}"


def _text_or_none(times: RunTimes | None) -> str:
    if times is None:
        return "no interval"
    return times.text()
