"""Rollouts that go on by themselves: keeps what each decides, sends the offers, hears how they end. rollout.py decides.

Order of everything: first the change is on the disk, then it is acted on. An offer that a killed host had kept and not
sent is sent again at the next start; the offers themselves see to it that a device gets none twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from microclaw.errors import ConfigError, MicroclawError, Overloaded, UnknownName
from microclaw.events import LiveEvent, RolloutChanged
from microclaw.ota.rollout import Rollout
from microclaw.ota.rollout_plan import RolloutPlan
from microclaw.store.rollouts import DeviceState, Progress, RolloutDevice, RolloutRow, RolloutState, RolloutTable

TICK_S: Final = 1.0
TRIES: Final = 5  # of a change while other hosts of a cluster change the same rollout
MAX_OPEN: Final = 8
_log = logging.getLogger(__name__)

SendOffer: TypeAlias = Callable[["OpenRollout", RolloutDevice], Awaitable["Ended | None"]]
"""Send what a device was just kept as offered; how it ended, where that is known already. Raises MicroclawError."""
CancelOffer: TypeAlias = Callable[["OpenRollout", RolloutDevice], Awaitable["Ended | None"]]
"""Ask a device to give the update up; how it ended, where that is known already. Raises MicroclawError where it cannot
be asked."""
CountCrashes: TypeAlias = Callable[[Mapping[str, int]], Awaitable[int]]
"""How many kinds of crash devices had for the first time since the moment (Unix ms) that stands beside each."""


class Ended(Struct, frozen=True):
    """The end of an update, with the device's reason."""

    state: DeviceState
    error: str


@dataclass(slots=True)
class OpenRollout(RolloutRow):
    """A rollout with what was said of it; `kept` is its progress in the store."""

    rollout: Rollout
    kept: Progress


class RolloutStanding(Struct, frozen=True):
    """One that goes on, or that stopped and nothing came after; `text` says how it stands, or why it stopped."""

    rollout_id: int
    version: str
    state: RolloutState
    text: str


class Rollouts:
    """`is_online` by device id, `minute` the minute of the host's day; a change of state or stage is a live event."""

    def __init__(
        self,
        table: RolloutTable,
        offer: SendOffer,
        cancel: CancelOffer,
        *,
        is_online: Callable[[str], bool],
        now_ms: Callable[[], int],
        minute: Callable[[], int] = lambda: _minute_of(datetime.now()),
        crashes: CountCrashes,
        publish: Callable[[LiveEvent], None] = lambda _event: None,
    ) -> None:
        self._crashes = crashes
        self._table = table
        self._offer = offer
        self._cancel = cancel
        self._is_online = is_online
        self._now_ms = now_ms
        self._minute = minute
        self._publish = publish
        self._open: dict[int, OpenRollout] = {}
        self._lock = asyncio.Lock()
        self._news = asyncio.Event()
        table.follow(self.refresh)

    async def refresh(self) -> None:
        """Read what is open, which another host of a cluster may have changed."""
        async with self._lock:
            await self._read_open()
        self._news.set()

    async def load(self) -> None:
        """Take up what a former host left: offers that may not have gone out are sent, or called off, again."""
        await self.refresh()
        for one in list(self._open.values()):
            if one.rollout.is_open:
                for device_id in one.rollout.under_way:
                    await self._send(one, device_id)
            else:
                await self._call_off(one)

    async def run(self) -> None:
        """Move on with every news and once a second, until it is cancelled."""
        await self.load()
        while True:
            await self.step()
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._news.wait()

    async def begin(
        self,
        version: str,
        channel: str,
        plan: RolloutPlan,
        devices: Sequence[tuple[str, str]],
        person_id: str,
        *,
        undoes: int | None = None,
    ) -> OpenRollout:
        """`devices`: (id, version that it runs). Raises ConfigError where one of them is in an open rollout already."""
        async with self._lock:
            if sum(one.rollout.is_open for one in self._open.values()) >= MAX_OPEN:
                raise ConfigError(f"{MAX_OPEN} rollouts are open", next_step="end one: microclaw firmware rollouts")
            for one in self._open.values():
                if one.rollout_id == undoes:  # who is under way there has the end of it first (`_is_free`)
                    continue
                busy = [device_id for device_id, _ in devices if one.rollout.holds(device_id)]
                if busy:
                    raise ConfigError(
                        f"{len(busy)} of these boards are in rollout {one.rollout_id}, which is not over",
                        next_step=f"microclaw firmware rollouts {one.rollout_id}",
                    )
            new = RolloutRow(0, version, channel, msgspec.json.encode(plan).decode(), person_id, undoes, self._now_ms())
            rollout_id = await self._table.add(new, devices)
            one = self._open[rollout_id] = await self.get(rollout_id)
        self._tell(one)
        self._news.set()
        return one

    async def get(self, rollout_id: int) -> OpenRollout:
        """Raises UnknownName."""
        if (one := self._open.get(rollout_id)) is not None:
            return one
        found = await self._table.get(rollout_id)
        if found is None:
            raise UnknownName(f"there is no rollout {rollout_id}", next_step="microclaw firmware rollouts")
        return await self._read(*found)

    async def all(self) -> list[OpenRollout]:
        """The newest first, those that are over too."""
        return [self._open.get(row.rollout_id) or await self._read(row, now) for row, now in await self._table.list(20)]

    async def standing(self) -> list[RolloutStanding]:
        """Those that are open; the newest, where it was halted."""
        found = []
        for one in self._open.values():
            rollout = one.rollout
            stage = f"stage {rollout.progress.stage + 1} of {len(rollout.plan.stages)}"
            text = f"{stage}, {rollout.count('healthy')} of {len(rollout.devices)} healthy"
            if rollout.is_open:
                found.append(RolloutStanding(one.rollout_id, one.version, rollout.progress.state, text))
        for row, now in await self._table.list(1):
            if now.state == "halted":
                found.append(RolloutStanding(row.rollout_id, row.version, now.state, now.reason))
        return found

    @property
    def going_on(self) -> tuple[OpenRollout, ...]:
        """Those in which something may still happen."""
        return tuple(self._open.values())

    async def pause(self, rollout_id: int) -> OpenRollout:
        """No more offers; what is under way goes on."""
        return await self._change(rollout_id, "paused", "a person paused it", ("running",))

    async def resume(self, rollout_id: int) -> OpenRollout:
        return await self._change(rollout_id, "running", "", ("paused",))

    async def stop(self, rollout_id: int, reason: str = "a person stopped it") -> OpenRollout:
        """End it for good; boards that have the offer and not the update are told to give up."""
        one = await self._change(rollout_id, "halted", reason, ("running", "paused"))
        await self._call_off(one)
        return one

    async def mark_undone(self, rollout_id: int, by: int) -> None:
        """Its boards are reverted by another rollout."""
        await self._change(rollout_id, "undone", f"reverted by rollout {by}", ("running", "paused", "halted", "done"))

    async def noted(self, device_id: str, version: str, state: DeviceState, error: str) -> None:
        """Note the end of the update of a device to a version."""
        async with self._lock:
            for one in list(self._open.values()):
                for _ in range(TRIES):
                    row = one.rollout.note(device_id, state, error, self._now_ms()) if one.version == version else None
                    if row is None or await self._keep(one, [row]):
                        break
        self._news.set()

    async def look_for_crashes(self) -> None:
        """Count the new crash reports of each open rollout's devices."""
        for one in list(self._open.values()):
            if not one.rollout.is_open or not (offered := one.rollout.offered):
                continue
            count = await self._crashes(offered)
            async with self._lock:
                if one.rollout.count_crashes(count):
                    await self._keep(one, [])
                    self._news.set()

    async def removed(self, device_id: str) -> None:
        """The host knows the device no more."""
        async with self._lock:
            for one in list(self._open.values()):
                if row := one.rollout.note(device_id, "removed", "", self._now_ms()):
                    await self._keep(one, [row])
        self._news.set()

    async def step(self) -> None:
        """One look at every open rollout."""
        for one in list(self._open.values()):
            for device_id in await self._decide(one):
                await self._send(one, device_id)

    # How it works

    async def _decide(self, one: OpenRollout) -> list[str]:
        """Keep what is decided now; the devices whose offers are kept and have to go out."""
        async with self._lock:
            now_ms, rollout = self._now_ms(), one.rollout
            rows = rollout.give_up_late(now_ms)
            changed = rollout.decide(now_ms)
            window = rollout.plan.window
            is_in_window = window is None or window.is_open(self._minute())
            due = rollout.due(now_ms, partial(self._is_free, one), in_window=is_in_window)
            rows += [rollout.offer(device_id, now_ms) for device_id in due]
            if (rows or changed is not None) and not await self._keep(one, rows):
                return []  # the next step looks again
        if changed is not None:
            self._tell(one)
            if changed.state == "halted":
                await self._call_off(one)
        return due

    async def _send(self, one: OpenRollout, device_id: str) -> None:
        """A device that cannot get the offer has failed, with the reason."""
        try:
            ended = await self._offer(one, one.rollout.devices[device_id])
        except MicroclawError as exc:
            ended = Ended("failed", exc.message)
        if ended is not None:
            await self.noted(device_id, one.version, ended.state, ended.error)

    async def _change(
        self, rollout_id: int, state: RolloutState, reason: str, allowed: Sequence[RolloutState]
    ) -> OpenRollout:
        async with self._lock:
            for _ in range(TRIES):
                one = await self.get(rollout_id)
                now, step = one.rollout.progress.state, f"microclaw firmware rollouts {rollout_id}"
                if now not in allowed:
                    raise ConfigError(f"rollout {rollout_id} is {now}", next_step=step)
                one.rollout.set_state(state, reason)
                if await self._keep(one, []):
                    break
            else:
                raise Overloaded(f"rollout {rollout_id} changes all the time at other hosts", next_step=step)
        self._tell(one)
        self._news.set()
        return one

    def _is_free(self, one: OpenRollout, device_id: str) -> bool:
        """True if it can get an offer now: a rollout that takes another one back waits for what is under way there."""
        others = (other.rollout for other in self._open.values() if other is not one)
        return self._is_online(device_id) and not any(other.holds(device_id) for other in others)

    async def _call_off(self, one: OpenRollout) -> None:
        """Boards that have the offer and not the update need not take it."""
        for device_id in one.rollout.under_way:
            try:
                ended = await self._cancel(one, one.rollout.devices[device_id])
            except MicroclawError as exc:
                _log.warning("rollout %d: %s was not told to stop: %s", one.rollout_id, device_id, exc.message)
                continue
            if ended is not None:
                await self.noted(device_id, one.version, ended.state, ended.error)

    async def _keep(self, one: OpenRollout, rows: Sequence[RolloutDevice]) -> bool:
        """False where another host changed the rollout meanwhile: it is read again, and nothing of this is kept."""
        now = one.rollout.progress
        if not await self._table.keep(one.rollout_id, one.kept, now, rows):
            await self._read_open()
            return False
        one.kept = now
        if one.rollout.is_over:
            self._open.pop(one.rollout_id, None)
        return True

    async def _read_open(self) -> None:
        """Call it holding the lock. Who has an OpenRollout sees what is new in it."""
        rows = await self._table.open()
        before, self._open = self._open, {row.rollout_id: await self._read(row, now) for row, now in rows}
        for rollout_id, known in before.items():
            now = self._open.get(rollout_id)
            if now is None:
                found = await self._table.get(rollout_id)
                now = None if found is None else await self._read(*found)
            else:
                self._open[rollout_id] = known
            if now is not None:
                known.rollout, known.kept = now.rollout, now.kept

    async def _read(self, row: RolloutRow, progress: Progress) -> OpenRollout:
        devices = await self._table.devices(row.rollout_id)
        rollout = Rollout(msgspec.json.decode(row.plan, type=RolloutPlan), devices, progress)
        return OpenRollout(**asdict(row), rollout=rollout, kept=progress)

    def _tell(self, one: OpenRollout) -> None:
        now = one.rollout.progress
        _log.info("rollout %d: %s, stage %d %s", one.rollout_id, now.state, now.stage + 1, now.reason)
        soaking = now.soaking_since_ms is not None
        said = (one.rollout_id, one.version, now.state, now.stage + 1, soaking, now.reason)
        self._publish(RolloutChanged("", self._now_ms(), *said))


def in_order(rollout_key: str, device_ids: Sequence[str]) -> list[str]:
    """The devices in an order that says nothing of them and is the same for the same key: who is canary is chance."""
    return sorted(device_ids, key=lambda one: hashlib.sha256(f"{rollout_key}/{one}".encode()).digest())


def _minute_of(at: datetime) -> int:
    return at.hour * 60 + at.minute
