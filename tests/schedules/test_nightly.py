"""The host's own work runs at its times and once at the start; a failure is for who runs it to try again."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest
from tests.schedules.conftest import ZONE, Clock

from microclaw.errors import ConfigError, StoreError
from microclaw.schedules.runner import Nightly


async def test_it_runs_at_the_start_and_at_its_times() -> None:
    clock, done = Clock(), []

    async def work(now: datetime) -> None:
        done.append(now.strftime("%d %H:%M"))

    running = asyncio.create_task(Nightly("0 4 * * *", ZONE.key, work, name="notes", clock=clock).run())
    await clock.looked()
    assert done == ["20 11:00"]
    await clock.to(datetime(2026, 11, 21, 4, tzinfo=ZONE))
    await clock.to(datetime(2026, 11, 21, 23, tzinfo=ZONE))
    await clock.to(datetime(2026, 11, 22, 4, tzinfo=ZONE))
    assert done == ["20 11:00", "21 04:00", "22 04:00"]
    running.cancel()
    await asyncio.wait((running,))


async def test_a_failure_comes_out_and_the_next_run_begins_at_once() -> None:
    faults: list[Exception] = [StoreError("the disk is full"), OSError(28, "No space left on device")]

    async def work(_: datetime) -> None:
        raise faults.pop(0)

    for fault in tuple(faults):
        with pytest.raises(type(fault)):
            await Nightly("0 4 * * *", ZONE.key, work, name="notes", clock=Clock()).run()


def test_an_expression_that_is_none_is_the_operators_to_mend() -> None:
    async def work(_: datetime) -> None: ...

    with pytest.raises(ConfigError):
        Nightly("at night", ZONE.key, work, name="consolidate_at", clock=Clock())


async def test_a_clock_that_was_ahead_puts_no_night_off() -> None:
    clock, done = Clock(), []

    async def work(now: datetime) -> None:
        done.append(now.strftime("%Y-%m-%d %H:%M"))

    running = asyncio.create_task(Nightly("0 4 * * *", ZONE.key, work, name="notes", clock=clock).run())
    await clock.looked()
    await clock.to(datetime(2031, 3, 3, 3, tzinfo=ZONE))
    await clock.to(datetime(2026, 11, 20, 12, tzinfo=ZONE))
    await clock.to(datetime(2026, 11, 21, 4, tzinfo=ZONE))
    assert done == ["2026-11-20 11:00", "2031-03-03 03:00", "2026-11-21 04:00"]
    running.cancel()
    await asyncio.wait((running,))
