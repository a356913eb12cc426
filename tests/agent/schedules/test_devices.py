"""Schedules keep their devices by id: a new name changes nothing, another device of the old name is not touched."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.agent.schedules.conftest import Boards, Hands, MakeWorld

from microclaw.agent.schedules.devices import lost_device, with_current_names, with_device_ids
from microclaw.errors import UnknownName
from microclaw.host.operations.operation import Permission
from microclaw.host.store.schedules import Action, Once, Schedule, SchedulePrompt, ToolAction

SET_LAMP = ToolAction("gpio-set", '{"pin": 4, "device": "lamp"}')
SET_DESK = ToolAction("gpio-set", '{"pin": 4, "device": "desk"}')


def new(deed: Action, what: str = "it", device: str | None = None) -> Schedule:
    return Schedule("then", what, Once(5), deed, "owner", "test", "c1", device, "run", Permission.ACT, 1, 2)


def kept(deed: Action, boards: Boards, what: str = "it", device: str | None = None) -> Schedule:
    """As it is stored."""
    return with_device_ids(new(deed, what, device), boards.registry)


def as_json(key: str, value: str) -> ToolAction:
    return ToolAction("list-wasm-apps", json.dumps({key: value}))


@pytest.mark.parametrize(
    ("deed", "renamed"),
    [
        (SET_LAMP, SET_DESK),
        *((as_json(key, "lamp"), as_json(key, "desk")) for key in ("device", "device_ip", "deviceIp")),
        (SchedulePrompt("turn on pins 4 and 5 on Lamp"), SchedulePrompt("turn on pins 4 and 5 on desk")),
        *((act, act) for act in (ToolAction("say", "{}"), ToolAction("say", '{"pin":4}'), as_json("text", "lamp"))),
        *((act, act) for act in (ToolAction("say", "["), ToolAction("say", "4"), as_json("device_ip", "192.168.1.7"))),
        *((act, act) for act in map(SchedulePrompt, ("water the lamps", "look at lamp-2", "lamp2 is on", "my-lamp"))),
    ],
)
def test_a_renamed_device_is_called_by_its_present_name(deed: Action, renamed: Action) -> None:
    boards = Boards()
    schedule = kept(deed, boards, device="lamp")
    boards.rename("lamp", "desk")
    found = with_current_names(schedule, boards.registry)
    assert (found.deed, found.device, found.lost) == (renamed, "desk", None)


def test_two_devices_that_changed_names_with_each_other_are_not_mixed_up() -> None:
    swapped_call = ToolAction("gpio-set", '{"pin": 4, "device": "fan"}')
    for deed, swapped in (
        (SET_LAMP, swapped_call),
        (SchedulePrompt("copy lamp to fan"), SchedulePrompt("copy fan to lamp")),
    ):
        boards = Boards()
        schedule = kept(deed, boards)
        boards.known[0].name = "fan"
        boards.known[1].name = "lamp"
        assert with_current_names(schedule, boards.registry).deed == swapped


@pytest.mark.parametrize(
    ("deed", "device"),
    [(SET_LAMP, "fan"), (ToolAction("gpio-set", '{"pin": 4}'), "lamp"), (SchedulePrompt("blink pin 2 on lamp"), None)],
)
def test_a_removed_device_is_told_by_the_name_it_had_and_none_of_its_name_is_called(
    deed: Action, device: str | None
) -> None:
    boards = Boards()
    schedule = kept(deed, boards, device=device)
    other = kept(SET_LAMP, boards, device="fan")
    boards.remove("lamp")
    boards.known.append(replace(boards.known[0], device_id="d-9", name="lamp"))
    found = with_current_names(schedule, boards.registry)
    assert found.lost == "lamp"
    assert lost_device(found).next_step
    assert "lamp" not in (found.device or "")
    assert isinstance(found.deed, SchedulePrompt) or "lamp" not in found.deed.arguments
    boards = Boards()
    boards.remove("fan")  # which its call does not name
    assert with_current_names(other, boards.registry).lost is None


async def test_a_run_is_of_the_device_under_its_new_name_also_after_a_crash(world_of: MakeWorld) -> None:
    boards = Boards()
    async with world_of(boards=boards) as world:
        with pytest.raises(UnknownName):
            await world.add("in 20 minutes", device="moon")
        made = await world.add("in 20 minutes", deed=SET_LAMP)
        cut_off = await world.add("in 20 minutes", deed=SET_LAMP)
        assert cut_off.next_ms is not None
        await world.table.claim(cut_off.schedule_id, cut_off.next_ms, next_ms=None, woke=False, now_ms=cut_off.next_ms)
        boards.rename("lamp", "desk")
    hands = Hands()
    async with world_of(hands=hands, boards=boards) as world:
        await world.ended(cut_off)
        await world.to("2026-11-20 11:20")
        await world.ended(made)
    assert [one.deed for one in hands.given] == [SET_DESK, SET_DESK]
