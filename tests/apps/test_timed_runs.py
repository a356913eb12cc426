"""Runs that the host begins and ends, on a board on paper: the grid, what still runs, a dead host, a board away."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apps.conftest import Clock, make_trial

from microclaw.apps.claims import live_conflict
from microclaw.apps.run_times import RunTimes
from microclaw.devices.calls import AppInstall, AppRuns, AppState
from microclaw.errors import ConfigError, DeployRejected, DeviceUnreachable, PinClaimed, TooManyApps

FAN = RunTimes(600_000, 30_000)


async def deploy(lab: Any, times: RunTimes | None = FAN, name: str = "fan", source: str = "v1", pin: int = 4) -> None:
    await lab.deploy(name, source, pin, times=times)


def play(lab: Any) -> None:
    """Once more, after the edges of the time before."""
    lab.transport.now_ms += 10_000
    lab.plays("fan", 4)


async def at(lab: Any, clock: Clock, ms: int) -> Any:
    """Let so much time pass and look at what is due; how its runs go."""
    clock.later(ms)
    await lab.timed_runs.check_due()
    return lab.timed_runs.report(lab.device_id, "fan")


async def condition(lab: Any) -> str:
    return str((await lab.catalogue.show("paper", "fan")).condition)


def there(lab: Any) -> list[str]:
    return sorted(lab.running())


async def test_a_run_ends_after_its_time_and_the_next_begins_at_its_own(lab: Any, journal_clock: Clock) -> None:
    await deploy(lab)
    began = lab.installer.begun_ms[lab.device_id, "fan"]
    await lab.timed_runs.check_due()
    assert (await condition(lab), there(lab)) == ("running" if lab.transport.states else "listed", ["fan"])
    runs = await at(lab, journal_clock, 30_000)
    assert (await condition(lab), there(lab)) == ("waiting", [])
    assert (runs.runs, runs.missed, runs.last_how, runs.next_ms) == (1, 0, "stopped", began + 600_000)
    assert 30_000 <= runs.last_took_ms < 30_100
    assert (await lab.reconciler.check(lab.device_id)).put_back == ()
    runs = await at(lab, journal_clock, 570_000)
    assert there(lab) == ["fan"]
    assert (runs.runs, runs.next_ms) == (2, began + 1_200_000)
    assert [change.kind for change in await lab.change_log.changes()] == ["app.deploy"]


async def test_one_that_still_runs_is_not_begun_twice_and_is_counted(lab: Any, journal_clock: Clock) -> None:
    await deploy(lab, RunTimes(60_000), source="on_timer_callback")
    lab.transport.states["fan"] = AppState("fan", "running", None, 8192, 0, 0, (4,), tells_end=True)
    lab.transport.calls.clear()
    runs = await at(lab, journal_clock, 60_000)
    assert (runs.runs, runs.missed) == (1, 1)
    runs = await at(lab, journal_clock, 180_000)
    assert (runs.runs, runs.missed) == (1, 4)
    assert not lab.transport.changed
    lab.transport.states["fan"] = AppState("fan", "returned", None, 8192, 0, 0, (4,), tells_end=True)
    runs = await at(lab, journal_clock, 60_000)
    assert (runs.runs, runs.missed, runs.last_how) == (2, 4, "returned")


async def test_stock_firmware_tells_no_end_so_the_next_time_ends_the_run_before(lab: Any, journal_clock: Clock) -> None:
    lab.transport.sees = False
    await deploy(lab, RunTimes(60_000), source="on_timer_callback")
    runs = await at(lab, journal_clock, 60_000)
    assert (runs.runs, runs.missed, runs.last_how) == (2, 0, "replaced")
    assert lab.transport.calls.count("apps.remove") == 1


async def test_a_host_that_died_in_a_run_stops_it_when_it_is_back_and_keeps_the_grid(
    lab: Any, journal_clock: Clock
) -> None:
    await deploy(lab)
    lab.rebuild()
    runs = await at(lab, journal_clock, 90_000)
    assert there(lab) == []
    assert (runs.last_how, runs.runs) == ("stopped", 0)
    lab.rebuild()
    journal_clock.later(600_000)  # in the next run, which nobody began
    runs = await at(lab, journal_clock, 0)
    assert there(lab) == []
    assert await condition(lab) == "waiting"
    await at(lab, journal_clock, 510_000)
    assert there(lab) == ["fan"]


async def test_a_board_that_is_off_gets_its_run_within_a_minute_or_not_at_all(lab: Any, journal_clock: Clock) -> None:
    await deploy(lab)
    await at(lab, journal_clock, 30_000)
    lab.transport.away = DeviceUnreachable("no route", next_step="look")
    await at(lab, journal_clock, 570_000)
    lab.transport.away = None
    assert (await at(lab, journal_clock, 6_000)).runs == 2
    await at(lab, journal_clock, 30_000)
    lab.transport.away = DeviceUnreachable("no route", next_step="look")
    await at(lab, journal_clock, 565_000)
    runs = await at(lab, journal_clock, 61_000)
    assert runs.problem
    lab.transport.away = None
    runs = await at(lab, journal_clock, 6_000)
    assert (runs.runs, there(lab)) == (2, [])


async def test_a_stop_that_failed_is_tried_again_and_without_an_interval_it_stays_off(
    lab: Any, journal_clock: Clock
) -> None:
    await deploy(lab, RunTimes(None, 30_000))
    lab.transport.away = DeviceUnreachable("no route", next_step="look")
    for _ in range(20):
        assert (await at(lab, journal_clock, 30_000)).problem
    lab.transport.away = None
    runs = await at(lab, journal_clock, 6_000)
    assert (there(lab), runs.problem) == ([], None)
    assert await condition(lab) == "stopped"
    lab.rebuild()
    await at(lab, journal_clock, 3_600_000)
    await lab.reconciler.check(lab.device_id)
    assert (await condition(lab), there(lab)) == ("stopped", [])


async def test_between_runs_the_board_begins_none_and_its_pin_is_its_own(lab: Any, journal_clock: Clock) -> None:
    await deploy(lab)
    await at(lab, journal_clock, 30_000)
    lab.transport.apps["fan"] = AppInstall("fan", b"\0asm")  # from its flash, at its boot
    await lab.reconciler.check(lab.device_id)
    await at(lab, journal_clock, 1_000)
    assert there(lab) == []
    with pytest.raises(PinClaimed):
        await deploy(lab, None, "lamp", "v2", 4)
    wanted = await lab.change_log.desired(lab.device_id)
    assert await live_conflict(lab.registry.get("paper"), 4, wanted) is not None


async def test_stop_ends_its_runs_and_start_begins_them_anew(lab: Any, journal_clock: Clock) -> None:
    await deploy(lab)
    await at(lab, journal_clock, 30_000)
    await lab.act("stop", "fan")
    assert await at(lab, journal_clock, 600_000) is None
    assert there(lab) == []
    await lab.act("start", "fan")
    runs = await at(lab, journal_clock, 30_000)
    assert (there(lab), runs.runs, runs.last_how) == ([], 1, "stopped")


async def test_upgrade_keeps_the_times_set_changes_them_and_undo_takes_them_back(lab: Any) -> None:
    await deploy(lab)

    async def times() -> RunTimes | None:
        found: RunTimes | None = (await lab.change_log.desired())[0].version.times
        return found

    play(lab)
    await lab.act("upgrade", "fan", source="v2")
    assert await times() == FAN
    play(lab)
    await lab.changes.set_times("paper", "fan", lab.steps.append, stop_after_ms=60_000)
    assert await times() == RunTimes(600_000, 60_000)
    play(lab)
    await lab.changes.set_times("paper", "fan", lab.steps.append, every_ms=None, stop_after_ms=None)
    assert await times() is None
    for expected in (RunTimes(600_000, 60_000), FAN):
        play(lab)
        await lab.take_back()
        assert await times() == expected


async def test_times_that_cannot_be_are_refused(lab: Any) -> None:
    await deploy(lab)
    lab.transport.calls.clear()
    with pytest.raises(ConfigError):
        await lab.changes.set_times("paper", "fan", lab.steps.append, stop_after_ms=660_000)
    assert not lab.transport.changed


async def test_an_interval_too_short_for_the_host_and_a_forced_program_are_refused(lab: Any) -> None:
    with pytest.raises(DeployRejected):
        await deploy(lab, RunTimes(5_000, 1_000))
    lab.trials["fan"] = make_trial(ok=False, error="it spins", pins=(4,), driven=(4,))
    with pytest.raises(DeployRejected):
        await lab.deploy("fan", pin=None, times=FAN, force=True)
    assert there(lab) == []


async def test_a_deferred_installation_carries_the_times(lab: Any, journal_clock: Clock) -> None:
    lab.transport.away = DeviceUnreachable("no route", next_step="look")
    lab.plays("fan", 4)
    await lab.deferrals.keep(lab.request("fan", source="v1", times=FAN), "no route", lab.steps.append)
    lab.transport.away = None
    lab.rebuild()
    play(lab)
    await lab.deferrals.do_waiting(lab.registry.get("paper"))
    assert (await lab.change_log.desired())[0].version.times == FAN
    assert (await at(lab, journal_clock, 30_000)).last_how == "stopped"


async def test_a_first_run_that_failed_on_the_board_is_no_installation(lab: Any) -> None:
    runs = AppRuns(600_000, 0, 1, 0, 590_000, None, 3_000, 2_000, "trapped")
    lab.transport.states["fan"] = AppState("fan", "waiting", "no sensor", 4096, 0, 0, (4,), runs)
    with pytest.raises(DeployRejected):
        await deploy(lab)
    assert there(lab) == []


async def test_a_full_board_gives_no_place_of_a_program_between_its_runs(lab: Any) -> None:
    await deploy(lab, RunTimes(600_000))
    lab.foreign("a", "b")
    lab.transport.states["fan"] = AppState("fan", "returned", None, 8192, 0, 0, (4,), tells_end=True)
    with pytest.raises(TooManyApps):
        await deploy(lab, None, "lamp", "v2", 5)
    assert "fan" in there(lab)


async def test_a_run_that_is_over_and_still_on_its_board_waits_for_the_next(lab: Any) -> None:
    await deploy(lab, RunTimes(600_000))
    await lab.timed_runs.check_due()
    lab.transport.states["fan"] = AppState("fan", "returned", None, 8192, 0, 0, (4,), tells_end=True)
    shown = await lab.catalogue.show("paper", "fan")
    assert (shown.condition, shown.runs.running_since_ms, shown.runs.last_how) == ("waiting", None, "returned")
    assert shown.runs.last_ms == lab.installer.begun_ms[lab.device_id, "fan"]
