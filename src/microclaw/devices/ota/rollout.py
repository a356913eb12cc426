"""One rollout as a state machine: its plan, which device gets the update next, when to stop. No IO, no clock.

Its driver (rollouts.py) reports events (`note`, `count_crashes`) and asks for the next step (`advance`). It stores
each change before it acts on it, so that a killed host continues from the same state and offers nothing twice.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, get_args

from msgspec import Struct
from msgspec.structs import replace

from microclaw.conversion import decode_json
from microclaw.errors import ConfigError
from microclaw.host.store.rollouts import DeviceState, RolloutDevice, RolloutRow
from microclaw.text import count_text

DEVICE_STATES: Final[tuple[DeviceState, ...]] = get_args(DeviceState)
BAD: Final = ("rolled_back", "refused", "failed", "late")
ENDED: Final = ("healthy", *BAD, "removed")
MAX_DEVICES: Final = 10_000
DEFAULT_STAGES: Final = "1,10%,50%,100%"
_STAGE: Final = re.compile(r"(\d{1,5})(%?)")


class RolloutPlan(Struct, frozen=True):
    """The plan of a rollout. `stages`: how many devices may update by the end of each; the last has all of them.

    `healthy_share`: the part (0 to 1) of a stage's ended updates that must be healthy. `max_crashes`: how many new
    crash reports of updated devices are allowed. `device_s`: an update without an end counts as failed after it.
    `soak_s`: the time between the end of a stage and the next. `absent_s`: how long a stage waits for devices that are
    off. `under_way`: devices that update at the same time. `back`: with releases that may lower a device's version.
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
    """Parse `1,10%,50%,100%` for `count` devices into growing numbers; the last is `count`. Raises ConfigError."""
    if not 1 <= count <= MAX_DEVICES:
        raise ConfigError(
            f"a rollout takes 1 to {MAX_DEVICES} devices, not {count}", next_step="choose others with -d, -l or --all"
        )
    stages: list[int] = []
    for part in text.replace(" ", "").split(","):
        size = _read_stage(part, count)
        if size is None:
            raise _bad_stages(text, f"{part!r} is not a number of devices or a percentage")
        if not stages or min(size, count) > stages[-1]:
            stages.append(min(size, count))
        elif size < stages[-1]:
            raise _bad_stages(text, f"{part!r} is less than the stage before it")
    if stages[-1] < count:
        stages.append(count)
    return tuple(stages)


def _read_stage(part: str, count: int) -> int | None:
    """Return the number of devices that one stage means, or None if it is not valid."""
    match = _STAGE.fullmatch(part)
    if match is None or int(match[1]) == 0:
        return None
    number = int(match[1])
    if not match[2]:
        return number
    if number > 100:
        return None
    # At least one device, and never more than the percentage.
    return max(1, count * number // 100)


class Rollout:
    """The state of one rollout: `devices` in the order of their updates; `kept` is its row in the store."""

    def __init__(self, row: RolloutRow, devices: Iterable[RolloutDevice]) -> None:
        self.plan = decode_json(row.plan, RolloutPlan)
        self.load(row, devices)

    def load(self, row: RolloutRow, devices: Iterable[RolloutDevice]) -> None:
        """Replace the state by the one in the store."""
        self.row = row
        self.kept = row
        self.devices = {device.device_id: device for device in devices}

    @property
    def is_open(self) -> bool:
        """Whether it is running, or may be resumed."""
        return self.row.state in ("running", "paused")

    @property
    def is_over(self) -> bool:
        """Whether nothing will happen in it any more."""
        return not self.is_open and not self.under_way

    @property
    def under_way(self) -> list[str]:
        """The devices that have the offer, and whose update has not ended."""
        return [device.device_id for device in self.devices.values() if device.state == "offered"]

    @property
    def waiting(self) -> list[str]:
        """The devices up to this stage that have no offer yet; devices of earlier stages come first."""
        candidates = list(self.devices.values())[: self._size]
        return [device.device_id for device in candidates if device.state == "waiting"]

    @property
    def offered(self) -> dict[str, int]:
        """When each device that has, or had, the offer got it."""
        offered = {}
        for device in self.devices.values():
            if device.offered_ms is not None:
                offered[device.device_id] = device.offered_ms
        return offered

    @property
    def text(self) -> str:
        """The stage and progress, or why it stopped."""
        if not self.is_open:
            return self.row.reason
        stage = f"stage {self.row.stage + 1} of {len(self.plan.stages)}"
        return f"{stage}, {self.count('healthy')} of {len(self.devices)} healthy"

    def count(self, *states: DeviceState) -> int:
        """Return how many devices are in one of the states."""
        return sum(device.state in states for device in self.devices.values())

    def holds(self, device_id: str) -> bool:
        """Return True if the device may not be in another rollout now."""
        device = self.devices.get(device_id)
        return device is not None and (self.is_open or device.state == "offered")

    def note(self, device_id: str, state: DeviceState, error: str, now_ms: int) -> RolloutDevice | None:
        """Note the end of a device's update; return the changed row, or None if nothing changes.

        A late end counts: a device with the state `late` may still become healthy.
        """
        device = self.devices.get(device_id)
        if device is None or device.state == state:
            return None
        # A device without the offer cannot end its update; it can only be removed.
        if device.state == "waiting" and state != "removed":
            return None
        if device.state in ENDED and device.state != "late":
            return None
        return self._set(device_id, state=state, error=error, ended_ms=now_ms)

    def count_crashes(self, count: int) -> None:
        """Set the number of new crash reports of the `offered` devices; it never falls."""
        if count > self.row.crashes:
            self.row = replace(self.row, crashes=count)

    def advance(self, now_ms: int, can_take: Callable[[str], bool]) -> list[RolloutDevice]:
        """Take the next step and return the rows that it changed: call it after each event, and when time has passed.

        The driver stores these rows, and `row`, before it sends the offer to each device that is now `offered`.
        """
        changed = self._note_late(now_ms)
        if self.is_open:
            self.row = self._next(now_ms)
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

    def _note_late(self, now_ms: int) -> list[RolloutDevice]:
        before_ms = now_ms - self.plan.device_s * 1000
        changed = []
        for device_id, offered_ms in self.offered.items():
            if offered_ms <= before_ms:
                device = self.note(device_id, "late", "no end of the update was reported in time", now_ms)
                if device is not None:
                    changed.append(device)
        return changed

    @property
    def _size(self) -> int:
        return self.plan.stages[self.row.stage]

    def _set(self, device_id: str, **fields: object) -> RolloutDevice:
        device = replace(self.devices[device_id], **fields)
        self.devices[device_id] = device
        return device

    def _next(self, now_ms: int) -> RolloutRow:
        """Return the row after the next step of the rollout itself."""
        row = self.row
        reason = self._find_reason_to_stop()
        if reason is not None:
            return replace(row, state="halted", reason=reason)
        if row.state == "paused" or not self._is_stage_over(now_ms):
            return row
        if self._size == len(self.devices):
            # Boards that are off get the update when they come back.
            if self.waiting:
                return row
            return replace(row, state="done", soaking_since_ms=None)
        if row.soaking_since_ms is None:
            return replace(row, soaking_since_ms=now_ms)
        if now_ms - row.soaking_since_ms < self.plan.soak_s * 1000:
            return row
        return replace(row, stage=row.stage + 1, stage_ms=now_ms, soaking_since_ms=None)

    def _find_reason_to_stop(self) -> str | None:
        bad_count = self.count(*BAD)
        # The small addition keeps 20 * (1 - 0.95) from being 0.99999.
        allowed_count = math.floor(self._size * (1 - self.plan.healthy_share) + 1e-9)
        if bad_count > allowed_count:
            boards = count_text(bad_count, "board")
            limit = f"{allowed_count} of {self._size} in stage {self.row.stage + 1}"
            return f"{boards} did not become healthy, {limit} may fail: {self._failures()}"
        if self.row.crashes > self.plan.max_crashes:
            crashes = count_text(self.row.crashes, "new crash report")
            return f"{crashes} from updated boards, {self.plan.max_crashes} may come"
        return None

    def _is_stage_over(self, now_ms: int) -> bool:
        """Return True if every update of the stage has ended; devices that were off for too long do not count."""
        has_waited = now_ms - self.row.stage_ms >= self.plan.absent_s * 1000
        if self.under_way or (self.waiting and not has_waited):
            return False
        # One board must have shown that the update works, unless no board is left.
        return self.count("healthy") > 0 or self.count("removed") >= self._size

    def _failures(self) -> str:
        """Return the three most frequent reasons, the most frequent first."""
        bad = [device for device in self.devices.values() if device.state in BAD]
        reasons = Counter((device.error or device.state).partition(":")[0] for device in bad)
        return ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common(3))


def _bad_stages(text: str, why: str) -> ConfigError:
    return ConfigError(f"the stages {text!r}: {why}", next_step=f"such as --stages {DEFAULT_STAGES}")
