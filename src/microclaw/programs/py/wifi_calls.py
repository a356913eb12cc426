"""Tells which use of the board's other Wi-Fi, its access point, only switches that off: there it is off already."""

from __future__ import annotations

import ast
from typing import Final

from microclaw.programs.py.callgraph import PyCallGraph

ACCESS_POINTS: Final = frozenset({"network.AP_IF", "network.WLAN.IF_AP"})
_WLAN: Final = "network.WLAN"


def only_switches_off(node: ast.expr, graph: PyCallGraph) -> bool:
    """Return True if an access point is made only for `active(False)` and `active()`; `node` is its constant."""
    call = graph.scopes.parents.get(node)
    if graph.origin(node) not in ACCESS_POINTS or not isinstance(call, ast.Call):
        return False
    if graph.origin(call.func) != _WLAN:
        return False
    uses = _uses(call, graph)
    return bool(uses) and all(_is_switched_off(use, graph) for use in uses)


def _uses(made: ast.Call, graph: PyCallGraph) -> list[ast.Attribute]:
    """Return the attributes of an object where it is made, and of the name or the attribute that gets it."""
    parent = graph.scopes.parents.get(made)
    if isinstance(parent, ast.Attribute):
        return [parent]
    uses = []
    for node in graph.scopes.of:
        if isinstance(node, ast.Attribute) and _may_be(node.value, made, graph):
            uses.append(node)
    return uses


def _may_be(node: ast.expr, made: ast.Call, graph: PyCallGraph) -> bool:
    """Return True for a name that gets what the call makes, and for an attribute that does (`self.ap`)."""
    if isinstance(node, ast.Attribute):
        return made in graph.assigned_attributes.get(node.attr, ())
    return any(binding.value is made for binding in graph.scopes.bindings(node))


def _is_switched_off(use: ast.Attribute, graph: PyCallGraph) -> bool:
    call = graph.scopes.parents.get(use)
    if use.attr != "active" or not isinstance(call, ast.Call) or call.keywords:
        return False
    return all(isinstance(value, ast.Constant) and not value.value for value in call.args)
