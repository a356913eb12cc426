"""The acts of devices that a host knows: entries, calls, what they printed and counted. Pairing is in devices/link."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

from msgspec import Meta

from microclaw.devices.link.device_facts import LastValues, device_facts, pending_pairings, pin_facts
from microclaw.devices.link.operations import Board, DeviceName, LinkService
from microclaw.devices.link.results import AddedDevice, DeviceDetails, DeviceList, ListedDevice, OneDevice
from microclaw.devices.registry.device_entry import label_differences, wiring_differences
from microclaw.errors import ConfigError
from microclaw.hardware.boards.reader import board_ids
from microclaw.host.operations.forms import NO_COMMAND, Asks, CommandForm, HttpAnswer
from microclaw.host.operations.operation import Access, Effect, OperationCall, Option, Permission, operation
from microclaw.host.operations.result import Result

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from microclaw.devices.registry.device import Device
    from microclaw.programs.changes.services import AppServices

MAX_LISTED: Final = 1_000  # devices in one answer: the event loop makes it in one piece


class DeviceService(LinkService, frozen=True, kw_only=True):
    """The parts that the acts work with. `last` has the newest values of devices."""

    apps: AppServices
    last: LastValues

    async def revoked(self) -> frozenset[str]:
        if self.link is None:
            return frozenset()
        return await self.link.revoked()


Transports: TypeAlias = Annotated[
    list[str],
    Meta(max_length=8, description="Ways into it, such as wasmachine://192.168.1.20:80; console:auto is this host's."),
]
FirmwareWords: TypeAlias = Annotated[list[str], Meta(max_length=64, description="As docs/firmware.md has them.")]
Labels: TypeAlias = Annotated[
    list[str],
    Meta(max_length=16, description="Words, or room=kitchen; pin-5=lamp names a pin in its wiring."),
    Option(rest=True, metavar="[LABEL]..."),
]
RemovedLabels: TypeAlias = Annotated[
    list[str], Meta(max_length=16, description="A label to take away."), Option("--remove", metavar="LABEL")
]


@operation("device.list", http="GET /v1/devices", access=Access.LOOK)
async def list_devices(
    service: DeviceService,
    _: OperationCall,
    after: Annotated[str, Meta(max_length=64, description="Those after this name."), Option(hidden=True)] = "",
    limit: Annotated[int, Meta(ge=1, le=MAX_LISTED, description="At most."), Option(hidden=True)] = MAX_LISTED,
) -> DeviceList:
    """List the devices by name, and those that wait to be paired."""
    revoked = await service.revoked()
    rest = [device for device in service.registry.list() if device.name > after]
    free_pins = await service.free_pins(rest[:limit])
    devices = []
    for device in rest[:limit]:
        device_id = device.device_id
        facts = device_facts(
            device, service.link, ListedDevice, free_pins=free_pins[device_id], revoked=device_id in revoked
        )
        devices.append(facts)
    next_name = None
    if len(rest) > limit:
        next_name = rest[limit - 1].name
    pairings = await pending_pairings(service.link)
    handshake_end = None
    if service.link is not None:
        handshake_end = service.link.recent_handshake_end()
    return DeviceList(devices=devices, next=next_name, pairings=pairings, handshake_end=handshake_end)


@operation("device.show", http="GET /v1/devices/{device}", access=Access.LOOK)
async def show_device(service: DeviceService, _: OperationCall, device: DeviceName) -> OneDevice:
    """Show one device: its state, its last values and what works on such boards (--json: also its pins)."""
    from microclaw.hardware.boards.feature_status import family_of, today_object

    found = service.registry.get(device)
    board = found.board
    device_id = found.device_id
    facts = await service.facts(found, DeviceDetails)
    firmware = None
    if facts.link is not None:
        firmware = facts.link.firmware or ""
    family = None
    if not facts.voice_only:
        family = family_of(board.board_id, board.chip, found.kinds, firmware)
    today = None
    if family is not None:
        today = today_object(family, found.capabilities)
    problem = None
    for check in service.apps.reconciler.status():
        if check.device_id == device_id:
            problem = check.problem
    return await service.facts(
        found,
        OneDevice,
        revoked=device_id in await service.revoked(),
        today=today,
        pins=pin_facts(board, found.wiring),
        layout=board.layout,
        led=board.led,
        problem=problem,
        telemetry=service.last.of(device_id),
    )


@operation(
    "device.add",
    http="POST /v1/devices",
    permission=Permission.ACT,
    access=Access.OWN,  # a transport is an address or a file that this host then opens
    answer=HttpAnswer(201, place="/v1/devices/{name}"),
    asks=Asks.ITSELF,
    command=NO_COMMAND,
)
async def add_device(
    service: DeviceService,
    call: OperationCall,
    name: str,
    *,
    board: Board = None,
    transports: Transports = [],  # noqa: B006  msgspec copies it
    labels: Labels = [],  # noqa: B006
    firmware: FirmwareWords | None = None,
) -> AddedDevice:
    """Add a device by its addresses.

    Without a board: more addresses, or what its firmware has, to the device of that name.
    """
    from microclaw.hardware.boards.firmware import parse_firmware

    registry = service.registry
    by = service.by(call)
    described = None
    if firmware is not None:
        described = parse_firmware(firmware)
    endpoints = await _endpoints_of(transports)
    await call.approve(f"add the device {name}", (*endpoints, *(firmware or ())))
    is_there = any(device.name == name for device in registry.list())
    if is_there and board is None and not labels:
        device = registry.get(name)
        if endpoints:
            await registry.set_transports(name, (*device.endpoints, *endpoints), by=by)
        if described is not None:
            await registry.describe_firmware(name, described, by=by)
    elif not endpoints:
        raise ConfigError(f"{name} has no address yet", next_step="give it one: --wasmachine, --serial or --virtual")
    else:
        is_virtual = any(endpoint.startswith("virtual:") for endpoint in endpoints)
        if board is None and not is_virtual:
            raise ConfigError(f"which board is {name}?", next_step=f"--board with one of {', '.join(board_ids())}")
        device = await registry.add(name, board or "virtual", endpoints, labels, described, reached=False, by=by)
    examination = None
    if endpoints:
        examination = await service.apps.reconciler.examine(device, service.link)
    return await service.facts(registry.get(name), AddedDevice, check=examination)


async def _endpoints_of(transports: Sequence[str]) -> list[str]:
    """Return the transports as endpoints: of console:auto that of the only board at a serial port."""
    from microclaw.devices.transports.serial_survey import only_board_port

    endpoints = list(transports)
    if "console:auto" in transports:
        port = await asyncio.to_thread(only_board_port)
        for index, endpoint in enumerate(transports):
            if endpoint == "console:auto":
                endpoints[index] = f"console:{port}"
    return endpoints


@operation(
    "device.rename",
    http="PATCH /v1/devices/{device}",
    permission=Permission.ACT,
    asks=Asks.BEFORE,
    command=CommandForm(said="it is {name} now"),
    words="rename {device} to {name}",
)
async def rename(
    service: DeviceService,
    call: OperationCall,
    device: DeviceName,
    name: Annotated[str, Meta(description="Its new name."), Option(metavar="NEW_NAME")],
) -> DeviceDetails:
    """Give a device another name."""
    return await service.facts(await service.registry.rename(device, name, by=service.by(call)), DeviceDetails)


class RemovedDevice(Result, frozen=True, kw_only=True):
    removed: str


@operation(
    "device.remove",
    http="DELETE /v1/devices/{device}",
    permission=Permission.RISKY,
    access=Access.ACT,
    effect=Effect.IDEMPOTENT,
    command=CommandForm(said="{removed} is forgotten"),
    words="forget the device {device}",
)
async def remove(service: DeviceService, call: OperationCall, device: DeviceName) -> RemovedDevice:
    """Forget a device and cut it off; what runs on it goes on."""
    found = service.registry.get(device)
    by = service.by(call)
    await service.registry.remove(found.device_id, by=by)
    if service.link is not None:
        await service.link.forget(found, by=by)
    return RemovedDevice(removed=found.name)


@operation(
    "device.merge",
    http="POST /v1/devices/{device}/merge",
    permission=Permission.RISKY,
    access=Access.ACT,
    asks=Asks.ITSELF,
    command=CommandForm(said="one device now, {name}: {transports_text}"),
)
async def merge(
    service: DeviceService,
    call: OperationCall,
    device: DeviceName,
    other: Annotated[str, Meta(max_length=64, description="The entry that ends.")],
) -> DeviceDetails:
    """Two entries are one board: OTHER's addresses go to NAME, and OTHER's entry ends."""
    kept, gone = service.registry.check_merge(device, other)  # first: nobody is asked for what is refused
    await call.approve(f"make {gone.name} one with {kept.name}", ())
    merged = await service.registry.merge(kept.device_id, gone.device_id, by=service.by(call))
    return await service.facts(merged, DeviceDetails)


class LabelledDevice(DeviceDetails, frozen=True, kw_only=True):
    """A device with its new labels. `taken_away` are those that it had before.

    `changes` has a line for its labels and for each wired part that is another now, with what was before.
    """

    taken_away: list[str]
    changes: list[str]

    @property
    def changes_text(self) -> str:
        if not self.changes:
            return f"nothing changed, {self.labels_or_none}"
        return "; ".join(self.changes)


@operation(
    "device.label",
    http="PATCH /v1/devices/{device}/labels",
    permission=Permission.ACT,
    effect=Effect.IDEMPOTENT,
    asks=Asks.ITSELF,
    command=CommandForm(said="{name}: {changes_text}"),
)
async def label(
    service: DeviceService,
    call: OperationCall,
    device: DeviceName,
    labels: Labels = [],  # noqa: B006  msgspec copies it
    remove: RemovedLabels = [],  # noqa: B006
) -> LabelledDevice:
    """Add labels to a device, and take others away. The rest stays."""
    change = partial(service.registry.change_labels, added=labels, removed=remove, by=service.by(call))
    words = (*labels, *(f"without {word}" for word in remove))
    return await _relabel(service, call, device, words, change)


@operation(
    "device.set-labels",
    http="PUT /v1/devices/{device}/labels",
    permission=Permission.ACT,
    effect=Effect.IDEMPOTENT,
    asks=Asks.ITSELF,
    command=NO_COMMAND,
)
async def set_labels(service: DeviceService, call: OperationCall, device: DeviceName, labels: Labels) -> LabelledDevice:
    """Replace a device's labels; what was taken away is told."""
    change = partial(service.registry.label, labels=labels, by=service.by(call))
    return await _relabel(service, call, device, labels, change)


async def _relabel(
    service: DeviceService,
    call: OperationCall,
    device: str,
    words: Sequence[str],
    change: Callable[[str], Awaitable[Device]],
) -> LabelledDevice:
    """Make a change of labels after a person approved `words`; return the device and what is another now."""
    from microclaw.hardware.parts.wiring import wiring_tables

    found = service.registry.get(device)
    labels = found.labels
    wiring = found.wiring
    await call.approve(f"label {found.name}", words)
    await change(device)
    changes = [*label_differences(labels, found.labels)]
    changes += wiring_differences(wiring_tables(wiring), wiring_tables(found.wiring))
    taken_away = [label for label in labels if label not in found.labels]
    return await service.facts(found, LabelledDevice, taken_away=taken_away, changes=changes)
