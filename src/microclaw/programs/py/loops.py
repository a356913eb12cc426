"""Which loops wait for something outside, and which only compute: the first must let others run, the second end."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Final

from microclaw.hardware.boards.micropython.stock import stock_image
from microclaw.programs.py.callgraph import PyCallGraph
from microclaw.programs.py.nodes import Loop, constant_integers, contains, run_by

# Rounds that need no guard.
SHORT_LOOP: Final = 64
YIELDS: Final = ast.Yield | ast.YieldFrom
_LEAVES: Final = ast.Break | ast.Return | ast.Raise


def polls(loop: ast.While, graph: PyCallGraph) -> bool:
    """Return True if a `while` loop may go on until something outside changes: it does not just compute to an end."""
    nodes = list(run_by(loop))
    if contains(nodes, YIELDS):
        return False
    if _looks_outside((*nodes, *ast.walk(loop.test)), graph):
        return True
    if isinstance(loop.test, ast.Constant):
        return _is_endless(loop) and not contains(nodes, _LEAVES)
    changed = _changed_names(nodes)
    for node in ast.walk(loop.test):
        if isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node) in changed:
            return False
    return True


def _changed_names(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the names that are set here, and the objects whose methods are called."""
    changed = set()
    for node in nodes:
        if isinstance(getattr(node, "ctx", None), ast.Store):
            changed.add(ast.unparse(node))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            changed.add(ast.unparse(node.func.value))
    return changed


def only_keeps_alive(loop: ast.While) -> bool:
    """Return True if a loop does nothing, and forever: callbacks do the program's work."""
    return _is_endless(loop) and all(isinstance(statement, ast.Pass | ast.Continue) for statement in loop.body)


def only_computes(loop: ast.While, graph: PyCallGraph) -> bool:
    """Return True if a loop runs forever and looks at nothing outside: nobody would see what it does."""
    if not _is_endless(loop):
        return False
    nodes = list(run_by(loop))
    return not contains(nodes, _LEAVES | YIELDS | ast.Await) and not _looks_outside(nodes, graph)


def _looks_outside(nodes: Iterable[ast.AST], graph: PyCallGraph) -> bool:
    """Return True if there is a call that does more than compute."""
    return any(isinstance(node, ast.Call) and not _is_pure(node, graph) for node in nodes)


def is_short(loop: Loop) -> bool:
    """Return True if a loop has few rounds for sure, and no other loop in it."""
    if not isinstance(loop, ast.For) or contains(run_by(loop), Loop):
        return False
    match loop.iter:
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return len(parts) <= SHORT_LOOP
        case ast.Call(func=ast.Name(id="range"), args=[_] | [_, _] as args):
            numbers = constant_integers(args)
            return numbers is not None and max(map(abs, numbers)) <= SHORT_LOOP // len(args)
        case _:
            return False


def _is_endless(loop: ast.While) -> bool:
    return isinstance(loop.test, ast.Constant) and bool(loop.test.value)


def _is_pure(call: ast.Call, graph: PyCallGraph) -> bool:
    stock = stock_image()
    origin = graph.origin(call.func)
    if origin is not None:
        top, _, name = origin.partition(".")
        return top in ("math", "struct") or (top == "builtins" and name in stock.computing)
    if not isinstance(call.func, ast.Attribute):
        return False
    name = call.func.attr
    return name in stock.computing_methods and not graph.methods.get(name)
