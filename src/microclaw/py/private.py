"""Refuses ways from a program's objects into the firmware's own: attributes that are not the program's, by name or not.

It is no wall against a program that is made to break it (docs/python-programs.md); it ends mistakes and shortcuts.
"""

from __future__ import annotations

import ast
from typing import Final

from microclaw.py.callgraph import CallGraph
from microclaw.py.scopes import canonical
from microclaw.py.source import Findings
from microclaw.py.stock import stock_image

_INSIDES: Final = frozenset({"__globals__", "__builtins__", "__self__", "__func__", "__code__", "__closure__"})
_PUBLIC: Final = frozenset({"_asdict", "_fields", "_make", "_replace"})  # of namedtuple
_WHY: Final = "behind it is the firmware, with the Wi-Fi's password and the link's key"


def check_private(graph: CallGraph, findings: Findings) -> None:
    own, sets_any = _own_names(graph)
    for node in graph.scopes.of:
        if isinstance(node, ast.Name):
            parent = graph.scopes.parents.get(node)
            is_called = isinstance(parent, ast.Call) and parent.func is node
            if not is_called and graph.origin(node) == "builtins.getattr" and isinstance(node.ctx, ast.Load):
                hint = "call it where it is needed: getattr(thing, name)"
                findings.error(node, "getattr is used as a value: what it would reach cannot be told", hint, _WHY)
            continue
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            name, owner = node.attr, node.value
        elif isinstance(node, ast.Call) and graph.origin(node.func) == "builtins.getattr" and len(node.args) > 1:
            asked = node.args[1]
            if not isinstance(asked, ast.Constant) or not isinstance(asked.value, str):
                continue  # looked at when it runs: `hides`
            name, owner = asked.value, node.args[0]
        else:
            continue
        of_module = canonical(graph.origin(owner) or "") in stock_image().modules
        if name in _INSIDES or (of_module and name.startswith("_") and name != "__name__"):
            findings.error(node, f"a program cannot use {name}", "leave it out", _WHY)
        elif name == "__dict__" and graph.receiver(owner) is None:
            hint = "use it of an object whose class is in this program, in the method that has it as self"
            findings.error(node, "cannot tell whose __dict__ this is", hint, _WHY)
        elif name.startswith("_") and not name.endswith("__") and not sets_any and name not in own | _PUBLIC:
            findings.error(node, f"nothing in this program defines {name}", "use names without _ of others' objects")


def hides(call: ast.Call, graph: CallGraph) -> bool:
    """Whether this is a getattr of a name that is known when it runs, of an object that may not be the program's."""
    return (
        graph.origin(call.func) == "builtins.getattr"
        and len(call.args) > 1
        and not isinstance(call.args[1], ast.Constant)
        and graph.receiver(call.args[0]) is None
    )


def _own_names(graph: CallGraph) -> tuple[set[str], bool]:
    """The attributes that the program gives to objects, and whether it gives names that are made at run time."""
    own, sets_any = set(graph.methods), False
    for node, scope in graph.scopes.of.items():
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            own.add(node.attr)
        elif isinstance(node, ast.Call) and graph.origin(node.func) == "builtins.setattr" and len(node.args) == 3:
            name = node.args[1]
            sets_any |= not isinstance(name, ast.Constant)
            own.add(str(name.value) if isinstance(name, ast.Constant) else "")
        elif isinstance(scope.node, ast.ClassDef):
            own |= set(scope.bindings)
    return own, sets_any
