"""Refuses ways from a program's objects into the firmware's own: attributes that are not the program's, by name or not.

It is no wall against a program that is made to break it (docs/python-programs.md); it ends mistakes and shortcuts.
What is allowed here is made true by own_names.py.
"""

from __future__ import annotations

import ast
from typing import Final

from microclaw.py.callgraph import CallGraph
from microclaw.py.kinds import check_kinds
from microclaw.py.own_names import PUBLIC, REFLECTION, own_attributes, sets_any
from microclaw.py.scopes import canonical
from microclaw.py.source import Findings
from microclaw.py.stock import stock_image

_INSIDES: Final = frozenset(
    {"__globals__", "__builtins__", "__self__", "__func__", "__code__", "__closure__", "__bases__"}
)
_OTHERS: Final = frozenset({"__dict__", "__getattr__", "__getattribute__", "__setattr__", "__delattr__"})
# By these names the firmware's objects hold the firmware; each is in the stock image's `firmware_private` too.
LEADING: Final = frozenset({"_env", "_real", "_board", "_runner", "_timeline", "_settings"})
_WHY: Final = "behind it is the firmware, with the Wi-Fi's password and the link's key"
_VALUES: Final = frozenset(f"builtins.{name}" for name in REFLECTION if name != "hasattr")


def check_private(graph: CallGraph, findings: Findings) -> None:
    own, any_name = own_attributes(graph), sets_any(graph)
    for node in graph.scopes.of:
        match node:
            case ast.Name(ctx=ast.Load()) if graph.origin(node) in _VALUES:
                _check_reflection(node, graph, findings)
            case ast.ImportFrom(names=names):
                for alias in names:
                    if alias.name.startswith("_") and node.module != "__future__":
                        findings.error(node, f"a program cannot import {alias.name}", "leave it out", _WHY)
            case ast.Attribute(value=owner, attr=name, ctx=ast.Load()):
                _check_load(node, owner, name, graph, findings, None if any_name else own)
            case ast.Attribute(value=owner, attr=name):
                _check_change(node, owner, name, graph, findings)
            case ast.Call() if (asked := _constant_name(node, graph)) is not None:
                if asked in ("__class__", "__dict__"):
                    findings.error(node, f"a program cannot ask for {asked} so", f"write x.{asked}", _WHY)
                elif graph.origin(node.func) in ("builtins.setattr", "builtins.delattr"):
                    _check_change(node, node.args[0], asked, graph, findings)
                else:
                    _check_load(node, node.args[0], asked, graph, findings, None if any_name else own)
            case _:
                continue
    check_kinds(graph, findings)


def _check_load(
    node: ast.expr, owner: ast.expr, name: str, graph: CallGraph, findings: Findings, own: set[str] | None
) -> None:
    """`own`: the program's attributes; None where it makes some while it runs."""
    of_module = canonical(graph.origin(owner) or "") in stock_image().modules
    if name in _INSIDES or (of_module and name.startswith("_") and name != "__name__"):
        findings.error(node, f"a program cannot use {name}", "leave it out", _WHY)
    elif name in _OTHERS and graph.receiver(owner) is None:
        hint = "use it of an object whose class is in this program, in the method that has it as self"
        findings.error(node, f"cannot tell whose {name} this is", hint, _WHY)
    elif name.startswith("_") and not name.endswith("__") and own is not None and name not in own | PUBLIC:
        findings.error(node, f"nothing in this program defines {name}", "use names without _ of others' objects")
    else:
        _check_leading(node, owner, name, graph, findings)


def _check_change(node: ast.expr, owner: ast.expr, name: str, graph: CallGraph, findings: Findings) -> None:
    if (origin := graph.origin(owner)) is not None:
        hint = "set it of an object that you made, or keep it in a variable of your own"
        why = "the firmware and the other programs use it too"
        findings.error(node, f"a program cannot change {name} of {origin.removeprefix('builtins.')}", hint, why)
    else:
        _check_leading(node, owner, name, graph, findings)


def _check_leading(node: ast.expr, owner: ast.expr, name: str, graph: CallGraph, findings: Findings) -> None:
    if name in LEADING and graph.receiver(owner) is None:
        hint = f"give the attribute of your class another name than {name}, or use it in a method as self.{name}"
        findings.error(node, f"cannot tell whose {name} this is: the firmware's objects have it too", hint, _WHY)


def _check_reflection(node: ast.Name, graph: CallGraph, findings: Findings) -> None:
    """getattr and its like must show what they are asked: as a call with its arguments one by one."""
    parent = graph.scopes.parents.get(node)
    called = (graph.origin(node) or "").rpartition(".")[2]
    plain = f"{called}(thing, name{', value' if called == 'setattr' else ''})"
    if not isinstance(parent, ast.Call) or parent.func is not node:
        hint = f"call it where it is needed: {plain}"
        findings.error(node, f"{called} is used as a value: what it would reach cannot be told", hint, _WHY)
    elif any(isinstance(arg, ast.Starred) for arg in parent.args) or parent.keywords:
        findings.error(node, "cannot tell what this reaches", f"write its arguments one by one: {plain}", _WHY)


def _constant_name(call: ast.Call, graph: CallGraph) -> str | None:
    """The name that a call of getattr and its like asks for; None where that is known when it runs."""
    if graph.origin(call.func) not in _VALUES or len(call.args) < 2 or not isinstance(call.args[1], ast.Constant):
        return None
    return call.args[1].value if isinstance(call.args[1].value, str) else None
