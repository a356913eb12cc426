"""The act that says which pins of a device are free: a tool of models, without a route."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args

from msgspec import Meta
from msgspec.structs import replace

from microclaw.devices.registry.calls import AppList, AppStates
from microclaw.errors import DeviceError, ToolRetry
from microclaw.hardware.boards.profile import BoardProfile, PinUse
from microclaw.host.operations.forms import NO_COMMAND, ToolForm
from microclaw.host.operations.operation import OperationCall, operation
from microclaw.host.operations.tool import ToolOutput
from microclaw.programs.changes.claims import free_pins, taken_pins, unknown_pins_text
from microclaw.programs.changes.program_state import ProgramState, look_at_claims

if TYPE_CHECKING:
    from microclaw.devices.registry.act_tool import ToolUse
    from microclaw.programs.changes.device_operations import DeviceService

_USES: Final = tuple(get_args(PinUse))
_ABOUT: Final = (
    "Which pins of a device are free and what for, which a program has, which are reserved and why; its LED and I2C "
    "pins. Look here before you choose a pin."
)
Use = Annotated[str, Meta(max_length=20, description=f"Only for this: {', '.join(_USES)}.")] | None


async def _output(_use: ToolUse[DeviceService], fields: Mapping[str, Any]) -> ToolOutput:
    return ToolOutput(fields)


@operation(
    "pin.free",
    command=NO_COMMAND,
    tool=ToolForm("free-pins", _ABOUT, fields={"use": "use"}, kinds={"use": Use}, output=_output),
)
async def find_free_pins(service: DeviceService, _: OperationCall, device: str, use: Use = None) -> dict[str, Any]:
    """Return the free pins of a device and their uses, the taken and reserved ones, and its LED and I2C pins."""
    if use not in (None, *_USES):
        raise ToolRetry(f"a pin is not used for {use!r}", next_step=f"uses: {', '.join(_USES)}")
    found = service.registry.get(device)
    there = await look_at_claims(service.apps.change_log, found)
    board = found.board
    free: dict[str, list[int]] = {}
    for each in _USES:
        if use in (None, each):
            free[each] = free_pins(there, each)
    fields = {
        "board": board.title,
        "chip": board.chip,
        "free": free,
        "taken": {str(pin): name for pin, name in sorted(taken_pins(there).items())},
        **_board_fields(board),
    }
    text = await _unknown_text(there)
    if text:
        fields["unknown"] = text
    return fields


def _board_fields(board: BoardProfile) -> dict[str, Any]:
    """Return what the profile says of pins, whatever runs."""
    caution = defaultdict[str, list[int]](list)
    reserved = defaultdict[str, list[int]](list)
    for pin in sorted(board.pins.values(), key=lambda pin: pin.number):
        if pin.reserved:
            reserved[pin.reserved].append(pin.number)
        elif pin.caution:
            caution[pin.caution].append(pin.number)
    fields: dict[str, Any] = {
        "caution": caution,
        "reserved": reserved,
        "led": board.no_led or "none that a program can switch",
        "maxApps": board.firmware.max_apps,
    }
    if board.led is not None:
        fields["led"] = {"pin": board.led.pin, "kind": board.led.kind, "on": board.led.active_level}
    if board.i2c is not None:
        sensors = {name: f"0x{address:02x}" for name, address in board.i2c.sensors.items()}
        fields["i2c"] = {"sda": board.i2c.sda, "scl": board.i2c.scl, "sensors": sensors}
    return fields


async def _unknown_text(there: ProgramState) -> str | None:
    """Return a warning about programs of others whose pins the device does not report, or None."""
    device = there.device
    if device.supports(AppStates.method) or not device.supports(AppList.method):
        return None
    with suppress(DeviceError):
        there = replace(there, listed=await device.call(AppList(), wait=False))
        return unknown_pins_text(device, there.foreign)
    return None
