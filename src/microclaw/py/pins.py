"""Which pins a program names as constants, how it uses each, and whether the board allows that."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from microclaw.boards.pins import check_pin
from microclaw.boards.profile import BoardProfile, PinUse
from microclaw.errors import PinRefused
from microclaw.py.callgraph import CallGraph
from microclaw.py.image import PinClaim, PinRole
from microclaw.py.scopes import Binding
from microclaw.py.source import Findings
from microclaw.py.stock import stock_image


@dataclass(frozen=True, slots=True)
class _Slot:
    """An argument that is a pin: its place and name in the call, and what it is used for."""

    place: int | None
    names: tuple[str, ...]
    use: PinUse
    role: PinRole


_DRIVEN: Final = _Slot(0, ("pin", "dest"), "output", "drives")
_PWM: Final = _Slot(0, ("pin", "dest"), "pwm", "drives")
_ADC: Final = _Slot(0, ("pin",), "adc", "reads")
_READ: Final = _Slot(0, ("pin", "src"), "input", "reads")
_WIRE: Final = _Slot(0, ("pin",), "output", "uses")
_I2C: Final = (_Slot(1, ("scl",), "i2c", "uses"), _Slot(2, ("sda",), "i2c", "uses"))
_SPI: Final = (
    _Slot(None, ("sck",), "output", "uses"),
    _Slot(None, ("mosi",), "output", "uses"),
    _Slot(None, ("miso",), "input", "uses"),
)
_SLOTS: Final[dict[str, tuple[_Slot, ...]]] = {
    "machine.PWM": (_PWM,),
    "machine.ADC": (_ADC,),
    "machine.ADCBlock": (),
    "machine.DAC": (_DRIVEN,),
    "machine.TouchPad": (_READ,),
    "machine.Signal": (_DRIVEN,),
    "machine.bitstream": (_DRIVEN,),
    "machine.Counter": (_Slot(1, ("src",), "input", "reads"),),
    "machine.Encoder": (_Slot(1, ("phase_a",), "input", "reads"), _Slot(2, ("phase_b",), "input", "reads")),
    "machine.I2C": _I2C,
    "machine.SoftI2C": (_Slot(0, ("scl",), "i2c", "uses"), _Slot(1, ("sda",), "i2c", "uses")),
    "machine.SPI": _SPI,
    "machine.SoftSPI": _SPI,
    "machine.UART": (_Slot(None, ("tx",), "output", "uses"), _Slot(None, ("rx",), "input", "uses")),
    "machine.I2S": (_Slot(None, ("sck",), "output", "uses"), _Slot(None, ("ws",), "output", "uses")),
    "neopixel.NeoPixel": (_DRIVEN,),
    "apa106.APA106": (_DRIVEN,),
    "dht.DHT11": (_WIRE,),
    "dht.DHT22": (_WIRE,),
    "onewire.OneWire": (_WIRE,),
    "microclaw.adc": (_ADC,),
    "microclaw.pwm": (_PWM,),
    "microclaw.servo": (_PWM,),
    "microclaw.neopixel": (_DRIVEN,),
    "microclaw.on": (_READ,),
    "microclaw.i2c": (_Slot(0, ("sda",), "i2c", "uses"), _Slot(1, ("scl",), "i2c", "uses")),
}
_LATER: Final = (
    *_SLOTS["machine.UART"],
    *_SPI,
    _Slot(None, ("scl",), "i2c", "uses"),
    _Slot(None, ("sda",), "i2c", "uses"),
)
_BUSES: Final = frozenset({"machine.UART", "machine.I2C", "machine.SPI"})
_ADDRESSABLE: Final = frozenset({"neopixel.NeoPixel", "microclaw.neopixel"})
_AS_ADC: Final = {("adc", "reads"), ("input", "uses")}  # ADC(Pin(1)) is both
_ROLES: Final[tuple[PinRole, ...]] = ("drives", "reads", "uses")  # the strongest first
_FOLLOW: Final = 6
_MOST: Final = 64  # numbers that one expression may stand for


def check_pins(
    graph: CallGraph, board: BoardProfile, findings: Findings
) -> tuple[tuple[PinClaim, ...], tuple[int, ...]]:
    """Every pin with a known number, sorted, and those that only an ADC reads; what the board refuses is found."""
    finder = _Finder(graph)
    roles: dict[int, set[PinRole]] = {}
    uses: dict[int, set[tuple[PinUse, PinRole]]] = {}
    for call in graph.calls:
        lights = graph.origin(call.func) in _ADDRESSABLE
        for value, use, role in _pin_arguments(call, graph):
            if (name := finder.text(value)) is not None:
                findings.error(value, f"a pin is a number: {name!r} is none", _led_words(board))
            for pin in sorted(finder.numbers(value) or ()):
                roles.setdefault(pin, set()).add(role)
                uses.setdefault(pin, set()).add((use, role))
                try:
                    check_pin(board, pin, use)
                except PinRefused as refused:
                    findings.error(value, refused.message, refused.next_step)
                    continue
                caution = board.pins[pin].caution
                is_light = lights and board.led is not None and (board.led.pin, board.led.kind) == (pin, "addressable")
                if caution is not None and role == "drives" and not is_light:
                    findings.warn(value, f"pin {pin}: {caution}", "use another pin if you can")
        for pin, use, role in _default_pins(call, finder, graph, board, findings):
            roles.setdefault(pin, set()).add(role)
            uses.setdefault(pin, set()).add((use, role))
            try:
                check_pin(board, pin, use)
            except PinRefused as refused:
                findings.error(call, f"without its own, this takes {refused.message}", "give its pins")
    claims = (PinClaim(pin, next(r for r in _ROLES if r in found)) for pin, found in sorted(roles.items()))
    analog = (pin for pin, found in sorted(uses.items()) if ("adc", "reads") in found <= _AS_ADC)
    return tuple(claims), tuple(analog)


def _default_pins(
    call: ast.Call, finder: _Finder, graph: CallGraph, board: BoardProfile, findings: Findings
) -> Iterable[tuple[int, PinUse, PinRole]]:
    """The pins that a bus takes where the program gives none; for UART(0), and where nobody knows them: a finding."""
    origin = graph.origin(call.func) or ""
    if origin not in _BUSES or any(k.arg is None for k in call.keywords):
        return
    number = _argument(call, 0, ("id",))
    numbers = finder.numbers(number) if number is not None else None
    if origin == "machine.UART" and 0 in (numbers or ()):
        hint = "use UART(1) with its pins: UART(1, 9600, tx=17, rx=16)"
        findings.error(call, "a program cannot have UART(0)", hint, "it is the cable's, and the firmware's console")
        return
    slots = {slot.names[0]: slot for slot in _SLOTS[origin]}
    missing = [name for name, slot in slots.items() if _argument(call, slot.place, slot.names) is None]
    known = stock_image().default_pins.get(board.chip.upper(), {})
    tables = [known.get(f"{origin}({n})") for n in sorted(numbers)] if numbers else [None]
    for table in tables:
        for name in missing if table is not None else ():
            yield table[name], slots[name].use, slots[name].role  # type: ignore[index]  # not None
    if len(missing) == len(slots) and None in tables:
        names = ", ".join(f"{name}=..." for name in missing)
        message = f"nobody knows the pins that {ast.unparse(call.func)} takes here by itself"
        findings.error(call, message, f"give its pins: {names}")


def _led_words(board: BoardProfile) -> str:
    """Which pin has the board's LED: what a name in the place of a pin mostly means."""
    if board.led is None:
        return f"{board.title} has no LED that a program can switch: {board.no_led or 'its profile knows none'}"
    if board.led.kind == "addressable":
        return f"the LED of {board.title} is addressable, on pin {board.led.pin}: NeoPixel(Pin({board.led.pin}), 1)"
    low = "" if board.led.active_level else ", lit by the level 0"
    return f"the LED of {board.title} is on pin {board.led.pin}{low}: Pin({board.led.pin}, Pin.OUT)"


def _pin_arguments(call: ast.Call, graph: CallGraph) -> Iterable[tuple[ast.expr, PinUse, PinRole]]:
    origin = graph.origin(call.func) or ""
    if origin in ("machine.Pin", "microclaw.pin"):
        pin = _argument(call, 0, ("id", "number"))
        mode = _argument(call, 1, ("mode",))
        if pin is not None:
            yield (pin, *_pin_use(mode, graph, plain=origin == "machine.Pin"))
    slots = _SLOTS.get(origin, ())
    if not origin and isinstance(call.func, ast.Attribute) and call.func.attr == "init":  # of a bus, with other pins
        slots = _LATER
    for slot in slots:
        value = _argument(call, slot.place, slot.names)
        if value is not None:
            yield value, slot.use, slot.role


def _pin_use(mode: ast.expr | None, graph: CallGraph, *, plain: bool) -> tuple[PinUse, PinRole]:
    """How Pin(number, mode) uses the pin; one without a mode is given to something else, or read."""
    if mode is None:
        return ("input", "uses") if plain else ("output", "drives")
    name = (graph.origin(mode) or "").rpartition(".")[2]
    if name in ("OUT", "OPEN_DRAIN") or (isinstance(mode, ast.Constant) and mode.value == "out"):
        return "output", "drives"
    if name == "IN" or (isinstance(mode, ast.Constant) and mode.value == "in"):
        return "input", "reads"
    return "input", "uses"


def _argument(call: ast.Call, place: int | None, names: tuple[str, ...]) -> ast.expr | None:
    named = next((k.value for k in call.keywords if k.arg in names), None)
    if named is not None:
        return named
    place = None if place is not None and place < 0 else place  # `self` is no argument of the call
    before = call.args[: place + 1] if place is not None else []
    plain = place is not None and len(before) > place and not any(isinstance(a, ast.Starred) for a in before)
    return before[-1] if plain else None


class _Finder:
    """The whole numbers that an expression may stand for."""

    def __init__(self, graph: CallGraph) -> None:
        self._graph = graph

    def numbers(self, node: ast.expr, depth: int = 0) -> set[int] | None:
        """None: not all of them are known."""
        if depth > _FOLLOW:
            return None
        match node:
            case ast.Constant(value=bool()):
                return None
            case ast.Constant(value=int() as value):
                return {value}
            case ast.Name():
                scope = self._graph.scopes.of.get(node)
                found = scope.find(node.id) if scope is not None else None
                return self._union(self._bound(b, node.id, depth) for b in found[1]) if found is not None else None
            case ast.Attribute() if self._graph.origin(node) is None:
                values = self._graph.assigned_attributes.get(node.attr, [])
                return self._union(self.numbers(v, depth + 1) for v in values)
            case ast.Call():
                if (origin := self._graph.origin(node.func)) in (
                    "machine.Pin",
                    "microclaw.pin",
                    "micropython.const",
                    "builtins.const",
                ):
                    return self.numbers(node.args[0], depth + 1) if node.args else None
                del origin
            case ast.BinOp(left=left, op=ast.Add(), right=ast.Constant(value=int() as added)):
                base = self.numbers(left, depth + 1)
                return {n + added for n in base} if base is not None else None
            case ast.Subscript(value=table):
                return self._items(table, depth + 1)
            case _:
                pass
        return None

    def text(self, node: ast.expr, depth: int = 0) -> str | None:
        """The text that stands in the place of a number; None where none is known to."""
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else None
        scope = self._graph.scopes.of.get(node) if isinstance(node, ast.Name) and depth <= _FOLLOW else None
        found = scope.find(node.id) if scope is not None and isinstance(node, ast.Name) else None
        if found is None or len(found[1]) != 1 or found[1][0].kind != "value" or found[1][0].value is None:
            return None
        return self.text(found[1][0].value, depth + 1)

    def _bound(self, binding: Binding, name: str, depth: int) -> set[int] | None:
        if binding.kind == "loop" and binding.value is not None:
            return self._items(binding.value, depth + 1)
        if binding.kind == "param":
            return self._passed(name, binding.node, depth + 1)
        return self.numbers(binding.value, depth + 1) if binding.value is not None else None

    def _items(self, node: ast.expr, depth: int) -> set[int] | None:
        """The numbers in what is looped over, or indexed: a tuple or list of constants, range(constants)."""
        match node:
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                return self._union(self.numbers(p, depth) for p in parts)
            case ast.Dict(values=values):
                return self._union(self.numbers(v, depth) for v in values)
            case ast.Name() if depth <= _FOLLOW and (scope := self._graph.scopes.of.get(node)) is not None:
                found = scope.find(node.id)
                bound = [b.value for b in found[1]] if found is not None else []
                return self._union(self._items(v, depth + 1) if v is not None else None for v in bound)
            case ast.Call(func=ast.Name(id="range"), args=args):
                known = [n for a in args if isinstance(n := getattr(a, "value", None), int)]
                made = range(*known) if len(known) == len(args) and 1 <= len(args) <= 2 else range(_MOST + 1)
                return set(made) if len(made) <= _MOST else None
            case _:
                return None

    def _passed(self, name: str, parameter: ast.AST, depth: int) -> set[int] | None:
        """What the calls of its function give to a parameter."""
        function = next(
            (f for n, f in self._graph.functions.items() if parameter in (n.args.args if hasattr(n, "args") else ())),
            None,
        )
        if function is None or depth > _FOLLOW:
            return None
        place = function.node.args.args.index(parameter)  # type: ignore[arg-type]  # it was found there
        results: list[set[int] | None] = []
        for call in self._graph.calls:
            reach = self._graph.reach(call.func)
            makes = reach.made is not None and function in reach.made.methods.get("__init__", ())
            if not makes and (function not in reach.functions or reach.unknown):
                continue
            shift = 1 if function.owner is not None else 0
            value = _argument(call, place - shift, (name,))
            if value is not None:
                results.append(self.numbers(value, depth))
        known = [r for r in results if r is not None]
        return set().union(*known) if known else None  # other calls may give what is not known; these are sure

    def _union(self, sets: Iterable[set[int] | None]) -> set[int] | None:
        found: set[int] = set()
        for one in sets:
            if one is None:
                return None
            found |= one
        return found or None
