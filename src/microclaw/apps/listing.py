"""Reads a device's own list of programs after a change: the proof that a program came or went. Changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from microclaw.devices.calls import AppList
from microclaw.errors import DeployRejected
from microclaw.text import program_name

if TYPE_CHECKING:
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


async def removal_text(device: Device, name: str, sleep: Callable[[float], Awaitable[None]], *, next_step: str) -> str:
    """The device's list without `name`; DeployRejected when it says that it removed it and goes on listing it."""
    left = await names_after_change(device, name, there=False, sleep=sleep)
    if name in left:
        text = f"{device.name} answered that it removed {program_name(name)}, but still lists it"
        raise DeployRejected(text, next_step=next_step)
    runs = f"{', '.join(map(program_name, left))} still on it" if left else "no app left on it"
    return f"{device.name} no longer lists {name}; {runs}"


async def _names(device: Device) -> tuple[str, ...]:
    return tuple(sorted(app.name for app in await device.call(AppList())))
