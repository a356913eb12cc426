"""The boards that a rollout updates: the release that each gets, its offer, and how that ended. It chooses no board."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Final, TypeAlias

from microclaw.devices.device import Device
from microclaw.devices.registry import Registry
from microclaw.errors import ConfigError, NotSupported, UnknownName
from microclaw.link_server.device_link import DeviceLink
from microclaw.ota.manifest import version_numbers
from microclaw.ota.offers import AlreadyRuns, Offers, facts_of, link_of, obstacle, release_for
from microclaw.ota.publisher import Publisher
from microclaw.ota.rollout import Rollout
from microclaw.store.firmware import OfferRow, ReleaseRow
from microclaw.store.rollouts import DeviceState, RolloutDevice

End: TypeAlias = tuple[DeviceState, str]
"""The end of an update, with the device's reason."""
_ENDS: Final[tuple[DeviceState, ...]] = ("healthy", "rolled_back", "refused", "failed")


class Boards:
    """This host's boards, as a rollout updates them: it chooses none."""

    def __init__(self, publisher: Publisher, offers: Offers, devices: Registry) -> None:
        self.publisher = publisher
        self.offers = offers
        self.devices = devices

    def is_known(self, device_id: str) -> bool:
        return self._link(device_id) is not None

    def is_online(self, device_id: str) -> bool:
        link = self._link(device_id)
        return link is not None and link.anywhere

    def release_for(self, rows: Sequence[ReleaseRow], device: Device, now_ms: int, *, outdated: bool) -> ReleaseRow:
        """The release that the device gets. Raises MicroclawError with why it is left out."""
        release = release_for(rows, device)
        running, wanted = version_numbers(running_version(device)), version_numbers(release.version)
        if outdated and running is not None and wanted is not None and running >= wanted:
            raise ConfigError(f"runs {running_version(device)}")
        if (error := obstacle(release, device, now_ms)) is not None:
            raise error
        return release

    async def send(self, rollout: Rollout, device: RolloutDevice) -> End | None:
        """Offer it the update, once; its end where that is known already. Raises MicroclawError."""
        if (given := await self._given(rollout, device)) is not None:
            return _end_of(given)
        row, back = rollout.row, rollout.row.undoes is not None
        rows = await self.releases_back(row.version) if back else await self.publisher.find(row.version)
        release = release_for(rows, self.devices.get(device.device_id), back=back)
        try:
            return _end_of(await self.offers.offer(device.device_id, release, by=row.person_id, again=True))
        except AlreadyRuns:  # somebody gave it to the board since, or it never left that version
            return "healthy", ""

    async def cancel(self, rollout: Rollout, device: RolloutDevice) -> End | None:
        """Ask it to give the update up; its end where that is known already. Raises MicroclawError."""
        given = await self._given(rollout, device)
        if given is None:
            return "failed", "the rollout stopped before the offer went out"
        if not given.is_over:
            await self.offers.cancel(device.device_id, by=rollout.row.person_id)
        return _end_of(given)

    async def end(self, rollout: Rollout, device: RolloutDevice) -> End | None:
        """The end of its update, None where it has none yet."""
        given = await self._given(rollout, device) if self.is_known(device.device_id) else None
        return None if given is None else _end_of(given)

    async def releases_back(self, version: str) -> tuple[ReleaseRow, ...]:
        """Releases of a version that boards with a higher one take. Raises ConfigError where there is none."""
        with contextlib.suppress(UnknownName):
            if rows := tuple(row for row in await self.publisher.find(version) if row.allow_downgrade):
                return rows
        step = f"microclaw firmware publish --version {version} --allow-downgrade ..., then this again"
        raise ConfigError(f"{version} is not published as one that boards may go back to", next_step=step)

    async def _given(self, rollout: Rollout, device: RolloutDevice) -> OfferRow | None:
        """Its offer of this version that goes on, or ended since the rollout came to it."""
        rows = await self.offers.standing(device.device_id)
        meant = (row for row in rows if row.version == rollout.row.version)
        since_ms = device.offered_ms or 0
        for row in meant:  # the offer's time is of this clock, its end's may be of another host's
            if not row.is_over or max(row.offered_ms, row.changed_ms) >= since_ms:
                return row
        return None

    def _link(self, device_id: str) -> DeviceLink | None:
        try:
            return link_of(self.devices.get(device_id))
        except (UnknownName, NotSupported):
            return None


def running_version(device: Device) -> str:
    """The version that it said last, "" where it said none."""
    facts = facts_of(device)
    return "" if facts is None else facts.version


def _end_of(row: OfferRow) -> End | None:
    """An offer that was cancelled, or superseded by another one, has failed."""
    state: DeviceState = next((end for end in _ENDS if end == row.state), "failed")
    return (state, row.error or "") if row.is_over else None
