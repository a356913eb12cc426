"""Finds the loops of a program that would keep its board busy: those without an end, and those that need a pause point.

The firmware can only remove a program that comes back from its entry functions now and then
(docs/decisions/0005-blocking-programs.md). A loop that nothing leaves and in which nothing waits is an error. Another
loop of main that may go round without sleeping gets a pause point, put there by asyncify.py, where it asks the firmware
for something, or waits for a variable that only a callback can change. It reads the compiled object, with its names.
"""

from __future__ import annotations

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
from microclaw.programs.wasm.toolchain import CALLBACKS

MAX_CODE_BYTES: Final = 128 << 10  # a larger program is not looked through: the time is better spent on its trial
_SLEEPS: Final = frozenset(("sleep", "delay", "delay_ms", "microclaw_usleep_long"))
# These where it is for a tick or longer.
MAY_SLEEP: Final = frozenset(("usleep", "nanosleep", "clock_nanosleep", "delayMicroseconds"))
WAITING: Final = _SLEEPS | MAY_SLEEP
"""The functions that a program may call to sleep. unistd.h gives the usleep of a constant other names."""
_HANDLERS: Final = "__ubsan_handle_"  # what headers/libc/sanitizer.c calls at the end of a program
_ENDS: Final = frozenset(("exit", "abort", "microclaw_assert_failed"))
_COMPUTES: Final = frozenset(words_of("computing")) | {
    name + kind for name in words_of("mathematics") for kind in ("", "f")
}
_WRITES: Final = frozenset(words_of("writing"))
_MAIN: Final = MAINS | {"program_on_init"}  # an on_init that is a part of main: program_macros.py
_CALLED: Final = frozenset(("program_on_destroy", "on_init", *CALLBACKS))
_FEW_TURNS: Final = 256
_NAPPING_MS = 20
_OUTER_MS = 100
_INNER_MS = 150
# These may take longer than asked.
_NAPS: Final = frozenset(("usleep", "nanosleep", "clock_nanosleep", "microclaw_usleep_short"))
_ENDLESS_HEADS: Final = (("while", "(", "1", ")"), ("while", "(", "true", ")"), ("for", "(", ";", ";"))


class Loops:
    """The loops of an object: `functions` by index over its imports and own functions."""

    def __init__(self, symbols: Symbols, functions: Mapping[int, Function]) -> None:
        self.symbols = symbols
        self.functions = functions
        self._calls = {index: function.calls for index, function in functions.items()}
        names = symbols.names
        every = set(functions)
        # What main reaches, itself included; nothing where the firmware does not call it.
        starts = every if "on_init" not in symbols.functions else ()
        self._main = self.reached(i for i in starts if names[i] in _MAIN or names[i].startswith(CONSTRUCTORS))
        # The functions that the firmware calls besides main: by name, or by pointer as tasks of every and after.
        others = functions.keys() - self._main
        self._entries = [i for i in others if names[i] in _CALLED or i in symbols.module.table_functions]
        from_entries = self.reached(self._entries)
        if ANYTHING in self._main:
            self.in_main = every
        else:
            self.in_main = self._main & every
        """The functions that main may reach."""
        if ANYTHING in from_entries:
            self.in_callbacks = every
        else:
            self.in_callbacks = from_entries & every
        """The functions that the firmware may reach in another way than through main."""

    def findings(self, text: SourceText) -> tuple[Diagnostic, ...]:
        """An error for each function that certainly keeps its board busy forever."""
        endless = (index for index, function in self.functions.items() if any(map(self._never_waits, function.loops)))
        # Each is looked for in the whole source, and no more than so many are shown.
        names = [source_name(self.symbols.names[index]) for index in islice(endless, MAX_DIAGNOSTICS)]
        found = [_endless_loop(name, text) for name in names]
        by_place = {(each.line, each.column): each for each in found}  # an inlined function's loop is its own: the last
        return (*by_place.values(), *self._never_returning(text))

    def _never_returning(self, text: SourceText) -> Iterator[Diagnostic]:
        """An error for each function that the firmware calls, which must return, and certainly does not."""
        may_end = {index for index, name in enumerate(self.symbols.names) if name in _ENDS} | {ANYTHING}
        for start in self._entries:
            for index in (
                start,
                *sorted(self.reached(self.functions[start].calls) & self.functions.keys() - self._main),
            ):
                loops = (loop for loop in self.functions[index].loops if not self._never_waits(loop))  # those are told
                if any(loop.is_endless and not self.reached(loop.calls) & may_end for loop in loops):
                    name, entry = (source_name(self.symbols.names[each]) for each in (index, start))
                    yield _never_returns(entry, name, text)
                    break

    def pause_points(self) -> dict[int, dict[int, int]]:
        """After how many ms each loop that main reaches is to pause: by the function and the loop's number.

        The outermost loops of main pause first, so that what they do in one turn stays in one piece where it can.
        """
        points: dict[int, dict[int, int]] = {}
        for index in sorted(self.in_main):
            for loop in filter(self._needs_pause, self.functions[index].loops):
                points.setdefault(index, {})[loop.number] = self._pause_after_ms(index, loop)
        return points

    def _pause_after_ms(self, index: int, loop: WasmLoop) -> int:
        if loop.waits:
            return 0  # it waits for a variable that only a callback can change: let that one run
        if self.symbols.names[index] not in MAINS or loop.parent is not None:
            return _INNER_MS
        naps = any(c >= 0 and self.symbols.names[c] in _NAPS for c in self.reached(loop.calls))
        return _NAPPING_MS if naps else _OUTER_MS

    def _never_waits(self, loop: WasmLoop) -> bool:
        return loop.is_endless and not loop.holds_waiting and self._calls_only(loop, _COMPUTES | _WRITES)

    def _needs_pause(self, loop: WasmLoop) -> bool:
        if loop.waits:
            return True
        if not loop.goes_round_awake or (loop.turns is not None and loop.turns <= _FEW_TURNS):
            return False
        if loop.looks and not loop.calls:
            return True
        return not self._calls_only(loop, _COMPUTES if loop.turns is not None else _COMPUTES | _WRITES)

    def _calls_only(self, loop: WasmLoop, names: frozenset[str]) -> bool:
        """True if what it calls outside of the program, however deep, is one of these."""
        first = len(self.symbols.module.imports)
        calls = self.reached(loop.calls)
        return all(c != ANYTHING and (c >= first or self.symbols.names[c] in names) for c in calls)

    def reached(self, calls: Iterable[int]) -> set[int]:
        """Everything that is called from there, however deep."""
        return reached(self._calls, calls)


def read_loops(symbols: Symbols) -> Loops:
    """The loops of every function of an object; none where it is too large to be looked through."""
    if sum(map(len, symbols.module.bodies)) > MAX_CODE_BYTES:
        return Loops(symbols, {})
    first = len(symbols.module.imports)
    sleeping = {index for index, name in enumerate(symbols.names[:first]) if name in _SLEEPS}
    handlers = {index for index, name in enumerate(symbols.names[:first]) if name.startswith(_HANDLERS)}
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


def _never_returns(entry: str, name: str, text: SourceText) -> Diagnostic:
    if entry == name:
        inside = ""
    else:
        inside = f": {name} loops forever"
    why = "the firmware calls it and waits for it; until it returns the app cannot be removed"
    hint = "let main loop, which may wait, or leave the loop out and use every(ms, task)"
    return at(text, _loop_in(name, text), f"{entry} never returns{inside}", hint, explanation=why)


def _loop_in(function: str, text: SourceText) -> tuple[int, int]:
    """The first `while (1)` or `for (;;)` behind the head of a function, else of the program, else the function."""
    start = text.find_definition(function) or (1, 1)
    places = sorted(place for head in _ENDLESS_HEADS for place in text.places(*head))
    behind = (place for place in places if place > start)
    return next(behind, next(iter(places), None)) or text.find_name(function) or (1, 1)
