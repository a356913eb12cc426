"""Stop, start and restart on a board on paper: the kept image, what is refused, undo, and a host that dies between."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from microclaw.apps.app_terms import Claims
from microclaw.apps.change_log import PutApp, RemoveApp, StartApp, StopApp
from microclaw.apps.deployment import ChangeRequest
from microclaw.apps.standing import Act
from microclaw.apps.undo import UndoChoice
from microclaw.devices.calls import AppState
from microclaw.errors import (
    AppNotFound,
    DeployRejected,
    DeviceTimeout,
    DeviceUnreachable,
    MicroclawError,
    PinClaimed,
    TooManyApps,
)
from microclaw.events import Edge


async def deploy(lab: Any, name: str = "blink", source: str = "v1", pin: int = 2) -> None:
    lab.plays(name, pin)
    await lab.deployer.deploy(ChangeRequest("paper", name, source=source, heap_bytes=4096), lab.steps.append)


async def stop(lab: Any, name: str = "blink") -> Any:
    return await lab.changes.apply(ChangeRequest("paper", name, "stop"), lab.steps.append)


async def start(lab: Any, name: str = "blink") -> Any:
    return await lab.changes.apply(ChangeRequest("paper", name, "start"), lab.steps.append)


async def conditions(lab: Any) -> dict[str, str]:
    return {one.name: one.condition for one in await lab.catalogue.list_apps("paper")}


def running(lab: Any) -> dict[str, str]:
    return {name: app.code[8:].decode() for name, app in lab.transport.apps.items()}


async def test_a_stopped_program_is_off_the_board_listed_and_not_put_back(lab: Any) -> None:
    await deploy(lab)
    await stop(lab)
    assert running(lab) == {}
    lab.rebuild()  # the host died
    assert await conditions(lab) == {"blink": "stopped"}
    await lab.reconciler.check_due()
    assert (await lab.reconciler.check(lab.device_id)).put_back == ()
    assert running(lab) == {}


async def test_start_installs_the_kept_image_on_its_terms_without_a_trial(lab: Any) -> None:
    await deploy(lab)
    await stop(lab)
    lab.tried.clear()
    now = lab.transport.now_ms
    lab.transport.edges += [Edge(now + 60 + 500.0 * i, 2, i % 2) for i in range(4)]
    done = await start(lab)
    assert lab.tried == []
    assert running(lab) == {"blink": "v1"}
    assert lab.transport.apps["blink"].heap_bytes == 4096
    assert (done.evidence.kind, done.verified) == ("counted", True)
    assert [app.name for app in await lab.change_log.desired()] == ["blink"]
    assert await lab.change_log.stopped() == ()


async def test_what_makes_no_sense_is_refused_in_words(lab: Any) -> None:
    with pytest.raises(AppNotFound):
        await stop(lab)
    with pytest.raises(AppNotFound):
        await start(lab)
    await deploy(lab)
    lab.transport.states["blink"] = AppState("blink", "running", None, 0, 0, 0, (2,))
    with pytest.raises(DeployRejected):
        await start(lab)
    await stop(lab)
    with pytest.raises(DeployRejected):
        await stop(lab)
    with pytest.raises(DeployRejected):
        await lab.changes.apply(ChangeRequest("paper", "blink", "restart"), lab.steps.append)
    lab.foreign("theirs")
    acts: tuple[Act, ...] = ("stop", "start", "restart")
    for act in acts:
        with pytest.raises(DeployRejected):
            await lab.changes.apply(ChangeRequest("paper", "theirs", act), lab.steps.append)
    assert list(running(lab)) == ["theirs"]


async def test_undo_starts_what_was_stopped_and_stops_it_again(lab: Any) -> None:
    await deploy(lab)
    stopped = await stop(lab)
    lab.tried.clear()
    back = await lab.undo.undo(UndoChoice("owner"), lab.steps.append)
    assert (running(lab), lab.tried) == ({"blink": "v1"}, [])
    assert back.taken[0].undone.change_id == stopped.change_id
    await lab.undo.undo(UndoChoice("owner", back.taken[0].by.change_id), lab.steps.append)
    assert (running(lab), await conditions(lab)) == ({}, {"blink": "stopped"})
    await start(lab)
    await lab.undo.undo(UndoChoice("owner"), lab.steps.append)
    assert (running(lab), await conditions(lab)) == ({}, {"blink": "stopped"})


async def test_a_deployment_over_a_stopped_program_and_its_undo(lab: Any) -> None:
    await deploy(lab)
    await stop(lab)
    await deploy(lab, source="v2")
    assert (running(lab), await conditions(lab)) == ({"blink": "v2"}, {"blink": "listed"})
    await lab.undo.undo(UndoChoice("owner"), lab.steps.append)
    assert (running(lab), await conditions(lab)) == ({}, {"blink": "stopped"})
    await start(lab)
    assert running(lab) == {"blink": "v1"}


async def test_uninstall_of_a_stopped_program_and_its_undo(lab: Any) -> None:
    await deploy(lab)
    await stop(lab)
    done = await lab.changes.apply(ChangeRequest("paper", "blink", "uninstall"), lab.steps.append)
    assert done.undoable
    assert await conditions(lab) == {}
    back = await lab.undo.undo(UndoChoice("owner"), lab.steps.append)
    assert (running(lab), await conditions(lab)) == ({}, {"blink": "stopped"})
    await lab.undo.undo(UndoChoice("owner", back.taken[0].by.change_id), lab.steps.append)
    assert await conditions(lab) == {}


async def test_a_start_respects_pins_and_places_that_were_taken_meanwhile(lab: Any) -> None:
    await deploy(lab)
    await stop(lab)
    await deploy(lab, "other", "o", pin=2)
    with pytest.raises(PinClaimed):
        await start(lab)
    await lab.changes.apply(ChangeRequest("paper", "other", "uninstall"), lab.steps.append)
    lab.foreign("a", "b", "c")
    with pytest.raises(TooManyApps):
        await start(lab)
    assert "blink" not in running(lab)
    assert (await conditions(lab))["blink"] == "stopped"


async def test_a_start_that_traps_on_the_board_stays_stopped(lab: Any) -> None:
    await deploy(lab)
    await stop(lab)
    lab.transport.states["blink"] = AppState("blink", "trapped", "divide by zero", 0, 0, 0, (2,))
    with pytest.raises(DeployRejected):
        await start(lab)
    assert (running(lab), await conditions(lab)) == ({}, {"blink": "stopped"})


async def test_a_start_installs_a_program_anew_that_has_ended(lab: Any) -> None:
    await deploy(lab)
    lab.transport.states["blink"] = AppState("blink", "trapped", "divide by zero", 0, 0, 0, (2,))
    lab.transport.calls.clear()
    done = await start(lab)
    assert not done.verified
    assert [name for name in lab.transport.calls if name in ("apps.remove", "apps.install")] == [
        "apps.remove",
        "apps.install",
    ]


async def test_a_restart_is_the_same_image_again_and_nothing_to_undo(lab: Any) -> None:
    await deploy(lab)
    lab.transport.calls.clear()
    done = await lab.changes.apply(ChangeRequest("paper", "blink", "restart"), lab.steps.append)
    assert done.verified
    assert [name for name in lab.transport.calls if name in ("apps.remove", "apps.install")] == [
        "apps.remove",
        "apps.install",
    ]
    await lab.undo.undo(UndoChoice("owner"), lab.steps.append)
    assert running(lab) == {}


async def test_a_forced_program_is_not_started_without_force(lab: Any) -> None:
    await deploy(lab)
    version = structs.replace((await lab.change_log.desired())[0].version, claims=Claims(forced=True))
    change = await lab.change_log.plan(lab.device_id, "app.deploy", "deploy", PutApp("blink", version), None)
    await lab.change_log.complete(change)
    await stop(lab)
    with pytest.raises(DeployRejected):
        await start(lab)
    assert running(lab) == {}


@pytest.mark.parametrize("error", [DeviceUnreachable("gone"), DeviceTimeout("late")])
async def test_a_stop_without_an_answer_stays_open_until_the_board_tells(lab: Any, error: MicroclawError) -> None:
    await deploy(lab)
    lab.transport.fail["apps.remove"] = error
    lab.transport.swallow = True
    with pytest.raises(type(error)):
        await stop(lab)
    lab.transport.swallow = False
    lab.rebuild()
    assert (await lab.reconciler.check(lab.device_id)).put_back == ()
    assert (running(lab), await conditions(lab)) == ({}, {"blink": "stopped"})


@pytest.mark.parametrize("happened", [True, False])
async def test_a_host_that_dies_in_a_stop_or_a_start_asks_the_board(lab: Any, happened: bool) -> None:
    await deploy(lab)
    version = (await lab.change_log.desired())[0].version
    await lab.change_log.plan(lab.device_id, "app.stop", "stop", StopApp("blink", version), StartApp("blink", version))
    kept = lab.transport.apps["blink"]
    if happened:
        lab.transport.apps.clear()
    await lab.deployer.recover()
    assert await conditions(lab) == {"blink": "stopped" if happened else "listed"}
    if not happened:
        return
    await lab.change_log.plan(lab.device_id, "app.start", "start", StartApp("blink", version), RemoveApp("blink"))
    lab.transport.apps["blink"] = kept
    await lab.deployer.recover()
    assert await conditions(lab) == {"blink": "listed"}
