"""A new version in place of the old one: its terms, what is refused, and the old one back where the new one fails."""

from __future__ import annotations

from typing import Any

import pytest

from microclaw.apps.deployment import ChangeRequest
from microclaw.apps.undo import UndoChoice
from microclaw.devices.calls import AppState
from microclaw.errors import AppNotFound, DeployRejected, InvalidModule


async def deploy(lab: Any) -> None:
    lab.plays("blink", 2)
    request = ChangeRequest("paper", "blink", source="v1", heap_bytes=4096, timers=7, watchdog_ms=9_000)
    await lab.deployer.deploy(request, lab.steps.append)


async def upgrade(lab: Any, source: str = "v2 is longer") -> Any:
    return await lab.changes.apply(ChangeRequest("paper", "blink", "upgrade", source=source), lab.steps.append)


def falls_silent(lab: Any) -> None:
    """The trial blinks, and from now on the board shows no edge."""
    lab.transport.edges = [edge for edge in lab.transport.edges if edge.t_ms <= lab.transport.now_ms]


def running(lab: Any) -> dict[str, str]:
    return {name: app.code[8:].decode() for name, app in lab.transport.apps.items()}


async def test_an_upgrade_keeps_the_terms_tells_both_versions_and_is_undone(lab: Any) -> None:
    await deploy(lab)
    lab.plays("blink", 2)
    done = await upgrade(lab)
    app = lab.transport.apps["blink"]
    assert (app.code[8:], app.heap_bytes, app.timers, app.watchdog_ms) == (b"v2 is longer", 4096, 7, 9_000)
    assert done.verified
    lab.plays("blink", 2)
    await lab.undo.undo(UndoChoice("owner"), lab.steps.append)
    assert running(lab) == {"blink": "v1"}


async def test_what_passes_the_trial_and_fails_on_the_board_gives_way_to_the_former(lab: Any) -> None:
    await deploy(lab)
    former = (await lab.change_log.desired())[0].version
    falls_silent(lab)
    with pytest.raises(DeployRejected):
        await upgrade(lab)
    assert running(lab) == {"blink": "v1"}
    assert (await lab.change_log.desired())[0].version == former
    assert (await lab.change_log.changes())[0].state == "failed"
    assert await lab.change_log.unfinished() == []


async def test_an_installation_that_is_not_verified_stays_as_it_did(lab: Any) -> None:
    await deploy(lab)
    falls_silent(lab)
    done = await lab.deployer.deploy(ChangeRequest("paper", "blink", source="v2"), lab.steps.append)
    assert not done.verified
    assert running(lab) == {"blink": "v2"}


async def test_what_the_board_refuses_or_traps_on_leaves_the_former(lab: Any) -> None:
    await deploy(lab)
    lab.transport.refused_wasm.add(b"\0asm\1\0\0\0bad")
    with pytest.raises(InvalidModule):
        await upgrade(lab, "bad")
    assert running(lab) == {"blink": "v1"}
    lab.transport.states["blink"] = AppState("blink", "trapped", "divide by zero", 0, 0, 0, (2,))
    with pytest.raises(DeployRejected):
        await upgrade(lab)
    assert running(lab) == {"blink": "v1"}


async def test_only_a_program_of_this_host_that_runs_is_upgraded(lab: Any) -> None:
    with pytest.raises(AppNotFound):
        await upgrade(lab)
    lab.foreign("blink")
    with pytest.raises(DeployRejected):
        await upgrade(lab)
    lab.transport.apps.clear()
    await deploy(lab)
    await lab.changes.apply(ChangeRequest("paper", "blink", "stop"), lab.steps.append)
    with pytest.raises(DeployRejected):
        await upgrade(lab)
    assert (running(lab), lab.tried) == ({}, ["blink"])
