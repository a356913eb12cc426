from __future__ import annotations

from typing import Any

from microclaw.errors import DeviceTimeout, DeviceUnreachable, InvalidModule
from microclaw.programs.changes.reconciler import MAX_PUT_BACKS, PUT_BACK_WINDOW_S, Reconciler
from microclaw.programs.changes.trapped_programs import TrappedPrograms


async def test_a_lost_app_is_put_back_from_its_image_and_a_removed_one_is_not(lab: Any) -> None:
    await lab.deploy("removed", pin=4)
    await lab.act("uninstall", "removed")
    await lab.deploy()
    lab.transport.apps.clear()
    kept = await lab.reconciler.check(lab.device_id)
    assert kept.put_back == ("blink",)
    assert lab.running() == {"blink": "v1"}
    assert [change.kind for change in await lab.change_log.changes()][:2] == ["app.restore", "app.deploy"]


async def test_a_lost_app_that_is_done_once_is_kept_stopped(lab: Any) -> None:
    await lab.deploy(autostart=False)
    lab.transport.apps.clear()
    assert (await lab.reconciler.check(lab.device_id)).put_back == ()
    assert (lab.running(), [app.name for app in await lab.change_log.desired(stopped=True)]) == ({}, ["blink"])
    await lab.act("start", "blink")
    assert lab.running() == {"blink": "v1"}


async def test_a_board_that_is_off_is_unreachable_since_then(lab: Any) -> None:
    await lab.deploy()
    lab.transport.away = DeviceUnreachable("nobody there", next_step="switch it on")
    lab.clock_ms = 5_000
    first = await lab.reconciler.check(lab.device_id)
    lab.clock_ms = 9_000
    again = await lab.reconciler.check(lab.device_id)
    assert first.unreachable_since_ms == again.unreachable_since_ms == 5_000
    lab.transport.away = None
    lab.transport.apps.clear()
    back = await lab.reconciler.check(lab.device_id)
    assert (back.unreachable_since_ms, back.put_back) == (None, ("blink",))
    assert lab.reconciler.status() == (back,)


async def test_that_a_device_was_away_is_not_told_of_it_when_it_is_back(lab: Any) -> None:
    await lab.deploy()
    device = lab.registry.get(lab.device_name)
    lab.transport.online = False
    await lab.reconciler.check_due()
    (away,) = lab.reconciler.status()
    assert (away.problem, away.unreachable_since_ms, device.reachable) == (None, lab.clock_ms, False)
    lab.transport.online = True
    assert (lab.reconciler.status()[0].problem, device.reachable) == (None, True)
    lab.transport.away = DeviceTimeout("no answer", next_step="wait")
    assert (await lab.reconciler.check(lab.device_id)).problem == "no answer"


async def test_one_app_that_is_refused_does_not_stop_the_others(lab: Any) -> None:
    await lab.deploy("a", pin=4)
    await lab.deploy("b", pin=5)
    lab.transport.apps.clear()
    lab.transport.fail["apps.install"] = InvalidModule("invalid WASM version.")
    kept = await lab.reconciler.check(lab.device_id)
    assert kept.put_back == ("b",)
    assert kept.problem
    lab.transport.apps.clear()
    lab.foreign("x", "y", "z")
    assert (await lab.reconciler.check(lab.device_id)).problem
    assert sorted(lab.transport.apps) == ["x", "y", "z"], "foreign apps are never fought"


async def test_an_app_that_its_board_loses_again_and_again_is_left_off(lab: Any) -> None:
    await lab.deploy()
    for _ in range(MAX_PUT_BACKS):
        lab.transport.apps.clear()
        assert (await lab.reconciler.check(lab.device_id)).put_back == ("blink",)
    for _ in range(3):
        lab.transport.apps.clear()
        kept = await lab.reconciler.check(lab.device_id)
        assert kept.put_back == ()
        assert kept.problem is not None
        lab.monotonic_s += PUT_BACK_WINDOW_S
    assert [name for name, _ in lab.alarms] == ["paper"]
    lab.clock_ms += 1
    await lab.deploy()
    for _ in range(2 * MAX_PUT_BACKS):  # now and then is not again and again
        lab.transport.apps.clear()
        assert (await lab.reconciler.check(lab.device_id)).put_back == ("blink",)
        lab.monotonic_s += PUT_BACK_WINDOW_S / MAX_PUT_BACKS


async def test_a_device_that_another_host_looks_after_is_not_checked(lab: Any) -> None:
    await lab.deploy()
    lab.transport.apps.clear()
    ours: set[str] = set()
    traps = TrappedPrograms(lab.change_log, publish=lab.events.append)
    reconciler = Reconciler(lab.installer, lab.deferrals, traps, report=lab.steps.append, looks_after=ours.__contains__)
    await reconciler.check_due()
    assert (lab.transport.apps, reconciler.status()) == ({}, ())
    ours.add(lab.device_id)
    await reconciler.check_due()
    assert list(lab.transport.apps) == ["blink"]
