"""The MCP tools of devices of xiaozhi's firmware, as tools of the agent while they are connected.

What a person needs every day has a name and bounds of ours. What a board has beyond that asks first. What the device
keeps for people (reboot, upgrade) is not listed by it, and left out here as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from keyword import iskeyword
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from microclaw.auth.gate import Effect, Permission
from microclaw.devices.device import Device
from microclaw.devices.registry import Registry
from microclaw.devices.target import OnDevice, device_tool, find_device
from microclaw.errors import DeviceUnreachable
from microclaw.events import Evidence
from microclaw.operations.tool import Parameters, Tool, ToolContext, ToolOutput
from microclaw.text import fence_text
from microclaw.voice.xiaozhi.device_tools import Argument, DeviceTools, ListedTool

VOLUME: Final = "self.audio_speaker.set_volume"
BRIGHTNESS: Final = "self.screen.set_brightness"
THEME: Final = "self.screen.set_theme"
STATUS: Final = "self.get_device_status"
NOT_OFFERED: Final = frozenset(
    {
        "self.reboot",
        "self.upgrade_firmware",
        "self.get_system_info",
        "self.assets.set_download_url",
        "self.camera.take_photo",
        "self.screen.get_info",
        "self.screen.snapshot",
        "self.screen.preview_image",
    }
)
MAX_NAME_CHARS: Final = 64
_MAX_TEXT_CHARS: Final = 1_000
_NOT_IN_A_NAME: Final = re.compile(r"[^A-Za-z0-9_-]+")
_WORD: Final = re.compile(r"[A-Za-z0-9]+")
_ARGUMENT: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


class VolumeParameters(OnDevice, kw_only=True):
    volume: Annotated[int, Meta(ge=0, le=100, description="Percent.")]


class BrightnessParameters(OnDevice, kw_only=True):
    brightness: Annotated[int, Meta(ge=0, le=100, description="Percent.")]


class ThemeParameters(OnDevice, kw_only=True):
    theme: Literal["light", "dark"]


class StatusParameters(OnDevice):
    pass


def xiaozhi_tools(devices: Registry, tools_of: Callable[[str], DeviceTools | None]) -> tuple[Tool[Any], ...]:
    """Those of the devices that are connected now; `tools_of` finds them by the device's id."""
    here = [(device, tools) for device in devices.list() if (tools := tools_of(device.device_id)) is not None]
    listed = {tool.name for _, tools in here for tool in tools.listed}
    if not listed:
        return ()
    named = {name: tool for name, tool in _everyday_tools(devices, tools_of).items() if name in listed}
    own = (
        _own_tool(device, tools, tool)
        for device, tools in here
        for tool in tools.listed
        if tool.name not in named and tool.name not in NOT_OFFERED and _has_usable_names(tool)
    )
    by_name = {tool.name: tool for tool in (*own, *named.values())}
    return tuple(by_name.values())


def _everyday_tools(devices: Registry, tools_of: Callable[[str], DeviceTools | None]) -> dict[str, Tool[Any]]:
    """By the device's own name of each."""

    def setting(own_name: str, name: str, about: str, kind: type[OnDevice], words: str, told: str) -> Tool[Any]:
        """Sets what `kind` has besides the device."""
        (key,) = {*kind.__struct_fields__} - {*OnDevice.__struct_fields__}

        async def run(device: Device, asked: OnDevice, _: ToolContext) -> ToolOutput:
            values = {key: getattr(asked, key)}
            await _tools_with(own_name, device, tools_of).call(own_name, values)
            return ToolOutput({}, (Evidence("accepted", f"{device.name} took it: {told.format(**values)}"),))

        act = (Permission.ACT, Effect.IDEMPOTENT)
        return device_tool(devices, name, about, kind, run, *act, words=words, is_spoken_to=True)

    async def status(asked: StatusParameters, context: ToolContext) -> ToolOutput:
        device = find_device(devices, context, asked.device, is_spoken_to=True)
        text = await _tools_with(STATUS, device, tools_of).call(STATUS, {})
        fields = {"success": True, "device": device.name, "status": fence_text(text, device.name)}
        return ToolOutput(fields, (Evidence("reported", f"told by {device.name}"),))

    return {
        VOLUME: setting(
            VOLUME,
            "voice-volume",
            "Set how loud a voice device speaks.",
            VolumeParameters,
            "set the volume of {device} to {volume} %",
            "the volume is {volume} %",
        ),
        BRIGHTNESS: setting(
            BRIGHTNESS,
            "voice-brightness",
            "Set how bright the screen of a voice device is.",
            BrightnessParameters,
            "set the screen of {device} to {brightness} % brightness",
            "the screen's brightness is {brightness} %",
        ),
        THEME: setting(
            THEME,
            "voice-theme",
            "Make the screen of a voice device light or dark.",
            ThemeParameters,
            "set the screen of {device} to {theme}",
            "the screen's theme is {theme}",
        ),
        STATUS: Tool(
            "voice-status",
            "What a voice device says of its volume, screen, battery and network.",
            StatusParameters,
            Permission.READ,
            Effect.READ,
            status,
            foreign=True,
        ),
    }


def _tools_with(name: str, device: Device, tools_of: Callable[[str], DeviceTools | None]) -> DeviceTools:
    tools = tools_of(device.device_id)
    if tools is None or all(tool.name != name for tool in tools.listed):
        raise DeviceUnreachable(
            f"{device.name} is not connected, or cannot do that",
            next_step="speak to it: it connects for a conversation",
        )
    return tools


def _own_tool(device: Device, tools: DeviceTools, listed: ListedTool) -> Tool[Any]:
    """A tool that only this board has. Its words are the device's: they are not shown to a model."""

    async def run(asked: Parameters, _: ToolContext) -> ToolOutput:
        text = await tools.call(
            listed.name, {name: value for name, value in msgspec.structs.asdict(asked).items() if value is not None}
        )
        fields = {"success": True, "device": device.name, "result": fence_text(text, device.name)}
        return ToolOutput(fields, (Evidence("reported", f"told by {device.name}"),))

    name = f"voice_{device.name}_{_NOT_IN_A_NAME.sub('_', listed.name.removeprefix('self.'))}"
    return Tool(
        name[:MAX_NAME_CHARS],
        f"A tool of the voice device {device.name} itself.",
        _parameters(listed),
        Permission.RISKY,
        Effect.ONCE,
        run,
        foreign=True,
        title=_title(device, listed),
    )


def _title(device: Device, listed: ListedTool) -> str:
    """ "lamp turn on kitchen": what a person is asked, also aloud, where no sign between the words is heard."""
    words = " ".join(_WORD.findall(listed.name.removeprefix("self.")))[:MAX_NAME_CHARS]
    return f"{words or 'a tool of its own'} on {device.name}"


def _has_usable_names(listed: ListedTool) -> bool:
    return all(_ARGUMENT.fullmatch(name) and not iskeyword(name) for name in listed.input_schema.properties)


def _parameters(listed: ListedTool) -> type[msgspec.Struct]:
    schema = listed.input_schema
    fields: list[Any] = [
        (name, _kind(one)) if name in schema.required else (name, _kind(one) | None, None)
        for name, one in schema.properties.items()
    ]
    return msgspec.defstruct("BoardParameters", fields, bases=(Parameters,), kw_only=True)


def _kind(argument: Argument) -> Any:
    if argument.type == "integer":
        return Annotated[int, Meta(ge=argument.minimum, le=argument.maximum)]
    return Annotated[str, Meta(max_length=_MAX_TEXT_CHARS)] if argument.type == "string" else bool
