"""One rollout as a state machine: whom to offer an update next, and when to stop. No IO, no clock, no randomness.

Its driver (rollouts.py) says what happened (`note`, `count_crashes`), asks `decide` whether the rollout moves on or
stops by itself, and `due` for the devices that get the offer now. It keeps a change before it acts on it, so that a
host that was killed goes on with the same state and offers nothing twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final, get_args

from microclaw.ota.rollout_plan import RolloutPlan
from microclaw.store.rollouts import DeviceState, Progress, RolloutDevice, RolloutState
from microclaw.text import count_text

DEVICE_STATES: Final[tuple[DeviceState, ...]] = get_args(DeviceState)
BAD: Final = ("rolled_back", "refused", "failed", "late")
ENDED: Final = ("healthy", *BAD, "removed")
MINUTE_MS: Final = 60_000


class Rollout:
    """`devices` in the order in which they get the update; what is in them and in `progress` is kept by the driver."""

    def __init__(self, plan: RolloutPlan, devices: Iterable[RolloutDevice], progress: Progress) -> None:
        self.plan = plan
        self.progress = progress
        self.devices = {device.device_id: device for device in devices}
        if len(self.devices) != plan.stages[-1]:
            raise ValueError(f"{len(self.devices)} devices for stages of {plan.stages[-1]}")
        self._counts = dict.fromkeys(DEVICE_STATES, 0)
        for device in self.devices.values():
            self._counts[device.state] += 1
        self._in_stage: dict[str, None] = {}
        self._under_way = {one.device_id: None for one in self.devices.values() if one.state == "offered"}
        self._enter_stage()
        offers = (one.offered_ms for one in self.devices.values() if one.offered_ms is not None)
        self._offered_ms = deque(sorted(offers)[-plan.per_minute :])

    def count(self, *states: DeviceState) -> int:
        return sum(self._counts[state] for state in states)

    @property
    def is_open(self) -> bool:
        """True if it goes on by itself, or may be resumed."""
        return self.progress.state in ("running", "paused")

    @property
    def is_over(self) -> bool:
        """True if nothing will happen in it any more."""
        return not self.is_open and not self._under_way

    @property
    def under_way(self) -> list[str]:
        """The devices that have the offer, and no end of it yet."""
        return list(self._under_way)

    def holds(self, device_id: str) -> bool:
        """True if the device may not be in another rollout now."""
        return device_id in self._under_way or (self.is_open and device_id in self.devices)

    def due(self, now_ms: int, is_online: Callable[[str], bool], *, in_window: bool = True) -> list[str]:
        """The devices to offer the update to now. The driver keeps them as offered (`offer`) before it sends."""
        if self.progress.state != "running" or not in_window or self.progress.soaking_since_ms is not None:
            return []
        while self._offered_ms and self._offered_ms[0] <= now_ms - MINUTE_MS:
            self._offered_ms.popleft()
        room = min(self.plan.under_way - len(self._under_way), self.plan.per_minute - len(self._offered_ms))
        found: list[str] = []
        for device_id in self._in_stage:
            if len(found) >= room:
                break
            if is_online(device_id):
                found.append(device_id)
        return found

    def offer(self, device_id: str, now_ms: int) -> RolloutDevice:
        """The device is about to get the offer."""
        self._offered_ms.append(now_ms)
        return self._set(replace(self.devices[device_id], state="offered", offered_ms=now_ms))

    def note(self, device_id: str, state: DeviceState, error: str, now_ms: int) -> RolloutDevice | None:
        """Note the end of a device's update; the changed row, None where it is no news.

        A late end counts: a device that was given up as `late` may still become healthy.
        """
        device = self.devices.get(device_id)
        if device is None or state not in ENDED or (device.state == "waiting" and state != "removed"):
            return None
        if device.state == state or (device.state in ENDED and device.state != "late"):
            return None
        return self._set(replace(device, state=state, error=error, ended_ms=now_ms))

    @property
    def offered(self) -> dict[str, int]:
        """The devices that have, or had, the offer, and when they got it."""
        return {one.device_id: one.offered_ms for one in self.devices.values() if one.offered_ms is not None}

    def count_crashes(self, count: int) -> bool:
        """Count the new crash reports of the `offered` devices since; True if that is news."""
        if count <= self.progress.crashes or not self.is_open:
            return False
        self.progress = replace(self.progress, crashes=count)
        return True

    def give_up_late(self, now_ms: int) -> list[RolloutDevice]:
        """Devices whose update has had no end for too long count as failed from now on."""
        before_ms = now_ms - self.plan.device_s * 1000
        late = [one for one in self._under_way if (self.devices[one].offered_ms or 0) <= before_ms]
        error = "no end of the update was reported in time"
        return [self._set(replace(self.devices[one], state="late", error=error, ended_ms=now_ms)) for one in late]

    def decide(self, now_ms: int) -> Progress | None:
        """The next progress, None when nothing changes. Call it after each news, and when time has passed."""
        after = self._next(now_ms)
        if after is None or after == self.progress:
            return None
        entered = after.stage != self.progress.stage
        self.progress = after
        if entered:
            self._enter_stage()
        return after

    def set_state(self, state: RolloutState, reason: str) -> Progress:
        """A person pauses, resumes, ends or undoes it."""
        self.progress = replace(self.progress, state=state, reason=reason)
        return self.progress

    # How it works

    def _next(self, now_ms: int) -> Progress | None:
        now = self.progress
        if not self.is_open:
            return None
        if (why := self._gate()) is not None:
            return replace(now, state="halted", reason=why)
        if now.state == "paused" or not self._is_through(now_ms):
            return None
        is_last = now.stage == len(self.plan.stages) - 1
        if is_last:
            if self._in_stage:  # boards that are off get it when they come back
                return None
            return replace(now, state="done", reason=self._summary(), soaking_since_ms=None)
        if now.soaking_since_ms is None:
            return replace(now, soaking_since_ms=now_ms)
        if now_ms - now.soaking_since_ms < self.plan.soak_s * 1000:
            return None
        return replace(now, stage=now.stage + 1, stage_ms=now_ms, soaking_since_ms=None)

    def _gate(self) -> str | None:
        """Why the rollout has to stop."""
        bad, borne = self.count(*BAD), self.plan.may_fail(self.progress.stage)
        if bad > borne:
            of = f"{self.plan.stages[self.progress.stage]} in stage {self.progress.stage + 1}"
            return f"{count_text(bad, 'board')} did not become healthy, {borne} of {of} may fail: {self._failures()}"
        if self.progress.crashes > self.plan.max_crashes:
            crashes = count_text(self.progress.crashes, "new crash report")
            return f"{crashes} from updated boards, {self.plan.max_crashes} may come"
        return None

    def _is_through(self, now_ms: int) -> bool:
        """True if every device of the stage has its end, those left out that have been off for too long."""
        if self._under_way:
            return False
        waited = now_ms - self.progress.stage_ms >= self.plan.absent_s * 1000
        if self._in_stage and not waited:
            return False
        # One board has to have shown that the update is well, unless nobody is left to show it.
        nobody_left = self.count("removed") >= self.plan.stages[self.progress.stage]
        return self.count("healthy") > 0 or nobody_left

    def _enter_stage(self) -> None:
        """Devices let in by this stage, and those of the earlier ones that were off."""
        size = self.plan.stages[self.progress.stage]
        first = list(self.devices.values())[:size]
        self._in_stage = {one.device_id: None for one in first if one.state == "waiting"}

    def _set(self, device: RolloutDevice) -> RolloutDevice:
        self._counts[self.devices[device.device_id].state] -= 1
        self._counts[device.state] += 1
        self.devices[device.device_id] = device
        self._under_way.pop(device.device_id, None)
        if device.state == "offered":
            self._under_way[device.device_id] = None
        if device.state != "waiting":
            self._in_stage.pop(device.device_id, None)
        return device

    def _failures(self) -> str:
        """The reasons, the most frequent one first."""
        reasons: dict[str, int] = {}
        for device in self.devices.values():
            if device.state in BAD:
                reason = (device.error or device.state).partition(":")[0]
                reasons[reason] = reasons.get(reason, 0) + 1
        return ", ".join(f"{reason} ({n})" for reason, n in sorted(reasons.items(), key=lambda item: -item[1])[:3])

    def _summary(self) -> str:
        counted = ((self.count("healthy"), "healthy"), (self.count(*BAD), "not"), (self.count("removed"), "removed"))
        return ", ".join(f"{n} {what}" for n, what in counted if n)
