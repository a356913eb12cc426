"""Reads a device's own list of programs after a change: the proof that a program came or went. Judges nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from microclaw.devices.calls import AppList
from microclaw.devices.device import Device

_AGAIN_S = 1.0
"""Firmware may list a program a moment after it answered the installation, or the removal."""


async def names_after_change(
    device: Device, name: str, *, there: bool, sleep: Callable[[float], Awaitable[None]]
) -> tuple[str, ...]:
    """The listed names, sorted; asked twice unless `name` is among them just as `there` says."""
    names = await _names(device)
    if (name in names) is not there:
        await sleep(_AGAIN_S)
        names = await _names(device)
    return names


async def _names(device: Device) -> tuple[str, ...]:
    return tuple(sorted(app.name for app in await device.call(AppList())))
