"""Syntax that CPython has and MicroPython's compiler, or a rewritten program, has not."""

from __future__ import annotations

import ast
from typing import Final

from microclaw.hardware.boards.micropython.stock import stock_image
from microclaw.programs.py.callgraph import PyCallGraph, run_by
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
    for node in graph.scopes.of:
        new = _NEW.get(type(node).__name__)
        if new is not None:
            findings.error(node, f"MicroPython has no {new[0]}", new[1])
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                _check_function(node, findings)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                if any(g.is_async for g in node.generators) or any(isinstance(n, ast.Await) for n in ast.walk(node)):
                    findings.error(node, "MicroPython cannot await in a comprehension", "write it as a loop")
            case ast.ClassDef():
                _check_class(node, graph, findings)
            case ast.Call(func=func, args=[_, kinds]) if graph.origin(func) in _TYPE_TESTS:
                for kind in kinds.elts if isinstance(kinds, ast.Tuple) else [kinds]:
                    if (graph.origin(kind) or "").startswith(_REAL_TYPES):
                        hint = 'ask what it can do instead: hasattr(x, "value")'
                        findings.error(node, f"a program cannot test for {ast.unparse(kind)} here", hint, _WHY)
            case _:
                continue


def _check_class(node: ast.ClassDef, graph: PyCallGraph, findings: Findings) -> None:
    for base in node.bases:
        if (origin := graph.origin(base) or "").startswith(_REAL_TYPES):
            hint = f"keep the {origin.rpartition('.')[2]} in an attribute of your class instead"
            findings.error(base, f"a class cannot inherit from {ast.unparse(base)} here", hint, _WHY)
    if node.keywords:
        findings.error(node, "MicroPython has no metaclasses and class keywords", "leave them out")


def _check_function(node: Function, findings: Findings) -> None:
    if node.args.posonlyargs:
        hint = "leave out the / in the parameter list"
        findings.error(node, "MicroPython has no positional-only parameters", hint)
    elif isinstance(node, ast.AsyncFunctionDef) and any(isinstance(n, ast.Yield) for n in run_by(node)):
        hint = "return a list, or write a class with __anext__"
        findings.error(node, "MicroPython has no asynchronous generators", hint)
    for decorator in [] if isinstance(node, ast.Lambda) else node.decorator_list:
        if "asm_" in ast.unparse(decorator):
            findings.error(decorator, "a program cannot hold assembler", "use @micropython.native, or plain Python")
        if "viper" in ast.unparse(decorator):
            _check_pointers(node, findings)


def _check_pointers(node: Function, findings: Findings) -> None:
    """In viper code these names are types, whatever else the program calls so; annotations are in no scope."""
    for each in ast.walk(node):
        if isinstance(each, ast.Name):
            name = each.id
        elif isinstance(each, ast.arg):
            name = each.arg
        else:
            name = ""
        if name.startswith("ptr"):
            refusal = stock_image().refused.get(f"builtins.{name}")
        else:
            refusal = None
        if refusal is not None:
            findings.error(each, f"a program cannot use {name}", refusal.instead, refusal.why)
