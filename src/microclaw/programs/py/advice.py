"""Warnings about what is rarely meant: secrets, lists that grow forever, waits in tasks, hidden names."""

from __future__ import annotations

import ast
import re
from typing import Final

from microclaw.hardware.boards.micropython.stock import stock_image
from microclaw.programs.py.callgraph import PyCallGraph
from microclaw.programs.py.nodes import run_by
from microclaw.programs.py.source import Findings
from microclaw.programs.py.waits import Waits

_SECRET: Final = re.compile(r"passw|passwd|secret|api_?key|token|psk|wifi_?(key|pw)", re.IGNORECASE)
_GROW: Final = frozenset({"append", "extend", "insert", "add"})
_SHRINK: Final = frozenset({"pop", "clear", "remove", "popleft", "discard"})
_PLACEHOLDER: Final = re.compile(r"your|xxx|change|example|<.*>|^\W*$", re.IGNORECASE)


def warn(waits: Waits, findings: Findings) -> None:
    """Warn about what a program rarely means."""
    for node in waits.graph.scopes.of:
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name) | ast.Attribute(attr=name)], value=ast.Constant(value=str() as text)
            ):
                if _SECRET.search(name) and text and not _PLACEHOLDER.search(text):
                    hint = "leave it out: whoever has the source or the board can read it"
                    findings.warn(node, f"{name} looks like a secret in the source", hint)
            case ast.While(test=ast.Constant(value=True | 1)):
                _warn_growing(node, waits.graph, findings)
            case ast.Call():
                _warn_sleeping_task(node, waits, findings)
            case _:
                continue
    for name, bindings in waits.graph.scopes.module.bindings.items():
        is_builtin = name in stock_image().builtins and not name.startswith("__")
        if is_builtin and bindings and bindings[0].kind != "import":
            message = f"{name} is also a function of Python, which this hides"
            findings.warn(bindings[0].node, message, f"use another name than {name}")


def _warn_sleeping_task(call: ast.Call, waits: Waits, findings: Findings) -> None:
    """Warn about a wait in a task that would hold up all tasks in plain MicroPython."""
    plan = waits.plans.get(call)
    if plan is None or plan.kind != "environment" or plan.name == "run":
        return
    owner = waits.graph.by_owner(call)
    if plan.waits and owner is not None and owner.is_async:
        hint = "write await asyncio.sleep(...) where only this task shall wait"
        findings.warn(call, "only this task waits here; plain MicroPython would hold up all of them", hint)


def _warn_growing(loop: ast.While, graph: PyCallGraph, findings: Findings) -> None:
    """Warn about a list that an endless loop only adds to. An object of a class of the program is none."""
    grown: dict[str, ast.AST] = {}
    shrunk: set[str] = set()
    for node in run_by(loop):
        match node:
            case ast.Call(func=ast.Attribute(value=owner, attr=attr)) if attr in _SHRINK:
                shrunk.add(ast.unparse(owner))
            case ast.Call(func=ast.Attribute(value=owner, attr=attr)) if (
                attr in _GROW and graph.receiver(owner) is None
            ):
                grown.setdefault(ast.unparse(owner), node)
            case ast.Assign(targets=targets):
                shrunk.update(map(ast.unparse, targets))
            case ast.Delete(targets=targets):
                shrunk.update(map(_deleted_from, targets))
            case ast.Return() | ast.Break():
                return
            case _:
                continue
    for name, place in grown.items():
        if name not in shrunk:
            hint = f"drop old values: if len({name}) > 100: {name}.pop(0)"
            findings.warn(place, f"{name} grows forever: the board's memory will be full", hint)


def _deleted_from(target: ast.expr) -> str:
    """Return the name of what a `del` makes smaller: of `del x[0]` it is x."""
    if isinstance(target, ast.Subscript):
        return ast.unparse(target.value)
    return ast.unparse(target)
