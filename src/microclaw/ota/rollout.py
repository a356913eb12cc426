"""One rollout as a state machine: its plan, whom to offer the update next, when to stop. No IO, no clock.

Its driver (rollouts.py) says what happened (`note`, `count_crashes`) and asks for the next step (`advance`). It keeps
each change before it acts on it, so that a host that was killed goes on with the same state and offers nothing twice.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, get_args

from msgspec import Struct, json
from msgspec.structs import replace

from microclaw.errors import ConfigError
from microclaw.store.rollouts import DeviceState, RolloutDevice, RolloutRow
from microclaw.text import count_text

DEVICE_STATES: Final[tuple[DeviceState, ...]] = get_args(DeviceState)
BAD: Final = ("rolled_back", "refused", "failed", "late")
ENDED: Final = ("healthy", *BAD, "removed")
MAX_DEVICES: Final = 10_000
DEFAULT_STAGES: Final = "1,10%,50%,100%"
_STAGE: Final = re.compile(r"(\d{1,5})(%?)")


class RolloutPlan(Struct, frozen=True):
    """`stages`: how many devices have been let in at the end of each, the last one all of them.

    `healthy_share`: of the devices of a stage whose update ended, so many (0 to 1) have to be healthy. `max_crashes`:
    new crash reports of updated devices that are borne. `device_s`: an update without an end counts as failed after
    it. `soak_s`: between the end of a stage and the next. `absent_s`: how long a stage waits for devices that are off.
    `under_way`: devices that update at the same time. `back`: by releases that may lower what a device runs.
    """

    stages: tuple[int, ...]
    healthy_share: float = 0.95
    max_crashes: int = 0
    device_s: float = 1800
    soak_s: float = 600
    absent_s: float = 86_400
    under_way: int = 50
    back: bool = False


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
            raise _bad_stages(text, f"{part!r} is no number of devices and no percentage")
        # At least one device, and never a larger part than was said.
        if match[2]:
            wanted = max(1, count * int(match[1]) // 100)
        else:
            wanted = int(match[1])
        if not stages or min(wanted, count) > stages[-1]:
            stages.append(min(wanted, count))
        elif wanted < stages[-1]:
            raise _bad_stages(text, f"{part!r} is less than the stage before it")
    if stages[-1] < count:
        stages.append(count)
    return tuple(stages)


class Rollout:
    """`devices` in the order in which they get the update. `kept` is its row in the store."""

    def __init__(self, row: RolloutRow, devices: Iterable[RolloutDevice]) -> None:
        self.plan = json.decode(row.plan, type=RolloutPlan)
        self.load(row, devices)

    def load(self, row: RolloutRow, devices: Iterable[RolloutDevice]) -> None:
        """Take what is in the store, in place of what was here."""
        self.row = self.kept = row
        self.devices = {device.device_id: device for device in devices}

    @property
    def is_open(self) -> bool:
        """True if it goes on by itself, or may be resumed."""
        return self.row.state in ("running", "paused")

    @property
    def is_over(self) -> bool:
        """True if nothing will happen in it any more."""
        return not self.is_open and not self.under_way

    @property
    def under_way(self) -> list[str]:
        """The devices that have the offer, and no end of it yet."""
        return [device.device_id for device in self.devices.values() if device.state == "offered"]

    @property
    def waiting(self) -> list[str]:
        """The devices let in by this stage that have no offer yet; those of earlier stages that were off come first."""
        let_in = list(self.devices.values())[: self._size]
        return [device.device_id for device in let_in if device.state == "waiting"]

    @property
    def offered(self) -> dict[str, int]:
        """The devices that have, or had, the offer, and when they got it."""
        return {one.device_id: one.offered_ms for one in self.devices.values() if one.offered_ms is not None}

    @property
    def text(self) -> str:
        """Its standing, or why it stopped."""
        if not self.is_open:
            return self.row.reason
        stage = f"stage {self.row.stage + 1} of {len(self.plan.stages)}"
        return f"{stage}, {self.count('healthy')} of {len(self.devices)} healthy"

    def count(self, *states: DeviceState) -> int:
        return sum(device.state in states for device in self.devices.values())

    def holds(self, device_id: str) -> bool:
        """True if the device may not be in another rollout now."""
        device = self.devices.get(device_id)
        return device is not None and (self.is_open or device.state == "offered")

    def note(self, device_id: str, state: DeviceState, error: str, now_ms: int) -> RolloutDevice | None:
        """Note the end of a device's update; the changed row, None where it is no news.

        A late end counts: a device that was given up as `late` may still become healthy.
        """
        device = self.devices.get(device_id)
        if device is None or (device.state == "waiting" and state != "removed"):
            return None
        if device.state == state or (device.state in ENDED and device.state != "late"):
            return None
        return self._set(device_id, state=state, error=error, ended_ms=now_ms)

    def count_crashes(self, count: int) -> None:
        """Count the new crash reports of the `offered` devices since; they only grow."""
        if count > self.row.crashes:
            self.row = replace(self.row, crashes=count)

    def advance(self, now_ms: int, can_take: Callable[[str], bool]) -> list[RolloutDevice]:
        """Take the next step: call it after each news, and when time has passed. Returns the rows that it changed.

        The driver keeps those, and `row`, before it sends the offer to each that is now `offered`.
        """
        before_ms = now_ms - self.plan.device_s * 1000
        late = [one for one, offered_ms in self.offered.items() if offered_ms <= before_ms]
        noted = [self.note(one, "late", "no end of the update was reported in time", now_ms) for one in late]
        if self.is_open:
            self.row = self._next(now_ms)
        changed = [device for device in noted if device is not None]
        if self.row.state != "running" or self.row.soaking_since_ms is not None:
            return changed
        room = self.plan.under_way - len(self.under_way)
        for device_id in self.waiting:
            if room <= 0:
                break
            if can_take(device_id):
                changed.append(self._set(device_id, state="offered", offered_ms=now_ms))
                room -= 1
        return changed

    @property
    def _size(self) -> int:
        return self.plan.stages[self.row.stage]

    def _set(self, device_id: str, **fields: object) -> RolloutDevice:
        device = self.devices[device_id] = replace(self.devices[device_id], **fields)
        return device

    def _next(self, now_ms: int) -> RolloutRow:
        now = self.row
        why = self._gate()
        if why is not None:
            return replace(now, state="halted", reason=why)
        if now.state == "paused" or not self._is_through(now_ms):
            return now
        if self._size == len(self.devices):
            if self.waiting:  # boards that are off get it when they come back
                return now
            return replace(now, state="done", soaking_since_ms=None)
        if now.soaking_since_ms is None:
            return replace(now, soaking_since_ms=now_ms)
        if now_ms - now.soaking_since_ms < self.plan.soak_s * 1000:
            return now
        return replace(now, stage=now.stage + 1, stage_ms=now_ms, soaking_since_ms=None)

    def _gate(self) -> str | None:
        """Why the rollout has to stop."""
        bad = self.count(*BAD)
        borne = math.floor(self._size * (1 - self.plan.healthy_share) + 1e-9)
        if bad > borne:
            of = f"{self._size} in stage {self.row.stage + 1}"
            return f"{count_text(bad, 'board')} did not become healthy, {borne} of {of} may fail: {self._failures()}"
        if self.row.crashes > self.plan.max_crashes:
            crashes = count_text(self.row.crashes, "new crash report")
            return f"{crashes} from updated boards, {self.plan.max_crashes} may come"
        return None

    def _is_through(self, now_ms: int) -> bool:
        """True if every device of the stage has its end, those left out that have been off for too long."""
        waited = now_ms - self.row.stage_ms >= self.plan.absent_s * 1000
        if self.under_way or (self.waiting and not waited):
            return False
        # One board has to have shown that the update is well, unless nobody is left to show it.
        return self.count("healthy") > 0 or self.count("removed") >= self._size

    def _failures(self) -> str:
        """The reasons, the most frequent one first."""
        bad = [device for device in self.devices.values() if device.state in BAD]
        reasons = Counter((device.error or device.state).partition(":")[0] for device in bad)
        return ", ".join(f"{reason} ({n})" for reason, n in reasons.most_common(3))


def _bad_stages(text: str, why: str) -> ConfigError:
    return ConfigError(f"the stages {text!r}: {why}", next_step=f"such as --stages {DEFAULT_STAGES}")
