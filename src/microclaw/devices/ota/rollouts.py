"""Drives rollouts: stores each decision of rollout.py, offers the update, notes how it ends.

Each change is first stored, then acted on. An offer that a killed host had stored and not sent is sent again at the
next start; the offers themselves ensure that no device gets one twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from secrets import SystemRandom
from typing import Final

import msgspec
from msgspec import structs

from microclaw.devices.ota.offers import End, Offers, running_version
from microclaw.devices.ota.rollout import DEFAULT_STAGES, Rollout, RolloutPlan, read_stages
from microclaw.devices.registry.device import Device
from microclaw.errors import ConfigError, MicroclawError, UnknownName
from microclaw.events import LiveEvent, RolloutChanged
from microclaw.host.store.firmware import OfferRow
from microclaw.host.store.rollouts import RolloutDevice, RolloutRow, RolloutState, RolloutTable

TICK_S: Final = 1.0
# Other hosts of a cluster may change the same rollout between two tries.
TRIES: Final = 5
MAX_OPEN: Final = 8
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Rollouts:
    """The rollouts of this host. A change of state or stage is a live event.

    `crashes` counts the kinds of crash that devices had for the first time since the time (Unix ms) given for each.
    """

    table: RolloutTable
    offers: Offers
    _: KW_ONLY
    now_ms: Callable[[], int]
    crashes: Callable[[Mapping[str, int]], Awaitable[int]]
    publish: Callable[[LiveEvent], None] = lambda _event: None
    _going_on: dict[int, Rollout] = field(init=False, default_factory=dict)
    _heard: set[str] = field(init=False, default_factory=set)
    _lock: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)
    _news: asyncio.Event = field(init=False, default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.table.follow(self.refresh)

    async def run(self) -> None:
        """Advance the open rollouts at every event and once a second. One host of a cluster does so at a time."""
        await self.load()
        while True:
            await self.step()
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                limit_s = TICK_S if self._going_on else None
                async with asyncio.timeout(limit_s):
                    await self._news.wait()

    async def load(self) -> None:
        """Recover after a restart: send or cancel again the offers that may not have gone out."""
        await self.refresh()
        for rollout in self.open_rollouts:
            await self._act_on_all(rollout)

    async def refresh(self) -> None:
        """Read the open rollouts, which another host of a cluster may have changed."""
        async with self._lock:
            await self._read_open()
        self._news.set()

    async def begin(
        self,
        version: str,
        chosen: Sequence[Device],
        person_id: str,
        *,
        stages: str = DEFAULT_STAGES,
        plan: RolloutPlan = RolloutPlan(()),  # noqa: B008 - frozen
    ) -> tuple[Rollout, dict[str, str]]:
        """Begin a rollout by the plan, with these stages; return it, and the reason for each device left out.

        Raises UnknownName for a version that is not published, ConfigError if no device can take it or if the devices
        that can are on several channels: a canary proves one release of a version.
        """
        rows = await self.offers.find(version)
        version = rows[0].version
        members: list[tuple[str, str]] = []
        channels: set[str] = set()
        left_out: dict[str, str] = {}
        for device in chosen:
            try:
                release = self.offers.release_for_device(rows, device)
            except MicroclawError as exc:
                left_out[device.name] = exc.message
            else:
                channels.add(release.channel)
                members.append((device.device_id, running_version(device)))
        if not members:
            first_reasons = list(left_out.items())[:3]
            reasons = "; ".join(f"{name}: {reason}" for name, reason in first_reasons)
            raise ConfigError(f"no board takes {version}: {reasons}", next_step="microclaw firmware status")
        if len(channels) > 1:
            text = f"the boards are on different channels: {', '.join(sorted(channels))}"
            raise ConfigError(text, next_step="begin a rollout for each: choose its boards with -l LABEL or -d NAME")
        # A random order, so that the same boards are not always the canaries.
        SystemRandom().shuffle(members)
        back = all(row.allow_downgrade for row in rows)
        plan = structs.replace(plan, stages=read_stages(stages, len(members)), back=back)
        return await self.add(version, channels.pop(), plan, members, person_id), left_out

    async def add(
        self,
        version: str,
        channel: str,
        plan: RolloutPlan,
        devices: Sequence[tuple[str, str]],
        person_id: str,
        *,
        undoes: int | None = None,
    ) -> Rollout:
        """Store a rollout; `devices` are pairs of an id and the version that it runs.

        Raises ConfigError if one of them is in an open rollout already, or if too many rollouts are open.
        """
        async with self._lock:
            self._check_free(devices, undoes)
            plan_json = msgspec.json.encode(plan).decode()
            now_ms = self.now_ms()
            new = RolloutRow(0, version, channel, plan_json, person_id, undoes, now_ms, now_ms)
            number = await self.table.begin(new, devices)
            rollout = await self.get(number)
            self._going_on[number] = rollout
        self._report(rollout)
        return rollout

    def _check_free(self, devices: Sequence[tuple[str, str]], undoes: int | None) -> None:
        if undoes is None and sum(rollout.is_open for rollout in self.open_rollouts) >= MAX_OPEN:
            raise ConfigError(f"{MAX_OPEN} rollouts are open", next_step="end one: microclaw firmware rollouts")
        for rollout in self.open_rollouts:
            number = rollout.row.rollout_id
            # The rollout to undo may still update boards: `_can_take` waits for their end.
            if number == undoes:
                continue
            busy_count = sum(rollout.holds(device_id) for device_id, _ in devices)
            if busy_count:
                text = f"{busy_count} of these boards are in rollout {number}, which is not over"
                raise ConfigError(text, next_step=f"microclaw firmware rollouts {number}")

    async def undo(self, number: int, person_id: str) -> list[Rollout]:
        """Take the boards that have the update back to their former version: a rollout for each such version.

        Raises ConfigError if that version has no release that lets boards go back.
        """
        rollout = await self.get(number)
        if rollout.row.undoes is not None or rollout.row.state == "undone":
            raise ConfigError(f"rollout {number} is reverted, or reverts one", next_step="microclaw firmware rollouts")
        former: dict[str, list[tuple[str, str]]] = {}
        for device in rollout.devices.values():
            if device.state in ("healthy", "late", "offered") and self.offers.is_known(device.device_id):
                former.setdefault(device.from_version, []).append((device.device_id, rollout.row.version))
        if not former:
            raise ConfigError(f"no board has the update of rollout {number}", next_step="there is nothing to undo")
        for version in former:
            await self.offers.releases_back(version)
        if rollout.is_open:
            await self.stop(number)
        reverting = []
        for version, members in former.items():
            plan = RolloutPlan((len(members),), healthy_share=0.5, max_crashes=len(members), soak_s=0)
            reverting.append(await self.add(version, rollout.row.channel, plan, members, person_id, undoes=number))
        reason = f"reverted by rollout {reverting[0].row.rollout_id}"
        await self._change(number, "undone", reason, ("running", "paused", "halted", "done"))
        return reverting

    async def pause(self, number: int) -> Rollout:
        """Send no more offers; updates under way continue."""
        return await self._change(number, "paused", "a person paused it", ("running",))

    async def resume(self, number: int) -> Rollout:
        return await self._change(number, "running", "", ("paused",))

    async def stop(self, number: int, reason: str = "a person stopped it") -> Rollout:
        """End a rollout for good; ask boards with the offer that have not written the update to give it up."""
        rollout = await self._change(number, "halted", reason, ("running", "paused"))
        await self._act_on_all(rollout)
        return rollout

    async def end_withdrawn(self) -> None:
        """End the open rollouts of versions that have no release any more."""
        live = {row.version for row in await self.offers.table.list() if row.withdrawn_ms is None}
        for rollout in self.open_rollouts:
            version = rollout.row.version
            if rollout.is_open and version not in live:
                await self.stop(rollout.row.rollout_id, f"{version} was withdrawn")

    async def get(self, number: int) -> Rollout:
        """Return a rollout by its number. Raises UnknownName."""
        rollout = self._going_on.get(number)
        if rollout is not None:
            return rollout
        row = await self.table.get(number)
        if row is None:
            raise UnknownName(f"there is no rollout {number}", next_step="microclaw firmware rollouts")
        return await self._read(row)

    async def all(self) -> list[Rollout]:
        """Return the newest 20 rollouts, the newest first, including finished ones."""
        rollouts = []
        for row in await self.table.newest(20):
            rollouts.append(self._going_on.get(row.rollout_id) or await self._read(row))
        return rollouts

    async def current_rollouts(self) -> list[Rollout]:
        """Return the open rollouts, and the newest one if it was halted."""
        rollouts = [rollout for rollout in self.open_rollouts if rollout.is_open]
        for row in await self.table.newest(1):
            if row.state == "halted":
                rollouts.append(await self._read(row))
        return rollouts

    @property
    def open_rollouts(self) -> tuple[Rollout, ...]:
        """The rollouts that are not over."""
        return tuple(self._going_on.values())

    def note_offer(self, offer: OfferRow) -> None:
        """Note that a device of this host reported the state of its update."""
        owner = self.offers.devices.owner_of(f"link:{offer.device_id}")
        if owner is not None and offer.is_over:
            self._heard.add(owner.device_id)
            self._news.set()

    async def look_at_offers(self) -> None:
        """Note that a device of another host reported the state of its update."""
        for rollout in self.open_rollouts:
            self._heard.update(rollout.under_way)
        self._news.set()

    async def step(self) -> None:
        """Note the reported ends of updates, then advance every open rollout."""
        while self._heard:
            device_id = self._heard.pop()
            for rollout in self.open_rollouts:
                device = rollout.devices.get(device_id)
                if device is not None and device.state in ("offered", "late"):
                    await self.note(rollout, device_id, await self.offers.update_end(rollout, device))
        for rollout in self.open_rollouts:
            await self._advance(rollout)

    async def note(self, rollout: Rollout, device_id: str, ended: End | None) -> None:
        """Note the end of a device's update, if there is one."""
        if ended is None:
            return
        async with self._lock:
            for _ in range(TRIES):
                row = rollout.note(device_id, *ended, self.now_ms())
                if row is None or await self._keep(rollout, [row]):
                    break
        self._news.set()

    async def _advance(self, rollout: Rollout) -> None:
        """Store the next decision of a rollout, then act on it."""
        async with self._lock:
            now_ms = self.now_ms()
            before = rollout.kept
            offered = rollout.offered
            if rollout.is_open and offered:
                rollout.count_crashes(await self.crashes(offered))
            removed = self._note_removed(rollout, now_ms)
            changed = rollout.advance(now_ms, partial(self._can_take, rollout))
            is_kept = await self._keep(rollout, [*removed, *changed])
        if not is_kept:
            # Another host changed the rollout; the next step decides again.
            return
        if structs.replace(before, crashes=rollout.kept.crashes) != rollout.kept:
            self._report(rollout)
            if rollout.kept.state == "halted":
                await self._act_on_all(rollout)
        for row in changed:
            # A person may stop it between two boards.
            if rollout.is_open:
                await self._act(rollout, row.device_id)

    def _note_removed(self, rollout: Rollout, now_ms: int) -> list[RolloutDevice]:
        """Note the devices of a rollout that the host has no longer; return the changed rows."""
        changed = []
        for device_id in (*rollout.under_way, *rollout.waiting):
            if not self.offers.is_known(device_id):
                row = rollout.note(device_id, "removed", "", now_ms)
                if row is not None:
                    changed.append(row)
        return changed

    def _can_take(self, rollout: Rollout, device_id: str) -> bool:
        """Return True if a device can get an offer now; a rollout that undoes another one waits for its updates."""
        if not self.offers.is_online(device_id):
            return False
        others = [other for other in self.open_rollouts if other is not rollout]
        return not any(other.holds(device_id) for other in others)

    async def _act_on_all(self, rollout: Rollout) -> None:
        for device_id in rollout.under_way:
            await self._act(rollout, device_id)

    async def _act(self, rollout: Rollout, device_id: str) -> None:
        """Send the offer, or cancel it if the rollout was stopped.

        A device that cannot get the offer has failed, with the reason.
        """
        device = rollout.devices[device_id]
        is_open = rollout.is_open
        if device.state != "offered":
            return
        try:
            if is_open:
                ended = await self.offers.start_update(rollout, device)
            # A person may have stopped it while the offer went out.
            if not rollout.is_open:
                ended = await self.offers.stop_update(rollout, device)
        except MicroclawError as exc:
            _log.warning("rollout %d: could not notify %s: %s", rollout.row.rollout_id, device_id, exc.message)
            ended = ("failed", exc.message) if is_open else None
        await self.note(rollout, device_id, ended)

    async def _change(self, number: int, state: RolloutState, reason: str, allowed: Sequence[RolloutState]) -> Rollout:
        step = f"microclaw firmware rollouts {number}"
        async with self._lock:
            is_kept = False
            while not is_kept:
                rollout = await self.get(number)
                if rollout.row.state not in allowed:
                    raise ConfigError(f"rollout {number} is {rollout.row.state}", next_step=step)
                is_kept = await self._keep(rollout, [], structs.replace(rollout.row, state=state, reason=reason))
        self._report(rollout)
        return rollout

    async def _keep(self, rollout: Rollout, rows: Sequence[RolloutDevice], changed: RolloutRow | None = None) -> bool:
        """Store the rows; if another host changed the rollout, read it again, store nothing and return False."""
        row = changed or rollout.row
        if rows or row != rollout.kept:
            if not await self.table.keep(rollout.kept, row, rows):
                await self._read_open()
                return False
            rollout.row = row
            rollout.kept = row
        if rollout.is_over:
            self._going_on.pop(row.rollout_id, None)
        return True

    async def _read_open(self) -> None:
        """Read the open rollouts into the same objects, which callers may hold. The caller holds the lock."""
        opened: dict[int, Rollout] = {}
        for row in await self.table.open():
            rollout = self._going_on.get(row.rollout_id) or await self._read(row)
            opened[row.rollout_id] = rollout
            rollout.load(row, await self.table.devices(row.rollout_id))
        for number in self._going_on.keys() - opened.keys():
            closed_row = await self.table.get(number)
            if closed_row is not None:
                self._going_on[number].load(closed_row, await self.table.devices(number))
        self._going_on = opened

    async def _read(self, row: RolloutRow) -> Rollout:
        return Rollout(row, await self.table.devices(row.rollout_id))

    def _report(self, rollout: Rollout) -> None:
        row = rollout.row
        number = row.rollout_id
        stage = row.stage + 1
        is_soaking = row.soaking_since_ms is not None
        _log.info("rollout %d: %s, stage %d %s", number, row.state, stage, row.reason)
        change = RolloutChanged("", self.now_ms(), number, row.version, row.state, stage, is_soaking, row.reason)
        self.publish(change)
        self._news.set()
