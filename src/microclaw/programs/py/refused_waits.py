"""Refuses waits where no coroutine can be: generators, properties, special methods, what a library calls."""

from __future__ import annotations

import ast
from typing import Final

from microclaw.hardware.boards.micropython.stock import stock_image
from microclaw.programs.py.blocking_waits import LIMIT_US, TooLong, cannot_be_coroutine
from microclaw.programs.py.callgraph import WAITING_ORIGINS, Callable, Class, PyCallGraph
from microclaw.programs.py.nodes import call_values, decorators_of, named_values, run_by
from microclaw.programs.py.plans import LibraryCalls
from microclaw.programs.py.source import Findings, node_line
from microclaw.programs.py.waits import Waits

_CALLS_FIRST: Final = frozenset({"builtins.map", "builtins.filter"})
_CALLS_KEY: Final = frozenset({"builtins.sorted", "builtins.min", "builtins.max"})


def check_waits(waits: Waits, library: LibraryCalls, findings: Findings, too_long: TooLong) -> None:
    """Find the waits that a program cannot have; `too_long` has the reason why a function must not block."""
    for function, place in waits.waiting.items():
        refused = cannot_be_coroutine(function)
        if refused is not None:
            kind, hint = refused
            wait = "a loop that waits for something outside"
            if isinstance(place, ast.Call):
                wait = ast.unparse(place.func)
            findings.error(place, f"{kind} {function.name} waits here: {wait}", hint, _reason(function, too_long))
    inits = [function for function in waits.waiting if function.name == "__init__"]
    # A dict keeps the order of the program.
    classes: dict[Class, None] = {}
    for init in inits:
        if init.owner is not None:
            classes |= dict.fromkeys(init.owner.with_ancestors(heirs=True))
    for defined in classes:
        _check_waiting_init(defined, findings)
    if inits:
        _check_class_at_run_time(waits, findings)
    for call in waits.graph.calls:
        _check_arguments(call, waits, library, findings)


def _reason(function: Callable, too_long: TooLong) -> str | None:
    """Return the reason why a function must not hold up the board meanwhile, with the line of that wait."""
    wait = too_long.get(function.node)
    if wait is None:
        return None
    return f"line {node_line(wait.place)}: {wait.reason}; up to {LIMIT_US // 1000} ms may be waited there"


def _check_waiting_init(made: Class, findings: Findings) -> None:
    name = made.node.name
    is_native = any(ancestor.native_bases for ancestor in made.with_ancestors())
    for init in made.methods.get("__init__", ()):
        if is_native and not _calls_init(init):
            hint = "call super().__init__(...) in it"
            message = f"{name}'s __init__ waits, and does not make the object that it inherits from"
            findings.error(init.node, message, hint)
    for decorator in made.node.decorator_list:
        findings.error(decorator, f"{name} has a decorator, and its __init__ waits", "leave the decorator out")
    for place in made.escapes:
        hint = "make the object where it is needed, or move the wait out of __init__"
        findings.error(place, f"{name} is used as a value, and its __init__ waits", hint)


def _calls_init(init: Callable) -> bool:
    """Return True if a method calls the `__init__` of a class that it inherits from."""
    for node in run_by(init.node):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "__init__":
            return True
    return False


def _check_class_at_run_time(waits: Waits, findings: Findings) -> None:
    """Refuse making an object of a class that only the run knows: `cls(...)`, `type(x)(...)`, `x.__class__(...)`."""
    graph = waits.graph
    parameters = _class_parameters(graph)
    for node in graph.scopes.of:
        match node:
            case ast.Attribute(attr="__class__"):
                is_class = True
            case ast.Call(func=func):
                is_class = graph.origin(func) == "builtins.type"
            case ast.Name():
                is_class = any(binding.node in parameters for binding in graph.scopes.bindings(node))
            case _:
                is_class = False
        if is_class and not isinstance(graph.scopes.parents.get(node), ast.Attribute | ast.Compare):
            hint = "name the class itself, or move the wait out of __init__"
            findings.error(node, "this may make an object of a class whose __init__ waits", hint)


def _class_parameters(graph: PyCallGraph) -> set[ast.arg]:
    """Return the first parameters of class methods."""
    parameters: set[ast.arg] = set()
    for function in graph.functions.values():
        origins = map(graph.origin, decorators_of(function.node))
        if "builtins.classmethod" in origins:
            parameters.update(function.node.args.args[:1])
    return parameters


def _check_arguments(call: ast.Call, waits: Waits, library: LibraryCalls, findings: Findings) -> None:
    """Refuse giving a function that waits to a library that would call it."""
    called_back = _called_back(call, waits.graph)
    if called_back is not None:
        arguments = called_back
        hint = "call it before, and give the result"
    elif _only_keeps(call, waits.graph):
        return
    else:
        arguments = call_values(call)
        hint = "give it a function that does not wait"
    handlers = list(library.handlers(call))
    for value in arguments:
        if value not in handlers and _names_waiting(value, waits, unknown=called_back is not None):
            findings.error(value, f"{ast.unparse(value)} waits, and {ast.unparse(call.func)} cannot wait for it", hint)


def _called_back(call: ast.Call, graph: PyCallGraph) -> list[ast.expr] | None:
    """Return the arguments that a library calls for each value, as the key of sorted(); None if it does not."""
    origin = graph.origin(call.func)
    is_sort = isinstance(call.func, ast.Attribute) and call.func.attr == "sort"
    if origin in _CALLS_KEY or (is_sort and not graph.reach(call.func).functions):
        return named_values(call, "key")
    if origin in _CALLS_FIRST:
        return call.args[:1]
    return None


def _only_keeps(call: ast.Call, graph: PyCallGraph) -> bool:
    """Return True if a call is the program's own, or calls nothing that it is given."""
    reach = graph.reach(call.func)
    if reach.functions or reach.made or not reach.native:
        return True
    origin = graph.origin(call.func) or ""
    name = origin.removeprefix("builtins.")
    if isinstance(call.func, ast.Attribute):
        name = call.func.attr
    stock = stock_image()
    return name in stock.keeping or (name in stock.looking and origin == f"builtins.{name}")


def _names_waiting(value: ast.expr, waits: Waits, *, unknown: bool) -> bool:
    if not isinstance(value, ast.Name | ast.Attribute | ast.Lambda):
        return False
    if waits.graph.origin(value) in WAITING_ORIGINS:
        return True
    reach = waits.graph.reach(value)
    if reach.unknown and not unknown:
        return False
    return any(function in waits.waiting for function in reach.functions)
