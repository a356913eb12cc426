"""free-pins: what a board's pins are for and which are free now, from its profile and the programs there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, get_args

from msgspec import Meta

from microclaw.apps.change_log import DesiredApp
from microclaw.apps.claims import claiming, pin_roles, unknown_pins_text
from microclaw.apps.parts import Apps
from microclaw.boards.profile import BoardProfile, PinUse
from microclaw.devices.calls import AppList, AppStates
from microclaw.devices.device import Device
from microclaw.devices.target import OnDevice, device_tool
from microclaw.errors import DeviceError, ToolRetry
from microclaw.operations.tool import Tool, ToolContext, ToolOutput

_USES: Final = tuple(get_args(PinUse))


class PinsParameters(OnDevice, kw_only=True):
    use: Annotated[str, Meta(max_length=20, description=f"Only for this: {', '.join(_USES)}.")] | None = None


def pins_tool(apps: Apps) -> Tool[PinsParameters]:
    """free-pins."""

    async def free_pins(device: Device, asked: PinsParameters, _: ToolContext) -> ToolOutput:
        if asked.use not in (None, *_USES):
            raise ToolRetry(f"a pin is not used for {asked.use!r}", next_step=f"uses: {', '.join(_USES)}")
        board = device.board
        wanted = await apps.change_log.desired(device.device_id)
        taken = {pin: app.name for app in await claiming(device, wanted) for pin in pin_roles(app.version)}
        free = {use: [pin for pin in board.free_pins(use) if pin not in taken] for use in _USES}
        fields: dict[str, Any] = {
            "board": board.title,
            "chip": board.chip,
            "free": {use: pins for use, pins in free.items() if asked.use in (None, use)},
            "taken": {str(pin): name for pin, name in sorted(taken.items())},
            "caution": _notes(board, "caution"),
            "reserved": _notes(board, "reserved"),
            "led": _led(board),
            "maxApps": board.firmware.max_apps,
        }
        if (unknown := unknown_pins_text(device, await _foreign(device, wanted))) is not None:
            fields["unknown"] = unknown
        if board.i2c is not None:
            sensors = {name: f"0x{address:02x}" for name, address in board.i2c.sensors.items()}
            fields["i2c"] = {"sda": board.i2c.sda, "scl": board.i2c.scl, "sensors": sensors}
        return ToolOutput(fields)

    text = (
        "Which pins of a device are free and what for, which a program has, which are reserved and why; its LED and "
        "I2C pins. Look here before you choose a pin."
    )
    return device_tool(apps.registry, "free-pins", text, PinsParameters, free_pins)


async def _foreign(device: Device, wanted: Sequence[DesiredApp]) -> tuple[str, ...]:
    """What runs there and was not installed from here; nothing where the board does not say."""
    if not device.supports(AppList.method) or device.supports(AppStates.method):
        return ()
    try:
        listed = await device.call(AppList(), wait=False)
    except DeviceError:
        return ()
    return tuple({app.name for app in listed} - {app.name for app in wanted})


def _notes(board: BoardProfile, kind: str) -> dict[str, list[int]]:
    """Pins by the reason why they are not free."""
    found: dict[str, list[int]] = {}
    for pin in sorted(board.pins.values(), key=lambda one: one.number):
        reason = pin.reserved if kind == "reserved" else (pin.caution if pin.reserved is None else None)
        if reason:
            found.setdefault(reason, []).append(pin.number)
    return found


def _led(board: BoardProfile) -> dict[str, Any] | str:
    if board.led is None:
        return board.no_led or "none that a program can switch"
    return {"pin": board.led.pin, "kind": board.led.kind, "on": board.led.active_level}
