"""The same act on many devices."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from microclaw.apps.many import on_each
from microclaw.devices.device import Device
from microclaw.errors import DeviceUnreachable


def _devices(count: int) -> list[Device]:
    return [cast(Device, SimpleNamespace(name=f"board-{number}")) for number in range(count)]


async def test_each_has_its_outcome_in_order_and_a_fault_ends_no_other(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []

    async def act(device: Device) -> str:
        if device.name == "board-1":
            raise DeviceUnreachable("board-1 does not answer")
        if device.name == "board-2":
            raise ZeroDivisionError
        return device.name.upper()

    with caplog.at_level(logging.ERROR):
        found = await on_each(_devices(4), act, lambda outcome: told.append(outcome.device_name))
    assert [outcome.value for outcome in found] == ["BOARD-0", None, None, "BOARD-3"]
    assert [outcome.error and outcome.error.code for outcome in found] == [None, "device_unreachable", "failed", None]
    assert sorted(told) == [f"board-{number}" for number in range(4)]
    assert "ZeroDivisionError" in caplog.text


async def test_no_more_than_so_many_run_at_once() -> None:
    running, most = 0, 0

    async def act(_device: Device) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    await on_each(_devices(20), act, parallel=3)
    assert most == 3


async def test_what_runs_ends_when_it_is_cancelled() -> None:
    begun, ended = asyncio.Event(), []

    async def act(device: Any) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(device.name)

    work = asyncio.create_task(on_each(_devices(3), act))
    await begun.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert sorted(ended) == ["board-0", "board-1", "board-2"]
