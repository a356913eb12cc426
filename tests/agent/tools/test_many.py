"""act-on-boards: which boards, one question, a result a board, and never more than the worst of them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.agent.tools.conftest import Bench, PaperTransport
from tests.auth.conftest import asked

from microclaw.agent.toolbox import Toolbox
from microclaw.apps.claims import PinConflict
from microclaw.auth.approvals import Approvals, PendingApproval
from microclaw.auth.gate import Gate
from microclaw.devices.calls import DeviceRestart, GpioSet
from microclaw.errors import ToolRetry
from microclaw.operations.tool import ToolContext, ToolResult

OFFERS = frozenset({"gpio.get", "gpio.set", "pwm.set", "apps.install", "apps.remove"})


@pytest.fixture
async def kitchen(bench: Bench) -> Bench:
    """Three boards: lamp and fan with the label kitchen, and virtual-1, which offers no gpio.set."""
    for number, name in enumerate(("lamp", "fan")):
        transport = PaperTransport(f"wasmachine://192.168.1.11{number}:18080", capabilities=OFFERS)
        await bench.add(name, transport, labels=("kitchen",))
    return bench


async def decided(
    bench: Bench, arguments: dict[str, Any], *, yes: bool = True, tool: str = "act-on-boards"
) -> tuple[PendingApproval, ToolResult]:
    approvals = Approvals(timeout_s=5)
    box = Toolbox(bench.tools.tools, Gate(approvals=approvals))
    call = asyncio.create_task(box.call(tool, json.dumps(arguments), ToolContext("owner", bench.steps.append)))
    [pending] = await asked(approvals)
    approvals.decide(pending.approval_id, approved=yes, by="owner")
    return pending, await call


def set_on(**chosen: Any) -> dict[str, Any]:
    return {"tool": "gpio-set", "arguments": {"pin": 4, "level": 1}, **chosen}


@pytest.mark.parametrize("chosen", [{"devices": ["lamp", "fan"]}, {"labels": ["kitchen"]}, {"all": True}])
async def test_boards_are_chosen_as_on_the_command_line_and_asked_about_once(
    kitchen: Bench, chosen: dict[str, Any]
) -> None:
    pending, result = await decided(kitchen, set_on(**chosen))
    names = ["lamp", "fan"]
    assert (pending.action, pending.risky) == ("set pin 4 high on lamp and fan", False)
    assert [line.split(",")[0] for line in pending.detail if line.startswith("on: ")] == [f"on: {n}" for n in names]
    fields = json.loads(result.content)
    assert result.ok
    assert sorted(kitchen.apps.asked) == [("set", "fan", 4, 1), ("set", "lamp", 4, 1)]  # type: ignore[type-var]
    assert fields["changes"] == [9, 9]
    assert [one.kind for one in result.evidence] == ["counted"]


async def test_evidence_is_the_worst_of_all(kitchen: Bench) -> None:
    _, result = await decided(kitchen, {"tool": "pwm-set", "arguments": {"pin": 5, "duty": 76}, "all": True})
    assert [one.kind for one in result.evidence] == ["accepted"]


async def test_a_read_of_many_asks_nobody(kitchen: Bench) -> None:
    result, fields = await kitchen.call(
        "act-on-boards", {"tool": "gpio-get", "arguments": {"pin": 4}, "labels": ["kitchen"]}
    )
    assert result.ok
    assert fields["message"] == "lamp, fan: pin 4 reads 1"


async def test_one_board_asks_no_more_than_its_own_tool(kitchen: Bench) -> None:
    result, _ = await kitchen.call("act-on-boards", set_on(devices=["lamp"]))
    assert result.ok
    assert kitchen.apps.asked == [("set", "lamp", 4, 1)]


async def test_what_must_be_insisted_on_is_part_of_the_one_question(kitchen: Bench) -> None:
    kitchen.apps.conflicts[4] = PinConflict(4, "blink", "drives", "pin 4 is driven by blink", "stop it")
    pending, result = await decided(kitchen, set_on(labels=["kitchen"]))
    assert pending.risky
    assert pending.action.startswith("although pin 4 is driven by blink")
    assert pending.action.endswith("set pin 4 high on lamp and fan")
    assert result.ok
    assert all("pin 4 is driven by blink" in one for one in kitchen.apps.asked)  # type: ignore[operator]


async def test_what_asks_each_time_is_not_planned_for_later(kitchen: Bench) -> None:
    context = ToolContext("owner", kitchen.steps.append)
    with pytest.raises(ToolRetry):
        await kitchen.tools.prepare("act-on-boards", json.dumps(set_on(all=True)), context)


async def test_a_program_is_put_on_each_and_its_source_can_be_read_in_the_question(kitchen: Bench) -> None:
    source = "int main(void) {\n    return 0;\n}\n"
    arguments = {"tool": "deploy-wasm-app", "arguments": {"appName": "quick", "sourceCode": source}, "all": True}
    pending, result = await decided(kitchen, arguments)
    assert (pending.action, pending.risky) == ("put quick on lamp and fan", True)
    assert "            return 0;" in pending.detail
    assert result.ok
    assert len(kitchen.apps.asked) == 2


async def test_a_restart_always_asks_and_says_how_it_knows(bench: Bench) -> None:
    transport = PaperTransport("link://virtual-2", capabilities=frozenset({DeviceRestart.method, GpioSet.method}))
    await bench.add("lamp", transport)
    pending, result = await decided(bench, {"device": "lamp"}, tool="restart-device")
    assert (pending.action, pending.risky) == ("restart lamp", True)
    assert [one.kind for one in result.evidence] == ["reported"]
    assert not (await bench.call("restart-device", {"device": "virtual-1"}))[0].ok
