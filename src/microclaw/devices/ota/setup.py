"""Updates as a part of the host: devices get the releases that are offered to them. This file starts nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from microclaw.clock import now_ms
from microclaw.devices.flash.operations import InstallParts
from microclaw.devices.flash.operations import choices as install_choices
from microclaw.devices.link.links import LinkRegistry
from microclaw.devices.link.server import LinkServer
from microclaw.devices.ota.offers import Offers
from microclaw.devices.ota.operations import FirmwareService, list_keys
from microclaw.devices.ota.payloads import OfferedPayloads, Payloads
from microclaw.devices.ota.publisher import Publisher
from microclaw.devices.ota.rollouts import Rollouts
from microclaw.devices.registry.registry import Registry
from microclaw.host.builder.builder import HostBuilder
from microclaw.host.builder.hooks import Row
from microclaw.host.store.crashes import CrashTable
from microclaw.host.store.firmware import FirmwareTable
from microclaw.host.store.rollouts import RolloutTable


def setup(host: HostBuilder) -> None:
    """Publish updates, offer them to devices, and install the firmware on boards at a browser."""
    table = FirmwareTable(host.database)
    payloads = Payloads(host.settings.home / "firmware", host.shared_files)
    publisher = Publisher(table, payloads, now_ms=now_ms, record=host.audit.record)
    rollouts = _build_rollouts(host, table)
    updates = host.need(LinkRegistry).parts.updates
    updates.source = OfferedPayloads(table, payloads)
    updates.changed = rollouts.note_offer
    table.follow(rollouts.look_at_offers)
    host.offer(rollouts)
    host.serves(list_keys, FirmwareService(publisher, rollouts, host.admission.gate.name_of))
    # An image that a browser installs trusts the keys of the updates.
    host.serves(install_choices, InstallParts(host.settings, host.find(LinkServer), publisher.moduli))
    host.enter(_opened(publisher, rollouts))
    host.task("rollouts", host.duty("rollouts", rollouts.run))
    _show(host, rollouts)


def _build_rollouts(host: HostBuilder, table: FirmwareTable) -> Rollouts:
    offers = Offers(table, host.need(Registry), now_ms=now_ms, record=host.audit.record)
    rollouts = Rollouts(
        RolloutTable(host.database),
        offers,
        now_ms=now_ms,
        crashes=CrashTable(host.database).new_since,
        publish=host.publish,
    )
    offers.heard = rollouts.note_offer
    return rollouts


@asynccontextmanager
async def _opened(publisher: Publisher, rollouts: Rollouts) -> AsyncIterator[None]:
    await publisher.open()
    await rollouts.refresh()
    yield


def _show(host: HostBuilder, rollouts: Rollouts) -> None:
    async def rows() -> AsyncIterator[Row]:
        for rollout in await rollouts.current_rollouts():
            number = rollout.row.rollout_id
            text = f"{number} of {rollout.row.version}: {rollout.row.state}, {rollout.text}"
            yield "rollout", f"{text}; next: microclaw firmware rollouts {number}"

    host.hooks.on_screen("plans", rows)
