"""Makes the tools that are one call of a device: the tool's arguments are the fields of the call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, defstruct, structs

from microclaw.conversion import convert
from microclaw.devices.registry.calls import (
    MAX_DUTY,
    AdcReading,
    Call,
    DeviceFacts,
    I2cAddresses,
    PinLevel,
    Restart,
    SensorReading,
)
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.devices.registry.target import DeviceParameters, device_tool
from microclaw.errors import NotSupported, ToolFailed
from microclaw.events import Evidence
from microclaw.hardware.boards.firmware import firmware_object
from microclaw.host.operations.operation import Effect, Permission
from microclaw.host.operations.tool import Tool, ToolContext, ToolOutput

_ARGUMENTS: Final[Mapping[str, Any]] = {
    "pin": Annotated[int, Meta(ge=0, le=255, description="GPIO number.")],
    "level": Annotated[Literal[0, 1], Meta(description="1 is high, 0 is low.")],
    "duty": Annotated[int, Meta(ge=0, le=MAX_DUTY, description=f"0 is off, {MAX_DUTY} is full.")],
    "frequency_hz": Annotated[int, Meta(ge=1, le=40_000_000)],
    "sensor": Annotated[
        str,
        Meta(
            pattern=r"^[a-z0-9_]{1,32}$",
            description="The part's name.",
        ),
    ],
}
"""The types of the fields of calls, for models."""


# Callers unpack a pair of permission and effect, so these two are given by position.
def call_tool(  # noqa: PLR0913, PLR0917, RUF100
    devices: Registry,
    name: str,
    description: str,
    call_type: type[Call[Any]],
    run: Callable[[Device, Any, ToolContext], Awaitable[ToolOutput]],
    permission: Permission = Permission.READ,
    effect: Effect = Effect.READ,
    *,
    words: Callable[[Any, str], str] | None = None,
    **hooks: Callable[[Device, Any, ToolContext], Awaitable[Any]],
) -> Tool[Any]:
    """Make a tool whose `run` and `hooks` get the call. `words` returns a call in a person's words."""
    to_call = partial(convert, kind=call_type, from_attributes=True)

    def with_call(hook: Callable[[Device, Any, ToolContext], Awaitable[Any]]) -> Any:
        return lambda device, arguments, context: hook(device, to_call(arguments), context)

    fields = []
    for field in structs.fields(call_type):
        fields.append((field.name, _ARGUMENTS[field.name], field.default))
    parameters = defstruct(f"{call_type.__name__}Parameters", fields, bases=(DeviceParameters,), kw_only=True)
    said = None
    if words is not None:
        format_words = words
        said = lambda device, arguments: format_words(to_call(arguments), device.name)  # noqa: E731
    wrapped: dict[str, Any] = {}
    for key, hook in hooks.items():
        wrapped[key] = with_call(hook)
    return device_tool(
        devices, name, description, parameters, with_call(run), permission, effect, words=said, **wrapped
    )


async def read_answer(device: Device, call: Call[Any], _: ToolContext) -> ToolOutput:
    """Make the call, and return its answer."""
    text, fields = _answer_fields(device, await device.call(call))
    return ToolOutput(fields, (Evidence(device.evidence_of(call.method) or "reported", text),))


async def read_facts(device: Device, call: Call[DeviceFacts], _: ToolContext) -> ToolOutput:
    """Return the board profile and what the device reports; only the profile if no transport can ask it."""
    board = device.board
    fields: dict[str, Any] = {
        "board": board.title,
        "chip": board.chip,
        "flash_mb": board.flash_mb,
        "psram_mb": board.psram_mb,
        "firmware": firmware_object(board.firmware),
    }
    try:
        facts = await device.call(call)
    except NotSupported as exc:
        return ToolOutput({**fields, "message": f"{exc.message}: only the board profile is known"})
    evidence = Evidence(device.evidence_of(call.method) or "reported", f"reported by {device.name} itself")
    return ToolOutput({**fields, "facts": dict(facts.values)}, (evidence,))


def _answer_fields(device: Device, answer: Any) -> tuple[str, dict[str, Any]]:
    """Return the answer of a device as a sentence and as fields. Raises ToolFailed for one without a value."""
    match answer:
        case PinLevel(pin=pin, level=level):
            return f"pin {pin} reads {level}", {"pin": pin, "level": level}
        case AdcReading(pin=pin, raw=raw, volts=volts):
            return f"ADC pin {pin} reads {volts:.3f} V (raw {raw})", {"pin": pin, "volts": round(volts, 4), "raw": raw}
        case I2cAddresses(addresses=addresses):
            return _address_fields(device, addresses)
        case SensorReading(sensor=sensor, values=values):
            if not values:
                text = f"{device.name} answered without a value for {sensor}"
                raise ToolFailed(text, next_step="scan the I2C bus")
            rounded = {name: round(value, 3) for name, value in values.items()}
            return f"read from {sensor} on {device.name}", {"sensor": sensor, "values": rounded}
        case Restart(seconds=seconds):
            text = f"it came back in another boot {seconds:g} s after it was asked"
            return text, {"message": f"restarted {device.name}"}
    raise AssertionError(answer)


def _address_fields(device: Device, addresses: tuple[int, ...]) -> tuple[str, dict[str, Any]]:
    sensors = device.board.i2c.sensors if device.board.i2c else {}
    names = {address: name for name, address in sensors.items()}
    rows = []
    texts = []
    for address in addresses:
        row = {"address": f"0x{address:02x}"}
        if address in names:
            row["sensor"] = names[address]
        rows.append(row)
        texts.append(" ".join(row.values()))
    return f"I2C: {', '.join(texts) or 'nobody answers'}", {"addresses": rows}
