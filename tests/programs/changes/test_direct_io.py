from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from microclaw.devices.registry.call_acts import act_words
from microclaw.devices.registry.calls import GpioSet, PwmSet
from microclaw.errors import CallRejected, DeviceLied, DeviceUnreachable, PinClaimed, PinRefused, TooManyApps
from microclaw.hardware.parts.named_parts import parse_part_line, with_part
from microclaw.programs.changes.change_log import AppVersion, Claims, DesiredApp, SetLevel, SetPwm, SwitchOff
from microclaw.programs.changes.claims import check_free, timers_conflict
from microclaw.programs.changes.installer import recover_changes
from microclaw.programs.changes.program_state import recall_program


async def inverse_of(lab: Any, change_id: int) -> Any:
    return (await lab.change_log.change(change_id)).inverse


async def test_a_level_is_read_back_where_the_board_reports_its_pins_and_not_on_plain_firmware(lab: Any) -> None:
    done = await lab.set_pin(5)
    assert (done.evidence.kind, await inverse_of(lab, done.change_id)) == ("counted", SetLevel(5, 0))
    lab.transport.calls.clear()
    lab.transport.evidence = "reported"
    done = await lab.set_pin(4)
    assert done.evidence.kind == "reported"
    assert "gpio.get" not in lab.transport.calls
    assert await inverse_of(lab, done.change_id) is None
    done = await lab.set_pin(4, 0)
    assert await inverse_of(lab, done.change_id) == SetLevel(4, 1)


@pytest.mark.parametrize("call", [GpioSet(5, 1), PwmSet(5, 100)])
async def test_an_order_for_an_absent_board_names_the_order_and_no_question_before_it(lab: Any, call: Any) -> None:
    lab.transport.up_ms = 1.0
    await lab.direct_io.act("paper", call)
    lab.transport.online = False
    lab.transport.away = DeviceUnreachable("paper was not connected")
    with pytest.raises(DeviceUnreachable, match=f"was not asked to {act_words(call.method)}"):
        await lab.direct_io.act("paper", call)


async def test_a_level_that_does_not_hold_is_a_lie_unless_a_program_moves_the_pin(lab: Any) -> None:
    await lab.deploy()
    act = lab.transport._do
    lab.transport._do = lambda call: act(call) if call.method != "gpio.set" else None
    with pytest.raises(DeviceLied) as caught:
        await lab.set_pin(4)
    assert caught.value.next_step
    (change, _) = await lab.change_log.changes()
    assert (change.state, change.inverse) == ("done", SetLevel(4, 0))
    conflict = await lab.direct_io.conflict("paper", GpioSet(2, 1))
    done = await lab.direct_io.act("paper", GpioSet(2, 1), insist=(conflict.text,))
    assert done.evidence.kind == "reported"


async def test_pwm_goes_back_to_what_it_was(lab: Any) -> None:
    first = await lab.direct_io.act("paper", PwmSet(5, 100, 1000))
    assert await inverse_of(lab, first.change_id) == SetPwm(5, 0, 1000)
    second = await lab.direct_io.act("paper", PwmSet(5, 200))
    assert await inverse_of(lab, second.change_id) == SetPwm(5, 100, 1000)
    third = await lab.set_pin(5)
    assert await inverse_of(lab, third.change_id) == SetPwm(5, 200, 5000)
    await lab.take_back()
    assert lab.transport.calls[-1] == "pwm.set"


@pytest.mark.parametrize("evidence", ["counted", "reported"])
@pytest.mark.parametrize(("active", "off"), [("high", 0), ("low", 1)])
async def test_a_part_that_nothing_had_set_is_off_again(lab: Any, evidence: str, active: str, off: int) -> None:
    lamp = parse_part_line(f"lamp=led pin=4 active={active}")
    await lab.registry.change_wiring("paper", lambda wiring: with_part(wiring, lamp))
    lab.transport.evidence = evidence
    done = await lab.set_pin(4, 1 - off)
    assert await inverse_of(lab, done.change_id) == SwitchOff(4, off)
    undone = await lab.take_back()
    assert lab.transport.levels[4] == off
    assert "nothing had set it before" in undone.text
    again = await lab.set_pin(4, 1 - off)
    assert await inverse_of(lab, again.change_id) == SetLevel(4, off)


async def test_a_dimmed_part_that_nothing_had_set_is_off_again(lab: Any) -> None:
    lamp = parse_part_line("lamp=led pin=4 active=low")
    await lab.registry.change_wiring("paper", lambda wiring: with_part(wiring, lamp))
    dimmed = await lab.direct_io.act("paper", PwmSet(4, 100, 1000))
    assert await inverse_of(lab, dimmed.change_id) == SetPwm(4, 255, 1000)


@pytest.mark.parametrize(("pin", "level"), [(27, 1), (99, 1), (4, 2)])
async def test_a_forbidden_pin_or_level_is_refused_before_anything_is_written(lab: Any, pin: int, level: int) -> None:
    with pytest.raises(PinRefused if level == 1 else CallRejected):
        await lab.set_pin(pin, level)
    assert (lab.transport.calls, await lab.states()) == ([], [])


async def test_a_pin_that_an_app_drives_is_refused_unless_somebody_insists_on_just_that(lab: Any) -> None:
    await lab.deploy()
    for order in (lab.set_pin(2), lab.direct_io.act("paper", PwmSet(2, 9))):
        with pytest.raises(PinClaimed):
            await order
    assert lab.transport.levels == {}
    assert [change.kind for change in await lab.change_log.changes()] == ["app.deploy"]
    assert (await lab.set_pin(4)).warning is None
    conflict = await lab.direct_io.conflict("paper", GpioSet(2, 1))
    assert (await lab.direct_io.act("paper", GpioSet(2, 1), insist=(conflict.text,))).warning
    with pytest.raises(PinClaimed):  # insisting on something else does not count
        await lab.direct_io.act("paper", GpioSet(2, 1), insist=("pin 2 is driven by fade on paper",))


def _holds_pins_by_a_program(lab: Any, **held: Any) -> None:
    """The transport of a board with stock firmware, where a program of ours does the acts."""
    lab.transport.evidence = "accepted"
    lab.transport.pin_program = "microclaw-pins"
    lab.transport.holds = {int(name.removeprefix("pin")): kind for name, kind in held.items()}


async def test_nobody_can_insist_where_the_firmware_refuses_it(lab: Any) -> None:
    await lab.deploy()
    conflict = await lab.direct_io.conflict("paper", GpioSet(2, 1))
    with pytest.raises(PinClaimed):
        conflict.raise_refused("or insist: ...")
    _holds_pins_by_a_program(lab)
    conflict = await lab.direct_io.conflict("paper", GpioSet(2, 1))
    with pytest.raises(PinClaimed) as refused:
        conflict.raise_refused("or insist: ...")
    assert "insist" not in str(refused.value.next_step)
    with pytest.raises(PinClaimed):
        replace(conflict, can_stop=False).offer()
    with pytest.raises(PinClaimed):
        await lab.direct_io.act("paper", GpioSet(2, 1), insist=(conflict.text,))
    assert "gpio.set" not in lab.transport.calls


async def test_a_pin_and_the_pwm_timers_are_either_a_programs_or_an_acts(lab: Any) -> None:
    device = lab.registry.get("paper")
    _holds_pins_by_a_program(lab, pin2="level")
    with pytest.raises(PinClaimed):
        await lab.deploy()
    _holds_pins_by_a_program(lab, pin5="pwm")
    there = await recall_program(lab.change_log, device, "new")
    with pytest.raises(PinClaimed):
        check_free(there, AppVersion("", 0, 0, 0, (6,), Claims(nodes=("ledc/0",))))
    check_free(there, AppVersion("", 0, 0, 0, (6,), Claims(nodes=("i2c/0",))))
    fade = DesiredApp(device.device_id, "fade", "00", 8192, 20, 180_000, (6,), 0, Claims(nodes=("ledc/0",)))
    conflict = timers_conflict(device, 5, (fade,))
    assert conflict is not None


async def test_an_act_takes_no_place_that_programs_have(lab: Any) -> None:
    _holds_pins_by_a_program(lab)
    for number in range(3):
        await lab.deploy(f"blink{number}", pin=7 + number)
    lab.transport.apps.clear()  # the board restarted: the host is about to put them back
    with pytest.raises(TooManyApps):
        await lab.set_pin(4)
    assert "gpio.set" not in lab.transport.calls


async def test_an_act_that_was_cut_short_is_not_found_out_by_a_read_that_could_change_it(lab: Any) -> None:
    device = lab.registry.get("paper")
    _holds_pins_by_a_program(lab)
    await lab.change_log.plan(device.device_id, "gpio.set", "set pin 4", SetLevel(4, 1), None)
    (_text,) = await recover_changes(device, lab.change_log)
    assert "gpio.get" not in lab.transport.calls


async def test_pwm_from_before_a_program_on_its_pin_is_not_what_undo_goes_back_to(lab: Any) -> None:
    await lab.direct_io.act("paper", PwmSet(2, 100, 1000))
    await lab.deploy()
    conflict = await lab.direct_io.conflict("paper", GpioSet(2, 0))
    done = await lab.direct_io.act("paper", GpioSet(2, 0), insist=(conflict.text,))
    assert isinstance(await inverse_of(lab, done.change_id), SetLevel)
