"""Syntax that CPython has and MicroPython's compiler, or a rewritten program, has not."""

from __future__ import annotations

import ast
from typing import Final

from microclaw.py.callgraph import CallGraph
from microclaw.py.source import Findings
from microclaw.py.stock import stock_image

_NEW: Final = {"TypeAlias": "a type alias", "TemplateStr": "a t-string", "TryStar": "except*", "Match": "match"}
_INSTEAD: Final = {
    "Match": "use if and elif",
    "TryStar": "use except",
    "TypeAlias": "leave it out",
    "TemplateStr": "use an f-string",
}
_REAL_TYPES: Final = ("machine.", "neopixel.", "dht.", "onewire.", "ds18x20.", "apa106.", "microclaw.")


def check_syntax(graph: CallGraph, findings: Findings) -> None:
    for node in graph.scopes.of:
        kind = type(node).__name__
        if kind in _NEW:
            findings.error(node, f"MicroPython has no {_NEW[kind]}", _INSTEAD[kind])
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and node.args.posonlyargs:
            findings.error(
                node, "MicroPython has no positional-only parameters", "leave out the / in the parameter list"
            )
        elif isinstance(node, ast.AsyncFunctionDef) and any(isinstance(n, ast.Yield) for n in graph.own_nodes(node)):
            findings.error(
                node, "MicroPython has no asynchronous generators", "return a list, or write a class with __anext__"
            )
        elif isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            if any(g.is_async for g in node.generators) or any(isinstance(n, ast.Await) for n in ast.walk(node)):
                findings.error(node, "MicroPython cannot await in a comprehension", "write it as a loop")
        elif isinstance(node, ast.ClassDef):
            _check_class(node, graph, findings)
        elif isinstance(node, ast.Call):
            _check_call(node, graph, findings)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            _check_assembler(node, findings)
            _check_pointers(node, findings)


def _check_class(node: ast.ClassDef, graph: CallGraph, findings: Findings) -> None:
    for base in node.bases:
        if (origin := graph.origin(base) or "").startswith(_REAL_TYPES):
            hint = f"keep the {origin.rpartition('.')[2]} in an attribute of your class instead"
            findings.error(
                base,
                f"a class cannot inherit from {ast.unparse(base)} here",
                hint,
                "the firmware counts what its pins do",
            )
    if node.keywords:
        findings.error(node, "MicroPython has no metaclasses and class keywords", "leave them out")


def _check_call(node: ast.Call, graph: CallGraph, findings: Findings) -> None:
    if graph.origin(node.func) not in ("builtins.isinstance", "builtins.issubclass") or len(node.args) != 2:
        return
    kinds = node.args[1].elts if isinstance(node.args[1], ast.Tuple) else [node.args[1]]
    for kind in kinds:
        if (graph.origin(kind) or "").startswith(_REAL_TYPES):
            hint = 'ask what it can do instead: hasattr(x, "value")'
            findings.error(
                node,
                f"a program cannot test for {ast.unparse(kind)} here",
                hint,
                "the firmware counts what its pins do",
            )


def _check_assembler(node: ast.FunctionDef | ast.AsyncFunctionDef, findings: Findings) -> None:
    for decorator in node.decorator_list:
        if "asm_" in ast.unparse(decorator):
            findings.error(decorator, "a program cannot hold assembler", "use @micropython.native, or plain Python")


def _check_pointers(node: ast.FunctionDef | ast.AsyncFunctionDef, findings: Findings) -> None:
    """In viper code these names are types, whatever else the program calls so; annotations are in no scope."""
    if not any("viper" in ast.unparse(decorator) for decorator in node.decorator_list):
        return
    refused = stock_image().refused
    for each in ast.walk(node):
        name = each.id if isinstance(each, ast.Name) else each.arg if isinstance(each, ast.arg) else ""
        if (refusal := refused.get(f"builtins.{name}")) is not None and name.startswith("ptr"):
            findings.error(each, f"a program cannot use {name}", refusal.instead, refusal.why)
