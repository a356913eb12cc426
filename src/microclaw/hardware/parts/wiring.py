"""What hangs where: the parts that are wired to one board, by their ids. Reads and checks it; draws and runs nothing.

As a file it is TOML with a table for each part, named by its id:

    [dht1]
    part = "dht22"
    data = 4            # a role of the part, and the GPIO that it is wired to

    [bme1]
    part = "bme280"
    address = 0x77      # the part's usual one if it is left out
    sda = 4             # with scl: the pins of its bus, the board's own if they are left out
    scl = 5

    [lamp]
    part = "led"
    pin = 5
    active = "low"      # for parts that can be wired so that low is on

Any other key is an attribute that the part's file names, or the value at first of what it measures ("temperature").
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from microclaw.errors import ConfigError, over_limit
from microclaw.hardware.boards.pins import boot_pin
from microclaw.hardware.boards.profile import BoardProfile, PinUse
from microclaw.hardware.parts.part_ids import MAX_ID_CHARS, check_part_id, part_id_of, part_ids, renamed_ids, whole_id
from microclaw.hardware.parts.reader import Active, Part, PartPin, PartPinUse, ValueRange, find_part, parts

MAX_PARTS: Final = 64
MAX_WIRING_BYTES: Final = 65_536
MAX_FAULTS: Final = 20

BOOT_BUTTON: Final = "boot"
NEEDED_USE: Final[Mapping[PartPinUse, PinUse]] = {
    "input": "input",
    "output": "output",
    "pwm": "pwm",
    "adc": "adc",
    "one-wire": "output",
    "single-wire": "output",
    "i2c": "i2c",
}
NO_MODEL: Final = "this part has no model here"
"""Why a diagram's part of an unknown type is not simulated."""
_BUS_PINS: Final = tuple(PartPin(role=role, use="i2c", shared=True, optional=True) for role in ("sda", "scl"))
_BUS_ROLES: Final = frozenset(pin.role for pin in _BUS_PINS)
_OTHER_KEYS: Final = ("part", "address", "active", "label")
WIRING_STEP: Final = "docs/wiring.md has the form of a wiring"


class WiredPart(Struct, frozen=True):
    """A part in a wiring: its id, the name of its part, its GPIO for each role, its I2C address, its attributes.

    `active` is the level at which it is on or pressed. `label` is a name that a person gave it ("fish tank light").
    """

    id: str
    part: str
    pins: Mapping[str, int] = {}
    address: int | None = None
    active: Active = "high"
    attributes: Mapping[str, float] = {}
    label: str | None = None

    @property
    def active_level(self) -> int:
        """The level of its pin at which it is on or pressed."""
        return int(self.active == "high")

    @property
    def facts(self) -> Part:
        """The facts of the part. Raises UnknownName."""
        return find_part(self.part)


class DrawnBoard(Struct, frozen=True):
    """The board of a diagram: its type there ("wokwi-arduino-uno"), and our chip, None for a chip without a model."""

    type: str
    chip: str | None = None


class Wiring(Struct, frozen=True):
    """The parts on one board. `not_simulated` has the ids of a diagram's other parts, each with the reason.

    `warnings` are about parts that are taken as wired. `board` is the profile of the board that a diagram is drawn for,
    if we have one, and `drawn_for` its board in any case. `renamed` has our ids by those of the file that have capitals
    or other characters. `unread` are the tables of a record that a later version wrote; they stay in the record.
    """

    parts: tuple[WiredPart, ...] = ()
    not_simulated: Mapping[str, str] = {}
    board: str | None = None
    renamed: Mapping[str, str] = {}
    warnings: tuple[str, ...] = ()
    drawn_for: DrawnBoard | None = None
    unread: Mapping[str, Any] = {}

    @property
    def diagram_faults(self) -> tuple[str, ...]:
        """What is wrong with the circuit of a diagram, each with the id of its part, up to MAX_FAULTS of them.

        A part without a model is not wrong.
        """
        faults = []
        for part_id, reason in self.not_simulated.items():
            if reason != NO_MODEL:
                faults.append(f"{part_id}: {reason}")
        faults += self.warnings
        if len(faults) > MAX_FAULTS:
            return (*faults[:MAX_FAULTS], f"{len(faults) - MAX_FAULTS} more of the diagram")
        return tuple(faults)

    def find(self, part_id: str) -> WiredPart | None:
        """Return the part of that id, or None."""
        for part in self.parts:
            if part.id == part_id:
                return part
        return None

    def called(self, name: str) -> WiredPart | None:
        """Return the part that has this name: as its label, or as its id. None if there is none.

        An id is cut, so the id of a long name can be that of a part with another label.
        """
        part = self.find(part_id_of(name))
        name_id = whole_id(name)
        if part is not None and len(name_id) <= MAX_ID_CHARS:
            return part
        for part in self.parts:
            if part.label is not None and whole_id(part.label) == name_id:
                return part
        return None

    def on_pin(self, pin: int) -> tuple[WiredPart, ...]:
        """Return the parts that are wired to that GPIO."""
        return tuple(part for part in self.parts if pin in part.pins.values())

    def at_address(self, address: int) -> WiredPart | None:
        """Return the part that answers at that I2C address, or None."""
        for part in self.parts:
            if part.address == address:
                return part
        return None

    def of_part(self, name: str) -> tuple[WiredPart, ...]:
        """Return the parts of that kind."""
        return tuple(part for part in self.parts if part.part == name)

    def measuring(self, quantity: str) -> tuple[WiredPart, ...]:
        """Return the parts that measure that quantity."""
        return tuple(part for part in self.parts if quantity in part.facts.measures)


def part_roles(facts: Part) -> Mapping[str, PartPin]:
    """Return the pins of a part by their roles.

    A part on I2C has `sda` and `scl`; if they are left out it is on the board's own bus.
    """
    pins = facts.pins
    if facts.i2c is not None:
        pins = (*pins, *_BUS_PINS)
    return {pin.role: pin for pin in pins}


def is_on_i2c(facts: Part, roles: Iterable[str]) -> bool:
    """Return True if the part is on I2C when these roles are wired: it can be, and has no pins instead."""
    if facts.i2c is None:
        return False
    return not any(part_roles(facts)[role].instead_of_i2c for role in roles)


def parse_wiring(text: str) -> Wiring:
    """Read a wiring's file. Raises ConfigError or UnknownName that names the part and the key."""
    size = len(text.encode())
    if size > MAX_WIRING_BYTES:
        raise ConfigError(over_limit("a wiring", MAX_WIRING_BYTES, "byte", size), next_step=WIRING_STEP)
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        raise ConfigError(f"the wiring is no TOML: {exc}", next_step=WIRING_STEP) from exc
    return read_wiring(tables)


def read_wiring(tables: Mapping[str, Any]) -> Wiring:
    """Read a wiring from its tables, by the ids of the parts. Raises ConfigError or UnknownName."""
    check_count(len(tables))
    ids = part_ids(tables)
    wired = tuple(_read_part(ids[name], table) for name, table in tables.items())
    return Wiring(wired, renamed=renamed_ids(ids))


def wiring_tables(wiring: Wiring) -> dict[str, dict[str, Any]]:
    """Return the tables of a wiring, as `read_wiring` takes them."""
    tables: dict[str, dict[str, Any]] = {}
    for part in wiring.parts:
        table: dict[str, Any] = {"part": part.part, **part.pins, **part.attributes}
        if part.address is not None:
            table["address"] = part.address
        if any(pin.polarity for pin in part.facts.pins):
            table["active"] = part.active
        if part.label is not None:
            table["label"] = part.label
        tables[part.id] = table
    return tables


def wiring_of_board(record: Wiring, board: BoardProfile) -> Wiring:
    """Return the parts that hang at a board: those of its record, and those that it has soldered on.

    What is recorded counts: a soldered part with the id or the address of a recorded one is left out.
    """
    ids = {part.id for part in record.parts}
    addresses = {(bus_pins(part, board), part.address) for part in record.parts if part.address is not None}
    soldered = []
    for part in soldered_parts(board).parts:
        if part.id not in ids and (bus_pins(part, board), part.address) not in addresses:
            soldered.append(part)
    return replace(record, parts=(*soldered, *record.parts))


def soldered_parts(board: BoardProfile) -> Wiring:
    """Return the parts that a board has soldered on, each named as its part. Parts that nothing here knows are out."""
    if board.i2c is None:
        return Wiring()
    soldered = []
    for name, address in board.i2c.sensors.items():
        if name in parts():
            soldered.append(WiredPart(id=name, part=name, address=address))
    return Wiring(tuple(soldered))


def with_boot_button(wiring: Wiring, board: BoardProfile) -> Wiring:
    """Add the button that a virtual board has itself, as its part "boot"; a part on its pin takes its place.

    No record has it, and no trial.
    """
    pin = boot_pin(board)
    if pin is None or wiring.on_pin(pin) or wiring.find(BOOT_BUTTON) is not None:
        return wiring
    button = make_part(BOOT_BUTTON, "button", pins={"pin": pin})
    return replace(wiring, parts=(*wiring.parts, button))


def make_part(
    part_id: str,
    name: str,
    *,
    pins: Mapping[str, int],
    address: int | None = None,
    active: Active | None = None,
    attributes: Mapping[str, float] | None = None,
    label: str | None = None,
) -> WiredPart:
    """Make one part of a wiring. If the address or `active` is left out, it has the part's usual one.

    Raises ConfigError for a missing or unknown role, an address or an attribute that the part cannot have.
    """
    facts = find_part(name)
    check_part_id(part_id)
    attributes = attributes or {}
    _check_keys(part_id, facts, (*pins, *attributes))
    _check_roles(part_id, facts, pins)
    return WiredPart(
        id=part_id,
        part=name,
        pins=dict(pins),
        address=_checked_address(part_id, facts, address, pins),
        active=_checked_active(part_id, facts, active),
        attributes=_checked_attributes(part_id, facts, attributes),
        label=checked_label(part_id, label),
    )


def checked_label(part_id: str, label: object) -> str | None:
    """Return the label of a part. Raises ConfigError if it is no text of 1 to 60 visible characters."""
    if label is None:
        return None
    if not isinstance(label, str) or not 0 < len(label) <= 60 or not label.isprintable():
        raise ConfigError(f"{part_id}: a name is 1 to 60 visible characters", next_step=WIRING_STEP)
    return label


def check_count(part_count: int) -> None:
    if part_count > MAX_PARTS:
        raise ConfigError(f"{part_count} parts, and a wiring has at most {MAX_PARTS}", next_step=WIRING_STEP)


def bus_pins(part: WiredPart, board: BoardProfile) -> tuple[int, int] | None:
    """Return SDA and SCL of an I2C part's bus: its own pins, else the board's; None if neither has any."""
    sda = part.pins.get("sda")
    scl = part.pins.get("scl")
    if sda is not None and scl is not None:
        return sda, scl
    if board.i2c is None:
        return None
    return board.i2c.sda, board.i2c.scl


def is_on_own_bus(part: WiredPart, board: BoardProfile) -> bool:
    """Return True for an I2C part on the board's own bus, which the firmware reads without a program."""
    if part.address is None or board.i2c is None:
        return False
    return bus_pins(part, board) == (board.i2c.sda, board.i2c.scl)


def next_part_id(name: str, wired: Iterable[WiredPart]) -> str:
    """Return the id of a further part of a kind: the kind's name, from the second part on with a number."""
    number = 1
    for part in wired:
        if part.part == name:
            number += 1
    if number == 1:
        return name
    return f"{name}-{number}"


def _read_part(part_id: str, table: Any) -> WiredPart:
    name = table.get("part") if isinstance(table, dict) else None
    if not isinstance(name, str):
        raise ConfigError(f'{part_id[:40]}: a part is a table with part = "NAME"', next_step=WIRING_STEP)
    facts = find_part(name)
    _check_keys(part_id, facts, table)
    roles = part_roles(facts)
    pins: dict[str, int] = {}
    attributes: dict[str, float] = {}
    for key, value in table.items():
        if key in _OTHER_KEYS:
            continue
        if key in roles:
            pins[key] = _checked_gpio(part_id, key, value)
        else:
            attributes[key] = _checked_number(part_id, key, value)
    return make_part(
        part_id,
        name,
        pins=pins,
        address=table.get("address"),
        active=table.get("active"),
        attributes=attributes,
        label=table.get("label"),
    )


def _check_keys(part_id: str, facts: Part, keys: Iterable[str]) -> None:
    """Raise ConfigError, with the keys that the part can have, for any other key."""
    allowed = [*part_roles(facts), *_settable(facts), "label"]
    if facts.i2c is not None:
        allowed.append("address")
    if any(pin.polarity for pin in facts.pins):
        allowed.append("active")
    for key in keys:
        # These are refused by what they say: a usual `active` may stand at any part.
        if key not in allowed and key not in _OTHER_KEYS:
            text = f"{part_id}: {facts.name} has no {key[:40]!r}"
            raise ConfigError(text, next_step=f"its keys: {', '.join(allowed)}")


def _settable(facts: Part) -> dict[str, ValueRange]:
    """Return the values of a part that a wiring can set: attributes, and what it measures at first."""
    values = {**facts.measures, **facts.inputs, **facts.attributes}
    return {name: value for name, value in values.items() if not value.follows}


def _checked_gpio(part_id: str, key: str, value: object) -> int:
    if type(value) is not int:
        raise ConfigError(f"{part_id}: {key} is the number of a pin", next_step=WIRING_STEP)
    return value


def _checked_number(part_id: str, key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"{part_id}: {key[:40]} is no number", next_step=WIRING_STEP)
    return value


def _check_roles(part_id: str, facts: Part, pins: Mapping[str, int]) -> None:
    has_i2c = is_on_i2c(facts, pins)
    for role, pin in part_roles(facts).items():
        # SDA and SCL are left out together, or not at all.
        is_half_a_bus = pin in _BUS_PINS and bool(_BUS_ROLES & pins.keys())
        is_needed = not pin.optional and not (pin.instead_of_i2c and has_i2c)
        if role not in pins and (is_half_a_bus or is_needed):
            raise ConfigError(f"{part_id}: which pin is its {role} wired to?", next_step=f"add {role} = PIN")
        if role in pins and pin.use == "i2c" and not has_i2c:
            raise ConfigError(f"{part_id}: it has {role}, and pins instead of I2C", next_step="leave one of them out")


def _checked_address(part_id: str, facts: Part, address: object, roles: Iterable[str]) -> int | None:
    """Return the address, or the part's usual one. Raises ConfigError if the part cannot have it."""
    if facts.i2c is None or not is_on_i2c(facts, roles):
        if address is not None:
            raise ConfigError(f"{part_id}: {facts.name} has no I2C address", next_step=WIRING_STEP)
        return None
    if address is None:
        return facts.i2c.addresses[0]
    if address not in facts.i2c.addresses or not isinstance(address, int):
        possible = ", ".join(f"0x{known:02x}" for known in facts.i2c.addresses)
        raise ConfigError(f"{part_id}: {facts.name} can be at {possible}", next_step=WIRING_STEP)
    return address


def _checked_active(part_id: str, facts: Part, active: object) -> Active:
    """Return the level at which it is on, or the part's usual one. Raises ConfigError if it can have none."""
    polar_pins = [pin for pin in facts.pins if pin.polarity]
    usual: Active = polar_pins[0].active if polar_pins else "high"
    if active is None or active == usual:
        return usual
    if not polar_pins:
        raise ConfigError(f"{part_id}: {facts.name} has no active level", next_step=WIRING_STEP)
    if active == "low":
        return "low"
    if active == "high":
        return "high"
    raise ConfigError(f"{part_id}: active is high or low", next_step=WIRING_STEP)


def _checked_attributes(part_id: str, facts: Part, attributes: Mapping[str, float]) -> Mapping[str, float]:
    for key, value in attributes.items():
        allowed = _settable(facts)[key]
        if not allowed.least <= value <= allowed.most:
            text = f"{part_id}: {key} is {allowed.least:g} to {allowed.most:g}, not {value:g}"
            raise ConfigError(text, next_step=WIRING_STEP)
        if allowed.choices and value not in allowed.choices:
            choices = ", ".join(f"{choice:g}" for choice in allowed.choices)
            raise ConfigError(f"{part_id}: {key} is one of {choices}, not {value:g}", next_step=WIRING_STEP)
    return dict(attributes)
