"""Looks at a diagram's nets as a circuit: may a part work as it is connected? It makes no wiring, diagram.py does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from microclaw.hardware.parts.diagram_nets import Diagram, DiagramPart, Net, Power
from microclaw.hardware.parts.reader import Part, WokwiFacts
from microclaw.hardware.parts.wiring import is_on_i2c, part_roles

RAIL_NAMES: Final[Mapping[Power, str]] = {"ground": "ground", "power": "the supply"}


class PartFault(Exception):
    """Why a part does not work as it is connected. Its text follows the part's id: "its VCC is on ground"."""


class LegLevels(Struct, frozen=True):
    """A part with two legs: its GPIO, and where the other leg is. `is_fixed`: the GPIO itself is there, too."""

    leg: str
    gpio: int
    rail: Power
    is_fixed: bool = False


def check_levels(diagram: Diagram, part: DiagramPart, facts: Part) -> None:
    """Raise PartFault for a pin that is on the opposite of the rail that it needs."""
    wokwi = facts.wokwi_facts
    for pin, rail in {**wokwi.supply, **wokwi.levels, **wokwi.pulled}.items():
        powers = diagram.net(part.id, pin).powers
        if powers and powers != {rail}:
            raise PartFault(f"its {pin} is on {_places_text(powers)}")
    for pin in wokwi.pins:
        net = diagram.net(part.id, pin)
        is_leg = pin in wokwi.leg_pins
        if net.gpios and net.powers and not is_leg:
            raise PartFault(f"its {pin} is on {_gpios_text(net)} and on {_places_text(net.powers)}")


def wired_roles(diagram: Diagram, part: DiagramPart, facts: Part) -> dict[str, int]:
    """Return the GPIOs that a part's pins lead to, by its roles; of several pins for a role the first."""
    gpios: dict[str, int] = {}
    for pin in diagram.pins_of(part.id):
        role = facts.wokwi_facts.pins.get(pin)
        net = diagram.net(part.id, pin)
        if role is not None and role not in gpios and net.gpios:
            gpios[role] = min(net.gpios)
    return gpios


def level_warnings(diagram: Diagram, part: DiagramPart, facts: Part) -> Iterator[str]:
    """Yield what is left open at a part that is simulated: its supply, a level that it needs, pins that it lacks."""
    wokwi = facts.wokwi_facts
    for rail, rail_name in RAIL_NAMES.items():
        pins = [pin for pin, needed in wokwi.supply.items() if needed == rail]
        if pins and not any(rail in diagram.net(part.id, pin).powers for pin in pins):
            wired = [pin for pin in pins if not diagram.net(part.id, pin).is_open]
            yield f"{part.id}: {_open_text(diagram, part, (wired or pins)[0], rail_name)}"
    for pin, rail in wokwi.levels.items():
        net = diagram.net(part.id, pin)
        is_open = not net.powers and not net.gpios
        if is_open and not _is_left_out(diagram, part, facts, pin):
            yield f"{part.id}: {_open_text(diagram, part, pin, RAIL_NAMES[rail])}"
    yield from pin_name_warnings(diagram, part, facts)


def pin_name_warnings(diagram: Diagram, part: DiagramPart, facts: Part) -> Iterator[str]:
    """Yield a text for each pin that wires name and the part lacks."""
    known = facts.wokwi_facts.all_pins
    for pin in diagram.pins_of(part.id):
        if pin not in known:
            yield f"{part.id}: it has no pin {pin[:20]!r}; its pins: {', '.join(known)}"


def _is_left_out(diagram: Diagram, part: DiagramPart, facts: Part, pin: str) -> bool:
    """Return True for a pin that the part does not have, since it is on I2C instead."""
    role = part_roles(facts).get(facts.wokwi_facts.pins.get(pin, ""))
    is_of_other_way = role is not None and role.instead_of_i2c
    return is_of_other_way and is_on_i2c(facts, wired_roles(diagram, part, facts))


def find_legs(diagram: Diagram, part: DiagramPart, wokwi: WokwiFacts) -> LegLevels:
    """Return how a part with two legs is connected. Raises PartFault if that does not work."""
    first, second = wokwi.legs
    is_second_open = not _leads_on(diagram.net(part.id, second))
    if wokwi.throw is not None and is_second_open and _leads_on(diagram.net(part.id, wokwi.throw)):
        # The contact of the other side is open or closed the other way round.
        second = wokwi.throw
    legs = _legs(diagram, part, wokwi, first, second)
    if second == wokwi.throw:
        return LegLevels(legs.leg, legs.gpio, opposite(legs.rail), legs.is_fixed)
    return legs


def opposite(rail: Power) -> Power:
    """Return the other rail."""
    if rail == "power":
        return "ground"
    return "power"


def unlit_fault(part: WokwiFacts, legs: LegLevels) -> str | None:
    """Return why no current can flow through a part that has an anode, or None."""
    if part.anode is None:
        return None
    other = part.other_leg(legs.leg)
    needed: Power = "ground" if legs.leg == part.anode else "power"
    if legs.rail == needed:
        return None
    return f"its {other} is on {RAIL_NAMES[legs.rail]} and its {legs.leg} on pin {legs.gpio}: it never lights"


def common_rail(diagram: Diagram, part: DiagramPart, pin: str) -> Power:
    """Return the rail of the common pin of several LEDs. Raises PartFault if it is on none."""
    powers = diagram.net(part.id, pin).powers
    if len(powers) == 1:
        return next(iter(powers))
    raise PartFault(_not_on_a_rail(diagram.net(part.id, pin), pin))


def unconnected_fault(facts: Part, pins: Sequence[str], missing_roles: Sequence[str]) -> str:
    """Return why a part is on no GPIO: the pins that should lead to one, and those of its wires that it lacks."""
    names = [pin for pin, role in facts.wokwi_facts.pins.items() if role in missing_roles]
    return f"its {' or '.join(names)} leads to no GPIO{_unknown_pin_text(facts.wokwi_facts, pins)}"


def _unknown_pin_text(wokwi: WokwiFacts, pins: Sequence[str]) -> str:
    known = wokwi.all_pins
    unknown = [pin for pin in pins if pin not in known]
    if not unknown:
        return ""
    return f"; it has no pin {unknown[0][:20]!r}"


def _legs(diagram: Diagram, part: DiagramPart, wokwi: WokwiFacts, first: str, second: str) -> LegLevels:
    for leg, other in ((first, second), (second, first)):
        net = diagram.net(part.id, leg)
        opposite_net = diagram.net(part.id, other)
        if not net.gpios:
            continue
        gpio = min(net.gpios)
        if len(net.powers) == 1:
            return LegLevels(leg, gpio, next(iter(net.powers)), is_fixed=True)
        if net is opposite_net:
            raise PartFault(f"its {leg} and {other} are both on {_gpios_text(net)}")
        if len(opposite_net.powers) == 1:
            return LegLevels(leg, gpio, next(iter(opposite_net.powers)))
        raise PartFault(_not_on_a_rail(opposite_net, other))
    unknown_pin = _unknown_pin_text(wokwi, diagram.pins_of(part.id))
    raise PartFault(f"its {first} and {second} lead to no GPIO{unknown_pin}")


def _leads_on(net: Net) -> bool:
    return bool(net.gpios or net.powers)


def _not_on_a_rail(net: Net, pin: str) -> str:
    if net.is_open:
        return f"its {pin} is connected to nothing"
    if net.gpios:
        return f"its {pin} is on {_gpios_text(net)}, not on ground or the supply"
    if net.powers:
        return f"its {pin} is on {_places_text(net.powers)}"
    return f"its {pin} leads to neither ground nor the supply"


def _open_text(diagram: Diagram, part: DiagramPart, pin: str, rail_name: str) -> str:
    net = diagram.net(part.id, pin)
    if net.gpios:
        return f"its {pin} is on {_gpios_text(net)}, taken as {rail_name}"
    if net.is_open:
        return f"its {pin} is connected to nothing, taken as on {rail_name}"
    return f"its {pin} does not lead to {rail_name}, taken as on it"


def _gpios_text(net: Net) -> str:
    return f"pin {min(net.gpios)}"


def _places_text(powers: frozenset[Power]) -> str:
    return " and ".join(RAIL_NAMES[power] for power in sorted(powers))
