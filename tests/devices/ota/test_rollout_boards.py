"""Rollouts to devices over real connections: which boards are in one, what each gets, a stop, and its undo."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from tests.devices.link.conftest import Plane, ScriptedDevice, device, limits, paired, plane, scripted
from tests.devices.ota.lamp import Lamp, hello_of, lamp

from microclaw.clock import now_ms
from microclaw.devices.ota.rollout import Rollout, RolloutPlan
from microclaw.devices.ota.rollouts import Rollouts
from microclaw.errors import ConfigError, UnknownName
from microclaw.host.store.crashes import CrashTable
from microclaw.host.store.rollouts import RolloutTable
from microclaw.wire.link.messages import OtaOffer

__all__ = ["device", "lamp", "limits", "paired", "plane", "scripted"]


@pytest.fixture
def rollouts(plane: Plane, lamp: Lamp) -> Rollouts:
    made = Rollouts(
        RolloutTable(plane.database), lamp.offers, now_ms=now_ms, crashes=CrashTable(plane.database).new_since
    )
    lamp.offers.heard = made.note_offer
    return made


async def tells(board: ScriptedDevice, lamp: Lamp, **facts: Any) -> None:
    """It is connected for a moment, and says what it takes."""
    async with board.connected(hello_of(board, lamp.key, **facts)):
        await board.until_ready()


@pytest.fixture
async def boards(plane: Plane, lamp: Lamp, scripted: Any) -> dict[str, ScriptedDevice]:
    made = {"lamp": lamp.board, "fan": scripted(plane), "door": scripted(plane)}
    for name, board in made.items():
        if name != "lamp":
            await board.pair(partial(plane.plane.pair, name=name))
        await tells(board, lamp)
    return made


async def begin(rollouts: Rollouts, lamp: Lamp, version: str = "1.4.0") -> tuple[Rollout, set[str]]:
    """A rollout to all boards, and the names that are left out."""
    devices = lamp.plane.registry.list()
    one, left_out = await rollouts.begin(version, devices, "owner", stages="1,100%", plan=RolloutPlan((), soak_s=0))
    return one, set(left_out)


async def test_boards_are_of_one_channel_and_those_that_cannot_take_it_are_left_out(
    rollouts: Rollouts, lamp: Lamp, boards: dict[str, ScriptedDevice]
) -> None:
    await tells(boards["door"], lamp, channel="beta")
    await lamp.publish(channel="gamma")
    await tells(boards["fan"], lamp, channel="gamma")
    with pytest.raises(ConfigError):
        await begin(rollouts, lamp)
    with pytest.raises(UnknownName):
        await begin(rollouts, lamp, "9.9.9")
    await tells(boards["fan"], lamp)
    one, left_out = await begin(rollouts, lamp)
    assert (one.row.channel, left_out) == ("stable", {"door"})


async def test_a_version_goes_to_the_boards_of_its_revision_alone(
    rollouts: Rollouts, lamp: Lamp, boards: dict[str, ScriptedDevice]
) -> None:
    """A board that tells no revision, and one of another, are left out."""
    for revision in ("b1", "b2"):
        await lamp.publish(version="1.5.0", revisions=(revision,))
    for again in (("b2", "b4"), None):  # a version is published once for a revision
        with pytest.raises(ConfigError):
            await lamp.publish(b"another", version="1.5.0", revisions=again)
    await tells(boards["door"], lamp, revision="b3")
    fan = boards["fan"]
    async with fan.connected(hello_of(fan, lamp.key, revision="b1")):
        await fan.until_ready()
        assert (await begin(rollouts, lamp, "1.5.0"))[1] == {"lamp", "door"}
        await rollouts.step()
        assert b'"revisions":["b1"]' in (await fan.next(OtaOffer)).manifest


async def test_a_rollout_of_a_withdrawn_version_stops(
    rollouts: Rollouts, lamp: Lamp, boards: dict[str, ScriptedDevice]
) -> None:
    one, _ = await begin(rollouts, lamp)
    number = one.row.rollout_id
    await rollouts.end_withdrawn()  # there is another release of it
    assert (await rollouts.get(number)).row.state == "running"
    await lamp.table.withdraw(lamp.release.release_id, 5)
    await rollouts.end_withdrawn()
    row = (await rollouts.get(number)).row
    assert (row.state, row.reason) == ("halted", "1.4.0 was withdrawn")


async def test_a_rollout_of_a_number_offers_that_release_also_if_it_goes_back(rollouts: Rollouts, lamp: Lamp) -> None:
    back = await lamp.publish(b"back", allow_downgrade=True)
    async with lamp.online("1.5.0"):
        await rollouts.begin(str(back.release_id), [lamp.plane.registry.get("lamp")], "owner", stages="1")
        await rollouts.step()
        assert (await lamp.board.next(OtaOffer)).manifest == back.manifest
