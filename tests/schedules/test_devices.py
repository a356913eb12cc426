"""Schedules keep their devices by id: a new name changes nothing, another device of the old name is not touched."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.schedules.conftest import START, Boards, Clock, Hands, MakeWorld

from microclaw.errors import UnknownName
from microclaw.operations.operation import Permission
from microclaw.schedules.devices import lost_device, with_current_names, with_device_ids
from microclaw.store.schedules import Deed, Once, Prompt, Schedule, ToolAct

SET_LAMP = ToolAct("gpio-set", '{"pin": 4, "device": "lamp"}')


def kept(deed: Deed, boards: Boards, what: str = "it", device: str | None = None) -> Schedule:
    """As it is stored."""
    new = Schedule("then", what, Once(5), deed, "owner", "test", "c1", device, "run", Permission.ACT, 1, 2)
    return with_device_ids(new, boards.registry)


def test_the_stored_call_names_its_device_by_id() -> None:
    schedule = kept(SET_LAMP, Boards(), device="fan")
    assert schedule.deed == ToolAct("gpio-set", '{"pin": 4, "device": "d-1"}', {"d-2": "fan", "d-1": "lamp"})
    assert schedule.device == "d-2"


def test_a_call_is_given_out_with_present_names() -> None:
    boards = Boards()
    schedule = kept(SET_LAMP, boards, device="lamp")
    boards.rename("lamp", "desk")
    found = with_current_names(schedule, boards.registry)
    assert (found.deed, found.device) == (ToolAct("gpio-set", '{"pin": 4, "device": "desk"}'), "desk")
    assert found.lost is None


@pytest.mark.parametrize("key", ["device", "device_ip", "deviceIp"])
def test_every_argument_that_names_a_device_follows_it(key: str) -> None:
    boards = Boards()
    schedule = kept(ToolAct("list-wasm-apps", json.dumps({key: "lamp"})), boards)
    boards.rename("lamp", "desk")
    assert with_current_names(schedule, boards.registry).deed == ToolAct("list-wasm-apps", json.dumps({key: "desk"}))


@pytest.mark.parametrize("arguments", ["{}", '{"pin":4}', '{"device_ip": "192.168.1.7"}', '{"text": "lamp"}', "[", "4"])
def test_arguments_that_name_no_device_stay_as_they_are(arguments: str) -> None:
    boards = Boards()
    schedule = kept(ToolAct("say", arguments), boards)
    boards.rename("lamp", "desk")
    assert with_current_names(schedule, boards.registry).deed == ToolAct("say", arguments)


def test_a_call_that_was_given_as_one_is_shown_with_the_present_name() -> None:
    boards = Boards()
    schedule = kept(SET_LAMP, boards, what='gpio-set {"pin": 4, "device": "lamp"}')
    boards.rename("lamp", "desk")
    assert with_current_names(schedule, boards.registry).what == 'gpio-set {"pin": 4, "device": "desk"}'


def test_words_name_a_device_as_it_is_called_now() -> None:
    boards = Boards()
    schedule = kept(Prompt("turn on pins 4 and 5 on Lamp"), boards, what="turn on pins 4 and 5 on Lamp")
    boards.rename("lamp", "desk")
    found = with_current_names(schedule, boards.registry)
    assert (found.what, found.deed) == ("turn on pins 4 and 5 on desk", Prompt("turn on pins 4 and 5 on desk"))


def test_two_devices_that_changed_names_with_each_other_are_not_mixed_up() -> None:
    boards = Boards()
    schedule = kept(Prompt("copy lamp to fan"), boards)
    boards.known[0].name, boards.known[1].name = "fan", "lamp"
    assert with_current_names(schedule, boards.registry).deed == Prompt("copy fan to lamp")


@pytest.mark.parametrize("words", ["water the lamps", "look at fan-2", "lamp2 is on", "my-lamp"])
def test_a_part_of_a_word_is_no_device(words: str) -> None:
    boards = Boards()
    schedule = kept(Prompt(words), boards)
    boards.rename("lamp", "desk")
    boards.rename("fan", "wind")
    assert with_current_names(schedule, boards.registry).deed == Prompt(words)
    assert schedule.deed.devices == {}


def test_a_word_of_two_letters_is_no_device() -> None:
    boards = Boards()
    boards.rename("lamp", "in")
    assert kept(Prompt("turn pin 4 on in a minute"), boards).deed.devices == {}


@pytest.mark.parametrize(
    ("deed", "device"),
    [
        (SET_LAMP, None),
        (SET_LAMP, "fan"),
        (ToolAct("gpio-set", '{"pin": 4}'), "lamp"),
        (Prompt("blink pin 2"), "lamp"),
        (Prompt("blink pin 2 on lamp"), None),
    ],
)
def test_a_removed_device_is_told_by_the_name_it_had(deed: Deed, device: str | None) -> None:
    boards = Boards()
    schedule = kept(deed, boards, device=device)
    boards.remove("lamp")
    boards.known.append(replace(boards.known[0], device_id="d-9", name="lamp"))  # another one
    found = with_current_names(schedule, boards.registry)
    assert found.lost == "lamp"
    assert lost_device(found).next_step
    assert "lamp" not in (found.device or "")


def test_a_device_that_the_call_does_not_name_may_go() -> None:
    boards = Boards()
    schedule = kept(SET_LAMP, boards, device="fan")
    boards.remove("fan")
    assert with_current_names(schedule, boards.registry).lost is None


def test_what_is_shown_of_a_removed_device_is_its_name() -> None:
    boards = Boards()
    schedule = kept(SET_LAMP, boards, what='gpio-set {"pin": 4, "device": "lamp"}')
    boards.remove("lamp")
    assert with_current_names(schedule, boards.registry).what == 'gpio-set {"pin": 4, "device": "lamp"}'


async def test_a_device_that_is_none_is_refused_when_the_schedule_is_made(world_of: MakeWorld) -> None:
    async with world_of() as world:
        with pytest.raises(UnknownName):
            await world.add("in 20 minutes", device="moon")
        assert await world.book.all() == ()


async def test_a_one_off_survives_the_rename(world_of: MakeWorld) -> None:
    async with world_of() as world:
        made = await world.add("in 20 minutes", deed=SET_LAMP, device="lamp")
        world.boards.rename("lamp", "desk")
        await world.to("2026-11-20 11:20")
        (run,) = await world.ended(made)
        assert run.state == "done"
        assert world.hands.given[0].deed == ToolAct("gpio-set", '{"pin": 4, "device": "desk"}')
        assert (await world.book.get(made.schedule_id)).state == "over"


async def test_a_missed_run_is_made_up_for_under_the_new_name(world_of: MakeWorld) -> None:
    boards = Boards()
    async with world_of(boards=boards) as world:
        made = await world.add("every day at 12:00", deed=SET_LAMP, missed="run")
        boards.rename("lamp", "desk")
    async with world_of(clock=Clock(START + timedelta(hours=3)), boards=boards) as world:
        (run,) = await world.ended(made)
        assert run.state == "done"
        assert world.hands.given[0].deed == ToolAct("gpio-set", '{"pin": 4, "device": "desk"}')


async def test_what_a_crash_cut_off_is_taken_up_under_the_new_name(world_of: MakeWorld) -> None:
    boards = Boards()
    async with world_of(boards=boards) as world:
        made = await world.add("in 20 minutes", deed=SET_LAMP)
        assert made.next_ms is not None
        await world.table.claim(made.schedule_id, made.next_ms, next_ms=None, woke=False, now_ms=made.next_ms)
        boards.rename("lamp", "desk")
    hands = Hands()
    async with world_of(hands=hands, boards=boards) as world:
        await world.ended(made)
    assert hands.given[0].deed == ToolAct("gpio-set", '{"pin": 4, "device": "desk"}')
