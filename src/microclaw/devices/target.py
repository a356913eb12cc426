"""The device that a tool call is about, decided from names and addresses; and the tools that have one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final, Protocol

from msgspec import Meta
from msgspec.structs import asdict, replace

from microclaw.devices.device import Device
from microclaw.devices.registry import Registry
from microclaw.errors import ToolRetry, UnknownName
from microclaw.operations.operation import Effect, Permission
from microclaw.operations.tool import P, Parameters, Tool, ToolContext, ToolOutput

DEVICE_HELP: Final = "The device's name; may be left out when there is only one."


class Devices(Protocol):
    """The registry's part in the context of a turn."""

    def list(self) -> Sequence[Device]: ...

    def get(self, reference: str) -> Device: ...


class OnDevice(Parameters, kw_only=True):
    """Arguments that begin with a device."""

    device: Annotated[str, Meta(description=DEVICE_HELP)] | None = None


def find_device(
    devices: Registry, context: ToolContext, name: str | None, address: str | None = None, *, is_spoken_to: bool = False
) -> Device:
    """The named device, the one at an address ("192.168.1.100", with or without port), the chat's, or the only one.

    One without pins, which is only spoken to, is meant by its name, or for what it does itself (`is_spoken_to`).
    Raises UnknownName for an unknown name or address, ToolRetry when it could be one of several devices.
    """
    if name:
        return devices.get(name)
    known = devices.list()
    if address:
        return _at_address(devices, known, address)
    if is_spoken_to:
        boards = known
    else:
        boards = tuple(device for device in known if device.board.pins) or known
    if context.device and ((chats := devices.get(context.device)) in boards):
        return chats
    known = boards
    if len(known) == 1:
        return known[0]
    if not known:
        step = "start a virtual one: microclaw up --virtual 1, or add yours: microclaw device add"
        raise UnknownName("there is no device yet", next_step=step)
    names = ", ".join(d.name for d in known)
    step = f'name it in the argument device, as in: "device": "{known[0].name}"'
    raise ToolRetry(f"which device? There are {len(known)}: {names}", next_step=step)


def device_tool(
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
    """A tool whose `run` and `hooks` get the device that the arguments mean; its name is in the result.

    `words` is what is asked: with the arguments in braces, and {device}. An act is described by its device.
    """

    def meant(asked: Any, context: ToolContext) -> Device:
        address = getattr(asked, "device_ip", None)
        return find_device(devices, context, asked.device, address, is_spoken_to=is_spoken_to)

    def on_device(hook: Callable[[Device, P, ToolContext], Awaitable[Any]]) -> Callable[[P, ToolContext], Any]:
        return lambda asked, context: hook(meant(asked, context), asked, context)

    async def run_on_device(asked: P, context: ToolContext) -> ToolOutput:
        device = meant(asked, context)
        output = await run(device, asked, context)
        return replace(output, fields={"success": True, "device": device.name, **output.fields})

    async def describe(asked: P, context: ToolContext) -> tuple[str, ...]:
        return (device_line(meant(asked, context)),)

    def say(asked: P, context: ToolContext, _: Sequence[str]) -> str:
        device = meant(asked, context)
        if isinstance(words, str):
            return words.format_map({**asdict(asked), "device": device.name})
        assert words is not None
        return words(device, asked)

    wrapped: dict[str, Any] = {key: on_device(hook) for key, hook in hooks.items()}
    return Tool(
        name,
        description,
        parameters,
        permission,
        effect,
        run_on_device,
        has_preview=has_preview,
        describe=None if permission is Permission.READ else describe,
        words=None if words is None else say,
        complete=complete,
        **wrapped,
    )


def device_line(device: Device) -> str:
    """A device in the lines of an approval."""
    return f"on: {device.name}, {device.board.title} ({device.device_id})"


def _at_address(devices: Registry, known: Sequence[Device], address: str) -> Device:
    if any(address in (d.name, d.device_id) for d in known):
        return devices.get(address)
    for device in known:
        for endpoint in device.endpoints:
            host_and_port = endpoint.partition("://")[2]
            if host_and_port and address in (host_and_port, host_and_port.rpartition(":")[0]):
                return device
    names = ", ".join(f"{d.name} ({', '.join(d.endpoints)})" for d in known) or "none"
    text = f"no device of this host is at {address!r}; devices: {names}"
    raise UnknownName(
        text,
        next_step=f"microclaw device list; a new one: microclaw device add NAME --board BOARD --wasmachine {address}",
    )
