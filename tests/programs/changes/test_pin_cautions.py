from __future__ import annotations

from typing import Any

import pytest

from microclaw.agent.turn.toolbox import Toolbox
from microclaw.devices.registry.act_tool import act_tools
from microclaw.devices.registry.calls import GpioSet, PwmSet
from microclaw.errors import PermissionRefused, PinCaution
from microclaw.hardware.parts.named_parts import parse_part_line, with_part, without_part
from microclaw.host.auth.gate import Gate
from microclaw.host.operations.operation import Permission
from microclaw.host.operations.tool import ToolContext
from microclaw.programs.changes.operations import ProgramContext
from microclaw.programs.changes.tools.devices import direct_io_tools

STRAPPING = 45


async def say_yes(lab: Any, pin: int = STRAPPING, level: int = 1) -> Any:
    caution = await lab.direct_io.caution("paper", GpioSet(pin, level))
    return await lab.direct_io.act("paper", GpioSet(pin, level), insist=(caution,))


@pytest.mark.parametrize("call", [GpioSet(STRAPPING, 1), PwmSet(STRAPPING, 100)])
async def test_a_strapping_pin_is_not_driven_without_a_yes(lab: Any, call: Any) -> None:
    with pytest.raises(PinCaution, match=r"pin 45 needs care \(strapping pin") as caught:
        await lab.direct_io.act("paper", call)
    assert "47" in str(caught.value.next_step)
    assert (lab.transport.levels, await lab.states()) == ({}, [])


async def test_after_one_yes_that_pin_of_that_board_asks_no_more_also_after_a_restart(lab: Any) -> None:
    await say_yes(lab)
    lab.rebuild()
    await lab.set_pin(STRAPPING, 0)
    await lab.direct_io.act("paper", PwmSet(STRAPPING, 100))
    with pytest.raises(PinCaution, match="pin 46"):
        await lab.set_pin(46)


async def test_a_changed_wiring_at_the_pin_asks_again(lab: Any) -> None:
    await say_yes(lab)
    lamp = parse_part_line(f"lamp=led pin={STRAPPING}")
    await lab.registry.change_wiring("paper", lambda wiring: with_part(wiring, lamp))
    with pytest.raises(PinCaution):
        await lab.set_pin(STRAPPING)
    await say_yes(lab)
    await lab.set_pin(STRAPPING, 0)
    await lab.registry.change_wiring("paper", lambda wiring: without_part(wiring, "lamp"))
    with pytest.raises(PinCaution):
        await lab.set_pin(STRAPPING)


@pytest.mark.parametrize(("line", "pin"), [("air=bme280 sda=4 scl=5", 4), ("air=dht22 data=6", 6)])
async def test_the_line_of_a_recorded_sensor_needs_a_yes(lab: Any, line: str, pin: int) -> None:
    await lab.set_pin(pin)
    sensor = parse_part_line(line)
    await lab.registry.change_wiring("paper", lambda wiring: with_part(wiring, sensor))
    with pytest.raises(PinCaution, match="air cannot be read while it is driven"):
        await lab.set_pin(pin)


async def test_undo_needs_no_yes(lab: Any) -> None:
    done = await say_yes(lab)
    lamp = parse_part_line(f"lamp=led pin={STRAPPING}")
    await lab.registry.change_wiring("paper", lambda wiring: with_part(wiring, lamp))
    await lab.take_back(done.change_id)
    assert lab.transport.levels[STRAPPING] == 0


async def test_a_program_that_drives_such_a_pin_asks_in_its_question_and_only_once(lab: Any) -> None:
    asked: list[tuple[str, Any, Any]] = []

    async def approve(text: str, _detail: Any, program: Any = None, needs: Any = None) -> None:
        asked.append((text, program.cautions, needs))

    async def refuse(*_: Any) -> None:
        raise PermissionRefused("no")

    with pytest.raises(PermissionRefused):
        await lab.deploy(pin=STRAPPING, approve=refuse)
    assert lab.running() == {}
    await lab.deploy(pin=STRAPPING, approve=approve)
    await lab.deploy(pin=STRAPPING, source="other", approve=approve)
    (first, first_cautions, first_needs), (second, second_cautions, second_needs) = asked
    assert first.startswith("pin 45 needs care (strapping pin")
    assert len(first_cautions) == 1
    assert "needs care" not in second
    assert (first_needs, second_cautions, second_needs) == (Permission.RISKY, (), None)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [("gpio-set", '{"pin":45,"level":1}'), ("deploy-wasm-app", '{"sourceCode":"x","appName":"late"}')],
)
async def test_a_planned_act_tells_the_care_of_its_pin_and_the_program_there(
    lab: Any, tool: str, arguments: str
) -> None:
    async def approve(*_: Any) -> None:
        return

    lab.plays("late", STRAPPING)
    gate = Gate()
    programs = act_tools(lab.registry, {"app": ProgramContext(lab, gate)}, lab.change_log.holds)
    toolbox = Toolbox((*direct_io_tools(lab), *programs), gate)
    context = ToolContext("owner", lab.steps.append, "paper")
    planned = await toolbox.try_planned(tool, arguments, context)
    assert planned.warning is None
    assert [text[:17] for text in planned.cautions] == ["pin 45 needs care"]
    await planned.keep_yes()
    assert (await toolbox.try_planned(tool, arguments, context)).cautions == ()
    await lab.deploy("first", pin=STRAPPING, approve=approve)
    planned = await toolbox.try_planned(tool, arguments, context)
    assert str(planned.warning).startswith("pin 45 is driven by first on paper now; if that ")
    assert (await toolbox.prepare(tool, arguments, context)).objections == ()
