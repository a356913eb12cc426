"""Finds the device that a tool call means, by name or address; and makes the tools that act on a device."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated, Any, Final

from msgspec import Meta
from msgspec.structs import asdict, replace

from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.errors import ToolRetry, UnknownName
from microclaw.host.operations.operation import Effect, Permission
from microclaw.host.operations.tool import P, Parameters, Tool, ToolContext, ToolOutput

DEVICE_HELP: Final = "The device's name; may be left out when there is only one."


class DeviceParameters(Parameters, kw_only=True):
    """Arguments that begin with a device."""

    device: Annotated[str, Meta(description=DEVICE_HELP)] | None = None


def find_device(
    devices: Registry, context: ToolContext, name: str | None, address: str | None = None, *, is_spoken_to: bool = False
) -> Device:
    """Return the named device, the one at an address ("192.168.1.100", port optional), the chat's, or the only one.

    A voice device without pins counts only by its name, or for its own functions (`is_spoken_to`).
    Raises UnknownName for an unknown name or address, ToolRetry if several devices remain.
    """
    if name:
        return devices.get(name)
    all_devices = devices.list()
    if address:
        return _find_at_address(devices, all_devices, address)
    candidates = all_devices
    if not is_spoken_to:
        # If no device has pins, a voice device is better than none: its own error names the missing function.
        candidates = tuple(device for device in all_devices if device.board.pins) or all_devices
    if context.device:
        chat_device = devices.get(context.device)
        if chat_device in candidates:
            return chat_device
    return _only_device(candidates)


def _only_device(candidates: Sequence[Device]) -> Device:
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        step = "start a virtual one: microclaw up --virtual 1, or add yours: microclaw device add"
        raise UnknownName("there is no device yet", next_step=step)
    names = ", ".join(device.name for device in candidates)
    step = f'name it in the argument device, as in: "device": "{candidates[0].name}"'
    raise ToolRetry(f"which device? There are {len(candidates)}: {names}", next_step=step)


def _find_at_address(devices: Registry, all_devices: Sequence[Device], address: str) -> Device:
    # Models put names into the argument for addresses.
    if any(address in (device.name, device.device_id) for device in all_devices):
        return devices.get(address)
    for device in all_devices:
        for endpoint in device.endpoints:
            host_and_port = endpoint.partition("://")[2]
            if host_and_port and address in (host_and_port, host_and_port.rpartition(":")[0]):
                return device
    names = ", ".join(f"{device.name} ({', '.join(device.endpoints)})" for device in all_devices) or "none"
    raise UnknownName(
        f"no device of this host is at {address!r}; devices: {names}",
        next_step=f"microclaw device list; a new one: microclaw device add NAME --board BOARD --wasmachine {address}",
    )


# Callers unpack a pair of permission and effect, so these two are given by position.
def device_tool(  # noqa: PLR0913, PLR0917, RUF100
    devices: Registry,
    name: str,
    description: str,
    parameters: type[P],
    run: Callable[[Device, P, ToolContext], Awaitable[ToolOutput]],
    permission: Permission = Permission.READ,
    effect: Effect = Effect.READ,
    *,
    words: str | Callable[[Device, P], str] | None = None,
    is_spoken_to: bool = False,
    has_preview: bool = False,
    complete: Callable[[P, ToolContext], Awaitable[P]] | None = None,
    **hooks: Callable[[Device, P, ToolContext], Awaitable[Any]],
) -> Tool[P]:
    """Make a tool whose `run` and `hooks` get the device that the arguments mean; its name is in the result.

    `words` is the question of an approval: with the arguments in braces, and {device}. Its lines describe the device;
    those of the hook `describe` follow.
    """

    def device_for(arguments: Any, context: ToolContext) -> Device:
        address = getattr(arguments, "device_ip", None)
        return find_device(devices, context, arguments.device, address, is_spoken_to=is_spoken_to)

    def with_device(hook: Callable[[Device, P, ToolContext], Awaitable[Any]]) -> Callable[[P, ToolContext], Any]:
        return lambda arguments, context: hook(device_for(arguments, context), arguments, context)

    async def run_on_device(arguments: P, context: ToolContext) -> ToolOutput:
        device = device_for(arguments, context)
        output = await run(device, arguments, context)
        return replace(output, fields={"success": True, "device": device.name, **output.fields})

    async def describe(arguments: P, context: ToolContext) -> tuple[str, ...]:
        return await _describe(device_for(arguments, context), arguments, context, describe_more)

    describe_more = hooks.pop("describe", None)
    wrapped: dict[str, Any] = {"complete": complete, "has_preview": has_preview}
    wrapped |= {key: with_device(hook) for key, hook in hooks.items()}
    if permission is not Permission.READ:
        wrapped["describe"] = describe
    if words is not None:
        format_words = partial(_format_words, words)
        wrapped["words"] = lambda arguments, context, _: format_words(device_for(arguments, context), arguments)
    return Tool(name, description, parameters, permission, effect, run_on_device, **wrapped)


async def _describe(
    device: Device,
    arguments: P,
    context: ToolContext,
    describe_more: Callable[[Device, P, ToolContext], Awaitable[Any]] | None,
) -> tuple[str, ...]:
    if describe_more is None:
        return (device_line(device),)
    return (device_line(device), *await describe_more(device, arguments, context))


def _format_words(words: str | Callable[[Device, P], str], device: Device, arguments: P) -> str:
    if isinstance(words, str):
        return words.format_map({**asdict(arguments), "device": device.name})
    return words(device, arguments)


def device_line(device: Device) -> str:
    """Return the line about a device in an approval."""
    return f"on: {device.name}, {device.board.title} ({device.device_id})"
