"""Whether a level that an undo would bring back is of a time before the board restarted. It sets nothing.

A board that restarts forgets its levels. One that does not tell how long it is up is taken not to have restarted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from microclaw.apps.boot import booted_ms
from microclaw.apps.change import Change, SetLevel, SetPwm
from microclaw.apps.explore import sees_pins
from microclaw.apps.timeline import round_seconds
from microclaw.apps.undo_choice import older_step, previous
from microclaw.devices.device import Device
from microclaw.errors import DeployRejected


async def check_not_restarted(
    device: Device, change: Change, history: Sequence[Change], now_ms: Callable[[], int]
) -> None:
    """Raise DeployRejected when the board restarted since the level before `change` was there."""
    if not isinstance(change.inverse, SetLevel | SetPwm):
        return
    boot_ms = await booted_ms(device, now_ms)
    if boot_ms is None or boot_ms <= _held_ms(device, change, history):
        return
    ago = round_seconds(round((now_ms() - boot_ms) / 1000) * 1000)
    raise DeployRejected(
        f"{device.name} restarted {ago} ago: the level that pin {change.inverse.pin} had before is not brought back",
        next_step=f"set it as it is to be now; {older_step(change, history)}",
    )


def _held_ms(device: Device, change: Change, history: Sequence[Change]) -> int:
    """When the level before the change was last known to be there: then, if it was read; else when it was set."""
    if isinstance(change.forward, SetLevel) and isinstance(change.inverse, SetLevel) and sees_pins(device):
        return change.at_ms
    before = previous(change, history)
    return before.at_ms if before is not None and before.forward == change.inverse else change.at_ms
