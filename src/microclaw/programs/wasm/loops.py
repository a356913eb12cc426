"""Finds the loops of a program that would keep its board busy: those without an end, and those that need a pause point.

The firmware can only remove a program that comes back from its entry functions now and then
(docs/decisions/0005-blocking-programs.md). A loop that nothing leaves and in which nothing waits is an error. Another
loop of main that may go round without sleeping gets a pause point, put there by asyncify.py, where it asks the firmware
for something, or waits for a variable that only a callback can change. It reads the compiled object, with its names.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

from microclaw.errors import Diagnostic
from microclaw.programs.wasm.callgraph import reached
from microclaw.programs.wasm.diagnostics import MAX_DIAGNOSTICS, at
from microclaw.programs.wasm.loop_walk import ANYTHING, Function, WasmLoop, walk
from microclaw.programs.wasm.source_text import SourceText
from microclaw.programs.wasm.symbols import CONSTRUCTORS, MAINS, Symbols, source_name
from microclaw.programs.wasm.tables import words_of
from microclaw.programs.wasm.tokens import bracket_ends, texts_of
from microclaw.programs.wasm.toolchain import CALLBACKS

MAX_CODE_BYTES: Final = 128 << 10  # a larger program is not looked through: the time is better spent on its trial
_SLEEPS: Final = frozenset(("sleep", "delay", "delay_ms", "microclaw_usleep_long"))
# These where it is for a tick or longer.
MAY_SLEEP: Final = frozenset(("usleep", "nanosleep", "clock_nanosleep", "delayMicroseconds"))
WAITING: Final = _SLEEPS | MAY_SLEEP
"""The functions that a program may call to sleep. unistd.h gives the usleep of a constant other names."""
_HANDLERS: Final = "__ubsan_handle_"  # what headers/libc/sanitizer.c calls at the end of a program
_ENDS: Final = frozenset(("exit", "abort", "microclaw_assert_failed"))
_MATHEMATICS: Final = words_of("mathematics")
_COMPUTES: Final = frozenset((*words_of("computing"), *_MATHEMATICS, *(f"{name}f" for name in _MATHEMATICS)))
_WRITES: Final = frozenset(words_of("writing"))
_BEGINS_A_TASK: Final = "xTaskCreate"
_MAIN: Final = MAINS | {"program_on_init"}  # an on_init that is a part of main: program_macros.py
_CALLED: Final = frozenset(("program_on_destroy", "on_init", *CALLBACKS))
_FEW_TURNS: Final = 256
_NAPPING_MS = 20
_OUTER_MS = 100
_INNER_MS = 150
# These may take longer than asked.
_NAPS: Final = frozenset(("usleep", "nanosleep", "clock_nanosleep", "microclaw_usleep_short"))
_LEAVING: Final = frozenset(("return", "break", "goto"))
_ENDLESS_HEADS: Final = (("while", "(", "1", ")"), ("while", "(", "true", ")"), ("for", "(", ";", ";"))


class Loops:
    """The loops of an object: `functions` by index over its imports and own functions."""

    def __init__(self, symbols: Symbols, functions: Mapping[int, Function]) -> None:
        self.symbols = symbols
        self.functions = functions
        self._calls = {index: function.calls for index, function in functions.items()}
        names = symbols.names
        # What main reaches, itself included; nothing if the firmware does not call it.
        starts = []
        if "on_init" not in symbols.functions:
            starts = [index for index in functions if names[index] in _MAIN or names[index].startswith(CONSTRUCTORS)]
        self._main = self.reached([*starts, *self._endless_tasks()])
        # The functions that the firmware calls besides main: by name, or by pointer as tasks of every and after.
        tasks = symbols.module.table_functions
        others = functions.keys() - self._main
        self._entries = [index for index in others if names[index] in _CALLED or index in tasks]
        self.in_main = self._own_functions(self._main)
        """The functions that main may reach."""
        self.in_callbacks = self._own_functions(self.reached(self._entries))
        """The functions that the firmware may reach in another way than through main."""

    def _endless_tasks(self) -> list[int]:
        """Return the functions that xTaskCreate may get and that never return: they wait as main does."""
        if _BEGINS_A_TASK not in self.symbols.missing:
            return []
        tasks = self.symbols.module.table_functions & self.functions.keys()
        return [index for index in sorted(tasks) if any(map(self._never_ends, self.functions[index].loops))]

    def _own_functions(self, calls: set[int]) -> set[int]:
        """Return those of the calls that are functions of the program; a call through a pointer may reach them all."""
        if ANYTHING in calls:
            return set(self.functions)
        return calls & self.functions.keys()

    def findings(self, text: SourceText) -> tuple[Diagnostic, ...]:
        """Return an error for each function that certainly keeps its board busy forever."""
        endless: dict[int, list[WasmLoop]] = {}
        for index, function in self.functions.items():
            loops = [*filter(self._never_waits, function.loops)]
            if loops:
                endless[index] = loops
        by_place: dict[object, Diagnostic] = {}
        # Each is looked for in the whole source, and no more than so many are shown.
        for index, loops in islice(endless.items(), MAX_DIAGNOSTICS):
            error = _endless_loop(source_name(self.symbols.names[index]), text)
            # The compiler splits such a loop off one that can be left: for a case in which nothing would change.
            is_split_off = all(loop.is_empty for loop in loops) and _can_be_left(error, text)
            if is_split_off:
                continue
            # An inlined function's loop is also its own function's, which is the last one.
            by_place[error.line, error.column] = error
        return (*by_place.values(), *self._never_returning(text))

    def _never_returning(self, text: SourceText) -> Iterator[Diagnostic]:
        """Yield an error for each function that the firmware calls, which must return, and certainly does not."""
        for start in self._entries:
            others = self.reached(self.functions[start].calls) & self.functions.keys() - self._main
            for index in (start, *sorted(others)):
                if any(map(self._never_ends, self.functions[index].loops)):
                    entry = source_name(self.symbols.names[start])
                    name = source_name(self.symbols.names[index])
                    yield _never_returns(entry, name, text)
                    break

    def _never_ends(self, loop: WasmLoop) -> bool:
        """Return True for an endless loop that waits, and in which the program does not end."""
        if not loop.is_endless or self._never_waits(loop):
            return False
        calls = self.reached(loop.calls)
        return ANYTHING not in calls and _ENDS.isdisjoint(map(self.symbols.names.__getitem__, calls))

    def pause_points(self) -> dict[int, dict[int, int]]:
        """Return after how many ms each loop that main reaches is to pause, by the function and the loop's number.

        The outermost loops of main pause first, so that what they do in one turn stays in one piece where it can.
        """
        points: dict[int, dict[int, int]] = {}
        for index in sorted(self.in_main):
            for loop in filter(self._needs_pause, self.functions[index].loops):
                points.setdefault(index, {})[loop.number] = self._pause_after_ms(index, loop)
        return points

    def _pause_after_ms(self, index: int, loop: WasmLoop) -> int:
        # It waits for a variable that only a callback can change, which has to run.
        if loop.waits:
            return 0
        if self.symbols.names[index] not in MAINS or loop.parent is not None:
            return _INNER_MS
        calls = self.reached(loop.calls) - {ANYTHING}
        if _NAPS.isdisjoint(map(self.symbols.names.__getitem__, calls)):
            return _OUTER_MS
        return _NAPPING_MS

    def _never_waits(self, loop: WasmLoop) -> bool:
        return loop.is_endless and not loop.holds_waiting and self._calls_only(loop, _COMPUTES | _WRITES)

    def _needs_pause(self, loop: WasmLoop) -> bool:
        if loop.waits:
            return True
        if not loop.goes_round_awake or (loop.turns is not None and loop.turns <= _FEW_TURNS):
            return False
        if loop.looks and not loop.calls:
            return True
        ending = _COMPUTES | _WRITES if loop.turns is None else _COMPUTES
        return not self._calls_only(loop, ending)

    def _calls_only(self, loop: WasmLoop, names: frozenset[str]) -> bool:
        """Return True if what it calls outside of the program, however deep, is one of these."""
        first = len(self.symbols.module.imports)
        for called in self.reached(loop.calls):
            if called == ANYTHING:
                return False
            if called < first and self.symbols.names[called] not in names:
                return False
        return True

    def reached(self, calls: Iterable[int]) -> set[int]:
        """Return everything that is called from there, however deep."""
        return reached(self._calls, calls)


def read_loops(symbols: Symbols) -> Loops:
    """Find the loops of every function of an object; none if it is too large to be looked through."""
    if sum(map(len, symbols.module.bodies)) > MAX_CODE_BYTES:
        return Loops(symbols, {})
    first = len(symbols.module.imports)
    sleeping = set()
    handlers = set()
    for index, name in enumerate(symbols.names[:first]):
        if name in _SLEEPS:
            sleeping.add(index)
        elif name.startswith(_HANDLERS):
            handlers.add(index)
    functions = {index: walk(body, sleeping, handlers) for index, body in enumerate(symbols.module.bodies, first)}
    while more := {index for index, function in functions.items() if function.always_sleeps} - sleeping:
        sleeping |= more
        for index, function in functions.items():
            if function.calls & more:
                functions[index] = walk(symbols.module.bodies[index - first], sleeping, handlers)
    return Loops(symbols, functions)


def _endless_loop(name: str, text: SourceText) -> Diagnostic:
    why = "while it runs the app answers nothing: no timer, no message; only a reset can remove it"
    hint = "wait in the loop: delay(1000); or use every(ms, task) and leave the loop out"
    return at(text, _loop_in(name, text), f"{name} loops forever and never waits", hint, explanation=why)


def _can_be_left(found: Diagnostic, text: SourceText) -> bool:
    """Return True if the endless loop of the source at the place of a finding has a statement that leaves it."""
    head = bisect.bisect_left(text.tokens, (found.line or 1, found.column or 1), key=lambda token: token.place)
    ends = bracket_ends(text.tokens)
    body = ends.get(head + 1, head) + 1
    inside = text.tokens[body : ends.get(body, body)]
    return not _LEAVING.isdisjoint(texts_of(inside))


def _never_returns(entry: str, name: str, text: SourceText) -> Diagnostic:
    if entry == name:
        inside = ""
    else:
        inside = f": {name} loops forever"
    why = "the firmware calls it and waits for it; until it returns the app cannot be removed"
    hint = "let main loop, which may wait, or leave the loop out and use every(ms, task)"
    return at(text, _loop_in(name, text), f"{entry} never returns{inside}", hint, explanation=why)


def _loop_in(function: str, text: SourceText) -> tuple[int, int]:
    """Return the first `while (1)` or `for (;;)` behind a function's head, else the program's first, else the name."""
    start = text.find_definition(function) or (1, 1)
    places: list[tuple[int, int]] = []
    for head in _ENDLESS_HEADS:
        places += text.places(*head)
    if not places:
        return text.find_name(function) or (1, 1)
    behind = [place for place in places if place > start]
    return min(behind or places)
