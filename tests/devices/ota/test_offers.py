"""Offers: sent once, and refused by the host where it knows why. One to its end: tests/firmware, tests/stories."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.devices.link.conftest import device, limits, paired, plane, scripted, start_plane
from tests.devices.ota.conftest import change_of
from tests.devices.ota.lamp import Lamp, lamp, new_release

from microclaw.devices.ota.keys import SigningKey
from microclaw.devices.ota.offers import AlreadyRuns, facts_of, release_for
from microclaw.errors import ConfigError
from microclaw.events import DeviceLeft
from microclaw.wire.link.messages import ErrorMessage, Notify, OtaCancel, OtaOffer, OtaStatus
from microclaw.wire.link.values import OtaState

__all__ = ["device", "lamp", "limits", "paired", "plane", "scripted", "start_plane"]


async def test_an_error_ends_the_offer_that_it_answers(lamp: Lamp) -> None:
    async with lamp.online(offered=True):
        sent = await lamp.board.next_envelope(OtaOffer)
        await lamp.board.send(ErrorMessage("no_room", "no memory for an update", fatal=False), re=sent.id)
        assert await lamp.heard() == ("refused", 0.0, "no_room: no memory for an update")
        assert (await lamp.offer(again=True)).state == "waiting"
        await lamp.board.next(OtaOffer)


async def test_nothing_is_offered_twice(lamp: Lamp) -> None:
    async with lamp.online():
        made = await asyncio.gather(*(lamp.offer(again=True) for _ in range(8)))
        assert len({row.offer_id for row in made}) == 1
        await lamp.board.next(OtaOffer)
        assert await lamp.says("failed", 0.5, "download_failed") == ("failed", 0.5, "download_failed")
        assert (await lamp.offer()).state == "failed"
        assert all(not isinstance(envelope.body, OtaOffer) for envelope in lamp.board.got._queue)  # type: ignore[attr-defined]
        assert (await lamp.offer(again=True)).state == "waiting"
        await lamp.board.next(OtaOffer)
    assert [row.state for row in await lamp.offers.offers_of_device("lamp")] == ["waiting", "failed"]


async def test_what_nobody_offered_is_kept_apart(lamp: Lamp) -> None:
    async with lamp.online():
        await lamp.board.send(OtaStatus("9.9.9\x1b[31m" + "x" * 500, "trial", 1, "e" * 5_000))
        await lamp.offer()
        assert (await lamp.says("rolled_back", 0.0, "unhealthy: panic\n\x1b[0m"))[0] == "rolled_back"
        await lamp.board.send(OtaStatus("1.4.0", "downloading", 0.5))  # an end is final
        await lamp.plane.plane.notify("lamp", "end", speak=False, expires_s=None)
        await lamp.board.next(Notify)
    (foreign,) = await lamp.table.foreign()
    assert (foreign.version, foreign.state) == ("1.4.0", "downloading")
    (row,) = await lamp.offers.offers_of_device("lamp")
    assert row.state == "rolled_back"


async def test_each_step_that_the_device_reports_is_told_in_its_own_words(lamp: Lamp) -> None:
    async def shown() -> str:
        [status] = await lamp.offers.status("lamp")
        assert status.step("1.4.0") in status.cells[-1]
        return status.step("1.4.0")

    async with lamp.online(offered=True):
        steps = {await shown()}
    await lamp.plane.published.until(DeviceLeft)
    steps.add(await shown())
    async with lamp.online():
        states: tuple[OtaState, ...] = ("offered", "downloading", "verifying", "staged", "rebooting", "trial")
        for state in states:
            await lamp.says(state, 0.25)
            steps.add(await shown())
        assert len(steps) == 2 + len(states), "no two are the same"
        assert any("25%" in step for step in steps)
        await lamp.says("rolled_back", 1, "unhealthy")
        [over] = await lamp.offers.status("lamp")
        assert over.step("1.4.0") == ""


async def test_a_cancel_reaches_the_device_and_its_own_answer_is_the_end(lamp: Lamp) -> None:
    async with lamp.online():
        assert await lamp.offers.cancel("lamp", by="owner") is None
        await lamp.offer()
        assert (await lamp.offers.cancel("lamp", by="owner")) is not None
        assert (await lamp.board.next(OtaCancel)).version == "1.4.0"
        assert await lamp.says("idle", 0, "cancelled") == ("idle", 0, "cancelled")
        assert await lamp.offers.cancel("lamp", by="owner") is None
        await lamp.offer(again=True)
        assert await lamp.says("healthy") == ("failed", 1, "unproved: it says healthy, and runs 1.3.0")


async def test_a_newer_offer_takes_the_place_of_one_that_is_not_staged(lamp: Lamp) -> None:
    newer, newest = [await lamp.publish(version=version) for version in ("1.5.0", "1.6.0")]
    async with lamp.online(offered=True):
        await lamp.offer(newer)
        assert await lamp.heard() == ("idle", 0, "superseded")
        assert (await lamp.says("staged", version="1.5.0"))[0] == "staged"
        await lamp.offer(newest)
        assert await lamp.says("refused", 0, "busy", "1.6.0") == ("refused", 0, "busy")
    assert {row.version: (row.state, row.error) for row in await lamp.offers.offers_of_device("lamp")} == {
        "1.6.0": ("refused", "busy"), "1.5.0": ("staged", None), "1.4.0": ("idle", "superseded"),
    }  # fmt: skip


async def test_each_board_gets_the_release_that_fits_it_best(lamp: Lamp) -> None:
    """An image fits a board with and without PSRAM."""
    image = await lamp.publish(version="1.5.0", kind="image", board="esp32")
    files = await lamp.publish(version="1.5.0", board="esp32s3")
    beta = await lamp.publish(version="1.5.0", board="esp32s3", channel="beta")
    board = lamp.plane.registry.get("lamp")
    async with lamp.online(board="esp32-small", kinds=("files", "image")):
        assert release_for((files, beta, image), board) == image
        assert (await lamp.offer(image)).state == "waiting"
    async with lamp.online(channel="gamma"):
        assert release_for((image, beta), board) == beta  # the nearest, for its error


async def test_what_the_host_knows_is_refused_before_it_is_sent(lamp: Lamp) -> None:
    cases: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        ({"board": "esp32"}, {}, "wrong_board"), ({}, {"keys": ("0" * 16,)}, "unknown_key"),
        ({"version": "1.2.9"}, {}, "old_version"), ({}, {"security_version": 4}, "old_security_version"),
        ({}, {"kinds": ("image",)}, "no_slot"), ({"expires": "2001-01-01T00:00:00Z"}, {}, "expired"),
    ]  # fmt: skip
    for number, (fields, facts, code) in enumerate(cases):
        release = await lamp.publish(**{"version": f"1.6.{number}", **fields})
        async with lamp.online(**facts):
            with pytest.raises(ConfigError) as caught:
                await lamp.offer(release)
        assert code in caught.value.message
        assert caught.value.next_step
    for fields in ({"allow_downgrade": True}, {"expires": "2001-01-01T00:00:00Z"}):
        release = await lamp.publish(version="1.3.0", **fields)
        async with lamp.online():
            with pytest.raises(AlreadyRuns):
                await lamp.offer(release)
    assert await lamp.offers.offers_of_device("lamp") == ()


async def test_a_change_of_keys_needs_no_board_and_leaves_an_update_alone(lamp: Lamp, other_key: SigningKey) -> None:
    row = await lamp.table.publish(new_release(change_of(lamp.key, other_key), lamp.key))
    async with lamp.online(offered=True):
        await lamp.offer(row)
        assert (await lamp.says("healthy", version="keys-2"))[0] == "healthy"
        facts = facts_of(lamp.plane.registry.get("lamp"))
        assert facts is not None
        assert set(facts.keys) == {lamp.key.public.key_id, other_key.public.key_id}  # before its next hello
    assert [(one.version, one.state, one.is_of_keys) for one in await lamp.table.latest()] == [
        ("1.4.0", "waiting", False), ("keys-2", "healthy", True),
    ]  # fmt: skip


async def test_a_change_of_keys_that_waits_is_withdrawn_with_its_key(lamp: Lamp, other_key: SigningKey) -> None:
    async with lamp.online():
        pass  # it said which keys it trusts
    row = await lamp.table.publish(new_release(change_of(lamp.key, other_key), lamp.key))
    await lamp.offer(row)
    await lamp.table.distrust(lamp.key.public.key_id, 5)
    assert [(one.state, one.error) for one in await lamp.offers.offers_of_device("lamp")] == [("idle", "withdrawn")]
    async with lamp.online():
        assert await lamp.board.next(OtaCancel) == OtaCancel("keys-2")
        assert lamp.board.inbox.seq == 1  # no offer came before it


@pytest.mark.parametrize(
    ("state", "error", "kept"),
    [
        ("failed", "download_failed: blob_withdrawn", ("idle", "withdrawn")),
        ("failed", "wrong_hash", ("failed", "wrong_hash")),
    ],
)
async def test_who_finds_no_payload_of_a_withdrawn_release_has_not_failed(
    lamp: Lamp, state: OtaState, error: str, kept: tuple[str, str]
) -> None:
    async with lamp.online(offered=True):
        await lamp.says("downloading", 0.25)
        await lamp.table.withdraw(lamp.release.release_id, 5)
        assert await lamp.says(state, 0.25, error) == (kept[0], 0.25, kept[1])
