"""Whether a level that an undo would bring back is of a time before the board restarted. It sets nothing.

A board that restarts forgets its levels. Boards tell no time of day but how long they are up: that, and the journal's
clock, say when the present boot began. One that does not tell is taken not to have restarted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from microclaw.apps.change import Change, SetLevel, SetPwm
from microclaw.apps.explore import sees_pins
from microclaw.apps.timeline import round_seconds
from microclaw.apps.undo_choice import older_step, previous
from microclaw.devices.calls import DeviceInfo
from microclaw.devices.device import Device
from microclaw.errors import CallRejected, DeployRejected, NotSupported

CLOCKS_APART: Final = 200e-6  # a board's crystal and the host's clock, over the time that the board is up


async def check_not_restarted(
    device: Device, change: Change, history: Sequence[Change], now_ms: Callable[[], int]
) -> None:
    """Raise DeployRejected when the board restarted since the level before `change` was there."""
    if not isinstance(change.inverse, SetLevel | SetPwm):
        return
    booted_ms = await _booted_ms(device, now_ms)
    if booted_ms is None or booted_ms <= _held_ms(device, change, history):
        return
    ago = round_seconds(round((now_ms() - booted_ms) / 1000) * 1000)
    raise DeployRejected(
        f"{device.name} restarted {ago} ago: the level that pin {change.inverse.pin} had before is not brought back",
        next_step=f"set it as it is to be now; {older_step(change, history)}",
    )


async def _booted_ms(device: Device, now_ms: Callable[[], int]) -> float | None:
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


def _held_ms(device: Device, change: Change, history: Sequence[Change]) -> int:
    """When the level before the change was last known to be there: then, if it was read; else when it was set."""
    if isinstance(change.forward, SetLevel) and isinstance(change.inverse, SetLevel) and sees_pins(device):
        return change.at_ms
    before = previous(change, history)
    return before.at_ms if before is not None and before.forward == change.inverse else change.at_ms
