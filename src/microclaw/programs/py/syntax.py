"""Syntax that CPython has and MicroPython's compiler, or a rewritten program, has not."""

from __future__ import annotations

import ast
from typing import Final

from microclaw.hardware.boards.micropython.stock import stock_image
from microclaw.programs.py.callgraph import PyCallGraph
from microclaw.programs.py.nodes import contains, decorators_of, run_by
from microclaw.programs.py.scopes import Function
from microclaw.programs.py.source import Findings

_NEW: Final = {
    "Match": ("match", "use if and elif"),
    "TryStar": ("except*", "use except"),
    "TypeAlias": ("a type alias", "leave it out"),
    "TemplateStr": ("a t-string", "use an f-string"),
}
_REAL_TYPES: Final = ("machine.", "neopixel.", "dht.", "onewire.", "ds18x20.", "apa106.", "microclaw.")
_TYPE_TESTS: Final = frozenset({"builtins.isinstance", "builtins.issubclass"})
_WHY: Final = "the firmware counts what its pins do"


def check_syntax(graph: PyCallGraph, findings: Findings) -> None:
    """Find the syntax that a program cannot have."""
    for node in graph.scopes.of:
        new = _NEW.get(type(node).__name__)
        if new is not None:
            findings.error(node, f"MicroPython has no {new[0]}", new[1])
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                _check_function(node, findings)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                is_async = any(generator.is_async for generator in node.generators)
                if is_async or contains(ast.walk(node), ast.Await):
                    findings.error(node, "MicroPython cannot await in a comprehension", "write it as a loop")
            case ast.ClassDef():
                _check_class(node, graph, findings)
            case ast.Call(func=func, args=[_, kinds]) if graph.origin(func) in _TYPE_TESTS:
                _check_type_test(node, kinds, graph, findings)
            case _:
                continue


def _check_type_test(node: ast.Call, kinds: ast.expr, graph: PyCallGraph, findings: Findings) -> None:
    """Refuse a test for a class that the firmware replaces by its own."""
    tested = [kinds]
    if isinstance(kinds, ast.Tuple):
        tested = kinds.elts
    for kind in tested:
        if (graph.origin(kind) or "").startswith(_REAL_TYPES):
            hint = 'ask what it can do instead: hasattr(x, "value")'
            findings.error(node, f"a program cannot test for {ast.unparse(kind)} here", hint, _WHY)


def _check_class(node: ast.ClassDef, graph: PyCallGraph, findings: Findings) -> None:
    for base in node.bases:
        origin = graph.origin(base) or ""
        if origin.startswith(_REAL_TYPES):
            hint = f"keep the {origin.rpartition('.')[2]} in an attribute of your class instead"
            findings.error(base, f"a class cannot inherit from {ast.unparse(base)} here", hint, _WHY)
    if node.keywords:
        findings.error(node, "MicroPython has no metaclasses and class keywords", "leave them out")


def _check_function(node: Function, findings: Findings) -> None:
    if node.args.posonlyargs:
        hint = "leave out the / in the parameter list"
        findings.error(node, "MicroPython has no positional-only parameters", hint)
    elif isinstance(node, ast.AsyncFunctionDef) and contains(run_by(node), ast.Yield):
        hint = "return a list, or write a class with __anext__"
        findings.error(node, "MicroPython has no asynchronous generators", hint)
    for decorator in decorators_of(node):
        if "asm_" in ast.unparse(decorator):
            findings.error(decorator, "a program cannot hold assembler", "use @micropython.native, or plain Python")
        if "viper" in ast.unparse(decorator):
            _check_pointers(node, findings)


def _check_pointers(node: Function, findings: Findings) -> None:
    """Refuse pointers: in viper code these names are types, whatever else the program calls so.

    Annotations are in no scope.
    """
    for inner in ast.walk(node):
        match inner:
            case ast.Name(id=name) | ast.arg(arg=name) if name.startswith("ptr"):
                refusal = stock_image().refused.get(f"builtins.{name}")
                if refusal is not None:
                    findings.error(inner, f"a program cannot use {name}", refusal.instead, refusal.why)
            case _:
                continue
