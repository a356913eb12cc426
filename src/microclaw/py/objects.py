"""Attributes of pins, PWM and ADC objects: one that the class lacks is refused where the class is surely known."""

from __future__ import annotations

import ast
from typing import Final

from microclaw.py.callgraph import CallGraph
from microclaw.py.imports import nearest
from microclaw.py.source import Findings
from microclaw.py.stock import stock_image

_FOLLOW: Final = 6
_ASKS: Final = frozenset({"builtins.hasattr", "builtins.getattr"})
_CATCHERS: Final = frozenset({"AttributeError", "Exception", "BaseException"})


def check_objects(graph: CallGraph, findings: Findings) -> None:
    """Refuse `led.togle()`; silent on objects that could be anything else, and where the program asks or catches."""
    asked = {
        str(arg.value)
        for call in graph.calls
        if graph.origin(call.func) in _ASKS
        for arg in call.args[1:2]
        if isinstance(arg, ast.Constant)
    }
    for node in graph.scopes.of:
        if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Load) or node.attr in asked:
            continue
        made = class_of(node.value, graph)
        if made is None or node.attr.startswith("_") or node.attr in graph.assigned_attributes:
            continue
        own = stock_image().objects[made]
        if node.attr in own | stock_image().members.get(made, frozenset()) or _may_fail(node, graph):
            continue
        near = nearest(node.attr, own)
        hint = f"did you mean {near}?" if near else f"it has {', '.join(sorted(own))}"
        findings.error(node, f"{ast.unparse(node.value)} is made by {made}, which has no {node.attr}", hint)


def class_of(node: ast.expr, graph: CallGraph, depth: int = 0) -> str | None:
    """The class of the one kind of object that an expression can be; None where that is not sure."""
    match node:
        case ast.Call(func=func):
            origin = graph.origin(func)
            return origin if origin in stock_image().objects else None
        case ast.Name() if depth < _FOLLOW and (scope := graph.scopes.of.get(node)) is not None:
            found = scope.find(node.id)
            bindings = found[1] if found is not None else []
            return _only([b.value if b.kind == "value" else None for b in bindings], graph, depth)
        case ast.Attribute(value=owner, attr=name) if depth < _FOLLOW and "*" not in graph.assigned_attributes:
            classes = graph.receiver(owner)
            if not classes or any(c.native_bases for c in classes) or name in graph.methods:
                return None
            return _only(list(graph.assigned_attributes.get(name, [])), graph, depth)
        case _:
            return None


def _only(values: list[ast.expr | None], graph: CallGraph, depth: int) -> str | None:
    """The class of all these values, of which None itself may be one."""
    plain = [v for v in values if not (isinstance(v, ast.Constant) and v.value is None)]
    found = {class_of(value, graph, depth + 1) if value is not None else None for value in plain}
    return found.pop() if len(found) == 1 else None


def _may_fail(node: ast.AST, graph: CallGraph) -> bool:
    """Whether a `try` around it catches AttributeError."""
    child, parent = node, graph.scopes.parents.get(node)
    while parent is not None:
        if isinstance(parent, ast.Try) and child in parent.body:
            for handler in parent.handlers:
                names = {n.id for n in ast.walk(handler.type) if isinstance(n, ast.Name)} if handler.type else _CATCHERS
                if names & _CATCHERS:
                    return True
        child, parent = parent, graph.scopes.parents.get(parent)
    return False
