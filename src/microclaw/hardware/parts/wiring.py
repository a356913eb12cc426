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

import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct

from microclaw.errors import ConfigError
from microclaw.hardware.boards.pins import refusal
from microclaw.hardware.boards.profile import BoardProfile, PinUse
from microclaw.hardware.parts.reader import Active, Part, PartPin, PartPinUse, ValueRange, find_part, parts

MAX_PARTS: Final = 64
MAX_WIRING_BYTES: Final = 65_536
MAX_ID_CHARS: Final = 32

_NOT_IN_IDS: Final = re.compile(r"[^a-z0-9_]+")
_ID: Final = re.compile(rf"[a-z][a-z0-9_-]{{0,{MAX_ID_CHARS - 1}}}")
NEEDED_USE: Final[Mapping[PartPinUse, PinUse]] = {
    "input": "input",
    "output": "output",
    "pwm": "pwm",
    "adc": "adc",
    "one-wire": "output",
    "single-wire": "output",
    "i2c": "i2c",
}
_BUS_PINS: Final = tuple(PartPin(role=role, use="i2c", shared=True, optional=True) for role in ("sda", "scl"))
_OTHER_KEYS: Final = ("part", "address", "active", "label")
_STEP: Final = "docs/wiring.md has the form of a wiring"


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


class Wiring(Struct, frozen=True):
    """The parts on one board. `not_simulated` are the ids of parts that nothing here knows, for a person to read.

    `board` is the profile of the board that a diagram is drawn for, if we have one. `renamed` has our ids by those of
    the file that have capitals or other characters.
    """

    parts: tuple[WiredPart, ...] = ()
    not_simulated: tuple[str, ...] = ()
    board: str | None = None
    renamed: Mapping[str, str] = {}

    def find(self, part_id: str) -> WiredPart | None:
        """Return the part of that id, or None."""
        for part in self.parts:
            if part.id == part_id:
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
    if len(text.encode()) > MAX_WIRING_BYTES:
        raise ConfigError(f"a wiring has at most {MAX_WIRING_BYTES} bytes", next_step=_STEP)
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        raise ConfigError(f"the wiring is no TOML: {exc}", next_step=_STEP) from exc
    return read_wiring(tables)


def read_wiring(tables: Mapping[str, Any]) -> Wiring:
    """Read a wiring from its tables, by the ids of the parts. Raises ConfigError or UnknownName."""
    _check_count(len(tables))
    ids = part_ids(tables)
    wired = tuple(_read_part(ids[name], table) for name, table in tables.items())
    return Wiring(wired, renamed=renamed_ids(ids))


def part_id_of(name: str) -> str:
    """Return the id that a name gives: "Fish tank light" becomes fish-tank-light, "ledRed" ledred."""
    part_id = _NOT_IN_IDS.sub("-", name.lower()).strip("-_")
    if not part_id[:1].isalpha():
        part_id = f"part-{part_id}".strip("-")
    return part_id[:MAX_ID_CHARS].rstrip("-_")


def part_ids(names: Iterable[str]) -> dict[str, str]:
    """Return an id for each name of a file, no two alike. A name that is an id keeps it, whatever its place."""
    ids = {name: name for name in names if _ID.fullmatch(name)}
    taken = set(ids)
    for name in names:
        if name in ids:
            continue
        part_id = part_id_of(name)
        number = 2
        while part_id in taken:
            ending = f"-{number}"
            part_id = part_id_of(name)[: MAX_ID_CHARS - len(ending)] + ending
            number += 1
        ids[name] = part_id
        taken.add(part_id)
    return ids


def renamed_ids(ids: Mapping[str, str]) -> dict[str, str]:
    """Return the names of a file whose ids are other texts, with these ids."""
    return {name: part_id for name, part_id in ids.items() if name != part_id}


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


def wiring_text(wiring: Wiring) -> str:
    """Return the wiring as its file, which `parse_wiring` reads."""
    lines = []
    for part_id, table in wiring_tables(wiring).items():
        lines.append(f"[{part_id}]")
        for key, value in table.items():
            # A text of JSON is a text of TOML: a label has no character that one of them cannot have.
            lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}")
        lines.append("")
    return "\n".join(lines)


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
    return Wiring((*soldered, *record.parts), record.not_simulated)


def soldered_parts(board: BoardProfile) -> Wiring:
    """Return the parts that a board has soldered on, each named as its part. Parts that nothing here knows are out."""
    if board.i2c is None:
        return Wiring()
    soldered = []
    for name, address in board.i2c.sensors.items():
        if name in parts():
            soldered.append(WiredPart(id=name, part=name, address=address))
    return Wiring(tuple(soldered))


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
    if not _ID.fullmatch(part_id):
        text = f"{part_id[:40]!r} is no id of a part: small letters, digits, - and _, at most {MAX_ID_CHARS}"
        raise ConfigError(text, next_step=_STEP)
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


def check_wiring(wiring: Wiring, board: BoardProfile) -> None:
    """Raise ConfigError for a wiring that this board cannot have.

    That is: more than MAX_PARTS, an id twice, a GPIO that the board lacks, reserves or cannot use so, a GPIO with two
    parts that cannot share it, an I2C address twice on one bus, an I2C part without pins on a board without I2C, and
    two parts on one SPI bus if one of them has no CS.
    """
    _check_count(len(wiring.parts))
    ids: set[str] = set()
    labels: dict[str, str] = {}
    users: dict[int, tuple[WiredPart, PartPin]] = {}
    addresses: dict[tuple[int, int], WiredPart] = {}
    for part in wiring.parts:
        if part.id in ids:
            raise ConfigError(f"the wiring has two parts named {part.id}", next_step="give each its own id")
        ids.add(part.id)
        if part.label is not None and labels.setdefault(part.label.lower(), part.id) != part.id:
            text = f"{labels[part.label.lower()]} and {part.id} are both called {part.label!r}"
            raise ConfigError(text, next_step="give each part its own label")
        _check_address(part, addresses, board)
        for role, gpio in part.pins.items():
            _check_gpio(part, role, gpio, users, board)
    _check_selection(wiring)


def checked_label(part_id: str, label: object) -> str | None:
    """Return the label of a part. Raises ConfigError if it is no text of 1 to 60 visible characters."""
    if label is None:
        return None
    if not isinstance(label, str) or not 0 < len(label) <= 60 or not label.isprintable():
        raise ConfigError(f"{part_id}: a label is 1 to 60 characters", next_step=_STEP)
    return label


def _check_count(part_count: int) -> None:
    if part_count > MAX_PARTS:
        raise ConfigError(f"{part_count} parts, and a wiring has at most {MAX_PARTS}", next_step=_STEP)


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


def _check_address(part: WiredPart, addresses: dict[tuple[int, int], WiredPart], board: BoardProfile) -> None:
    if part.address is None:
        return
    bus = bus_pins(part, board)
    if bus is None:
        raise ConfigError(
            f"{part.id}: {board.title} has no I2C pins of its own", next_step="add sda = PIN and scl = PIN"
        )
    other = addresses.setdefault((bus[0], part.address), part)
    if other is not part:
        text = f"{other.id} and {part.id} are both at 0x{part.address:02x}"
        raise ConfigError(text, next_step="set another address with the part's address pins")


def _check_gpio(
    part: WiredPart, role: str, gpio: int, users: dict[int, tuple[WiredPart, PartPin]], board: BoardProfile
) -> None:
    pin = part_roles(part.facts)[role]
    reason = refusal(board, gpio, NEEDED_USE[pin.use])
    if reason is not None:
        raise ConfigError(f"{part.id}: {role} on pin {gpio}: {reason}", next_step=_STEP)
    if gpio in users:
        other, other_pin = users[gpio]
        if not (pin.shared and other_pin.shared):
            text = f"pin {gpio} has two parts: {other.id} and {part.id}"
            raise ConfigError(text, next_step="wire one of them to another pin")
    users[gpio] = (part, pin)


def _check_selection(wiring: Wiring) -> None:
    """Raise ConfigError for a part that takes what is sent to another one on its SPI bus."""
    buses: dict[tuple[int, int], WiredPart] = {}
    for part in wiring.parts:
        sck = part.pins.get("sck")
        mosi = part.pins.get("mosi")
        if sck is None or mosi is None:
            continue
        other = buses.setdefault((sck, mosi), part)
        is_selected = "cs" in part.pins and "cs" in other.pins
        if other is not part and not is_selected:
            text = f"{other.id} and {part.id} are on one SPI bus, and one of them has no cs"
            raise ConfigError(text, next_step="wire the cs of each to its own pin")


def _read_part(part_id: str, table: Any) -> WiredPart:
    name = table.get("part") if isinstance(table, dict) else None
    if not isinstance(name, str):
        raise ConfigError(f'{part_id[:40]}: a part is a table with part = "NAME"', next_step=_STEP)
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
    return {**facts.measures, **facts.inputs, **facts.attributes}


def _checked_gpio(part_id: str, key: str, value: object) -> int:
    if type(value) is not int:
        raise ConfigError(f"{part_id}: {key} is the number of a pin", next_step=_STEP)
    return value


def _checked_number(part_id: str, key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"{part_id}: {key[:40]} is no number", next_step=_STEP)
    return value


def _check_roles(part_id: str, facts: Part, pins: Mapping[str, int]) -> None:
    has_i2c = is_on_i2c(facts, pins)
    for role, pin in part_roles(facts).items():
        is_needed = not pin.optional and not (pin.instead_of_i2c and has_i2c)
        if role not in pins and is_needed:
            raise ConfigError(f"{part_id}: which pin is its {role} wired to?", next_step=f"add {role} = PIN")
        if role in pins and pin.use == "i2c" and not has_i2c:
            raise ConfigError(f"{part_id}: it has {role}, and pins instead of I2C", next_step="leave one of them out")


def _checked_address(part_id: str, facts: Part, address: object, roles: Iterable[str]) -> int | None:
    """Return the address, or the part's usual one. Raises ConfigError if the part cannot have it."""
    if facts.i2c is None or not is_on_i2c(facts, roles):
        if address is not None:
            raise ConfigError(f"{part_id}: {facts.name} has no I2C address", next_step=_STEP)
        return None
    if address is None:
        return facts.i2c.addresses[0]
    if address not in facts.i2c.addresses or not isinstance(address, int):
        possible = ", ".join(f"0x{known:02x}" for known in facts.i2c.addresses)
        raise ConfigError(f"{part_id}: {facts.name} can be at {possible}", next_step=_STEP)
    return address


def _checked_active(part_id: str, facts: Part, active: object) -> Active:
    """Return the level at which it is on, or the part's usual one. Raises ConfigError if it can have none."""
    polar_pins = [pin for pin in facts.pins if pin.polarity]
    usual: Active = polar_pins[0].active if polar_pins else "high"
    if active is None or active == usual:
        return usual
    if not polar_pins:
        raise ConfigError(f"{part_id}: {facts.name} has no active level", next_step=_STEP)
    if active == "low":
        return "low"
    if active == "high":
        return "high"
    raise ConfigError(f"{part_id}: active is high or low", next_step=_STEP)


def _checked_attributes(part_id: str, facts: Part, attributes: Mapping[str, float]) -> Mapping[str, float]:
    for key, value in attributes.items():
        allowed = _settable(facts)[key]
        if not allowed.least <= value <= allowed.most:
            text = f"{part_id}: {key} is {allowed.least:g} to {allowed.most:g}, not {value:g}"
            raise ConfigError(text, next_step=_STEP)
        if allowed.choices and value not in allowed.choices:
            choices = ", ".join(f"{choice:g}" for choice in allowed.choices)
            raise ConfigError(f"{part_id}: {key} is one of {choices}, not {value:g}", next_step=_STEP)
    return dict(attributes)
