"""Finds the functions of a program that may come back to themselves before they return.

Those get a guard at their beginning (loop_guards.py, pause_points.py). It reads the compiled object; a recursion
through one of our libraries, as of a comparison for qsort that sorts, is not seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from microclaw.wasm.opcodes import calls_of
from microclaw.wasm.symbols import Symbols


def recursive_functions(symbols: Symbols) -> dict[int, frozenset[int]]:
    """By index: those that get a guard, with all functions of their cycles. Every cycle passes one of them.

    A call through a pointer may reach every function of its type whose address the program takes.
    """
    calls = _possible_calls(symbols)
    guarded: dict[int, frozenset[int]] = {}
    waiting = list(_cycles(calls, calls.keys()))
    while waiting:
        cycle = waiting.pop()
        index = max(cycle, key=lambda one: (sum(one in calls[other] for other in cycle), -one))
        guarded[index] = cycle
        waiting += _cycles(calls, cycle - guarded.keys())
    return guarded


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


def _cycles(calls: Mapping[int, frozenset[int]], within: Iterable[int]) -> list[frozenset[int]]:
    """The strongly connected components that have a call in them, by Tarjan's algorithm without recursion."""
    inside = set(within)
    order: dict[int, int] = {}
    lowest: dict[int, int] = {}
    path: list[int] = []
    on_path: set[int] = set()
    found: list[frozenset[int]] = []
    for start in sorted(inside):
        if start in order:
            continue
        work = [(start, iter(sorted(calls[start] & inside)))]
        order[start] = lowest[start] = len(order)
        path.append(start)
        on_path.add(start)
        while work:
            here, rest = work[-1]
            there = next(rest, None)
            if there is None:
                work.pop()
                if work:
                    lowest[work[-1][0]] = min(lowest[work[-1][0]], lowest[here])
                if lowest[here] == order[here]:
                    at = path.index(here)
                    cycle = frozenset(path[at:])
                    del path[at:]
                    on_path -= cycle
                    if len(cycle) > 1 or here in calls[here]:
                        found.append(cycle)
            elif there not in order:
                order[there] = lowest[there] = len(order)
                path.append(there)
                on_path.add(there)
                work.append((there, iter(sorted(calls[there] & inside))))
            elif there in on_path:
                lowest[here] = min(lowest[here], order[there])
    return found
