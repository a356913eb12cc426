"""A program as one coroutine `async def main(E)` that the board's runner can run beside others. Judges nothing.

The contract with the runner (`Environment` of firmware/fw/program.py) is docs/decisions/0036-micropython-firmware.md.
"""

from __future__ import annotations

import ast
from typing import Any, Final

from microclaw.programs.py.callgraph import Callable, Loop
from microclaw.programs.py.formats import as_format_call
from microclaw.programs.py.plans import RENAMED, CallPlan
from microclaw.programs.py.scopes import Comprehension, Function, canonical
from microclaw.programs.py.waits import Waits

DROPPED_MODULES: Final = frozenset({"typing", "__future__"})
_INNER: Final = "_wait_"


class Rewriter(ast.NodeTransformer):
    """Turns the tree into the program's coroutine; every new node has the line of what it came from."""

    def __init__(self, waits: Waits) -> None:
        self._waits = waits
        self._graph = waits.graph
        self._module_scope = self._graph.scopes.module
        used = {n.id for n in self._graph.scopes.of if isinstance(n, ast.Name)} | set(self._module_scope.bindings)
        used |= {a.arg for f in self._graph.functions for a in ast.walk(f) if isinstance(a, ast.arg)} | {"main"}
        self.environment = _unused("E", used)
        self._main = _unused("main_", used)
        self._owner: Callable | None = None
        self._hoisted: list[ast.stmt] = []
        self._count = 0

    def program(self, tree: ast.Module) -> ast.Module:
        body = self._block(tree.body)
        of_module = self._module_scope.bindings.items()
        origins = {name: {(b.origin or "").partition(".")[0] for b in bindings} for name, bindings in of_module}
        bound = [name for name, found in origins.items() if not found <= DROPPED_MODULES]
        names = sorted(self._main if name == "main" else name for name in bound)
        if names:
            body.insert(0, ast.Global(names))
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
        for one in new if isinstance(new, list) else [new]:
            if isinstance(one, ast.stmt | ast.expr) and not hasattr(one, "lineno"):
                ast.copy_location(one, node)
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
            if isinstance(new, list):
                done += new
            elif new is not None:
                done.append(new)
        return done

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for name, value in ast.iter_fields(node):
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                setattr(node, name, self._block(value) or [ast.copy_location(ast.Pass(), node)])
            elif isinstance(value, list):
                setattr(node, name, [self.visit(one) if isinstance(one, ast.AST) else one for one in value])
            elif isinstance(value, ast.AST):
                setattr(node, name, self.visit(value))
        return node

    def _function(self, node: Function) -> ast.AST:
        function = self._graph.functions[node]
        if not isinstance(node, ast.Lambda):
            node.name = self._renamed(node, node.name)
            node.decorator_list = [self.visit(d) for d in node.decorator_list]
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
        name = "_ainit_" if node.name == "__init__" else node.name
        return ast.AsyncFunctionDef(name, node.args, node.body, node.decorator_list)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.name = self._renamed(node, node.name)
        return self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> ast.AST | None:
        node.names = [self._main if name == "main" else name for name in node.names]
        return node if self._owner is not None else None

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        kept = [a for a in node.names if a.name not in DROPPED_MODULES]
        return [self._assign(node, a.asname or a.name, self._module(a.name)) for a in kept]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.stmt]:
        module = node.module or ""
        if node.module not in DROPPED_MODULES:
            names = node.names
        else:
            names = []
        found = [(a, ast.Attribute(self._module(module), a.name, ast.Load())) for a in names]
        return [self._assign(node, a.asname or a.name, value) for a, value in found]

    def _guarded(self, node: Loop) -> ast.AST:
        guard = self._waits.guards.get(node)
        self.generic_visit(node)
        if guard is not None:
            call = self._call(guard)
            if guard == "y":
                call = ast.Await(call)
            node.body.insert(0, ast.copy_location(ast.Expr(call), node))
        return node

    def visit_Try(self, node: ast.Try) -> ast.AST:
        self.generic_visit(node)
        if self._waits.is_coroutine(self._owner):
            node.handlers = [new for handler in node.handlers for new in self._with_cancel(handler)]
        return node

    def _with_cancel(self, handler: ast.ExceptHandler) -> list[ast.ExceptHandler]:
        """Handlers that let the runner's cancelling through; one for Ctrl-C gets it, because it cleans up."""
        cancelled = self._env("Cancelled")
        if isinstance(handler.type, ast.Tuple):
            kinds = handler.type.elts
        elif handler.type:
            kinds = [handler.type]
        else:
            kinds = []
        names = {k.id for k in kinds if isinstance(k, ast.Name)}
        if handler.type is None or "BaseException" in names:
            return [ast.copy_location(ast.ExceptHandler(cancelled, None, [ast.Raise()]), handler), handler]
        if "KeyboardInterrupt" in names:
            handler.type = ast.Tuple([*kinds, cancelled], ast.Load())
        return [handler]

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant):
            return None  # a docstring: the board need not hold it
        if isinstance(node.value, ast.Call):
            plan = self._waits.plans.get(node.value)
        else:
            plan = None
        if plan is not None and plan.kind == "forever":
            hour = ast.Await(self._call("sleep", ast.Constant(3600)))
            return ast.While(ast.Constant(True), [ast.Expr(hour)], [])
        if plan is not None and plan.kind == "nothing":
            return None
        node.value = self.visit(node.value)
        return node

    # Expressions

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if isinstance(node.ctx, ast.Load):
            origin = self._graph.origin(node)
        else:
            origin = None
        if origin == "builtins.__name__":
            return ast.Constant("__main__")
        if origin == "builtins.open":  # that of programs' files: firmware/fw/modules.py
            return ast.Attribute(self._module("io"), "open", ast.Load())
        if origin in RENAMED:
            return self._env(RENAMED[origin])
        node.id = self._renamed(node, node.id)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.ctx, ast.Load):
            origin = self._graph.origin(node)
        else:
            origin = None
        if origin in RENAMED:
            return self._env(RENAMED[origin])
        return self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return self.visit(as_format_call(node))  # type: ignore[no-any-return]

    def visit_Call(self, node: ast.Call) -> ast.AST:
        plan = self._waits.plans.get(node)
        if plan is None:
            return self._native_call(node)
        if plan.kind == "nothing":
            return ast.Constant(None)
        called = self._planned(node, plan)
        if not plan.waits or isinstance(self._graph.scopes.parents.get(node), ast.Lambda):  # that passes it on
            return called
        if plan.kind == "maybe":
            called = self._call("aw", called)
        return ast.Await(called)

    def _native_call(self, node: ast.Call) -> ast.AST:
        """A call as it stands; a short `time.sleep` stays the library's own."""
        origin = self._graph.origin(node.func) or ""
        if origin not in RENAMED:
            self.generic_visit(node)
        else:
            module, _, name = origin.rpartition(".")
            node.func = ast.Attribute(self._module(module), name, ast.Load())
            node.args, node.keywords = [self.visit(a) for a in node.args], [self.visit(k) for k in node.keywords]
        return node

    def _planned(self, node: ast.Call, plan: CallPlan) -> ast.expr:
        keywords = [self.visit(k) for k in node.keywords]
        args = [self.visit(a) for a in node.args]
        function = node.func
        call = self._graph.origin(node.func)
        match plan.kind:
            case "environment":
                if not args and plan.name == "sleep_ms":  # machine.idle()
                    args = [ast.Constant(1)]
                return self._call(plan.name, *args, keywords=keywords)
            case "irq" | "timer":
                is_method = plan.kind == "irq" or (getattr(function, "attr", "") == "init" and call is None)
                object_ = function.value if is_method and isinstance(function, ast.Attribute) else function
                return self._call(plan.kind, self.visit(object_), *args, keywords=keywords)
            case "new":
                return self._call("new", self.visit(function), *args, keywords=keywords)
            case _:
                function = self.visit(function)
                if isinstance(function, ast.Attribute) and function.attr == "__init__":
                    function.attr = "_ainit_"
                return ast.Call(function, args, keywords)

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
            if number:
                iter_ = self.visit(generator.iter)
            else:
                iter_ = ast.Name(f"{name}i", ast.Load())
            body = [ast.For(self.visit(generator.target), iter_, [ast.Expr(ast.Await(self._call("y"))), *body], [])]
        if start is not None:
            first = [ast.Assign([ast.Name(result.id, ast.Store())], start)]
        else:
            first = []
        inner = [*self._hoisted, *first, *body, ast.Return(end)]
        made = ast.AsyncFunctionDef(name, _parameters(f"{name}i"), inner, [])
        self._hoisted = [*outer, ast.copy_location(made, node)]
        called: ast.expr = ast.Await(ast.Call(ast.Name(name, ast.Load()), [iterated], []))
        return called if start is not None else ast.List([called], ast.Load())  # any and all get what was found inside

    def _collecting(self, node: Comprehension, result: ast.Name) -> tuple[list[ast.stmt], ast.expr | None, ast.expr]:
        """The statements for each value, the result at first (None: there is none), and what is returned."""
        if isinstance(node, ast.DictComp):
            target = ast.Subscript(result, self.visit(node.key), ast.Store())
            return [ast.Assign([target], self.visit(node.value))], ast.Dict([], []), result
        value = self.visit(node.elt)
        parent = self._graph.scopes.parents.get(node)
        if isinstance(parent, ast.Call):
            consumer = self._graph.origin(parent.func)
        else:
            consumer = None
        if isinstance(node, ast.GeneratorExp) and consumer in ("builtins.any", "builtins.all"):
            is_any = consumer == "builtins.any"
            if is_any:
                test = value
            else:
                test = ast.UnaryOp(ast.Not(), value)
            return [ast.If(test, [ast.Return(ast.Constant(is_any))], [])], None, ast.Constant(not is_any)
        adding = "append"
        empty: ast.expr = ast.List([], ast.Load())
        if isinstance(node, ast.SetComp):
            adding = "add"
            empty = ast.Call(ast.Name("set", ast.Load()), [], [])
        add = ast.Call(ast.Attribute(result, adding, ast.Load()), [value], [])
        return [ast.Expr(add)], empty, result

    # Parts

    def _renamed(self, node: ast.AST, name: str) -> str:
        """The program's own `main` has another name: the runner finds the whole program under this one."""
        if name == "main" and node in self._graph.scopes.of:
            found = self._graph.scopes.of[node].find(name)
        else:
            found = None
        return self._main if found is not None and found[0] is self._module_scope else name

    def _module(self, name: str) -> ast.expr:
        return self._call("module", ast.Constant(canonical(name)))

    def _env(self, name: str) -> ast.expr:
        return ast.Attribute(ast.Name(self.environment, ast.Load()), name, ast.Load())

    def _call(self, name: str, *args: ast.expr, keywords: list[ast.keyword] | None = None) -> ast.expr:
        return ast.Call(self._env(name), list(args), keywords or [])

    def _assign(self, node: ast.AST, name: str, value: ast.expr) -> ast.stmt:
        return ast.Assign([ast.Name(self._renamed(node, name), ast.Store())], value)


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
