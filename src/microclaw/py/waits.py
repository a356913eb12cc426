"""Which functions wait, and so become coroutines: a fixed point over the call graph. Refuses waits that cannot be.

Three kinds of calls: what surely waits is awaited; what may wait (a name of several methods, a function out of a table)
goes through `aw`, which awaits only if a coroutine came back; a class whose `__init__` waits is made by `new`.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Final

from microclaw.py.callgraph import WAITING_ORIGINS, Callable, CallGraph, Class, Reach
from microclaw.py.escapes import mark_escapes
from microclaw.py.plans import TAKES_COROUTINES, LibraryCalls, Plan
from microclaw.py.polling import Loop, does_nothing, is_short, loop_nodes, polls
from microclaw.py.scopes import Comprehension
from microclaw.py.source import Findings

_CONSUMERS: Final = frozenset(
    ["list", "tuple", "set", "dict", "sum", "sorted", "min", "max", "frozenset", "any", "all"]
)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a function waits: the place in it, in words."""

    node: ast.AST
    text: str
    surely: bool = True


class Waits:
    def __init__(self, graph: CallGraph, library: LibraryCalls, findings: Findings) -> None:
        self.graph, self._library, self._findings = graph, library, findings
        self.waiting: dict[Callable, Cause] = {}
        self.plans: dict[ast.Call, Plan] = {}
        self.guards: dict[Loop, str] = {}
        self.comprehensions: set[Comprehension] = set()  # those with a wait in them
        self._fixed = {c: plan for c in graph.calls if (plan := library.plan(c)) is not None}
        mark_escapes(graph, library)
        self._library_escapes = self._finds_library_escapes()
        self._find_fixed_point()
        assigned = [n.value for n in graph.scopes.of if isinstance(n, ast.Assign)]
        self._gives_generator: dict[Callable, bool] = {}
        self._keeps_generators = any(map(self._makes_generator, assigned))
        self._plan_calls()
        self._plan_comprehensions()
        self._plan_loops()

    def is_coroutine(self, function: Callable | None) -> bool:
        """Whether a function runs as a coroutine; None is the module's own code."""
        return function is None or function.is_async or function in self.waiting

    def init_waits(self, made: Class) -> bool:
        """Whether an object of this class must be made by `new`; then each `__init__` of its family is a coroutine."""
        if not any("__init__" in c.methods for c in (made, *made.ancestors())):
            return False
        return any(m in self.waiting for c in made.family() for m in c.methods.get("__init__", ()))

    def _find_fixed_point(self) -> None:
        changed = True
        while changed:
            changed = False
            for function in self.graph.functions.values():
                if function in self.waiting or function.is_async:
                    continue
                cause = self._cause(function)
                if cause is not None:
                    self.waiting[function] = cause
                    changed = True
            for made in self.graph.classes.values():
                inits = [m for c in made.family() for m in c.methods.get("__init__", ())]
                if any(m in self.waiting for m in inits):
                    for init in inits:
                        if init not in self.waiting:
                            self.waiting[init] = Cause(init.node, "another __init__ of its family waits")
                            changed = True

    def _cause(self, function: Callable) -> Cause | None:
        for node in self.graph.own_nodes(function.node):
            if isinstance(node, ast.Call) and (kind := self._kind(node)) is not None:
                return Cause(
                    node, ast.unparse(node.func), surely=kind != "maybe" or not isinstance(function.node, ast.Lambda)
                )
            if isinstance(node, ast.While) and not self._has_wait(node) and polls(node, self.graph):
                if function.is_compiled:
                    continue
                return Cause(node, "a loop that waits for something outside")
            if isinstance(node, ast.Name | ast.Attribute) and isinstance(function.node, ast.Lambda):
                continue
        return None

    def _kind(self, call: ast.Call) -> str | None:
        """How a call waits, as far as is known now: "fixed", "new", "await", "maybe"."""
        if (fixed := self._fixed.get(call)) is not None:
            return "fixed" if fixed.waits and not self._is_awaited(call) else None
        reach = self.graph.reach(call.func)
        if reach.made is not None and self.init_waits(reach.made):
            return "new"
        waiting = [f for f in reach.functions if f in self.waiting]
        if self._may_be_library_wait(reach):
            return "maybe" if not self._is_awaited(call) else None
        if not waiting:
            return None
        others = reach.native or reach.unknown or reach.made is not None or len(waiting) < len(reach.functions)
        if others and self._is_awaited(call):
            return None
        return "await" if not others and all(self.waiting[f].surely for f in waiting) else "maybe"

    def _may_be_library_wait(self, reach: Reach) -> bool:
        return reach.unknown and self._library_escapes

    def _finds_library_escapes(self) -> bool:
        """Whether the program uses `time.sleep` or the like as a value."""
        parents = self.graph.scopes.parents
        return any(
            isinstance(n, ast.Name | ast.Attribute)
            and isinstance(n.ctx, ast.Load)
            and not (isinstance(p := parents.get(n), ast.Call) and p.func is n)
            and self.graph.origin(n) in WAITING_ORIGINS
            for n in self.graph.scopes.of
        )

    def _is_awaited(self, call: ast.Call) -> bool:
        """Whether the program itself treats the call's result as a coroutine."""
        parent = self.graph.scopes.parents.get(call)
        if isinstance(parent, ast.Starred | ast.List | ast.Tuple):
            parent = self.graph.scopes.parents.get(parent)
        if isinstance(parent, ast.Call):
            plan = self._fixed.get(parent)
            return self.graph.origin(parent.func) in TAKES_COROUTINES or (
                plan is not None and plan.name in ("spawn", "run")
            )
        return isinstance(parent, ast.Await)

    def _has_wait(self, loop: Loop) -> bool:
        inside = [*loop_nodes(loop), *(ast.walk(loop.test) if isinstance(loop, ast.While) else ())]
        return any((isinstance(n, ast.Call) and self._kind(n) is not None) or isinstance(n, ast.Await) for n in inside)

    def _plan_calls(self) -> None:
        for call in self.graph.calls:
            if (fixed := self._fixed.get(call)) is not None:
                self.plans[call] = Plan(fixed.kind, fixed.name, fixed.waits and not self._is_awaited(call))
                if self.plans[call].waits:
                    self._check_place(call)
                continue
            kind = self._kind(call)
            if kind is None:
                continue
            self._check_place(call)
            if kind == "maybe":
                self._check_mixed(call)
            self.plans[call] = Plan("await" if kind == "await" else "new" if kind == "new" else "maybe", waits=True)
            reach = self.graph.reach(call.func)
            if kind == "new" and reach.unknown:
                hint = "give the class a method start() that waits, and call it after making the object"
                self._findings.error(call, "cannot tell which class is made here, and its __init__ waits", hint)

    def _check_place(self, call: ast.Call) -> None:
        """Refuse a wait where no coroutine can be: a class body, the middle of a lambda."""
        owner = self.graph.by_owner(call)
        scope = self.graph.scopes.of[call].function
        if isinstance(scope.node, ast.ClassDef):
            hint = "move the call out of the class body, or into __init__"
            self._findings.error(call, f"{ast.unparse(call.func)} waits in the body of a class", hint)
        elif owner is not None and isinstance(owner.node, ast.Lambda) and owner.node.body is not call:
            hint = "write a function with def instead of the lambda"
            self._findings.error(call, f"{ast.unparse(call.func)} waits inside a larger expression of a lambda", hint)

    def _check_mixed(self, call: ast.Call) -> None:
        """A generator and a coroutine are one type in MicroPython: `aw` could not tell them apart."""
        for function in self.graph.reach(call.func).functions:
            if function not in self._gives_generator:
                self._gives_generator[function] = self._returns_generator(function)
            if function.is_generator or function.is_async or self._gives_generator[function]:
                what = "an async function" if function.is_async else "a generator"
                message = f"{ast.unparse(call.func)} may be a function that waits, or {what} ({function.name})"
                self._findings.error(
                    call, message, "give the functions different names, or call them by their own names"
                )
                return

    def _returns_generator(self, function: Callable) -> bool:
        results = [
            n.value for n in self.graph.own_nodes(function.node) if isinstance(n, ast.Return) and n.value is not None
        ]
        if isinstance(function.node, ast.Lambda):
            results = [function.node.body]
        kept = self._keeps_generators
        return any(self._makes_generator(r) or (kept and isinstance(r, ast.Name | ast.Attribute)) for r in results)

    def _makes_generator(self, value: ast.expr) -> bool:
        if isinstance(value, ast.GeneratorExp):
            return True
        if not isinstance(value, ast.Call) or value in self.plans or self._kind(value) is not None:
            return False
        return any(f.is_generator or f.is_async for f in self.graph.reach(value.func).functions)

    def _plan_comprehensions(self) -> None:
        parents = self.graph.scopes.parents
        for call in [c for c, plan in self.plans.items() if plan.waits]:
            node: ast.AST = call
            while (parent := parents.get(node)) is not None and not isinstance(parent, ast.stmt | ast.Lambda):
                if isinstance(parent, Comprehension) and not (
                    isinstance(node, ast.comprehension) and _first_iter(parent, call, parents)
                ):
                    self._add_comprehension(parent)
                node = parent

    def _add_comprehension(self, node: Comprehension) -> None:
        if node in self.comprehensions:
            return
        self.comprehensions.add(node)
        owner = self.graph.by_owner(node)
        parent = self.graph.scopes.parents.get(node)
        if owner is not None and isinstance(owner.node, ast.Lambda):
            self._findings.error(
                node, "a lambda's comprehension waits", "write a function with def instead of the lambda"
            )
        if any(isinstance(n, ast.NamedExpr) for n in ast.walk(node)):
            self._findings.error(node, "a comprehension that waits cannot use :=", "write it as a loop")
        if isinstance(node, ast.GeneratorExp):
            origin = self.graph.origin(parent.func) if isinstance(parent, ast.Call) else None
            joins = (
                isinstance(parent, ast.Call) and isinstance(parent.func, ast.Attribute) and parent.func.attr == "join"
            )
            if not joins and (origin is None or origin.removeprefix("builtins.") not in _CONSUMERS):
                self._findings.error(
                    node, "a generator expression that waits", "make it a list: [ ... ] instead of ( ... )"
                )

    def _plan_loops(self) -> None:
        for node in self.graph.scopes.of:
            if not isinstance(node, Loop):
                continue
            owner = self.graph.by_owner(node)
            if isinstance(node, ast.While) and does_nothing(node):
                hint = "put time.sleep(1) into the loop: callbacks go on meanwhile"
                self._findings.error(
                    node, "a loop without a wait that does nothing keeps the board busy for ever", hint
                )
            if owner is not None and owner.is_compiled:
                if isinstance(node, ast.While) and polls(node, self.graph):
                    hint = "leave the decorator out, or loop a fixed number of times"
                    self._findings.error(node, "a native or viper function cannot wait, and could not be stopped", hint)
            elif not is_short(node) or self._has_wait(node):
                self.guards[node] = self._guard(node, owner)

    def _guard(self, loop: Loop, owner: Callable | None) -> str:
        if not self.is_coroutine(owner):
            return "g"
        if owner is not None and owner.is_async and not self._has_wait(loop):
            # Tasks of one program share data on the promise that they change hands only at an await.
            return "y" if isinstance(loop, ast.While) and polls(loop, self.graph) else "g"
        return "y"


def _first_iter(parent: Comprehension, call: ast.AST, parents: dict[ast.AST, ast.AST]) -> bool:
    """Whether a call stands in the part of a comprehension that is computed before it: what is looped over first."""
    node, first = call, parent.generators[0].iter
    while node is not parent:
        if node is first:
            return True
        node = parents[node]
    return False
