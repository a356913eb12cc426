"""What a program gives to be called later: a value that surely is no function is refused. Plans no call."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from microclaw.py.callgraph import Callable, CallGraph
from microclaw.py.objects import class_of
from microclaw.py.plans import LibraryCalls
from microclaw.py.source import Findings

_FOLLOW: Final = 6
_PLACES: Final = {"microclaw.every": 1, "microclaw.on": 2}  # of the task among the arguments
_CALLABLE: Final = frozenset({"irq"})  # a pin's method that gives what can be called
_VALUES: Final = (
    ast.JoinedStr, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp,
    ast.BinOp, ast.UnaryOp, ast.Compare,
)  # fmt: skip


def check_callbacks(graph: CallGraph, library: LibraryCalls, findings: Findings) -> None:
    """Refuse `every(1000, 0)` and `every(500, led.toggle())`; silent on what could be a function."""
    for call in graph.calls:
        for task, may_be_none in _tasks(call, graph, library):
            is_none = isinstance(task, ast.Constant) and task.value is None
            if is_none and may_be_none:
                continue
            what = ast.unparse(call.func)
            if is_none or _is_value(task, graph, 0):
                hint = f"give it a function: {what}(..., task), where task is the name of a def without ()"
                findings.error(task, f"{what} calls it later, and {ast.unparse(task)} is no function", hint)
            elif isinstance(task, ast.Call) and _gives_nothing(task, graph):
                func = ast.unparse(task.func)
                hint = (
                    f"leave the parentheses out: {func}" if not (task.args or task.keywords) else f"lambda: {func}(...)"
                )
                findings.error(
                    task, f"{what} calls it later, but this calls {func} now and gives what came of it", hint
                )


def _tasks(call: ast.Call, graph: CallGraph, library: LibraryCalls) -> Iterator[tuple[ast.expr, bool]]:
    """The arguments of a call that are called later; true where None ends what was called before."""
    place = _PLACES.get(graph.origin(call.func) or "")
    if place is not None:
        if not any(isinstance(arg, ast.Starred) for arg in call.args):
            yield from ((arg, False) for arg in call.args[place : place + 1])
        yield from ((keyword.value, False) for keyword in call.keywords if keyword.arg == "task")
    else:
        yield from ((handler, True) for handler in library.handlers(call))


def _is_value(node: ast.expr, graph: CallGraph, depth: int) -> bool:
    """Whether it is a number, a text or a collection, whatever the program does."""
    if isinstance(node, ast.Constant):
        return node.value is not None
    if not isinstance(node, ast.Name):
        return isinstance(node, _VALUES)
    scope = graph.scopes.of.get(node)
    found = scope.find(node.id) if scope is not None else None
    if found is None or depth > _FOLLOW:
        return False
    return all(b.kind == "value" and b.value is not None and _is_value(b.value, graph, depth + 1) for b in found[1])


def _gives_nothing(call: ast.Call, graph: CallGraph) -> bool:
    """Whether what the call gives surely cannot be called."""
    if graph.origin(call.func) == "builtins.print":
        return True
    if isinstance(call.func, ast.Attribute) and class_of(call.func.value, graph) is not None:
        return call.func.attr not in _CALLABLE | graph.assigned_attributes.keys()
    reach = graph.reach(call.func)
    if reach.native or reach.unknown or reach.made is not None or not reach.functions:
        return False
    return all(_returns_nothing(function) for function in reach.functions)


def _returns_nothing(function: Callable) -> bool:
    if isinstance(function.node, ast.Lambda) or function.is_wrapped:
        return False
    return function.is_generator or not any(
        isinstance(node, ast.Return) and not (node.value is None or isinstance(node.value, ast.Constant))
        for node in ast.walk(function.node)
    )
