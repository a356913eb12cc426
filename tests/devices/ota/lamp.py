"""A scripted board, lamp, on a host that has published a release for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.devices.link.conftest import Plane, ScriptedDevice, device, limits, paired, plane, scripted
from tests.devices.link.scripted import PATIENCE_S

from microclaw.clock import now_ms
from microclaw.devices.ota.keys import SigningKey
from microclaw.devices.ota.manifest import Manifest, Release, write_manifest
from microclaw.devices.ota.offers import Offers
from microclaw.devices.ota.payloads import OfferedPayloads, Payloads
from microclaw.devices.ota.publisher import release_row
from microclaw.host.store.firmware import FirmwareTable, OfferRow, ReleaseRow
from microclaw.wire.link.messages import Hello, OtaFacts, OtaStatus, Software
from microclaw.wire.link.values import OtaState

__all__ = ["device", "lamp", "limits", "paired", "plane", "scripted"]
PAYLOAD = bytes(range(256)) * 250


@dataclass
class Lamp:
    """`release` is for it, and of PAYLOAD; `news` are the changes of its offers."""

    plane: Plane
    board: ScriptedDevice
    key: SigningKey
    release_of: Callable[..., Release]
    table: FirmwareTable
    payloads: Payloads
    offers: Offers
    release: ReleaseRow
    news: asyncio.Queue[OfferRow] = field(default_factory=asyncio.Queue)

    async def publish(self, payload: bytes = b"payload", **fields: Any) -> ReleaseRow:
        return await self.table.publish(new_release(self.release_of(payload, **fields), self.key))

    @asynccontextmanager
    async def online(self, version: str = "1.3.0", *, offered: bool = False, **facts: Any) -> AsyncIterator[None]:
        """It is connected, and has an offer of `release`."""
        async with self.board.connected(hello_of(self.board, self.key, version, **facts)):
            await self.board.until_ready()
            if offered:
                await self.offer()
            yield

    async def offer(self, release: ReleaseRow | None = None, **more: Any) -> OfferRow:
        return await self.offers.offer("lamp", release or self.release, by="owner", **more)

    async def heard(self) -> tuple[str, float, str | None]:
        """The next change of an offer."""
        async with asyncio.timeout(PATIENCE_S):
            change = await self.news.get()
        return change.state, change.progress, change.error

    async def says(
        self, state: OtaState, progress: float = 1, error: str | None = None, version: str = "1.4.0"
    ) -> tuple[str, float, str | None]:
        """It sends a status; what the host makes of it."""
        await self.board.send(OtaStatus(version, state, progress, error))
        return await self.heard()


@pytest.fixture
async def lamp(
    plane: Plane, paired: ScriptedDevice, tmp_path: Path, key: SigningKey, release_of: Callable[..., Release]
) -> Lamp:
    table = FirmwareTable(plane.database)
    payloads = Payloads(tmp_path / "firmware")
    payloads.open(frozenset())
    release = await table.publish(new_release(release_of(PAYLOAD), key))
    payloads.path(release.sha256).write_bytes(PAYLOAD)
    offers = Offers(table, plane.registry, now_ms=now_ms, record=plane.audited.append)
    wired = plane.links.parts.updates
    wired.source, wired.changed = OfferedPayloads(table, payloads), lambda row: offers.heard(row)
    made = Lamp(plane, paired, key, release_of, table, payloads, offers, release)
    offers.heard = made.news.put_nowait
    return made


def new_release(read: Manifest, key: SigningKey) -> ReleaseRow:
    manifest = write_manifest(read)
    return release_row(read, manifest, key.sign(manifest), 1, "owner")


def hello_of(device: ScriptedDevice, key: SigningKey, version: str = "1.3.0", **facts: Any) -> Hello:
    told: dict[str, Any] = {
        "board": "esp32s3", "channel": "stable", "kinds": ("files",), "keys": (key.public.key_id,),
        "security_version": 1,
    }  # fmt: skip
    usual = device.hello()
    return Hello(
        usual.boot_id, Software("microclaw-micropython", version), usual.board, usual.capabilities, usual.tx_epoch, 0,
        "power_on", ota=OtaFacts(**{**told, **facts}),
    )  # fmt: skip
