"""Writes a wiring as Wokwi's diagram.json, from which diagram.py reads the same wiring. Wokwi draws the wires' ways.

What the format has no attribute for stands in attributes of our own, which Wokwi ignores (OWN_PREFIX).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from microclaw.errors import ConfigError
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.diagram_circuit import opposite
from microclaw.hardware.parts.diagram_nets import MATRIX_SIDES, OWN_PREFIX, RESISTOR_TYPE, Power, diagram_boards
from microclaw.hardware.parts.part_ids import free_id
from microclaw.hardware.parts.reader import Part, WokwiForm, parts
from microclaw.hardware.parts.wiring import WiredPart, Wiring, is_on_i2c, part_roles
from microclaw.hardware.parts.wiring_check import pins_on

_BOARD_ID: Final = "esp"
_LED_OHMS: Final = "220"
_PULL_OHMS: Final = "10000"
_COLOURS: Final[Mapping[str, str]] = {"ground": "black", "power": "red", "gpio": "green"}
# Places of the drawing, in its pixels: the parts stand in columns on the right of the board.
_FIRST_LEFT: Final = 320
_COLUMN: Final = 260
_ROW: Final = 170
_ROWS: Final = 6


class WrittenDiagram(Struct, frozen=True):
    """A diagram.json. `left_out` has the ids of the parts that it cannot have, each with the reason."""

    text: str
    board_type: str
    left_out: Mapping[str, str]


def write_diagram(wiring: Wiring, board: BoardProfile) -> WrittenDiagram:
    """Return the wiring as a diagram of this board. Raises ConfigError if no board of the format has its chip."""
    drawing = _Drawing(_board_type(board), [part.id for part in wiring.parts])
    left_out: dict[str, str] = {}
    chains = {part.id: _chain_ids(drawing, part) for part in wiring.parts}
    for part in wiring.parts:
        if part.facts.wokwi is not None:
            _draw(drawing, part, chains[part.id], board)
            continue
        register = _register_before(part, wiring)
        if register is None or not _draw_at_outputs(drawing, part, register, chains[register.id]):
            left_out[part.id] = f"no {part.part} in this format"
    return WrittenDiagram(drawing.text(), drawing.board_type, left_out)


def _board_type(board: BoardProfile) -> str:
    types = {name: facts for name, facts in diagram_boards().items() if "ground" in facts}
    for name, facts in types.items():
        if facts.get("profile") == board.board_id:
            return name
    for name, facts in types.items():
        if facts["chip"] == board.chip:
            return name
    raise ConfigError(f"a diagram.json has no board with an {board.chip}", next_step="take the wiring.toml")


class _Drawing:
    """The parts and wires of a diagram while it is written."""

    def __init__(self, board_type: str, part_ids: Collection[str]) -> None:
        self.board_type = board_type
        self._board = diagram_boards()[board_type]
        self._pin_names = {gpio: name for name, gpio in self._board["names"].items()}
        self._ids = set(part_ids)
        self._board_id = self.new_id(_BOARD_ID)
        self._parts: list[dict[str, Any]] = []
        self._wires: list[list[Any]] = []
        self._add(self._board_id, board_type, {}, left=0, top=0)

    def new_id(self, name: str) -> str:
        """Return an id that no part has, and take it."""
        part_id = free_id(name, self._ids)
        self._ids.add(part_id)
        return part_id

    def add(self, part_id: str, part_type: str, attributes: Mapping[str, str]) -> None:
        """Add a part at the next place."""
        column, row = divmod(len(self._parts) - 1, _ROWS)
        self._add(part_id, part_type, attributes, left=_FIRST_LEFT + column * _COLUMN, top=row * _ROW)

    def wire_gpio(self, end: str, gpio: int) -> None:
        """Wire an end ("led1:A") to a GPIO of the board."""
        self._wire(end, self._pin_names.get(gpio, str(gpio)), "gpio")

    def wire_rail(self, end: str, rail: Power) -> None:
        """Wire an end to ground or the supply of the board."""
        self._wire(end, self._board[rail], rail)

    def wire_parts(self, first: str, second: str) -> None:
        """Wire two ends of parts."""
        self._wires.append([first, second, _COLOURS["gpio"], []])

    def text(self) -> str:
        """Return the file."""
        wires = [*self._wires, *self._serial_wires()]
        file = {
            "version": 1,
            "author": "microclaw",
            "editor": "wokwi",
            "parts": self._parts,
            "connections": wires,
            "dependencies": {},
        }
        return json.dumps(file, indent=2, ensure_ascii=False) + "\n"

    def _serial_wires(self) -> Iterator[list[Any]]:
        """Yield the wires of the serial monitor, without which Wokwi shows nothing that a program prints."""
        if {"TX", "RX"} <= self._board["names"].keys():
            yield [f"{self._board_id}:TX", "$serialMonitor:RX", "", []]
            yield [f"{self._board_id}:RX", "$serialMonitor:TX", "", []]

    def _add(self, part_id: str, part_type: str, attributes: Mapping[str, str], *, left: int, top: int) -> None:
        part = {"type": part_type, "id": part_id, "left": left, "top": top, "attrs": dict(attributes)}
        self._parts.append(part)

    def _wire(self, end: str, pin: str, kind: str) -> None:
        self._wires.append([end, f"{self._board_id}:{pin}", _COLOURS[kind], []])


def _chain_ids(drawing: _Drawing, part: WiredPart) -> list[str]:
    """Return the ids of the diagram's parts for a part: parts that the format has only singly are a chain of them."""
    ids = [part.id]
    if _is_chain(part.facts):
        for _ in range(int(_value(part, "count")) - 1):
            ids.append(drawing.new_id(part.id))
    return ids


def _draw(drawing: _Drawing, part: WiredPart, ids: Sequence[str], board: BoardProfile) -> None:
    wokwi = part.facts.wokwi_facts
    form = _form_of(part)
    attributes = _written_attributes(part, form)
    for part_id in ids:
        drawing.add(part_id, form.type or wokwi.types[0], attributes)
        attributes = {}
    if wokwi.legs:
        _wire_legs(drawing, part)
        return
    for part_id in ids:
        _wire_pins(drawing, part, part_id, form, board)
    for output, input_pin in wokwi.chained.items():
        for feeder, follower in itertools.pairwise(ids):
            drawing.wire_parts(f"{feeder}:{output}", f"{follower}:{input_pin}")


def _register_before(part: WiredPart, wiring: Wiring) -> WiredPart | None:
    """Return the shift register on the same pins, at whose outputs the part hangs, or None."""
    for other in wiring.parts:
        is_register = bool(other.facts.wokwi_facts.outputs)
        if is_register and all(part.pins.get(role) == gpio for role, gpio in other.pins.items()):
            return other
    return None


def _draw_at_outputs(drawing: _Drawing, part: WiredPart, register: WiredPart, register_ids: Sequence[str]) -> bool:
    """Draw the part whose pins are at the outputs of registers; return False if the format has none like it."""
    face = _face_of(part)
    if face is None or face.wokwi_facts.over_outputs is None:
        return False
    meanings = face.wokwi_facts.over_outputs.attributes
    outputs = register.facts.wokwi_facts.outputs
    places = {name: int(_value(part, name)) for name in meanings.values()}
    if max(places.values()) >= len(outputs) * len(register_ids) or not _is_one_display(part, face, places):
        return False
    display = _as_display(part, face)
    form = _form_of(display)
    drawing.add(part.id, face.wokwi_facts.types[0], _written_attributes(display, form))
    for name, number in places.items():
        chip, output = divmod(number, len(outputs))
        if number >= 0:
            drawing.wire_parts(
                f"{register_ids[chip]}:{outputs[output]}", f"{part.id}:{_pin_name(form, meanings, name)}"
            )
    for role, gpio in display.pins.items():
        drawing.wire_gpio(f"{part.id}:{_pin_name(form, face.wokwi_facts.pins, role)}", gpio)
    if not _switches(display, places):
        for pin, rail in _levels(display, form).items():
            drawing.wire_rail(f"{part.id}:{pin}", rail)
    return True


def _is_one_display(part: WiredPart, face: Part, places: Mapping[str, int]) -> bool:
    """Return False for digits that have a register each, and for more digits than a display has."""
    digits = _value(part, "digits")
    if digits > face.attributes["digits"].most:
        return False
    return digits == 1 or _switches(_as_display(part, face), places)


def _switches(display: WiredPart, places: Mapping[str, int]) -> bool:
    """Return True if a pin or an output switches a digit."""
    is_at_output = any(number >= 0 for name, number in places.items() if name.startswith("q"))
    return is_at_output or bool(display.pins)


def _as_display(part: WiredPart, face: Part) -> WiredPart:
    """Return the part with what it has in common with a display on pins: those of its digits, and its attributes."""
    roles = [pin.role for pin in face.pins]
    pins = {role: gpio for role, gpio in part.pins.items() if role in roles}
    attributes = {name: value for name, value in part.attributes.items() if name in face.attributes}
    return WiredPart(part.id, face.name, pins=pins, attributes=attributes, label=part.label)


def _face_of(part: WiredPart) -> Part | None:
    """Return the part that this one stands for behind shift registers, or None."""
    for facts in parts().values():
        over = facts.wokwi_facts.over_outputs
        if over is not None and over.part == part.part:
            return facts
    return None


def _is_chain(facts: Part) -> bool:
    return "count" in facts.attributes and "count" not in facts.wokwi_facts.attributes.values()


def _form_of(part: WiredPart) -> WokwiForm:
    """Return the form in which a part is written."""
    for form in part.facts.wokwi_facts.forms:
        if _has_form(part, form):
            return form
    return WokwiForm()


def _has_form(part: WiredPart, form: WokwiForm) -> bool:
    if form.if_i2c:
        return is_on_i2c(part.facts, part.pins)
    if form.if_changed is not None:
        return _value(part, form.if_changed) != part.facts.attributes[form.if_changed].default
    is_given = "width" in part.attributes or "height" in part.attributes
    return is_given and _value(part, "width") * _value(part, "height") == _value(part, "count")


def _value(part: WiredPart, attribute: str) -> float:
    """Return an attribute of the part, which is the usual one if the wiring does not give it."""
    return part.attributes.get(attribute, part.facts.attributes[attribute].default)


def _written_attributes(part: WiredPart, form: WokwiForm) -> dict[str, str]:
    """Return the attributes of the diagram's part: those of the format, and in our own what it has none for."""
    facts = part.facts
    texts, expressed = _texts(part)
    written = {**form.attributes, **texts}
    if part.active == "low":
        written |= facts.wokwi_facts.low_if
    names = _attribute_names(facts, form)
    values = dict(part.attributes)
    if form.is_matrix:
        values |= {"width": _value(part, "width"), "height": _value(part, "height")}
    for name, value in values.items():
        if name not in expressed and name in names:
            written[names[name]] = _number_text(value)
    if part.label is not None:
        written[f"{OWN_PREFIX}label"] = part.label
    usual = facts.i2c.addresses[0] if facts.i2c is not None else None
    if part.address is not None and part.address != usual and not _has_address_pin(part):
        written[names["address"]] = f"0x{part.address:02x}"
    return written


def _texts(part: WiredPart) -> tuple[dict[str, str], set[str]]:
    """Return the attributes with words ("common": "anode"), and the names of ours that these say."""
    texts: dict[str, str] = {}
    expressed = set[str]()
    for theirs, meanings in part.facts.wokwi_facts.texts.items():
        for word, attributes in meanings.items():
            is_so = all(_value(part, name) == value for name, value in attributes.items())
            if word and is_so:
                texts[theirs] = word
                expressed |= attributes.keys()
    return texts, expressed


def _attribute_names(facts: Part, form: WokwiForm) -> dict[str, str]:
    """Return the names that our attributes have in the diagram's part.

    There is none for a count that the sides of a matrix or the parts of a chain say.
    """
    names = {name: f"{OWN_PREFIX}{name}" for name in (*facts.attributes, "address")}
    names |= {name: name for name in (*facts.measures, *facts.inputs)}
    for theirs, ours in facts.wokwi_facts.attributes.items():
        if form.is_matrix or theirs not in MATRIX_SIDES:
            names[ours] = theirs
    if form.is_matrix or _is_chain(facts):
        del names["count"]
    return names


def _number_text(value: float) -> str:
    if value == int(value):
        return str(int(value))
    return repr(float(value))


def _has_address_pin(part: WiredPart) -> bool:
    """Return True if the part has its second address, and a pin that gives it."""
    facts = part.facts
    if facts.i2c is None or facts.wokwi_facts.address_pin is None:
        return False
    return part.address in facts.i2c.addresses[1:2]


def _wire_legs(drawing: _Drawing, part: WiredPart) -> None:
    """Wire a part with two legs: an LED with its resistor, a button with the one that holds its level, if it has it."""
    wokwi = part.facts.wokwi_facts
    (gpio,) = part.pins.values()
    leg, other = wokwi.legs
    rail: Power = "ground" if part.active == "high" else "power"
    role = part_roles(part.facts)[next(iter(part.pins))]
    if role.use == "input":
        rail = opposite(rail)
    if wokwi.anode is not None:
        # The current comes through the resistor into the anode, from the GPIO or from the supply.
        cathode = wokwi.other_leg(wokwi.anode)
        resistor = _add_resistor(drawing, part, _LED_OHMS)
        drawing.wire_parts(f"{resistor}:1", f"{part.id}:{wokwi.anode}")
        if part.active == "high":
            drawing.wire_gpio(f"{resistor}:2", gpio)
            drawing.wire_rail(f"{part.id}:{cathode}", "ground")
        else:
            drawing.wire_rail(f"{resistor}:2", "power")
            drawing.wire_gpio(f"{part.id}:{cathode}", gpio)
        return
    drawing.wire_gpio(f"{part.id}:{leg}", gpio)
    drawing.wire_rail(f"{part.id}:{other}", rail)
    if wokwi.throw is not None:
        drawing.wire_rail(f"{part.id}:{wokwi.throw}", opposite(rail))
    if part.attributes.get("resistor") == 1:
        resistor = _add_resistor(drawing, part, _PULL_OHMS)
        drawing.wire_gpio(f"{resistor}:1", gpio)
        drawing.wire_rail(f"{resistor}:2", opposite(rail))


def _add_resistor(drawing: _Drawing, part: WiredPart, ohms: str) -> str:
    part_id = drawing.new_id(f"{part.id}-r")
    drawing.add(part_id, RESISTOR_TYPE, {"value": ohms})
    return part_id


def _wire_pins(drawing: _Drawing, part: WiredPart, part_id: str, form: WokwiForm, board: BoardProfile) -> None:
    """Wire one of the diagram's parts: its roles, its supply, and what has a level if no GPIO gives it."""
    wokwi = part.facts.wokwi_facts
    gpios = {_pin_name(form, wokwi.pins, role): gpio for role, gpio in pins_on(part, board).items()}
    for pin, gpio in gpios.items():
        is_fed = part_id != part.id and pin in wokwi.chained.values()
        if not is_fed:
            drawing.wire_gpio(f"{part_id}:{pin}", gpio)
    for pin, rail in _levels(part, form).items():
        if pin not in gpios:
            drawing.wire_rail(f"{part_id}:{pin}", rail)


def _levels(part: WiredPart, form: WokwiForm) -> dict[str, Power]:
    """Return the rails that the part's pins are on, where they are on no GPIO."""
    facts = part.facts
    wokwi = facts.wokwi_facts
    levels: dict[str, Power] = {}
    for rail in dict.fromkeys(wokwi.supply.values()):
        levels[_pin_name(form, wokwi.supply, rail)] = rail
    for pin, rail in wokwi.levels.items():
        role = part_roles(facts).get(wokwi.pins.get(pin, ""))
        # A part on I2C does not have the pins that it would have instead.
        if part.address is None or role is None or not role.instead_of_i2c:
            levels[pin] = rail
    for pin, attribute in wokwi.rails.items():
        if wokwi.pins[pin] not in part.pins:
            levels[pin] = "power" if _value(part, attribute) == 1 else "ground"
    if wokwi.common is not None:
        levels[wokwi.common] = "power" if part.active == "low" else "ground"
    if wokwi.address_pin is not None and _has_address_pin(part):
        levels[wokwi.address_pin] = "power"
    return levels


def _pin_name(form: WokwiForm, names: Mapping[str, object], meaning: object) -> str:
    """Return the pin that has this role or rail: one of the form's names, else the first."""
    possible = [name for name, value in names.items() if value == meaning]
    for name in possible:
        if name in form.names:
            return name
    return possible[0]
