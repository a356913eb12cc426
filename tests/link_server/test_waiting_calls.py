"""Calls that wait for a device that is away: bounded, and ended with its credential. A host that goes says good-bye."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from microclaw.devices.calls import GpioGet
from microclaw.errors import DeviceUnreachable, Overloaded
from microclaw.events import DeviceLeft
from microclaw.link_server.limits import LinkLimits
from microclaw.wire.link.messages import Bye


async def test_a_host_that_goes_asks_each_device_to_come_back_at_a_time_of_its_own_and_calls_that_wait_are_bounded(
    tmp_path: Path, start_plane: Any, scripted: Any
) -> None:
    async with start_plane(tmp_path, LinkLimits(retry_after_s=7, retry_spread_s=5)) as plane:
        device = scripted(plane)
        await device.pair(lambda code: plane.plane.pair(code, name="lamp"))
        link = plane.links.link("d-1")
        calls = [link.call("gpio.get", {"pin": 4}, idempotent=True, timeout_s=60) for _ in range(65)]
        waiting = [asyncio.create_task(call) for call in calls[:64]]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await calls[64]
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        async with device.connected():
            await device.until_ready()
            going = asyncio.create_task(plane.plane.goodbye())
            bye = await device.next(Bye)
            await going
    assert 7 <= bye.retry_after_s <= 12


async def test_a_call_to_a_revoked_device_ends_at_once(plane: Any, paired: Any) -> None:
    lamp = plane.registry.get("lamp")
    async with paired.connected():
        await paired.until_ready()  # so the host knows what it offers
    await plane.published.until(DeviceLeft)
    waiting = asyncio.create_task(lamp.call(GpioGet(pin=4), timeout_s=3_600))
    await asyncio.sleep(0)
    assert await plane.plane.revoke("lamp") == 1
    async with asyncio.timeout(60):
        with pytest.raises(DeviceUnreachable):
            await waiting
        with pytest.raises(DeviceUnreachable) as caught:
            await lamp.call(GpioGet(pin=4), timeout_s=3_600)
    assert caught.value.next_step is not None
