"""Decides which loops and recursions get a guard: those that may run for ever or for minutes, without a pause.

A guard counts about how much its loop computes and now and then asks whether it has run for long
(headers/glue/watch.c, and headers/shim/breathe.c where main may pause).
pause_points.py puts them in. Loops that end soon stay as they are; every recursion is guarded: its depth is not known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from microclaw.wasm.loop_bounds import LoopBound, loop_bounds
from microclaw.wasm.loops import Loops
from microclaw.wasm.opcodes import instructions
from microclaw.wasm.recursion import recursive_functions
from microclaw.wasm.source_text import SourceText
from microclaw.wasm.symbols import point_key, source_name

_MAIN_AFTER_MS: Final = 100
_EXACT: Final = 1 << 8
_IS_RECURSION: Final = 255
LINE_BITS: Final = 9
"""What a pause point is told: after how many ms main pauses, whether the line is the loop's own, the line.

A recursion never pauses: it says 255 in the place of ms (headers/glue/watch.c).
"""
# Instructions, of which the firmware's interpreter does about 20 000 in a ms.
CHECKED_AFTER: Final = 1_000_000
_LONG: Final = 4_000_000
_A_NEST: Final = 1000  # in one turn of a loop whose turns nobody knows: another such loop
_GUESSED_TURNS: Final = 256
_NATIVE: Final = 300
_RECURSION: Final = 1000
_ITSELF: Final = 10
_A_FUNCTION: Final = 20_000  # at most: how often its loops turn is only a guess
_CHEAP_SHARE: Final = 280  # a guard's own 7 instructions are 2.5 % of so many
_MAX_COPIES: Final = 32


@dataclass(frozen=True, slots=True)
class Guard:
    """For a loop that computes about `turn` instructions in a turn; `told` is what its question says (LINE_BITS)."""

    turn: int
    copies: int  # so many turns behind each other, for one look at the count
    told: int


@dataclass(slots=True)
class LoopGuards:
    """The guards of a program's loops, by function and number; computed once, in `by_function`."""

    loops: Loops
    text: SourceText
    points: Mapping[str, Mapping[int, int]]
    _bounds: dict[int, list[LoopBound]] = field(default_factory=dict)
    _costs: dict[int, int] = field(default_factory=dict)

    def by_function(self) -> dict[str, dict[int, Guard]]:
        found: dict[str, dict[int, Guard]] = {}
        for index in self.loops.functions:
            guards = dict(self._guards(index))
            if guards:
                found.setdefault(point_key(self.loops.symbols.names[index]), {}).update(guards)
        return found

    def recursions(self) -> dict[str, Guard]:
        """By function: a guard at its beginning, which counts what it computes in a call."""
        found: dict[str, Guard] = {}
        for index, cycle in recursive_functions(self.loops.symbols).items():
            if index in self.loops.functions:
                turn = self._own_cost(index, cycle)
                name = self.loops.symbols.names[index]
                place = self.text.find_definition(source_name(name)) or self.text.find_name(source_name(name)) or (1, 1)
                told = place[0] << LINE_BITS | _EXACT | _IS_RECURSION
                found[point_key(name)] = Guard(min(turn, CHECKED_AFTER), 1, told)
        return found

    @property
    def watches(self) -> bool:
        """Whether a pause point or a guard may be reached without main, and so cannot pause."""
        names = {point_key(self.loops.symbols.names[i]) for i in self.loops.functions if self.loops.is_in_callback(i)}
        return bool(names & (self.points.keys() | self.by_function().keys()))

    def _told(self, index: int, number: int, after_ms: int) -> int:
        line, is_exact = self._line(index, number)
        return line << LINE_BITS | _EXACT * is_exact | after_ms

    def told_by_points(self) -> dict[str, dict[int, int]]:
        """What the pause points of main's loops are told."""
        functions = self.loops.functions
        names = {point_key(self.loops.symbols.names[i]): i for i, function in functions.items() if function.loops}
        return {
            name: {number: self._told(names[name], number, after_ms) for number, after_ms in points.items()}
            for name, points in self.points.items()
        }

    def _guards(self, index: int) -> Iterator[tuple[int, Guard]]:
        name = point_key(self.loops.symbols.names[index])
        in_main = self.loops.is_in_main(index)
        function = self.loops.functions[index]
        bounds = self._bounds_of(index)
        guarded: set[int] = set()
        for number in reversed(range(len(bounds))):
            loop = function.loops[number]
            if not loop.goes_round or number in self.points.get(name, {}):
                continue
            if in_main and not loop.goes_round_awake and not self.loops.is_in_callback(index):
                continue
            if not self._may_be_long(index, number, guarded):
                continue
            guarded.add(number)
            turn = self._turn(index, number, guarded)
            has_inner = any(other.parent == number for other in bounds)
            copies = 1 if has_inner else max(1, min(_MAX_COPIES, -(-_CHEAP_SHARE // max(1, turn))))
            told = self._told(index, number, _MAIN_AFTER_MS)
            yield number, Guard(min(turn, CHECKED_AFTER), copies, told)

    def _may_be_long(self, index: int, number: int, guarded: set[int]) -> bool:
        bound = self._bounds_of(index)[number]
        if not bound.ends:
            return True
        turn = self._turn(index, number, guarded)
        return turn >= _A_NEST if bound.turns is None else turn * bound.turns > _LONG

    def _turn(self, index: int, number: int, guarded: set[int]) -> int:
        """About how much a turn of a loop computes, without the inner loops that ask for themselves."""
        bounds = self._bounds_of(index)
        inner = (n for n, other in enumerate(bounds) if other.parent == number and n not in guarded)
        work = sum(self._turn(index, n, guarded) * (bounds[n].turns or _GUESSED_TURNS) for n in inner)
        return max(1, bounds[number].size + work + sum(map(self._cost, bounds[number].calls)))

    def _own_cost(self, index: int, cycle: frozenset[int]) -> int:
        """About how much a function of a recursion computes without the other functions of it."""
        outer = (n for n, bound in enumerate(self._bounds_of(index)) if bound.parent is None)
        guarded = {number for number, _ in self._guards(index)}
        work = sum(self._turn(index, n, guarded) for n in outer if n not in guarded)
        calls = self.loops.functions[index].calls - cycle
        return min(_A_FUNCTION, work + _ITSELF + sum(map(self._cost, sorted(calls))))

    def _cost(self, called: int) -> int:
        """About how much a function computes."""
        if called not in self.loops.functions:
            return _NATIVE
        if called not in self._costs:
            self._costs[called] = _RECURSION
            bounds = self._bounds_of(called)
            outer = (n for n, bound in enumerate(bounds) if bound.parent is None)
            work = sum(self._turn(called, n, set()) * (bounds[n].turns or _GUESSED_TURNS) for n in outer)
            calls = sum(map(self._cost, sorted(self.loops.functions[called].calls)))
            self._costs[called] = min(work + calls + 10, _A_FUNCTION)
        return self._costs[called]

    def _bounds_of(self, index: int) -> list[LoopBound]:
        if index not in self._bounds:
            symbols = self.loops.symbols
            body = symbols.bodies[index - (len(symbols.names) - len(symbols.bodies))]
            self._bounds[index] = loop_bounds([(opcode, operands) for _, _, opcode, operands in instructions(body)])
        return self._bounds[index]

    def _line(self, index: int, number: int) -> tuple[int, bool]:
        """A loop's line; that of its function and False where the compiler has changed the loops."""
        name = source_name(self.loops.symbols.names[index])
        lines = self.text.loop_lines(name)
        if len(lines) == len(self._bounds_of(index)):
            return lines[number], True
        every = self.text.loop_lines(None)
        if len(every) == 1:
            return every[0], True
        place = self.text.find_definition(name) or self.text.find_definition("loop") or (1, 1)
        return place[0], False
