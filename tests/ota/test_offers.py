"""Offers: sent once, followed to their end, and refused by the host where it knows why."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.link_server.conftest import (
    Plane,
    ScriptedDevice,
    device,
    limits,
    paired,
    plane,
    scripted,
    start_plane,
)
from tests.link_server.scripted import PATIENCE_S
from tests.ota.test_serving import Updates, hello_of, new_release, updates, with_offer

from microclaw.clock import now_ms
from microclaw.errors import ConfigError, MicroclawError, NotSupported
from microclaw.link_server.limits import LinkLimits
from microclaw.ota.keys import SigningKey
from microclaw.ota.manifest import ALG, KeyChange, Release, write_manifest
from microclaw.ota.offers import AlreadyRuns, Offers, link_of, newest_for, release_for
from microclaw.store.firmware import FirmwareTable, OfferRow, ReleaseRow
from microclaw.wire.link.messages import ErrorMessage, Notify, OtaCancel, OtaOffer, OtaStatus
from microclaw.wire.link.values import OtaState

__all__ = ["device", "limits", "paired", "plane", "scripted", "start_plane", "updates"]


class Heard:
    """The offers' reports."""

    def __init__(self, offers: Offers) -> None:
        self.changes: asyncio.Queue[OfferRow] = asyncio.Queue()
        offers.heard = self.changes.put_nowait

    async def next(self) -> tuple[str, float, str | None]:
        async with asyncio.timeout(PATIENCE_S):
            change = await self.changes.get()
        return change.state, change.progress, change.error


async def test_an_offer_is_followed_to_its_end(
    plane: Plane, paired: ScriptedDevice, updates: Updates, key: SigningKey
) -> None:
    heard = Heard(updates.offers)
    steps: list[tuple[OtaState, float]] = [
        ("offered", 0), ("downloading", 0.25), ("verifying", 1), ("staged", 1), ("rebooting", 1), ("trial", 1),
        ("healthy", 1),
    ]  # fmt: skip
    async with paired.connected(hello_of(paired, key)):
        await paired.until_ready()
        made = await updates.offers.offer("lamp", updates.release, by="Eva")
        assert (made.state, made.offered_by, made.is_over) == ("waiting", "Eva", False)
        offer = await paired.next(OtaOffer)
        assert (offer.manifest, offer.signature) == (updates.release.manifest, updates.release.signature)
        for state, progress in steps[:-2]:
            await paired.send(OtaStatus("1.4.0", state, progress))
            assert await heard.next() == (state, progress, None)
    async with paired.connected(hello_of(paired, key, "1.4.0")):  # it comes back with what it says it runs
        await paired.until_ready()
        for state, progress in steps[-2:]:
            await paired.send(OtaStatus("1.4.0", state, progress))
            assert await heard.next() == (state, progress, None)
    (row,) = await updates.offers.standing("lamp")
    assert (row.state, row.is_over, row.release_id) == ("healthy", True, updates.release.release_id)


async def test_an_error_ends_the_offer_that_it_answers(
    plane: Plane, paired: ScriptedDevice, updates: Updates, key: SigningKey
) -> None:
    heard = Heard(updates.offers)
    async with with_offer(paired, updates, key):
        sent = await paired.next_envelope(OtaOffer)
        await paired.send(ErrorMessage("no_room", "no memory for an update", fatal=False), re=sent.id)
        assert await heard.next() == ("refused", 0.0, "no_room: no memory for an update")
        assert (await updates.offers.offer("lamp", updates.release, by="Eva", again=True)).state == "waiting"
        await paired.next(OtaOffer)


async def test_nothing_is_offered_twice(
    plane: Plane, paired: ScriptedDevice, updates: Updates, key: SigningKey
) -> None:
    async with paired.connected(hello_of(paired, key)):
        await paired.until_ready()
        offer = updates.offers.offer
        made = await asyncio.gather(*(offer("lamp", updates.release, by="a", again=True) for _ in range(8)))
        assert len({row.offer_id for row in made}) == 1
        await paired.next(OtaOffer)
        heard = Heard(updates.offers)
        await paired.send(OtaStatus("1.4.0", "failed", 0.5, "download_failed"))
        assert await heard.next() == ("failed", 0.5, "download_failed")
        assert (await offer("lamp", updates.release, by="rollout")).state == "failed"
        assert all(not isinstance(envelope.body, OtaOffer) for envelope in paired.got._queue)  # type: ignore[attr-defined]
        assert (await offer("lamp", updates.release, by="a", again=True)).state == "waiting"
        await paired.next(OtaOffer)
    assert [row.state for row in await updates.offers.standing("lamp")] == ["waiting", "failed"]


async def test_an_offer_and_its_message_outlive_the_host(
    tmp_path: Path, start_plane: Any, scripted: Any, key: SigningKey, release_of: Callable[..., Release]
) -> None:
    """The device is away; the next host has the offer, sends the message, and offers nothing again."""
    async with start_plane(tmp_path, LinkLimits()) as first:
        lamp = scripted(first)
        await lamp.pair(lambda code: first.plane.pair(code, name="lamp"))
        async with lamp.connected(hello_of(lamp, key)):
            await lamp.until_ready()
        table = FirmwareTable(first.database)
        offers = Offers(table, first.registry, now_ms=now_ms, record=first.audited.append)
        row = await table.publish(new_release(release_of(), key))
        made = await offers.offer("lamp", row, by="owner")
    async with start_plane(tmp_path, LinkLimits()) as second:
        table = FirmwareTable(second.database)
        offers = Offers(table, second.registry, now_ms=now_ms, record=second.audited.append)
        assert (await offers.offer("lamp", row, by="owner", again=True)).offer_id == made.offer_id
        lamp.address, lamp.ca = second.plane.address, second.ca
        async with lamp.connected(hello_of(lamp, key)):
            assert (await lamp.next(OtaOffer)).manifest == row.manifest
            await lamp.send(OtaStatus("1.4.0", "downloading", 0.0))
            await second.plane.notify("lamp", "end", speak=False, expires_s=None)
        assert second.links.parts.updates.changed is None
        assert len(await offers.standing("lamp")) == 1


async def test_what_nobody_offered_is_kept_apart(
    plane: Plane, paired: ScriptedDevice, updates: Updates, key: SigningKey
) -> None:
    heard = Heard(updates.offers)
    async with paired.connected(hello_of(paired, key)):
        await paired.until_ready()
        await paired.send(OtaStatus("9.9.9\x1b[31m" + "x" * 500, "trial", 1, "e" * 5_000))
        await updates.offers.offer("lamp", updates.release, by="owner")
        await paired.send(OtaStatus("1.4.0", "rolled_back", 0.0, "unhealthy: panic\n\x1b[0m"))
        assert (await heard.next())[0] == "rolled_back"
        await paired.send(OtaStatus("1.4.0", "downloading", 0.5))  # an end is final
        await plane.plane.notify("lamp", "end", speak=False, expires_s=None)
        await paired.next(Notify)
    (foreign,) = await updates.table.foreign()
    assert (foreign.version, foreign.state) == ("1.4.0", "downloading")
    (row,) = await updates.offers.standing("lamp")
    assert row.state == "rolled_back"


async def test_a_board_that_says_healthy_and_runs_something_else_has_failed(
    plane: Plane, paired: ScriptedDevice, updates: Updates, key: SigningKey
) -> None:
    heard = Heard(updates.offers)
    async with with_offer(paired, updates, key):
        await paired.send(OtaStatus("1.4.0", "healthy", 1))
        assert await heard.next() == ("failed", 1, "unproved: it says healthy, and runs 1.3.0")


async def test_a_cancel_reaches_the_device_and_its_answer_is_the_end(
    plane: Plane, paired: ScriptedDevice, updates: Updates, key: SigningKey
) -> None:
    heard = Heard(updates.offers)
    async with paired.connected(hello_of(paired, key)):
        await paired.until_ready()
        assert await updates.offers.cancel("lamp", by="owner") is None
        await updates.offers.offer("lamp", updates.release, by="owner")
        assert (await updates.offers.cancel("lamp", by="owner")) is not None
        assert (await paired.next(OtaCancel)).version == "1.4.0"
        await paired.send(OtaStatus("1.4.0", "idle", 0, "cancelled"))
        assert await heard.next() == ("idle", 0, "cancelled")
        assert await updates.offers.cancel("lamp", by="owner") is None


async def test_a_newer_offer_takes_the_place_of_one_that_is_not_staged(
    plane: Plane, paired: ScriptedDevice, updates: Updates, key: SigningKey, release_of: Callable[..., Release]
) -> None:
    heard = Heard(updates.offers)
    newer, newest = [
        await updates.table.publish(new_release(release_of(version=version), key)) for version in ("1.5.0", "1.6.0")
    ]
    async with with_offer(paired, updates, key):
        await updates.offers.offer("lamp", newer, by="owner")
        assert await heard.next() == ("idle", 0, "superseded")
        await paired.send(OtaStatus("1.5.0", "staged", 1))
        assert (await heard.next())[0] == "staged"
        await updates.offers.offer("lamp", newest, by="owner")
        await paired.send(OtaStatus("1.6.0", "refused", 0, "busy"))
        assert await heard.next() == ("refused", 0, "busy")
    assert {row.version: (row.state, row.error) for row in await updates.offers.standing("lamp")} == {
        "1.6.0": ("refused", "busy"),
        "1.5.0": ("staged", None),
        "1.4.0": ("idle", "superseded"),
    }


async def test_an_image_fits_a_board_with_and_without_psram(
    plane: Plane, paired: ScriptedDevice, updates: Updates, key: SigningKey, release_of: Callable[..., Release]
) -> None:
    image = await updates.table.publish(new_release(release_of(version="1.5.0", kind="image", board="esp32"), key))
    files = await updates.table.publish(new_release(release_of(version="1.5.0", board="esp32s3"), key))
    async with paired.connected(hello_of(paired, key, board="esp32-small", kinds=("files", "image"))):
        await paired.until_ready()
        lamp = plane.registry.get("lamp")
        assert release_for((files, image), lamp) == image
        assert (await updates.offers.offer("lamp", image, by="owner")).state == "waiting"


@pytest.mark.parametrize(
    ("fields", "facts"),
    [
        ({"board": "esp32"}, {}), ({"channel": "beta"}, {}), ({}, {"keys": ("0" * 16,)}), ({}, {"kinds": ("image",)}),
        ({"name": "other"}, {}), ({"device": "d-00000000"}, {}), ({"version": "1.2.9"}, {}),
        ({"version": "1.3.0", "allow_downgrade": True}, {}), ({}, {"security_version": 4}),
        ({"expires": "2001-01-01T00:00:00Z"}, {}),
    ],
)  # fmt: skip
async def test_what_the_host_knows_is_refused_before_it_is_sent(
    paired: ScriptedDevice, updates: Updates, key: SigningKey, release_of: Callable[..., Release],
    fields: dict[str, Any], facts: dict[str, Any],
) -> None:  # fmt: skip
    release = await updates.table.publish(new_release(release_of(**{"version": "1.6.0", **fields}), key))
    async with paired.connected(hello_of(paired, key, **facts)):
        await paired.until_ready()
        with pytest.raises(ConfigError) as caught:
            await updates.offers.offer("lamp", release, by="owner")
    assert caught.value.next_step
    assert await updates.offers.standing("lamp") == ()


async def test_a_version_that_runs_already_is_told_apart_also_once_it_expired(
    plane: Plane, paired: ScriptedDevice, updates: Updates, key: SigningKey, release_of: Callable[..., Release]
) -> None:
    fields = {"version": "1.3.0", "expires": "2001-01-01T00:00:00Z"}
    release = await updates.table.publish(new_release(release_of(**fields), key))
    async with paired.connected(hello_of(paired, key)):
        await paired.until_ready()
        with pytest.raises(AlreadyRuns):
            await updates.offers.offer("lamp", release, by="owner")


async def test_a_device_that_takes_no_updates_is_told_so(
    plane: Plane, paired: ScriptedDevice, updates: Updates, key: SigningKey
) -> None:
    with pytest.raises(NotSupported):
        await updates.offers.offer("lamp", updates.release, by="owner")
    async with paired.connected():
        await paired.until_ready()
        with pytest.raises(NotSupported):
            await updates.offers.offer("lamp", updates.release, by="owner")
    await plane.registry.add("bare", "virtual", ["wasmachine://127.0.0.1:9"])
    with pytest.raises(MicroclawError):
        await updates.offers.offer("bare", updates.release, by="owner")


async def test_a_change_of_keys_needs_no_board_and_leaves_an_update_alone(
    plane: Plane, paired: ScriptedDevice, updates: Updates, key: SigningKey, other_key: SigningKey
) -> None:
    change = KeyChange(
        schema=1, kind="keys", name="microclaw-micropython", serial=2, add=(other_key.public.trusted,), remove=(),
        created="2026-11-22T10:00:00Z", expires="2999-02-20T10:00:00Z", key_id=key.public.key_id, alg=ALG,
    )  # fmt: skip
    manifest = write_manifest(change)
    row = await updates.table.publish(
        ReleaseRow(
            "keys", change.name, "", "", "", change.version, 0, False, "", 0, change.key_id, change.created,
            change.expires, manifest, key.sign(manifest), 1, "owner", (),
        )
    )  # fmt: skip
    heard = Heard(updates.offers)
    async with with_offer(paired, updates, key):
        await updates.offers.offer("lamp", row, by="owner")
        await paired.send(OtaStatus("keys-2", "healthy", 1))
        assert (await heard.next())[0] == "healthy"
        presence = link_of(plane.registry.get("lamp")).presence
        assert presence is not None
        assert presence.ota is not None
        assert set(presence.ota.keys) == {key.public.key_id, other_key.public.key_id}  # before its next hello
    newest = await updates.table.latest()
    assert [(one.version, one.state, one.is_of_keys) for one in newest] == [
        ("1.4.0", "waiting", False),
        ("keys-2", "healthy", True),
    ]


async def test_offers_of_a_removed_device_go_with_it(
    plane: Plane, paired: ScriptedDevice, updates: Updates, key: SigningKey
) -> None:
    async with with_offer(paired, updates, key):
        pass
    lamp = plane.registry.get("lamp")
    await plane.registry.remove("lamp")
    await plane.plane.forget(lamp)
    assert await updates.table.offers() == ()
    gone = OfferRow(1, "d-gone", 1, "1.4.0", "healthy", 1.0, None, 0, 0, "x")
    updates.offers.changed(gone)


async def test_the_newest_version_for_a_device_is_what_it_could_take_or_runs(
    plane: Plane, paired: ScriptedDevice, updates: Updates, key: SigningKey, release_of: Callable[..., Release]
) -> None:
    lamp = plane.registry.get("lamp")
    rows = [updates.release]
    assert newest_for(rows, lamp, now_ms()) is None  # it has not said what it takes
    async with paired.connected(hello_of(paired, key)):
        await paired.until_ready()
        assert newest_for(rows, lamp, now_ms()) == "1.4.0"
        assert newest_for(rows, lamp, now_ms() + 366 * 86_400_000) == "1.3.0"  # it expired
        assert newest_for([], lamp, now_ms()) is None
    async with paired.connected(hello_of(paired, key, board="esp32c3")):
        await paired.until_ready()
        assert newest_for(rows, lamp, now_ms()) is None


async def test_a_withdrawn_release_is_called_off_also_where_the_device_is_away(
    plane: Plane, paired: ScriptedDevice, updates: Updates, key: SigningKey
) -> None:
    heard = Heard(updates.offers)
    async with paired.connected(hello_of(paired, key)):
        await paired.until_ready()
    await updates.offers.offer("lamp", updates.release, by="owner")
    await updates.table.withdraw(updates.release.release_id, 5)
    release = await updates.table.release(updates.release.release_id)
    assert [device.name for device in await updates.offers.call_off(release, by="Eva")] == ["lamp"]
    async with paired.connected(hello_of(paired, key)):
        await paired.until_ready()
        assert (await paired.next(OtaOffer)).manifest == release.manifest
        assert (await paired.next(OtaCancel)).version == "1.4.0"
        await paired.send(OtaStatus("1.4.0", "offered", 0))
        assert await heard.next() == ("offered", 0, None)
        await paired.send(OtaStatus("1.4.0", "idle", 0, "cancelled"))
        assert await heard.next() == ("idle", 0, "withdrawn")
    assert await updates.offers.call_off(release, by="Eva") == []


@pytest.mark.parametrize(
    ("state", "error", "kept"),
    [
        ("failed", "download_failed: blob_withdrawn", ("idle", "withdrawn")),
        ("failed", "wrong_hash", ("failed", "wrong_hash")),
        ("rolled_back", "unhealthy: watchdog", ("rolled_back", "unhealthy: watchdog")),
    ],
)
async def test_who_finds_no_payload_of_a_withdrawn_release_has_not_failed(
    paired: ScriptedDevice, updates: Updates, key: SigningKey, state: OtaState, error: str, kept: tuple[str, str]
) -> None:
    heard = Heard(updates.offers)
    async with with_offer(paired, updates, key):
        await paired.next(OtaOffer)
        await paired.send(OtaStatus("1.4.0", "downloading", 0.25))
        await heard.next()
        await updates.table.withdraw(updates.release.release_id, 5)
        await paired.send(OtaStatus("1.4.0", state, 0.25, error))
        assert await heard.next() == (kept[0], 0.25, kept[1])
