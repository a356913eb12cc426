from __future__ import annotations

import asyncio
from typing import Any

import pytest

from microclaw.apps.deploy import DeployRequest
from microclaw.errors import DeployRejected, UnknownName


async def deploy(lab: Any, name: str = "blink", source: str = "v1", pin: int = 2) -> int:
    lab.plays(name, pin)
    done = await lab.deployer.deploy(DeployRequest("paper", name, source=source), lab.steps.append)
    change_id = done.change_id
    assert isinstance(change_id, int)
    return change_id


async def undo(lab: Any, change_id: int | None = None) -> Any:
    for name, trial in list(lab.trials.items()):
        lab.plays(name, *trial.driven)
    return await lab.undo.undo(change_id, report=lab.steps.append)


def running(lab: Any) -> dict[str, str]:
    return {name: app.wasm[8:].decode() for name, app in lab.face.apps.items()}


async def test_undoing_a_deployment_removes_the_app(lab: Any) -> None:
    change_id = await deploy(lab)
    done = await undo(lab)
    assert running(lab) == {}
    assert done.undone.undone_by == done.by.change_id
    assert done.by.undoes == change_id
    assert lab.steps[-1].stage == "undo"


async def test_undoing_an_upgrade_brings_the_former_version(lab: Any) -> None:
    await deploy(lab)
    await deploy(lab, source="v2")
    await undo(lab)
    assert running(lab) == {"blink": "v1"}


async def test_undoing_a_removal_brings_the_app_back_through_the_trial(lab: Any) -> None:
    await deploy(lab)
    await lab.deployer.remove("paper", "blink", lab.steps.append)
    lab.tried.clear()
    done = await undo(lab)
    assert running(lab) == {"blink": "v1"}
    assert lab.tried == ["blink"]
    assert done.evidence.kind == "counted"


async def test_undo_twice_walks_back_two_changes(lab: Any) -> None:
    await deploy(lab)
    await deploy(lab, source="v2")
    await lab.explorer.set_pin("paper", 4, 1)
    await undo(lab)
    assert lab.face.levels[4] == 0
    await undo(lab)
    assert running(lab) == {"blink": "v1"}
    await undo(lab)
    assert running(lab) == {}
    with pytest.raises(UnknownName, match="nothing to undo"):
        await undo(lab)


async def test_undoing_an_undo_by_number_redoes_the_change(lab: Any) -> None:
    await deploy(lab)
    back = await undo(lab)
    await undo(lab, back.by.change_id)
    assert running(lab) == {"blink": "v1"}
    await undo(lab)
    assert running(lab) == {}


async def test_an_older_change_waits_for_the_newer_one_of_its_app(lab: Any) -> None:
    first = await deploy(lab)
    second = await deploy(lab, source="v2")
    with pytest.raises(DeployRejected) as caught:
        await undo(lab, first)
    assert f"undo {second}" in (caught.value.next_step or "")
    await undo(lab, second)
    await undo(lab, first)
    assert running(lab) == {}


async def test_a_change_of_another_app_does_not_stand_in_the_way(lab: Any) -> None:
    first = await deploy(lab)
    await deploy(lab, "other", "o1", pin=4)
    await undo(lab, first)
    assert running(lab) == {"other": "o1"}


async def test_what_was_undone_is_not_undone_again(lab: Any) -> None:
    first = await deploy(lab)
    back = await undo(lab)
    with pytest.raises(DeployRejected, match="was undone already") as caught:
        await undo(lab, first)
    assert str(back.by.change_id) in (caught.value.next_step or "")


async def test_a_failed_change_is_nothing_to_take_back(lab: Any) -> None:
    lab.face.refused_wasm.add(b"\0asm\1\0\0\0bad")
    with pytest.raises(DeployRejected):
        await deploy(lab, source="bad")
    with pytest.raises(DeployRejected, match="is failed"):
        await undo(lab, 1)


async def test_a_foreign_app_that_was_removed_cannot_come_back(lab: Any) -> None:
    lab.foreign("other")
    await lab.deployer.remove("paper", "other", lab.steps.append)
    with pytest.raises(DeployRejected, match="cannot be undone"):
        await undo(lab)


async def test_what_the_keeper_put_back_is_no_change_of_a_persons(lab: Any) -> None:
    await deploy(lab)
    lab.face.apps.clear()
    await lab.keeper.check(lab.device_id)
    assert running(lab) == {"blink": "v1"}
    await undo(lab)
    assert running(lab) == {}


async def test_an_unknown_change_is_named(lab: Any) -> None:
    with pytest.raises(UnknownName, match="99"):
        await undo(lab, 99)


async def test_two_undos_at_once_take_back_two_changes(lab: Any) -> None:
    await deploy(lab, "one", "o", pin=4)
    await deploy(lab, "two", "t", pin=5)
    done = await asyncio.gather(*(lab.undo.undo(report=lab.steps.append) for _ in range(2)))
    assert sorted(one.undone.change_id for one in done) == [1, 2]
    assert running(lab) == {}
