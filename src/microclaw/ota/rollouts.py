"""Rollouts that go on by themselves: keeps what each decides, offers the update, notes how it ends. rollout.py decides.

Order of everything: first the change is on the disk, then it is acted on. An offer that a killed host had kept and not
sent is sent again at the next start; the offers themselves see to it that a device gets none twice.
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

from microclaw.devices.device import Device
from microclaw.errors import ConfigError, MicroclawError, UnknownName
from microclaw.events import LiveEvent, RolloutChanged
from microclaw.ota.offers import End, Offers, running_version
from microclaw.ota.rollout import DEFAULT_STAGES, Rollout, RolloutPlan, read_stages
from microclaw.store.firmware import OfferRow
from microclaw.store.rollouts import RolloutDevice, RolloutRow, RolloutState, RolloutTable

TICK_S: Final = 1.0
TRIES: Final = 5  # of a change while other hosts of a cluster change the same rollout
MAX_OPEN: Final = 8
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Rollouts:
    """`crashes` counts the kinds of crash that devices had first since the moment (Unix ms) beside each. A change of
    state or stage is a live event.
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
        """Carry the open rollouts on, with every news and once a second. One host of a cluster does so at a time."""
        await self.load()
        while True:
            await self.step()
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S if self._going_on else None):
                    await self._news.wait()

    async def load(self) -> None:
        """Take up what a former host left: offers that may not have gone out are sent, or called off, again."""
        await self.refresh()
        for rollout in self.going_on:
            await self._act_on_all(rollout)

    async def refresh(self) -> None:
        """Read what is open, which another host of a cluster may have changed."""
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
        """Begin it by the plan, with these stages; the devices that are not in it, each with the reason.

        Raises UnknownName for a version that is not published, ConfigError where no device can take it or those that
        can are on several channels: a canary proves one release of a version.
        """
        rows = await self.offers.find(version)
        version = rows[0].version
        members: list[tuple[str, str]] = []
        channels: set[str] = set()
        left_out: dict[str, str] = {}
        for device in chosen:
            try:
                release = self.offers.fitting(rows, device)
            except MicroclawError as exc:
                left_out[device.name] = exc.message
            else:
                channels.add(release.channel)
                members.append((device.device_id, running_version(device)))
        if not members:
            reasons = "; ".join(f"{name}: {why}" for name, why in list(left_out.items())[:3])
            raise ConfigError(f"no board takes {version}: {reasons}", next_step="microclaw firmware status")
        if len(channels) > 1:
            text = f"the boards are on different channels: {', '.join(sorted(channels))}"
            raise ConfigError(text, next_step="begin a rollout for each: choose its boards with -l LABEL or -d NAME")
        SystemRandom().shuffle(members)  # chance says who is canary
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
        """`devices`: (id, version that it runs). Raises ConfigError where one of them is in an open rollout already."""
        async with self._lock:
            if undoes is None and sum(one.is_open for one in self.going_on) >= MAX_OPEN:
                raise ConfigError(f"{MAX_OPEN} rollouts are open", next_step="end one: microclaw firmware rollouts")
            for one in self.going_on:
                number = one.row.rollout_id
                busy = sum(one.holds(device_id) for device_id, _ in devices)
                if busy and number != undoes:  # who is under way there has the end of it first (`_can_take`)
                    text = f"{busy} of these boards are in rollout {number}, which is not over"
                    raise ConfigError(text, next_step=f"microclaw firmware rollouts {number}")
            plan_json = msgspec.json.encode(plan).decode()
            now_ms = self.now_ms()
            new = RolloutRow(0, version, channel, plan_json, person_id, undoes, now_ms, now_ms)
            number = await self.table.begin(new, devices)
            rollout = self._going_on[number] = await self.get(number)
        self._tell(rollout)
        return rollout

    async def undo(self, number: int, person_id: str) -> list[Rollout]:
        """Take the boards that have the update back to what they ran: a rollout for each former version.

        Raises ConfigError where that version has no release that lets boards go back.
        """
        rollout = await self.get(number)
        if rollout.row.undoes is not None or rollout.row.state == "undone":
            raise ConfigError(f"rollout {number} is reverted, or reverts one", next_step="microclaw firmware rollouts")
        former: dict[str, list[tuple[str, str]]] = {}
        for device in rollout.devices.values():
            if device.state in ("healthy", "late", "offered") and self.offers.is_known(device.device_id):
                former.setdefault(device.from_version, []).append((device.device_id, rollout.row.version))
        if not former:
            raise ConfigError(f"no board has the update of rollout {number}", next_step="nothing is to be undone")
        for version in former:
            await self.offers.releases_back(version)
        if rollout.is_open:
            await self.stop(number)
        begun = []
        for version, members in former.items():
            plan = RolloutPlan((len(members),), healthy_share=0.5, max_crashes=len(members), soak_s=0)
            begun.append(await self.add(version, rollout.row.channel, plan, members, person_id, undoes=number))
        why = f"reverted by rollout {begun[0].row.rollout_id}"
        await self._change(number, "undone", why, ("running", "paused", "halted", "done"))
        return begun

    async def pause(self, number: int) -> Rollout:
        """No more offers; what is under way goes on."""
        return await self._change(number, "paused", "a person paused it", ("running",))

    async def resume(self, number: int) -> Rollout:
        return await self._change(number, "running", "", ("paused",))

    async def stop(self, number: int, reason: str = "a person stopped it") -> Rollout:
        """End it for good; boards that have the offer and not the update are told to give up."""
        rollout = await self._change(number, "halted", reason, ("running", "paused"))
        await self._act_on_all(rollout)
        return rollout

    async def end_withdrawn(self) -> None:
        """End the open rollouts of versions that have no release any more."""
        live = {row.version for row in await self.offers.table.list() if row.withdrawn_ms is None}
        for rollout in self.going_on:
            if rollout.is_open and (version := rollout.row.version) not in live:
                await self.stop(rollout.row.rollout_id, f"{version} was withdrawn")

    async def get(self, number: int) -> Rollout:
        """Raises UnknownName."""
        rollout = self._going_on.get(number)
        if rollout is not None:
            return rollout
        found = await self.table.get(number)
        if found is None:
            raise UnknownName(f"there is no rollout {number}", next_step="microclaw firmware rollouts")
        return await self._read(found)

    async def all(self) -> list[Rollout]:
        """The newest first, those that are over too."""
        return [self._going_on.get(row.rollout_id) or await self._read(row) for row in await self.table.newest(20)]

    async def standing(self) -> list[Rollout]:
        """Those that are open; the newest, where it was halted."""
        newest = [await self._read(row) for row in await self.table.newest(1) if row.state == "halted"]
        return [*(one for one in self.going_on if one.is_open), *newest]

    @property
    def going_on(self) -> tuple[Rollout, ...]:
        """Those in which something may still happen."""
        return tuple(self._going_on.values())

    def heard(self, offer: OfferRow) -> None:
        """A device of this host said how its update stands."""
        owner = self.offers.devices.owner_of(f"link:{offer.device_id}")
        if owner is not None and offer.is_over:
            self._heard.add(owner.device_id)
            self._news.set()

    async def look_at_offers(self) -> None:
        """A device that is connected to another host said how its update stands."""
        for rollout in self.going_on:
            self._heard.update(rollout.under_way)
        self._news.set()

    async def step(self) -> None:
        """One look at every open rollout, once the ends that were heard of are noted."""
        while self._heard:
            device_id = self._heard.pop()
            for rollout in self.going_on:
                device = rollout.devices.get(device_id)
                if device is not None and device.state in ("offered", "late"):
                    await self.note(rollout, device_id, await self.offers.update_end(rollout, device))
        for rollout in self.going_on:
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

    # How it works

    async def _advance(self, rollout: Rollout) -> None:
        """Keep what is decided now, then act on it."""
        async with self._lock:
            now_ms = self.now_ms()
            before = rollout.kept
            if rollout.is_open and (offered := rollout.offered):
                rollout.count_crashes(await self.crashes(offered))
            gone = [one for one in (*rollout.under_way, *rollout.waiting) if not self.offers.is_known(one)]
            noted = [rollout.note(device_id, "removed", "", now_ms) for device_id in gone]
            changed = rollout.advance(now_ms, partial(self._can_take, rollout))
            if not await self._keep(rollout, [*filter(None, noted), *changed]):
                return  # the next step looks again
        if structs.replace(before, crashes=rollout.kept.crashes) != rollout.kept:
            self._tell(rollout)
            if rollout.kept.state == "halted":
                await self._act_on_all(rollout)
        for row in changed:
            if rollout.is_open:  # somebody may stop it meanwhile
                await self._act(rollout, row.device_id)

    def _can_take(self, rollout: Rollout, device_id: str) -> bool:
        """True if it can get an offer now: a rollout that undoes another one waits for what is under way there."""
        others = (other for other in self.going_on if other is not rollout)
        return self.offers.is_online(device_id) and not any(other.holds(device_id) for other in others)

    async def _act_on_all(self, rollout: Rollout) -> None:
        for device_id in rollout.under_way:
            await self._act(rollout, device_id)

    async def _act(self, rollout: Rollout, device_id: str) -> None:
        """Send the offer, or call it off where somebody stopped the rollout: who has no update yet need not take it.

        A device that cannot get the offer has failed, with the reason.
        """
        device = rollout.devices[device_id]
        is_open = rollout.is_open
        if device.state != "offered":
            return
        try:
            ended = await (self.offers.start_update if is_open else self.offers.stop_update)(rollout, device)
            if is_open and not rollout.is_open:  # somebody stopped it while the offer went out
                ended = await self.offers.stop_update(rollout, device)
        except MicroclawError as exc:
            _log.warning("rollout %d: %s was not told: %s", rollout.row.rollout_id, device_id, exc.message)
            if is_open:
                ended = ("failed", exc.message)
            else:
                ended = None
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
        self._tell(rollout)
        return rollout

    async def _keep(self, rollout: Rollout, rows: Sequence[RolloutDevice], changed: RolloutRow | None = None) -> bool:
        """False where another host changed the rollout meanwhile: it is read again, and nothing of this is kept."""
        now = changed or rollout.row
        if rows or now != rollout.kept:
            if not await self.table.keep(rollout.kept, now, rows):
                await self._read_open()
                return False
            rollout.row = rollout.kept = now
        if rollout.is_over:
            self._going_on.pop(now.rollout_id, None)
        return True

    async def _read_open(self) -> None:
        """Call it holding the lock. Who has a Rollout sees what is new in it."""
        opened: dict[int, Rollout] = {}
        for row in await self.table.open():
            rollout = opened[row.rollout_id] = self._going_on.get(row.rollout_id) or await self._read(row)
            rollout.load(row, await self.table.devices(row.rollout_id))
        for number in self._going_on.keys() - opened.keys():
            found = await self.table.get(number)
            if found is not None:
                self._going_on[number].load(found, await self.table.devices(number))
        self._going_on = opened

    async def _read(self, row: RolloutRow) -> Rollout:
        return Rollout(row, await self.table.devices(row.rollout_id))

    def _tell(self, rollout: Rollout) -> None:
        now = rollout.row
        number = rollout.row.rollout_id
        _log.info("rollout %d: %s, stage %d %s", number, now.state, now.stage + 1, now.reason)
        said = (number, now.version, now.state, now.stage + 1, now.soaking_since_ms is not None, now.reason)
        self.publish(RolloutChanged("", self.now_ms(), *said))
        self._news.set()
