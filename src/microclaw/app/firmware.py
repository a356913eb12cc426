"""Opens the updates of devices' firmware: what is published, what is offered, rollouts (docs/updates.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from microclaw.app.devices import Base, Devices
from microclaw.clock import now_ms
from microclaw.devices.device import Device
from microclaw.events import LiveEvent, RolloutChanged
from microclaw.ota.offers import Offers, newest_for
from microclaw.ota.payloads import Payloads, SharedPayloads
from microclaw.ota.publisher import Publisher
from microclaw.ota.rollout_service import RolloutService
from microclaw.ota.rollouts import OpenRollout, TellRollout
from microclaw.ota.serving import OfferedPayloads
from microclaw.store.crashes import CrashTable
from microclaw.store.firmware import FirmwareTable
from microclaw.store.rollouts import RolloutTable


@dataclass(frozen=True, slots=True)
class Firmware:
    """The parts of the ota room."""

    publisher: Publisher
    offers: Offers
    rollouts: RolloutService

    async def newest_for(self, device: Device) -> str | None:
        """The highest version that is published for a device; None where nothing is."""
        return newest_for(await self.publisher.table.releases(), device, now_ms())


async def open_firmware(base: Base, devices: Devices) -> Firmware:
    """Devices get their updates from then on."""
    table, payloads = FirmwareTable(base.database), Payloads(base.settings.home / "firmware", _shared_payloads(base))
    publisher = Publisher(table, payloads, now_ms=now_ms, record=base.audit.record)
    await publisher.open()
    offers = Offers(table, devices.registry, now_ms=now_ms, record=base.audit.record)
    updates = devices.links.parts.updates
    updates.source, updates.changed = OfferedPayloads(table, payloads), offers.changed
    rollouts = RolloutService(
        RolloutTable(base.database),
        publisher,
        offers,
        devices.registry,
        now_ms=now_ms,
        crashes=CrashTable(base.database).new_since,
        tell=rollout_notes(base.publish),
    )
    await rollouts.rollouts.refresh()
    return Firmware(publisher, offers, rollouts)


def _shared_payloads(base: Base) -> SharedPayloads | None:
    return None if base.cluster is None else base.cluster.files


def rollout_notes(publish: Callable[[LiveEvent], None]) -> TellRollout:
    """A rollout that moves on, or stops, is a live event."""

    async def tell(one: OpenRollout) -> None:
        now = one.rollout.progress
        soaking = now.soaking_since_ms is not None
        publish(
            RolloutChanged("", now_ms(), one.rollout_id, one.version, now.state, now.stage + 1, soaking, now.reason)
        )

    return tell
