"""Checks that the stock image has what a program imports and names, and that programs may use it.

Attributes of pins, PWM and ADC objects, too: one that the class lacks is refused where the class is surely known.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from microclaw.hardware.boards.micropython.stock import stock_image
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.programs.py.callgraph import PyCallGraph
from microclaw.programs.py.drivers import driver_modules
from microclaw.programs.py.nodes import is_none, run_by
from microclaw.programs.py.scopes import IMPORT_ERRORS, Binding, canonical
from microclaw.programs.py.source import MAX_FINDINGS, Findings
from microclaw.programs.py.source_files import BOOT, DROPPED_MODULES, MAIN
from microclaw.programs.py.wifi_calls import only_switches_off

_NEAR: Final = 0.7
_CIRCUITPYTHON: Final = frozenset({"board", "digitalio", "analogio", "busio", "pwmio"})
_TWO_NAMES: Final = {"machine.Pin.INPUT_PULLUP": ("IN", "PULL_UP"), "machine.Pin.INPUT_PULLDOWN": ("IN", "PULL_DOWN")}
_OPTIONAL: Final = frozenset({"ssl", "tls"})
_SHOWN_NAMES: Final = 12
_TAKES_NO_VALUE: Final = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.ExceptHandler)
"""What has a class or a decorator in itself, and no value of a setting."""
_CONSTANTS: Final = ("True", "False", "None")
_WAITING_MODULES: Final = frozenset({"time", "asyncio", "microclaw"})


def check_imports(graph: PyCallGraph, board: BoardProfile, findings: Findings) -> tuple[str, ...]:
    """Return the modules that the program imports, sorted; what it cannot have goes to the findings."""
    modules: set[str] = set()
    tested = _tested_attributes(graph)
    for node in graph.scopes.of:
        if isinstance(node, ast.Import):
            modules |= _check_import(node, graph, findings)
        elif isinstance(node, ast.ImportFrom):
            modules |= _check_from(node, graph, findings)
        else:
            _check_use(node, tested, board, graph, findings)
        # More are not shown, and for each a similar name is looked for.
        if len(findings.errors) >= MAX_FINDINGS:
            break
    for scope in graph.scopes.by_node.values():
        for name, bindings in scope.bindings.items():
            _check_rebound(name, bindings, graph, findings)
    return tuple(sorted(modules))


def _check_use(
    node: ast.AST, tested: Collection[object], board: BoardProfile, graph: PyCallGraph, findings: Findings
) -> None:
    """Check a name or a call; `tested` are the attributes for which the program asks before it uses them."""
    match node:
        case ast.Name(ctx=ast.Load()):
            _check_name(node, board, graph, findings)
        case ast.Attribute(ctx=ast.Load()):
            _check_name(node, board, graph, findings)
            if node.attr not in tested:
                _check_member(node, graph, findings)
        case ast.Call():
            _check_call(node, graph, findings)
        case _:
            return


def _tested_attributes(graph: PyCallGraph) -> set[object]:
    """Return the attributes for which the program asks with hasattr or getattr."""
    names: set[object] = set()
    for call in graph.calls:
        if graph.origin(call.func) in _ASKS and len(call.args) > 1:
            name = call.args[1]
            if isinstance(name, ast.Constant):
                names.add(name.value)
    return names


def _check_import(node: ast.Import, graph: PyCallGraph, findings: Findings) -> set[str]:
    modules = set()
    for alias in node.names:
        modules |= _check_module(alias.name, node, graph, findings)
        if "." in alias.name and not findings.errors:
            findings.error(node, f"no module {alias.name} on the board", _hint(alias.name))
    return modules


def _check_from(node: ast.ImportFrom, graph: PyCallGraph, findings: Findings) -> set[str]:
    if node.level:
        _refuse_relative(node, findings)
        return set()
    modules = _check_module(node.module or "", node, graph, findings)
    if not modules:
        if node.names[0].name == "*":
            findings.error(node, f"cannot tell what {node.module} would bring", "name what you need of it")
        return modules
    names = stock_image().modules.get(canonical(node.module or ""), frozenset())
    for alias in node.names:
        if alias.name not in names and not graph.scopes.is_caught(node, *IMPORT_ERRORS):
            findings.error(node, f"the module {node.module} has no {alias.name}", meant(alias.name, names))
    return modules


def _check_module(name: str, node: ast.AST, graph: PyCallGraph, findings: Findings) -> set[str]:
    """Return the module if the program may import it, else nothing."""
    module = canonical(name)
    stock = stock_image()
    refused = stock.refused.get(module) or stock.refused.get(module.partition(".")[0])
    if module in DROPPED_MODULES:
        return set()
    if refused is not None and module in _OPTIONAL and _is_conditional(node, graph):
        findings.warn(node, f"there is no {name}: the program fails if it comes to this line", refused.instead)
    elif refused is not None:
        findings.error(node, f"a program cannot use {name}", refused.instead, refused.why)
    elif module in stock.modules:
        return {module}
    elif not graph.scopes.is_caught(node, *IMPORT_ERRORS):
        hint = _settings_hint(name, graph) or _hint(module)
        findings.error(node, f"the board's MicroPython has no module {name}", hint)
    return set()


def _is_conditional(node: ast.AST, graph: PyCallGraph) -> bool:
    """Return True for an import in an `if` of a function, as clients have it that can do both: with TLS and without."""
    parent = graph.scopes.parents.get(node)
    while parent is not None and not isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef):
        if isinstance(parent, ast.If) and graph.by_owner(parent) is not None:
            return True
        parent = graph.scopes.parents.get(parent)
    return False


def _settings_hint(module: str, graph: PyCallGraph) -> str | None:
    """Return what to write into a file of settings that is not there; None if the module may be anything else.

    Of settings a program reads values by their names, and calls none.
    """
    if not module.isidentifier() or module in _CIRCUITPYTHON or f"{module}.py" in (BOOT, MAIN):
        return None
    # A dict keeps the order of the program.
    names: dict[str, None] = {}
    for node in graph.scopes.of:
        if not isinstance(node, ast.Name | ast.Attribute):
            continue
        owner, _, name = (graph.origin(node) or "").partition(".")
        if owner != module or not name:
            continue
        parent = graph.scopes.parents.get(node)
        is_called = isinstance(parent, ast.Call) and parent.func is node and "." not in name
        if is_called or isinstance(parent, _TAKES_NO_VALUE):
            return None
        names[name.partition(".")[0]] = None
    if not names:
        return None
    settings = ", ".join(list(names)[:_SHOWN_NAMES])
    return f"put {module}.py beside the program, or write it there: a line NAME = VALUE for each of {settings}"


def _hint(module: str) -> str:
    if f"{module}.py" in (BOOT, MAIN):
        return f"{module}.py is the program itself: move what both need into a file that both import"
    if module in _CIRCUITPYTHON:
        return "it is CircuitPython's, and the board has MicroPython: from machine import Pin, ADC, I2C, PWM"
    near = meant(module, (*stock_image().modules, *driver_modules()))
    return near or f"put {module.replace('.', '/')}.py beside the program, or into lib/ there"


def _refuse_relative(node: ast.ImportFrom, findings: Findings) -> None:
    module = node.module or node.names[0].name
    message = f"{'.' * node.level}{node.module or ''} is no module of this program"
    hint = f"in the main file leave out the points; else put {module.replace('.', '/')}.py into the folder of this file"
    findings.error(node, message, hint)


def _check_name(node: ast.Name | ast.Attribute, board: BoardProfile, graph: PyCallGraph, findings: Findings) -> None:
    """Refuse a name that a module lacks, that is not for programs, or that nothing defines."""
    stock = stock_image()
    origin = graph.origin(node)
    if origin is None:
        return
    module, _, name = origin.partition(".")
    refused = stock.refused.get(origin)
    if origin in _WAITING_MODULES and not isinstance(graph.scopes.parents.get(node), ast.Attribute):
        step = f"name what you need of it: {origin}.sleep"
        findings.error(node, f"the module {origin} is used as a value: its waits could not be told", step)
    elif "." in origin and refused is not None:
        if not only_switches_off(node, graph):
            findings.error(node, f"a program cannot use {ast.unparse(node)}", refused.instead, refused.why)
    elif module == "builtins":
        if name not in stock.builtins and not graph.scopes.is_caught(node, "NameError"):
            message, hint = _undefined(name, node, graph)
            findings.error(node, message, hint)
    elif not isinstance(node, ast.Attribute) or module not in stock.modules:
        return
    elif name in stock.lacking.get(board.chip.upper(), ()):
        findings.error(node, f"the {board.chip} has no {origin}", "use another class, or another board")
    elif not name.startswith("__"):
        _check_attribute(node, origin, findings)


def _check_attribute(node: ast.Attribute, origin: str, findings: Findings) -> None:
    """Refuse an attribute that a module or a class of a module lacks."""
    stock = stock_image()
    owner, _, name = origin.rpartition(".")
    members = stock.members.get(owner)
    if members is None and "." not in owner:
        members = stock.modules.get(owner)
    if members is None or name in members:
        return
    shown = ast.unparse(node.value)
    if origin in _TWO_NAMES:
        names = [f"{shown}.{part}" for part in _TWO_NAMES[origin]]
        hint: str | None = f"write {', '.join(names)}"
    else:
        hint = meant(name, members, before=f"{shown}.")
    findings.error(node, f"{shown} has no {node.attr}", hint)


def _undefined(name: str, node: ast.AST, graph: PyCallGraph) -> tuple[str, str | None]:
    """Return the message about a name that nothing defines, and a hint with the name that may have been meant."""
    if name.startswith("__"):
        return f"MicroPython has no {name} for a program", None
    other = stock_image().other_names.get(name)
    if other is not None:
        return f"MicroPython has no {name}", f"use {other}"
    if name in stock_image().modules:
        return f"{name} is not imported", f"put import {name} at the top"
    message = f"nothing defines {name}"
    for module in ("machine", "time", "microclaw"):
        if name in stock_image().modules[module]:
            return message, f"from {module} import {name}"
    return message, meant(name, graph.scopes.visible(node), _CONSTANTS, stock_image().builtins)


def meant(name: str, *groups: Iterable[str], before: str = "") -> str | None:
    """Return the hint for a name that is none of these words, or None if none is near.

    The nearest has the same letters, or a few others, or is the beginning of a longer constant (OUT of OUTPUT). Of
    words that are as near, earlier groups count.
    """
    forms: dict[str, str] = {}
    for group in groups:
        for word in sorted(group):
            forms[word] = _plain_form(word)
    near = _nearest(name, forms)
    if near is None:
        return None
    return f"did you mean {before}{near}?"


def _nearest(name: str, forms: Mapping[str, str]) -> str | None:
    """Return the word whose form is nearest to a name's; of words that are as near, the first."""
    form = _plain_form(name)
    near_forms = [form, *difflib.get_close_matches(form, forms.values(), n=1, cutoff=_NEAR)]
    for near_form in near_forms:
        for word, word_form in forms.items():
            if word_form == near_form:
                return word
    beginnings = []
    for word, word_form in forms.items():
        if word.isupper() and name.isupper() and form.startswith(word_form):
            beginnings.append(word)
    return max(beginnings, key=len, default=None)


def _plain_form(name: str) -> str:
    return name.casefold().replace("_", "")


def _check_call(call: ast.Call, graph: PyCallGraph, findings: Findings) -> None:
    origin = graph.origin(call.func)
    if origin == "machine.freq" and call.args:
        why = "the radio and the others depend on it"
        findings.error(call, "a program cannot change the chip's clock", "leave it out", why)
    elif origin == "builtins.dir" and not call.args:
        refused = stock_image().refused["builtins.locals"]
        findings.error(call, "a program cannot use dir() here", refused.instead, refused.why)
    elif _sets_clock(call, graph):
        refused = stock_image().refused["machine.RTC.init"]
        findings.error(call, "a program cannot set the clock", refused.instead, refused.why)


def _sets_clock(call: ast.Call, graph: PyCallGraph) -> bool:
    """Return True for `RTC().datetime(...)` with a moment; `init` is refused by its name."""
    function = call.func
    if not isinstance(function, ast.Attribute) or function.attr != "datetime" or not call.args:
        return False
    return class_of(function.value, graph) == "machine.RTC"


def _check_rebound(name: str, bindings: list[Binding], graph: PyCallGraph, findings: Findings) -> None:
    """Refuse a name that is a module in one place and something else in another: its calls would be unknown."""
    imports = []
    others = []
    for binding in bindings:
        if binding.kind == "import":
            if not _always_fails(binding, graph):
                imports.append(binding)
        elif not is_none(binding.value):
            others.append(binding)
    origins = {binding.origin for binding in imports}
    if imports and (others or len(origins) > 1):
        other = (others or imports[1:])[0]
        findings.refuse_two_meanings(name, imports[0].node, other.node)


def _always_fails(binding: Binding, graph: PyCallGraph) -> bool:
    """Return True for an import of what no board has, whose ImportError the program catches: it binds nothing."""
    module, _, name = (binding.origin or "").partition(".")
    names = stock_image().modules.get(module)
    is_there = names is not None and (not name or name in names)
    is_refused = not {module, binding.origin}.isdisjoint(stock_image().refused)
    return not is_there and not is_refused and graph.scopes.is_caught(binding.node, *IMPORT_ERRORS)


_FOLLOW: Final = 6
_ASKS: Final = frozenset({"builtins.hasattr", "builtins.getattr"})
_CATCHERS: Final = ("AttributeError", "Exception", "BaseException")


def _check_member(node: ast.Attribute, graph: PyCallGraph, findings: Findings) -> None:
    """Refuse `led.togle()`; silent on objects that could be anything else, and where the program asks or catches."""
    class_name = class_of(node.value, graph)
    if class_name is None or node.attr.startswith("_") or node.attr in graph.assigned_attributes:
        return
    refused = stock_image().refused.get(f"{class_name}.{node.attr}")
    if refused is not None:
        findings.error(node, f"a program cannot use {ast.unparse(node)}", refused.instead, refused.why)
        return
    members = stock_image().objects[class_name]
    if node.attr in members or node.attr in stock_image().members.get(class_name, ()):
        return
    if graph.scopes.is_caught(node, *_CATCHERS):
        return
    hint = meant(node.attr, members) or f"it has {', '.join(sorted(members))}"
    findings.error(node, f"{ast.unparse(node.value)} is made by {class_name}, which has no {node.attr}", hint)


def class_of(node: ast.expr | None, graph: PyCallGraph, depth: int = 0) -> str | None:
    """Return the class of the one kind of object that an expression can be, or None if that is not sure."""
    if isinstance(node, ast.Call):
        origin = graph.origin(node.func)
        if origin in stock_image().objects:
            return origin
        return _returned_class(node, graph, depth)
    if depth >= _FOLLOW:
        return None
    values = _possible_values(node, graph)
    return graph.scopes.answer_once("class", values, lambda: _common_class(values, graph, depth + 1), unknown=None)


def _returned_class(call: ast.Call, graph: PyCallGraph, depth: int) -> str | None:
    """Return the class of what a call of the program's own function returns, or None if that is not sure."""
    function = graph.named_function(call.func)
    if function is None or depth >= _FOLLOW:
        return None
    returned = [node.value for node in run_by(function) if isinstance(node, ast.Return) and node.value is not None]
    return graph.scopes.answer_once(
        "returned class", function.body, lambda: _common_class(returned, graph, depth + 1), unknown=None
    )


def _common_class(values: Iterable[Binding | ast.expr], graph: PyCallGraph, depth: int) -> str | None:
    class_names = set()
    for part in values:
        value: ast.expr | None = None
        if isinstance(part, ast.expr):
            value = part
        elif part.kind == "value":
            value = part.value
        if not is_none(value):
            class_names.add(class_of(value, graph, depth))
    if len(class_names) == 1:
        return class_names.pop()
    return None


def _possible_values(node: ast.expr | None, graph: PyCallGraph) -> list[Binding] | list[ast.expr]:
    """Return the values that a name or an attribute of the program's own object can have."""
    if isinstance(node, ast.Name):
        return graph.scopes.bindings(node)
    if not isinstance(node, ast.Attribute) or "*" in graph.assigned_attributes:
        return []
    classes = graph.receiver(node.value)
    if not classes or node.attr in graph.methods:
        return []
    if any(owner.native_bases for owner in classes):
        return []
    return graph.assigned_attributes.get(node.attr, [])
