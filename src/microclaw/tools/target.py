"""Which device a tool call is about. Decides from names; asks no device."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeAlias

from microclaw.devices.device import Device
from microclaw.errors import ToolRetry, UnknownName
from microclaw.tools.tool import ToolContext

Means: TypeAlias = Callable[[Any, ToolContext], Awaitable[tuple[str, ...]]]


class Devices(Protocol):
    """What tools need of the registry."""

    def list(self) -> Sequence[Device]: ...

    def get(self, reference: str) -> Device: ...


def find_device(devices: Devices, context: ToolContext, *, device: str | None, address: str | None = None) -> Device:
    """The named device, the one at an address ("192.168.1.100", with or without port), the chat's, or the only one.

    Raises UnknownName for a name that is none, ToolRetry when several could be meant.
    """
    if device:
        return devices.get(device)
    known = tuple(devices.list())
    if address:
        return _at_address(devices, known, address)
    if context.device:
        return devices.get(context.device)
    if len(known) == 1:
        return known[0]
    if not known:
        raise UnknownName(
            "there is no device yet",
            next_step="start a virtual one: microclaw up --virtual 1, or add yours: microclaw device add",
        )
    names = ", ".join(d.name for d in known)
    raise ToolRetry(f"which device? There are {len(known)}: {names}", next_step="name one of them as `device`")


def meaning_device(devices: Devices) -> Means:
    """For `Tool.means`: which board the arguments are about, though they name it by its name or not at all."""

    async def means(asked: Any, context: ToolContext) -> tuple[str, ...]:
        device = find_device(devices, context, device=asked.device, address=getattr(asked, "device_ip", None))
        return (f"on: {device.name}, {device.board.title} ({device.device_id})",)

    return means


def _at_address(devices: Devices, known: Sequence[Device], address: str) -> Device:
    if any(address in (d.name, d.device_id) for d in known):
        return devices.get(address)
    for device in known:
        for endpoint in device.endpoints:
            place = endpoint.partition("://")[2]
            if place and (place == address or place.rpartition(":")[0] == address):
                return device
    names = ", ".join(f"{d.name} ({', '.join(d.endpoints)})" for d in known) or "none"
    raise UnknownName(
        f"no device of this host is at {address!r}; devices: {names}",
        next_step=f"microclaw device add NAME --board BOARD --wasmachine {address}",
    )
