"""Rollouts over this host's devices: who is in one, which release each gets, what their offers became, taking it back.

rollouts.py carries one on; offers.py sends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from microclaw.devices.device import Device
from microclaw.devices.registry import Registry
from microclaw.errors import ConfigError, NotSupported, UnknownName
from microclaw.events import LiveEvent
from microclaw.ota.manifest import version_numbers
from microclaw.ota.offers import Offers, link_of, obstacle, release_for, revision_of
from microclaw.ota.publisher import Publisher
from microclaw.ota.rollout_plan import DEFAULT_STAGES, RolloutPlan, read_stages
from microclaw.ota.rollouts import CountCrashes, Ended, OpenRollout, Rollouts, in_order
from microclaw.store.firmware import OfferRow, OfferState, ReleaseRow
from microclaw.store.rollouts import DeviceState, RolloutDevice, RolloutTable

LOOK_FOR_REMOVED_S: Final = 60.0
LOOK_FOR_CRASHES_S: Final = 2.0
_ENDS: Final[dict[OfferState, DeviceState]] = {
    "healthy": "healthy",
    "rolled_back": "rolled_back",
    "refused": "refused",
    "failed": "failed",
    "idle": "failed",  # cancelled or superseded by another offer
}


class RolloutService:
    """`now_ms` is the wall clock."""

    def __init__(
        self,
        table: RolloutTable,
        publisher: Publisher,
        offers: Offers,
        devices: Registry,
        *,
        now_ms: Callable[[], int],
        crashes: CountCrashes,
        publish: Callable[[LiveEvent], None] = lambda _event: None,
    ) -> None:
        self.publisher = publisher
        self.offers = offers
        self.devices = devices
        self._now_ms = now_ms
        self._ends: dict[tuple[str, int], OfferRow] = {}  # by device and release: the newest counts
        self._news = asyncio.Event()
        self.rollouts = Rollouts(
            table, self._send, self._cancel, is_online=self._is_online, now_ms=now_ms, crashes=crashes, publish=publish
        )
        self._is_running = False
        publisher.table.follow(self._look_at_offers)

    async def run(self) -> None:
        """Carry the open rollouts on until it is cancelled; what ended meanwhile is taken up first.

        Of a cluster's hosts one does so at a time.
        """
        self.offers.heard = self._heard
        self._is_running = True
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.rollouts.run(), name="rollouts")
                group.create_task(self._follow(), name="ends of updates")
                group.create_task(self._look_for_crashes(), name="crashes of updated boards")
                group.create_task(self._look_for_removed(), name="devices that were removed")
        finally:
            self._is_running = False

    async def begin(
        self,
        version: str,
        chosen: Sequence[Device],
        person: str,
        *,
        stages: str = DEFAULT_STAGES,
        plan: RolloutPlan = RolloutPlan(()),  # noqa: B008 - frozen
        outdated: bool = False,
        revisions: Sequence[str] = (),
    ) -> tuple[OpenRollout, dict[str, str]]:
        """Begin it by the plan, with these stages; the devices that are not in it, each with the reason.

        `outdated`: leave out who runs the version, or a newer one. `revisions`: only boards of these; () for all.
        Raises UnknownName for a version that is not published, ConfigError where no device can take it or those that
        can are on several channels.
        """
        rows = await self.publisher.find(version)
        version = rows[0].version
        running: dict[str, str] = {}
        left_out: dict[str, str] = {}
        for device in chosen:
            why = self._why_not(rows, device, outdated, revisions)
            if why is None:
                running[device.device_id] = _running(device)
            else:
                left_out[device.name] = why
        if not running:
            reasons = "; ".join(f"{name}: {why}" for name, why in list(left_out.items())[:3])
            raise ConfigError(f"no board takes {version}: {reasons}", next_step="microclaw firmware status")
        channel = self._channel_of(rows, list(running))
        ordered = in_order(f"{version} {self._now_ms()}", list(running))
        plan = replace(plan, stages=read_stages(stages, len(ordered)))
        members = [(each, running[each]) for each in ordered]
        return await self.rollouts.begin(version, channel, plan, members, person), left_out

    async def undo(self, rollout_id: int, person: str) -> list[OpenRollout]:
        """Take the boards that have the update back to what they ran: a rollout for each former version.

        Raises ConfigError where that version has no release that lets boards go back.
        """
        one = await self.rollouts.get(rollout_id)
        if one.undoes is not None or one.rollout.progress.state == "undone":
            raise ConfigError(
                f"rollout {rollout_id} is reverted, or takes one back", next_step="microclaw firmware rollouts"
            )
        former: dict[str, list[tuple[str, str]]] = {}
        for device in one.rollout.devices.values():
            if device.state in ("healthy", "late", "offered") and self._is_known(device.device_id):
                former.setdefault(device.from_version, []).append((device.device_id, one.version))
        if not former:
            raise ConfigError(f"no board has the update of rollout {rollout_id}", next_step="nothing is to be undone")
        for version in former:
            await self._releases_back(version)
        if one.rollout.is_open:
            await self.rollouts.stop(rollout_id)
        begun = []
        for version, members in former.items():
            plan = RolloutPlan((len(members),), healthy_share=0.5, max_crashes=len(members), soak_s=0)
            begun.append(await self.rollouts.begin(version, one.channel, plan, members, person, undoes=rollout_id))
        await self.rollouts.mark_undone(rollout_id, begun[0].rollout_id)
        return begun

    async def withdrawn(self, version: str) -> None:
        """End the open rollouts of a version that has no release any more."""
        if any(row.version == version and row.withdrawn_ms is None for row in await self.publisher.table.list()):
            return
        for one in self.rollouts.going_on:
            if one.version == version and one.rollout.is_open:
                await self.rollouts.stop(one.rollout_id, f"{version} was withdrawn")

    # What Rollouts calls

    async def _send(self, one: OpenRollout, device: RolloutDevice) -> Ended | None:
        """The offers see to it that a device gets the same one once; that of an earlier rollout does not count."""
        if (given := await self._given(one, device)) is not None:
            return _end_of(given)
        back = one.undoes is not None
        rows = await self._releases_back(one.version) if back else await self.publisher.find(one.version)
        known = self.devices.get(device.device_id)
        release = release_for(rows, known, back=back)
        before = await self.offers.standing(device.device_id, release.release_id)
        if _running(known) == one.version and all(row.is_over for row in before):
            return Ended("healthy", "")  # somebody gave it to the board since, or it never left that version
        return _end_of(await self.offers.offer(device.device_id, release, by=one.person_id, again=True))

    async def _cancel(self, one: OpenRollout, device: RolloutDevice) -> Ended | None:
        given = await self._given(one, device)
        if given is None:
            return Ended("failed", "the rollout stopped before the offer went out")
        if not given.is_over:
            await self.offers.cancel(device.device_id, by=one.person_id)
        return _end_of(given)

    async def _given(self, one: OpenRollout, device: RolloutDevice) -> OfferRow | None:
        """This rollout's offer to the device, where it went out."""
        rows = await self.offers.standing(device.device_id)
        since_ms = device.offered_ms or 0
        return next((row for row in rows if row.version == one.version and row.offered_ms >= since_ms), None)

    async def _releases_back(self, version: str) -> tuple[ReleaseRow, ...]:
        """Releases of a version that boards with a higher one take. Raises ConfigError where there is none."""
        try:
            rows = tuple(row for row in await self.publisher.find(version) if row.allow_downgrade)
        except UnknownName:
            rows = ()
        if not rows:
            step = f"microclaw firmware publish --version {version} --allow-downgrade ..., then this again"
            raise ConfigError(f"{version} is not published as one that boards may go back to", next_step=step)
        return rows

    def _is_online(self, device_id: str) -> bool:
        return self._is_known(device_id) and link_of(self.devices.get(device_id)).anywhere

    def _is_known(self, device_id: str) -> bool:
        try:
            link_of(self.devices.get(device_id))
        except (UnknownName, NotSupported):
            return False
        return True

    # What it hears

    def _heard(self, row: OfferRow) -> None:
        owner = self.offers.owner_of(row)
        if self._is_running and owner is not None and row.state in _ENDS:
            self._ends[owner.device_id, row.release_id] = row
            self._news.set()

    async def _look_at_offers(self) -> None:
        """A device that is connected to another host said how its update stands."""
        if not self._is_running:
            return
        for one in self.rollouts.going_on:
            for device_id in one.rollout.under_way:
                if not self._is_known(device_id):
                    continue
                given = await self._given(one, one.rollout.devices[device_id])
                if given is not None and (ended := _end_of(given)) is not None:
                    await self.rollouts.noted(device_id, one.version, ended.state, ended.error)

    async def _follow(self) -> None:
        while await self._news.wait():
            self._news.clear()
            while self._ends:
                (device_id, _), row = self._ends.popitem()
                await self.rollouts.noted(device_id, row.version, _ENDS[row.state], row.error or "")

    async def _look_for_crashes(self) -> None:
        while True:
            await self.rollouts.look_for_crashes()
            await asyncio.sleep(LOOK_FOR_CRASHES_S)

    async def _look_for_removed(self) -> None:
        while True:
            for one in self.rollouts.going_on:
                for device in list(one.rollout.devices.values()):
                    if device.state in ("waiting", "offered") and not self._is_known(device.device_id):
                        await self.rollouts.removed(device.device_id)
            await asyncio.sleep(LOOK_FOR_REMOVED_S)

    def _channel_of(self, rows: Sequence[ReleaseRow], members: Sequence[str]) -> str:
        """The one channel of the releases that they get. ConfigError where it is not one: a canary proves one release
        of a version, and those of two channels may differ.
        """
        names: dict[str, list[str]] = {}
        for device_id in members:
            device = self.devices.get(device_id)
            names.setdefault(release_for(rows, device).channel, []).append(device.name)
        if len(names) > 1:
            each = "; ".join(f"{len(found)} on {channel} ({found[0]}, ...)" for channel, found in sorted(names.items()))
            raise ConfigError(
                f"the boards are on different channels: {each}",
                next_step="begin a rollout for each channel: choose its boards with -l LABEL or -d NAME",
            )
        return next(iter(names))

    def _why_not(
        self, rows: Sequence[ReleaseRow], device: Device, outdated: bool, revisions: Sequence[str]
    ) -> str | None:
        revision = revision_of(device)
        if revisions and revision not in revisions:
            return f"is of the revision {revision}" if revision else "does not know its revision"
        try:
            release = release_for(rows, device)
            error = obstacle(release, device, link_of(device), self._now_ms())
        except NotSupported as exc:
            return exc.message
        running, wanted = version_numbers(_running(device)), version_numbers(release.version)
        if outdated and running is not None and wanted is not None and running >= wanted:
            return f"runs {_running(device)}"
        return None if error is None else error.message


def _running(device: Device) -> str:
    """The version that it said last, "" where it said none."""
    presence = link_of(device).presence
    facts = None if presence is None else presence.ota
    return "" if facts is None else facts.version


def _end_of(row: OfferRow) -> Ended | None:
    state = _ENDS.get(row.state)
    return None if state is None else Ended(state, row.error or "")
