"""Tools that list devices, read and set their pins at once, show facts and undo. They install nothing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Final

from msgspec import Meta, convert, structs

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
from microclaw.devices.registry.target import DeviceParameters
from microclaw.events import Evidence
from microclaw.host.auth.gate import Effect, Permission
from microclaw.host.operations.tool import Parameters, Tool, ToolContext, ToolOutput
from microclaw.programs.changes.change_log import chat_of, current_origin
from microclaw.programs.changes.deployment import ChangeRequest
from microclaw.programs.changes.services import AppServices
from microclaw.programs.changes.undo import UndoChoice, change_text

_TAKES_BACK: Final = "reverts: "


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
        conflict = None
        if context.insisted:
            conflict = await apps.direct_io.conflict(device.name, call)
        stopped = {}
        if conflict is not None and conflict.can_stop and conflict.offer() in context.insisted:
            await apps.changes.apply(ChangeRequest(device.name, conflict.app, "stop"), context.report)
            stopped = {"stopped": conflict.app}
        made = await apps.direct_io.act(device.name, call, insist=context.insisted)
        fields = {"device": made.device_name, "change": made.change_id, **structs.asdict(made.state), **stopped}
        return ToolOutput(fields | ({"warning": made.warning} if made.warning else {}), (made.evidence,))

    async def check(device: Device, call: Call[Any], _: ToolContext) -> None:
        device.transport_for(call.method)

    tool = partial(call_tool, apps.registry)
    act = (Permission.ACT, Effect.IDEMPOTENT)
    pins: dict[str, Any] = {"words": call_words, "objections": objections}
    restart = "Restart a whole device; what it holds only in memory is lost."
    once = (Permission.RISKY, Effect.ONCE)
    return (
        tool("gpio-set", "Set a pin high or low now.", GpioSet, set_pin, *act, **pins),
        tool("gpio-get", "Read a pin's level now.", GpioGet, read_answer, **pins),
        tool("adc-read", "Measure the voltage at an ADC pin now.", AdcRead, read_answer, **pins),
        tool("pwm-set", "Drive a pin with PWM now (brightness, speed).", PwmSet, set_pin, *act, **pins),
        tool("i2c-scan", "Find which addresses answer on the I2C bus.", I2cScan, read_answer),
        tool("i2c-read", "Read a sensor now.", I2cRead, read_answer),
        tool("device-info", "What a device is: chip, firmware, board.", DeviceInfo, read_facts),
        tool("device-status", "How a device is: uptime, memory, network.", DeviceStatusRead, read_facts),
        tool("restart-device", restart, DeviceRestart, read_answer, *once, words=call_words, check=check),
    )


class UndoParameters(DeviceParameters, kw_only=True):
    change: Annotated[int, Meta(ge=1, description="A change's number; else all of the newest request.")] | None = None


def inventory_tools(apps: AppServices) -> tuple[Tool[Any], ...]:
    """list-devices, undo."""
    devices = apps.registry
    undo = apps.undo

    async def list_devices(_: Parameters, __: ToolContext) -> ToolOutput:
        known = [
            {"name": one.name, "board": one.board.title, "transports": list(one.endpoints), "labels": list(one.labels)}
            for one in devices.list()
        ]
        return ToolOutput({"success": True, "devices": known, "count": len(known)})

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
    return (
        Tool("list-devices", "List the devices this host knows.", Parameters, *read, list_devices),
        Tool("undo", text, UndoParameters, *once, take_back, describe=describe, words=words),
    )
