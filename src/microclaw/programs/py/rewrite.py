"""A program as one coroutine `async def main(E)` that the board's runner can run beside others. Judges nothing.

The contract with the runner (`Environment` of firmware/fw/program.py) is docs/decisions/0036-micropython-firmware.md.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any, Final, TypeVar

from microclaw.hardware.boards.micropython.stock import stock_image
from microclaw.programs.py.callgraph import Callable
from microclaw.programs.py.formats import as_format_call
from microclaw.programs.py.nodes import Loop
from microclaw.programs.py.plans import RENAMED, CallPlan
from microclaw.programs.py.scopes import IMPORT_ERRORS, Comprehension, Function, canonical
from microclaw.programs.py.source_files import DROPPED_MODULES
from microclaw.programs.py.waits import Waits
from microclaw.programs.py.wifi_calls import ACCESS_POINTS

_HOUR_S: Final = 3600
_INNER: Final = "_wait_"
_ASYNC_INIT: Final = "_ainit_"
N = TypeVar("N", bound=ast.AST)


class Rewriter(ast.NodeTransformer):
    """Turns the tree into the program's coroutine; every new node has the line of what it came from."""

    def __init__(self, waits: Waits) -> None:
        self._waits = waits
        self._graph = waits.graph
        self._module_scope = self._graph.scopes.module
        used = self._graph.scopes.words | {"main"}
        self.environment = _unused("E", used)
        self._main = _unused("main_", used)
        self._owner: Callable | None = None
        self._hoisted: list[ast.stmt] = []
        self._count = 0

    def program(self, tree: ast.Module) -> ast.Module:
        """Return the program's coroutine. Its names are global, as those of a module are."""
        body = self._block(tree.body)
        names = []
        for name, bindings in self._module_scope.bindings.items():
            modules = {(binding.origin or "").partition(".")[0] for binding in bindings}
            if not modules <= DROPPED_MODULES:
                names.append(self._without_main(name))
        if names:
            body.insert(0, ast.Global(sorted(names)))
        main = ast.AsyncFunctionDef("main", _parameters(self.environment), body or [ast.Pass()], [])
        return ast.fix_missing_locations(ast.Module([main], []))

    def visit(self, node: ast.AST) -> Any:
        """Return the node's replacement, at its line; the new nodes inside of it get that line at the end."""
        if isinstance(node, Function):
            new = self._function(node)
        elif isinstance(node, Loop):
            new = self._guarded(node)
        elif isinstance(node, Comprehension) and node in self._waits.comprehensions:
            new = self._comprehension(node)
        else:
            new = super().visit(node)
        for replacement in _as_list(new):
            if isinstance(replacement, ast.stmt | ast.expr) and not hasattr(replacement, "lineno"):
                ast.copy_location(replacement, node)
        return new

    # Statements

    def _block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        done: list[ast.stmt] = []
        for statement in statements:
            outer = self._hoisted
            self._hoisted = []
            new = self.visit(statement)
            done += self._hoisted
            self._hoisted = outer
            done += _as_list(new)
        return done

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for name, value in ast.iter_fields(node):
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                setattr(node, name, self._block(value) or [ast.copy_location(ast.Pass(), node)])
            elif isinstance(value, list):
                setattr(node, name, [self._visit_value(item) for item in value])
            else:
                setattr(node, name, self._visit_value(value))
        return node

    def _visit_value(self, value: Any) -> Any:
        """Return the replacement of a field's value; a text or number stays."""
        if isinstance(value, ast.AST):
            return self.visit(value)
        return value

    def _visit_all(self, nodes: Sequence[N]) -> list[N]:
        return [self.visit(node) for node in nodes]

    def _function(self, node: Function) -> ast.AST:
        function = self._graph.functions[node]
        if not isinstance(node, ast.Lambda):
            node.name = self._renamed(node, node.name)
            node.decorator_list = self._visit_all(node.decorator_list)
        node.args = self.visit(node.args)
        outer = self._owner
        self._owner = function
        if isinstance(node, ast.Lambda):
            node.body = self.visit(node.body)
        else:
            node.body = self._block(node.body) or [ast.copy_location(ast.Pass(), node)]
        self._owner = outer
        if function not in self._waits.waiting or isinstance(node, ast.Lambda):
            return node
        name = node.name
        if name == "__init__":
            name = _ASYNC_INIT
        return ast.AsyncFunctionDef(name, node.args, node.body, node.decorator_list)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.name = self._renamed(node, node.name)
        return self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> ast.AST | None:
        if self._owner is None:
            return None
        node.names = list(map(self._without_main, node.names))
        return node

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        statements = []
        for alias in node.names:
            if alias.name not in DROPPED_MODULES:
                statements.append(self._assign(node, alias.asname or alias.name, self._module(alias.name)))
        return statements

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.stmt]:
        module = node.module or ""
        if module in DROPPED_MODULES:
            return []
        is_caught = self._graph.scopes.is_caught(node, *IMPORT_ERRORS)
        statements = []
        for alias in node.names:
            if not is_caught and _is_refused(module, alias.name):
                continue
            value = ast.Attribute(self._module(module), alias.name, ast.Load())
            statement = self._assign(node, alias.asname or alias.name, value)
            if is_caught:
                statement = _as_import(statement, alias.name)
            statements.append(statement)
        return statements

    def _guarded(self, node: Loop) -> ast.AST:
        guard = self._waits.guards.get(node)
        self.generic_visit(node)
        if guard is not None:
            call = self._call(guard)
            if guard == "sleep":
                call = self._call(guard, ast.Constant(_HOUR_S))
            if guard != "g":
                call = ast.Await(call)
            node.body.insert(0, ast.copy_location(ast.Expr(call), node))
        return node

    def visit_Try(self, node: ast.Try) -> ast.AST:
        self.generic_visit(node)
        if self._waits.is_coroutine(self._owner):
            handlers = []
            for handler in node.handlers:
                handlers += self._with_cancel(handler)
            node.handlers = handlers
        return node

    def _with_cancel(self, handler: ast.ExceptHandler) -> list[ast.ExceptHandler]:
        """Return handlers that let the runner's cancelling through; one for Ctrl-C gets it, because it cleans up."""
        cancelled = self._env("Cancelled")
        kinds = []
        if isinstance(handler.type, ast.Tuple):
            kinds = handler.type.elts
        elif handler.type:
            kinds = [handler.type]
        names = {kind.id for kind in kinds if isinstance(kind, ast.Name)}
        if handler.type is None or "BaseException" in names:
            return [ast.copy_location(ast.ExceptHandler(cancelled, None, [ast.Raise()]), handler), handler]
        if "KeyboardInterrupt" in names:
            handler.type = ast.Tuple([*kinds, cancelled], ast.Load())
        return [handler]

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        # A docstring: the board need not hold it.
        if isinstance(node.value, ast.Constant):
            return None
        kind = None
        if isinstance(node.value, ast.Call) and node.value in self._waits.plans:
            kind = self._waits.plans[node.value].kind
        if kind == "forever":
            hour = ast.Await(self._call("sleep", ast.Constant(_HOUR_S)))
            return ast.While(ast.Constant(value=True), [ast.Expr(hour)], [])
        if kind == "nothing":
            return None
        node.value = self.visit(node.value)
        return node

    # Expressions

    def visit_Name(self, node: ast.Name) -> ast.AST:
        origin = self._read_origin(node)
        if origin == "builtins.__name__":
            return ast.Constant("__main__")
        # That of programs' files: firmware/fw/modules.py.
        if origin == "builtins.open":
            return ast.Attribute(self._module("io"), "open", ast.Load())
        if origin in RENAMED:
            return self._env(RENAMED[origin])
        node.id = self._renamed(node, node.id)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        origin = self._read_origin(node)
        if origin in RENAMED:
            return self._env(RENAMED[origin])
        return self.generic_visit(node)

    def _read_origin(self, node: ast.Name | ast.Attribute) -> str | None:
        """Return the native code that a name stands for; None also if the name is set here."""
        if isinstance(node.ctx, ast.Load):
            return self._graph.origin(node)
        return None

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return self.visit(as_format_call(node))  # type: ignore[no-any-return]

    def visit_Call(self, node: ast.Call) -> ast.AST:
        plan = self._waits.plans.get(node)
        if plan is None:
            return self._native_call(node)
        if plan.kind == "nothing":
            return ast.Constant(None)
        called = self._planned(node, plan)
        # A lambda passes on what waits.
        if not plan.waits or isinstance(self._graph.scopes.parents.get(node), ast.Lambda):
            return called
        if plan.kind == "maybe":
            called = self._call("aw", called)
        return ast.Await(called)

    def _native_call(self, node: ast.Call) -> ast.AST:
        """Return a call as it is; a short `time.sleep` stays the library's own."""
        origin = self._graph.origin(node.func) or ""
        if origin not in RENAMED:
            return self.generic_visit(node)
        module, _, name = origin.rpartition(".")
        node.func = ast.Attribute(self._module(module), name, ast.Load())
        node.args = self._visit_all(node.args)
        node.keywords = self._visit_all(node.keywords)
        return node

    def _planned(self, node: ast.Call, plan: CallPlan) -> ast.expr:
        keywords = self._visit_all(node.keywords)
        args = self._visit_all(node.args)
        function = node.func
        match plan.kind:
            case "environment":
                # machine.idle()
                if not args and plan.name == "sleep_ms":
                    args = [ast.Constant(1)]
                return self._call(plan.name, *args, keywords=keywords)
            case "irq" | "timer":
                target = self._callback_target(function, plan)
                return self._call(plan.kind, self.visit(target), *args, keywords=keywords)
            case "new":
                return self._call("new", self.visit(function), *args, keywords=keywords)
            case _:
                function = self.visit(function)
                if isinstance(function, ast.Attribute) and function.attr == "__init__":
                    function.attr = _ASYNC_INIT
                return ast.Call(function, args, keywords)

    def _callback_target(self, function: ast.expr, plan: CallPlan) -> ast.expr:
        """Return the object whose irq() or init() is called, or the class that makes a timer."""
        if not isinstance(function, ast.Attribute):
            return function
        is_own_init = function.attr == "init" and self._graph.origin(function) is None
        if plan.kind == "irq" or is_own_init:
            return function.value
        return function

    # Comprehensions: one with a wait in it becomes a coroutine before its statement, which loops

    def _comprehension(self, node: Comprehension) -> ast.AST:
        self._count += 1
        name = f"{_INNER}{self._count}"
        result = ast.Name(f"{name}r", ast.Load())
        iterated = self.visit(node.generators[0].iter)
        outer = self._hoisted
        self._hoisted = []
        body, start, end = self._collecting(node, result)
        for number, generator in reversed([*enumerate(node.generators)]):
            for condition in reversed(generator.ifs):
                body = [ast.If(self.visit(condition), body, [])]
            iterable: ast.expr = ast.Name(f"{name}i", ast.Load())
            if number:
                iterable = self.visit(generator.iter)
            body = [ast.For(self.visit(generator.target), iterable, [ast.Expr(ast.Await(self._call("y"))), *body], [])]
        first: list[ast.stmt] = []
        if start is not None:
            first.append(ast.Assign([ast.Name(result.id, ast.Store())], start))
        inner = [*self._hoisted, *first, *body, ast.Return(end)]
        coroutine = ast.AsyncFunctionDef(name, _parameters(f"{name}i"), inner, [])
        self._hoisted = [*outer, ast.copy_location(coroutine, node)]
        called: ast.expr = ast.Await(ast.Call(ast.Name(name, ast.Load()), [iterated], []))
        if start is None:
            # `any` and `all` get the one value that was found inside.
            return ast.List([called], ast.Load())
        return called

    def _collecting(self, node: Comprehension, result: ast.Name) -> tuple[list[ast.stmt], ast.expr | None, ast.expr]:
        """Return the statements for each value, the first value of the result or None, and what is returned."""
        if isinstance(node, ast.DictComp):
            target = ast.Subscript(result, self.visit(node.key), ast.Store())
            return [ast.Assign([target], self.visit(node.value))], ast.Dict([], []), result
        value = self.visit(node.elt)
        consumer = None
        parent = self._graph.scopes.parents.get(node)
        if isinstance(node, ast.GeneratorExp) and isinstance(parent, ast.Call):
            consumer = self._graph.origin(parent.func)
        if consumer == "builtins.any":
            return _return_if(value, result=True), None, ast.Constant(value=False)
        if consumer == "builtins.all":
            return _return_if(ast.UnaryOp(ast.Not(), value), result=False), None, ast.Constant(value=True)
        adding = "append"
        empty: ast.expr = ast.List([], ast.Load())
        if isinstance(node, ast.SetComp):
            adding = "add"
            empty = ast.Call(ast.Name("set", ast.Load()), [], [])
        add = ast.Call(ast.Attribute(result, adding, ast.Load()), [value], [])
        return [ast.Expr(add)], empty, result

    # Parts

    def _renamed(self, node: ast.AST, name: str) -> str:
        """Return another name for the program's own `main`: the runner finds the whole program under this one."""
        if name != "main" or node not in self._graph.scopes.of:
            return name
        owner = self._graph.scopes.of[node].find(name)
        if owner is None or owner[0] is not self._module_scope:
            return name
        return self._main

    def _without_main(self, name: str) -> str:
        if name == "main":
            return self._main
        return name

    def _module(self, name: str) -> ast.expr:
        return self._call("module", ast.Constant(canonical(name)))

    def _env(self, name: str) -> ast.expr:
        return ast.Attribute(ast.Name(self.environment, ast.Load()), name, ast.Load())

    def _call(self, name: str, *args: ast.expr, keywords: list[ast.keyword] | None = None) -> ast.expr:
        return ast.Call(self._env(name), list(args), keywords or [])

    def _assign(self, node: ast.AST, name: str, value: ast.expr) -> ast.stmt:
        return ast.Assign([ast.Name(self._renamed(node, name), ast.Store())], value)


def _as_list(replacement: Any) -> list[Any]:
    """Return the replacements of a node as a list; None is no replacement."""
    if replacement is None:
        return []
    if isinstance(replacement, list):
        return replacement
    return [replacement]


def _is_refused(module: str, name: str) -> bool:
    """Return True for a name that the check has refused wherever it is used: here the program only imports it."""
    origin = f"{canonical(module)}.{name}"
    return origin in stock_image().refused and origin not in ACCESS_POINTS


def _as_import(statement: ast.stmt, name: str) -> ast.stmt:
    """Return a statement that raises ImportError if a module lacks this name."""
    text = ast.Constant(f"can't import name {name}")
    error = ast.Raise(ast.Call(ast.Name("ImportError", ast.Load()), [text], []))
    return ast.Try([statement], [ast.ExceptHandler(ast.Name("AttributeError", ast.Load()), None, [error])], [], [])


def _return_if(test: ast.expr, *, result: bool) -> list[ast.stmt]:
    return [ast.If(test, [ast.Return(ast.Constant(value=result))], [])]


def _parameters(name: str) -> ast.arguments:
    return ast.arguments([], [ast.arg(name)], None, [], [], None, [])


def _unused(name: str, used: set[str]) -> str:
    """Return this name, with the lowest number behind it that makes it unused if the program uses it."""
    unused = name
    number = 0
    while unused in used:
        unused = f"{name}{number}"
        number += 1
    return unused
