from __future__ import annotations

import asyncio
from typing import Any

import pytest

from microclaw.apps.changes import SetLevel, SetPwm
from microclaw.apps.deploy import DeployRequest
from microclaw.apps.installer import recover_changes
from microclaw.apps.undo import UndoChoice
from microclaw.devices.calls import GpioSet
from microclaw.errors import CallRejected, DeviceLied, DeviceUnreachable, NotSupported, PinClaimed, PinRefused


async def inverse_of(lab: Any, change_id: int) -> Any:
    return (await lab.change_log.change(change_id)).inverse


async def test_a_level_is_read_back_where_the_board_reports_its_pins(lab: Any) -> None:
    done = await lab.direct_io.set_pin("paper", 4, 1)
    assert done.evidence.kind == "counted"
    assert done.evidence.text == "read back on the board: pin 4 is at 1"
    assert await inverse_of(lab, done.change_id) == SetLevel(4, 0)


async def test_a_driven_pin_is_not_read_on_plain_firmware(lab: Any) -> None:
    lab.transport.evidence = "reported"
    done = await lab.direct_io.set_pin("paper", 4, 1)
    assert done.evidence.kind == "reported"
    assert "gpio.get" not in lab.transport.calls
    assert await inverse_of(lab, done.change_id) is None
    done = await lab.direct_io.set_pin("paper", 4, 0)
    assert await inverse_of(lab, done.change_id) == SetLevel(4, 1)


async def test_a_level_that_does_not_hold_is_a_failure_and_can_be_undone(lab: Any) -> None:
    act = lab.transport._do
    lab.transport._do = lambda call: act(call) if call.method != "gpio.set" else None
    with pytest.raises(DeviceLied, match="pin 4 is at 0, not 1") as caught:
        await lab.direct_io.set_pin("paper", 4, 1)
    assert caught.value.next_step
    (change,) = await lab.change_log.changes()
    assert (change.state, change.inverse) == ("done", SetLevel(4, 0))


async def test_pwm_goes_back_to_what_it_was(lab: Any) -> None:
    first = await lab.direct_io.set_pwm("paper", 5, 100, 1000)
    assert first.evidence.text == "paper answers: pin 5 at duty 100 of 255, 1,000 Hz"
    assert await inverse_of(lab, first.change_id) == SetPwm(5, 0, 1000)
    second = await lab.direct_io.set_pwm("paper", 5, 200)
    assert await inverse_of(lab, second.change_id) == SetPwm(5, 100, 1000)
    third = await lab.direct_io.set_pin("paper", 5, 1)
    assert await inverse_of(lab, third.change_id) == SetPwm(5, 200, 5000)
    await lab.undo.undo(UndoChoice("owner"), lab.steps.append)
    assert lab.transport.calls[-1] == "pwm.set"


@pytest.mark.parametrize("pin", [27, 19, 23, 99])
async def test_a_forbidden_pin_is_refused_before_anything_is_written(lab: Any, pin: int) -> None:
    with pytest.raises(PinRefused):
        await lab.direct_io.set_pin("paper", pin, 1)
    assert lab.transport.calls == []
    assert await lab.change_log.changes() == []


async def test_a_level_is_0_or_1(lab: Any) -> None:
    with pytest.raises(CallRejected):
        await lab.direct_io.set_pin("paper", 4, 2)
    assert await lab.change_log.changes() == []


async def test_a_pin_that_an_app_drives_is_refused_with_its_name(lab: Any) -> None:
    lab.plays("blink", 2)
    await lab.deployer.deploy(DeployRequest("paper", "blink", source="v1"), lab.steps.append)
    for order in (lab.direct_io.set_pin("paper", 2, 1), lab.direct_io.set_pwm("paper", 2, 9)):
        with pytest.raises(PinClaimed, match="pin 2 is driven by blink on paper") as refused:
            await order
        assert "microclaw app uninstall blink -d paper" in str(refused.value.next_step)
    assert lab.transport.levels == {}
    assert [change.kind for change in await lab.change_log.changes()] == ["app.deploy"]
    assert (await lab.direct_io.set_pin("paper", 4, 1)).warning is None


async def test_who_insists_gets_a_claimed_pin_with_a_warning(lab: Any) -> None:
    lab.plays("blink", 2)
    await lab.deployer.deploy(DeployRequest("paper", "blink", source="v1"), lab.steps.append)
    conflict = await lab.direct_io.conflict("paper", GpioSet(2, 1))
    done = await lab.direct_io.set_pin("paper", 2, 1, insist=(conflict.text,))
    assert done.warning == "blink drives pin 2 too and may change it again at once"
    with pytest.raises(PinClaimed):  # insisting on something else does not count
        await lab.direct_io.set_pin("paper", 2, 1, insist=("pin 2 is driven by fade on paper",))


async def test_a_live_order_waits_for_a_change_of_its_device(lab: Any) -> None:
    order = asyncio.create_task(lab.direct_io.set_pin("paper", 4, 1))
    async with lab.installer.holding(lab.registry.get("paper")):
        order.cancel()
        order = asyncio.create_task(lab.direct_io.set_pin("paper", 4, 1))
        await asyncio.sleep(0)
        assert await recover_changes(lab.registry.get("paper"), lab.change_log) == ()
        assert lab.transport.levels == {}
    await order
    assert lab.transport.levels == {4: 1}
    assert [change.state for change in await lab.change_log.changes()] == ["done"]


async def test_a_refused_order_is_a_failed_change(lab: Any) -> None:
    lab.transport.fail["gpio.set"] = CallRejected("Invalid pin number", next_step="another")
    with pytest.raises(CallRejected):
        await lab.direct_io.set_pin("paper", 4, 1)
    assert [change.state for change in await lab.change_log.changes()] == ["failed"]


async def test_a_lost_device_leaves_the_change_open(lab: Any) -> None:
    lab.transport.fail["gpio.set"] = DeviceUnreachable("gone", next_step="look")
    with pytest.raises(DeviceUnreachable):
        await lab.direct_io.set_pin("paper", 4, 1)
    assert [change.state for change in await lab.change_log.changes()] == ["unknown"]


async def test_a_device_without_such_a_transport_writes_no_change(lab: Any) -> None:
    lab.transport.__class__ = type("Mute", (lab.transport.__class__,), {"capabilities": frozenset({"apps.list"})})
    with pytest.raises(NotSupported):
        await lab.direct_io.set_pin("paper", 4, 1)
    assert await lab.change_log.changes() == []


@pytest.mark.parametrize(("level", "word"), [(1, "high"), (0, "low")])
async def test_a_change_names_the_level_because_on_depends_on_the_led(lab: Any, level: int, word: str) -> None:
    pin_change = await lab.direct_io.set_pin("paper", 5, level)
    assert (await lab.change_log.change(pin_change.change_id)).summary == f"set pin 5 of paper {word}"
