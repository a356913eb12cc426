"""The MCP tools of devices of xiaozhi's firmware, as tools of the agent while they are connected.

What a person needs every day has a name and bounds of ours. What a board has beyond that asks first. What the device
keeps for people (reboot, upgrade) is not listed by it, and left out here as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from keyword import iskeyword
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from microclaw.auth.gate import Effect, Permission
from microclaw.devices.device import Device
from microclaw.devices.registry import Registry
from microclaw.devices.target import OnDevice, device_tool
from microclaw.events import Evidence
from microclaw.operations.tool import Parameters, Tool, ToolContext, ToolOutput
from microclaw.text import fence_text
from microclaw.voice.xiaozhi.device_tools import Argument, DeviceTools, ListedTool, not_connected

NOT_OFFERED: Final = frozenset({
    "self.reboot", "self.upgrade_firmware", "self.get_system_info", "self.assets.set_download_url",
    "self.camera.take_photo", "self.screen.get_info", "self.screen.snapshot", "self.screen.preview_image",
})  # fmt: skip
MAX_NAME_CHARS: Final = 64
_MAX_TEXT_CHARS: Final = 1_000
_NOT_IN_A_NAME: Final = re.compile(r"[^A-Za-z0-9_-]+")
_WORD: Final = re.compile(r"[A-Za-z0-9]+")
_ARGUMENT: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")

ToolsOf: TypeAlias = Callable[[str], DeviceTools | None]
"""The tools of the device with this id, if it is connected."""
_Percent: TypeAlias = Annotated[int, Meta(ge=0, le=100, description="Percent.")]


_SETTINGS: Final[Mapping[str, tuple[str, Any]]] = {
    "self.audio_speaker.set_volume": ("volume", _Percent),
    "self.screen.set_brightness": ("brightness", _Percent),
    "self.screen.set_theme": ("theme", Literal["light", "dark"]),
}
_STATUS: Final = "self.get_device_status"


def xiaozhi_tools(devices: Registry, tools_of: ToolsOf) -> tuple[Tool[Any], ...]:
    """Those of the devices that are connected now."""
    here = [(device, tools) for device in devices.list() if (tools := tools_of(device.device_id)) is not None]
    everyday = {own: _setting(devices, tools_of, own, *row) for own, row in _SETTINGS.items()}
    everyday[_STATUS] = _status(devices, tools_of)
    by_name: dict[str, Tool[Any]] = {}
    for device, tools in here:
        for listed in tools.listed:
            if listed.name not in NOT_OFFERED and _has_usable_names(listed):
                tool = everyday.get(listed.name) or _own_tool(device, tools, listed)
                by_name[tool.name] = tool
    return tuple(by_name.values())


def _setting(devices: Registry, tools_of: ToolsOf, own: str, setting: str, kind: Any) -> Tool[Any]:
    words = f"set the {setting} of {{device}} to {{{setting}}}"
    parameters = msgspec.defstruct("SettingParameters", [(setting, kind)], bases=(OnDevice,), kw_only=True)

    async def run(device: Device, asked: OnDevice, _: ToolContext) -> ToolOutput:
        values = {setting: getattr(asked, setting)}
        await _call(tools_of, device, own, values)
        told = words.format(device=device.name, **values)
        return ToolOutput({}, (Evidence("accepted", f"{device.name} took it: {told}"),))

    act = (Permission.ACT, Effect.IDEMPOTENT)
    name = f"voice-{setting}"
    about = f"Set the {setting} of a voice device."
    return device_tool(devices, name, about, parameters, run, *act, words=words, is_spoken_to=True)


def _status(devices: Registry, tools_of: ToolsOf) -> Tool[Any]:
    async def run(device: Device, _: OnDevice, __: ToolContext) -> ToolOutput:
        text = await _call(tools_of, device, _STATUS, {})
        evidence = Evidence("reported", f"told by {device.name}")
        return ToolOutput({"status": fence_text(text, device.name)}, (evidence,), foreign=True)

    about = "What a voice device says of its volume, screen, battery and network."
    return device_tool(devices, "voice-status", about, OnDevice, run, is_spoken_to=True)


async def _call(tools_of: ToolsOf, device: Device, own: str, values: dict[str, Any]) -> str:
    tools = tools_of(device.device_id)
    if tools is None or all(tool.name != own for tool in tools.listed):
        raise not_connected(device)
    return await tools.call(own, values)


def _own_tool(device: Device, tools: DeviceTools, listed: ListedTool) -> Tool[Any]:
    """A tool that only this board has. Its words are the device's: they are not shown to a model.

    Its title ("lamp turn on kitchen") is what a person is asked, also aloud: no sign between the words is heard.
    """

    async def run(asked: Parameters, _: ToolContext) -> ToolOutput:
        given = {name: value for name, value in msgspec.structs.asdict(asked).items() if value is not None}
        text = await tools.call(listed.name, given)
        fields = {"success": True, "device": device.name, "result": fence_text(text, device.name)}
        return ToolOutput(fields, (Evidence("reported", f"told by {device.name}"),))

    own = listed.name.removeprefix("self.")
    words = " ".join(_WORD.findall(own))[:MAX_NAME_CHARS] or "a tool of its own"
    return Tool(
        f"voice_{device.name}_{_NOT_IN_A_NAME.sub('_', own)}"[:MAX_NAME_CHARS],
        f"A tool of the voice device {device.name} itself.",
        _parameters(listed),
        Permission.RISKY,
        Effect.ONCE,
        run,
        foreign=True,
        title=f"{words} on {device.name}",
    )


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
    if argument.type == "string":
        return Annotated[str, Meta(max_length=_MAX_TEXT_CHARS)]
    return bool
