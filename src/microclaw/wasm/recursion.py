"""Finds the functions of a program that may come back to themselves before they return.

Those get a guard at their beginning (loop_guards.py, pause_points.py). It reads the compiled object; a recursion
through one of our libraries, as of a comparison for qsort that sorts, is not seen.
"""

from __future__ import annotations

from collections.abc import Mapping

from microclaw.wasm.opcodes import calls_of
from microclaw.wasm.symbols import Symbols


def recursive_functions(symbols: Symbols) -> dict[int, frozenset[int]]:
    """By index: those that may come back to themselves, with all functions of their cycles.

    A call through a pointer may reach every function of its type whose address the program takes.
    """
    calls = _possible_calls(symbols)
    reached = {index: _reached(calls, index) for index in calls}
    return {
        index: frozenset(other for other in found if index in reached[other])
        for index, found in reached.items()
        if index in found
    }


def _possible_calls(symbols: Symbols) -> dict[int, frozenset[int]]:
    first = len(symbols.names) - len(symbols.bodies)
    by_type: dict[int, set[int]] = {}
    for index in symbols.pointed_at:
        by_type.setdefault(symbols.types[index], set()).add(index)
    found: dict[int, frozenset[int]] = {}
    for index, body in enumerate(symbols.bodies, first):
        calls = calls_of(body)
        through_pointers = (by_type.get(kind, set()) for kind in calls.indirect)
        found[index] = frozenset(i for i in calls.direct.union(*through_pointers) if i >= first)
    return found


def _reached(calls: Mapping[int, frozenset[int]], start: int) -> set[int]:
    found: set[int] = set()
    waiting = [start]
    while waiting:
        new = calls[waiting.pop()] - found
        found |= new
        waiting.extend(new)
    return found
