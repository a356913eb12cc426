"""The pins that a program names as constants, how it uses each, and if the board allows that."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from microclaw.errors import PinRefused
from microclaw.hardware.boards.micropython.stock import PinArgument, PinRole, stock_image
from microclaw.hardware.boards.pins import cautions, check_pin, offer_boards
from microclaw.hardware.boards.profile import BoardProfile, PinUse
from microclaw.programs.py.callgraph import PyCallGraph
from microclaw.programs.py.nodes import constant_integers, contains, is_none
from microclaw.programs.py.py_image import PinClaim
from microclaw.programs.py.scopes import Binding
from microclaw.programs.py.source import Findings

_PINS: Final = frozenset({"machine.Pin", "microclaw.pin"})
_NUMBER_ITSELF: Final = _PINS | {"micropython.const", "builtins.const", "onewire.OneWire"}
_BUSES: Final = frozenset({"machine.UART", "machine.I2C", "machine.SPI"})
_ADDRESSABLE: Final = frozenset({"neopixel.NeoPixel", "microclaw.neopixel"})
# ADC(Pin(1)) is both.
_AS_ADC: Final = {("adc", "reads"), ("input", "uses")}
# The strongest first.
_ROLES: Final[tuple[PinRole, ...]] = ("drives", "reads", "uses")
_FOLLOW: Final = 6
# Numbers that one expression may stand for.
_MOST: Final = 64


class _NamedPin(Struct, frozen=True):
    """A pin that a call gets. `place`: the argument that names it, or the call if the bus takes it by itself."""

    place: ast.expr
    pin: int
    use: PinUse
    role: PinRole


def check_pins(
    graph: PyCallGraph, board: BoardProfile, findings: Findings
) -> tuple[tuple[PinClaim, ...], tuple[int, ...]]:
    """Return every pin with a known number, sorted, and those that only an ADC reads.

    What the board refuses goes to the findings.
    """
    uses: dict[int, set[tuple[PinUse, PinRole]]] = {}
    error_count = len(findings.errors)
    for call in graph.calls:
        for named in (*_find_arguments(call, graph, board, findings), *_default_pins(call, graph, board, findings)):
            uses.setdefault(named.pin, set()).add((named.use, named.role))
            _check_board(named, call, graph, board, findings)
    _offer_boards(findings, error_count, board, uses)
    claims = []
    analog = []
    for pin, pin_uses in sorted(uses.items()):
        roles = [role for _, role in pin_uses]
        claims.append(PinClaim(pin, min(roles, key=_ROLES.index)))
        if ("adc", "reads") in pin_uses <= _AS_ADC:
            analog.append(pin)
    return tuple(claims), tuple(analog)


def _offer_boards(
    findings: Findings, error_count: int, board: BoardProfile, uses: Mapping[int, set[tuple[PinUse, PinRole]]]
) -> None:
    """Add the boards that all pins of the program fit to the first error that was found since `error_count`."""
    pin_uses: set[tuple[int, PinUse]] = set()
    for pin, roles in uses.items():
        pin_uses.update((pin, use) for use, _ in roles)
    offer = offer_boards(board, pin_uses)
    errors = findings.errors[error_count:]
    if not errors or offer is None:
        return
    first = min(errors, key=lambda error: (error.line or 0, error.column or 0))
    findings.errors[findings.errors.index(first)] = first.with_further_hint(offer)


def _find_arguments(call: ast.Call, graph: PyCallGraph, board: BoardProfile, findings: Findings) -> list[_NamedPin]:
    """Return the pins that the arguments of a call name; a text instead of a number goes to the findings."""
    named = []
    for value, use, role in _pin_arguments(call, graph):
        name = graph.text(value)
        if name is not None:
            findings.error(value, f"a pin is a number: {name!r} is none", _led_words(board))
        for pin in sorted(pin_numbers(graph, value) or ()):
            named.append(_NamedPin(value, pin, use, role))
    return named


def _check_board(named: _NamedPin, call: ast.Call, graph: PyCallGraph, board: BoardProfile, findings: Findings) -> None:
    """Refuse a pin that the board does not have for this use; warn about a pin with a caution that is named."""
    is_default = named.place is call
    try:
        check_pin(board, named.pin, named.use)
    except PinRefused as refused:
        if is_default:
            findings.error(call, f"without its own, this takes {refused.message}", "give its pins")
        else:
            findings.error(named.place, refused.message, refused.next_step)
        return
    if is_default:
        return
    is_driven = named.role == "drives" and not _is_own_light(call, named.pin, graph, board)
    for message, hint in cautions(board, named.pin, is_driven=is_driven, is_pulled=_is_pulled(call, graph)):
        findings.warn(named.place, message, hint)


def _is_own_light(call: ast.Call, pin: int, graph: PyCallGraph, board: BoardProfile) -> bool:
    """Return True if the call drives the board's own addressable LED, for which its pin is made."""
    led = board.led
    if led is None or led.kind != "addressable":
        return False
    return led.pin == pin and graph.origin(call.func) in _ADDRESSABLE


def _is_pulled(call: ast.Call, graph: PyCallGraph) -> bool:
    """Return True if the call asks for a pull-up or pull-down of the chip's."""
    if graph.origin(call.func) not in _PINS:
        return False
    pull = find_argument(call, 2, ("pull",))
    return pull is not None and not is_none(pull)


def _default_pins(call: ast.Call, graph: PyCallGraph, board: BoardProfile, findings: Findings) -> Iterable[_NamedPin]:
    """Yield the pins that a bus takes if the program gives none; UART(0) and unknown pins go to the findings."""
    origin = graph.origin(call.func) or ""
    has_unknown_names = any(keyword.arg is None for keyword in call.keywords)
    if origin not in _BUSES or has_unknown_names:
        return
    numbers = pin_numbers(graph, find_argument(call, 0, ("id",))) or set()
    if origin == "machine.UART" and 0 in numbers:
        hint = "use UART(1) with its pins: UART(1, 9600, tx=17, rx=16)"
        findings.error(call, "a program cannot have UART(0)", hint, "it is the cable's, and the firmware's console")
        return
    slots = stock_image().pin_arguments[origin]
    missing = [slot for slot in slots if find_argument(call, slot.place, slot.names) is None]
    defaults = stock_image().default_pins.get(board.chip.upper(), {})
    is_unknown = not numbers
    for number in sorted(numbers):
        table = defaults.get(f"{origin}({number})")
        if table is None:
            is_unknown = True
            continue
        for slot in missing:
            yield _NamedPin(call, table[slot.names[0]], slot.use, slot.role)
    if len(missing) == len(slots) and is_unknown:
        names = ", ".join(f"{slot.names[0]}=..." for slot in missing)
        message = f"nobody knows the pins that {ast.unparse(call.func)} takes here by itself"
        findings.error(call, message, f"give its pins: {names}")


def _led_words(board: BoardProfile) -> str:
    """Return the words about the board's LED: a name in the place of a pin mostly means it."""
    if board.led is None:
        return f"{board.title} has no LED that a program can switch: {board.no_led or 'its profile knows none'}"
    if board.led.kind == "addressable":
        return f"the LED of {board.title} is addressable, on pin {board.led.pin}: NeoPixel(Pin({board.led.pin}), 1)"
    low = ""
    if not board.led.active_level:
        low = ", lit by the level 0"
    return f"the LED of {board.title} is on pin {board.led.pin}{low}: Pin({board.led.pin}, Pin.OUT)"


def _pin_arguments(call: ast.Call, graph: PyCallGraph) -> Iterable[tuple[ast.expr, PinUse, PinRole]]:
    origin = graph.origin(call.func) or ""
    slots = stock_image().pin_arguments.get(origin, ())
    if origin in _PINS:
        use, role = _pin_use(find_argument(call, 1, ("mode",)), graph, plain=origin == "machine.Pin")
        slots = (PinArgument(0, ("id", "number"), use, role),)
    elif not origin and isinstance(call.func, ast.Attribute) and call.func.attr == "init":
        # Of a bus, with other pins.
        slots = stock_image().pin_arguments["init"]
    for slot in slots:
        value = find_argument(call, slot.place, slot.names)
        if value is not None:
            yield value, slot.use, slot.role


def _pin_use(mode: ast.expr | None, graph: PyCallGraph, *, plain: bool) -> tuple[PinUse, PinRole]:
    """Return the use of a pin by Pin(number, mode); one without a mode is given to something else, or read."""
    if mode is None:
        if plain:
            return ("input", "uses")
        return ("output", "drives")
    if isinstance(mode, ast.Constant):
        name = mode.value
    else:
        name = (graph.origin(mode) or "").rpartition(".")[2]
    if name in ("OUT", "OPEN_DRAIN", "out"):
        return "output", "drives"
    if name in ("IN", "in"):
        return "input", "reads"
    return "input", "uses"


def find_argument(call: ast.Call, place: int, names: tuple[str, ...]) -> ast.expr | None:
    """Return the argument at that place, or with one of these names; None if the call has none.

    The place is -1 for `self`, and for an argument that has only its name.
    """
    for keyword in call.keywords:
        if keyword.arg in names:
            return keyword.value
    up_to_place = call.args[: place + 1]
    if not 0 <= place < len(call.args) or contains(up_to_place, ast.Starred):
        return None
    return up_to_place[-1]


def pin_numbers(graph: PyCallGraph, node: ast.expr | None, depth: int = 0) -> set[int] | None:
    """Return the whole numbers that an expression may stand for, or None if not all of them are known."""
    if depth > _FOLLOW:
        return None
    match node:
        case ast.Constant(value=int() as value) if not isinstance(value, bool):
            return {value}
        case ast.Name():
            bindings = graph.scopes.bindings(node)
            return graph.scopes.answer_once(
                "pins", bindings, lambda: _bound(graph, bindings, node.id, depth + 1), unknown=None
            )
        case ast.Attribute(attr=name) if graph.origin(node) is None:
            values = graph.assigned_attributes.get(name, [])
            return graph.scopes.answer_once(
                "pins", values, lambda: _all_numbers(graph, values, depth + 1), unknown=None
            )
        case ast.Call(func=func, args=[first, *_]) if graph.origin(func) in _NUMBER_ITSELF:
            return pin_numbers(graph, first, depth + 1)
        case ast.BinOp(left=left, op=ast.Add(), right=ast.Constant(value=int() as added)):
            base = pin_numbers(graph, left, depth + 1)
            if base is None:
                return None
            return {number + added for number in base}
        case ast.Subscript(value=table):
            return _items(graph, table, depth + 1)
        case _:
            return None


def _bound(graph: PyCallGraph, bindings: Iterable[Binding], name: str, depth: int) -> set[int] | None:
    numbers = []
    for binding in bindings:
        if binding.kind == "loop":
            numbers.append(_items(graph, binding.value, depth))
        elif binding.kind == "param" and isinstance(binding.node, ast.arg):
            numbers.append(_passed(graph, name, binding.node, depth))
        else:
            numbers.append(pin_numbers(graph, binding.value, depth))
    return _union(numbers)


def _all_numbers(graph: PyCallGraph, nodes: Iterable[ast.expr | None], depth: int) -> set[int] | None:
    return _union(pin_numbers(graph, node, depth) for node in nodes)


def _items(graph: PyCallGraph, node: ast.expr | None, depth: int) -> set[int] | None:
    """Return the numbers in what is looped over, or indexed: a tuple or list of constants, range(constants)."""
    match node:
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Dict(values=parts):
            return graph.scopes.answer_once("pins", parts, lambda: _all_numbers(graph, parts, depth), unknown=None)
        case ast.Name() if depth <= _FOLLOW:
            bindings = graph.scopes.bindings(node)
            return graph.scopes.answer_once(
                "items", bindings, lambda: _all_items(graph, bindings, depth + 1), unknown=None
            )
        case ast.Call(func=ast.Name(id="range"), args=[_] | [_, _] as args):
            limits = constant_integers(args)
            if limits is None or not 0 < len(range(*limits)) <= _MOST:
                return None
            return set(range(*limits))
        case _:
            return None


def _all_items(graph: PyCallGraph, bindings: Iterable[Binding], depth: int) -> set[int] | None:
    return _union(_items(graph, binding.value, depth) for binding in bindings)


def _passed(graph: PyCallGraph, name: str, parameter: ast.arg, depth: int) -> set[int] | None:
    """Return the values that the calls of its function give to a parameter; it may have unknown ones, too."""
    function = graph.parameters.get(parameter)
    if function is None or depth > _FOLLOW:
        return None
    parameters = (*function.node.args.posonlyargs, *function.node.args.args)
    place = parameters.index(parameter)
    if function.owner is not None:
        place -= 1
    numbers: set[int] = set()
    for call in graph.calls_of(function):
        numbers |= pin_numbers(graph, find_argument(call, place, (name,)), depth) or set()
    return numbers or None


def _union(sets: Iterable[set[int] | None]) -> set[int] | None:
    """Return the numbers of all sets, or None if one is unknown, or if there are none."""
    union: set[int] = set()
    for numbers in sets:
        if numbers is None:
            return None
        union |= numbers
    return union or None
