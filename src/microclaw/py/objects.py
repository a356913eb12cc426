"""Attributes of pins, PWM and ADC objects: one that the class lacks is refused where the class is surely known."""

from __future__ import annotations

import ast
from typing import Final

from microclaw.py.callgraph import CallGraph, is_none
from microclaw.py.imports import meant
from microclaw.py.source import Findings
from microclaw.py.stock import stock_image

_FOLLOW: Final = 6
_ASKS: Final = frozenset({"builtins.hasattr", "builtins.getattr"})
_CATCHERS: Final = ("AttributeError", "Exception", "BaseException")


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
        made = _class_of(node.value, graph)
        if made is None or node.attr.startswith("_") or node.attr in graph.assigned_attributes:
            continue
        own = stock_image().objects[made]
        if node.attr in own | stock_image().members.get(made, frozenset()) or graph.scopes.is_caught(node, *_CATCHERS):
            continue
        hint = meant(node.attr, own) or f"it has {', '.join(sorted(own))}"
        findings.error(node, f"{ast.unparse(node.value)} is made by {made}, which has no {node.attr}", hint)


def _class_of(node: ast.expr | None, graph: CallGraph, depth: int = 0) -> str | None:
    """The class of the one kind of object that an expression can be; None where that is not sure."""
    match node:
        case ast.Call(func=func):
            origin = graph.origin(func)
            return origin if origin in stock_image().objects else None
        case ast.Name() if depth < _FOLLOW:
            given = [b.value if b.kind == "value" else None for b in graph.scopes.bindings(node)]
        case ast.Attribute(value=owner, attr=name) if depth < _FOLLOW and "*" not in graph.assigned_attributes:
            classes = graph.receiver(owner)
            if not classes or any(c.native_bases for c in classes) or name in graph.methods:
                return None
            given = [*graph.assigned_attributes.get(name, ())]
        case _:
            return None
    found = {_class_of(value, graph, depth + 1) for value in given if value is None or not is_none(value)}
    return found.pop() if len(found) == 1 else None
