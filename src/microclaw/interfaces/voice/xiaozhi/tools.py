"""The MCP tools of devices of xiaozhi's firmware, as tools of the agent while the devices are connected.

Everyday tools have names and limits of this host. A board's other tools ask for approval. Tools that the device keeps
for people (reboot, upgrade) are not in its list, and are left out here as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from keyword import iskeyword
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.devices.registry.target import DeviceParameters, device_tool
from microclaw.events import Evidence
from microclaw.host.operations.operation import Effect, Permission
from microclaw.host.operations.tool import Parameters, Tool, ToolContext, ToolOutput
from microclaw.interfaces.voice.xiaozhi.device_tools import Argument, DeviceTools, ListedTool, not_connected
from microclaw.text import fence_text

HIDDEN_TOOLS: Final = frozenset({
    "self.reboot", "self.upgrade_firmware", "self.get_system_info", "self.assets.set_download_url",
    "self.camera.take_photo", "self.screen.get_info", "self.screen.snapshot", "self.screen.preview_image",
})  # fmt: skip
MAX_NAME_CHARS: Final = 64
_MAX_TEXT_CHARS: Final = 1_000
_NOT_IN_A_NAME: Final = re.compile(r"[^A-Za-z0-9_-]+")
_WORD: Final = re.compile(r"[A-Za-z0-9]+")
_ARGUMENT: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")

ToolsOf: TypeAlias = Callable[[str], DeviceTools | None]
"""Return the tools of the device with this id, or None if it is not connected."""
_Percent: TypeAlias = Annotated[int, Meta(ge=0, le=100, description="Percent.")]


_SETTINGS: Final[Mapping[str, tuple[str, Any]]] = {
    "self.audio_speaker.set_volume": ("volume", _Percent),
    "self.screen.set_brightness": ("brightness", _Percent),
    "self.screen.set_theme": ("theme", Literal["light", "dark"]),
}
_STATUS: Final = "self.get_device_status"


def xiaozhi_tools(devices: Registry, tools_of: ToolsOf) -> tuple[Tool[Any], ...]:
    """Return the tools of the devices that are connected now."""
    everyday_tools = {_STATUS: _status_tool(devices, tools_of)}
    for own_name, (setting, kind) in _SETTINGS.items():
        everyday_tools[own_name] = _setting_tool(devices, tools_of, own_name, setting, kind)
    tools_by_name: dict[str, Tool[Any]] = {}
    for device in devices.list():
        device_tools = tools_of(device.device_id)
        if device_tools is None:
            continue
        for listed in device_tools.listed:
            if listed.name not in HIDDEN_TOOLS and _has_usable_names(listed):
                tool = everyday_tools.get(listed.name) or _board_tool(device, device_tools, listed)
                tools_by_name[tool.name] = tool
    return tuple(tools_by_name.values())


def _setting_tool(devices: Registry, tools_of: ToolsOf, own_name: str, setting: str, kind: Any) -> Tool[Any]:
    """Return the tool for a setting. `own_name` is the firmware's name of it, `kind` the type of its value."""
    words = f"set the {setting} of {{device}} to {{{setting}}}"
    parameters = msgspec.defstruct("SettingParameters", [(setting, kind)], bases=(DeviceParameters,), kw_only=True)

    async def run(device: Device, request: DeviceParameters, _: ToolContext) -> ToolOutput:
        values = {setting: getattr(request, setting)}
        await _call(tools_of, device, own_name, values)
        action = words.format(device=device.name, **values)
        return ToolOutput({}, (Evidence("accepted", f"{device.name} took it: {action}"),))

    return device_tool(
        devices,
        f"voice-{setting}",
        f"Set the {setting} of a voice device.",
        parameters,
        run,
        Permission.ACT,
        Effect.IDEMPOTENT,
        words=words,
        is_spoken_to=True,
    )


def _status_tool(devices: Registry, tools_of: ToolsOf) -> Tool[Any]:
    async def run(device: Device, _: DeviceParameters, __: ToolContext) -> ToolOutput:
        text = await _call(tools_of, device, _STATUS, {})
        evidence = Evidence("reported", f"answered by {device.name}")
        return ToolOutput({"status": fence_text(text, device.name)}, (evidence,), foreign=True)

    about = "What a voice device says of its volume, screen, battery and network."
    return device_tool(devices, "voice-status", about, DeviceParameters, run, is_spoken_to=True)


async def _call(tools_of: ToolsOf, device: Device, own_name: str, values: dict[str, Any]) -> str:
    """Call a tool of a device by the firmware's name. Raises DeviceUnreachable if the device does not have it now."""
    tools = tools_of(device.device_id)
    if tools is None or all(tool.name != own_name for tool in tools.listed):
        raise not_connected(device)
    return await tools.call(own_name, values)


def _board_tool(device: Device, tools: DeviceTools, listed: ListedTool) -> Tool[Any]:
    """Return a tool that only this board has. Its description is the device's, so no model sees it.

    The question to the person, which may be spoken, has its title ("lamp turn on kitchen"): words without signs.
    """

    async def run(request: Parameters, _: ToolContext) -> ToolOutput:
        arguments = {name: value for name, value in msgspec.structs.asdict(request).items() if value is not None}
        text = await tools.call(listed.name, arguments)
        fields = {"success": True, "device": device.name, "result": fence_text(text, device.name)}
        return ToolOutput(fields, (Evidence("reported", f"answered by {device.name}"),))

    own_name = listed.name.removeprefix("self.")
    words = " ".join(_WORD.findall(own_name))[:MAX_NAME_CHARS] or "a tool of its own"
    return Tool(
        f"voice_{device.name}_{_NOT_IN_A_NAME.sub('_', own_name)}"[:MAX_NAME_CHARS],
        f"A tool of the voice device {device.name} itself.",
        _parameters(listed),
        Permission.RISKY,
        Effect.ONCE,
        run,
        foreign=True,
        title=f"{words} on {device.name}",
    )


def _has_usable_names(listed: ListedTool) -> bool:
    """Return True if all arguments can be fields of a class."""
    return all(_ARGUMENT.fullmatch(name) and not iskeyword(name) for name in listed.input_schema.properties)


def _parameters(listed: ListedTool) -> type[msgspec.Struct]:
    """Return a class with the tool's arguments. An argument that is not required may be None."""
    schema = listed.input_schema
    fields: list[Any] = []
    for name, argument in schema.properties.items():
        kind = _argument_type(argument)
        if name in schema.required:
            fields.append((name, kind))
        else:
            fields.append((name, kind | None, None))
    return msgspec.defstruct("BoardParameters", fields, bases=(Parameters,), kw_only=True)


def _argument_type(argument: Argument) -> Any:
    if argument.type == "integer":
        return Annotated[int, Meta(ge=argument.minimum, le=argument.maximum)]
    if argument.type == "string":
        return Annotated[str, Meta(max_length=_MAX_TEXT_CHARS)]
    return bool
