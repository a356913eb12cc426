"""Whether the stock image has what a program imports and names, and whether programs may use it."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable
from typing import Final

from microclaw.boards.profile import BoardProfile
from microclaw.py.callgraph import CallGraph
from microclaw.py.rewrite import DROPPED_MODULES
from microclaw.py.scopes import Binding, canonical
from microclaw.py.source import Findings
from microclaw.py.stock import Refusal, stock_image

_NEAR: Final = 0.7
_TWO_NAMES: Final = {"machine.Pin.INPUT_PULLUP": ("IN", "PULL_UP"), "machine.Pin.INPUT_PULLDOWN": ("IN", "PULL_DOWN")}
_CONSTANTS: Final = ("True", "False", "None")
_CPYTHON_NAMES: Final = {
    "FileNotFoundError": "OSError", "PermissionError": "OSError", "ConnectionError": "OSError", "IOError": "OSError",
    "TimeoutError": "asyncio.TimeoutError, or OSError with errno.ETIMEDOUT", "UnicodeDecodeError": "UnicodeError",
    "RecursionError": "RuntimeError", "ModuleNotFoundError": "ImportError", "exit": "sys.exit()", "quit": "sys.exit()",
    "vars": "obj.__dict__", "delay": "time.sleep_ms", "millis": "time.ticks_ms()", "HIGH": "1", "LOW": "0",
}  # fmt: skip
_WAITING_MODULES: Final = frozenset({"time", "asyncio", "microclaw"})
_OURS: Final = ("boot", "main", "fw", "fw_a", "fw_b", "apps", "settings", "lib", "data")
_FILE_CALLS: Final = frozenset(
    {"builtins.open", "io.open", "os.remove", "os.unlink", "os.rename", "os.mkdir", "os.rmdir"}
)


def check_imports(graph: CallGraph, board: BoardProfile, findings: Findings) -> tuple[str, ...]:
    """The modules that the program imports, sorted; what it cannot have goes to the findings."""
    found: set[str] = set()
    for node in graph.scopes.of:
        if isinstance(node, ast.Import):
            for alias in node.names:
                found |= _check_module(alias.name, node, graph, findings)
                if "." in alias.name and not findings.errors:
                    findings.error(node, f"no module {alias.name} on the board", _hint(alias.name))
        elif isinstance(node, ast.ImportFrom):
            found |= _check_from(node, graph, findings)
    _check_names(graph, board, findings)
    _check_files(graph, findings)
    for scope in graph.scopes.by_node.values():
        for name, bindings in scope.bindings.items():
            _check_rebound(name, bindings, findings)
    return tuple(sorted(found))


def _check_from(node: ast.ImportFrom, graph: CallGraph, findings: Findings) -> set[str]:
    if node.level:
        findings.error(node, "a program is one file: it cannot import another one", "put everything into this file")
        return set()
    found = _check_module(node.module or "", node, graph, findings)
    if node.names[0].name == "*" and not found:
        findings.error(node, f"cannot tell what {node.module} would bring", "name what you need of it")
    for alias in node.names if found else ():
        module = canonical(node.module or "")
        if alias.name not in stock_image().modules[module] and not _is_caught(node, "ImportError", graph):
            near = nearest(alias.name, stock_image().modules[module])
            findings.error(node, f"the module {module} has no {alias.name}", f"did you mean {near}?" if near else None)
    return found


def _check_module(name: str, node: ast.AST, graph: CallGraph, findings: Findings) -> set[str]:
    module = canonical(name)
    if module in DROPPED_MODULES:
        return set()
    refused = stock_image().refused.get(module) or stock_image().refused.get(module.partition(".")[0])
    if refused is not None:
        _refuse(findings, node, f"a program cannot use {name}", refused)
    elif module in stock_image().modules:
        return {module}
    elif not _is_caught(node, "ImportError", graph):
        findings.error(node, f"the board's MicroPython has no module {name}", _hint(module))
    return set()


def _hint(module: str) -> str:
    near = nearest(module, stock_image().modules)
    return f"did you mean {near}?" if near else "put the code that you need from it into this file"


def _is_caught(node: ast.AST, error: str, graph: CallGraph) -> bool:
    """Whether it stands in a `try` that catches this error."""
    parent = graph.scopes.parents.get(node)
    while parent is not None:
        if isinstance(parent, ast.Try) and any(h.type is None or error in ast.unparse(h.type) for h in parent.handlers):
            return True
        parent = graph.scopes.parents.get(parent)
    return False


def _check_names(graph: CallGraph, board: BoardProfile, findings: Findings) -> None:
    """Names of modules that are not there or not for programs, and names that nothing defines."""
    stock = stock_image()
    lacking = stock.lacking.get(board.chip.upper(), frozenset())
    for node in graph.scopes.of:
        if not isinstance(node, ast.Name | ast.Attribute) or not isinstance(node.ctx, ast.Load):
            continue
        origin = graph.origin(node)
        if origin is None:
            continue
        module, _, name = origin.partition(".")
        if origin in _WAITING_MODULES and not isinstance(graph.scopes.parents.get(node), ast.Attribute):
            hint = f"name what you need of it: {origin}.sleep"
            findings.error(node, f"the module {origin} is used as a value: its waits could not be told", hint)
        elif (refused := stock.refused.get(origin)) is not None and "." in origin:
            _refuse(findings, node, f"a program cannot use {ast.unparse(node)}", refused)
        elif module == "builtins":
            if name not in stock.builtins and not _is_caught(node, "NameError", graph):
                _undefined(name, node, graph, findings)
        elif isinstance(node, ast.Attribute) and module in stock.modules:
            members = stock.members.get(
                f"{module}.{name.rpartition('.')[0]}", stock.modules[module] if "." not in name else None
            )
            if name in lacking:
                findings.error(node, f"the {board.chip} has no {origin}", "use another class, or another board")
            elif members is not None and name.rpartition(".")[2] not in members and not name.startswith("__"):
                near = nearest(name.rpartition(".")[2], members)
                owner = ast.unparse(node.value)
                instead = f"did you mean {owner}.{near}?" if near else None
                if origin in _TWO_NAMES:
                    instead = f"write {', '.join(f'{owner}.{one}' for one in _TWO_NAMES[origin])}"
                findings.error(node, f"{owner} has no {node.attr}", instead)
    for call in graph.calls:
        origin = graph.origin(call.func)
        if origin == "machine.freq" and call.args:
            findings.error(
                call,
                "a program cannot change the chip's clock",
                "leave it out",
                "the radio and the others depend on it",
            )
        if origin == "builtins.dir" and not call.args:
            _refuse(findings, call, "a program cannot use dir() here", stock.refused["builtins.locals"])


def _undefined(name: str, node: ast.AST, graph: CallGraph, findings: Findings) -> None:
    if name.startswith("__"):
        findings.error(node, f"MicroPython has no {name} for a program", None)
        return
    if name in _CPYTHON_NAMES:
        findings.error(node, f"MicroPython has no {name}", f"use {_CPYTHON_NAMES[name]}")
        return
    if name in stock_image().modules:
        findings.error(node, f"{name} is not imported", f"put import {name} at the top")
        return
    homes = [m for m in ("machine", "time", "microclaw") if name in stock_image().modules[m]]
    near = nearest(name, _visible(node, graph), _CONSTANTS, stock_image().builtins)
    hint = f"from {homes[0]} import {name}" if homes else f"did you mean {near}?" if near else None
    findings.error(node, f"nothing defines {name}", hint)


def _visible(node: ast.AST, graph: CallGraph) -> list[str]:
    """The program's own names that a place sees."""
    scope, found = graph.scopes.of.get(node), list[str]()
    while scope is not None:
        if not isinstance(scope.node, ast.ClassDef):
            found += scope.bindings
        scope = scope.parent
    return found


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


def _check_files(graph: CallGraph, findings: Findings) -> None:
    for call in graph.calls:
        if graph.origin(call.func) not in _FILE_CALLS or not call.args:
            continue
        reads = graph.origin(call.func) in ("builtins.open", "io.open") and len(call.args) < 2 and not call.keywords
        for argument in call.args[:1] if graph.origin(call.func) != "os.rename" else call.args[:2]:
            path = _text(argument, graph)
            if path is None:
                if not reads:
                    hint = 'name the file where it is opened: open("log.csv", "a")'
                    findings.error(
                        call, "cannot tell which file this changes", hint, "a wrong one could be the firmware's"
                    )
            elif (
                (first := path.strip("/.").partition("/")[0].partition(".")[0]) in _OURS
                or ".." in path
                or first.startswith("%")
            ):
                findings.error(call, f"the file {path} belongs to the firmware", "use a name of your own, like log.csv")


def _text(node: ast.expr, graph: CallGraph) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name) and (scope := graph.scopes.of.get(node)) is not None:
        found = scope.find(node.id)
        if found is not None and len(found[1]) == 1 and isinstance(found[1][0].value, ast.Constant):
            return _text(found[1][0].value, graph) if found[1][0].kind == "value" else None
    return None


def _check_rebound(name: str, bindings: list[Binding], findings: Findings) -> None:
    """A name that is a module in one place and something else in another: no call through it could be told."""
    imports = [b for b in bindings if b.kind == "import"]
    others = [
        b for b in bindings if b.kind != "import" and not (isinstance(b.value, ast.Constant) and b.value.value is None)
    ]
    if imports and (others or len({b.origin for b in imports}) > 1):
        other = others[0] if others else imports[1]
        line = getattr(imports[0].node, "lineno", 0)
        findings.error(
            other.node, f"{name} means something else in line {line}", f"use another name than {name} for one of them"
        )


def _refuse(findings: Findings, node: ast.AST, message: str, refusal: Refusal) -> None:
    findings.error(node, message, refusal.instead, refusal.why)
