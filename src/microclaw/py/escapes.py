"""Which functions and classes a program uses as values: any call of something unknown may reach those."""

from __future__ import annotations

import ast

from microclaw.py.callgraph import CallGraph
from microclaw.py.plans import LibraryCalls


def mark_escapes(graph: CallGraph, library: LibraryCalls) -> None:
    handlers = {h for call in graph.calls for h in library.handlers(call)}
    parents = graph.scopes.parents
    for node in graph.scopes.of:
        parent = parents.get(node)
        if node in handlers or (isinstance(parent, ast.Call) and parent.func is node):
            continue
        if isinstance(node, ast.Lambda):
            graph.functions[node].escapes = True
        if not isinstance(node, ast.Name | ast.Attribute) or not isinstance(node.ctx, ast.Load):
            continue
        if isinstance(parent, ast.Attribute) or _is_definition_part(parent, node):
            continue
        reach = graph.reach(node)
        if not reach.unknown:
            for function in reach.functions:
                function.escapes = True
        if reach.made is not None and not _is_type_test(parent, graph):
            reach.made.escapes.append(node)
    _mark_reflection(graph)
    graph.reached = {}


def _mark_reflection(graph: CallGraph) -> None:
    """What a program finds by its name at run time: getattr, globals() and __dict__ may reach all of it."""
    for node in graph.scopes.of:
        names: ast.expr | None = None
        if isinstance(node, ast.Call) and graph.origin(node.func) == "builtins.getattr" and len(node.args) > 1:
            names = node.args[1]
        elif not (isinstance(node, ast.Call) and graph.origin(node.func) == "builtins.globals") and not (
            isinstance(node, ast.Attribute) and node.attr == "__dict__"
        ):
            continue
        known = names.value if isinstance(names, ast.Constant) else None
        for function in graph.functions.values():
            if known is None or function.name == known:
                function.escapes = True
        for made in graph.classes.values():
            if names is None:
                made.escapes.append(node)


def _is_type_test(parent: ast.AST | None, graph: CallGraph) -> bool:
    if isinstance(parent, ast.Tuple):
        parent = graph.scopes.parents.get(parent)
    if isinstance(parent, ast.Call):
        return graph.origin(parent.func) in ("builtins.isinstance", "builtins.issubclass", "builtins.super")
    return isinstance(parent, ast.Compare | ast.ExceptHandler | ast.Raise)


def _is_definition_part(parent: ast.AST | None, node: ast.AST) -> bool:
    """Whether a name is a decorator or a base class."""
    if isinstance(parent, ast.ClassDef):
        return True
    return isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef) and node in parent.decorator_list
