"""Rollouts on the real store: what a killed host takes up again. bench/rollout.py has 5,000 simulated devices."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from random import Random
from typing import Any, cast

import pytest
from tests.host.store.two_hosts import hold_news, two_hosts

from microclaw.devices.ota.offers import End, Offers
from microclaw.devices.ota.rollout import Rollout, RolloutPlan, read_stages
from microclaw.devices.ota.rollouts import MAX_OPEN, Rollouts
from microclaw.errors import ConfigError, DeviceUnreachable, MicroclawError, StoreError, UnknownName
from microclaw.host.store.database import Database
from microclaw.host.store.rollouts import DeviceState, RolloutDevice, RolloutTable


class Killed(Exception):
    """The host dies here."""


class Fleet:
    """Simulated boards: each takes an offer once, as the offers of the host see to, and ends as it is said."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.offered: list[tuple[str, str, bool]] = []
        self.sent: Counter[str] = Counter()
        self.cancelled: list[str] = []
        self.removed: set[str] = set()
        self.cannot: dict[str, MicroclawError] = {}
        self.known: dict[str, End] = {}
        self.crashed: dict[str, int] = {}
        self.die_before_send = False
        self.while_sending: Callable[[], Awaitable[object]] | None = None

    def is_known(self, device_id: str) -> bool:
        return device_id not in self.removed

    is_online = is_known

    async def start_update(self, one: Rollout, device: RolloutDevice) -> End | None:
        device_id = device.device_id
        version = one.row.version
        back = one.row.undoes is not None
        if self.die_before_send:
            raise Killed
        error = self.cannot.get(device_id)
        if error:
            raise error
        self.sent[device_id] += 1
        if self.while_sending is not None:
            await self.while_sending()
        if (device_id, version, back) not in self.offered:  # as Offers does: the same one again is no second one
            self.offered.append((device_id, version, back))
        return self.known.get(device_id)

    async def stop_update(self, _one: Rollout, device: RolloutDevice) -> End | None:
        if self.die_before_send:
            raise Killed
        self.cancelled.append(device.device_id)
        return self.known.get(device.device_id)

    async def count_crashes(self, offered: Mapping[str, int]) -> int:
        return sum(at_ms >= offered.get(device_id, math.inf) for device_id, at_ms in self.crashed.items())

    def over(self, database: Database) -> Rollouts:
        table = RolloutTable(database)
        return Rollouts(table, cast(Offers, self), now_ms=lambda: self.now_ms, crashes=self.count_crashes)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


@pytest.fixture
def rollouts(fleet: Fleet, database: Database) -> Rollouts:
    return fleet.over(database)


async def begun(rollouts: Rollouts, count: int, stages: str = "1,100%", version: str = "1.1.0", **more: Any) -> int:
    """The number of a rollout to boards that run 1.0.0."""
    plan = RolloutPlan(read_stages(stages, count), **{"soak_s": 0, **more})
    devices = [(f"d{n}", "1.0.0") for n in range(count)]
    return (await rollouts.add(version, "stable", plan, devices, "owner")).row.rollout_id


async def state(rollouts: Rollouts, number: int) -> str:
    return (await rollouts.get(number)).row.state


async def noted(rollouts: Rollouts, device_id: str, version: str, state: DeviceState, error: str) -> None:
    """A device's update to this version ended."""
    for one in rollouts.open_rollouts:
        if one.row.version == version:
            await rollouts.note(one, device_id, (state, error))


async def test_offers_that_were_to_go_out_when_a_person_stopped_it_stay_here(fleet: Fleet, rollouts: Rollouts) -> None:
    number = await begun(rollouts, 3, "3")
    fleet.while_sending = partial(rollouts.stop, number)
    await rollouts.step()
    assert fleet.cancelled == ["d0", "d1", "d2", "d0"], "what was on its way is called off when it is out"
    assert fleet.sent == {"d0": 1}


async def test_a_host_that_is_killed_while_it_stops_one_calls_the_offers_off_and_sends_none(
    fleet: Fleet, rollouts: Rollouts, database: Database
) -> None:
    number = await begun(rollouts, 9, "3,100%")
    await rollouts.step()
    await noted(rollouts, "d1", "1.1.0", "rolled_back", "unhealthy: panic")
    fleet.die_before_send = True
    with pytest.raises(Killed):
        await rollouts.step()
    fleet.die_before_send = False
    fleet.known["d0"] = "failed", "the rollout stopped before the offer went out"
    second = fleet.over(database)
    await second.load()
    assert (fleet.cancelled, sum(fleet.sent.values())) == (["d0", "d2"], 3)
    assert (await second.get(number)).devices["d0"].state == "failed"
    await noted(second, "d2", "1.1.0", "healthy", "")  # it was too late to give up
    again = await fleet.over(database).get(number)
    assert (again.row.state, again.is_over) == ("halted", True)
    assert [again.devices[f"d{n}"].state for n in range(4)] == ["failed", "rolled_back", "healthy", "waiting"]


async def test_a_board_under_way_is_taken_back_after_its_end(fleet: Fleet, rollouts: Rollouts) -> None:
    number = await begun(rollouts, 2, "2")
    await rollouts.step()
    await noted(rollouts, "d0", "1.1.0", "healthy", "")
    await rollouts.stop(number)
    plan = RolloutPlan((2,), soak_s=0)
    await rollouts.add("1.0.0", "stable", plan, [("d0", "1.1.0"), ("d1", "1.1.0")], "owner", undoes=number)
    await rollouts.step()
    assert fleet.offered[2:] == [("d0", "1.0.0", True)]
    await noted(rollouts, "d1", "1.1.0", "healthy", "")  # it was too late to give up
    await rollouts.step()
    assert fleet.offered[3:] == [("d1", "1.0.0", True)]


async def test_a_killed_host_goes_on_where_it_was_and_sends_what_it_had_kept(
    fleet: Fleet, rollouts: Rollouts, database: Database
) -> None:
    number = await begun(rollouts, 4, "2,100%")
    fleet.die_before_send = True
    with pytest.raises(Killed):
        await rollouts.step()
    assert fleet.offered == []
    fleet.die_before_send = False
    second = fleet.over(database)
    await second.load()
    await second.step()
    assert fleet.sent == {"d0": 1, "d1": 1}
    await noted(second, "d0", "1.1.0", "healthy", "")
    third = fleet.over(database)
    await third.load()
    assert fleet.sent == {"d0": 1, "d1": 2}  # the same offer again: the device was offered it once
    await noted(third, "d1", "1.1.0", "healthy", "")
    for _ in range(3):
        await third.step()
    assert [device_id for device_id, _, _ in fleet.offered] == ["d0", "d1", "d2", "d3"]
    fleet.known = {"d2": ("healthy", ""), "d3": ("healthy", "")}  # the killed host did not hear of these ends
    fourth = fleet.over(database)
    await fourth.load()
    await fourth.step()
    assert await state(fourth, number) == "done"


@pytest.mark.parametrize("seed", range(3))
async def test_kills_at_every_write_lose_and_repeat_nothing(fleet: Fleet, database: Database, seed: int) -> None:
    """The store's own writes fail at random moments, before or after they are kept, and the host begins again."""
    random = Random(seed)
    number = await begun(fleet.over(database), 12, "1,4,100%")
    for _ in range(400):
        rollouts = fleet.over(database)
        _die_sometimes(rollouts, random)
        try:
            await rollouts.load()
            for _ in range(random.randrange(4)):
                fleet.now_ms += random.choice((500, 30_000))
                await rollouts.step()
                for device_id, version, _back in fleet.offered:
                    await noted(rollouts, device_id, version, "healthy", "")
        except Killed:
            continue
    after = await fleet.over(database).get(number)
    assert after.row.state == "done"
    assert after.count("healthy") == 12
    assert len(fleet.offered) == 12


def _die_sometimes(rollouts: Rollouts, random: Random) -> None:
    table = rollouts.table
    keep = table.keep

    async def keep_or_die(*change: Any) -> bool:
        if random.random() < 0.1:
            raise Killed
        is_kept = await keep(*change)
        if random.random() < 0.1:
            raise Killed
        return is_kept

    table.keep = keep_or_die  # type: ignore[method-assign, assignment]  # the seam between the host and its disk


async def test_new_crashes_of_updated_boards_stop_it_and_older_ones_do_not(fleet: Fleet, rollouts: Rollouts) -> None:
    fleet.now_ms = 1_000
    number = await begun(rollouts, 9, soak_s=600)
    fleet.crashed = {"d0": 900, "d5": 1_500}  # before its update; without one
    await rollouts.step()
    await noted(rollouts, "d0", "1.1.0", "healthy", "")
    await rollouts.step()
    assert await state(rollouts, number) == "running"
    fleet.crashed["d0"] = fleet.now_ms = 60_000
    await rollouts.step()
    row = (await rollouts.get(number)).row
    assert (row.state, row.crashes) == ("halted", 1)
    assert len(fleet.offered) == 1


async def test_a_board_is_in_one_rollout_at_a_time_and_a_removed_one_in_none(fleet: Fleet, rollouts: Rollouts) -> None:
    number = await begun(rollouts, 3)
    with pytest.raises(ConfigError):
        await begun(rollouts, 1, version="1.2.0")
    await rollouts.stop(number)
    number = await begun(rollouts, 3, "3", version="1.2.0")
    fleet.removed.add("d1")
    fleet.cannot["d2"] = DeviceUnreachable("d2 does not trust the key 3f1c")
    await rollouts.step()
    await noted(rollouts, "d0", "1.2.0", "healthy", "")
    await rollouts.step()
    assert [one.state for one in (await rollouts.get(number)).devices.values()] == ["healthy", "removed", "failed"]
    assert "d2 does not trust the key 3f1c" in (await rollouts.get(number)).row.reason
    with pytest.raises(UnknownName):
        await rollouts.get(99)


async def test_a_stop_that_could_not_be_kept_did_not_happen(
    rollouts: Rollouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> bool:
        raise StoreError("the disk is full")

    number = await begun(rollouts, 2)
    with monkeypatch.context() as cut:
        cut.setattr(rollouts.table, "keep", full)
        with pytest.raises(StoreError):
            await rollouts.stop(number)
    await rollouts.step()
    assert await state(rollouts, number) == "running"


async def test_going_back_is_not_refused_for_the_number_of_rollouts(rollouts: Rollouts) -> None:
    plan = RolloutPlan((1,))
    begun = [await rollouts.add("1.1.0", "stable", plan, [(f"d{n}", "1.0.0")], "owner") for n in range(MAX_OPEN)]
    first = begun[0].row.rollout_id
    with pytest.raises(ConfigError, match="8 rollouts are open"):
        await rollouts.add("1.1.0", "stable", plan, [("other", "1.0.0")], "owner")
    back = await rollouts.add("1.0.0", "stable", plan, [("d0", "1.1.0")], "owner", undoes=first)
    assert back.row.undoes == first


async def test_an_offer_decided_before_a_stop_at_another_host_is_not_sent(fleet: Fleet, database_url: str) -> None:
    async with two_hosts(database_url) as (a, b):
        here = fleet.over(a)
        there = fleet.over(b)
        number = await begun(there, 3)
        await here.refresh()
        hold_news(a)
        await there.stop(number)
        await here.step()  # it is as it was, in this host's memory
        assert fleet.offered == []
        assert here.open_rollouts == ()
