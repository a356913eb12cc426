"""The host goes and comes back: identity, what waits for devices, and what they offered are still there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from microclaw.devices.calls import GpioGet, GpioSet, PinLevel
from microclaw.errors import DeviceUnreachable, Overloaded
from microclaw.events import DeviceLeft
from microclaw.link_server.limits import LinkLimits
from microclaw.wire.link.messages import Bye, Notify


async def test_a_host_that_comes_back_knows_its_devices_what_waits_for_them_and_who_is_revoked(
    tmp_path: Path, start_plane: Any, scripted: Any
) -> None:
    async with start_plane(tmp_path, LinkLimits()) as first:
        device = scripted(first)
        await device.pair(lambda code: first.plane.pair(code, name="lamp"))
        async with device.connected():
            await device.until_ready()
        assert await first.plane.notify("lamp", "kept", speak=False, expires_s=None) == "waiting"
        port = first.plane.port
    async with start_plane(tmp_path, LinkLimits(), port) as second:
        assert second.ca == first.ca
        lamp = second.registry.get("lamp")
        assert lamp.supports("gpio.set")
        state = second.plane.state(lamp)
        assert state is not None
        assert not state.online
        assert state.last_seen_ms is not None
        waiting = asyncio.create_task(lamp.call(GpioSet(pin=4, level=1)))
        async with device.connected():
            assert (await device.next(Notify)).text == "kept"
            assert await waiting == PinLevel(4, 1)
        await second.published.until(DeviceLeft)
        waiting = asyncio.create_task(lamp.call(GpioSet(pin=4, level=1), timeout_s=3_600))
        await asyncio.sleep(0)
        assert await second.plane.revoke("lamp") == 1
        async with asyncio.timeout(60):
            with pytest.raises(DeviceUnreachable):
                await waiting
    async with start_plane(tmp_path, LinkLimits(), port) as third:  # a revoked device is refused at once
        lamp = third.registry.get("lamp")
        for wait in (True, False):
            async with asyncio.timeout(60):
                with pytest.raises(DeviceUnreachable) as caught:
                    await lamp.call(GpioGet(pin=4), timeout_s=3_600, wait=wait)
            assert caught.value.next_step is not None
        with pytest.raises(DeviceUnreachable):
            third.links.link(lamp.endpoints[0].removeprefix("link:")).tell(Bye("gone"))
        device.token = None  # the board forgets what opens nothing, and pairs again
        await device.pair(lambda code: third.plane.pair(code, device="lamp"))
        waiting = asyncio.create_task(lamp.call(GpioSet(pin=4, level=1)))
        async with device.connected():
            assert await waiting == PinLevel(4, 1)


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
