"""The parts of an entry's drawing as parts of a board's wiring. It records nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from microclaw.errors import ConfigError
from microclaw.hardware.boards.profile import PinUse
from microclaw.hardware.parts.named_parts import needed_pins, part_of_words, with_part
from microclaw.hardware.parts.part_ids import free_id
from microclaw.hardware.parts.reader import Active, Part, parts
from microclaw.hardware.parts.wiring import WiredPart, Wiring, make_part
from microclaw.programs.patterns.catalog import Entry
from microclaw.programs.patterns.expected import Value
from microclaw.programs.patterns.wiring import CatalogPart, CatalogWire

_BUS: Final = ("SDA", "SCL")
_ADDRESS: Final = "ADDRESS"
_READ: Final = ("input", "adc", "one-wire")
_DRIVEN: Final = ("output", "pwm", "one-wire")


def new_parts(entry: Entry, params: Mapping[str, Value], wiring: Wiring) -> tuple[WiredPart, ...]:
    """Return the parts of an entry with these values, and its defaults, that a board's wiring does not have yet.

    What is wired to a pin or at an address already counts. A part that nothing here knows is left out, as it is if its
    pins are not those of the drawing.
    """
    values = {name: params.get(name, parameter.default) for name, parameter in entry.parameters.items()}
    added: list[WiredPart] = []
    for drawn in entry.wiring:
        part = _part(entry, drawn, values, {other.id for other in wiring.parts})
        if part is None:
            continue
        is_pin_taken = any(wiring.on_pin(gpio) for gpio in part.pins.values())
        is_address_taken = part.address is not None and wiring.at_address(part.address) is not None
        if is_pin_taken or is_address_taken:
            continue
        wiring = with_part(wiring, part)
        added.append(part)
    return tuple(added)


def _part(entry: Entry, drawn: CatalogPart, values: Mapping[str, Value], ids: Collection[str]) -> WiredPart | None:
    wires = [wire for wire in drawn.wires if wire.pin in entry.parameters]
    is_on_bus = any(wire.pin in _BUS for wire in drawn.wires)
    if not wires and not is_on_bus:
        return None
    terminals = {wire.terminal.lower(): entry.parameters[wire.pin].pin_use for wire in wires}
    kind = _kind(drawn.name, terminals, is_on_bus=is_on_bus)
    if kind is None:
        return None
    address = None
    if is_on_bus and isinstance(values.get(_ADDRESS), int):
        address = int(values[_ADDRESS])
    try:
        return make_part(
            free_id(drawn.name, ids),
            kind.name,
            pins=_roles(kind, wires, values),
            address=address,
            active=_active_level(kind, drawn, wires),
        )
    except ConfigError:
        return None


def _kind(name: str, terminals: Mapping[str, PinUse | None], *, is_on_bus: bool) -> Part | None:
    """Return the part that a drawing's name means: by its words, else by its terminals, else by the use of its pin."""
    kinds = [part for part in parts().values() if _fits(part, terminals, is_on_bus=is_on_bus)]
    specific = [part for part in kinds if not part.generic]
    words = name.split()
    # "WS2812 strip" ends in no words of a part, and "WS2812" does.
    for count in range(len(words), 0, -1):
        kind = part_of_words(" ".join(words[:count]), specific)
        if kind is not None:
            return kind
    if len(terminals) > 1 and len(specific) == 1:
        return specific[0]
    return next((part for part in kinds if part.generic), None)


def _fits(part: Part, terminals: Mapping[str, PinUse | None], *, is_on_bus: bool) -> bool:
    """Return True if the part has these pins, which the program can use so; a single pin may have another name."""
    pins = needed_pins(part)
    if (part.i2c is not None) != is_on_bus or len(pins) != len(terminals):
        return False
    if len(terminals) != 1:
        return {pin.role for pin in pins} == set(terminals)
    (use,) = terminals.values()
    if use in ("input", "adc"):
        return pins[0].use in _READ
    return pins[0].use in _DRIVEN


def _roles(kind: Part, wires: list[CatalogWire], values: Mapping[str, Value]) -> dict[str, int]:
    """Return the GPIOs by the part's roles; several pins have the roles that their terminals are named after."""
    pins = needed_pins(kind)
    if len(pins) == 1:
        return {pins[0].role: int(values[wires[0].pin])}
    return {wire.terminal.lower(): int(values[wire.pin]) for wire in wires}


def _active_level(kind: Part, drawn: CatalogPart, wires: list[CatalogWire]) -> Active | None:
    """Return the level at which a part between its pin and one other wire is on, or None for its usual one."""
    pins = [pin for pin in needed_pins(kind) if pin.polarity]
    others = [wire.pin for wire in drawn.wires if wire not in wires]
    if len(pins) != 1 or len(others) != 1:
        return None
    # The usual level is that of a part whose other side is on ground.
    if others[0] == "GND":
        return None
    if pins[0].active == "high":
        return "low"
    return "high"
