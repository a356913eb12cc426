"""The notify tool: tell a device something that it shows or says. Asks nothing of the device."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from pydantic import Field

from microclaw.bus.events import Evidence
from microclaw.policy.gate import Effect, Permission
from microclaw.tools.target import Devices, find_device, meaning_device
from microclaw.tools.tool import Parameters, Tool, ToolContext, ToolOutput


class Notifier(Protocol):
    """faces.link.plane.DevicePlane."""

    async def notify(
        self, reference: str, text: str, *, speak: bool, expires_s: int | None
    ) -> Literal["delivered", "waiting"]: ...


class NotifyParameters(Parameters):
    text: str = Field(min_length=1, max_length=2000)
    device: str | None = Field(None, description="The device's name; may be left out when there is only one.")
    speak: bool = Field(False, description="Say it aloud, where the device can.")
    expires_s: int | None = Field(None, ge=1, description="Worth nothing after so many seconds.")


def notifying_tools(*, notifier: Notifier, devices: Devices) -> tuple[Tool[Any], ...]:
    """notify."""

    async def notify(asked: NotifyParameters, context: ToolContext) -> ToolOutput:
        device = find_device(devices, context, device=asked.device)
        state = await notifier.notify(device.name, asked.text, speak=asked.speak, expires_s=asked.expires_s)
        if state == "delivered":
            evidence = Evidence("reported", f"{device.name} says that it has the note")
        else:
            evidence = Evidence("accepted", f"kept for {device.name}, which is not connected")
        return ToolOutput({"success": True, "device": device.name, "state": state}, (evidence,))

    text = "Show or say a text on a device, now or when it comes back."
    return (Tool("notify", text, NotifyParameters, Permission.ACT, Effect.ONCE, notify, means=meaning_device(devices)),)
