"""Tools that list devices, read and set their pins at once, notify, show facts and undo. They install nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from msgspec import Meta, convert, defstruct, structs

from microclaw.devices.registry.call_text import call_words
from microclaw.devices.registry.calls import (
    MAX_DUTY,
    AdcRead,
    AdcReading,
    Call,
    DeviceFacts,
    DeviceInfo,
    DeviceRestart,
    DeviceStatusRead,
    GpioGet,
    GpioSet,
    I2cAddresses,
    I2cRead,
    I2cScan,
    PinLevel,
    PwmSet,
    Restart,
    SensorReading,
)
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.devices.registry.target import DeviceParameters, device_tool
from microclaw.errors import NotSupported, ToolFailed
from microclaw.events import Evidence
from microclaw.hardware.boards.firmware import firmware_object
from microclaw.host.auth.gate import Effect, Permission
from microclaw.host.operations.tool import Parameters, Tool, ToolContext, ToolOutput
from microclaw.programs.changes.change_log import chat_of, current_origin
from microclaw.programs.changes.deployment import ChangeRequest
from microclaw.programs.changes.services import AppServices
from microclaw.programs.changes.undo import UndoChoice, change_text

if TYPE_CHECKING:
    from microclaw.devices.link.server import LinkServer

_TAKES_BACK: Final = "reverts: "
_ARGUMENTS: Final[Mapping[str, Any]] = {
    "pin": Annotated[int, Meta(ge=0, le=255, description="GPIO number.")],
    "level": Annotated[Literal[0, 1], Meta(description="1 is high, 0 is low.")],
    "duty": Annotated[int, Meta(ge=0, le=MAX_DUTY, description=f"0 is off, {MAX_DUTY} is full.")],
    "frequency_hz": Annotated[int, Meta(ge=1, le=40_000_000)],
    "sensor": Annotated[
        str,
        Meta(
            pattern=r"^[a-z0-9_]{1,32}$",
            description="bme280 (air) or ina219 (power).",
        ),
    ],
}
"""Of the calls of a device that are tools."""


def direct_io_tools(apps: AppServices) -> tuple[Tool[Any], ...]:
    """gpio-set, gpio-get, adc-read, pwm-set, i2c-scan, i2c-read, device-info, device-status, restart-device."""

    async def objections(device: Device, call: Call[Any], context: ToolContext) -> tuple[str, ...]:
        """The program that has the pin. Raises PinRefused for a pin that the board forbids."""
        conflict = await apps.direct_io.conflict(device.name, call, asks=not context.is_planned)
        if conflict is None:
            return ()
        return (conflict.offer(),)

    async def set_pin(device: Device, call: GpioSet | PwmSet, context: ToolContext) -> ToolOutput:
        """The program that drives the pin is stopped first, where the person said yes to that."""
        if context.insisted:
            conflict = await apps.direct_io.conflict(device.name, call)
        else:
            conflict = None
        stopped = {}
        if conflict is not None and conflict.can_stop and conflict.offer() in context.insisted:
            await apps.changes.apply(ChangeRequest(device.name, conflict.app, "stop"), context.report)
            stopped = {"stopped": conflict.app}
        made = await apps.direct_io.act(device.name, call, insist=context.insisted)
        fields = {"device": made.device_name, "change": made.change_id, **structs.asdict(made.state), **stopped}
        return ToolOutput(fields | ({"warning": made.warning} if made.warning else {}), (made.evidence,))

    async def read(device: Device, call: Call[Any], _: ToolContext) -> ToolOutput:
        text, fields = _told(device, await device.call(call))
        return ToolOutput(fields, (Evidence(device.evidence_of(call.method) or "reported", text),))

    async def check(device: Device, call: Call[Any], _: ToolContext) -> None:
        device.transport_for(call.method)

    def tool(
        name: str, text: str, makes: type[Call[Any]], run: Any, *needs: Any, words: Any = None, **hooks: Any
    ) -> Any:
        to_call = partial(convert, type=makes, from_attributes=True)

        def with_call(hook: Any) -> Any:
            return lambda device, asked, context: hook(device, to_call(asked), context)

        given = [(one.name, _ARGUMENTS[one.name], one.default) for one in structs.fields(makes)]
        parameters = defstruct(f"{makes.__name__}Parameters", given, bases=(DeviceParameters,), kw_only=True)
        said = None if words is None else (lambda device, asked: words(to_call(asked), device.name))
        hooks = {key: with_call(hook) for key, hook in hooks.items()}
        return device_tool(apps.registry, name, text, parameters, with_call(run), *needs, words=said, **hooks)

    act = (Permission.ACT, Effect.IDEMPOTENT)
    pins = {"words": call_words, "objections": objections}
    restart = "Restart a whole device; what it holds only in memory is lost."
    once = (Permission.RISKY, Effect.ONCE)
    return (
        tool("gpio-set", "Set a pin high or low now.", GpioSet, set_pin, *act, **pins),
        tool("gpio-get", "Read a pin's level now.", GpioGet, read, **pins),
        tool("adc-read", "Measure the voltage at an ADC pin now.", AdcRead, read, **pins),
        tool("pwm-set", "Drive a pin with PWM now (brightness, speed).", PwmSet, set_pin, *act, **pins),
        tool("i2c-scan", "Find which addresses answer on the I2C bus.", I2cScan, read),
        tool("i2c-read", "Read a sensor now.", I2cRead, read),
        tool("device-info", "What a device is: chip, firmware, board.", DeviceInfo, _facts),
        tool("device-status", "How a device is: uptime, memory, network.", DeviceStatusRead, _facts),
        tool("restart-device", restart, DeviceRestart, read, *once, words=call_words, check=check),
    )


def _told(device: Device, got: Any) -> tuple[str, dict[str, Any]]:
    """The answer of a device, as a sentence and as fields."""
    match got:
        case PinLevel(pin=pin, level=level):
            return f"pin {pin} reads {level}", {"pin": pin, "level": level}
        case AdcReading(pin=pin, raw=raw, volts=volts):
            return f"ADC pin {pin} reads {volts:.3f} V (raw {raw})", {"pin": pin, "volts": round(volts, 4), "raw": raw}
        case I2cAddresses(addresses=addresses):
            if device.board.i2c:
                names = {address: name for name, address in device.board.i2c.sensors.items()}
            else:
                names = {}
            shown = [{"address": f"0x{a:02x}"} | ({"sensor": names[a]} if a in names else {}) for a in addresses]
            return f"I2C: {', '.join(' '.join(s.values()) for s in shown) or 'nobody answers'}", {"addresses": shown}
        case SensorReading(sensor=sensor, values=values):
            if not values:
                text = f"{device.name} answered without a value for {sensor}"
                raise ToolFailed(text, next_step="scan the I2C bus")
            rounded = {name: round(value, 3) for name, value in values.items()}
            return f"read from {sensor} on {device.name}", {"sensor": sensor, "values": rounded}
        case Restart(seconds=seconds):
            text = f"it came back in another boot {seconds:g} s after it was asked"
            return text, {"message": f"restarted {device.name}"}
    raise AssertionError(got)


class NotifyParameters(DeviceParameters, kw_only=True):
    text: Annotated[str, Meta(min_length=1, max_length=2000)]
    speak: Annotated[bool, Meta(description="Say it aloud, where the device can.")] = False
    expires_s: Annotated[int, Meta(ge=1, description="Worth nothing after so many seconds.")] | None = None


def notify_tool(*, notifier: LinkServer, devices: Registry) -> Tool[NotifyParameters]:
    """notify."""

    async def check(device: Device, asked: NotifyParameters, _: ToolContext) -> None:
        notifier.check_note(device.name, asked.text)

    async def notify(device: Device, asked: NotifyParameters, _: ToolContext) -> ToolOutput:
        state = await notifier.notify(device.name, asked.text, speak=asked.speak, expires_s=asked.expires_s)
        if state == "delivered":
            evidence = Evidence("reported", f"{device.name} says that it has the note")
        else:
            evidence = Evidence("accepted", f"kept for {device.name}, which is not connected")
        return ToolOutput({"state": state}, (evidence,))

    def words(device: Device, asked: NotifyParameters) -> str:
        return f'{"say" if asked.speak else "show"} on {device.name}: "{asked.text}"'

    text = "Show or say a text on a device, now or when it comes back."
    act = (Permission.ACT, Effect.ONCE)
    return device_tool(devices, "notify", text, NotifyParameters, notify, *act, words=words, check=check)


class UndoParameters(DeviceParameters, kw_only=True):
    change: Annotated[int, Meta(ge=1, description="A change's number; else all of the newest request.")] | None = None


def inventory_tools(apps: AppServices, link: LinkServer | None) -> tuple[Tool[Any], ...]:
    """list-devices, check-device, undo."""
    devices = apps.registry
    undo = apps.undo

    async def list_devices(_: Parameters, __: ToolContext) -> ToolOutput:
        known = [
            {"name": one.name, "board": one.board.title, "transports": list(one.endpoints), "labels": list(one.labels)}
            for one in devices.list()
        ]
        return ToolOutput({"success": True, "devices": known, "count": len(known)})

    async def check_device(device: Device, _: DeviceParameters, __: ToolContext) -> ToolOutput:
        found = await apps.reconciler.examine(device, link)
        lines = [structs.asdict(line) for line in found.findings]
        evidence = Evidence("reported", f"{device.name} {'answered' if found.reached else 'did not answer'} just now")
        return ToolOutput({"reached": found.reached, "ok": found.ok, "lines": lines}, (evidence,))

    def choice(asked: UndoParameters, context: ToolContext) -> UndoChoice:
        """Only a device that was named limits the undo; else it is the newest of the conversation, wherever."""
        device_id = devices.get(asked.device).device_id if asked.device else None
        conversation = current_origin().conversation
        return UndoChoice(context.person_id, asked.change, device_id, conversation and chat_of(conversation))

    async def describe(asked: UndoParameters, context: ToolContext) -> tuple[str, ...]:
        names = {device.device_id: device.name for device in devices.list()}
        lines = []
        for change in await undo.chosen(choice(asked, context)):
            text = f"{change_text(change)}, on {names.get(change.device_id, change.device_id)}"
            stays = f"stays: {text}: what was before it is not known"
            lines.append(stays if change.inverse is None else f"{_TAKES_BACK}{text}")
        return tuple(lines)

    def words(asked: UndoParameters, _: ToolContext, described: Sequence[str]) -> str:
        """The description of the change to undo; of a planned undo nobody knows yet."""
        if described:
            return f"undo: {'; '.join(line.removeprefix(_TAKES_BACK) for line in described)}"
        if asked.change is None:
            return "undo what was done last"
        return f"undo change {asked.change}"

    async def take_back(asked: UndoParameters, context: ToolContext) -> ToolOutput:
        done = await undo.undo(choice(asked, context), context.report)
        changes = [one.by for one in done.taken]
        fields = {"success": True, "change": changes[0], "changes": changes, "message": done.text}
        proofs = [one.evidence for one in done.taken]
        return ToolOutput(fields, convert(proofs, tuple[Evidence, ...], from_attributes=True))

    read = (Permission.READ, Effect.READ)
    once = (Permission.ACT, Effect.ONCE)
    text = "Revert all that the last request changed on devices, or a numbered change."
    checks = "Reach a device now: how it answers, and what is wrong."
    return (
        Tool("list-devices", "List the devices this host knows.", Parameters, *read, list_devices),
        device_tool(devices, "check-device", checks, DeviceParameters, check_device),
        Tool("undo", text, UndoParameters, *once, take_back, describe=describe, words=words),
    )


async def _facts(device: Device, call: Call[DeviceFacts], _: ToolContext) -> ToolOutput:
    """The board profile and what the device reports of itself; the profile alone when no transport can ask it."""
    board = device.board
    fields: dict[str, Any] = {"board": board.title, "chip": board.chip, "flash_mb": board.flash_mb}
    fields |= {"psram_mb": board.psram_mb, "firmware": firmware_object(board.firmware)}
    try:
        facts: DeviceFacts = await device.call(call)
    except NotSupported as exc:
        return ToolOutput({**fields, "message": f"{exc.message}: only the board profile is known"})
    evidence = Evidence(device.evidence_of(call.method) or "reported", f"reported by {device.name} itself")
    return ToolOutput({**fields, "facts": dict(facts.values)}, (evidence,))
