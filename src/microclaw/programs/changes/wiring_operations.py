"""The acts on the record of what is wired to a device: show it, replace it by a file, change single parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeAlias

from msgspec import Meta, Struct

from microclaw.devices.link.operations import DeviceName
from microclaw.errors import ConfigError
from microclaw.events import Evidence
from microclaw.host.operations.forms import NO_COMMAND, Asks, ToolForm
from microclaw.host.operations.operation import Access, Effect, OperationCall, Permission, operation
from microclaw.host.operations.result import Listing
from microclaw.host.operations.tool import ToolOutput
from microclaw.programs.changes.device_operations import DeviceService

if TYPE_CHECKING:
    from microclaw.devices.registry.act_tool import ToolUse
    from microclaw.devices.registry.device import Device
    from microclaw.hardware.parts.wiring import WiredPart, Wiring

_RECORDED = "recorded"
_SOLDERED = "soldered on"

WiringFile: TypeAlias = Annotated[str, Meta(description="The text of a wiring.toml, or of Wokwi's diagram.json.")]
PartLines: TypeAlias = Annotated[
    list[Annotated[str, Meta(max_length=500)]],
    Meta(
        max_length=64,
        description='As lamp=led pin=5 label="desk light".',
    ),
]
PartIds: TypeAlias = Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=64, description="Ids.")]


class WiredPartRow(Struct, frozen=True, kw_only=True):
    """A part that is wired to a device. `line` is as PATCH takes it; `origin` says where it comes from."""

    id: str
    part: str
    title: str
    pins: dict[str, int]
    address: int | None
    label: str | None
    origin: str
    line: str

    @property
    def place(self) -> str:
        """Its pins by their roles, and its I2C address."""
        places = [f"{role} {gpio}" for role, gpio in self.pins.items()]
        if self.address is not None:
            places.append(f"0x{self.address:02x}")
        return ", ".join(places)


class DeviceWiring(Listing, frozen=True, kw_only=True):
    """What is wired to a device. `file` is the record as a wiring.toml; `not_simulated` are a diagram's other parts.

    `renamed` are our ids by those of a file that have capitals or other characters. `unread` are the ids of recorded
    parts that a later version wrote. `warnings` say what is wrong with a diagram's circuit.
    """

    document: ClassVar = "wiring"
    columns: ClassVar = {
        "ID": "id",
        "PART": "part",
        "PINS": "place",
        "LABEL": "label",
        "FROM": "origin",
    }
    empty: ClassVar = "nothing is wired there, as far as this host knows"

    parts: list[WiredPartRow]
    device: str
    file: str
    not_simulated: list[str]
    renamed: dict[str, str]
    unread: list[str]
    warnings: list[str]

    @property
    def note(self) -> str:
        notes = [f"{name} is {part_id} here" for name, part_id in self.renamed.items()]
        if self.unread:
            notes.append(f"not readable for this version: {', '.join(self.unread)}")
        if self.not_simulated:
            notes.append(f"not simulated: {', '.join(self.not_simulated)}")
        notes += self.warnings
        return "; ".join(notes)


async def _output(use: ToolUse[DeviceService], wiring: DeviceWiring) -> ToolOutput:
    lines = [part.line for part in wiring.parts]
    fields = {"device": wiring.device, "wired": lines, "message": f"the wiring of {wiring.device} is recorded"}
    return ToolOutput(fields, (Evidence("written", f"{len(lines)} parts are recorded for {use.device.name}"),))


WIRE = ToolForm(
    "wire-parts",
    "Record what is wired to a device, or no longer.",
    fields={"add": "add", "remove": "remove"},
    one_of=("add", "remove"),
    output=_output,
)


@operation("device.wiring", http="GET /v1/devices/{device}/wiring", access=Access.LOOK, command=NO_COMMAND)
async def show_wiring(service: DeviceService, _: OperationCall, device: DeviceName) -> DeviceWiring:
    """Show what is wired to a device: each part, its pins or its address, and what it is called."""
    return _wiring_of(service.registry.get(device))


@operation(
    "device.set-wiring",
    http="PUT /v1/devices/{device}/wiring",
    permission=Permission.ACT,
    effect=Effect.IDEMPOTENT,
    asks=Asks.ITSELF,
    command=NO_COMMAND,
)
async def set_wiring(service: DeviceService, call: OperationCall, device: DeviceName, file: WiringFile) -> DeviceWiring:
    """Replace what is recorded as wired to a device by a wiring.toml or a Wokwi diagram."""
    from microclaw.hardware.parts.named_parts import part_line
    from microclaw.hardware.parts.wiring_file import read_wiring_text

    wiring = read_wiring_text(file)
    if not wiring.parts and wiring.not_simulated:
        reasons = [f"{part_id} ({reason})" for part_id, reason in wiring.not_simulated.items()]
        text = f"the file has no part that can be recorded: {', '.join(reasons)[:200]}"
        raise ConfigError(text, next_step="docs/reference/parts.md has the known parts")
    _check_chip(wiring, service.registry.get(device))
    lines = [part_line(part) for part in wiring.parts]
    return await _change_record(service, call, device, lambda _: wiring, lines, given=wiring)


@operation(
    "device.wire",
    http="PATCH /v1/devices/{device}/wiring",
    permission=Permission.ACT,
    effect=Effect.IDEMPOTENT,
    asks=Asks.ITSELF,
    command=NO_COMMAND,
    tool=WIRE,
)
async def wire(
    service: DeviceService,
    call: OperationCall,
    device: DeviceName,
    *,
    add: PartLines = [],  # noqa: B006  msgspec copies it
    remove: PartIds = [],  # noqa: B006
) -> DeviceWiring:
    """Add parts to what is recorded as wired to a device, and remove others. A part of the same id is replaced."""
    from microclaw.hardware.parts.named_parts import LINE_EXAMPLE, parse_part_lines, with_part, without_part

    if not add and not remove:
        raise ConfigError("no part to add or to remove", next_step=f"add one, as: {LINE_EXAMPLE}")
    added = parse_part_lines(add)
    _check_removable(service.registry.get(device), remove)

    def change(wiring: Wiring) -> Wiring:
        for part_id in remove:
            wiring = without_part(wiring, part_id)
        for part in added.parts:
            wiring = with_part(wiring, part)
        return wiring

    removed_lines = [f"without {part_id}" for part_id in remove]
    return await _change_record(service, call, device, change, [*add, *removed_lines], given=added)


def _check_chip(wiring: Wiring, device: Device) -> None:
    """Raise ConfigError for a diagram of a board with another chip: its pin numbers mean other pins."""
    drawn = wiring.drawn_for
    if drawn is None or drawn.chip == device.board.chip:
        return
    text = f"the diagram is drawn for {drawn.type}, and {device.name} has an {device.board.chip}"
    raise ConfigError(text, next_step="draw it with the board of the device, or write a wiring.toml")


def _check_removable(device: Device, part_ids: Sequence[str]) -> None:
    """Raise ConfigError for a part that the board has soldered on."""
    from microclaw.hardware.parts.wiring import soldered_parts

    soldered = soldered_parts(device.board).parts
    for part_id in part_ids:
        if device.wiring.find(part_id) in soldered:
            text = f"{part_id} is soldered on {device.board.title}"
            raise ConfigError(text, next_step=f"microclaw device wiring {device.name} has what is recorded")


async def _change_record(
    service: DeviceService,
    call: OperationCall,
    device: str,
    change: Callable[[Wiring], Wiring],
    lines: Sequence[str],
    *,
    given: Wiring,
) -> DeviceWiring:
    """Change what is recorded of a device and return it, after a person approved `lines`. `given`: what they gave."""
    from microclaw.hardware.parts.wiring_check import check_wiring

    found = service.registry.get(device)
    # Nobody is asked for what is refused.
    check_wiring(change(found.wiring), found.board)
    await call.approve(f"record what is wired to {found.name}", lines)
    changed = await service.registry.change_wiring(device, change, by=service.by(call))
    return _wiring_of(changed, given)


def _wiring_of(device: Device, given: Wiring | None = None) -> DeviceWiring:
    from microclaw.hardware.parts.wiring import Wiring
    from microclaw.hardware.parts.wiring_file import wiring_text

    given = given or Wiring()
    rows = [_row(device, part) for part in device.wiring.parts]
    return DeviceWiring(
        parts=rows,
        device=device.name,
        file=wiring_text(device.wiring),
        not_simulated=list(given.not_simulated),
        renamed=dict(given.renamed),
        unread=list(device.record.unread),
        warnings=list(given.diagram_faults),
    )


def _row(device: Device, part: WiredPart) -> WiredPartRow:
    from microclaw.hardware.parts.named_parts import part_line
    from microclaw.hardware.parts.wiring import soldered_parts

    origin = _RECORDED
    if part in soldered_parts(device.board).parts:
        origin = _SOLDERED
    return WiredPartRow(
        id=part.id,
        part=part.part,
        title=part.facts.title,
        pins=dict(part.pins),
        address=part.address,
        label=part.label,
        origin=origin,
        line=part_line(part),
    )
