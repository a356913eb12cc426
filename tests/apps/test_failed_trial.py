"""A program whose trial fails reaches no board without a person's --force, whatever the way."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apps.conftest import make_trial

from microclaw.agent.toolbox import Toolbox
from microclaw.apps.deployment import ChangeRequest
from microclaw.apps.tools.programs import program_tools
from microclaw.apps.undo import UndoChoice
from microclaw.auth.gate import Gate, Permission
from microclaw.errors import InvalidModule, PinRefused, TrialFailed
from microclaw.operations.tool import ToolContext

BAD = make_trial(ok=False, error="it spins without giving up the CPU", next_step="wait in main")


def request(lab: Any, **more: Any) -> ChangeRequest:
    lab.trials["bad"] = BAD
    return ChangeRequest("paper", "bad", **more)


@pytest.mark.parametrize("program", [{"source": "text"}, {"wasm": b"\0asm\1\0\0\0bytes"}])
async def test_source_and_bytes_alike(lab: Any, program: dict[str, Any]) -> None:
    with pytest.raises(TrialFailed):
        await lab.deployer.deploy(request(lab, **program), lab.steps.append)
    assert "apps.install" not in lab.transport.calls
    assert await lab.change_log.changes() == ()


async def test_force_installs_it_and_says_so(lab: Any) -> None:
    await lab.deployer.deploy(request(lab, source="text", force=True), lab.steps.append)
    assert list(lab.transport.apps) == ["bad"]
    [failed] = [step for step in lab.steps if step.stage == "try" and step.state == "failed"]
    assert "--force" in str(failed.next_step)


async def test_force_drives_no_pin_that_the_board_forbids(lab: Any) -> None:
    lab.trials["bad"] = make_trial(ok=False, error="it opened pin 27", driven=(27,), pins=(27,), edges=())
    with pytest.raises(PinRefused):
        await lab.deployer.deploy(ChangeRequest("paper", "bad", source="x", force=True), lab.steps.append)
    assert lab.transport.apps == {}


async def test_the_reconciler_does_not_put_a_forced_program_back(lab: Any) -> None:
    await lab.deployer.deploy(request(lab, source="text", force=True), lab.steps.append)
    lab.transport.apps.clear()
    kept = await lab.reconciler.check(lab.device_id)
    assert kept.put_back == ()
    assert kept.problem
    assert lab.transport.apps == {}


async def test_a_forced_program_is_not_put_back_after_a_failed_upgrade(lab: Any) -> None:
    await lab.deployer.deploy(request(lab, source="text", force=True), lab.steps.append)
    lab.trials["bad"] = make_trial()
    lab.transport.fail["apps.install"] = InvalidModule("invalid WASM version.")
    with pytest.raises(InvalidModule):
        await lab.deployer.deploy(ChangeRequest("paper", "bad", source="new"), lab.steps.append)
    assert lab.transport.apps == {}


async def test_undo_tries_what_it_brings_back(lab: Any) -> None:
    await lab.deployer.deploy(request(lab, source="text", force=True), lab.steps.append)
    await lab.changes.apply(ChangeRequest("paper", "bad", "uninstall"), lab.steps.append)
    with pytest.raises(Exception, match="spins"):
        await lab.undo.undo(UndoChoice("owner"), lab.steps.append)
    assert lab.transport.apps == {}


@pytest.mark.parametrize("approved", [None, Permission.ACT, Permission.RISKY])  # a model, MCP; a schedule
async def test_tools_and_schedules_have_no_force(lab: Any, approved: Permission | None) -> None:
    lab.trials["bad"] = BAD
    tools = program_tools(lab)
    toolbox = Toolbox(tools, Gate())
    context = ToolContext("owner", lab.steps.append)
    result = await toolbox.call("deploy-wasm-app", '{"sourceCode":"x","appName":"bad"}', context, approved=approved)
    assert (result.ok, result.error_code) == (False, "trial_failed")
    forced = await toolbox.call("deploy-wasm-app", '{"sourceCode":"x","appName":"bad","force":true}', context)
    assert not forced.ok
    assert lab.transport.apps == {}
