"""Refuses waits where no coroutine can be: generators, properties, special methods, what a library calls."""

from __future__ import annotations

import ast
from typing import Final

from microclaw.hardware.boards.micropython.stock import stock_image
from microclaw.programs.py.callgraph import WAITING_ORIGINS, Callable, Class
from microclaw.programs.py.plans import LibraryCalls
from microclaw.programs.py.source import Findings
from microclaw.programs.py.waits import Waits

_CALLS_FIRST: Final = frozenset({"builtins.map", "builtins.filter"})
_CALLS_KEY: Final = frozenset({"builtins.sorted", "builtins.min", "builtins.max"})


def check_waits(waits: Waits, library: LibraryCalls, findings: Findings) -> None:
    for function, place in waits.waiting.items():
        refused = _cannot_wait(function)
        if refused is not None:
            what, hint = refused
            if isinstance(place, ast.Call):
                why = ast.unparse(place.func)
            else:
                why = "a loop that waits for something outside"
            findings.error(place, f"{what} {function.name} waits here: {why}", hint)
    inits = [function for function in waits.waiting if function.name == "__init__"]
    owners = [init.owner for init in inits if init.owner is not None]
    for made in dict.fromkeys(one for owner in owners for one in owner.with_ancestors(heirs=True)):
        _check_waiting_init(made, findings)
    if inits:
        _check_class_at_run_time(waits, findings)
    for call in waits.graph.calls:
        _check_arguments(call, waits, library, findings)


def _cannot_wait(function: Callable) -> tuple[str, str] | None:
    if function.is_generator:
        return "the generator", "return a list instead of using yield, or wait where its values are used"
    if function.is_property:
        return "the property", "make it a method: remove @property and call it with ()"
    if function.is_compiled:
        return "the native or viper function", "leave the decorator out, or wait in the function that calls it"
    if function.name.startswith("__") and function.name.endswith("__") and function.name != "__init__":
        return "the special method", "wait in a method of another name, and call that"
    return None


def _check_waiting_init(made: Class, findings: Findings) -> None:
    name = made.node.name
    for base in made.native_bases:
        hint = "keep such an object in an attribute instead of inheriting from it"
        findings.error(made.node, f"{name}'s __init__ waits, and it inherits from {ast.unparse(base)}", hint)
    for decorator in made.node.decorator_list:
        findings.error(decorator, f"{name} has a decorator, and its __init__ waits", "leave the decorator out")
    for place in made.escapes:
        hint = "make the object where it is needed, or move the wait out of __init__"
        findings.error(place, f"{name} is used as a value, and its __init__ waits", hint)


def _check_class_at_run_time(waits: Waits, findings: Findings) -> None:
    """Refuse making an object of a class that only the run knows: `cls(...)`, `type(x)(...)`, `x.__class__(...)`."""
    graph = waits.graph
    parameters = {
        arg
        for node, function in graph.functions.items()
        if any(graph.origin(one) == "builtins.classmethod" for one in getattr(node, "decorator_list", ()))
        for arg in function.node.args.args[:1]
    }
    for node in graph.scopes.of:
        match node:
            case ast.Attribute(attr="__class__"):
                found = True
            case ast.Call(func=func):
                found = graph.origin(func) == "builtins.type"
            case ast.Name():
                found = any(bound.node in parameters for bound in graph.scopes.bindings(node))
            case _:
                found = False
        if found and not isinstance(graph.scopes.parents.get(node), ast.Attribute | ast.Compare):
            hint = "name the class itself, or move the wait out of __init__"
            findings.error(node, "this may make an object of a class whose __init__ waits", hint)


def _check_arguments(call: ast.Call, waits: Waits, library: LibraryCalls, findings: Findings) -> None:
    """Refuse giving a function that waits to a library that would call it."""
    reach = waits.graph.reach(call.func)
    origin = waits.graph.origin(call.func) or ""
    stock = stock_image()
    if isinstance(call.func, ast.Attribute):
        name = call.func.attr
    else:
        name = origin.removeprefix("builtins.")
    calls_key = origin in _CALLS_KEY or (name == "sort" and not reach.functions)
    given = [*call.args, *(k.value for k in call.keywords)]
    hint = "give it a function that does not wait"
    calls_back = calls_key or origin in _CALLS_FIRST
    if calls_back:
        if calls_key:
            given = [k.value for k in call.keywords if k.arg == "key"]
        else:
            given = call.args[:1]
        hint = "call it before, and give the result"
    elif reach.functions or reach.made or not reach.native:
        return
    if not calls_back and (name in stock.keeping or (name in stock.looking and origin == f"builtins.{name}")):
        return
    handlers = list(library.handlers(call))
    for value in given:
        if value not in handlers and _names_waiting(value, waits, unknown=calls_back):
            findings.error(value, f"{ast.unparse(value)} waits, and {ast.unparse(call.func)} cannot wait for it", hint)


def _names_waiting(value: ast.expr, waits: Waits, *, unknown: bool) -> bool:
    if not isinstance(value, ast.Name | ast.Attribute | ast.Lambda):
        return False
    reach = waits.graph.reach(value)
    is_waiting = any(f in waits.waiting for f in reach.functions) and (unknown or not reach.unknown)
    return is_waiting or waits.graph.origin(value) in WAITING_ORIGINS
