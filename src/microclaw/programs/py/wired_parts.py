"""The parts that a program names by the objects that it makes, as `Sensor(Pin(4))`, with the pins that they get."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from microclaw.errors import ConfigError
from microclaw.hardware.boards.micropython.stock import stock_image
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.reader import Part, parts
from microclaw.hardware.parts.wiring import WiredPart, is_on_i2c, make_part, next_part_id, part_roles
from microclaw.programs.py.callgraph import PyCallGraph
from microclaw.programs.py.drivers import functions_of
from microclaw.programs.py.pins import find_argument, pin_numbers
from microclaw.programs.py.scopes import Binding

_BUS: Final = "bus"
"""The role of an object of I2C or SPI, which gives the pins of the part's bus."""
_ADDRESS: Final = "address"
_OFFSET: Final = "address offset"
"""The role of a number that a driver adds to its usual address."""
_SCREEN: Final = "microclaw.screen"
"""Its functions are named as the displays that they open, their parameters as roles and attributes."""
_ON_PINS: Final = "_pins"
_BUS_CLASSES: Final[Mapping[str, Mapping[str, int]]] = {
    "machine.I2C": {"scl": -1, "sda": -1},
    "machine.SoftI2C": {"scl": 0, "sda": 1},
    "machine.SPI": {"sck": -1, "mosi": -1},
    "machine.SoftSPI": {"sck": -1, "mosi": -1},
}
"""The places of their pins among the arguments; -1 for a pin that is only given by its name."""
_FOLLOWED_NAMES: Final = 8


class _Constructor(Struct, frozen=True):
    """A class that programs make with a part's pins: its parameters, in order, by the role or attribute they give.

    `address` is that of the driver if a program gives none; None for parts without I2C.
    """

    part: Part
    parameters: Mapping[str, str]
    address: int | None


def find_wired_parts(
    graph: PyCallGraph, board: BoardProfile, origins: Mapping[str, str] = MappingProxyType({})
) -> tuple[WiredPart, ...]:
    """Return the parts whose pins are known, each once, in the program's order.

    `origins` are the dotted names of what the program's own modules define: a driver may be one of these.
    The first part is named as its kind, further ones of the kind with a number. A board may be unable to have them.
    """
    constructors = _constructors()
    wired: list[WiredPart] = []
    for call in sorted(graph.calls, key=lambda call: (call.lineno, call.col_offset)):
        origin = graph.origin(call.func)
        if origin is None and isinstance(call.func, ast.Name):
            origin = origins.get(call.func.id)
        for constructor in constructors.get(origin or "", ()):
            made = _make_all(call, constructor, graph, board, wired)
            wired += made
            if made:
                break
    return tuple(wired)


def _constructors() -> dict[str, list[_Constructor]]:
    """Return the constructors of all parts by their dotted names.

    Parts that differ in their attributes, as in the size of a display, may have the same.
    """
    table: dict[str, list[_Constructor]] = {}
    for part in parts().values():
        for name, parameters in part.serves.constructors.items():
            address = part.serves.addresses.get(name, _usual_address(part))
            table.setdefault(name, []).append(_Constructor(part, parameters, address))
    for name, roles in functions_of(_SCREEN).items():
        display = parts().get(name.removesuffix(_ON_PINS))
        if display is not None:
            parameters = {role: role for role in roles}
            table[f"{_SCREEN}.{name}"] = [_Constructor(display, parameters, _usual_address(display))]
    return table


def _usual_address(part: Part) -> int | None:
    if part.i2c is None:
        return None
    return part.i2c.addresses[0]


def _make_all(
    call: ast.Call, constructor: _Constructor, graph: PyCallGraph, board: BoardProfile, wired: Sequence[WiredPart]
) -> list[WiredPart]:
    """Return the parts that a call makes, without those that are there already or cannot be."""
    made: list[WiredPart] = []
    for values in _arguments(call, constructor, graph, board):
        part = _make(constructor.part, values, [*wired, *made])
        if part is not None:
            made.append(part)
    return made


def _arguments(
    call: ast.Call, constructor: _Constructor, graph: PyCallGraph, board: BoardProfile
) -> Iterable[dict[str, int]]:
    """Yield the numbers that a call gives to roles and attributes; several if it is made with each of several pins."""
    numbers: dict[str, list[int]] = {}
    for place, (parameter, role) in enumerate(constructor.parameters.items()):
        value = find_argument(call, place, (parameter,))
        if role and value is not None:
            numbers |= _numbers_of(role, value, constructor, graph, board)
    known: dict[str, int] = {}
    if constructor.address is not None:
        known[_ADDRESS] = constructor.address
    several: dict[str, list[int]] = {}
    for role, values in numbers.items():
        if len(values) == 1:
            known[role] = values[0]
        elif values:
            several[role] = values
    if not several:
        yield known
    elif len(several) == 1:
        ((role, values),) = several.items()
        for number in values:
            yield {**known, role: number}


def _numbers_of(
    role: str, value: ast.expr, constructor: _Constructor, graph: PyCallGraph, board: BoardProfile
) -> dict[str, list[int]]:
    """Return the numbers that an argument gives, by their roles. Some drivers take bus and address in either order."""
    if role in (_BUS, _ADDRESS):
        bus = _find_bus(value, graph)
        if bus is not None:
            return _bus_numbers(bus, graph, board)
    numbers = sorted(pin_numbers(graph, value) or ())
    if role == _OFFSET:
        return {_ADDRESS: [(constructor.address or 0) + number for number in numbers]}
    if role == _BUS:
        facts = constructor.part.i2c
        addresses = facts.addresses if facts is not None else ()
        numbers = [number for number in numbers if number in addresses]
        if not numbers:
            return {}
        role = _ADDRESS
    return {role: numbers}


def _bus_numbers(bus: ast.Call, graph: PyCallGraph, board: BoardProfile) -> dict[str, list[int]]:
    """Return the pins of a bus by their roles: given ones, else those that MicroPython gives it on this chip."""
    origin = str(graph.origin(bus.func))
    numbers = {}
    for role, place in _BUS_CLASSES[origin].items():
        numbers[role] = sorted(pin_numbers(graph, find_argument(bus, place, (role,))) or ())
    has_no_pins = origin == "machine.SPI" and not any(numbers.values())
    if has_no_pins:
        return _own_pins(bus, graph, board)
    return numbers


def _own_pins(bus: ast.Call, graph: PyCallGraph, board: BoardProfile) -> dict[str, list[int]]:
    """Return the pins of an SPI bus that is given none; none if it is not known which bus it is."""
    ids = pin_numbers(graph, find_argument(bus, 0, ("id",))) or set()
    if len(ids) != 1:
        return {}
    (number,) = ids
    pins = stock_image().default_pins.get(board.chip.upper(), {}).get(f"machine.SPI({number})", {})
    return {role: [pins[role]] for role in ("sck", "mosi") if role in pins}


def _find_bus(node: ast.expr | None, graph: PyCallGraph, depth: int = 0) -> ast.Call | None:
    """Return the call that makes the bus for which an expression stands."""
    if isinstance(node, ast.Call) and graph.origin(node.func) in _BUS_CLASSES:
        return node
    if not isinstance(node, ast.Name) or depth > _FOLLOWED_NAMES:
        return None
    bindings = graph.scopes.bindings(node)
    return graph.scopes.answer_once("bus", bindings, lambda: _bound_bus(bindings, graph, depth + 1), unknown=None)


def _bound_bus(bindings: Iterable[Binding], graph: PyCallGraph, depth: int) -> ast.Call | None:
    for binding in bindings:
        bus = _find_bus(binding.value, graph, depth)
        if bus is not None:
            return bus
    return None


def _make(facts: Part, values: Mapping[str, int], wired: Sequence[WiredPart]) -> WiredPart | None:
    """Return the part with these pins, or None if a pin is unknown or the part is there already."""
    roles = part_roles(facts)
    pins = {role: number for role, number in values.items() if role in roles}
    address = None
    if is_on_i2c(facts, pins):
        address = values.get(_ADDRESS)
    attributes = {name: number for name, number in values.items() if name in facts.attributes}
    part_id = next_part_id(facts.name, wired)
    try:
        new_part = make_part(part_id, facts.name, pins=pins, address=address, attributes=attributes)
    except ConfigError:
        return None
    for part in wired:
        if (part.part, part.pins, part.address) == (new_part.part, new_part.pins, new_part.address):
            return None
    return new_part
