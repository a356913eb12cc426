from __future__ import annotations

import asyncio
from typing import Any, TypeAlias

import pytest

from microclaw.devices.registry.calls import AppState, GpioSet, PwmSet
from microclaw.errors import (
    DeployRejected,
    DeviceUnreachable,
    MicroclawError,
    PermissionRefused,
    PinClaimed,
    UndoElsewhere,
    UndoIncomplete,
    UnknownName,
)
from microclaw.host.auth.gate import Gate
from microclaw.host.auth.people import ONLY_OWNER
from microclaw.host.store.people import Person
from microclaw.programs.changes.change_log import SCHEDULED, ChangeOrigin, SetLevel, change_origin
from microclaw.programs.changes.undo import Undo, UndoChoice

Levels: TypeAlias = dict[int, int]


async def undo(lab: Any, change_id: int | None = None) -> Any:
    for name, trial in list(lab.trials.items()):
        lab.plays(name, *trial.driven)
    return await lab.take_back(change_id)


async def pins_in_a_turn(lab: Any, turn: str | None, *pins: int, level: int = 1) -> list[int]:
    with change_origin(ChangeOrigin(turn)):
        return [(await lab.set_pin(pin, level)).change_id for pin in pins]


async def on_a_shelf(lab: Any, turn: str) -> int:
    """A pin that was set on a second device."""
    if all(device.name != "shelf" for device in lab.registry.list()):
        await lab.registry.add("shelf", "virtual", [], device_id="d2")
    with change_origin(ChangeOrigin(turn)):
        text = "set pin 4 of shelf high"
        change_id: int = await lab.change_log.plan("d2", "gpio.set", text, SetLevel(4, 1), SetLevel(4, 0))
        await lab.change_log.end(change_id, "done")
    return change_id


async def test_undo_walks_back_change_by_change_and_undoing_an_undo_redoes(lab: Any) -> None:
    await lab.deploy()
    await lab.deploy(source="v2")
    await lab.set_pin(4)
    await undo(lab)
    assert lab.transport.levels[4] == 0
    for left in ({"blink": "v1"}, {}):
        await undo(lab)
        assert lab.running() == left
    with pytest.raises(UnknownName) as caught:
        await undo(lab)
    newest = (await lab.change_log.changes())[0].change_id
    assert f"microclaw app undo {newest}" in str(caught.value.next_step)
    await undo(lab, newest)
    assert lab.running() == {"blink": "v1"}
    await undo(lab)
    assert lab.running() == {}


async def test_undoing_a_removal_brings_the_app_back_through_the_trial(lab: Any) -> None:
    await lab.deploy()
    lab.transport.apps.clear()
    await lab.reconciler.check(lab.device_id)  # what it put back is no change of a person's
    await lab.act("uninstall")
    lab.tried.clear()
    done = await undo(lab)
    assert (lab.running(), lab.tried) == ({"blink": "v1"}, ["blink"])
    assert done.taken[0].evidence.kind == "counted"
    await undo(lab, 1)
    assert lab.running() == {}


async def test_an_older_change_waits_for_the_newer_one_of_its_app_and_none_is_undone_twice(lab: Any) -> None:
    first = (await lab.deploy()).change_id
    second = (await lab.deploy(source="v2")).change_id
    with pytest.raises(DeployRejected) as caught:
        await undo(lab, first)
    assert f"undo {second}" in (caught.value.next_step or "")
    await undo(lab, second)
    back = await undo(lab, first)
    assert lab.running() == {}
    with pytest.raises(DeployRejected) as caught:
        await undo(lab, first)
    assert str(back.taken[0].by) in (caught.value.next_step or "")


async def test_undo_after_a_program_that_failed_does_not_reach_for_an_older_change(lab: Any) -> None:
    first = (await lab.deploy("lamp")).change_id
    await lab.act("uninstall", "lamp")
    lab.transport.states["blink"] = AppState("blink", "trapped", "Exception: unreachable", 8192, 0, 0, ())
    with pytest.raises(DeployRejected):
        await lab.deploy()
    for change_id in (None, first + 2):  # a failed change is nothing to undo
        with pytest.raises(DeployRejected):
            await undo(lab, change_id)
    assert lab.running() == {}
    await undo(lab, first + 1)
    assert lab.running() == {"lamp": "v1"}
    with change_origin(ChangeOrigin("turn-1", "owner")):
        await lab.deploy("fan", pin=4)
        with pytest.raises(DeployRejected):
            await lab.deploy(pin=6)
    await undo(lab)
    assert lab.running() == {"lamp": "v1"}, "what a turn did beside a program that failed"


async def test_what_cannot_be_taken_back_is_told_before_anybody_is_asked(lab: Any) -> None:
    lab.foreign("other")
    await lab.act("uninstall", "other")
    with pytest.raises(DeployRejected):
        await lab.undo.chosen(UndoChoice("owner"))
    lab.transport.sees = False
    await lab.set_pin(4)
    with pytest.raises(DeployRejected):
        await lab.undo.chosen(UndoChoice("owner"))


@pytest.mark.parametrize("act", ["uninstall", "stop"])
async def test_undo_starts_no_program_that_had_ended_by_itself(lab: Any, act: str) -> None:
    await lab.deploy()
    lab.transport.states["blink"] = AppState("blink", "returned", None, 0, 0, 0, ())
    await lab.act(act)
    back = await undo(lab)
    assert (lab.running(), await lab.conditions()) == ({}, {"blink": "stopped"})
    await lab.take_back(back.taken[0].by)  # a stop keeps its program
    assert await lab.conditions() == ({"blink": "stopped"} if act == "stop" else {})


async def test_one_undo_of_a_program_keeps_the_one_that_had_ended_and_gave_way_to_it(lab: Any) -> None:
    await lab.deploy("old")
    lab.transport.states["old"] = AppState("old", "returned", None, 0, 0, 0, (2,))
    with change_origin(ChangeOrigin("m1", "owner")):
        await lab.deploy("new")
    assert lab.running() == {"new": "v1"}
    assert "old is kept" in (await undo(lab)).text
    assert (lab.running(), await lab.conditions()) == ({}, {"old": "stopped"})


async def test_a_pin_that_was_forced_over_a_program_names_the_way_to_its_undo(lab: Any) -> None:
    await lab.deploy()
    conflict = await lab.direct_io.conflict("paper", GpioSet(2, 1))
    forced = await lab.direct_io.act("paper", GpioSet(2, 1), insist=(conflict.text,))
    with pytest.raises(PinClaimed) as caught:
        await undo(lab)
    assert "app stop blink -d paper" in str(caught.value.next_step)
    assert f"microclaw app undo {forced.change_id}" in str(caught.value.next_step)
    await lab.act("stop")
    await undo(lab, forced.change_id)
    for left in ({"blink": "v1"}, {}):
        await undo(lab)
        assert lab.running() == left


async def test_undo_takes_the_persons_own_act_and_names_a_newer_one_of_a_schedule(lab: Any) -> None:
    own = (await lab.deploy()).change_id
    with change_origin(ChangeOrigin(None, "owner", f"{SCHEDULED}terminal")):
        await lab.set_pin(4)
    for conversation, number in ((None, own), ("terminal", own + 1)):
        chosen = await lab.undo.chosen(UndoChoice("owner", conversation=conversation))
        assert [change.change_id for change in chosen] == [number]
    with change_origin(ChangeOrigin(None, "owner", f"{SCHEDULED}terminal")):
        stopped = (await lab.act("stop")).change_id
    with pytest.raises(UndoElsewhere) as caught:
        await undo(lab)
    assert (caught.value.changes, caught.value.next_step) == ((stopped,), f"microclaw app undo {stopped}")
    for number in (stopped, own):
        await undo(lab, number)
    with pytest.raises(UndoElsewhere):
        await undo(lab)


async def test_a_newer_act_on_the_same_pin_of_another_board_is_no_obstacle(lab: Any) -> None:
    with change_origin(ChangeOrigin("m1", "owner", "this chat")):
        own = (await lab.set_pin(4)).change_id
    await lab.registry.add("shelf", "virtual", [], device_id="d2")
    with change_origin(ChangeOrigin("m2", "owner", "another chat")):
        other = await lab.change_log.plan("d2", "gpio.set", "set pin 4", SetLevel(4, 1), SetLevel(4, 0))
        await lab.change_log.end(other, "done")
    chosen = await lab.undo.chosen(UndoChoice("owner", conversation="this chat"))
    assert [change.change_id for change in chosen] == [own]


async def test_two_undos_at_once_take_back_two_changes(lab: Any) -> None:
    await lab.deploy("one", pin=4)
    await lab.deploy("two", pin=5)
    done = await asyncio.gather(lab.take_back(), lab.take_back())
    assert sorted(one.taken[0].undone for one in done) == [1, 2]
    assert lab.running() == {}


async def test_one_undo_takes_back_all_that_a_turn_did_newest_first(lab: Any) -> None:
    await pins_in_a_turn(lab, "m1", 6)
    await pins_in_a_turn(lab, "m2", 4, 5)
    done = await undo(lab)
    assert [taken.undone for taken in done.taken] == [3, 2]
    assert lab.transport.levels == {4: 0, 5: 0, 6: 1}
    await undo(lab)
    assert lab.transport.levels[6] == 0
    with pytest.raises(UnknownName):
        await undo(lab)
    first, second = await pins_in_a_turn(lab, "m3", 4, 5)
    await undo(lab, second)
    assert [change.change_id for change in await lab.undo.chosen(UndoChoice("owner"))] == [first], "what is left of it"


async def test_a_program_that_a_turn_stopped_and_started_again_is_left_alone(lab: Any) -> None:
    await lab.deploy()
    with change_origin(ChangeOrigin("m1")):
        await lab.act("stop")
        lab.plays("blink", 2)
        await lab.act("start")
    with pytest.raises(DeployRejected, match="as it was before"):
        await undo(lab)
    assert lab.running() == {"blink": "v1"}
    with change_origin(ChangeOrigin("m2")):
        await lab.act("stop")
        lab.plays("blink", 2)
        await lab.act("start")
        await lab.set_pin(4)
    done = await undo(lab)
    assert ([taken.undone for taken in done.taken], lab.running()) == ([6], {"blink": "v1"})


@pytest.mark.parametrize("half", ["stop", "deploy"])
async def test_a_replacement_is_undone_and_redone_whole_whichever_half_is_named(lab: Any, half: str) -> None:
    await lab.deploy()
    with change_origin(ChangeOrigin("m1")):
        stop = (await lab.act("stop")).change_id
        deploy = (await lab.deploy(name="lamp")).change_id
    named = {"stop": stop, "deploy": deploy}[half]
    with change_origin(ChangeOrigin("m2")):
        done = await undo(lab, named)
    assert [taken.undone for taken in done.taken] == [deploy, stop]
    assert lab.running() == {"blink": "v1"}
    with change_origin(ChangeOrigin("m3")):
        await undo(lab, done.taken[0].by)
    assert list(lab.running()) == ["lamp"]


@pytest.mark.parametrize(
    ("acts", "levels"),
    [
        ([(None, 4), (None, 5)], {4: 1, 5: 0}),  # without a turn, one by one
        ([("m1", 4), ("m2", 6), ("m1", 5)], {4: 0, 5: 0, 6: 1}),  # side by side
        ([("m1", 4), ("m2", "undo"), ("m2", 5)], {4: 0, 5: 0}),  # its own act, and not the undo before it
        ([("m1", "blink"), ("m1", 4)], {4: 0}),  # a program and a pin
    ],
)
async def test_turns_are_told_apart(lab: Any, acts: list[tuple[str | None, int | str]], levels: Levels) -> None:
    for turn, what in acts:
        with change_origin(ChangeOrigin(turn)):
            if isinstance(what, int):
                await lab.set_pin(what)
            else:
                await (undo(lab) if what == "undo" else lab.deploy())
    await undo(lab)
    assert (lab.transport.levels, lab.running()) == (levels, {})


async def test_a_pin_that_a_turn_set_twice_is_as_before_the_turn(lab: Any) -> None:
    with change_origin(ChangeOrigin("m1")):
        for call in (GpioSet(4, 1), PwmSet(4, 100), GpioSet(4, 0)):
            await lab.direct_io.act("paper", call)
    await undo(lab)
    assert await lab.states() == ["done"] * 6
    assert lab.transport.levels == {4: 0}
    assert (await lab.change_log.changes())[0].forward == SetLevel(4, 0)
    await lab.set_pin(4, 0)
    assert (await undo(lab)).text.startswith("nothing to undo: pin 4 of paper low as before")
    assert lab.transport.levels == {4: 0}


async def test_undo_goes_on_after_a_change_that_changed_nothing(lab: Any) -> None:
    await lab.set_pin(4)
    await lab.set_pin(5, 0)
    assert (await undo(lab)).text.startswith("nothing to undo: pin 5")
    assert (await undo(lab)).text.startswith("undone: pin 4 of paper low again")
    assert lab.transport.levels == {4: 0, 5: 0}


async def test_a_change_that_another_turn_covers_stays_and_is_named(lab: Any) -> None:
    await pins_in_a_turn(lab, "m1", 4)
    await pins_in_a_turn(lab, "m2", 4, level=0)
    await pins_in_a_turn(lab, "m1", 5)
    with pytest.raises(UndoIncomplete):
        await undo(lab)
    assert lab.transport.levels == {4: 0, 5: 0}


async def test_what_cannot_be_taken_back_is_said_and_the_rest_is_taken_back(lab: Any) -> None:
    lab.foreign("other")
    with change_origin(ChangeOrigin("m1")):
        await lab.act("uninstall", "other")
        await lab.set_pin(4)
    with pytest.raises(UndoIncomplete):
        await undo(lab)
    assert lab.transport.levels == {4: 0}
    assert lab.stages()[-1] == ("undo", "failed")


async def test_a_board_that_is_away_is_asked_once_and_everything_stays(lab: Any) -> None:
    await pins_in_a_turn(lab, "m1", 4, 5)
    lab.transport.away = DeviceUnreachable("paper does not answer", next_step="check its power")
    lab.transport.calls.clear()
    with pytest.raises(UndoIncomplete):
        await undo(lab)
    assert lab.transport.calls == ["apps.states", "gpio.get"]  # of the first change alone
    lab.transport.away = None
    await undo(lab)
    assert lab.transport.levels == {4: 0, 5: 0}


async def test_an_undo_that_is_cut_short_is_finished_by_the_next(lab: Any) -> None:
    await pins_in_a_turn(lab, "m1", 4, 5)
    act = lab.transport._do

    def cancelled_at_pin_4(call: Any) -> Any:
        if call == SetLevel(4, 0):
            lab.transport._do = act
            raise asyncio.CancelledError
        return act(call)

    lab.transport._do = cancelled_at_pin_4
    with pytest.raises((asyncio.CancelledError, MicroclawError)):
        await undo(lab)
    assert lab.transport.levels == {4: 1, 5: 0}
    assert [change.change_id for change in await lab.undo.chosen(UndoChoice("owner"))] == [1]


async def test_a_named_device_has_only_its_own_changes_taken_back(lab: Any) -> None:
    await pins_in_a_turn(lab, "m1", 4)
    await on_a_shelf(lab, "m1")
    for device_id, chosen in ((None, [2, 1]), ("d1", [1])):
        found = await lab.undo.chosen(UndoChoice("owner", None, device_id))
        assert [change.change_id for change in found] == chosen


async def test_a_level_from_before_a_restart_is_not_brought_back(lab: Any, journal_clock: Any) -> None:
    await pins_in_a_turn(lab, None, 6)
    with change_origin(ChangeOrigin("m1")):
        await lab.deploy()
        await lab.set_pin(4, 0)
    journal_clock.later(60_000)
    lab.transport.up_ms = 30_000.0
    lab.transport.levels[4] = 1
    with pytest.raises(UndoIncomplete):
        await undo(lab)
    assert lab.transport.levels[4] == 1


# Levels and PWM, and what is there after the undo: the board restarted in between, and told its state again.
@pytest.mark.parametrize(
    ("before", "told", "after"), [(PwmSet(4, 100), GpioSet(4, 1), {4: 0}), (GpioSet(4, 1), GpioSet(4, 0), {4: 1})]
)
async def test_undo_brings_back_the_level_that_the_board_told_after_its_last_restart(
    lab: Any, journal_clock: Any, before: Any, told: GpioSet, after: Levels
) -> None:
    await lab.direct_io.act("paper", before)
    journal_clock.later(60_000)
    lab.transport.up_ms = 30_000.0
    await lab.direct_io.act("paper", told)
    journal_clock.later(2 * 86_400_000)
    lab.transport.up_ms += 2 * 86_400_000 * 0.9999  # the board's crystal is not the host's
    await undo(lab)
    assert lab.transport.levels == after


async def test_everybody_takes_back_their_own_and_only_an_owner_what_others_did(lab: Any) -> None:
    people = ONLY_OWNER | {name: Person(name, name, "member") for name in ("ann", "ben")}
    undo = Undo(lab.installer, changes=lab.changes, direct_io=lab.direct_io, gate=Gate(people))
    for turn, person, pin in (("m1", "ann", 4), ("m2", "owner", 5), ("m3", "ben", 6)):
        with change_origin(ChangeOrigin(turn, person)):
            await lab.set_pin(pin)

    async def chosen(by: str, change: int | None = None) -> list[int]:
        return [found.change_id for found in await undo.chosen(UndoChoice(by, change))]

    assert [await chosen(by) for by in ("ann", "owner", "ben")] == [[1], [2], [3]]
    assert await chosen("owner", 1) == [1]
    with pytest.raises(PermissionRefused):
        await chosen("ann", 3)
    await undo.undo(UndoChoice("ann"), lab.steps.append)
    with pytest.raises(UnknownName):
        await chosen("ann")
    assert [change.person for change in await lab.change_log.changes()][1:] == ["ben", "owner", "ann"]


async def test_a_change_of_a_removed_device_is_skipped_and_said_by_its_name(lab: Any) -> None:
    await lab.deploy()
    gone = [await on_a_shelf(lab, turn) for turn in ("m2", "m3")]
    await lab.registry.remove("shelf")
    with pytest.raises(DeployRejected, match=r"shelf.*removed") as caught:
        await undo(lab, gone[0])
    assert "d2" not in caught.value.message
    with pytest.raises(
        UndoElsewhere, match=r"shelf high \(change 3\).*removed; before it: deploy.*\(change 1\)"
    ) as asked:
        await undo(lab)
    assert lab.running() != {}, "an older request is not reverted unasked"
    assert asked.value.next_step == "microclaw app undo 1"
    await undo(lab, 1)
    assert lab.running() == {}
    with pytest.raises(UnknownName):
        await undo(lab)
    await lab.deploy()
    assert "shelf" not in (await undo(lab)).text
