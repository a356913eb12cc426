"""Stop, start, restart, upgrade and force on a board on paper: what is kept, what is refused, and their undo."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apps.conftest import make_trial

from microclaw.agent.toolbox import Toolbox
from microclaw.apps.tools.programs import program_tools
from microclaw.auth.gate import Gate, Permission
from microclaw.devices.calls import AppState
from microclaw.errors import (
    AppNotFound,
    DeployRejected,
    InvalidModule,
    MicroclawError,
    PinClaimed,
    PinRefused,
    TooManyApps,
    TrialFailed,
)
from microclaw.operations.tool import ToolContext

STOPPED: tuple[dict[str, str], dict[str, str]] = ({}, {"blink": "stopped"})


async def stands(lab: Any) -> tuple[dict[str, str], dict[str, str]]:
    """What is on the board, and what is told of it."""
    return lab.running(), await lab.conditions()


def changes_on_board(lab: Any) -> list[str]:
    return [name for name in lab.transport.calls if name in ("apps.remove", "apps.install")]


async def test_a_program_is_stopped_started_on_its_terms_restarted_and_each_is_undone(lab: Any) -> None:
    terms = {"heap_bytes": 4096, "timers": 7, "watchdog_ms": 9_000}
    await lab.deploy(**terms)
    stopped = await lab.act("stop")
    lab.rebuild()  # the host died
    await lab.reconciler.check_due()
    assert (await lab.reconciler.check(lab.device_id)).put_back == ()
    assert await stands(lab) == STOPPED
    lab.tried.clear()
    back = await lab.take_back()
    assert back.taken[0].undone.change_id == stopped.change_id
    assert await stands(lab) == ({"blink": "v1"}, {"blink": "listed"})
    await lab.take_back(back.taken[0].by.change_id)
    assert await stands(lab) == STOPPED
    lab.plays("blink", 2)
    started = await lab.act("start")
    assert (started.evidence.kind, started.verified, await lab.change_log.stopped()) == ("counted", True, ())
    app = lab.transport.apps["blink"]
    assert {name: getattr(app, name) for name in terms} == terms
    assert await lab.wanted() == ["blink"]
    lab.transport.calls.clear()
    lab.plays("blink", 2)
    assert (await lab.act("restart")).verified
    assert changes_on_board(lab) == ["apps.remove", "apps.install"]
    assert lab.tried == []
    await lab.take_back()  # there is nothing to undo of a restart
    assert await stands(lab) == STOPPED


@pytest.mark.parametrize("act", ["deploy", "uninstall"])
async def test_what_is_done_over_a_stopped_program_is_undone_to_a_stopped_one(lab: Any, act: str) -> None:
    await lab.deploy()
    await lab.act("stop")
    if act == "deploy":
        await lab.deploy(source="v2")
        assert await stands(lab) == ({"blink": "v2"}, {"blink": "listed"})
    else:
        assert (await lab.act("uninstall")).undoable
        assert await stands(lab) == ({}, {})
    back = await lab.take_back()
    assert await stands(lab) == STOPPED
    if act == "uninstall":
        await lab.take_back(back.taken[0].by.change_id)
        assert await stands(lab) == ({}, {})
    else:
        await lab.act("start")
        assert lab.running() == {"blink": "v1"}


async def test_what_makes_no_sense_is_refused(lab: Any) -> None:
    async def refused(error: type[MicroclawError], *acts: str, name: str = "blink") -> None:
        for act in acts:
            with pytest.raises(error):
                await lab.act(act, name, **({"source": "v2"} if act == "upgrade" else {}))

    await refused(AppNotFound, "stop", "start", "upgrade")
    lab.foreign("theirs")
    await refused(DeployRejected, "stop", "start", "restart", "upgrade", name="theirs")
    await lab.deploy()
    lab.transport.states["blink"] = AppState("blink", "running", None, 0, 0, 0, (2,))
    await refused(DeployRejected, "start")
    await lab.act("stop")
    await refused(DeployRejected, "stop", "restart", "upgrade")
    assert (list(lab.running()), lab.tried) == (["theirs"], ["blink"])


async def test_a_start_respects_pins_and_places_that_were_taken_meanwhile(lab: Any) -> None:
    await lab.deploy()
    await lab.act("stop")
    await lab.deploy("other")
    with pytest.raises(PinClaimed):
        await lab.act("start")
    await lab.act("uninstall", "other")
    lab.foreign("a", "b", "c")
    with pytest.raises(TooManyApps):
        await lab.act("start")
    assert "blink" not in lab.running()
    assert (await lab.conditions())["blink"] == "stopped"


async def test_a_start_that_traps_on_the_board_stays_stopped(lab: Any) -> None:
    await lab.deploy()
    await lab.act("stop")
    lab.transport.states["blink"] = AppState("blink", "trapped", "divide by zero", 0, 0, 0, (2,))
    with pytest.raises(DeployRejected):
        await lab.act("start")
    assert await stands(lab) == STOPPED


async def test_a_start_installs_a_program_anew_that_has_ended(lab: Any) -> None:
    await lab.deploy()
    lab.transport.states["blink"] = AppState("blink", "trapped", "divide by zero", 0, 0, 0, (2,))
    lab.transport.calls.clear()
    assert not (await lab.act("start")).verified
    assert changes_on_board(lab) == ["apps.remove", "apps.install"]


async def test_an_upgrade_keeps_the_terms_and_is_undone(lab: Any) -> None:
    await lab.deploy(heap_bytes=4096, timers=7, watchdog_ms=9_000)
    lab.plays("blink", 2)
    assert (await lab.act("upgrade", source="v2 is longer")).verified
    app = lab.transport.apps["blink"]
    assert (app.code[8:], app.heap_bytes, app.timers, app.watchdog_ms) == (b"v2 is longer", 4096, 7, 9_000)
    lab.plays("blink", 2)
    await lab.take_back()
    assert lab.running() == {"blink": "v1"}


async def test_only_an_upgrade_that_is_not_verified_gives_way_to_the_former(lab: Any) -> None:
    await lab.deploy()
    former = (await lab.change_log.desired())[0].version
    lab.transport.edges.clear()  # the trial blinks, and the board shows no edge
    with pytest.raises(DeployRejected):
        await lab.act("upgrade", source="v2")
    assert lab.running() == {"blink": "v1"}
    assert (await lab.change_log.desired())[0].version == former
    assert await lab.states() == ["failed", "done"]
    assert not (await lab.deploy(source="v2", pin=None)).verified
    assert lab.running() == {"blink": "v2"}


BAD = make_trial(ok=False, error="it spins without giving up the CPU", next_step="wait in main")


@pytest.mark.parametrize("program", [{"source": "text"}, {"wasm": b"\0asm\1\0\0\0bytes"}])
async def test_a_program_whose_trial_fails_never_reaches_the_board(lab: Any, program: dict[str, Any]) -> None:
    lab.trials["bad"] = BAD
    with pytest.raises(TrialFailed):
        await lab.act("install", "bad", **program)
    assert (lab.stages()[-1], lab.steps[-1].text) == (("try", "failed"), BAD.error)
    assert "apps.install" not in lab.transport.calls
    assert await lab.states() == []


async def force(lab: Any) -> None:
    lab.trials["bad"] = BAD
    await lab.deploy("bad", pin=None, force=True)


async def test_force_installs_it_and_says_so(lab: Any) -> None:
    await force(lab)
    assert list(lab.running()) == ["bad"]
    [failed] = [step for step in lab.steps if step.stage == "try" and step.state == "failed"]
    assert "--force" in str(failed.next_step)


async def test_force_drives_no_pin_that_the_board_forbids(lab: Any) -> None:
    lab.trials["bad"] = make_trial(ok=False, error="it opened pin 27", driven=(27,), pins=(27,), edges=())
    with pytest.raises(PinRefused):
        await lab.deploy("bad", pin=None, force=True)
    assert lab.running() == {}


async def test_a_forced_program_is_never_put_back_by_itself(lab: Any) -> None:
    await force(lab)
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


@pytest.mark.parametrize(("taken_off", "again"), [("uninstall", "take_back"), ("stop", "start")])
async def test_neither_undo_nor_a_start_brings_a_forced_program_back(lab: Any, taken_off: str, again: str) -> None:
    await force(lab)
    await lab.act(taken_off, "bad")
    with pytest.raises(MicroclawError, match="spins" if again == "take_back" else "force"):
        await (lab.take_back() if again == "take_back" else lab.act("start", "bad"))
    assert lab.running() == {}


@pytest.mark.parametrize("approved", [None, Permission.ACT, Permission.RISKY])  # a model, MCP; a schedule
async def test_tools_and_schedules_have_no_force(lab: Any, approved: Permission | None) -> None:
    lab.trials["bad"] = BAD
    toolbox, context = Toolbox(program_tools(lab), Gate()), ToolContext("owner", lab.steps.append)
    result = await toolbox.call("deploy-wasm-app", '{"sourceCode":"x","appName":"bad"}', context, approved=approved)
    assert (result.ok, result.error_code) == (False, "trial_failed")
    forced = await toolbox.call("deploy-wasm-app", '{"sourceCode":"x","appName":"bad","force":true}', context)
    assert not forced.ok
    assert lab.running() == {}
