"""What becomes of a call whose meaning the library fixes: sleeps, asyncio, Timer and irq callbacks, print."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from microclaw.py.callgraph import CallGraph
from microclaw.py.source import Findings

PlanKind: TypeAlias = Literal["await", "maybe", "new", "environment", "irq", "timer", "nothing", "for ever"]
SHORT_US: Final = 1000  # what waits no longer than this stays one busy wait: pulses need it, and nobody else notices


@dataclass(frozen=True, slots=True)
class Plan:
    """`name` is of the environment's function that takes the call's place; `waits`: it must be awaited."""

    kind: PlanKind
    name: str = ""
    waits: bool = False


_SLEEPS: Final = {
    "time.sleep": ("sleep", 1_000_000),
    "time.sleep_ms": ("sleep_ms", 1000),
    "time.sleep_us": ("sleep_us", 1),
    "microclaw.sleep": ("sleep", 1_000_000),
}
# Functions of a library that stand for one of the environment's; also where they are only named.
RENAMED: Final = {
    **{origin: name for origin, (name, _) in _SLEEPS.items()},
    "asyncio.sleep": "sleep",
    "asyncio.sleep_ms": "sleep_ms",
    "asyncio.create_task": "spawn",
    "asyncio.run": "run",
    "builtins.print": "print",
}
_LOOPS: Final = frozenset({"asyncio.get_event_loop", "asyncio.new_event_loop"})
_LOOP_METHODS: Final = {
    "create_task": Plan("environment", "spawn"),
    "run_until_complete": Plan("environment", "run", waits=True),
    "run_forever": Plan("for ever", waits=True),
    "close": Plan("nothing"),
    "stop": Plan("nothing"),
}
# Calls whose arguments are coroutines: what is called inside them is not awaited there.
TAKES_COROUTINES: Final = frozenset(
    {"asyncio.create_task", "asyncio.gather", "asyncio.wait_for", "asyncio.wait_for_ms", "asyncio.run"}
)


class LibraryCalls:
    def __init__(self, graph: CallGraph, findings: Findings) -> None:
        self._graph, self._findings = graph, findings

    def plan(self, call: ast.Call) -> Plan | None:
        """What becomes of the call; None if the library does not fix it."""
        origin = self._graph.origin(call.func)
        if origin is None:
            return self._method_plan(call)
        if origin in _SLEEPS:
            name, unit_us = _SLEEPS[origin]
            value = _number(call.args[0]) if len(call.args) == 1 else None
            short = value is not None and 0 < value * unit_us < SHORT_US + (unit_us == 1)
            return None if short and not origin.startswith("microclaw") else Plan("environment", name, waits=True)
        match origin:
            case "asyncio.sleep" | "asyncio.sleep_ms" | "asyncio.create_task" | "builtins.print":
                return Plan("environment", RENAMED[origin])
            case "asyncio.run":
                return Plan("environment", "run", waits=True)
            case "machine.idle":
                return Plan("environment", "sleep_ms", waits=True)
            case "machine.Timer" if _keyword(call, "callback") is not None:
                return Plan("timer")
            case "asyncio.get_event_loop" | "asyncio.new_event_loop":
                return Plan("nothing")
            case _:
                return self._method_plan(call)

    def handlers(self, call: ast.Call) -> Iterator[ast.expr]:
        """The arguments that the call keeps as a callback that may wait."""
        plan, origin = self.plan(call), self._graph.origin(call.func)
        if plan is not None and plan.kind == "irq":
            yield from [*call.args[:1], *(k.value for k in call.keywords if k.arg == "handler")]
        elif plan is not None and plan.kind == "timer":
            yield from (k.value for k in call.keywords if k.arg == "callback")
        elif origin in ("microclaw.every", "microclaw.on"):
            yield from [*call.args, *(k.value for k in call.keywords)]

    def is_loop(self, node: ast.expr) -> bool:
        """Whether an expression is asyncio's event loop."""
        if isinstance(node, ast.Call):
            return self._graph.origin(node.func) in _LOOPS
        if not isinstance(node, ast.Name) or (scope := self._graph.scopes.of.get(node)) is None:
            return False
        found = scope.find(node.id)
        return found is not None and any(isinstance(b.value, ast.Call) and self.is_loop(b.value) for b in found[1])

    def check_loops(self) -> None:
        """Find each use of the event loop that is not one of the calls above."""
        for node in self._graph.scopes.of:
            if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load) or not self.is_loop(node):
                continue
            parent = self._graph.scopes.parents.get(node)
            if not isinstance(parent, ast.Attribute) or parent.attr not in _LOOP_METHODS:
                hint = f"call only {', '.join(_LOOP_METHODS)} of the loop, or use asyncio.run and asyncio.create_task"
                self._findings.error(node, "this use of asyncio's event loop is not possible here", hint)

    def _method_plan(self, call: ast.Call) -> Plan | None:
        if not isinstance(call.func, ast.Attribute):
            return None
        name = call.func.attr
        if name in _LOOP_METHODS and self.is_loop(call.func.value):
            return _LOOP_METHODS[name]
        if name == "irq" or (name == "init" and _keyword(call, "callback") is not None):
            reach = self._graph.reach(call.func)
            if reach.native and reach.functions:
                hint = f"give the method of your class another name than {name}"
                self._findings.error(call, f"cannot tell whether {name} is the board's or your own", hint)
            if self._is_uart(call.func.value):
                hint = "look at uart.any() in a loop with time.sleep_ms"
                self._findings.error(call, "a program cannot have the interrupt of a UART", hint)
            return None if reach.functions else Plan("irq" if name == "irq" else "timer")
        return None

    def _is_uart(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Call):
            return self._graph.origin(node.func) == "machine.UART"
        scope = self._graph.scopes.of.get(node)
        found = scope.find(node.id) if scope is not None and isinstance(node, ast.Name) else None
        return found is not None and any(isinstance(b.value, ast.Call) and self._is_uart(b.value) for b in found[1])


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((k.value for k in call.keywords if k.arg == name), None)


def _number(node: ast.expr) -> float | None:
    match node:
        case ast.Constant(value=bool()):
            return None
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            a, b = _number(left), _number(right)
            return a / b if a is not None and b else None
        case _:
            return None
