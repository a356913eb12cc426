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


async def test_a_host_that_comes_back_knows_its_devices_and_what_waits_for_them(
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


async def test_a_call_to_a_revoked_device_is_refused_at_once_until_it_is_paired_again(
    tmp_path: Path, start_plane: Any, scripted: Any
) -> None:
    async with start_plane(tmp_path, LinkLimits()) as first:
        device = scripted(first)
        await device.pair(lambda code: first.plane.pair(code, name="lamp"))
        async with device.connected():
            await device.until_ready()
        await first.published.until(DeviceLeft)
        lamp = first.registry.get("lamp")
        waiting = asyncio.create_task(lamp.call(GpioSet(pin=4, level=1), timeout_s=3_600))
        await asyncio.sleep(0)
        assert await first.plane.revoke("lamp") == 1
        async with asyncio.timeout(60):
            with pytest.raises(DeviceUnreachable):
                await waiting
        port = first.plane.port
    async with start_plane(tmp_path, LinkLimits(), port) as second:
        lamp = second.registry.get("lamp")
        for wait in (True, False):
            async with asyncio.timeout(60):
                with pytest.raises(DeviceUnreachable) as caught:
                    await lamp.call(GpioGet(pin=4), timeout_s=3_600, wait=wait)
            assert caught.value.next_step is not None
        with pytest.raises(DeviceUnreachable):
            second.links.link(lamp.endpoints[0].removeprefix("link:")).tell(Bye("gone"))
        device.token = None  # the board forgets what opens nothing, and pairs again
        await device.pair(lambda code: second.plane.pair(code, device="lamp"))
        waiting = asyncio.create_task(lamp.call(GpioSet(pin=4, level=1)))
        async with device.connected():
            assert await waiting == PinLevel(4, 1)


async def test_a_host_that_goes_asks_each_device_to_come_back_at_a_time_of_its_own(
    tmp_path: Path, start_plane: Any, scripted: Any
) -> None:
    async with start_plane(tmp_path, LinkLimits(retry_after_s=7, retry_spread_s=5)) as plane:
        device = scripted(plane)
        await device.pair(lambda code: plane.plane.pair(code, name="lamp"))
        async with device.connected():
            await device.until_ready()
            going = asyncio.create_task(plane.plane.goodbye())
            bye = await device.next(Bye)
            await going
    assert 7 <= bye.retry_after_s <= 12


async def test_calls_of_one_device_are_bounded(tmp_path: Path, start_plane: Any, scripted: Any) -> None:
    async with start_plane(tmp_path, LinkLimits()) as plane:
        link = plane.links.link("d-1")
        waiting = [
            asyncio.create_task(link.call("gpio.get", {"pin": 4}, idempotent=True, timeout_s=60)) for _ in range(64)
        ]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await link.call("gpio.get", {"pin": 4}, idempotent=True, timeout_s=60)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
