"""A scripted device pairs, connects and is called, over real TLS on loopback."""

from __future__ import annotations

from typing import Any

import pytest

from microclaw.devices.calls import GpioGet, GpioSet, PinLevel
from microclaw.wire.link.messages import Result


@pytest.mark.parametrize("token", [True, False])
async def test_a_device_pairs_connects_and_answers(plane: Any, device: Any, token: bool) -> None:
    lamp = await device.pair(lambda code: plane.plane.pair(code, name="lamp"), token=token)
    assert lamp.name == "lamp"
    async with device.connected():
        await device.until_ready()
        assert await lamp.call(GpioSet(pin=4, level=1)) == PinLevel(4, 1)
        device.answer = lambda call: Result(ok=True, value={"pin": 4, "level": 0})
        assert await lamp.call(GpioGet(pin=4)) == PinLevel(4, 0)
        assert lamp.supports("apps.install")
    assert plane.plane.state(lamp).online is False
