"""Makes a wiring of Wokwi's diagram.json: each part that we know, on the GPIOs that its pins lead to."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Final

from microclaw.errors import ConfigError
from microclaw.hardware.parts.diagram_nets import Diagram, DiagramPart, Net
from microclaw.hardware.parts.reader import Active, Part, ValueRange, parts
from microclaw.hardware.parts.wiring import WiredPart, Wiring, is_on_i2c, make_part, part_ids, part_roles, renamed_ids

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
        "wokwi-resistor",
        "wokwi-logic-analyzer",
    }
)


def read_diagram(text: str) -> Wiring:
    """Return the wiring of a diagram.json. Raises ConfigError for text that is none.

    Parts that nothing here knows, or that lead to no GPIO, are listed in `not_simulated`; they never refuse the file.
    """
    diagram = Diagram(text)
    known: list[DiagramPart] = []
    not_simulated: list[str] = []
    for part in diagram.parts.values():
        if part is diagram.board or part.type in _PASSIVE:
            continue
        if part.type in _parts_by_type():
            known.append(part)
        else:
            not_simulated.append(part.id)
    for part in known:
        for first, second in _facts(part).wokwi_facts.joined:
            diagram.join_pins(part.id, first, second)
    ids = part_ids([part.id for part in known])
    wired: dict[str, WiredPart] = {}
    for part in known:
        if _is_in_chain(diagram, part):
            continue
        try:
            wired_part = _wire_at_outputs(diagram, part, ids[part.id])
            if wired_part is None:
                wired_part = _wire(diagram, part, ids[part.id])
            wired[part.id] = wired_part
        except ConfigError:
            not_simulated.append(part.id)
    renamed = renamed_ids({name: ids[name] for name in wired})
    return Wiring(tuple(wired.values()), tuple(not_simulated), diagram.board_profile, renamed)


@functools.cache
def _parts_by_type() -> Mapping[str, Part]:
    by_type: dict[str, Part] = {}
    for part in parts().values():
        if part.wokwi is not None:
            by_type.update(dict.fromkeys(part.wokwi.types, part))
    return by_type


def _facts(part: DiagramPart) -> Part:
    return _parts_by_type()[part.type]


def _wire(diagram: Diagram, part: DiagramPart, part_id: str) -> WiredPart:
    """Return the part as it is wired. Raises ConfigError if a pin that it needs leads to no GPIO."""
    facts = _facts(part)
    pins: dict[str, int] = {}
    active: Active | None = None
    attributes = _attributes(part, facts)
    for role, pin in _pins_by_role(diagram, part).items():
        net = diagram.net(part.id, pin)
        pins[role] = min(net.gpios)
        active = _active_level(diagram, part, pin, net)
        if "resistor" in facts.attributes and diagram.pulls(net):
            attributes["resistor"] = 1
    if is_on_i2c(facts, pins) and not {"sda", "scl"} <= pins.keys():
        raise ConfigError(f"{part.id}: it is on no I2C bus")
    if "count" in facts.attributes:
        attributes["count"] = _chain_length(diagram, part, facts)
    return make_part(
        part_id,
        facts.name,
        pins=pins,
        address=_address(part, facts, pins),
        active=active,
        attributes=attributes,
    )


def _wire_at_outputs(diagram: Diagram, part: DiagramPart, part_id: str) -> WiredPart | None:
    """Return the part that stands for one at the outputs of shift registers, on the pins of the first register.

    None if no pin of the part is at such an output. Raises ConfigError if its pins are at several chains of registers.
    """
    facts = _facts(part)
    over = facts.wokwi_facts.over_outputs
    if over is None:
        return None
    chains: dict[str, DiagramPart] = {}
    attributes = _attributes(part, facts)
    for pin in diagram.pins_of(part.id):
        place = _output_at(diagram, diagram.net(part.id, pin))
        if place is not None and pin in over.attributes:
            register, number = place
            chains[register.id] = register
            attributes[over.attributes[pin]] = number
    if not chains:
        return None
    if len(chains) > 1:
        raise ConfigError(f"{part.id}: its pins are at {len(chains)} chains of registers")
    (register,) = chains.values()
    roles = part_roles(parts()[over.part])
    pins = _gpios_by_role(diagram, register) | _gpios_by_role(diagram, part)
    pins = {role: gpio for role, gpio in pins.items() if role in roles}
    return make_part(part_id, over.part, pins=pins, attributes=attributes)


def _output_at(diagram: Diagram, net: Net) -> tuple[DiagramPart, int] | None:
    """Return the first register of the chain whose output is at a net, and the output's number in the chain."""
    for end in sorted(net.ends):
        other_id, _, pin = end.partition(":")
        register = diagram.parts.get(other_id)
        if register is None or register.type not in _parts_by_type():
            continue
        outputs = _facts(register).wokwi_facts.outputs
        if pin in outputs:
            first, chip_count = _first_of_chain(diagram, register)
            return first, outputs.index(pin) + chip_count * len(outputs)
    return None


def _first_of_chain(diagram: Diagram, part: DiagramPart) -> tuple[DiagramPart, int]:
    """Return the part that feeds the whole chain, and how many parts are before this one."""
    seen = [part.id]
    feeder = _feeder(diagram, part)
    while feeder is not None and feeder.id not in seen:
        seen.append(feeder.id)
        part = feeder
        feeder = _feeder(diagram, part)
    return part, len(seen) - 1


def _gpios_by_role(diagram: Diagram, part: DiagramPart) -> dict[str, int]:
    """Return the GPIOs that a part's pins lead to, by its roles."""
    gpios = {}
    for role, pin in _pins_by_role(diagram, part).items():
        gpios[role] = min(diagram.net(part.id, pin).gpios)
    return gpios


def _pins_by_role(diagram: Diagram, part: DiagramPart) -> dict[str, str]:
    """Return the pins of a part that lead to a GPIO, by its roles; of several for a role the first."""
    pins: dict[str, str] = {}
    for pin in diagram.pins_of(part.id):
        role = _facts(part).wokwi_facts.pins.get(pin)
        if role is not None and role not in pins and diagram.net(part.id, pin).gpios:
            pins[role] = pin
    return pins


def _active_level(diagram: Diagram, part: DiagramPart, pin: str, net: Net) -> Active | None:
    """Return the level at which the part is on or closed, by what its other side is on; None if that says nothing.

    A contact between its GPIO and ground reads low when it is closed. An LED whose cathode is on the GPIO lights when
    the GPIO is low, and a buzzer between the supply and the GPIO sounds then.
    """
    facts = _facts(part)
    role = facts.wokwi_facts.pins[pin]
    role_facts = part_roles(facts)[role]
    if not role_facts.polarity:
        return None
    if role_facts.use in ("output", "pwm"):
        if _is_lit_by_low(diagram, part, pin) or "power" in _opposite_powers(diagram, part, pin, net):
            return "low"
        return "high"
    powers = _opposite_powers(diagram, part, pin, net)
    if "ground" in powers:
        return "low"
    if "power" in powers:
        return "high"
    return None


def _opposite_powers(diagram: Diagram, part: DiagramPart, pin: str, net: Net) -> frozenset[str]:
    """Return the supplies at the other pins that have the role of this one: those of a contact's or buzzer's end."""
    roles = _facts(part).wokwi_facts.pins
    powers = frozenset[str]()
    for other_pin in diagram.pins_of(part.id):
        other = diagram.net(part.id, other_pin)
        if roles.get(other_pin) == roles[pin] and other.ends != net.ends:
            powers |= other.powers
    return powers


def _is_lit_by_low(diagram: Diagram, part: DiagramPart, pin: str) -> bool:
    """Return True if the part is on while the GPIO at this pin is low."""
    wokwi = _facts(part).wokwi_facts
    if pin in wokwi.lit_by_low:
        return True
    if wokwi.common is not None and "power" in diagram.net(part.id, wokwi.common).powers:
        return True
    return any(part.attribute(name) == text for name, text in wokwi.low_if.items())


def _attributes(part: DiagramPart, facts: Part) -> dict[str, float]:
    """Return the part's attributes that we have, within their ranges, and what it measures at first.

    Text that is no number is left out.
    """
    values = {**facts.measures, **facts.inputs}
    ranges = {**values, **facts.attributes}
    names = {**dict(zip(values, values, strict=True)), **facts.wokwi_facts.attributes}
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


def _address(part: DiagramPart, facts: Part, roles: Iterable[str]) -> int | None:
    """Return the I2C address that the diagram gives the part, or None for its usual one."""
    if facts.i2c is None or not is_on_i2c(facts, roles):
        return None
    for theirs, ours in facts.wokwi_facts.attributes.items():
        text = part.attribute(theirs)
        if ours == "address" and text is not None:
            number = _number(text)
            if number is not None and number in facts.i2c.addresses:
                return int(number)
    return None


def _is_in_chain(diagram: Diagram, part: DiagramPart) -> bool:
    """Return True if the part's input is fed by the output of another part of its kind."""
    return _feeder(diagram, part) is not None


def _feeder(diagram: Diagram, part: DiagramPart) -> DiagramPart | None:
    for output, input_pin in _facts(part).wokwi_facts.chained.items():
        for end in diagram.net(part.id, input_pin).ends:
            other_id, _, pin = end.partition(":")
            other = diagram.parts.get(other_id)
            is_feeder = other is not None and other is not part and pin == output and other.type in _parts_by_type()
            if is_feeder:
                return other
    return None


def _chain_length(diagram: Diagram, part: DiagramPart, facts: Part) -> float:
    """Return the number of LEDs of this part and of all that it feeds, one after the other."""
    followers: dict[str, DiagramPart] = {}
    for other in diagram.parts.values():
        if _parts_by_type().get(other.type) is facts:
            feeder = _feeder(diagram, other)
            if feeder is not None:
                followers[feeder.id] = other
    total = 0.0
    seen = set[str]()
    current: DiagramPart | None = part
    while current is not None and current.id not in seen:
        seen.add(current.id)
        total += _own_count(current, facts)
        current = followers.get(current.id)
    return _within(total, facts.attributes["count"])


def _own_count(part: DiagramPart, facts: Part) -> float:
    """Return how many LEDs the part has itself; a matrix has rows and columns."""
    rows = _number(part.attribute("rows") or "")
    columns = _number(part.attribute("cols") or "")
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
