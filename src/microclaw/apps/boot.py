"""When a board's present boot began. Boards tell no time of day but how long they are up: that and a clock say it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from microclaw.devices.calls import DeviceInfo
from microclaw.devices.device import Device
from microclaw.errors import CallRejected, NotSupported

CLOCKS_APART: Final = 200e-6  # a board's crystal and the host's clock, over the time that the board is up


async def booted_ms(device: Device, now_ms: Callable[[], int]) -> float | None:
    """When the present boot began, in Unix time, at the earliest; None where the board does not tell."""
    if not device.supports(DeviceInfo.method):
        return None
    asked_ms = now_ms()
    try:
        values = (await device.call(DeviceInfo())).values
    except (NotSupported, CallRejected):
        return None
    up_ms = values.get("uptime_ms")
    if isinstance(up_ms, bool) or not isinstance(up_ms, int | float):
        return None
    return asked_ms - (up_ms + 1) - up_ms * CLOCKS_APART  # + 1: told in whole milliseconds
