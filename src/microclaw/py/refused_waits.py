"""Refuses waits where no coroutine can be: generators, properties, special methods, what a library calls."""

from __future__ import annotations

import ast
from typing import Final

from microclaw.py.callgraph import WAITING_ORIGINS, Callable, CallGraph, Class
from microclaw.py.plans import LibraryCalls
from microclaw.py.source import Findings
from microclaw.py.waits import Waits

_STORES: Final = frozenset(
    ["append", "insert", "setdefault", "add", "put", "put_nowait", "extend", "appendleft", "update"]
)
_HARMLESS: Final = frozenset(
    [
        "print",
        "str",
        "repr",
        "id",
        "callable",
        "isinstance",
        "type",
        "list",
        "tuple",
        "dict",
        "set",
        "enumerate",
        "zip",
        "hasattr",
        "len",
        "bool",
        "hash",
        "setattr",
    ]
)
_CALLS_BACK: Final = frozenset({"builtins.sorted", "builtins.min", "builtins.max", "builtins.map", "builtins.filter"})
_COPY: Final = "call it before, and give the result"


def check_waits(waits: Waits, library: LibraryCalls, findings: Findings) -> None:
    for function, cause in waits.waiting.items():
        what, hint = _cannot_wait(function)
        if what is not None:
            findings.error(cause.node, f"{what} {function.name} waits here: {cause.text}", hint)
        if function.name == "__init__" and function.owner is not None:
            _check_waiting_init(function.owner, findings)
    if any(function.name == "__init__" for function in waits.waiting):
        _check_class_at_run_time(waits, findings)
    _check_arguments(waits, library, findings)


def _check_waiting_init(made: Class, findings: Findings) -> None:
    for one in made.family():
        for base in one.native_bases:
            hint = "keep such an object in an attribute instead of inheriting from it"
            findings.error(
                one.node, f"{one.node.name}'s __init__ waits, and it inherits from {ast.unparse(base)}", hint
            )
        for decorator in one.node.decorator_list:
            findings.error(
                decorator, f"{one.node.name} has a decorator, and its __init__ waits", "leave the decorator out"
            )
        for place in one.escapes:
            hint = "make the object where it is needed, or move the wait out of __init__"
            findings.error(place, f"{one.node.name} is used as a value, and its __init__ waits", hint)


def _check_class_at_run_time(waits: Waits, findings: Findings) -> None:
    """Refuse making an object of a class that only the run knows: `cls(...)`, `type(x)(...)`, `x.__class__(...)`."""
    graph = waits.graph
    parameters = _class_parameters(graph)
    for node in graph.scopes.of:
        parent = graph.scopes.parents.get(node)
        found = isinstance(node, ast.Attribute) and node.attr == "__class__"
        found = found or (isinstance(node, ast.Call) and graph.origin(node.func) == "builtins.type")
        if isinstance(node, ast.Name) and (known := graph.scopes.of[node].find(node.id)) is not None:
            found = any(b.node in parameters for b in known[1])
        if found and not isinstance(parent, ast.Attribute | ast.Compare):
            hint = "name the class itself, or move the wait out of __init__"
            findings.error(node, "this may make an object of a class whose __init__ waits", hint)


def _class_parameters(graph: CallGraph) -> list[ast.arg]:
    """The first parameters of class methods."""
    nodes = [n for n in graph.functions if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    own = [n for n in nodes if any(graph.origin(d) == "builtins.classmethod" for d in n.decorator_list)]
    return [n.args.args[0] for n in own if n.args.args]


def _check_arguments(waits: Waits, library: LibraryCalls, findings: Findings) -> None:
    """Refuse giving a function that waits to a library that would call it."""
    for call in waits.graph.calls:
        reach = waits.graph.reach(call.func)
        origin = waits.graph.origin(call.func)
        name = call.func.attr if isinstance(call.func, ast.Attribute) else (origin or "").removeprefix("builtins.")
        calls_back = origin in _CALLS_BACK or (name == "sort" and not reach.functions)
        if (reach.functions or reach.made or not reach.native) and not calls_back:
            continue
        if name in _STORES or (origin == f"builtins.{name}" and name in _HARMLESS):
            continue
        handlers = list(library.handlers(call))
        for value in _called_back(call, origin) if calls_back else [*call.args, *(k.value for k in call.keywords)]:
            if value not in handlers and _names_waiting(value, waits, unknown=calls_back):
                message = f"{ast.unparse(value)} waits, and {ast.unparse(call.func)} cannot wait for it"
                hint = _COPY if calls_back else "give it a function that does not wait"
                findings.error(value, message, hint)


def _names_waiting(value: ast.expr, waits: Waits, *, unknown: bool) -> bool:
    if isinstance(value, ast.Name | ast.Attribute) and waits.graph.origin(value) in WAITING_ORIGINS:
        return True
    if not isinstance(value, ast.Name | ast.Attribute | ast.Lambda):
        return False
    reach = waits.graph.reach(value)
    if reach.unknown and not unknown:
        return False
    return any(f in waits.waiting for f in reach.functions)


def _cannot_wait(function: Callable) -> tuple[str | None, str]:
    name = function.name
    if function.is_generator:
        return "the generator", "return a list instead of using yield, or wait where its values are used"
    if function.is_property:
        return "the property", "make it a method: remove @property and call it with ()"
    if function.is_compiled:
        return "the native or viper function", "leave the decorator out, or wait in the function that calls it"
    if name.startswith("__") and name.endswith("__") and name != "__init__":
        return "the special method", "wait in a method of another name, and call that"
    return None, ""


def _called_back(call: ast.Call, origin: str | None) -> list[ast.expr]:
    """What sorted, map and the like call: the key, or the first argument."""
    if origin in ("builtins.map", "builtins.filter"):
        return call.args[:1]
    return [k.value for k in call.keywords if k.arg == "key"]
