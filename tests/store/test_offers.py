"""Offers of releases: which one a device refused, and the newest of each device."""

from __future__ import annotations

import os
from collections.abc import Callable

from microclaw.store.database import Database
from microclaw.store.firmware import FirmwareTable, ReleaseRow, offer_in
from microclaw.store.links import LinkTable
from microclaw.store.sql import Sql


def release(version: str, manifest: bytes, kind: str = "files") -> ReleaseRow:
    return ReleaseRow(
        kind, "lamp", "b", "stable", "", version, 1, False, "00", 1, "k", "", "", manifest, b"s" * 384, 1, "Ada", ()  # type: ignore[arg-type]
    )  # fmt: skip


def offering(made: ReleaseRow) -> Callable[[Sql], object]:
    return lambda sql: offer_in(sql, "d1", made, "Ada", 5, again=False)


async def test_an_error_that_answers_an_offer_ends_that_one_and_no_other(database: Database) -> None:
    table, links = FirmwareTable(database), LinkTable(database, now_ms=lambda: 5, random_bytes=os.urandom)
    await links.open("d1")
    for number, kind in enumerate(("keys", "files")):
        made = await table.publish(release(f"1.{number}", f"manifest {number}".encode(), kind))
        message = bytes([number]) * 16
        await links.append("d1", message, b"offer: " + made.manifest, offering(made))
    assert [offer.version for offer in await table.latest()] == ["1.0", "1.1"]
    assert await links.refused("d1", b"?" * 16, "no") is None
    refused = await links.refused("d1", bytes(16), "no such key")
    assert refused is not None
    assert (refused.version, refused.state, refused.error) == ("1.0", "refused", "no such key")
    assert [offer.state for offer in await table.offers("d1")] == ["waiting", "refused"]
    assert [found.version for found in await table.offered("d1", "00")] == ["1.0", "1.1"]
