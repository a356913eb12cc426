"""Tools about devices themselves and about what was done: list, facts, status, undo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pydantic import Field

from microclaw.apps.changes import Change
from microclaw.apps.undo import UndoReport, change_text
from microclaw.auth.gate import Effect, Permission
from microclaw.devices.calls import DeviceFacts, DeviceInfo, DeviceStatus
from microclaw.devices.device import Device
from microclaw.errors import NotSupported
from microclaw.events import Evidence, Report
from microclaw.tools.target import Devices, find_device
from microclaw.tools.tool import Parameters, Tool, ToolContext, ToolOutput


class Undoing(Protocol):
    async def undo(
        self, change_id: int | None = None, *, device_id: str | None = None, whole: bool = False, report: Report
    ) -> UndoReport: ...

    async def chosen(
        self, change_id: int | None = None, *, device_id: str | None = None, whole: bool = False
    ) -> Sequence[Change]: ...


class _Nothing(Parameters):
    pass


class _OnDevice(Parameters):
    device: str | None = Field(None, description="The device's name; may be left out when there is only one.")


class UndoParameters(_OnDevice):
    change: int | None = Field(None, ge=1, description="A change's number; left out: all of the newest request.")


def inventory_tools(*, devices: Devices, undo: Undoing) -> tuple[Tool[Any], ...]:
    """list-devices, device-info, device-status, undo."""

    async def list_devices(_: _Nothing, __: ToolContext) -> ToolOutput:
        known = [_entry(device) for device in devices.list()]
        return ToolOutput({"success": True, "devices": known, "count": len(known)})

    async def device_info(asked: _OnDevice, context: ToolContext) -> ToolOutput:
        device = find_device(devices, context, device=asked.device)
        return await _facts(device, DeviceInfo())

    async def device_status(asked: _OnDevice, context: ToolContext) -> ToolOutput:
        device = find_device(devices, context, device=asked.device)
        return await _facts(device, DeviceStatus())

    def on_device(asked: UndoParameters, context: ToolContext) -> str | None:
        reference = asked.device or (context.device if asked.change is None else None)
        return devices.get(reference).device_id if reference else None

    async def means(asked: UndoParameters, context: ToolContext) -> tuple[str, ...]:
        changes = await undo.chosen(asked.change, device_id=on_device(asked, context), whole=asked.device is None)
        names = {device.device_id: device.name for device in devices.list()}
        return tuple(_meaning(change, names.get(change.device_id, change.device_id)) for change in changes)

    async def take_back(asked: UndoParameters, context: ToolContext) -> ToolOutput:
        there, whole = on_device(asked, context), asked.device is None  # a device that was named is the only one meant
        done = await undo.undo(asked.change, device_id=there, whole=whole, report=context.report)
        fields = {
            "success": True,
            "undone": "; ".join(one.undone.summary for one in done.taken),
            "change": done.taken[0].by.change_id,
            "changes": [one.by.change_id for one in done.taken],
            "message": done.text,
        }
        return ToolOutput(fields, tuple(one.evidence for one in done.taken))

    read, idle = Permission.READ, Effect.READ
    return (
        Tool("list-devices", "List the devices this host knows.", _Nothing, read, idle, list_devices),
        Tool("device-info", "What a device is: chip, firmware, board.", _OnDevice, read, idle, device_info),
        Tool("device-status", "How a device is: uptime, memory, network.", _OnDevice, read, idle, device_status),
        Tool(
            "undo",
            "Take back all that the last request changed on devices (programs, pins) at once, or a numbered change.",
            UndoParameters,
            Permission.ACT,
            Effect.ONCE,
            take_back,
            means=means,
        ),
    )


def _meaning(change: Change, place: str) -> str:
    if change.inverse is None:
        return f"stays: {change_text(change)}, on {place}: what was before it is not known"
    return f"takes back: {change_text(change)}, on {place}"


def _entry(device: Device) -> dict[str, Any]:
    return {
        "name": device.name,
        "board": device.board.title,
        "transports": list(device.endpoints),
        "labels": list(device.labels),
    }


async def _facts(device: Device, call: DeviceInfo | DeviceStatus) -> ToolOutput:
    """What the device says of itself beside its board profile; the profile alone when no transport can ask."""
    fields: dict[str, Any] = {"success": True, "device": device.name, "board": device.board.title}
    fields |= {"chip": device.board.chip, "flash_mb": device.board.flash_mb, "psram_mb": device.board.psram_mb}
    try:
        facts: DeviceFacts = await device.call(call)
    except NotSupported as exc:
        fields["message"] = f"{exc.message}: only the board profile is known"
        return ToolOutput(fields)
    kind = device.evidence_of(call.method) or "reported"
    evidence = Evidence(kind, f"told by {device.name} itself")
    return ToolOutput({**fields, "facts": dict(facts.values)}, (evidence,), foreign=_has_prose(facts.values))


def _has_prose(facts: Mapping[str, Any]) -> bool:
    """Whether a device told more than numbers and single words: that may be anybody's."""
    return any(isinstance(value, str) and (len(value) > 40 or " " in value) for value in facts.values())
