"""Finds the functions that wait, and so become coroutines: a fixed point over the call graph. Refuses impossible waits.

Three kinds of calls: what surely waits is awaited; what may wait (a name of several methods, a function out of a table)
goes through `aw`, which awaits only if a coroutine came back; a class whose `__init__` waits is made by `new`.
"""

from __future__ import annotations

import ast
from typing import Final

from microclaw.hardware.boards.micropython.stock import stock_image
from microclaw.programs.py.callgraph import WAITING_ORIGINS, Callable, Class, Loop, PyCallGraph, run_by
from microclaw.programs.py.plans import TAKES_COROUTINES, CallPlan, LibraryCalls
from microclaw.programs.py.scopes import Comprehension
from microclaw.programs.py.source import Findings

SHORT_LOOP: Final = 64  # rounds that need no guard
_YIELDS: Final = ast.Yield | ast.YieldFrom
_LEAVES: Final = ast.Break | ast.Return | ast.Raise
_CONSUMERS: Final = frozenset(
    {"list", "tuple", "set", "dict", "sum", "sorted", "min", "max", "frozenset", "any", "all"}
)
_TYPE_TESTS: Final = frozenset({"builtins.isinstance", "builtins.issubclass", "builtins.super"})
_NO_LAMBDA: Final = "write a function with def instead of the lambda"


class Waits:
    def __init__(self, graph: PyCallGraph, library: LibraryCalls, findings: Findings) -> None:
        self.graph = graph
        self._findings = findings
        self.waiting: dict[Callable, ast.AST] = {}  # and the place in it that is why
        self.plans: dict[ast.Call, CallPlan] = {}
        self.guards: dict[Loop, str] = {}
        self.comprehensions: set[Comprehension] = set()  # those with a wait in them
        self._parents = graph.scopes.parents
        self._fixed = {c: plan for c in graph.calls if (plan := library.plan(c)) is not None}
        self._sleep_is_a_value = False
        self._mark_values({h for call in graph.calls for h in library.handlers(call)})
        self._mark_reflection()
        graph.reached.clear()
        self._find_waiting()
        assigned = [n.value for n in graph.scopes.of if isinstance(n, ast.Assign)]
        self._keeps_generators = any(map(self._makes_generator, assigned))
        for call in graph.calls:
            self._plan_call(call)
        for call in [c for c, plan in self.plans.items() if plan.waits]:
            self._find_comprehensions(call)
        for node in graph.scopes.of:
            if isinstance(node, Loop):
                self._guard(node, graph.by_owner(node))

    def is_coroutine(self, function: Callable | None) -> bool:
        """True if a function runs as a coroutine; None is the module's own code."""
        return function is None or function.is_async or function in self.waiting

    def init_waits(self, made: Class) -> bool:
        """True if an object of this class must be made by `new`; then each `__init__` of its family is a coroutine."""
        has_init = any("__init__" in c.methods for c in made.with_ancestors())
        return has_init and any(m in self.waiting for m in _inits(made))

    # What is used as a value: any call of something unknown may reach it

    def _mark_values(self, handlers: set[ast.expr]) -> None:
        for node in self.graph.scopes.of:
            parent = self._parents.get(node)
            if node in handlers or (isinstance(parent, ast.Call) and parent.func is node):
                continue
            if isinstance(node, ast.Lambda):
                self.graph.functions[node].escapes = True
            if not isinstance(node, ast.Name | ast.Attribute) or not isinstance(node.ctx, ast.Load):
                continue
            self._sleep_is_a_value |= self.graph.origin(node) in WAITING_ORIGINS
            if isinstance(parent, ast.Attribute | ast.ClassDef) or node in getattr(parent, "decorator_list", ()):
                continue
            reach = self.graph.reach(node)
            for function in reach.functions if not reach.unknown else ():
                function.escapes = True
            if reach.made is not None and not self._is_type_test(parent):
                reach.made.escapes.append(node)

    def _mark_reflection(self) -> None:
        """Mark all that a program may find by its name at run time: with getattr, globals() or __dict__."""
        for node in self.graph.scopes.of:
            if isinstance(node, ast.Call):
                called = self.graph.origin(node.func)
            else:
                called = None
            if isinstance(node, ast.Call) and called == "builtins.getattr" and len(node.args) > 1:
                name = node.args[1].value if isinstance(node.args[1], ast.Constant) else None
                for function in self.graph.functions.values():
                    function.escapes |= name is None or function.name == name
            elif called == "builtins.globals" or (isinstance(node, ast.Attribute) and node.attr == "__dict__"):
                for function in self.graph.functions.values():
                    function.escapes = True
                for made in self.graph.classes.values():
                    made.escapes.append(node)

    def _is_type_test(self, parent: ast.AST | None) -> bool:
        if isinstance(parent, ast.Tuple):
            parent = self._parents.get(parent)
        if isinstance(parent, ast.Call):
            return self.graph.origin(parent.func) in _TYPE_TESTS
        return isinstance(parent, ast.Compare | ast.ExceptHandler | ast.Raise)

    # Which functions wait

    def _find_waiting(self) -> None:
        before = -1
        while before < len(self.waiting):
            before = len(self.waiting)
            for function in self.graph.functions.values():
                if function not in self.waiting and not function.is_async:
                    place = next((n for n in run_by(function.node) if self._is_wait(n, function)), None)
                    self.waiting |= {function: place} if place is not None else {}
            for made in self.graph.classes.values():
                inits = _inits(made)
                for init in inits if any(m in self.waiting for m in inits) else ():
                    self.waiting.setdefault(init, init.node)

    def _is_wait(self, node: ast.AST, function: Callable) -> bool:
        if isinstance(node, ast.Call):
            return self._waits(node)
        if not isinstance(node, ast.While) or function.is_compiled:
            return False
        return not self._has_wait(node) and polls(node, self.graph)

    def _waits(self, call: ast.Call) -> bool:
        return (plan := self._plan(call)) is not None and plan.waits

    def _plan(self, call: ast.Call) -> CallPlan | None:
        """The plan of a call, as far as is known now; None: there is none."""
        is_awaited = self._is_awaited(call)
        fixed = self._fixed.get(call)
        if fixed is not None:
            return CallPlan(fixed.kind, fixed.name, fixed.waits and not is_awaited)
        reach = self.graph.reach(call.func)
        if reach.made is not None and self.init_waits(reach.made):
            return CallPlan("new", waits=True)
        waiting = [f for f in reach.functions if f in self.waiting]
        if not waiting and not (reach.unknown and self._sleep_is_a_value):
            return None
        others = reach.native or reach.unknown or reach.made is not None or len(waiting) < len(reach.functions)
        if others:
            if not is_awaited:
                return CallPlan("maybe", waits=True)
            return None
        # A lambda may pass on what may wait.
        return CallPlan("maybe" if any(isinstance(f.node, ast.Lambda) for f in waiting) else "await", waits=True)

    def _is_awaited(self, call: ast.Call) -> bool:
        """True if the program itself treats the call's result as a coroutine."""
        parent = self._parents.get(call)
        if isinstance(parent, ast.Starred | ast.List | ast.Tuple):
            parent = self._parents.get(parent)
        if isinstance(parent, ast.Call):
            plan = self._fixed.get(parent)
            takes = self.graph.origin(parent.func) in TAKES_COROUTINES
            return takes or (plan is not None and plan.name in ("spawn", "run"))
        return isinstance(parent, ast.Await)

    def _has_wait(self, loop: Loop) -> bool:
        inside = [*run_by(loop), *(ast.walk(loop.test) if isinstance(loop, ast.While) else ())]
        return any(isinstance(n, ast.Await) or (isinstance(n, ast.Call) and self._waits(n)) for n in inside)

    # What becomes of each call

    def _plan_call(self, call: ast.Call) -> None:
        plan = self._plan(call)
        if plan is None:
            return
        self.plans[call] = plan
        if not plan.waits:
            return
        owner = self.graph.by_owner(call)
        scope = self.graph.scopes.of[call].function
        if isinstance(scope.node, ast.ClassDef):
            hint = "move the call out of the class body, or into __init__"
            self._findings.error(call, f"{ast.unparse(call.func)} waits in the body of a class", hint)
        elif owner is not None and isinstance(owner.node, ast.Lambda) and owner.node.body is not call:
            message = f"{ast.unparse(call.func)} waits inside a larger expression of a lambda"
            self._findings.error(call, message, _NO_LAMBDA)
        if plan.kind == "maybe":
            self._check_mixed(call)
        if plan.kind == "new" and self.graph.reach(call.func).unknown:
            hint = "give the class a method start() that waits, and call it after making the object"
            self._findings.error(call, "cannot tell which class is made here, and its __init__ waits", hint)

    def _check_mixed(self, call: ast.Call) -> None:
        """A generator and a coroutine are one type in MicroPython: `aw` could not tell them apart."""
        for function in self.graph.reach(call.func).functions:
            if function.is_generator or function.is_async or self._returns_generator(function):
                what = "an async function" if function.is_async else "a generator"
                message = f"{ast.unparse(call.func)} may be a function that waits, or {what} ({function.name})"
                hint = "give the functions different names, or call them by their own names"
                self._findings.error(call, message, hint)
                return

    def _returns_generator(self, function: Callable) -> bool:
        results = [n.value for n in run_by(function.node) if isinstance(n, ast.Return) and n.value is not None]
        if isinstance(function.node, ast.Lambda):
            results = [function.node.body]
        kept = ast.Name | ast.Attribute
        return any(self._makes_generator(r) or (self._keeps_generators and isinstance(r, kept)) for r in results)

    def _makes_generator(self, value: ast.expr) -> bool:
        if not isinstance(value, ast.Call) or self._waits(value):
            return isinstance(value, ast.GeneratorExp)
        return any(f.is_generator or f.is_async for f in self.graph.reach(value.func).functions)

    def _find_comprehensions(self, call: ast.Call) -> None:
        """The comprehensions around a wait; what one loops over first is computed before it."""
        node: ast.AST = call
        first: ast.AST | None = None
        while (parent := self._parents.get(node)) is not None and not isinstance(parent, ast.stmt | ast.Lambda):
            if isinstance(parent, ast.comprehension):
                first = parent if parent.iter is node else None
            elif isinstance(parent, Comprehension) and (node is not parent.generators[0] or first is not node):
                self._add_comprehension(parent)
            node = parent

    def _add_comprehension(self, node: Comprehension) -> None:
        if node in self.comprehensions:
            return
        self.comprehensions.add(node)
        owner = self.graph.by_owner(node)
        parent = self._parents.get(node)
        if owner is not None and isinstance(owner.node, ast.Lambda):
            self._findings.error(node, "a lambda's comprehension waits", _NO_LAMBDA)
        if any(isinstance(n, ast.NamedExpr) for n in ast.walk(node)):
            self._findings.error(node, "a comprehension that waits cannot use :=", "write it as a loop")
        func = parent.func if isinstance(parent, ast.Call) else None
        joins = isinstance(func, ast.Attribute) and func.attr == "join"
        if func is not None:
            consumer = (self.graph.origin(func) or "").removeprefix("builtins.")
        else:
            consumer = ""
        if isinstance(node, ast.GeneratorExp) and not joins and consumer not in _CONSUMERS:
            hint = "make it a list: [ ... ] instead of ( ... )"
            self._findings.error(node, "a generator expression that waits", hint)

    def _guard(self, loop: Loop, owner: Callable | None) -> None:
        if isinstance(loop, ast.While) and _only_computes(loop, self.graph):
            message = "this loop never waits nor ends: it keeps the board busy forever"
            self._findings.error(loop, message, "put time.sleep(1) into the loop: callbacks go on meanwhile")
        asks = isinstance(loop, ast.While) and polls(loop, self.graph)
        if owner is not None and owner.is_compiled:
            if asks:
                hint = "leave the decorator out, or loop a fixed number of times"
                self._findings.error(loop, "a native or viper function cannot wait, and could not be stopped", hint)
        elif not is_short(loop) or self._has_wait(loop):
            # Tasks of one program share data on the promise that they change hands only at an await.
            is_task = owner is not None and owner.is_async
            gives_way = self.is_coroutine(owner) and (not is_task or asks or self._has_wait(loop))
            self.guards[loop] = "y" if gives_way else "g"


def _inits(made: Class) -> list[Callable]:
    return [m for c in made.with_ancestors(heirs=True) for m in c.methods.get("__init__", ())]


# Which loops wait for something outside, and which only compute: the first must let others run, the second end


def polls(loop: ast.While, graph: PyCallGraph) -> bool:
    """True if a `while` loop may go on until something outside changes: anything but plain computing with an end."""
    inside = list(run_by(loop))
    if any(isinstance(n, _YIELDS) for n in inside):
        return False
    if any(isinstance(n, ast.Call) and not _is_pure(n, graph) for n in (*inside, *ast.walk(loop.test))):
        return True
    if isinstance(loop.test, ast.Constant):
        return _is_endless(loop) and not any(isinstance(n, _LEAVES) for n in inside)
    changed = {ast.unparse(n) for n in inside if isinstance(getattr(n, "ctx", None), ast.Store)}
    called = [n.func for n in inside if isinstance(n, ast.Call)]
    changed |= {ast.unparse(func.value) for func in called if isinstance(func, ast.Attribute)}
    return not any(isinstance(n, ast.Name | ast.Attribute) and ast.unparse(n) in changed for n in ast.walk(loop.test))


def _only_computes(loop: ast.While, graph: PyCallGraph) -> bool:
    """True if a loop runs forever and looks at nothing outside: nobody would see what it does."""
    return _is_endless(loop) and not any(
        isinstance(n, _LEAVES | _YIELDS | ast.Await) or (isinstance(n, ast.Call) and not _is_pure(n, graph))
        for n in run_by(loop)
    )


def is_short(loop: Loop) -> bool:
    """True if a loop has few rounds for sure, and no other loop in it."""
    if not isinstance(loop, ast.For) or any(isinstance(n, Loop) for n in run_by(loop)):
        return False
    match loop.iter:
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return len(parts) <= SHORT_LOOP
        case ast.Call(func=ast.Name(id="range"), args=[_] | [_, _] as args):
            numbers = [a.value for a in args if isinstance(a, ast.Constant) and isinstance(a.value, int)]
            return len(numbers) == len(args) and max(map(abs, numbers)) <= SHORT_LOOP // len(args)
        case _:
            return False


def _is_endless(loop: ast.While) -> bool:
    return isinstance(loop.test, ast.Constant) and bool(loop.test.value)


def _is_pure(call: ast.Call, graph: PyCallGraph) -> bool:
    stock = stock_image()
    origin = graph.origin(call.func)
    if origin is not None:
        top, _, name = origin.partition(".")
        return top in ("math", "struct") or (top == "builtins" and name in stock.computing)
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    return name in stock.computing_methods and not graph.methods.get(name)
