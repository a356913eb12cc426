"""The tool that shows or says a text on a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.devices.registry.target import DeviceParameters, device_tool
from microclaw.events import Evidence
from microclaw.host.operations.operation import Effect, Permission
from microclaw.host.operations.tool import Tool, ToolContext, ToolOutput

if TYPE_CHECKING:
    from microclaw.devices.link.server import LinkServer


class NotifyParameters(DeviceParameters, kw_only=True):
    text: Annotated[str, Meta(min_length=1, max_length=2000)]
    speak: Annotated[bool, Meta(description="Say it aloud, where the device can.")] = False
    expires_s: Annotated[int, Meta(ge=1, description="Worth nothing after so many seconds.")] | None = None


def notify_tool(*, notifier: LinkServer, devices: Registry) -> Tool[NotifyParameters]:
    """Make the tool notify."""

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
