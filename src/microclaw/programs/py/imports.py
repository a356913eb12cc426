"""Checks that the stock image has what a program imports and names, and that programs may use it.

Attributes of pins, PWM and ADC objects, too: one that the class lacks is refused where the class is surely known.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable
from typing import Final

from microclaw.hardware.boards.micropython.stock import stock_image
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.programs.py.callgraph import PyCallGraph, is_none
from microclaw.programs.py.drivers import driver_modules
from microclaw.programs.py.rewrite import DROPPED_MODULES
from microclaw.programs.py.scopes import Binding, canonical
from microclaw.programs.py.source import Findings, node_line

_NEAR: Final = 0.7
_TWO_NAMES: Final = {"machine.Pin.INPUT_PULLUP": ("IN", "PULL_UP"), "machine.Pin.INPUT_PULLDOWN": ("IN", "PULL_DOWN")}
_CONSTANTS: Final = ("True", "False", "None")
_WAITING_MODULES: Final = frozenset({"time", "asyncio", "microclaw"})


def check_imports(graph: PyCallGraph, board: BoardProfile, findings: Findings) -> tuple[str, ...]:
    """The modules that the program imports, sorted; what it cannot have goes to the findings."""
    found: set[str] = set()
    asking = [call for call in graph.calls if graph.origin(call.func) in _ASKS]
    asked = {arg.value for call in asking for arg in call.args[1:2] if isinstance(arg, ast.Constant)}
    for node in graph.scopes.of:
        match node:
            case ast.Import(names=aliases):
                for alias in aliases:
                    found |= _check_module(alias.name, node, graph, findings)
                    if "." in alias.name and not findings.errors:
                        findings.error(node, f"no module {alias.name} on the board", _hint(alias.name))
            case ast.ImportFrom():
                found |= _check_from(node, graph, findings)
            case ast.Name(ctx=ast.Load()) | ast.Attribute(ctx=ast.Load()):
                _check_name(node, board, graph, findings)
                if isinstance(node, ast.Attribute) and node.attr not in asked:
                    _check_member(node, graph, findings)
            case ast.Call():
                _check_call(node, graph, findings)
            case _:
                continue
    for scope in graph.scopes.by_node.values():
        for name, bindings in scope.bindings.items():
            _check_rebound(name, bindings, findings)
    return tuple(sorted(found))


def _check_from(node: ast.ImportFrom, graph: PyCallGraph, findings: Findings) -> set[str]:
    if node.level:
        findings.error(node, "a program is one file: it cannot import another one", "put everything into this file")
        return set()
    found = _check_module(node.module or "", node, graph, findings)
    if node.names[0].name == "*" and not found:
        findings.error(node, f"cannot tell what {node.module} would bring", "name what you need of it")
    known = stock_image().modules.get(canonical(node.module or ""), frozenset())
    for alias in node.names if found else ():
        if alias.name not in known and not graph.scopes.is_caught(node, "ImportError"):
            findings.error(node, f"the module {node.module} has no {alias.name}", meant(alias.name, known))
    return found


def _check_module(name: str, node: ast.AST, graph: PyCallGraph, findings: Findings) -> set[str]:
    module = canonical(name)
    stock = stock_image()
    refused = stock.refused.get(module) or stock.refused.get(module.partition(".")[0])
    if module in DROPPED_MODULES:
        return set()
    if refused is not None:
        findings.error(node, f"a program cannot use {name}", refused.instead, refused.why)
    elif module in stock.modules:
        return {module}
    elif not graph.scopes.is_caught(node, "ImportError"):
        findings.error(node, f"the board's MicroPython has no module {name}", _hint(module))
    return set()


def _hint(module: str) -> str:
    return (
        meant(module, (*stock_image().modules, *driver_modules()))
        or "put the code that you need from it into this file"
    )


def _check_name(node: ast.Name | ast.Attribute, board: BoardProfile, graph: PyCallGraph, findings: Findings) -> None:
    """A name of a module that is not there or not for programs, or that nothing defines."""
    stock = stock_image()
    origin = graph.origin(node)
    if origin is None:
        return
    module, _, name = origin.partition(".")
    owner, _, last = origin.rpartition(".")
    members = stock.members.get(owner, stock.modules.get(owner) if "." not in owner else None)
    if origin in _WAITING_MODULES and not isinstance(graph.scopes.parents.get(node), ast.Attribute):
        hint = f"name what you need of it: {origin}.sleep"
        findings.error(node, f"the module {origin} is used as a value: its waits could not be told", hint)
    elif "." in origin and (refused := stock.refused.get(origin)) is not None:
        findings.error(node, f"a program cannot use {ast.unparse(node)}", refused.instead, refused.why)
    elif module == "builtins":
        if name not in stock.builtins and not graph.scopes.is_caught(node, "NameError"):
            findings.error(node, *_undefined(name, node, graph))
    elif not isinstance(node, ast.Attribute) or module not in stock.modules:
        return
    elif name in stock.lacking.get(board.chip.upper(), ()):
        findings.error(node, f"the {board.chip} has no {origin}", "use another class, or another board")
    elif members is not None and last not in members and not name.startswith("__"):
        shown = ast.unparse(node.value)
        two = ", ".join(f"{shown}.{one}" for one in _TWO_NAMES.get(origin, ()))
        instead = f"write {two}" if two else meant(last, members, f"{shown}.")
        findings.error(node, f"{shown} has no {node.attr}", instead)


def _undefined(name: str, node: ast.AST, graph: PyCallGraph) -> tuple[str, str | None]:
    """The message about a name that nothing defines, and the name that may have been meant."""
    if name.startswith("__"):
        return f"MicroPython has no {name} for a program", None
    other = stock_image().other_names.get(name)
    if other is not None:
        return f"MicroPython has no {name}", f"use {other}"
    if name in stock_image().modules:
        return f"{name} is not imported", f"put import {name} at the top"
    home = next((m for m in ("machine", "time", "microclaw") if name in stock_image().modules[m]), None)
    if home is not None:
        return f"nothing defines {name}", f"from {home} import {name}"
    near = nearest(name, graph.scopes.visible(node), _CONSTANTS, stock_image().builtins)
    return f"nothing defines {name}", f"did you mean {near}?" if near else None


def meant(name: str, known: Iterable[str], before: str = "") -> str | None:
    """The hint for a name that is none of these."""
    near = nearest(name, known)
    if near:
        return f"did you mean {before}{near}?"
    return None


def nearest(name: str, *known: Iterable[str]) -> str | None:
    """The name that was meant, of another case, a few letters, or a longer constant (OUTPUT for OUT); None: no idea.

    Of names that are as near, earlier groups count.
    """
    plain = {word: word.casefold().replace("_", "") for group in known for word in sorted(group)}
    asked = name.casefold().replace("_", "")
    same = next((word for word, form in plain.items() if form == asked), None)
    if same is not None:
        return same
    near = difflib.get_close_matches(asked, plain.values(), n=1, cutoff=_NEAR)
    if near:
        return next(word for word, form in plain.items() if form == near[0])
    constants = [word for word in plain if word.isupper() and name.isupper()]
    return max((word for word in constants if asked.startswith(plain[word])), key=len, default=None)


def _check_call(call: ast.Call, graph: PyCallGraph, findings: Findings) -> None:
    origin = graph.origin(call.func)
    if origin == "machine.freq" and call.args:
        why = "the radio and the others depend on it"
        findings.error(call, "a program cannot change the chip's clock", "leave it out", why)
    elif origin == "builtins.dir" and not call.args:
        refused = stock_image().refused["builtins.locals"]
        findings.error(call, "a program cannot use dir() here", refused.instead, refused.why)


def _check_rebound(name: str, bindings: list[Binding], findings: Findings) -> None:
    """A name that is a module in one place and something else in another: no call through it could be told."""
    imports = [b for b in bindings if b.kind == "import"]
    others = [b for b in bindings if b.kind != "import" and not is_none(b.value)]
    if imports and (others or len({b.origin for b in imports}) > 1):
        line = node_line(imports[0].node)
        message = f"{name} means something else in line {line}"
        hint = f"use another name than {name} for one of them"
        findings.error((others or imports[1:])[0].node, message, hint)


_FOLLOW: Final = 6
_ASKS: Final = frozenset({"builtins.hasattr", "builtins.getattr"})
_CATCHERS: Final = ("AttributeError", "Exception", "BaseException")


def _check_member(node: ast.Attribute, graph: PyCallGraph, findings: Findings) -> None:
    """Refuse `led.togle()`; silent on objects that could be anything else, and where the program asks or catches."""
    made = _class_of(node.value, graph)
    if made is None or node.attr.startswith("_") or node.attr in graph.assigned_attributes:
        return
    own = stock_image().objects[made]
    if node.attr in own | stock_image().members.get(made, frozenset()) or graph.scopes.is_caught(node, *_CATCHERS):
        return
    hint = meant(node.attr, own) or f"it has {', '.join(sorted(own))}"
    findings.error(node, f"{ast.unparse(node.value)} is made by {made}, which has no {node.attr}", hint)


def _class_of(node: ast.expr | None, graph: PyCallGraph, depth: int = 0) -> str | None:
    """The class of the one kind of object that an expression can be; None where that is not sure."""
    match node:
        case ast.Call(func=func):
            origin = graph.origin(func)
            return origin if origin in stock_image().objects else None
        case ast.Name() if depth < _FOLLOW:
            given = [b.value if b.kind == "value" else None for b in graph.scopes.bindings(node)]
        case ast.Attribute(value=owner, attr=name) if depth < _FOLLOW and "*" not in graph.assigned_attributes:
            classes = graph.receiver(owner)
            if not classes or any(c.native_bases for c in classes) or name in graph.methods:
                return None
            given = [*graph.assigned_attributes.get(name, ())]
        case _:
            return None
    found = {_class_of(value, graph, depth + 1) for value in given if value is None or not is_none(value)}
    if len(found) == 1:
        return found.pop()
    return None
