"""Finds the calls that a run may come to. The others are in functions that nothing names, as in a library alone."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from microclaw.programs.py.callgraph import Callable, Class, PyCallGraph


def reached_calls(graph: PyCallGraph) -> set[ast.Call]:
    """Return the calls of the text itself and of all functions that it names, also indirectly."""
    nodes: dict[Callable | None, list[ast.expr]] = {}
    for node in graph.scopes.of:
        if isinstance(node, ast.Call | ast.Name | ast.Attribute | ast.Lambda):
            nodes.setdefault(graph.by_owner(node), []).append(node)
    reached: set[ast.Call] = set()
    seen: set[Callable | None] = {None}
    waiting: list[Callable | None] = [None]
    while waiting:
        for node in nodes.get(waiting.pop(), ()):
            if isinstance(node, ast.Call):
                reached.add(node)
                continue
            for function in _named(node, graph):
                if function not in seen:
                    seen.add(function)
                    waiting.append(function)
    return reached


def _named(node: ast.expr, graph: PyCallGraph) -> Iterable[Callable]:
    """Return the functions that a name or an attribute may stand for; of a class those that are called unseen."""
    reach = graph.reach(node)
    functions = [*reach.functions]
    if reach.made is not None:
        functions += _unseen_methods(reach.made)
    return functions


def _unseen_methods(made: Class) -> list[Callable]:
    """Return the methods of a class that Python itself calls: `__init__`, `__enter__`, properties."""
    methods: list[Callable] = []
    for ancestor in made.with_ancestors():
        for name, functions in ancestor.methods.items():
            methods += [function for function in functions if name.startswith("__") or function.is_property]
    return methods
