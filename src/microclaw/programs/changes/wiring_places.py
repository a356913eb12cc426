"""The acts for whoever wires a part in a drawing: the pins that it can have, and the wiring as Wokwi's diagram.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Final, get_args

from msgspec import Meta, Struct

from microclaw.devices.link.operations import DeviceName
from microclaw.errors import ConfigError
from microclaw.hardware.boards.profile import PinUse
from microclaw.host.operations.forms import NO_COMMAND
from microclaw.host.operations.operation import Access, OperationCall, operation
from microclaw.host.operations.result import Result
from microclaw.programs.changes.claims import free_pins, read_pins, taken_pins
from microclaw.programs.changes.device_operations import DeviceService
from microclaw.programs.changes.program_state import recall_program

if TYPE_CHECKING:
    from microclaw.devices.registry.device import Device
    from microclaw.hardware.parts.pin_places import BoardUse, PartPlaces, PinPlace, RolePlaces

_USES: Final = tuple(get_args(PinUse))
PartName = Annotated[str, Meta(max_length=64, description="The kind of a further part, as led.")]
WiredId = Annotated[str, Meta(max_length=64, description="The id of a wired part that is to be moved.")]


class PinChoice(Struct, frozen=True, kw_only=True):
    """A pin for a role. `refused` says why it cannot be taken, `care` why one should think twice."""

    gpio: int
    refused: str | None
    care: str | None
    shared_with: list[str]


class RoleChoices(Struct, frozen=True, kw_only=True):
    """A role of the part, the pin that is proposed for it, and all pins of the board."""

    role: str
    use: str
    optional: bool
    instead_of_i2c: bool
    proposed: int | None
    pins: list[PinChoice]


class AddressChoice(Struct, frozen=True, kw_only=True):
    """An I2C address that the part can have; `holder` is the part that has it on the proposed bus."""

    address: int
    holder: str | None


class WiringPlaces(Result, frozen=True, kw_only=True):
    """Where a part can be wired. `line` is the proposal as PATCH takes it; None if a pin must be chosen (`fault`).

    `active`, `label` and `attributes` are the proposal's: of a wired part its own. `attributes` has those that a wiring
    gives, no usual ones; `active` is None if the part has no such choice.
    """

    device: str
    part: str
    title: str
    id: str
    line: str | None
    fault: str | None
    address: int | None
    addresses: list[AddressChoice]
    active: str | None
    label: str | None
    attributes: dict[str, float]
    roles: list[RoleChoices]


class WiringDiagram(Result, frozen=True, kw_only=True):
    """A wiring as a diagram.json, which is the text `file`. `left_out` has the parts that it cannot have, and why."""

    document: ClassVar = "diagram"

    device: str
    board: str
    file: str
    left_out: dict[str, str]


@operation(
    "device.wiring-places", http="GET /v1/devices/{device}/wiring/places", access=Access.LOOK, command=NO_COMMAND
)
async def find_places(
    service: DeviceService, _: OperationCall, device: DeviceName, *, part: PartName = "", id: WiredId = ""
) -> WiringPlaces:
    """Return the pins at which a further part can be wired, or a wired one (`id`) moved to, and propose some."""
    from microclaw.hardware.parts.pin_places import places_of_new_part, places_of_wired_part
    from microclaw.hardware.parts.wiring import soldered_parts

    found = service.registry.get(device)
    use = await _board_use(service, found)
    if not id:
        if not part:
            raise ConfigError("no part to find pins for", next_step="give part=NAME, or id=ID of a wired one")
        return _places_of(found, places_of_new_part(use, part))
    wired = found.wiring.find(id)
    if wired is None:
        text = f"{found.name} has no part {id[:40]!r}"
        raise ConfigError(text, next_step=f"microclaw device wiring {found.name} has its parts")
    if wired in soldered_parts(found.board).parts:
        raise ConfigError(f"{wired.id} is soldered on {found.board.title}", next_step="move another part")
    return _places_of(found, places_of_wired_part(use, wired))


@operation(
    "device.wiring-diagram", http="GET /v1/devices/{device}/wiring/diagram", access=Access.LOOK, command=NO_COMMAND
)
async def export_diagram(service: DeviceService, _: OperationCall, device: DeviceName) -> WiringDiagram:
    """Return what is wired to a device, beside what is soldered on, as Wokwi's diagram.json, and what that lacks."""
    from microclaw.hardware.parts.diagram_writer import write_diagram
    from microclaw.hardware.parts.wiring import Wiring, soldered_parts

    found = service.registry.get(device)
    soldered = soldered_parts(found.board).parts
    wired = []
    for part in found.wiring.parts:
        if part not in soldered:
            wired.append(part)
    diagram = write_diagram(Wiring(tuple(wired)), found.board)
    return WiringDiagram(
        device=found.name, board=diagram.board_type, file=diagram.text, left_out=dict(diagram.left_out)
    )


async def _board_use(service: DeviceService, device: Device) -> BoardUse:
    from microclaw.hardware.parts.pin_places import BoardUse

    # A choice of pins is looked at often: the board itself is not asked.
    there = await recall_program(service.apps.change_log, device, "")
    free = {}
    for use in _USES:
        free[use] = free_pins(there, use)
    # What a program waits for is wired there; a pin that has a part already is not proposed.
    free["input"] = [*sorted(read_pins(there.wanted)), *free["input"]]
    return BoardUse(
        board=device.board,
        wiring=device.wiring,
        free=free,
        holders=taken_pins(there),
        taken_ids=frozenset(device.record.unread),
    )


def _places_of(device: Device, found: PartPlaces) -> WiringPlaces:
    from microclaw.hardware.parts.named_parts import part_line
    from microclaw.hardware.parts.wiring import WiredPart

    line = None
    part = found.proposal
    if part is None:
        part = WiredPart(found.part_id, found.facts.name)
    else:
        line = part_line(part)
    active = None
    if any(pin.polarity for pin in found.facts.pins):
        active = part.active
    return WiringPlaces(
        device=device.name,
        part=found.facts.name,
        title=found.facts.title,
        id=found.part_id,
        line=line,
        fault=found.fault,
        address=part.address,
        active=active,
        label=part.label,
        attributes=dict(part.attributes),
        addresses=[AddressChoice(address=place.address, holder=place.holder) for place in found.addresses],
        roles=list(map(_role, found.roles)),
    )


def _role(role: RolePlaces) -> RoleChoices:
    return RoleChoices(
        role=role.pin.role,
        use=role.pin.use,
        optional=role.pin.optional,
        instead_of_i2c=role.pin.instead_of_i2c,
        proposed=role.proposed,
        pins=list(map(_pin, role.places)),
    )


def _pin(place: PinPlace) -> PinChoice:
    return PinChoice(gpio=place.gpio, refused=place.refused, care=place.care, shared_with=list(place.shared_with))
