"""The tool that stops, starts and restarts a program that is installed. The acts are in apps/lifecycle.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from microclaw.apps.lifecycle import Lifecycle
from microclaw.auth.gate import Effect, Permission
from microclaw.devices.registry import Registry
from microclaw.tools.target import OnDevice, describe_device, find_device
from microclaw.tools.tool import Tool, ToolContext, ToolOutput


class SwitchParameters(OnDevice):
    app_name: str = Field(alias="appName", min_length=1, max_length=126)
    switch: Literal["stop", "start", "restart"]


def switch_tool(*, lifecycle: Lifecycle, devices: Registry) -> Tool[SwitchParameters]:
    """switch-program."""

    async def switch(asked: SwitchParameters, context: ToolContext) -> ToolOutput:
        device, name = find_device(devices, context, asked.device), asked.app_name
        match asked.switch:
            case "stop":
                done, what = await lifecycle.stop(device.device_id, name, context.report), "stopped"
            case "start":
                done, what = await lifecycle.start(device.device_id, name, context.report), "started"
            case "restart":
                done, what = await lifecycle.restart(device.device_id, name, context.report), "restarted"
        fields: dict[str, Any] = {
            "success": True,
            "device": done.device_name,
            "appName": done.name,
            "switch": asked.switch,
            "verified": done.verified,
            "change": done.change_id,
            "message": f"{what} {done.name} on {done.device_name}",
        }
        return ToolOutput(fields, (done.evidence,))

    def words(asked: SwitchParameters, context: ToolContext, _: Sequence[str]) -> str:
        return f"{asked.switch} {asked.app_name} on {find_device(devices, context, asked.device).name}"

    return Tool(
        "switch-program",
        "Stop a program and keep it for later, start a stopped one again, or restart one.",
        SwitchParameters,
        Permission.ACT,
        Effect.ONCE,
        switch,
        describe=describe_device(devices),
        words=words,
    )
