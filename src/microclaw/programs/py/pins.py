"""The pins that a program names as constants, how it uses each, and if the board allows that."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Final

from microclaw.errors import PinRefused
from microclaw.hardware.boards.micropython.stock import PinArgument, PinRole, stock_image
from microclaw.hardware.boards.pins import cautions, check_pin
from microclaw.hardware.boards.profile import BoardProfile, PinUse
from microclaw.programs.py.callgraph import PyCallGraph, is_none
from microclaw.programs.py.py_image import PinClaim
from microclaw.programs.py.scopes import Binding
from microclaw.programs.py.source import Findings

_PINS: Final = frozenset({"machine.Pin", "microclaw.pin"})
_NUMBER_ITSELF: Final = _PINS | {"micropython.const", "builtins.const", "onewire.OneWire"}
_BUSES: Final = frozenset({"machine.UART", "machine.I2C", "machine.SPI"})
_ADDRESSABLE: Final = frozenset({"neopixel.NeoPixel", "microclaw.neopixel"})
_AS_ADC: Final = {("adc", "reads"), ("input", "uses")}  # ADC(Pin(1)) is both
_ROLES: Final[tuple[PinRole, ...]] = ("drives", "reads", "uses")  # the strongest first
_FOLLOW: Final = 6
_MOST: Final = 64  # numbers that one expression may stand for


def check_pins(
    graph: PyCallGraph, board: BoardProfile, findings: Findings
) -> tuple[tuple[PinClaim, ...], tuple[int, ...]]:
    """Every pin with a known number, sorted, and those that only an ADC reads; what the board refuses is found."""
    uses: dict[int, set[tuple[PinUse, PinRole]]] = {}
    for call in graph.calls:
        named = list(_pin_arguments(call, graph))
        for value, _, _ in named:
            name = graph.text(value)
            if name is not None:
                findings.error(value, f"a pin is a number: {name!r} is none", _led_words(board))
        found = [
            (value, pin, use, role) for value, use, role in named for pin in sorted(pin_numbers(graph, value) or ())
        ]
        found += [(call, pin, use, role) for pin, use, role in _default_pins(call, graph, board, findings)]
        for place, pin, use, role in found:
            uses.setdefault(pin, set()).add((use, role))
            try:
                check_pin(board, pin, use)
            except PinRefused as refused:
                if place is call:
                    findings.error(call, f"without its own, this takes {refused.message}", "give its pins")
                else:
                    findings.error(place, refused.message, refused.next_step)
                continue
            if place is call:
                continue
            is_driven = role == "drives" and not _is_own_light(call, pin, graph, board)
            for message, hint in cautions(board, pin, is_driven=is_driven, is_pulled=_is_pulled(call, graph)):
                findings.warn(place, message, hint)
    known = sorted(uses.items())
    claims = (PinClaim(pin, next(r for r in _ROLES if r in {role for _, role in found})) for pin, found in known)
    return tuple(claims), tuple(pin for pin, found in known if ("adc", "reads") in found <= _AS_ADC)


def _is_own_light(call: ast.Call, pin: int, graph: PyCallGraph, board: BoardProfile) -> bool:
    """Return True if the call drives the board's own addressable LED, for which its pin is made."""
    led = board.led
    if led is None or led.kind != "addressable":
        return False
    return led.pin == pin and graph.origin(call.func) in _ADDRESSABLE


def _is_pulled(call: ast.Call, graph: PyCallGraph) -> bool:
    """Return True if the call asks for a pull-up or pull-down of the chip's."""
    if graph.origin(call.func) in _PINS:
        pull = find_argument(call, 2, ("pull",))
    else:
        pull = None
    return pull is not None and not is_none(pull)


def _default_pins(
    call: ast.Call, graph: PyCallGraph, board: BoardProfile, findings: Findings
) -> Iterable[tuple[int, PinUse, PinRole]]:
    """The pins that a bus takes where the program gives none; for UART(0), and where nobody knows them: a finding."""
    origin = graph.origin(call.func) or ""
    if origin not in _BUSES or any(k.arg is None for k in call.keywords):
        return
    number = find_argument(call, 0, ("id",))
    if number is not None:
        numbers = pin_numbers(graph, number)
    else:
        numbers = None
    if origin == "machine.UART" and 0 in (numbers or ()):
        hint = "use UART(1) with its pins: UART(1, 9600, tx=17, rx=16)"
        findings.error(call, "a program cannot have UART(0)", hint, "it is the cable's, and the firmware's console")
        return
    slots = stock_image().pin_arguments[origin]
    missing = [slot for slot in slots if find_argument(call, slot.place, slot.names) is None]
    known = stock_image().default_pins.get(board.chip.upper(), {})
    if numbers:
        tables = [known.get(f"{origin}({n})") for n in sorted(numbers)]
    else:
        tables = [None]
    yield from ((table[slot.names[0]], slot.use, slot.role) for table in tables if table for slot in missing)
    if len(missing) == len(slots) and None in tables:
        names = ", ".join(f"{slot.names[0]}=..." for slot in missing)
        message = f"nobody knows the pins that {ast.unparse(call.func)} takes here by itself"
        findings.error(call, message, f"give its pins: {names}")


def _led_words(board: BoardProfile) -> str:
    """The pin of the board's LED: a name in the place of a pin mostly means it."""
    if board.led is None:
        return f"{board.title} has no LED that a program can switch: {board.no_led or 'its profile knows none'}"
    if board.led.kind == "addressable":
        return f"the LED of {board.title} is addressable, on pin {board.led.pin}: NeoPixel(Pin({board.led.pin}), 1)"
    low = "" if board.led.active_level else ", lit by the level 0"
    return f"the LED of {board.title} is on pin {board.led.pin}{low}: Pin({board.led.pin}, Pin.OUT)"


def _pin_arguments(call: ast.Call, graph: PyCallGraph) -> Iterable[tuple[ast.expr, PinUse, PinRole]]:
    origin = graph.origin(call.func) or ""
    slots = stock_image().pin_arguments.get(origin, ())
    if origin in _PINS:
        use, role = _pin_use(find_argument(call, 1, ("mode",)), graph, plain=origin == "machine.Pin")
        slots = (PinArgument(0, ("id", "number"), use, role),)
    elif not origin and isinstance(call.func, ast.Attribute) and call.func.attr == "init":  # of a bus, with other pins
        slots = stock_image().pin_arguments["init"]
    for slot in slots:
        value = find_argument(call, slot.place, slot.names)
        if value is not None:
            yield value, slot.use, slot.role


def _pin_use(mode: ast.expr | None, graph: PyCallGraph, *, plain: bool) -> tuple[PinUse, PinRole]:
    """The use of a pin by Pin(number, mode); one without a mode is given to something else, or read."""
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
    return "input", "reads" if name in ("IN", "in") else "uses"


def find_argument(call: ast.Call, place: int, names: tuple[str, ...]) -> ast.expr | None:
    """Return the argument at that place, or with one of these names; None if the call has none."""
    named = next((k.value for k in call.keywords if k.arg in names), None)
    if named is not None or not 0 <= place < len(call.args):  # -1: `self`, or an argument by its name alone
        return named
    before = call.args[: place + 1]
    if not any(isinstance(a, ast.Starred) for a in before):
        return before[-1]
    return None


def pin_numbers(graph: PyCallGraph, node: ast.expr | None, depth: int = 0) -> set[int] | None:
    """Return the whole numbers that an expression may stand for, or None if not all of them are known."""
    if depth > _FOLLOW:
        return None
    match node:
        case ast.Constant(value=int() as value) if not isinstance(value, bool):
            return {value}
        case ast.Name() if bindings := graph.scopes.bindings(node):
            return _union(_bound(graph, b, node.id, depth + 1) for b in bindings)
        case ast.Attribute(attr=name) if graph.origin(node) is None:
            return _union(pin_numbers(graph, v, depth + 1) for v in graph.assigned_attributes.get(name, ()))
        case ast.Call(func=func, args=[first, *_]) if graph.origin(func) in _NUMBER_ITSELF:
            return pin_numbers(graph, first, depth + 1)
        case ast.BinOp(left=left, op=ast.Add(), right=ast.Constant(value=int() as added)):
            base = pin_numbers(graph, left, depth + 1)
            if base is not None:
                return {n + added for n in base}
            return None
        case ast.Subscript(value=table):
            return _items(graph, table, depth + 1)
        case _:
            return None


def _bound(graph: PyCallGraph, binding: Binding, name: str, depth: int) -> set[int] | None:
    if binding.kind == "loop":
        return _items(graph, binding.value, depth)
    if binding.kind == "param":
        return _passed(graph, name, binding.node, depth)
    return pin_numbers(graph, binding.value, depth)


def _items(graph: PyCallGraph, node: ast.expr | None, depth: int) -> set[int] | None:
    """The numbers in what is looped over, or indexed: a tuple or list of constants, range(constants)."""
    match node:
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Dict(values=parts):
            return _union(pin_numbers(graph, part, depth) for part in parts)
        case ast.Name() if depth <= _FOLLOW:
            return _union(_items(graph, b.value, depth + 1) for b in graph.scopes.bindings(node))
        case ast.Call(func=ast.Name(id="range"), args=[_] | [_, _] as args):
            known = [n for a in args if isinstance(n := getattr(a, "value", None), int)]
            if len(known) == len(args):
                made = range(*known)
            else:
                made = range(0)
            if 0 < len(made) <= _MOST:
                return set(made)
            return None
        case _:
            return None


def _passed(graph: PyCallGraph, name: str, parameter: ast.AST, depth: int) -> set[int] | None:
    """The values that the calls of its function give to a parameter: unknown ones may come besides."""
    functions = graph.functions.values()
    places = ((f, n) for f in functions for n, arg in enumerate(f.node.args.args) if arg is parameter)
    function, place = next(places, (None, 0))
    if function is None or depth > _FOLLOW:
        return None
    place -= function.owner is not None
    found: set[int] = set()
    for call in graph.calls:
        reach = graph.reach(call.func)
        makes = reach.made is not None and function in reach.made.methods.get("__init__", ())
        if makes or (function in reach.functions and not reach.unknown):
            found |= pin_numbers(graph, find_argument(call, place, (name,)), depth) or set()
    return found or None


def _union(sets: Iterable[set[int] | None]) -> set[int] | None:
    found: set[int] = set()
    for one in sets:
        if one is None:
            return None
        found |= one
    return found or None
