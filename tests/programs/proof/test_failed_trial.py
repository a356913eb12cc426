"""A program whose trial fails reaches no board without a person's --force, whatever the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from tests.programs.conftest import make_trial, tried

from microclaw.agent.turn.toolbox import Toolbox
from microclaw.devices.registry.act_tool import act_tools
from microclaw.errors import InvalidModule, PinClaimed, PinRefused, TrialFailed, UnknownName
from microclaw.host.auth.gate import Gate
from microclaw.host.operations.operation import Permission
from microclaw.host.operations.tool import ToolContext
from microclaw.host.store.apps import MAX_DRAFTS
from microclaw.programs.changes.change_log import ChangeOrigin, change_origin
from microclaw.programs.changes.operations import ProgramContext

BAD = make_trial(ok=False, error="it spins without giving up the CPU", next_step="wait in main")


async def test_a_program_whose_trial_fails_never_reaches_the_board(lab: Any) -> None:
    lab.trials["bad"] = BAD
    programs: tuple[dict[str, Any], ...] = ({"source": "text"}, {"wasm": b"\0asm\1\0\0\0bytes"})
    for program in programs:
        with pytest.raises(TrialFailed):
            await lab.act("install", "bad", **program)
    assert (lab.stages()[-1], lab.steps[-1].text) == (("try", "failed"), BAD.error)
    assert "apps.install" not in lab.transport.calls
    assert await lab.states() == []


async def force(lab: Any) -> None:
    lab.trials["bad"] = BAD
    await lab.deploy("bad", pin=None, force=True)


async def test_force_drives_no_pin_that_the_board_forbids(lab: Any) -> None:
    lab.trials["bad"] = make_trial(ok=False, error="it opened pin 27", driven=(27,), pins=(27,), edges=())
    with pytest.raises(PinRefused):
        await lab.deploy("bad", pin=None, force=True)
    assert lab.running() == {}


async def test_a_forced_program_is_there_and_never_put_back_by_itself(lab: Any) -> None:
    await force(lab)
    assert list(lab.running()) == ["bad"]
    lab.transport.apps.clear()
    kept = await lab.reconciler.check(lab.device_id)
    assert (kept.put_back, lab.running()) == ((), {})
    assert kept.problem
    await force(lab)  # nor after an upgrade that failed
    lab.trials["bad"] = make_trial()
    lab.transport.fail["apps.install"] = InvalidModule("invalid WASM version.")
    with pytest.raises(InvalidModule):
        await lab.deploy("bad", "new", pin=None)
    assert lab.running() == {}


AGAIN = pytest.mark.parametrize(
    ("first", "again"), [("uninstall", "undo"), ("stop", "undo"), ("stop", "start"), (None, "restart")]
)


async def bring_back(lab: Any, again: str) -> None:
    if again == "undo":
        await lab.take_back()
    else:
        await lab.act(again, "bad")


@AGAIN
async def test_who_forced_a_program_may_bring_it_back(lab: Any, first: str | None, again: str) -> None:
    await force(lab)
    for _ in range(2):
        if first is not None:
            await lab.act(first, "bad")
        await bring_back(lab, again)
        assert list(lab.running()) == ["bad"]
    # A pin that the board forbids is a new reason.
    if first is not None:
        await lab.act(first, "bad")
    lab.trials["bad"] = make_trial(ok=False, error="it opened pin 27", driven=(27,), pins=(27,), edges=())
    with pytest.raises(PinRefused):
        await bring_back(lab, again)


@AGAIN
async def test_what_another_person_forced_is_refused(lab: Any, first: str | None, again: str) -> None:
    with change_origin(ChangeOrigin(person_id="ada")):
        await force(lab)
    if first is not None:
        await lab.act(first, "bad")
    with pytest.raises(TrialFailed):
        await bring_back(lab, again)


async def test_a_forced_program_is_not_started_on_a_pin_that_another_has_taken(lab: Any) -> None:
    lab.trials["bad"] = structs.replace(make_trial(), ok=False, error="it spins without giving up the CPU")
    await lab.deploy("bad", pin=None, force=True)
    await lab.act("stop", "bad")
    await lab.deploy("other")
    with pytest.raises(PinClaimed):
        await lab.act("start", "bad")


def program_toolbox(lab: Any) -> Toolbox:
    gate = Gate()
    return Toolbox(act_tools(lab.registry, {"app": ProgramContext(lab, gate)}, lab.change_log.holds), gate)


@pytest.mark.parametrize("approved", [None, Permission.RISKY])  # a model, MCP; a schedule
async def test_tools_and_schedules_have_no_force(lab: Any, approved: Permission | None) -> None:
    lab.trials["bad"] = BAD
    toolbox = program_toolbox(lab)
    context = ToolContext("owner", lab.steps.append)
    result = await toolbox.call("deploy-wasm-app", '{"sourceCode":"x","appName":"bad"}', context, approved=approved)
    assert (result.ok, result.error_code) == (False, "trial_failed")
    lab.trials["part"] = make_trial(untried="this trial has no DHT11 on pin 4")
    planned = await toolbox.try_planned("deploy-wasm-app", '{"sourceCode":"x","appName":"part"}', context)
    assert planned.warning == "this trial has no DHT11 on pin 4"
    forced = await toolbox.call("deploy-wasm-app", '{"sourceCode":"x","appName":"bad","force":true}', context)
    assert not forced.ok
    assert lab.running() == {}


GREENHOUSE = """#include "microclaw.h"
int main(void) {
    int fan = gpio_open(5, GPIO_OUT), pump = gpio_open(6, GPIO_OUT);
    for (int i = 0;; i++) {
        gpio_set(fan, 1);
        delay(500);
        gpio_set(fan, 0);
        delay(500);
        if (i == 2) {
            printf("fan on at 30.996\\n");
            gpio_set(pump, 1);
        }
        if (i % 5 == 0) printf("temp %d\\n", i);
    }
}
"""
TOLERANCES = """pin 5: period 1.2 s
pin 5: duty 50 %
log ~ "fan on at 31.*"
pin 6: rises at 2 s
for 10 s
"""


async def test_a_failed_trial_tells_each_line_the_edges_and_what_was_printed(build_cache: Path, lab: Any) -> None:
    lab.trials["bad"] = await tried(GREENHOUSE, build_cache, TOLERANCES)
    assert lab.trials["bad"].proof == "not met"
    toolbox = program_toolbox(lab)
    context = ToolContext("owner", lab.steps.append)
    asked = {"sourceCode": GREENHOUSE, "appName": "bad", "expect": TOLERANCES}
    result = await toolbox.call("deploy-wasm-app", json.dumps(asked), context)
    content = json.loads(result.content)
    assert (result.ok, result.error_code) == (False, "expectation_not_met")
    period, log, pump, met, edges, printed = content["diagnostics"]
    assert period.splitlines() == [
        "expectations:1: error: not met: period (on and off) 1 s at 0 s (± 0.06 s allowed)",
        "    pin 5: period 1.2 s",
    ]
    assert log.startswith("expectations:3: error: not met: 0 matching lines")
    assert pump.startswith("expectations:4: error: not met: rise at 3 s (± 0.1 s allowed)")
    assert met == "trial: note: met: line 2 (duty 50 %)"
    assert edges.startswith("trial: note: edges: pin 5: high 0.5 s, low 0.5 s ×10")
    assert "pin 6: low 3 s, high 7 s" in edges
    assert [line.partition(" s ")[2] for line in printed.splitlines()[:2]] == ["fan on at 30.996", "temp 5"]
    assert content["next"]
    assert lab.steps[-1].detail  # the person sees the same


async def test_of_a_devices_drafts_the_newest_are_kept(lab: Any) -> None:
    toolbox = program_toolbox(lab)
    context = ToolContext("owner", lab.steps.append)
    for number in range(MAX_DRAFTS + 1):
        lab.trials[f"bad{number}"] = BAD
        await toolbox.call("deploy-wasm-app", json.dumps({"sourceCode": "x", "appName": f"bad{number}"}), context)
    with pytest.raises(UnknownName):
        await lab.change_log.draft("bad0")
    assert (await lab.change_log.draft("bad1")).problem == BAD.error
