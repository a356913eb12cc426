"""Which device a tool call is about: decided from names and addresses. Asks no device."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final, Protocol, TypeAlias

from msgspec import Meta
from msgspec.structs import asdict

from microclaw.devices.device import Device
from microclaw.devices.registry import Registry
from microclaw.errors import ToolRetry, UnknownName
from microclaw.operations.tool import Parameters, ToolContext

Describe: TypeAlias = Callable[[Any, ToolContext], Awaitable[tuple[str, ...]]]
Words: TypeAlias = Callable[[Any, ToolContext, Sequence[str]], str]

DEVICE_HELP: Final = "The device's name; may be left out when there is only one."


class Devices(Protocol):
    """What the context of a turn needs of the registry."""

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
    boards = known if is_spoken_to else tuple(device for device in known if device.board.pins) or known
    if context.device and ((chats := devices.get(context.device)) in boards):
        return chats
    known = boards
    if len(known) == 1:
        return known[0]
    if not known:
        raise UnknownName(
            "there is no device yet",
            next_step="start a virtual one: microclaw up --virtual 1, or add yours: microclaw device add",
        )
    names = ", ".join(d.name for d in known)
    step = f'name it in the argument device, as in: "device": "{known[0].name}"'
    raise ToolRetry(f"which device? There are {len(known)}: {names}", next_step=step)


def describe_device(devices: Registry, *, is_spoken_to: bool = False) -> Describe:
    """For `Tool.describe`: the device that the arguments mean, with its board and id."""

    async def describe(asked: Any, context: ToolContext) -> tuple[str, ...]:
        address = getattr(asked, "device_ip", None)
        device = find_device(devices, context, asked.device, address, is_spoken_to=is_spoken_to)
        return (f"on: {device.name}, {device.board.title} ({device.device_id})",)

    return describe


def on_device(devices: Registry, text: str, *, is_spoken_to: bool = False) -> Words:
    """For `Tool.words`: `text` with the arguments in braces, and {device}: "remove {app_name} from {device}"."""

    def words(asked: Any, context: ToolContext, _: Sequence[str]) -> str:
        address = getattr(asked, "device_ip", None)
        device = find_device(devices, context, asked.device, address, is_spoken_to=is_spoken_to)
        return text.format_map({**asdict(asked), "device": device.name})

    return words


def _at_address(devices: Registry, known: Sequence[Device], address: str) -> Device:
    if any(address in (d.name, d.device_id) for d in known):
        return devices.get(address)
    for device in known:
        for endpoint in device.endpoints:
            host_and_port = endpoint.partition("://")[2]
            if host_and_port and address in (host_and_port, host_and_port.rpartition(":")[0]):
                return device
    names = ", ".join(f"{d.name} ({', '.join(d.endpoints)})" for d in known) or "none"
    raise UnknownName(
        f"no device of this host is at {address!r}; devices: {names}",
        next_step=f"microclaw device add NAME --board BOARD --wasmachine {address}",
    )
