"""The times of a program on a board on paper that keeps them: upgraded, changed, reverted, deferred, refused."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from microclaw.devices.registry.calls import AppRuns, AppState
from microclaw.errors import ConfigError, DeployRejected, DeviceUnreachable
from microclaw.programs.changes.result_views import switch_view
from microclaw.programs.py.py_image import PyImage
from microclaw.programs.run_times import RunTimes

FAN = RunTimes(600_000, 30_000)


async def _compile(source: str, board: Any, name: str, *_: Any, **__: Any) -> PyImage:
    return PyImage(
        rewritten=source, lines=(), imports=(), claims=(), arch=None, name=name, mpy=source.encode(), source=source,
        sha256=hashlib.sha256(source.encode()).hexdigest(), compiler="paper 1.0", cached=False, compile_ms=0.0,
    )  # fmt: skip


@pytest.fixture
def py_lab(lab: Any) -> Any:
    lab.transport.kinds = ("py",)
    lab.compile = _compile
    lab.rebuild()
    return lab


def play(lab: Any) -> None:
    """Once more, after the edges of the time before."""
    lab.transport.now_ms += 10_000
    lab.plays("fan", 4)


async def times(lab: Any) -> RunTimes | None:
    found: RunTimes | None = (await lab.change_log.desired())[0].version.times
    return found


async def test_upgrade_keeps_the_times_set_changes_them_and_undo_takes_them_back(py_lab: Any) -> None:
    await py_lab.deploy("fan", "v1", 4, times=FAN)
    play(py_lab)
    await py_lab.act("upgrade", "fan", source="v2")
    assert await times(py_lab) == FAN
    play(py_lab)
    await py_lab.changes.set_times(py_lab.request("fan"), py_lab.steps.append, stop_after_ms=60_000)
    assert await times(py_lab) == RunTimes(600_000, 60_000)
    play(py_lab)
    await py_lab.changes.set_times(py_lab.request("fan"), py_lab.steps.append, every_ms=None, stop_after_ms=None)
    assert await times(py_lab) is None
    for expected in (RunTimes(600_000, 60_000), FAN):
        play(py_lab)
        await py_lab.take_back()
        assert await times(py_lab) == expected


@pytest.mark.parametrize("late", ["times", "upgrade"])
async def test_of_an_upgrade_and_new_times_in_the_same_moment_none_is_lost(py_lab: Any, late: str) -> None:
    await py_lab.deploy("fan", "v1", 4, times=FAN)
    play(py_lab)

    async def set_times() -> None:
        await py_lab.changes.set_times(py_lab.request("fan"), py_lab.steps.append, stop_after_ms=60_000)

    async def upgrade() -> None:
        await py_lab.act("upgrade", "fan", source="v2")

    first, second = (upgrade, set_times) if late == "times" else (set_times, upgrade)
    left = [first]
    try_image = py_lab.try_image

    async def try_while_the_other_is_done(*given: Any) -> Any:
        if left:
            await left.pop()()
        return await try_image(*given)

    py_lab.try_image = try_while_the_other_is_done
    py_lab.rebuild()
    with pytest.raises(DeployRejected, match="meanwhile"):
        await second()
    play(py_lab)
    await second()
    assert await times(py_lab) == RunTimes(600_000, 60_000)
    assert py_lab.transport.apps["fan"].code == b"v2"


async def test_times_that_cannot_be_are_refused_and_change_nothing(py_lab: Any) -> None:
    await py_lab.deploy("fan", "v1", 4, times=FAN)
    py_lab.transport.calls.clear()
    with pytest.raises(ConfigError):
        await py_lab.changes.set_times(py_lab.request("fan"), py_lab.steps.append, stop_after_ms=660_000)
    assert not py_lab.transport.changed


async def test_a_firmware_without_intervals_is_told_so_before_anything_is_sent(lab: Any) -> None:
    with pytest.raises(DeployRejected):
        await lab.deploy("fan", "v1", 4, times=FAN)
    assert not lab.transport.changed


async def test_a_deferred_installation_carries_the_times(py_lab: Any) -> None:
    py_lab.transport.away = DeviceUnreachable("no route", next_step="look")
    py_lab.plays("fan", 4)
    await py_lab.deferrals.keep(py_lab.request("fan", source="v1", times=FAN), None, "no route", py_lab.steps.append)
    py_lab.transport.away = None
    py_lab.rebuild()
    play(py_lab)
    await py_lab.deferrals.do_waiting(py_lab.registry.get("paper"))
    assert await times(py_lab) == FAN
    assert py_lab.transport.apps["fan"].every_ms == 600_000


async def test_a_deferred_stop_does_not_say_that_the_board_keeps_the_times(py_lab: Any) -> None:
    await py_lab.deploy("fan", "v1", 4, times=FAN)
    py_lab.transport.away = DeviceUnreachable("no route", next_step="look")
    kept = await py_lab.deferrals.keep(py_lab.request("fan", "stop"), None, "no route", py_lab.steps.append)
    assert FAN.text() not in str(switch_view(kept).text)


async def test_a_first_run_that_failed_on_the_board_is_no_installation(py_lab: Any) -> None:
    runs = AppRuns(600_000, 0, 1, 0, 590_000, None, 3_000, 2_000, "trapped")
    py_lab.transport.states["fan"] = AppState("fan", "waiting", "no sensor", 4096, 0, 0, (4,), runs)
    with pytest.raises(DeployRejected):
        await py_lab.deploy("fan", "v1", 4, times=FAN)
    assert py_lab.running() == {}
