"""Decides which loops and recursions get a guard: those that may run forever or for minutes.

A guard counts about how much its loop computes and now and then asks whether it has run for long
(headers/glue/watch.c, and headers/shim/breathe.c where main may pause); in a loop of main that polls it asks in each
turn. pause_points.py puts them in. Every recursion is guarded, as nobody knows its depth, and every loop but those that
count a few turns (loop_walk.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from msgspec import Struct

from microclaw.programs.wasm.callgraph import graph_of, reached
from microclaw.programs.wasm.loop_walk import WasmLoop
from microclaw.programs.wasm.loops import Loops
from microclaw.programs.wasm.source_text import SourceText
from microclaw.programs.wasm.symbols import Symbols, point_key, source_name
from microclaw.programs.wasm.wasm_image import Signature

_MAIN_AFTER_MS: Final = 100
_EXACT: Final = 1 << 8
_IS_RECURSION: Final = 255
LINE_BITS: Final = 9
"""What a question says: after how many ms main pauses, whether the line is the loop's own, the line.

A recursion never pauses: it says 255 in the place of ms (headers/glue/watch.c).
"""
# Instructions, of which the firmware's interpreter does about 20 000 in a ms.
CHECKED_AFTER: Final = 1_000_000
_LONG: Final = 400_000
_NATIVE: Final = 300
_OWN_CALL: Final = 3000  # of a function of the program: a guess, of which too much costs a question in so many calls
_CHEAP_SHARE: Final = 280  # a guard's own 7 instructions are 2.5 % of so many
_MAX_COPIES: Final = 32


class Guard(Struct, frozen=True):
    """For a loop that computes about `turn` instructions in a turn; `told` is what its question says (LINE_BITS).

    With a `turn` of CHECKED_AFTER it asks in each turn.
    """

    turn: int
    copies: int  # so many turns behind each other, for one look at the count
    told: int


class Guards(Struct, frozen=True):
    """The guards of a program's loops, by function and the loop's number, and of its recursions."""

    loops: Mapping[str, Mapping[int, Guard]] = {}
    recursions: Mapping[str, Guard] = {}
    polls: bool = False  # a loop of main has to pause, although main may not sleep
    watches: bool = False  # one of them may be reached without main, and so cannot pause

    def __bool__(self) -> bool:
        return bool(self.loops or self.recursions)


def plan_guards(loops: Loops, text: SourceText) -> Guards:
    """Return the guards of a program."""
    plan = _Plan(loops, text)
    of_loops: dict[str, Mapping[int, Guard]] = {}
    recursions = {}
    watches = False
    for index in loops.functions:
        guards = dict(plan.guards(index))
        if guards:
            of_loops[point_key(loops.symbols.names[index])] = guards
            watches = watches or index in loops.in_callbacks
    for index, guard in plan.recursions():
        recursions[point_key(loops.symbols.names[index])] = guard
        watches = True
    return Guards(of_loops, recursions, bool(plan.points), watches)


class _Plan:
    def __init__(self, loops: Loops, text: SourceText) -> None:
        self.points = loops.pause_points()
        self._loops = loops
        self._text = text
        self._turns: dict[int, int] = {}  # by the loop's identity
        self._lines: dict[str | None, list[int]] = {}  # of the loops in a function of the source, or in all of it

    def guards(self, index: int) -> Iterator[tuple[int, Guard]]:
        """Yield the guards of a function's loops, by number."""
        loops = self._loops.functions[index].loops
        inner: dict[int | None, list[WasmLoop]] = {}
        for loop in loops:
            inner.setdefault(loop.parent, []).append(loop)
        points = self.points.get(index, {})
        gives_way = index in self._loops.in_main - self._loops.in_callbacks
        for loop in loops:
            if loop.number in points:
                yield loop.number, Guard(CHECKED_AFTER, 1, self._told(index, loop.number, points[loop.number]))
                continue
            is_left_alone = gives_way and not loop.goes_round_awake
            if not loop.rounds or is_left_alone or not self._is_long(loop, inner):
                continue
            turn = self._turn(loop, inner)
            # A question to the firmware costs more than a guard.
            is_tight = loop.number not in inner and self._loops.functions.keys() >= set(loop.called)
            copies = 1
            if is_tight:
                copies = max(1, min(_MAX_COPIES, -(-_CHEAP_SHARE // max(1, loop.size))))
            told = self._told(index, loop.number, _MAIN_AFTER_MS)
            yield loop.number, Guard(min(turn, CHECKED_AFTER), copies, told)

    def recursions(self) -> Iterator[tuple[int, Guard]]:
        """Yield a guard for the beginning of each recursive function, which counts its calls."""
        for index in recursive_functions(self._loops.symbols) & self._loops.functions.keys():
            name = source_name(self._loops.symbols.names[index])
            place = self._text.find_definition(name) or self._text.find_name(name) or (1, 1)
            yield index, Guard(_OWN_CALL, 1, place[0] << LINE_BITS | _EXACT | _IS_RECURSION)

    def _is_long(self, loop: WasmLoop, inner: Mapping[int | None, list[WasmLoop]]) -> bool:
        return loop.turns is None or self._turn(loop, inner) * loop.turns > _LONG

    def _turn(self, loop: WasmLoop, inner: Mapping[int | None, list[WasmLoop]]) -> int:
        """Return about how much a turn of a loop computes, without the inner loops that ask for themselves."""
        if id(loop) not in self._turns:
            work = loop.size
            for other in inner.get(loop.number, ()):
                if not self._is_long(other, inner):
                    work += self._turn(other, inner) * (other.turns or 0)
            for called in loop.called:
                work += _OWN_CALL if called in self._loops.functions else _NATIVE
            self._turns[id(loop)] = max(1, work)
        return self._turns[id(loop)]

    def _told(self, index: int, number: int, after_ms: int) -> int:
        """Return what a loop's question says: its line, or that of its function if the compiler changed the loops."""
        name = source_name(self._loops.symbols.names[index])
        lines = self._loop_lines(name)
        all_lines = self._loop_lines(None)
        if len(lines) == len(self._loops.functions[index].loops):
            return lines[number] << LINE_BITS | _EXACT | after_ms
        if len(all_lines) == 1:
            return all_lines[0] << LINE_BITS | _EXACT | after_ms
        place = self._text.find_definition(name) or self._text.find_definition("loop") or (1, 1)
        return place[0] << LINE_BITS | after_ms

    def _loop_lines(self, function: str | None) -> list[int]:
        if function not in self._lines:
            self._lines[function] = self._text.loop_lines(function)
        return self._lines[function]


def recursive_functions(symbols: Symbols) -> set[int]:
    """Return, by index, the functions that may come back to themselves before they return.

    A call through a pointer may reach every function of its type whose address the program takes. A recursion through
    one of our libraries, as of a comparison for qsort that sorts, is not seen.
    """
    graph = graph_of(symbols.module, {})
    # A type is a step between: each caller of a type and each function of it are one edge then, not their product.
    calls: dict[int | Signature, Collection[int | Signature]] = {}
    for signature, functions in graph.pointed_at.items():
        calls[signature] = functions
    for index, function in graph.calls.items():
        calls[index] = {*function.direct, *map(symbols.module.types.__getitem__, function.indirect)}
    return {index for index in graph.calls if index in reached(calls, calls[index])}
