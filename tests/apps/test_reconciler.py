from __future__ import annotations

from typing import Any

from microclaw.apps.deploy import DeployRequest
from microclaw.apps.put_backs import MAX_PUT_BACKS, PUT_BACK_WINDOW_S
from microclaw.apps.reconciler import Reconciler, check_device
from microclaw.errors import DeviceUnreachable, InvalidModule
from microclaw.events import Step


async def deploy(lab: Any, name: str = "blink", pin: int = 2) -> None:
    lab.plays(name, pin)
    await lab.deployer.deploy(DeployRequest("paper", name, source=name), lab.steps.append)
    lab.steps.clear()


async def test_a_lost_app_is_put_back_from_its_image(lab: Any) -> None:
    await deploy(lab)
    lab.transport.apps.clear()
    kept = await lab.reconciler.check(lab.device_id)
    assert kept.put_back == ("blink",)
    assert lab.transport.apps["blink"].code[8:] == b"blink"
    assert [step.text for step in lab.steps] == ["paper had lost blink: put back from the stored image"]
    assert [change.kind for change in await lab.change_log.changes()] == ["app.restore", "app.deploy"]


async def test_a_board_in_order_is_left_alone(lab: Any) -> None:
    await deploy(lab)
    lab.transport.calls.clear()
    kept = await lab.reconciler.check(lab.device_id)
    assert (kept.put_back, kept.problem) == ((), None)
    assert lab.transport.calls == ["apps.list"]


async def test_what_a_person_removed_stays_removed(lab: Any) -> None:
    await deploy(lab)
    await lab.deployer.remove("paper", "blink", lab.steps.append)
    kept = await lab.reconciler.check(lab.device_id)
    assert kept.put_back == ()
    assert lab.transport.apps == {}


async def test_foreign_apps_are_never_fought(lab: Any) -> None:
    await deploy(lab)
    lab.transport.apps.clear()
    lab.foreign("a", "b", "c")
    kept = await lab.reconciler.check(lab.device_id)
    assert kept.problem == "no room for blink: the board lists a, b, c"
    assert sorted(lab.transport.apps) == ["a", "b", "c"]


async def test_a_check_of_the_device_repeats_why_a_program_is_not_put_back(lab: Any) -> None:
    await deploy(lab)
    lab.transport.apps.clear()
    lab.foreign("a", "b", "c")
    await lab.reconciler.check(lab.device_id)
    device = lab.registry.get("paper")
    found = await check_device(device, None, lab.reconciler.status())
    assert [line.text for line in found.lines if line.part == "kept"] == ["no room for blink: the board lists a, b, c"]
    assert not found.ok
    lab.transport.away = DeviceUnreachable("nobody there", next_step="switch it on")
    await lab.reconciler.check(lab.device_id)
    lab.transport.away = None  # it answers again: its reach is told, and not that it did not answer before
    assert (await check_device(device, None, lab.reconciler.status())).ok


async def test_a_board_that_is_off_is_unreachable_since_then(lab: Any) -> None:
    await deploy(lab)
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


async def test_one_app_that_is_refused_does_not_stop_the_others(lab: Any) -> None:
    await deploy(lab, "a", 4)
    await deploy(lab, "b", 5)
    lab.transport.apps.clear()
    lab.transport.fail["apps.install"] = InvalidModule("invalid WASM version.")
    kept = await lab.reconciler.check(lab.device_id)
    assert kept.put_back == ("b",)
    assert kept.problem == "a could not be put back: invalid WASM version."


async def test_an_app_that_its_board_loses_again_and_again_is_left_off(lab: Any) -> None:
    await deploy(lab)
    for _ in range(MAX_PUT_BACKS):
        lab.transport.apps.clear()
        assert (await lab.reconciler.check(lab.device_id)).put_back == ("blink",)
    lab.transport.apps.clear()
    kept = await lab.reconciler.check(lab.device_id)
    assert kept.put_back == ()
    assert "blink was lost 5 times in 10 minutes" in (kept.problem or "")
    lab.clock_ms += 10**9  # a clock that is set, either way, brings nothing back sooner or later
    assert (await lab.reconciler.check(lab.device_id)).put_back == ()
    lab.clock_ms = 0
    lab.monotonic_s += PUT_BACK_WINDOW_S
    assert (await lab.reconciler.check(lab.device_id)).put_back == ("blink",)


async def test_a_new_deployment_forgets_the_losses_of_the_former(lab: Any) -> None:
    await deploy(lab)
    for _ in range(MAX_PUT_BACKS):
        lab.transport.apps.clear()
        await lab.reconciler.check(lab.device_id)
    await deploy(lab)
    lab.transport.apps.clear()
    assert (await lab.reconciler.check(lab.device_id)).put_back == ("blink",)


async def test_each_round_puts_back_what_was_lost_since(lab: Any) -> None:
    await deploy(lab)
    back: list[Step] = []
    reconciler = Reconciler(
        devices=lab.registry, change_log=lab.change_log, installer=lab.installer, report=back.append
    )
    for count in (1, 2):
        lab.transport.apps.clear()
        await reconciler.check_due()
        assert len(back) == count


async def test_a_device_that_another_host_looks_after_is_not_checked(lab: Any) -> None:
    await deploy(lab)
    lab.transport.apps.clear()
    ours: set[str] = set()
    reconciler = Reconciler(
        devices=lab.registry,
        change_log=lab.change_log,
        installer=lab.installer,
        report=lab.steps.append,
        looks_after=ours.__contains__,
    )
    await reconciler.check_due()
    assert (lab.transport.apps, reconciler.status()) == ({}, ())
    ours.add(lab.device_id)
    await reconciler.check_due()
    assert list(lab.transport.apps) == ["blink"]
