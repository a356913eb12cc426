"""A board that takes connections and answers nothing: which program is named, and that it is not redeployed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.programs.conftest import Bench, Clock, make_trial, opened_bench

from microclaw.devices.registry.calls import AppList
from microclaw.devices.registry.transport import Transport
from microclaw.devices.transports.open import open_transport
from microclaw.devices.transports.wasmachine import WasmachineTransport
from microclaw.devices.transports.wasmachine_connection import Timeouts
from microclaw.errors import DeviceSilent, DeviceTimeout, InstallInterrupted
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.host.store.database import Database
from microclaw.programs.changes.change_log import ChangeLog
from microclaw.programs.changes.reconciler import DeviceCheck
from microclaw.programs.changes.unresponsive_boards import SOON_MS
from microclaw.programs.proof.verify import Baseline, Watch
from microclaw.programs.wasm.compile import compile_module
from microclaw.wire.board_control import Apps, Power

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


async def test_a_board_that_answers_again_with_it_clears_it_and_it_can_be_dropped_after_a_reset(lab: Any) -> None:
    await lab.deploy("two", pin=5)
    lab.transport.away = SILENT
    await told(lab)
    lab.transport.away = None
    await lab.reconciler.check(lab.device_id)
    lab.transport.apps.clear()
    assert (await lab.reconciler.check(lab.device_id)).put_back == ("two",)
    lab.transport.away = SILENT
    await told(lab)
    lab.transport.away = None
    lab.transport.apps.clear()
    await lab.act("uninstall", "two")
    assert (await lab.reconciler.check(lab.device_id)).problem is None


async def test_an_uninstall_without_an_answer_names_its_program(lab: Any) -> None:
    await lab.deploy("one", pin=4)
    await lab.deploy("two", pin=5)
    lab.transport.fail["apps.remove"] = DeviceSilent("removing one on 10.0.0.7:8080: no answer within 10 s")
    with pytest.raises(DeviceSilent):
        await lab.act("uninstall", "one")
    lab.transport.away = DeviceTimeout("no answer on its serial port")
    await told(lab)


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


async def test_a_board_without_programs_is_silent_without_a_name(lab: Any) -> None:
    lab.transport.away = SILENT
    assert (await told(lab)).message == SILENT.message
    lab.transport.away = DeviceTimeout("slow")
    await told(lab)


async def test_a_plain_time_out_blames_nobody(lab: Any) -> None:
    await lab.deploy("one", pin=4)
    lab.transport.away = DeviceTimeout("slow")
    assert (await told(lab)).message == "slow"


LATE_HANG = """
#include "microclaw.h"
static int led;
static volatile int stays = 1;
static void toggle(void) { gpio_toggle(led); }
static void hang(void) { while (stays) {} }
void on_init(void) { led = gpio_open(2, GPIO_OUT); every(100, toggle); after(4000, hang); }
"""
QUICK = Timeouts(answer_s=4.0, first_query_s=1.5)  # the firmware waits a second between two clients


@pytest.fixture
async def bench(tmp_path: Path, build_cache: Path) -> AsyncIterator[Bench]:
    """With a transport that does not wait long."""

    def open_quick(endpoint: str, board: BoardProfile, **options: Any) -> Transport:
        if endpoint.startswith("wasmachine:"):
            return WasmachineTransport(endpoint, board, timeouts=QUICK, **options)
        return open_transport(endpoint, board, **options)

    async with opened_bench(tmp_path, build_cache, open_with=open_quick) as opened:
        yield opened


async def after_a_reset(bench: Bench) -> DeviceCheck:
    """The reconciler's first check that the board answers."""
    await bench.board.control.request(Power("cut"))
    await bench.board.control.request(Power("on"))
    async with asyncio.timeout(60):
        while (kept := await bench.reconciler.check("d-1")).unreachable_since_ms is not None:
            pass
    return kept


async def until_it_hangs(bench: Bench) -> None:
    async with asyncio.timeout(60):
        while (await bench.board.control.request(Apps())).apps[0].longest_call_ms < 500:
            pass  # each look takes the board a moment


async def test_a_module_that_hangs_again_once_put_back_is_left_off(bench: Bench) -> None:
    image = await compile_module(LATE_HANG, bench.device.board, cache=bench.cache)
    await bench.act("install", "late", wasm=image.wasm, try_for_ms=2000)
    for put_back in (("late",), ()):
        await until_it_hangs(bench)
        with pytest.raises(DeviceSilent):  # an upgrade removes it first
            await bench.act("install", "late", wasm=image.wasm, try_for_ms=1000)
        kept = await after_a_reset(bench)
        assert kept.put_back == put_back
    assert kept.problem
    assert await bench.names() == []


async def test_a_board_that_falls_silent_while_it_is_watched_names_the_new_program(lab: Any) -> None:
    lab.trials["two"] = make_trial(edges=(), pins=(), driven=(), log=("up",))
    lab.transport.fail["logs.read"] = SILENT
    lab.transport.lines = []
    known = lab.registry.get("paper"), "two", lab.trials["two"], Baseline(log_cursor=0)
    found = await Watch(*known, sleep=lab.transport.wait).verify()
    assert found.next_step == SILENT.next_step
