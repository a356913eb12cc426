"""Lets a program wait shortly where no coroutine can be: in a property, a generator or a special method.

There a sleep stays the library's own, and the board does nothing else meanwhile. Functions that wait and are called
from there get a second copy that blocks in the same way; the rest of the program calls the first one.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Collection, Iterable, Mapping
from typing import Final, TypeAlias

from msgspec import Struct

from microclaw.programs.py.callgraph import Callable, Class
from microclaw.programs.py.loops import polls
from microclaw.programs.py.nodes import Loop, decorators_of, run_by
from microclaw.programs.py.plans import UNITS_US, constant_number
from microclaw.programs.py.py_image import COPY_END
from microclaw.programs.py.scopes import Comprehension, Function
from microclaw.programs.py.source import Findings
from microclaw.programs.py.waits import Waits

# The board's link notices no gap of this length, and its watchdog none below 15 s (firmware/fw/board.py).
LIMIT_US: Final = 50_000
_ONLY_SLEEP: Final = "only a sleep of the module time can be waited there"
_UNSUITED: Final = "a property, generator or special method can only call functions and methods that are sure"


class Sleeps(Struct, frozen=True):
    """What a function sleeps together with all that it calls; `place` is the first sleep, None without one."""

    total_us: int = 0
    place: ast.Call | None = None

    def plus(self, other: Sleeps) -> Sleeps:
        return Sleeps(self.total_us + other.total_us, self.place or other.place)


class TooLongWait(Exception):
    """A wait that must not block the board, at `place`."""

    def __init__(self, place: ast.AST, reason: str) -> None:
        super().__init__(reason)
        self.place = place
        self.reason = reason


TooLong: TypeAlias = Mapping[Function, TooLongWait]


class BlockingWaits:
    """The functions of a program that may block instead of being coroutines; `join` puts them into the tree."""

    def __init__(self, waits: Waits) -> None:
        self._waits = waits
        self._graph = waits.graph
        self.blocking: dict[Callable, Sleeps] = {}
        # Why a function that cannot be a coroutine must not block either.
        self.refused: dict[Function, TooLongWait] = {}
        # The functions that hold a sleep of the program to the limit, by the sleep's origin.
        self._limits: dict[str, str] = {}
        self._active: list[Callable] = []
        self._sleeps: dict[Callable, Sleeps] = {}
        for function in waits.waiting:
            if cannot_be_coroutine(function) and not function.is_compiled:
                self._measure(function)

    def _measure(self, function: Callable) -> None:
        try:
            sleeps = self._sleeps_of(function)
            if sleeps.total_us > LIMIT_US:
                raise TooLongWait(sleeps.place or function.node, f"{sleeps.total_us // 1000} ms in sum")
        except TooLongWait as refused:
            self.refused[function.node] = refused
        else:
            if sleeps.place is not None:
                self.blocking[function] = sleeps
        finally:
            self._active.clear()

    # How long a function may wait

    def _sleeps_of(self, function: Callable) -> Sleeps:
        """Return the longest wait of a function. Raises TooLongWait if it has no limit."""
        if function in self._sleeps:
            return self._sleeps[function]
        if function in self._active:
            raise TooLongWait(function.node, f"{function.name} calls itself")
        self._active.append(function)
        sleeps = Sleeps()
        for node in run_by(function.node):
            if isinstance(node, ast.While) and polls(node, self._graph):
                raise TooLongWait(node, "a loop that waits for something outside")
            if isinstance(node, ast.Call):
                sleeps = sleeps.plus(self._sleeps_in(node, function))
        self._active.remove(function)
        self._sleeps[function] = sleeps
        return sleeps

    def _sleeps_in(self, call: ast.Call, function: Callable) -> Sleeps:
        plan = self._waits.plans.get(call)
        if plan is None or not plan.waits:
            return Sleeps()
        if self._is_looped(call, function):
            raise TooLongWait(call, "a wait in a loop")
        if plan.kind == "environment":
            return Sleeps(self._sleep_us(call), call)
        if plan.kind not in ("await", "maybe"):
            raise TooLongWait(call, _ONLY_SLEEP)
        targets = map(self._sleeps_of, self._targets(call))
        return max(targets, key=lambda sleeps: sleeps.total_us)

    def _is_looped(self, node: ast.AST, function: Callable) -> bool:
        parent = self._graph.scopes.parents.get(node)
        while parent is not None and parent is not function.node:
            if isinstance(parent, Loop | Comprehension):
                return True
            parent = self._graph.scopes.parents.get(parent)
        return False

    def _sleep_us(self, call: ast.Call) -> int:
        unit_us = UNITS_US.get(self._graph.origin(call.func) or "")
        is_of_time = unit_us is not None and len(call.args) == 1 and not call.keywords
        if unit_us is None or not is_of_time or self._graph.origin(call.func) == "microclaw.sleep":
            raise TooLongWait(call, _ONLY_SLEEP)
        number = constant_number(call.args[0])
        # Only the run knows its length: it raises ValueError if that is more than the limit.
        if number is None:
            return LIMIT_US
        return int(number * unit_us)

    def _targets(self, call: ast.Call) -> Collection[Callable]:
        """Return the functions that a call reaches. Raises TooLongWait if copies could not take their place."""
        reach = self._graph.reach(call.func)
        is_sure = not reach.unknown and reach.made is None and bool(reach.functions)
        if not is_sure or not all(map(_can_be_copied, reach.functions)):
            raise TooLongWait(call, f"{ast.unparse(call.func)} may be something else: {_UNSUITED}")
        if isinstance(call.func, ast.Name):
            bindings = self._graph.scopes.bindings(call.func)
            if [binding.node for binding in bindings] != [function.node for function in reach.functions]:
                raise TooLongWait(call, f"{call.func.id} is another name: {_UNSUITED}")
        elif not isinstance(call.func, ast.Attribute) or self._may_be_native(call.func):
            raise TooLongWait(call, f"{ast.unparse(call.func)} may be the board's: {_UNSUITED}")
        return reach.functions

    def _may_be_native(self, func: ast.Attribute) -> bool:
        """Return True if the method that is called may be the board's own, which has no copy."""
        classes = self._graph.receiver(func.value)
        if classes is None:
            return True
        return any(_only_native_has(owner, func.attr) for owner in classes)

    # The tree with blocking functions

    def join(self, tree: ast.Module) -> frozenset[Function]:
        """Put the copies into the tree and return the functions that block, also those that stay where they are."""
        copies = self._copied_functions()
        names = self._new_names({function.name for function in copies}, COPY_END)
        blocking: set[Function] = set()
        # The calls of a copy are renamed in the copy alone: the original is read first.
        for function in copies:
            blocking.add(self._insert_copy(tree, function, names))
        for function in self.blocking:
            calls = _calls_of(function)
            self._make_blocking(tree, calls, calls, names)
            blocking.add(function.node)
        return frozenset(blocking)

    def _copied_functions(self) -> list[Callable]:
        """Return the functions that are called, also indirectly, where the program must block."""
        copies: list[Callable] = []
        callers = list(self.blocking)
        # The list grows while it is read.
        for caller in callers:
            for call in _calls_of(caller):
                if not self._is_call_of_waiting(call):
                    continue
                for function in self._graph.reach(call.func).functions:
                    if function not in copies:
                        copies.append(function)
                        callers.append(function)
        return copies

    def _is_call_of_waiting(self, call: ast.Call) -> bool:
        plan = self._waits.plans.get(call)
        return plan is not None and plan.waits and plan.kind in ("await", "maybe")

    def _new_names(self, names: Iterable[str], end: str) -> dict[str, str]:
        """Return for each name one with this end that the program does not use."""
        used = self._graph.scopes.words.union(self._graph.methods, self._graph.assigned_attributes)
        new_names = {}
        for name in sorted(names):
            new_name = f"{name}{end}"
            while new_name in used:
                new_name += "_"
            new_names[name] = new_name
        return new_names

    def _insert_copy(self, tree: ast.Module, function: Callable, names: dict[str, str]) -> Function:
        node = function.node
        memo: dict[int, ast.AST] = {}
        duplicate = copy.deepcopy(node, memo)
        duplicate.name = names[function.name]  # type: ignore[union-attr]
        calls = _calls_of(function)
        copied_calls = []
        for call in calls:
            copied_calls.append(memo[id(call)])
        self._make_blocking(tree, calls, copied_calls, names)
        _insert_after(self._graph.scopes.parents[node], node, duplicate)
        return duplicate

    def _make_blocking(
        self, tree: ast.Module, calls: list[ast.Call], changed: list[ast.Call] | list[ast.AST], names: dict[str, str]
    ) -> None:
        """Let calls reach the copies, and hold the sleeps of unknown length to the limit; `changed` are the same."""
        for call, target in zip(calls, changed, strict=True):
            assert isinstance(target, ast.Call)
            plan = self._waits.plans.get(call)
            if plan is None or not plan.waits:
                continue
            if plan.kind == "environment":
                self._limit(tree, call, target)
            elif isinstance(target.func, ast.Name):
                target.func.id = names[target.func.id]
            elif isinstance(target.func, ast.Attribute):
                target.func.attr = names[target.func.attr]

    def _limit(self, tree: ast.Module, call: ast.Call, target: ast.Call) -> None:
        """Put a limit on the length of a sleep if only the run knows it."""
        if constant_number(call.args[0]) is not None:
            return
        origin = self._graph.origin(call.func) or ""
        if origin not in self._limits:
            self._limits[origin] = self._add_limit(tree, call, UNITS_US[origin])
        name = ast.Name(self._limits[origin], ast.Load())
        checked = ast.Call(name, [target.args[0]], [])
        target.args = [ast.fix_missing_locations(ast.copy_location(checked, target))]

    def _add_limit(self, tree: ast.Module, call: ast.Call, unit_us: int) -> str:
        """Put a function before the program that raises an error for a sleep which is too long; return its name."""
        name = self._new_names([f"wait_{unit_us}"], "_limit")[f"wait_{unit_us}"]
        check = ast.parse(
            f"def {name}(length):\n"
            f"    if length > {LIMIT_US / unit_us:g}:\n"
            f"        raise ValueError('%s is too long: this place can wait {LIMIT_US // 1000} ms' % length)\n"
            f"    return length\n"
        ).body[0]
        for node in ast.walk(check):
            # A traceback leaves it out, as a driver, and ends at the line of the sleep.
            ast.copy_location(node, call)
            if hasattr(node, "lineno"):
                node.lineno = -abs(node.lineno)
        tree.body.insert(0, check)
        return name


def warn_of_blocking(waits: BlockingWaits, findings: Findings) -> None:
    """Warn once at each sleep that holds up the whole board."""
    warned: set[ast.Call | None] = set()
    for function, sleeps in waits.blocking.items():
        if sleeps.place in warned:
            continue
        warned.add(sleeps.place)
        kind, hint = cannot_be_coroutine(function) or ("", "")
        length_ms = -(-sleeps.total_us // 1000)
        message = f"the board does nothing else in this wait: {kind} {function.name} takes up to {length_ms} ms"
        findings.warn(sleeps.place, message, hint)


def cannot_be_coroutine(function: Callable) -> tuple[str, str] | None:
    """Return the kind of a function that cannot wait, and a hint; None if it can."""
    if function.is_generator:
        return "the generator", "return a list instead of using yield, or wait where its values are used"
    if function.is_property:
        return "the property", "make it a method: remove @property and call it with ()"
    if function.is_compiled:
        return "the native or viper function", "leave the decorator out, or wait in the function that calls it"
    is_special = function.name.startswith("__") and function.name.endswith("__")
    if is_special and function.name != "__init__":
        return "the special method", "wait in a method of another name, and call that"
    return None


def _calls_of(function: Callable) -> list[ast.Call]:
    """Return the calls that run when a function does."""
    calls = []
    for node in run_by(function.node):
        if isinstance(node, ast.Call):
            calls.append(node)
    return calls


def _can_be_copied(function: Callable) -> bool:
    is_plain = not (function.is_generator or function.is_async or function.is_property)
    is_named = isinstance(function.node, ast.FunctionDef) and not decorators_of(function.node)
    return is_plain and is_named


def _only_native_has(owner: Class, name: str) -> bool:
    """Return True if an object of this class may have a method from the board and none of the program's."""
    has_native = False
    for ancestor in owner.with_ancestors():
        if name in ancestor.methods:
            return False
        if ancestor.native_bases:
            has_native = True
    return has_native


def _insert_after(parent: ast.AST, node: ast.AST, new: ast.AST) -> None:
    """Insert a statement after another one of the same block."""
    for _, value in ast.iter_fields(parent):
        if isinstance(value, list) and node in value:
            value.insert(value.index(node) + 1, new)
