"""The plan of a rollout: its stages, its gates, its pace. Their bounds are in ota/operations.py."""

from __future__ import annotations

import math
import re
from typing import Final, NoReturn

from msgspec import Struct

from microclaw.errors import ConfigError

MAX_DEVICES: Final = 10_000
DEFAULT_STAGES: Final = "1,10%,50%,100%"
_WINDOW: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
_STAGE: Final = re.compile(r"(\d{1,5})(%?)")


class Window(Struct, frozen=True):
    """From one minute of the day (local time of the host) to before another; over midnight where it ends earlier."""

    begins_min: int
    ends_min: int

    def is_open(self, minute: int) -> bool:
        """`minute` of the day, 0 to 1439."""
        if self.begins_min < self.ends_min:
            return self.begins_min <= minute < self.ends_min
        return minute >= self.begins_min or minute < self.ends_min

    def __str__(self) -> str:
        return "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in (self.begins_min, self.ends_min))


class RolloutPlan(Struct, frozen=True):
    """`stages`: how many devices have been let in at the end of each, the last one all of them.

    `healthy_share`: of the devices of a stage whose update ended, so many (0 to 1) have to be healthy. `max_crashes`:
    new crash reports of updated devices that are borne. `device_s`: an update without an end counts as failed after
    it. `soak_s`: between the end of a stage and the next. `absent_s`: how long a stage waits for devices that are off.
    `under_way`: devices that update at the same time. `per_minute`: offers in a minute.
    """

    stages: tuple[int, ...]
    healthy_share: float = 0.95
    max_crashes: int = 0
    device_s: float = 1800
    soak_s: float = 600
    absent_s: float = 86_400
    under_way: int = 50
    per_minute: int = 600
    window: Window | None = None

    def may_fail(self, stage: int) -> int:
        """The number of devices that may have failed by the end of a stage."""
        return math.floor(self.stages[stage] * (1 - self.healthy_share) + 1e-9)


def read_stages(text: str, count: int) -> tuple[int, ...]:
    """`1,10%,50%,100%` for `count` devices: growing numbers, the last one all of them. Raises ConfigError."""
    if not 1 <= count <= MAX_DEVICES:
        raise ConfigError(
            f"a rollout takes 1 to {MAX_DEVICES} devices, not {count}", next_step="choose others with -d, -l or --all"
        )
    stages: list[int] = []
    for part in text.replace(" ", "").split(","):
        match = _STAGE.fullmatch(part)
        if match is None or int(match[1]) == 0 or (match[2] and int(match[1]) > 100):
            _refuse_stages(text, f"{part!r} is no number of devices and no percentage")
        # At least one device, and never a larger part than was said.
        wanted = max(1, count * int(match[1]) // 100) if match[2] else int(match[1])
        if not stages or min(wanted, count) > stages[-1]:
            stages.append(min(wanted, count))
        elif wanted < stages[-1]:
            _refuse_stages(text, f"{part!r} is less than the stage before it")
    if stages[-1] < count:
        stages.append(count)
    return tuple(stages)


def read_window(text: str) -> Window:
    """`02:00-05:00`. Raises ConfigError."""
    match = _WINDOW.fullmatch(text)
    if match is not None:
        begins, ends = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
        if begins != ends:
            return Window(begins, ends)
    raise ConfigError(f"{text!r} is no window of the day", next_step="such as --window 02:00-05:00")


def _refuse_stages(text: str, why: str) -> NoReturn:
    raise ConfigError(f"the stages {text!r}: {why}", next_step=f"such as --stages {DEFAULT_STAGES}")
