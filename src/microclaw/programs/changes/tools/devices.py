"""Tools that list devices, read and set their pins at once, show facts and undo. They install nothing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Final

from msgspec import Meta, Struct, structs

from microclaw.conversion import convert
from microclaw.devices.registry.call_text import call_words
from microclaw.devices.registry.call_tool import call_tool, read_answer, read_facts
from microclaw.devices.registry.calls import (
    AdcRead,
    Call,
    DeviceInfo,
    DeviceRestart,
    DeviceStatusRead,
    GpioGet,
    GpioSet,
    I2cRead,
    I2cScan,
    PwmSet,
)
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.devices.registry.target import DeviceParameters
from microclaw.events import Evidence
from microclaw.host.operations.operation import Effect, Permission
from microclaw.host.operations.tool import Parameters, PlannedTrial, Tool, ToolContext, ToolOutput
from microclaw.programs.changes.change_log import chat_of, current_origin
from microclaw.programs.changes.deployment import ChangeRequest
from microclaw.programs.changes.services import AppServices
from microclaw.programs.changes.undo import Undo, UndoChoice, change_text

_TAKES_BACK: Final = "reverts: "


def direct_io_tools(apps: AppServices) -> tuple[Tool[Any], ...]:
    """Make gpio-set, gpio-get, adc-read, pwm-set, i2c-scan, i2c-read, device-info, device-status, restart-device."""
    pins = _PinCalls(apps)
    tool = partial(call_tool, apps.registry)
    pin_tool = partial(tool, words=call_words, objections=pins.objections, try_planned=pins.try_planned)
    act = Permission.ACT
    same = Effect.IDEMPOTENT
    restart_device = tool(
        "restart-device",
        "Restart a whole device; what it holds only in memory is lost.",
        DeviceRestart,
        read_answer,
        Permission.RISKY,
        Effect.ONCE,
        words=call_words,
        check=_check_supported,
    )
    return (
        pin_tool("gpio-set", "Set a pin high or low now.", GpioSet, pins.set_pin, act, same),
        pin_tool("gpio-get", "Read a pin's level now.", GpioGet, read_answer),
        pin_tool("adc-read", "Measure the voltage at an ADC pin now.", AdcRead, read_answer),
        pin_tool("pwm-set", "Drive a pin with PWM now (brightness, speed).", PwmSet, pins.set_pin, act, same),
        tool("i2c-scan", "Find which addresses answer on the I2C bus.", I2cScan, read_answer),
        tool("i2c-read", "Read a sensor now.", I2cRead, read_answer),
        tool("device-info", "What a device is: chip, firmware, board.", DeviceInfo, read_facts),
        tool("device-status", "How a device is: uptime, memory, network.", DeviceStatusRead, read_facts),
        restart_device,
    )


class _PinCalls(Struct, frozen=True):
    apps: AppServices

    async def objections(self, device: Device, call: Call[Any], context: ToolContext) -> tuple[str, ...]:
        """Return the conflict with the program that has the pin, and the pin's caution; none for a planned call.

        Raises PinRefused for a pin that the board forbids.
        """
        objections = []
        conflict = await self.apps.direct_io.conflict(device.name, call, asks=not context.is_planned)
        if context.is_planned:
            return ()
        if conflict is not None:
            objections.append(conflict.offer())
        caution = await self.apps.direct_io.caution(device.name, call)
        if caution is not None:
            objections.append(caution)
        return tuple(objections)

    async def try_planned(self, device: Device, call: Call[Any], _: ToolContext) -> PlannedTrial:
        """Return the conflict with the program that has the pin now, and the pin's caution."""
        conflict = await self.apps.direct_io.conflict(device.name, call, asks=False)
        warning = None
        if conflict is not None:
            ending = "this fails" if conflict.is_final else "I ask for a yes before I do it"
            warning = f"{conflict.text} now; if that still runs then, {ending}"
        pins = [call.pin] if isinstance(call, GpioSet | PwmSet) else []
        return await self.apps.cautions.planned(device, pins, warning)

    async def set_pin(self, device: Device, call: GpioSet | PwmSet, context: ToolContext) -> ToolOutput:
        """Drive the pin; first stop the program that drives it, if the person agreed to that."""
        conflict = None
        if context.insisted:
            conflict = await self.apps.direct_io.conflict(device.name, call)
        stopped = {}
        if conflict is not None and conflict.can_stop and conflict.offer() in context.insisted:
            await self.apps.changes.apply(ChangeRequest(device.name, conflict.app, "stop"), context.report)
            stopped = {"stopped": conflict.app}
        change = await self.apps.direct_io.act(device.name, call, insist=context.insisted)
        fields = {"device": change.device_name, "change": change.change_id, **structs.asdict(change.state), **stopped}
        if change.is_as_before and not stopped:
            fields["as_before"] = True
        if change.warning:
            fields["warning"] = change.warning
        return ToolOutput(fields, (change.evidence,))


async def _check_supported(device: Device, call: Call[Any], _: ToolContext) -> None:
    device.transport_for(call.method)


class UndoParameters(DeviceParameters, kw_only=True):
    change: Annotated[int, Meta(ge=1, description="A change's number; else all of the newest request.")] | None = None


def inventory_tools(apps: AppServices) -> tuple[Tool[Any], ...]:
    """Make list-devices and undo."""
    undo = _UndoTool(apps.registry, apps.undo)
    return (
        Tool(
            "list-devices",
            "List the devices this host knows.",
            Parameters,
            Permission.READ,
            Effect.READ,
            partial(_list_devices, apps.registry),
        ),
        Tool(
            "undo",
            "Revert all that the last request changed on devices, or a numbered change.",
            UndoParameters,
            Permission.ACT,
            Effect.ONCE,
            undo.take_back,
            describe=undo.describe,
            words=undo.words,
        ),
    )


async def _list_devices(registry: Registry, _: Parameters, __: ToolContext) -> ToolOutput:
    devices = []
    for device in registry.list():
        facts = {
            "name": device.name,
            "board": device.board.title,
            "transports": list(device.endpoints),
            "labels": list(device.labels),
        }
        devices.append(facts)
    return ToolOutput({"success": True, "devices": devices, "count": len(devices)})


class _UndoTool(Struct, frozen=True):
    registry: Registry
    undo: Undo

    def choice(self, asked: UndoParameters, context: ToolContext) -> UndoChoice:
        """Return the choice: only a device that was named limits it; else it is the newest of the conversation."""
        device_id = None
        if asked.device:
            device_id = self.registry.get(asked.device).device_id
        conversation = current_origin().conversation
        return UndoChoice(context.person_id, asked.change, device_id, conversation and chat_of(conversation))

    async def describe(self, asked: UndoParameters, context: ToolContext) -> tuple[str, ...]:
        names = {device.device_id: device.name for device in self.registry.list()}
        lines: list[str] = []
        for change in await self.undo.chosen(self.choice(asked, context)):
            text = f"{change_text(change)}, on {names.get(change.device_id, change.device_id)}"
            if change.inverse is None:
                lines.append(f"stays: {text}: what was before it is not known")
            else:
                lines.append(f"{_TAKES_BACK}{text}")
        return tuple(lines)

    def words(self, asked: UndoParameters, _: ToolContext, described: Sequence[str]) -> str:
        """Return the description of the changes to undo, or what is known of a planned undo."""
        if described:
            return f"undo: {'; '.join(line.removeprefix(_TAKES_BACK) for line in described)}"
        if asked.change is None:
            return "undo what was done last"
        return f"undo change {asked.change}"

    async def take_back(self, asked: UndoParameters, context: ToolContext) -> ToolOutput:
        undone = await self.undo.undo(self.choice(asked, context), context.report)
        changes = [reverted.by for reverted in undone.taken]
        fields = {"success": True, "change": changes[0], "changes": changes, "message": undone.text}
        proofs = [reverted.evidence for reverted in undone.taken]
        return ToolOutput(fields, convert(proofs, tuple[Evidence, ...], from_attributes=True))
