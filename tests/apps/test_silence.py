"""A board that takes connections and answers nothing: which program is named, and that it is not redeployed."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apps.conftest import Clock

from microclaw.apps.change_log import ChangeLog
from microclaw.apps.silence import SOON_MS
from microclaw.devices.calls import AppList
from microclaw.errors import DeviceSilent, DeviceTimeout, InstallInterrupted
from microclaw.store.database import Database

SILENT = DeviceSilent("listing its apps on 10.0.0.7:8080: no answer within 4 s", next_step="reset it")


async def told(lab: Any) -> DeviceTimeout:
    with pytest.raises(DeviceTimeout) as caught:
        await lab.registry.get("paper").call(AppList())
    return caught.value


async def falls_silent(lab: Any) -> None:
    """The board is silent, then somebody resets it."""
    lab.transport.away = SILENT
    assert (await lab.reconciler.check(lab.device_id)).problem
    await lab.reconciler.check(lab.device_id)  # the same silence
    lab.transport.away = None
    lab.transport.apps.clear()


async def test_it_is_put_back_once_and_left_off_after_a_second_silence(lab: Any, database: Database) -> None:
    await lab.deploy("one", pin=4)
    await lab.deploy("two", pin=5)
    await falls_silent(lab)
    assert (await lab.reconciler.check(lab.device_id)).put_back == ("one", "two")
    await falls_silent(lab)
    lab.change_log = ChangeLog(database)  # and the host was started again
    lab.rebuild()
    kept = await lab.reconciler.check(lab.device_id)
    assert kept.put_back == ("one",)
    assert kept.problem
    [listing] = [app for app in await lab.catalogue.list_apps("paper") if app.name == "two"]
    assert listing.condition == "missing"
    await lab.deploy("two", pin=5)  # a corrected one
    lab.transport.apps.clear()
    assert (await lab.reconciler.check(lab.device_id)).put_back == ("one", "two")


async def test_a_silence_long_after_a_program_was_put_there_blames_nobody(lab: Any, journal_clock: Clock) -> None:
    await lab.deploy("two", pin=5)
    journal_clock.later(SOON_MS + 1)
    lab.transport.away = SILENT  # as when a foreign client keeps the board's one connection
    error = await told(lab)
    assert (error.message, error.next_step) == (SILENT.message, SILENT.next_step)
    assert not any(app.suspect_ms for app in await lab.change_log.desired())


async def test_a_program_that_hangs_as_it_starts_leaves_the_former_one_wanted(lab: Any) -> None:
    await lab.deploy("one", pin=4)
    silent = InstallInterrupted("installing one broke off", outcome="unknown", silent=True)
    lab.transport.fail["apps.install"] = silent
    with pytest.raises(InstallInterrupted):
        await lab.deploy("one", "new", pin=None)
    lab.transport.away = SILENT
    await told(lab)
    lab.transport.away = None
    lab.transport.apps.clear()
    assert (await lab.reconciler.check(lab.device_id)).put_back == ("one",)
    assert lab.transport.apps["one"].code[8:] == b"v1"


async def test_a_put_back_that_breaks_off_accuses_no_program(lab: Any, journal_clock: Clock) -> None:
    await lab.deploy("two", pin=5)
    for outcome in ("not_installed", "unknown"):
        journal_clock.later(SOON_MS + 1)
        lab.transport.apps.clear()
        lab.transport.fail["apps.install"] = InstallInterrupted("its Wi-Fi is poor", outcome=outcome)
        await lab.reconciler.check(lab.device_id)
        lab.transport.away = SILENT
        await told(lab)
        assert not any(app.suspect_ms for app in await lab.change_log.desired())
        lab.transport.away = None
        lab.transport.fail.clear()
        await lab.reconciler.check(lab.device_id)


async def test_neither_an_empty_board_nor_a_plain_time_out_blames_a_program(lab: Any) -> None:
    lab.transport.away = SILENT
    assert (await told(lab)).message == SILENT.message
    lab.transport.away = None
    await lab.deploy("one", pin=4)
    lab.transport.away = DeviceTimeout("slow")
    assert (await told(lab)).message == "slow"
