"""Makes a wiring of Wokwi's diagram.json: each part that we know, on the GPIOs that its pins lead to."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from microclaw.errors import ConfigError
from microclaw.hardware.parts.diagram_circuit import (
    RAIL_NAMES,
    PartFault,
    check_levels,
    common_rail,
    find_legs,
    level_warnings,
    unconnected_fault,
    unlit_fault,
    wired_roles,
)
from microclaw.hardware.parts.diagram_nets import MATRIX_SIDES, OWN_PREFIX, RESISTOR_TYPE, Diagram, DiagramPart, Net
from microclaw.hardware.parts.part_ids import part_ids, renamed_ids
from microclaw.hardware.parts.reader import Active, Part, ValueRange, find_part, parts
from microclaw.hardware.parts.wiring import (
    NO_MODEL,
    DrawnBoard,
    WiredPart,
    Wiring,
    check_count,
    checked_label,
    is_on_i2c,
    make_part,
    part_roles,
)

_FIXED_LEVEL: Final = "digital_input"
"""The part that stands for a GPIO which the diagram connects with ground or the supply."""
# These connect or only draw: nothing of them is missing in a simulation.
_PASSIVE: Final = frozenset(
    {
        "wokwi-breadboard",
        "wokwi-breadboard-half",
        "wokwi-breadboard-mini",
        "wokwi-gnd",
        "wokwi-vcc",
        "wokwi-junction",
        "wokwi-text",
        RESISTOR_TYPE,
        "wokwi-logic-analyzer",
    }
)


def read_diagram(text: str) -> Wiring:
    """Return the wiring of a diagram.json. Raises ConfigError for text that is none, and for too many parts.

    Parts that nothing here knows, or that do not work as they are connected, are listed in `not_simulated` with the
    reason; they never refuse the file.
    """
    diagram = Diagram(text, _joined_pins())
    active_parts = _active_parts(diagram)
    known = [part for part in active_parts if part.type in _parts_by_type()]
    not_simulated = {part.id: NO_MODEL for part in active_parts if part.type not in _parts_by_type()}
    chains = _Chains(diagram, known)
    outputs = _RegisterOutputs(diagram, known, chains)
    heads = [part for part in known if part.id not in chains.fed_ids]
    ids = part_ids([part.id for part in known])
    wired: dict[str, WiredPart] = {}
    warnings: list[str] = []
    for part in heads:
        chain = chains.begin_at(part)
        try:
            wired_part = _wire(diagram, chain, ids[part.id], outputs)
            wired[part.id] = replace(wired_part, label=_free_label(part, wired.values()))
        except PartFault as fault:
            not_simulated[part.id] = str(fault)
            not_simulated |= {follower.id: f"it is behind {part.id}" for follower in chain[1:]}
            continue
        for member in chain:
            warnings += level_warnings(diagram, member, _facts(member))
        fixed = wired[part.id]
        if fixed.part == _FIXED_LEVEL:
            gpio = min(fixed.pins.values())
            warnings.append(f"{part.id}: its pin {gpio} is always {fixed.active}, it is connected with that rail")
    check_count(len(wired))
    warnings += [f"a wire leads to {name[:40]}, and no part has this id" for name in diagram.unknown_parts()]
    return Wiring(
        tuple(wired.values()),
        not_simulated,
        diagram.board_profile,
        renamed_ids({name: ids[name] for name in wired}),
        warnings=tuple(warnings),
        drawn_for=_drawn_for(diagram),
    )


def _active_parts(diagram: Diagram) -> list[DiagramPart]:
    """Return the parts beside the board that do more than connect or draw."""
    return [part for part in diagram.parts.values() if part is not diagram.board and part.type not in _PASSIVE]


def _drawn_for(diagram: Diagram) -> DrawnBoard | None:
    if diagram.board is None:
        return None
    return DrawnBoard(diagram.board.type, diagram.board_chip)


@functools.cache
def _parts_by_type() -> Mapping[str, Part]:
    by_type: dict[str, Part] = {}
    for part in parts().values():
        if part.wokwi is not None:
            by_type.update(dict.fromkeys(part.wokwi.types, part))
    return by_type


def _facts(part: DiagramPart) -> Part:
    return _parts_by_type()[part.type]


@functools.cache
def _joined_pins() -> Mapping[str, Sequence[tuple[str, str]]]:
    return {name: part.wokwi_facts.joined for name, part in _parts_by_type().items()}


def _wire(diagram: Diagram, chain: Sequence[DiagramPart], part_id: str, outputs: _RegisterOutputs) -> WiredPart:
    """Return the first part of a chain as it is wired. Raises PartFault if a part of it cannot work so."""
    part = chain[0]
    facts = _facts(part)
    for member in chain:
        check_levels(diagram, member, _facts(member))
    if facts.wokwi_facts.legs:
        return _wire_legs(diagram, part, facts, part_id)
    display = _wire_at_outputs(diagram, part, part_id, outputs)
    if display is not None:
        return display
    pins = _gpios_by_role(diagram, part)
    attributes = _attributes(part, facts)
    if "count" in facts.attributes:
        total = sum(_own_count(member, facts) for member in chain)
        attributes["count"] = _within(total, facts.attributes["count"])
    active = _active_level(diagram, part, facts)
    address = _address(diagram, part, facts, pins)
    return _make(part_id, facts, pins, active, attributes, address=address)


def _free_label(part: DiagramPart, wired: Iterable[WiredPart]) -> str | None:
    """Return the label that we wrote of a part; None if it has none, or if a copy of the part has it already."""
    try:
        label = checked_label(part.id, part.attribute(f"{OWN_PREFIX}label"))
    except ConfigError:
        return None
    if label is None or any(other.label == label for other in wired):
        return None
    return label


def _gpios_by_role(diagram: Diagram, part: DiagramPart) -> dict[str, int]:
    """Return the GPIOs that a part's pins lead to, by its roles. Raises PartFault if a needed one is open."""
    facts = _facts(part)
    gpios = wired_roles(diagram, part, facts)
    has_i2c = is_on_i2c(facts, gpios)
    missing = []
    for role, pin in part_roles(facts).items():
        is_needed = not pin.optional and not (pin.instead_of_i2c and has_i2c)
        is_of_bus = pin.use == "i2c" and has_i2c
        if role not in gpios and (is_needed or is_of_bus):
            missing.append(role)
    if missing:
        raise PartFault(unconnected_fault(facts, diagram.pins_of(part.id), missing))
    return gpios


def _wire_at_outputs(diagram: Diagram, part: DiagramPart, part_id: str, outputs: _RegisterOutputs) -> WiredPart | None:
    """Return the part that stands for one at the outputs of shift registers, on the pins of the first register.

    None if no pin of the part is at such an output. Raises PartFault if its pins are at several chains of registers, or
    at registers that do not work as they are connected.
    """
    facts = _facts(part)
    over = facts.wokwi_facts.over_outputs
    if over is None:
        return None
    chains: dict[str, Sequence[DiagramPart]] = {}
    attributes = _attributes(part, facts)
    for pin in diagram.pins_of(part.id):
        place = outputs.at(diagram.net(part.id, pin))
        if place is not None and pin in over.attributes:
            registers, number = place
            chains[registers[0].id] = registers
            attributes[over.attributes[pin]] = number
    if not chains:
        return None
    if len(chains) > 1:
        raise PartFault(f"its pins are at {len(chains)} chains of registers")
    (registers,) = chains.values()
    display = find_part(over.part)
    roles = part_roles(display)
    pins = _register_gpios(diagram, registers) | wired_roles(diagram, part, facts)
    pins = {role: gpio for role, gpio in pins.items() if role in roles}
    return _make(part_id, display, pins, None, attributes)


def _register_gpios(diagram: Diagram, registers: Sequence[DiagramPart]) -> dict[str, int]:
    """Return the GPIOs of a chain's first register. Raises PartFault if one of the chain does not work."""
    for register in registers:
        try:
            check_levels(diagram, register, _facts(register))
        except PartFault as fault:
            raise PartFault(f"it is behind {register.id}: {fault}") from fault
    first = registers[0]
    try:
        return _gpios_by_role(diagram, first)
    except PartFault as fault:
        raise PartFault(f"it is behind {first.id}: {fault}") from fault


def _make(
    part_id: str,
    facts: Part,
    pins: Mapping[str, int],
    active: Active | None,
    attributes: Mapping[str, float],
    *,
    address: int | None = None,
) -> WiredPart:
    """Return the part. Raises PartFault with the reason for which there is no such one."""
    try:
        return make_part(part_id, facts.name, pins=pins, address=address, active=active, attributes=attributes)
    except ConfigError as exc:
        raise PartFault(exc.message.removeprefix(f"{part_id}: ")) from exc


def _wire_legs(diagram: Diagram, part: DiagramPart, facts: Part, part_id: str) -> WiredPart:
    """Return a part with two legs, one on a GPIO and the other on a rail. Raises PartFault if that is not so.

    An input whose own GPIO is on a rail has a fixed level, whatever its contact does: it is a generic input.
    """
    wokwi = facts.wokwi_facts
    legs = find_legs(diagram, part, wokwi)
    role = wokwi.pins[legs.leg]
    is_input = part_roles(facts)[role].use == "input"
    closed_level: Active = "low" if legs.rail == "ground" else "high"
    if legs.is_fixed and not is_input:
        raise PartFault(f"its {legs.leg} is on pin {legs.gpio} and on {RAIL_NAMES[legs.rail]}")
    if legs.is_fixed:
        return _make(part_id, find_part(_FIXED_LEVEL), {"pin": legs.gpio}, closed_level, {"on": 1})
    if is_input:
        attributes = _attributes(part, facts)
        if "resistor" in facts.attributes and diagram.net(part.id, legs.leg).pulls:
            attributes["resistor"] = 1
        return _make(part_id, facts, {role: legs.gpio}, closed_level, attributes)
    fault = unlit_fault(wokwi, legs)
    if fault is not None:
        raise PartFault(fault)
    # An output that sinks the current from the supply is on while it is low.
    active: Active = "high" if legs.rail == "ground" else "low"
    return _make(part_id, facts, {role: legs.gpio}, active, _attributes(part, facts))


def _active_level(diagram: Diagram, part: DiagramPart, facts: Part) -> Active | None:
    """Return the level at which a part is on, by its common pin or its attributes; None if it has only one way."""
    wokwi = facts.wokwi_facts
    if not any(pin.polarity for pin in facts.pins):
        return None
    if wokwi.common is not None and common_rail(diagram, part, wokwi.common) == "power":
        return "low"
    if any(part.attribute(name) == text for name, text in wokwi.low_if.items()):
        return "low"
    return "high"


def _attributes(part: DiagramPart, facts: Part) -> dict[str, float]:
    """Return the part's attributes that we have, within their ranges, and what it measures at first.

    Text that is no number is left out.
    """
    measured = {name: value for name, value in facts.measures.items() if not value.follows}
    values = {**measured, **facts.inputs}
    ranges = {**values, **facts.attributes}
    own_names = {f"{OWN_PREFIX}{name}": name for name in ranges}
    names = {**dict(zip(values, values, strict=True)), **facts.wokwi_facts.attributes, **own_names}
    attributes = _attributes_of_texts(part, facts)
    for theirs, ours in names.items():
        text = part.attribute(theirs)
        if ours not in ranges or text is None:
            continue
        number = _number(text)
        if number is not None:
            attributes[ours] = _within(number, ranges[ours])
    return attributes


def _attributes_of_texts(part: DiagramPart, facts: Part) -> dict[str, float]:
    """Return the attributes that follow from words, such as "anode"; an unknown word says nothing."""
    attributes: dict[str, float] = {}
    for theirs, meanings in facts.wokwi_facts.texts.items():
        text = part.attribute(theirs) or ""
        attributes.update(meanings.get(text, {}))
    return attributes


def _address(diagram: Diagram, part: DiagramPart, facts: Part, roles: Iterable[str]) -> int | None:
    """Return the I2C address that the diagram gives the part, or None for its usual one."""
    if facts.i2c is None or not is_on_i2c(facts, roles):
        return None
    wokwi = facts.wokwi_facts
    if wokwi.address_pin is not None and diagram.net(part.id, wokwi.address_pin).powers == {"power"}:
        return facts.i2c.addresses[1]
    for theirs, ours in {**wokwi.attributes, f"{OWN_PREFIX}address": "address"}.items():
        text = part.attribute(theirs)
        if ours == "address" and text is not None:
            number = _number(text)
            if number is not None and number in facts.i2c.addresses:
                return int(number)
    return None


class _Chains:
    """The parts of a diagram that are fed by the output of another part of their kind."""

    def __init__(self, diagram: Diagram, parts: Sequence[DiagramPart]) -> None:
        feeders: dict[tuple[int, str], DiagramPart] = {}
        for part in parts:
            for output in _facts(part).wokwi_facts.chained:
                # The ends of one net have the same object, and the diagram holds it.
                net = diagram.net(part.id, output)
                if not net.is_open:
                    feeders[id(net), _facts(part).name] = part
        self._followers: dict[str, DiagramPart] = {}
        self._feeders: dict[str, DiagramPart] = {}
        for part in parts:
            for input_pin in _facts(part).wokwi_facts.chained.values():
                feeder = feeders.get((id(diagram.net(part.id, input_pin)), _facts(part).name))
                if feeder is not None and feeder is not part:
                    self._followers[feeder.id] = part
                    self._feeders[part.id] = feeder

    @property
    def fed_ids(self) -> Collection[str]:
        """The ids of the parts that another one feeds."""
        return self._feeders.keys()

    def begin_at(self, part: DiagramPart) -> list[DiagramPart]:
        """Return the part and all that it feeds, one after the other."""
        return _follow(part, self._followers)

    def end_at(self, part: DiagramPart) -> list[DiagramPart]:
        """Return the parts that feed this one, the first of the chain first, and the part itself."""
        return _follow(part, self._feeders)[::-1]


def _follow(part: DiagramPart, links: Mapping[str, DiagramPart]) -> list[DiagramPart]:
    """Return the part and those that the links lead to, one after the other. It ends before a part comes again."""
    chain = [part]
    seen = {part.id}
    following = links.get(part.id)
    while following is not None and following.id not in seen:
        chain.append(following)
        seen.add(following.id)
        following = links.get(following.id)
    return chain


class _RegisterOutputs:
    """The outputs of a diagram's shift registers, each with the registers up to its own and its number in the chain."""

    def __init__(self, diagram: Diagram, parts: Sequence[DiagramPart], chains: _Chains) -> None:
        self._places: dict[int, tuple[Sequence[DiagramPart], int]] = {}
        for part in parts:
            outputs = _facts(part).wokwi_facts.outputs
            if not outputs:
                continue
            registers = chains.end_at(part)
            first_number = (len(registers) - 1) * len(outputs)
            for number, output in enumerate(outputs, start=first_number):
                net = diagram.net(part.id, output)
                if not net.is_open:
                    self._places.setdefault(id(net), (registers, number))

    def at(self, net: Net) -> tuple[Sequence[DiagramPart], int] | None:
        """Return the registers and the number of the output that is at a net; None if none is."""
        return self._places.get(id(net))


def _own_count(part: DiagramPart, facts: Part) -> float:
    """Return how many LEDs the part has itself; a matrix has rows and columns."""
    rows, columns = (_number(part.attribute(name) or "") for name in MATRIX_SIDES)
    if rows is not None and columns is not None:
        return rows * columns
    return _attributes(part, facts).get("count", 1)


def _within(number: float, allowed: ValueRange) -> float:
    return min(max(number, allowed.least), allowed.most)


def _number(text: str) -> float | None:
    """Return a number as attributes have it ("60", "0x3c", "0.5"), or None."""
    text = text.strip()
    try:
        if text.lower().startswith("0x"):
            return int(text, 16)
        number = float(text)
    except ValueError:
        return None
    is_finite = abs(number) < 1e12
    if not is_finite:
        return None
    return number
