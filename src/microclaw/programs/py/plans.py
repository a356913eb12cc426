"""Plans a call whose meaning the library fixes: sleeps, asyncio, sockets, Timer and irq callbacks, print."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from microclaw.programs.py.callgraph import PyCallGraph
from microclaw.programs.py.nodes import call_values, named_values
from microclaw.programs.py.scopes import Function
from microclaw.programs.py.socket_waits import SocketCalls
from microclaw.programs.py.source import Findings

PlanKind: TypeAlias = Literal["await", "maybe", "new", "environment", "irq", "timer", "nothing", "forever"]
# What waits no longer than this stays one busy wait: pulses need it, and nobody else notices.
SHORT_US: Final = 1000


class CallPlan(Struct, frozen=True):
    """`name` is of the environment's function that takes the call's place; `waits`: it must be awaited."""

    kind: PlanKind
    name: str = ""
    waits: bool = False


UNITS_US: Final = {"time.sleep": 1_000_000, "time.sleep_ms": 1000, "time.sleep_us": 1, "microclaw.sleep": 1_000_000}
# Functions of a library that stand for one of the environment's; also where they are only named.
RENAMED: Final = {
    **{origin: origin.partition(".")[2] for origin in (*UNITS_US, "asyncio.sleep", "asyncio.sleep_ms", "asyncio.run")},
    "asyncio.create_task": "spawn",
    "builtins.print": "print",
}
_LOOPS: Final = frozenset({"asyncio.get_event_loop", "asyncio.new_event_loop"})
_LOOP_METHODS: Final = {
    "create_task": CallPlan("environment", "spawn"),
    "run_until_complete": CallPlan("environment", "run", waits=True),
    "run_forever": CallPlan("forever", waits=True),
    "close": CallPlan("nothing"),
    "stop": CallPlan("nothing"),
}
# Calls whose arguments are coroutines: what is called inside them is not awaited there.
TAKES_COROUTINES: Final = frozenset(
    {"asyncio.create_task", "asyncio.gather", "asyncio.wait_for", "asyncio.wait_for_ms", "asyncio.run"}
)


class LibraryCalls:
    """The calls whose meaning the library fixes; in functions that are `blocking` a sleep stays the library's own."""

    def __init__(self, graph: PyCallGraph, findings: Findings, blocking: frozenset[Function] = frozenset()) -> None:
        self.graph = graph
        self._findings = findings
        self._blocking = blocking
        self.sockets = SocketCalls(graph)

    def plan(self, call: ast.Call) -> CallPlan | None:
        """Return the plan of the call, or None if the library does not fix it."""
        origin = self.graph.origin(call.func) or ""
        if origin in UNITS_US:
            if _is_busy_wait(call, origin) or self._blocks(call):
                return None
            return CallPlan("environment", RENAMED[origin], waits=True)
        if origin in RENAMED:
            return CallPlan("environment", RENAMED[origin], waits=origin == "asyncio.run")
        if origin == "machine.idle":
            return CallPlan("environment", "sleep_ms", waits=True)
        if origin in _LOOPS:
            return CallPlan("nothing")
        if origin == "machine.Timer" and _has_callback(call):
            return CallPlan("timer")
        if self.sockets.surely_waits(call):
            return CallPlan("await", waits=True)
        if self.sockets.may_wait(call):
            return CallPlan("maybe", waits=True)
        if isinstance(call.func, ast.Attribute):
            return self._method_plan(call, call.func)
        return None

    def handlers(self, call: ast.Call) -> Iterator[ast.expr]:
        """Yield the arguments that the call keeps as a callback that may wait."""
        plan = self.plan(call)
        kind = None
        if plan is not None:
            kind = plan.kind
        if kind == "irq":
            yield from call.args[:1]
            yield from named_values(call, "handler")
        elif kind == "timer":
            yield from named_values(call, "callback")
        elif self.graph.origin(call.func) in ("microclaw.every", "microclaw.on"):
            yield from call_values(call)

    def check_loops(self) -> None:
        """Find each use of the event loop that is not one of the calls above."""
        for node in self.graph.scopes.of:
            if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load):
                continue
            parent = self.graph.scopes.parents.get(node)
            is_method = isinstance(parent, ast.Attribute) and parent.attr in _LOOP_METHODS
            if not is_method and self.graph.made_by(node, _LOOPS):
                hint = f"call only {', '.join(_LOOP_METHODS)} of the loop, or use asyncio.run and asyncio.create_task"
                self._findings.error(node, "this use of asyncio's event loop is not possible here", hint)

    def _blocks(self, call: ast.Call) -> bool:
        owner = self.graph.by_owner(call)
        return owner is not None and owner.node in self._blocking

    def _method_plan(self, call: ast.Call, func: ast.Attribute) -> CallPlan | None:
        name = func.attr
        if name in _LOOP_METHODS and self.graph.made_by(func.value, _LOOPS):
            return _LOOP_METHODS[name]
        if name != "irq" and not (name == "init" and _has_callback(call)):
            return None
        reach = self.graph.reach(func)
        if reach.native and reach.functions:
            hint = f"give the method of your class another name than {name}"
            self._findings.error(call, f"cannot tell whether {name} is the board's or your own", hint)
        if self.graph.made_by(func.value, frozenset({"machine.UART"})):
            hint = "look at uart.any() in a loop with time.sleep_ms"
            self._findings.error(call, "a program cannot have the interrupt of a UART", hint)
        if reach.functions:
            return None
        if name == "irq":
            return CallPlan("irq")
        return CallPlan("timer")


def _is_busy_wait(call: ast.Call, origin: str) -> bool:
    """Return True if a sleep of `time` is too short to be noticed."""
    if len(call.args) != 1 or origin.startswith("microclaw"):
        return False
    value = constant_number(call.args[0])
    if value is None:
        return False
    unit_us = UNITS_US[origin]
    limit_us = SHORT_US
    # time.sleep_us(1000) is still short.
    if unit_us == 1:
        limit_us += 1
    return 0 < value * unit_us < limit_us


def _has_callback(call: ast.Call) -> bool:
    return bool(named_values(call, "callback"))


def constant_number(node: ast.expr) -> float | None:
    """Return the number that an expression is in every run, or None."""
    match node:
        case ast.Constant(value=bool()):
            return None
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            dividend = constant_number(left)
            divisor = constant_number(right)
            if dividend is None or not divisor:
                return None
            return dividend / divisor
        case _:
            return None
