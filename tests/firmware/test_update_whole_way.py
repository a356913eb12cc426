"""The host's bundle of this checkout, offered by the host's own offers, on the firmware's own files."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

from tests.firmware.conftest import PATIENCE_S, Firmware, Plane, provisioned
from tests.firmware.ota_offers import signer
from tests.firmware.test_update import updatable as updatable
from tests.ota.lamp import new_release

from microclaw.clock import now_ms
from microclaw.events import DeviceConnected
from microclaw.flash.pairing import sealed_keys
from microclaw.ota.bundle import check_bundle, own_files, pack
from microclaw.ota.keys import SigningKey
from microclaw.ota.manifest import ALG, Release
from microclaw.ota.offers import Offers
from microclaw.ota.payloads import OfferedPayloads, Payloads
from microclaw.store.firmware import FirmwareTable, OfferRow


async def test_the_hosts_own_bundle_runs_on_the_board(plane: Plane, updatable: Firmware, tmp_path: Path) -> None:
    board, key = updatable, SigningKey(signer().key)
    updatable.write("keys.json", sealed_keys({key.public.key_id: key.public.trusted.n}, "stable").decode())
    about: dict[str, Any] = {"name": "microclaw-micropython", "version": "1.4.0", "security_version": 3}
    payload = pack(await own_files("esp32-small", **about))
    digest = hashlib.sha256(payload).hexdigest()
    release = Release(
        schema=1, kind="files", board="esp32", channel="stable", sha256=digest, size=len(payload),
        created="2025-01-01T00:00:00Z", expires="2099-01-01T00:00:00Z", key_id=key.public.key_id, alg=ALG, **about,
    )  # fmt: skip
    check_bundle(payload, release)
    table, payloads = FirmwareTable(plane.database), Payloads(tmp_path / "firmware")
    payloads.open(frozenset())
    payloads.path(digest).write_bytes(payload)
    offers = Offers(table, plane.registry, now_ms=now_ms, record=plane.audited.append)
    wired = plane.links.parts.updates
    wired.source, wired.changed = OfferedPayloads(table, payloads), lambda row: offers.heard(row)
    changes: asyncio.Queue[OfferRow] = asyncio.Queue()
    offers.heard = changes.put_nowait
    row = await table.publish(new_release(release, key))
    await provisioned(plane, board)
    async with board.running(), asyncio.timeout(PATIENCE_S):
        await plane.published.until(DeviceConnected)
        await offers.offer("lamp", row, by="owner")
        states = [(await changes.get()).state]
        while states[-1] not in ("healthy", "rolled_back", "failed", "refused"):
            states.append((await changes.get()).state)
        assert list(dict.fromkeys(states)) == [
            *("offered", "downloading", "verifying", "staged", "rebooting", "trial", "healthy")
        ]
        told = plane.links.online[0].presence
        assert told is not None
        assert told.firmware == "microclaw-micropython 1.4.0"
        assert told.ota is not None
        assert told.ota.keys == (key.public.key_id,)
    (standing,) = await offers.standing("lamp")
    assert standing.state == "healthy"
