from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from microclaw.apps.app_terms import Claims
from microclaw.apps.change_log import AppVersion, PutApp, RemoveApp, SetLevel, SetPwm
from microclaw.apps.deployment import ChangeRequest
from microclaw.errors import DeviceUnreachable, InstallInterrupted


async def deployed(lab: Any, source: str = "v1") -> AppVersion:
    lab.plays("blink", 2)
    await lab.deployer.deploy(ChangeRequest("paper", "blink", source=source), lab.steps.append)
    version: AppVersion = (await lab.change_log.desired())[0].version
    return version


async def test_a_crash_after_the_install_is_settled_as_done(lab: Any) -> None:
    version = await deployed(lab)
    await lab.changes.apply(ChangeRequest("paper", "blink", "uninstall"), lab.steps.append)
    change_id = await lab.change_log.plan(lab.device_id, "app.deploy", "deploy", PutApp("blink", version), None)
    lab.plays("blink", 2)
    lab.foreign("blink")
    [_told] = await lab.deployer.recover()
    assert (await lab.change_log.change(change_id)).state == "done"
    assert [app.name for app in await lab.change_log.desired()] == ["blink"]


async def test_a_crash_before_the_install_is_settled_as_failed(lab: Any) -> None:
    version = await deployed(lab)
    await lab.changes.apply(ChangeRequest("paper", "blink", "uninstall"), lab.steps.append)
    change_id = await lab.change_log.plan(lab.device_id, "app.deploy", "deploy", PutApp("blink", version), None)
    await lab.deployer.recover()
    assert (await lab.change_log.change(change_id)).state == "failed"
    assert await lab.change_log.desired() == ()


async def test_an_upgrade_cut_short_ends_at_the_former_version(lab: Any) -> None:
    before = await deployed(lab)
    after = AppVersion("f" * 64, 8192, 20, 180_000, (2,))
    await lab.change_log.plan(lab.device_id, "app.upgrade", "upgrade", PutApp("blink", after), PutApp("blink", before))
    [_told] = await lab.deployer.recover()
    assert lab.transport.apps["blink"].code[8:] == b"v1"
    assert (await lab.change_log.desired())[0].version == before
    assert await lab.change_log.unfinished() == []


async def test_an_upgrade_of_a_forced_program_cut_short_leaves_none_there(lab: Any) -> None:
    before = structs.replace(await deployed(lab), claims=Claims(forced=True))
    after = AppVersion("f" * 64, 8192, 20, 180_000, (2,))
    await lab.change_log.plan(lab.device_id, "app.upgrade", "upgrade", PutApp("blink", after), PutApp("blink", before))
    [_told] = await lab.deployer.recover()
    assert lab.transport.apps == {}


@pytest.mark.parametrize(("listed", "state"), [(True, "failed"), (False, "done")])
async def test_a_removal_cut_short_is_settled_by_the_list(lab: Any, listed: bool, state: str) -> None:
    before = await deployed(lab)
    change_id = await lab.change_log.plan(
        lab.device_id, "app.remove", "remove", RemoveApp("blink"), PutApp("blink", before)
    )
    if not listed:
        lab.transport.apps.clear()
    await lab.deployer.recover()
    assert (await lab.change_log.change(change_id)).state == state
    assert bool(await lab.change_log.desired()) is listed


@pytest.mark.parametrize(("level", "state"), [(1, "done"), (0, "failed")])
async def test_a_level_cut_short_is_settled_by_reading_it(lab: Any, level: int, state: str) -> None:
    lab.transport.levels[4] = level
    change_id = await lab.change_log.plan(lab.device_id, "gpio.set", "set", SetLevel(4, 1), SetLevel(4, 0))
    await lab.deployer.recover()
    assert (await lab.change_log.change(change_id)).state == state


async def test_an_unknown_pwm_is_said_to_be_unknown(lab: Any) -> None:
    await lab.change_log.plan(lab.device_id, "pwm.set", "pwm", SetPwm(5, 100, 5000), None)
    [told] = await lab.deployer.recover()
    assert "unknown" in told


async def test_a_device_that_does_not_answer_keeps_its_changes_open(lab: Any) -> None:
    await deployed(lab)
    change_id = await lab.change_log.plan(lab.device_id, "app.remove", "remove", RemoveApp("blink"), None)
    lab.transport.away = DeviceUnreachable("nobody there", next_step="switch it on")
    [_told] = await lab.deployer.recover()
    assert [change.change_id for change in await lab.change_log.unfinished()] == [change_id]
    lab.transport.away = None
    kept = await lab.reconciler.check(lab.device_id)
    assert kept.problem is None
    assert await lab.change_log.unfinished() == []


@pytest.mark.parametrize(("happened", "state"), [(True, "done"), (False, "failed")])
async def test_an_install_of_unknown_outcome_is_settled_by_the_reconciler(lab: Any, happened: bool, state: str) -> None:
    lab.plays("blink", 2)
    lab.transport.swallow = happened
    lab.transport.fail["apps.install"] = InstallInterrupted("it went away", outcome="unknown", next_step="look")
    with pytest.raises(InstallInterrupted):
        await lab.deployer.deploy(ChangeRequest("paper", "blink", source="v1"), lab.steps.append)
    await lab.reconciler.check(lab.device_id)
    assert [change.state for change in await lab.change_log.changes()] == [state]
    assert [app.name for app in await lab.change_log.desired()] == (["blink"] if happened else [])
    assert list(lab.transport.apps) == (["blink"] if happened else [])
