from __future__ import annotations

from typing import Any
from unittest.mock import AsyncMock

import pytest
from tests.programs.conftest import make_image, make_trial

from microclaw.devices.registry.calls import AppInstall, AppState, PwmChange
from microclaw.errors import AppExists, DeviceUnreachable, PinClaimed, TooManyApps
from microclaw.hardware.parts.wiring import parse_wiring
from microclaw.host.store.database import Database
from microclaw.programs.changes.change_log import ChangeLog, Claims
from microclaw.programs.changes.claims import claims_of, driven_pins, free_output_pins, free_pins, taken_pins
from microclaw.programs.changes.program_state import look_at_claims


async def deploy(lab: Any, name: str, *, source: str = "", **trial: Any) -> None:
    lab.trials[name] = make_trial(**({"edges": (), "pins": (), "driven": ()} | trial))
    await lab.deploy(name, source or name, pin=None)


def ends(lab: Any, name: str, state: str = "returned") -> None:
    lab.transport.states[name] = AppState(name, state, None, 8192, 0, 0, ())


async def refused(lab: Any, pin: int) -> None:
    with pytest.raises(PinClaimed) as caught:
        await lab.set_pin(pin)
    assert caught.value.next_step is not None


async def test_driving_a_pin_that_a_program_reads_is_refused_as_long_as_it_is_there(
    lab: Any, database: Database
) -> None:
    await deploy(lab, "button", pins=(4,), read=(4,))
    await refused(lab, 4)
    lab.change_log = ChangeLog(database)
    lab.rebuild()
    await refused(lab, 4)
    await lab.act("uninstall", "button")
    assert (await lab.set_pin(4)).warning is None


def test_named_pins_and_those_that_the_trial_saw_are_claimed_also_after_they_were_closed() -> None:
    assert claims_of(make_image("alarm", pins=(7,)), make_trial(pins=(), driven=(), edges=())).uses == (7,)
    trial = make_trial(pins=(4, 5), driven=(4,), read=(5,), edges=())
    assert (driven_pins(trial), claims_of(make_image("scan", pins=()), trial)) == ((4,), Claims(reads=(5,)))
    assert driven_pins(make_trial(pins=(2, 6), driven=(), pwm=(PwmChange(1.0, 6, 10, 1000),))) == (2, 6)


@pytest.mark.parametrize("state", ["returned", "exited", "trapped", "stopped"])
async def test_a_program_that_has_ended_drives_nothing(lab: Any, state: str) -> None:
    await deploy(lab, "beep", pins=(2,), driven=(2,))
    ends(lab, "beep", "running")
    await refused(lab, 2)
    ends(lab, "beep", state)
    assert (await lab.set_pin(2, 0)).warning is None
    await deploy(lab, "other", pins=(4,), driven=(4,))
    assert sorted(lab.transport.apps) == ["beep", "other"], "it stays to be looked at"
    await deploy(lab, "blink", pins=(2,), driven=(2,))
    assert sorted(lab.transport.apps) == ["blink", "other"], "it would begin again at the board's next start"
    kept = await lab.change_log.desired(lab.device_id, stopped=True)
    is_done = state in ("returned", "exited")
    assert [app.name for app in kept] == ([] if is_done else ["beep"])
    await lab.take_back()
    assert sorted(lab.transport.apps) == ["other"], "and not at an undo"


async def test_the_board_knows_better_than_the_trial_whether_a_program_has_ended(lab: Any) -> None:
    await deploy(lab, "beep", pins=(2,), driven=(2,), ended="returned")
    ends(lab, "beep", "running")  # a button was pressed, as it was not in the trial
    await refused(lab, 2)
    lab.transport.fail["apps.states"] = DeviceUnreachable("gone")
    assert (await lab.set_pin(2, 0)).warning is None


async def test_on_stock_firmware_the_trial_tells_whether_a_program_has_ended(lab: Any) -> None:
    lab.transport.sees = False
    await deploy(lab, "beep", pins=(2,), driven=(2,), ended="returned")
    await deploy(lab, "blink", pins=(4,), driven=(4,))
    assert (await lab.set_pin(2, 0)).warning is None
    await refused(lab, 4)


async def test_a_pin_is_free_that_no_program_and_no_act_at_once_has(lab: Any) -> None:
    await deploy(lab, "beep", pins=(2, 4, 5), driven=(2,), read=(4,))
    lab.transport.holds[6] = "level"
    device = lab.registry.get("paper")
    seen = await look_at_claims(lab.change_log, device)
    free = (await free_output_pins(lab.change_log, [device]))[device.device_id]
    assert free == free_pins(seen, "output")
    assert set(device.board.usable_pins("output")) - set(free) == {2, 4, 5, 6}


async def test_a_pin_with_a_wired_part_is_not_free_and_driving_an_input_has_a_warning(lab: Any) -> None:
    wiring = parse_wiring('[lamp]\npart = "led"\npin = 5\n[btn1]\npart = "button"\npin = 7')
    await lab.registry.change_wiring("paper", lambda _: wiring)
    device = lab.registry.get("paper")
    free = (await free_output_pins(lab.change_log, [device]))[device.device_id]
    assert set(device.board.usable_pins("output")) - set(free) == {5, 7}
    taken = taken_pins(await look_at_claims(lab.change_log, device))
    assert taken == {5: "lamp", 7: "btn1"}
    assert (await lab.set_pin(5)).warning is None
    assert "btn1" in (await lab.set_pin(7)).warning


def have(how: str) -> dict[str, Any]:
    return {"pins": (4,), how: (4,)}


@pytest.mark.parametrize(("first", "second"), [("driven", "read"), ("read", "driven"), ("driven", "driven")])
async def test_a_program_over_another_ones_pin_is_refused_but_two_read_it(lab: Any, first: str, second: str) -> None:
    await deploy(lab, "one", **have(first))
    lab.transport.calls.clear()
    with pytest.raises(PinClaimed):
        await deploy(lab, "two", **have(second))
    assert "apps.install" not in lab.transport.calls
    await deploy(lab, "one", **have(second))  # its own pin, in a new version
    await deploy(lab, "one", **have("read"))
    await deploy(lab, "two", **have("read"))


@pytest.mark.parametrize(
    ("first", "second"), [("/dev/i2c/0", "/dev/i2c/0"), ("/dev/spi/2", "/dev/spi/2"), ("/dev/ledc/0", "/dev/ledc/1")]
)
async def test_one_program_at_a_time_has_a_bus_or_the_pwm_timers(lab: Any, first: str, second: str) -> None:
    await deploy(lab, "one", source=first)
    with pytest.raises(PinClaimed) as taken:
        await deploy(lab, "two", source=second)
    assert taken.value.replaceable == ("one",)
    assert lab.tried == ["one"]


@pytest.mark.parametrize("taken", ["pin", "name", "room"])
async def test_nobody_is_asked_about_a_deployment_that_is_refused_anyway(lab: Any, taken: str) -> None:
    approve = AsyncMock()
    if taken == "pin":
        await deploy(lab, "one", pins=(4,), driven=(4,))
    lab.foreign(*{"pin": (), "name": ("two",), "room": ("a", "b", "c")}[taken])
    lab.trials["two"] = make_trial(edges=(), pins=(4,), driven=(4,))
    with pytest.raises((PinClaimed, AppExists, TooManyApps)):
        await lab.deploy("two", pin=None, approve=approve)
    assert (approve.await_count, lab.stages()[-1]) == (0, ("check", "failed"))
    assert "two" not in lab.tried, "a full board is told before the trial"


async def test_a_full_board_names_only_programs_of_which_each_makes_room(lab: Any) -> None:
    for name, node in (("one", "/dev/i2c/0"), ("two", "/dev/spi/2"), ("three", "/dev/ledc/0")):
        await deploy(lab, name, source=node)
    for node, names in (
        ("/dev/uart/1", ("one", "two", "three")),
        ("/dev/spi/2", ("two",)),
        ("/dev/ledc/1", ("three",)),
    ):
        with pytest.raises(TooManyApps) as full:
            await deploy(lab, "four", source=node)
        assert full.value.replaceable == names
    with pytest.raises(PinClaimed):
        await deploy(lab, "four", source="/dev/i2c/0 /dev/spi/2")
    assert list(lab.running()) == ["one", "two", "three"]


async def test_a_start_over_pins_that_only_a_trial_showed_is_refused_before_its_trial(lab: Any) -> None:
    await deploy(lab, "fade", pwm=(PwmChange(1.0, 6, 10, 1000),))
    await lab.act("stop", "fade")
    await deploy(lab, "blink", pins=(6,), driven=(6,))
    with pytest.raises(PinClaimed):
        await lab.act("start", "fade")
    assert lab.tried == ["fade", "blink"]
    assert lab.stages()[-1] == ("check", "failed")


def runs_elsewhere(lab: Any, name: str, *pins: int) -> None:
    """Somebody else's WASMachine client has put it there; the board tells its pins."""
    lab.transport.apps[name] = AppInstall(name, b"\0asm\1\0\0\0theirs", 8192, 1, 0)
    lab.transport.states[name] = AppState(name, "running", None, 8192, 0, 0, pins)


async def test_the_pins_of_a_program_from_elsewhere_are_claims(lab: Any) -> None:
    runs_elsewhere(lab, "theirs", 14)
    await refused(lab, 14)
    for driven in ((), (14,)):  # named in the source, or seen in the trial
        with pytest.raises(PinClaimed):
            await deploy(lab, "mine", pins=(14,), driven=driven)
    await deploy(lab, "mine", pins=(4,), driven=(4,))
    ends(lab, "theirs")
    await lab.set_pin(14)
