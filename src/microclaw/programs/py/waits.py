"""Finds the functions that wait, and so become coroutines: a fixed point over the call graph. Refuses impossible waits.

Three kinds of calls: what surely waits is awaited; what may wait (a name of several methods, a function out of a table)
goes through `aw`, which awaits only if a coroutine came back; a class whose `__init__` waits is made by `new`.
"""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Iterable
from functools import cached_property
from typing import Final

from microclaw.programs.py.callgraph import WAITING_ORIGINS, Callable, Class, PyCallGraph
from microclaw.programs.py.loops import is_short, only_computes, only_keeps_alive, polls
from microclaw.programs.py.nodes import Loop, contains, run_by
from microclaw.programs.py.plans import TAKES_COROUTINES, CallPlan, LibraryCalls
from microclaw.programs.py.scopes import Comprehension
from microclaw.programs.py.source import Findings

_CONSUMERS: Final = frozenset(
    {"list", "tuple", "set", "dict", "sum", "sorted", "min", "max", "frozenset", "any", "all"}
)
_TYPE_TESTS: Final = frozenset({"builtins.isinstance", "builtins.issubclass", "builtins.super"})
_NO_LAMBDA: Final = "write a function with def instead of the lambda"


class Waits:
    """The functions that wait, and what becomes of each call.

    `waiting` has the place in each such function that is the reason, `guards` the runner's function that a loop calls
    in each round: "sleep" if the loop only keeps the program alive. `comprehensions` are those with a wait in them.
    """

    def __init__(self, graph: PyCallGraph, library: LibraryCalls, findings: Findings) -> None:
        self.graph = graph
        self._findings = findings
        self.waiting: dict[Callable, ast.AST] = {}
        self.plans: dict[ast.Call, CallPlan] = {}
        self.guards: dict[Loop, str] = {}
        self.comprehensions: set[Comprehension] = set()
        self._parents = graph.scopes.parents
        self._fixed = _library_plans(graph, library)
        self._sockets = library.sockets
        self._sleep_is_a_value = False
        handlers: set[ast.expr] = set()
        for call in graph.calls:
            handlers.update(library.handlers(call))
        self._mark_values(handlers)
        self._mark_reflection()
        graph.reached.clear()
        self._find_waiting()
        assigned = [node.value for node in graph.scopes.of if isinstance(node, ast.Assign)]
        self._keeps_generators = any(map(self._makes_generator, assigned))
        for call in graph.calls:
            self._plan_call(call)
        for call, plan in self.plans.items():
            if plan.waits:
                self._find_comprehensions(call)
        for node in graph.scopes.of:
            if isinstance(node, Loop):
                self._guard(node, graph.by_owner(node))

    def is_coroutine(self, function: Callable | None) -> bool:
        """Return True if a function runs as a coroutine; None is the module's own code."""
        return function is None or function.is_async or function in self.waiting

    def init_waits(self, made: Class) -> bool:
        """Return True if `new` must make an object of this class; then each `__init__` of its family is a coroutine."""
        has_init = any("__init__" in ancestor.methods for ancestor in made.with_ancestors())
        return has_init and self._is_any_waiting(_inits(made))

    # What is used as a value: any call of something unknown may reach it

    def _mark_values(self, handlers: set[ast.expr]) -> None:
        for node in self.graph.scopes.of:
            parent = self._parents.get(node)
            is_called = isinstance(parent, ast.Call) and parent.func is node
            if node not in handlers and not is_called:
                self._mark_value(node, parent)

    def _mark_value(self, node: ast.AST, parent: ast.AST | None) -> None:
        if isinstance(node, ast.Lambda):
            self.graph.functions[node].escapes = True
        if not isinstance(node, ast.Name | ast.Attribute) or not isinstance(node.ctx, ast.Load):
            return
        is_socket_method = isinstance(node, ast.Attribute) and self._sockets.is_method(node)
        if is_socket_method or self.graph.origin(node) in WAITING_ORIGINS:
            self._sleep_is_a_value = True
        if isinstance(parent, ast.Attribute | ast.ClassDef) or node in getattr(parent, "decorator_list", ()):
            return
        reach = self.graph.reach(node)
        if not reach.unknown:
            for function in reach.functions:
                function.escapes = True
        if reach.made is not None and not self._is_type_test(parent):
            reach.made.escapes.append(node)

    def _mark_reflection(self) -> None:
        """Mark all that a program may find by its name at run time: with getattr, globals() or __dict__."""
        for node in self.graph.scopes.of:
            if isinstance(node, ast.Call):
                called = self.graph.origin(node.func)
                if called == "builtins.getattr" and len(node.args) > 1:
                    self._mark_named(node.args[1])
                elif called == "builtins.globals":
                    self._mark_all(node)
            elif isinstance(node, ast.Attribute) and node.attr == "__dict__":
                self._mark_all(node)

    def _mark_named(self, text: ast.expr) -> None:
        """Mark the functions that a text names, or all if it is unknown."""
        name = None
        if isinstance(text, ast.Constant):
            name = text.value
        for function in self.graph.functions.values():
            if name is None or function.name == name:
                function.escapes = True

    def _mark_all(self, place: ast.AST) -> None:
        for function in self.graph.functions.values():
            function.escapes = True
        for defined in self.graph.classes.values():
            defined.escapes.append(place)

    def _is_type_test(self, parent: ast.AST | None) -> bool:
        if isinstance(parent, ast.Tuple):
            parent = self._parents.get(parent)
        if isinstance(parent, ast.Call):
            return self.graph.origin(parent.func) in _TYPE_TESTS
        return isinstance(parent, ast.Compare | ast.ExceptHandler | ast.Raise)

    # Which functions wait

    def _find_waiting(self) -> None:
        """Enter the functions that wait into `waiting`, and look again at those that call one of them."""
        functions = [function for function in self.graph.functions.values() if not function.is_async]
        callers = self._find_callers(functions)
        due = deque(functions)
        queued = set(functions)
        while due:
            function = due.popleft()
            queued.discard(function)
            if function in self.waiting:
                continue
            self._find_wait(function)
            for waiting in self._with_family(function):
                for caller in callers.get(waiting, ()):
                    if caller not in queued:
                        queued.add(caller)
                        due.append(caller)

    def _find_callers(self, functions: Iterable[Callable]) -> dict[Callable, dict[Callable, None]]:
        """Return the functions that look at whether a function waits, by that function. A dict keeps their order."""
        callers: dict[Callable, dict[Callable, None]] = {}
        for function in functions:
            for node in run_by(function.node):
                if not isinstance(node, ast.Call):
                    continue
                reach = self.graph.reach(node.func)
                called = list(reach.functions)
                if reach.made is not None:
                    called += _inits(reach.made)
                for other in called:
                    callers.setdefault(other, {})[function] = None
        return callers

    def _with_family(self, function: Callable) -> list[Callable]:
        """Return a function if it waits. With an `__init__` all of the family wait: they are entered, too."""
        if function not in self.waiting:
            return []
        if function.owner is None or function.name != "__init__":
            return [function]
        inits = _inits(function.owner)
        for init in inits:
            self.waiting.setdefault(init, init.node)
        return inits

    def _find_wait(self, function: Callable) -> None:
        """Enter the function into `waiting` with its first wait, if it has one."""
        for node in run_by(function.node):
            if self._is_wait(node, function):
                self.waiting[function] = node
                return

    def _is_any_waiting(self, functions: Iterable[Callable]) -> bool:
        return any(function in self.waiting for function in functions)

    def _is_wait(self, node: ast.AST, function: Callable) -> bool:
        if isinstance(node, ast.Call):
            return self._waits(node)
        if not isinstance(node, ast.While) or function.is_compiled:
            return False
        return not self._has_wait(node) and polls(node, self.graph)

    def _waits(self, call: ast.Call) -> bool:
        plan = self._plan(call)
        return plan is not None and plan.waits

    def _plan(self, call: ast.Call) -> CallPlan | None:
        """Return the plan of a call, as far as is known now, or None."""
        is_awaited = self._is_awaited(call)
        fixed = self._fixed.get(call)
        if fixed is not None:
            return CallPlan(fixed.kind, fixed.name, fixed.waits and not is_awaited)
        reach = self.graph.reach(call.func)
        if reach.made is not None and self.init_waits(reach.made):
            return CallPlan("new", waits=True)
        waiting = [function for function in reach.functions if function in self.waiting]
        if not waiting and not (reach.unknown and self._sleep_is_a_value):
            return None
        may_be_other = reach.native or reach.unknown or reach.made is not None
        if may_be_other or len(waiting) < len(reach.functions):
            if is_awaited:
                return None
            return CallPlan("maybe", waits=True)
        # A lambda may pass on what may wait.
        if any(isinstance(function.node, ast.Lambda) for function in waiting):
            return CallPlan("maybe", waits=True)
        return CallPlan("await", waits=True)

    def _is_awaited(self, call: ast.Call) -> bool:
        """Return True if the program itself treats the call's result as a coroutine."""
        parent = self._parents.get(call)
        if isinstance(parent, ast.Starred | ast.List | ast.Tuple):
            parent = self._parents.get(parent)
        if isinstance(parent, ast.Call):
            plan = self._fixed.get(parent)
            takes = self.graph.origin(parent.func) in TAKES_COROUTINES
            return takes or (plan is not None and plan.name in ("spawn", "run"))
        return isinstance(parent, ast.Await)

    def _has_wait(self, loop: Loop) -> bool:
        nodes = list(run_by(loop))
        if isinstance(loop, ast.While):
            nodes += ast.walk(loop.test)
        for node in nodes:
            if isinstance(node, ast.Await) or (isinstance(node, ast.Call) and self._waits(node)):
                return True
        return False

    # What becomes of each call

    def _plan_call(self, call: ast.Call) -> None:
        plan = self._plan(call)
        if plan is None:
            return
        self.plans[call] = plan
        if not plan.waits:
            return
        self._check_place(call)
        if plan.kind == "maybe":
            self._check_mixed(call)
        if plan.kind == "new" and self.graph.reach(call.func).unknown:
            hint = "give the class a method start() that waits, and call it after making the object"
            self._findings.error(call, "cannot tell which class is made here, and its __init__ waits", hint)

    def _check_place(self, call: ast.Call) -> None:
        """Refuse a wait in the body of a class, and inside a larger expression of a lambda."""
        owner = self.graph.by_owner(call)
        scope = self.graph.scopes.of[call].function
        if isinstance(scope.node, ast.ClassDef):
            hint = "move the call out of the class body, or into __init__"
            self._findings.error(call, f"{ast.unparse(call.func)} waits in the body of a class", hint)
        elif owner is not None and isinstance(owner.node, ast.Lambda) and owner.node.body is not call:
            message = f"{ast.unparse(call.func)} waits inside a larger expression of a lambda"
            self._findings.error(call, message, _NO_LAMBDA)

    def _check_mixed(self, call: ast.Call) -> None:
        """Refuse what `aw` could not tell apart: a generator and a coroutine are one type in MicroPython."""
        # Of a socket's methods and in a library the result itself is wanted, also of an async function.
        awaits_all = call in self._fixed or call.lineno < 0
        functions = []
        for function in self.graph.reach(call.func).functions:
            is_awaited = awaits_all and function.is_async
            if function in self._unawaited and not is_awaited:
                functions.append(function)
        if not functions:
            return
        mixed = functions[0]
        kind = "a generator"
        if mixed.is_async:
            kind = "an async function"
        message = f"{ast.unparse(call.func)} may be a function that waits, or {kind} ({mixed.name})"
        hint = "give the functions different names, or call them by their own names"
        self._findings.error(call, message, hint)

    @cached_property
    def _unawaited(self) -> set[Callable]:
        """The functions whose calls give a generator, or a coroutine that only the program itself awaits."""
        unawaited = set()
        for function in self.graph.functions.values():
            if function.is_generator or function.is_async or self._returns_generator(function):
                unawaited.add(function)
        return unawaited

    def _returns_generator(self, function: Callable) -> bool:
        if isinstance(function.node, ast.Lambda):
            return self._may_be_generator(function.node.body)
        for node in run_by(function.node):
            if isinstance(node, ast.Return) and node.value is not None and self._may_be_generator(node.value):
                return True
        return False

    def _may_be_generator(self, value: ast.expr) -> bool:
        is_name = isinstance(value, ast.Name | ast.Attribute)
        return self._makes_generator(value) or (self._keeps_generators and is_name)

    def _makes_generator(self, value: ast.expr) -> bool:
        if not isinstance(value, ast.Call) or self._waits(value):
            return isinstance(value, ast.GeneratorExp)
        functions = self.graph.reach(value.func).functions
        return any(function.is_generator or function.is_async for function in functions)

    def _find_comprehensions(self, call: ast.Call) -> None:
        """Find the comprehensions around a wait; what one loops over first is computed before it."""
        node: ast.AST = call
        iterating: ast.AST | None = None
        parent = self._parents.get(node)
        while parent is not None and not isinstance(parent, ast.stmt | ast.Lambda):
            if isinstance(parent, ast.comprehension):
                iterating = parent if parent.iter is node else None
            elif isinstance(parent, Comprehension):
                is_before = node is parent.generators[0] and iterating is node
                if not is_before:
                    self._add_comprehension(parent)
            node = parent
            parent = self._parents.get(node)

    def _add_comprehension(self, node: Comprehension) -> None:
        if node in self.comprehensions:
            return
        self.comprehensions.add(node)
        owner = self.graph.by_owner(node)
        if owner is not None and isinstance(owner.node, ast.Lambda):
            self._findings.error(node, "a lambda's comprehension waits", _NO_LAMBDA)
        if contains(ast.walk(node), ast.NamedExpr):
            self._findings.error(node, "a comprehension that waits cannot use :=", "write it as a loop")
        if isinstance(node, ast.GeneratorExp) and not self._is_consumed(node):
            hint = "make it a list: [ ... ] instead of ( ... )"
            self._findings.error(node, "a generator expression that waits", hint)

    def _is_consumed(self, node: ast.GeneratorExp) -> bool:
        """Return True if a call takes all values of a generator expression at once."""
        parent = self._parents.get(node)
        if not isinstance(parent, ast.Call):
            return False
        if isinstance(parent.func, ast.Attribute) and parent.func.attr == "join":
            return True
        consumer = self.graph.origin(parent.func) or ""
        return consumer.removeprefix("builtins.") in _CONSUMERS

    def _guard(self, loop: Loop, owner: Callable | None) -> None:
        if isinstance(loop, ast.While) and self.is_coroutine(owner) and only_keeps_alive(loop):
            self.guards[loop] = "sleep"
            return
        if isinstance(loop, ast.While) and only_computes(loop, self.graph):
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


def _library_plans(graph: PyCallGraph, library: LibraryCalls) -> dict[ast.Call, CallPlan]:
    """Return the plans of the calls whose meaning the library fixes."""
    plans = {}
    for call in graph.calls:
        plan = library.plan(call)
        if plan is not None:
            plans[call] = plan
    return plans


def _inits(made: Class) -> list[Callable]:
    inits: list[Callable] = []
    for relative in made.with_ancestors(heirs=True):
        inits += relative.methods.get("__init__", ())
    return inits
