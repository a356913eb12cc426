from __future__ import annotations

import asyncio
from typing import Any

import pytest

from microclaw.apps.app_terms import Claims
from microclaw.apps.change_log import DesiredApp, SetLevel, SetPwm
from microclaw.apps.claims import check_free, timers_conflict
from microclaw.apps.deployment import ChangeRequest
from microclaw.apps.installer import recover_changes
from microclaw.apps.undo import UndoChoice
from microclaw.devices.calls import GpioSet, PwmSet
from microclaw.errors import (
    CallRejected,
    DeviceLied,
    DeviceUnreachable,
    PinClaimed,
    PinRefused,
    TooManyApps,
)


async def inverse_of(lab: Any, change_id: int) -> Any:
    return (await lab.change_log.change(change_id)).inverse


async def test_a_level_is_read_back_where_the_board_reports_its_pins(lab: Any) -> None:
    done = await lab.direct_io.act("paper", GpioSet(4, 1))
    assert done.evidence.kind == "counted"
    assert await inverse_of(lab, done.change_id) == SetLevel(4, 0)


async def test_a_driven_pin_is_not_read_on_plain_firmware(lab: Any) -> None:
    lab.transport.evidence = "reported"
    done = await lab.direct_io.act("paper", GpioSet(4, 1))
    assert done.evidence.kind == "reported"
    assert "gpio.get" not in lab.transport.calls
    assert await inverse_of(lab, done.change_id) is None
    done = await lab.direct_io.act("paper", GpioSet(4, 0))
    assert await inverse_of(lab, done.change_id) == SetLevel(4, 1)


async def test_a_level_that_does_not_hold_is_a_failure_and_can_be_undone(lab: Any) -> None:
    act = lab.transport._do
    lab.transport._do = lambda call: act(call) if call.method != "gpio.set" else None
    with pytest.raises(DeviceLied) as caught:
        await lab.direct_io.act("paper", GpioSet(4, 1))
    assert caught.value.next_step
    (change,) = await lab.change_log.changes()
    assert (change.state, change.inverse) == ("done", SetLevel(4, 0))


async def test_pwm_goes_back_to_what_it_was(lab: Any) -> None:
    first = await lab.direct_io.act("paper", PwmSet(5, 100, 1000))
    assert await inverse_of(lab, first.change_id) == SetPwm(5, 0, 1000)
    second = await lab.direct_io.act("paper", PwmSet(5, 200))
    assert await inverse_of(lab, second.change_id) == SetPwm(5, 100, 1000)
    third = await lab.direct_io.act("paper", GpioSet(5, 1))
    assert await inverse_of(lab, third.change_id) == SetPwm(5, 200, 5000)
    await lab.undo.undo(UndoChoice("owner"), lab.steps.append)
    assert lab.transport.calls[-1] == "pwm.set"


@pytest.mark.parametrize("pin", [27, 19, 23, 99])
async def test_a_forbidden_pin_is_refused_before_anything_is_written(lab: Any, pin: int) -> None:
    with pytest.raises(PinRefused):
        await lab.direct_io.act("paper", GpioSet(pin, 1))
    assert lab.transport.calls == []
    assert await lab.change_log.changes() == ()


async def test_a_level_is_0_or_1(lab: Any) -> None:
    with pytest.raises(CallRejected):
        await lab.direct_io.act("paper", GpioSet(4, 2))
    assert await lab.change_log.changes() == ()


async def test_a_pin_that_an_app_drives_is_refused_with_its_name(lab: Any) -> None:
    lab.plays("blink", 2)
    await lab.deployer.deploy(ChangeRequest("paper", "blink", source="v1"), lab.steps.append)
    for order in (lab.direct_io.act("paper", GpioSet(2, 1)), lab.direct_io.act("paper", PwmSet(2, 9))):
        with pytest.raises(PinClaimed):
            await order
    assert lab.transport.levels == {}
    assert [change.kind for change in await lab.change_log.changes()] == ["app.deploy"]
    assert (await lab.direct_io.act("paper", GpioSet(4, 1))).warning is None


async def test_who_insists_gets_a_claimed_pin_with_a_warning(lab: Any) -> None:
    lab.plays("blink", 2)
    await lab.deployer.deploy(ChangeRequest("paper", "blink", source="v1"), lab.steps.append)
    conflict = await lab.direct_io.conflict("paper", GpioSet(2, 1))
    done = await lab.direct_io.act("paper", GpioSet(2, 1), insist=(conflict.text,))
    assert done.warning
    with pytest.raises(PinClaimed):  # insisting on something else does not count
        await lab.direct_io.act("paper", GpioSet(2, 1), insist=("pin 2 is driven by fade on paper",))


async def test_a_program_that_moves_the_pin_at_once_makes_no_liar_of_the_board(lab: Any) -> None:
    lab.plays("blink", 2)
    await lab.deployer.deploy(ChangeRequest("paper", "blink", source="v1"), lab.steps.append)
    conflict = await lab.direct_io.conflict("paper", GpioSet(2, 1))
    act = lab.transport._do
    lab.transport._do = lambda call: act(call) if call.method != "gpio.set" else None
    done = await lab.direct_io.act("paper", GpioSet(2, 1), insist=(conflict.text,))
    assert done.evidence.kind == "reported"


async def test_a_live_order_waits_for_a_change_of_its_device(lab: Any) -> None:
    order = asyncio.create_task(lab.direct_io.act("paper", GpioSet(4, 1)))
    async with lab.installer.holding(lab.registry.get("paper")):
        order.cancel()
        order = asyncio.create_task(lab.direct_io.act("paper", GpioSet(4, 1)))
        await asyncio.sleep(0)
        assert await recover_changes(lab.registry.get("paper"), lab.change_log) == ()
        assert lab.transport.levels == {}
    await order
    assert lab.transport.levels == {4: 1}
    assert [change.state for change in await lab.change_log.changes()] == ["done"]


async def test_a_refused_order_is_a_failed_change(lab: Any) -> None:
    lab.transport.fail["gpio.set"] = CallRejected("Invalid pin number", next_step="another")
    with pytest.raises(CallRejected):
        await lab.direct_io.act("paper", GpioSet(4, 1))
    assert [change.state for change in await lab.change_log.changes()] == ["failed"]


async def test_a_lost_device_leaves_the_change_open(lab: Any) -> None:
    lab.transport.fail["gpio.set"] = DeviceUnreachable("gone", next_step="look")
    with pytest.raises(DeviceUnreachable):
        await lab.direct_io.act("paper", GpioSet(4, 1))
    assert [change.state for change in await lab.change_log.changes()] == ["unknown"]


def _holds_pins_by_a_program(lab: Any, **held: Any) -> None:
    """The transport of a board with stock firmware, where a program of ours does the acts."""
    lab.transport.evidence = "accepted"
    lab.transport.pin_program = "microclaw-pins"
    lab.transport.held_pins = {int(name.removeprefix("pin")): kind for name, kind in held.items()}


async def test_a_program_is_not_put_on_a_pin_that_an_act_holds(lab: Any) -> None:
    _holds_pins_by_a_program(lab, pin2="level")
    lab.plays("blink", 2)
    with pytest.raises(PinClaimed):
        await lab.deployer.deploy(ChangeRequest("paper", "blink", source="v1"), lab.steps.append)
    lab.transport.held_pins = {4: "level"}
    await lab.deployer.deploy(ChangeRequest("paper", "blink", source="v1"), lab.steps.append)


async def test_nobody_can_insist_where_the_firmware_refuses_it(lab: Any) -> None:
    lab.plays("blink", 2)
    await lab.deployer.deploy(ChangeRequest("paper", "blink", source="v1"), lab.steps.append)
    conflict = await lab.direct_io.conflict("paper", GpioSet(2, 1))
    with pytest.raises(PinClaimed):
        conflict.raise_refused("or insist: ...")
    _holds_pins_by_a_program(lab)
    conflict = await lab.direct_io.conflict("paper", GpioSet(2, 1))
    with pytest.raises(PinClaimed) as refused:
        conflict.raise_refused("or insist: ...")
    assert "insist" not in str(refused.value.next_step)
    with pytest.raises(PinClaimed):
        conflict.objection()
    with pytest.raises(PinClaimed):
        await lab.direct_io.act("paper", GpioSet(2, 1), insist=(conflict.text,))
    assert "gpio.set" not in lab.transport.calls


async def test_pwm_timers_are_either_a_programs_or_an_acts(lab: Any) -> None:
    device = lab.registry.get("paper")
    _holds_pins_by_a_program(lab, pin5="pwm")
    with pytest.raises(PinClaimed):
        await check_free(device, "fade", (6,), Claims(nodes=("ledc/0",)), ())
    await check_free(device, "sensor", (6,), Claims(nodes=("i2c/0",)), ())
    fade = DesiredApp(device.device_id, "fade", "00", 8192, 20, 180_000, (6,), 0, Claims(nodes=("ledc/0",)))
    conflict = timers_conflict(device, 5, (fade,))
    assert conflict is not None


async def test_an_act_takes_no_place_that_programs_have(lab: Any) -> None:
    _holds_pins_by_a_program(lab)
    for number in range(3):
        lab.plays(f"blink{number}", 7 + number)
        await lab.deployer.deploy(ChangeRequest("paper", f"blink{number}", source=f"v{number}"), lab.steps.append)
    lab.transport.apps.clear()  # the board restarted: the host is about to put them back
    with pytest.raises(TooManyApps):
        await lab.direct_io.act("paper", GpioSet(4, 1))
    assert "gpio.set" not in lab.transport.calls


async def test_an_act_that_was_cut_short_is_not_found_out_by_a_read_that_could_change_it(lab: Any) -> None:
    device = lab.registry.get("paper")
    _holds_pins_by_a_program(lab)
    await lab.change_log.plan(device.device_id, "gpio.set", "set pin 4", SetLevel(4, 1), None)
    (_text,) = await recover_changes(device, lab.change_log)
    assert "gpio.get" not in lab.transport.calls
