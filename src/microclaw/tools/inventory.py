"""Tools that list devices, show their facts and status, and undo changes. They install nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from microclaw.apps.changes import Change
from microclaw.apps.undo import Undo, change_text
from microclaw.auth.gate import Effect, Permission
from microclaw.devices.calls import DeviceFacts, DeviceInfo, DeviceStatus
from microclaw.devices.device import Device
from microclaw.devices.registry import Registry
from microclaw.errors import NotSupported
from microclaw.events import Evidence
from microclaw.tools.target import OnDevice, find_device
from microclaw.tools.tool import Parameters, Tool, ToolContext, ToolOutput


class _Nothing(Parameters):
    pass


class UndoParameters(OnDevice):
    change: int | None = Field(None, ge=1, description="A change's number; left out: all of the newest request.")


def inventory_tools(*, devices: Registry, undo: Undo) -> tuple[Tool[Any], ...]:
    """list-devices, device-info, device-status, undo."""

    async def list_devices(_: _Nothing, __: ToolContext) -> ToolOutput:
        known = [_entry(device) for device in devices.list()]
        return ToolOutput({"success": True, "devices": known, "count": len(known)})

    async def device_info(asked: OnDevice, context: ToolContext) -> ToolOutput:
        device = find_device(devices, context, asked.device)
        return await _facts(device, DeviceInfo())

    async def device_status(asked: OnDevice, context: ToolContext) -> ToolOutput:
        device = find_device(devices, context, asked.device)
        return await _facts(device, DeviceStatus())

    def on_device(asked: UndoParameters, context: ToolContext) -> str | None:
        reference = asked.device or (context.device if asked.change is None else None)
        return devices.get(reference).device_id if reference else None

    async def describe(asked: UndoParameters, context: ToolContext) -> tuple[str, ...]:
        changes = await undo.chosen(asked.change, device_id=on_device(asked, context), whole=asked.device is None)
        names = {device.device_id: device.name for device in devices.list()}
        return tuple(_undo_text(change, names.get(change.device_id, change.device_id)) for change in changes)

    async def take_back(asked: UndoParameters, context: ToolContext) -> ToolOutput:
        # `whole`: only a device that was named limits the undo to itself
        device_id, whole = on_device(asked, context), asked.device is None
        done = await undo.undo(asked.change, device_id=device_id, whole=whole, report=context.report)
        fields = {
            "success": True,
            "undone": "; ".join(one.undone.summary for one in done.taken),
            "change": done.taken[0].by.change_id,
            "changes": [one.by.change_id for one in done.taken],
            "message": done.text,
        }
        return ToolOutput(fields, tuple(one.evidence for one in done.taken))

    read, once = (Permission.READ, Effect.READ), (Permission.ACT, Effect.ONCE)
    text = "Take back all that the last request changed on devices (programs, pins) at once, or a numbered change."
    return (
        Tool("list-devices", "List the devices this host knows.", _Nothing, *read, list_devices),
        Tool("device-info", "What a device is: chip, firmware, board.", OnDevice, *read, device_info),
        Tool("device-status", "How a device is: uptime, memory, network.", OnDevice, *read, device_status),
        Tool("undo", text, UndoParameters, *once, take_back, describe=describe),
    )


def _undo_text(change: Change, device: str) -> str:
    if change.inverse is None:
        return f"stays: {change_text(change)}, on {device}: what was before it is not known"
    return f"takes back: {change_text(change)}, on {device}"


def _entry(device: Device) -> dict[str, Any]:
    return {
        "name": device.name,
        "board": device.board.title,
        "transports": list(device.endpoints),
        "labels": list(device.labels),
    }


async def _facts(device: Device, call: DeviceInfo | DeviceStatus) -> ToolOutput:
    """The board profile and what the device reports of itself; the profile alone when no transport can ask it."""
    fields: dict[str, Any] = {"success": True, "device": device.name, "board": device.board.title}
    fields |= {"chip": device.board.chip, "flash_mb": device.board.flash_mb, "psram_mb": device.board.psram_mb}
    try:
        facts: DeviceFacts = await device.call(call)
    except NotSupported as exc:
        fields["message"] = f"{exc.message}: only the board profile is known"
        return ToolOutput(fields)
    kind = device.evidence_of(call.method) or "reported"
    evidence = Evidence(kind, f"reported by {device.name} itself")
    return ToolOutput({**fields, "facts": dict(facts.values)}, (evidence,), foreign=_has_prose(facts.values))


def _has_prose(facts: Mapping[str, Any]) -> bool:
    """Whether a device reported more than numbers and single words: that may be untrusted text."""
    return any(isinstance(value, str) and (len(value) > 40 or " " in value) for value in facts.values())
